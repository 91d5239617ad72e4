//! Another version of the whole project, compiled and not yet in force: what a deploy brings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pipewright_compiler::plan::Plan;

use super::fates::scope_changes;
use super::{Author, ChangeError, Current, Objects, Rename, Writer, compile, hash};
use crate::state::{CatalogWrite, StateError, StoredFile};

/// A version of the project.
#[derive(Debug)]
pub struct Draft {
    files: BTreeMap<String, String>,
    plan: Arc<Plan>,
    objects: Objects,
    before: Arc<Current>,
}

impl Draft {
    /// The compiled project.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The texts by path.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    /// What is in force now.
    pub fn before(&self) -> &Arc<Current> {
        &self.before
    }
}

impl Writer<'_> {
    /// Compiles files that are to take the place of all that there are. A project with errors is refused.
    pub async fn draft(&self, files: BTreeMap<String, String>) -> Result<Draft, ChangeError> {
        let before = self.current();
        let rules = before.plan.rules.clone();
        let compiled = tokio::task::spawn_blocking(move || {
            let (plan, errors) = compile(&files, &rules);
            (files, plan, errors)
        });
        let (files, plan, errors) = compiled.await.map_err(std::io::Error::other)?;
        if !errors.is_empty() {
            let errors: Vec<String> = errors.into_iter().map(|(_, text)| text).collect();
            return Err(ChangeError::Invalid(errors.join("\n")));
        }
        let objects = before.objects.of_project(&plan.project, &[])?;
        Ok(Draft {
            files,
            plan: Arc::new(plan),
            objects,
            before,
        })
    }

    /// What is to be written when a draft comes into force. Resources that are renamed keep their ids.
    pub fn written(
        &self,
        draft: &mut Draft,
        renames: &[Rename],
        author: &Author,
    ) -> Result<CatalogWrite, StateError> {
        let before = &draft.before;
        draft.objects = before.objects.of_project(&draft.plan.project, renames)?;
        let base = &self.catalog.base;
        let stored = self.catalog.state.catalog().files()?;
        let stored: BTreeMap<&String, &StoredFile> =
            stored.iter().map(|file| (&file.path, file)).collect();
        let paths: BTreeSet<&String> = before.files.keys().chain(draft.files.keys()).collect();
        let (mut files, mut reverted) = (Vec::new(), Vec::new());
        for path in paths {
            let text = draft.files.get(path);
            if base.get(path) == text {
                reverted.push(path.clone());
            } else {
                let known = stored.get(path);
                let stays = before.files.get(path) == text;
                // What stays was put over the file that was on disk then: who has changed that since is still to be told.
                let base = match known.filter(|_| stays) {
                    Some(known) => known.base.clone(),
                    None => base.get(path).map(|text| hash(text)),
                };
                files.push(StoredFile {
                    path: path.clone(),
                    text: text.cloned(),
                    base,
                    origin: author.origin_of(path, known.map(|file| file.origin), stays),
                });
            }
        }
        let (objects, removed) = draft.objects.difference(&before.objects);
        Ok(CatalogWrite {
            scopes: scope_changes(&before.plan, &draft.plan, renames),
            files,
            reverted,
            objects,
            removed,
            job: None,
        })
    }

    /// Puts a draft into force that has been written.
    pub fn adopt(&self, draft: &Draft) -> Arc<Current> {
        let current = Arc::new(Current {
            files: draft.files.clone(),
            plan: Arc::clone(&draft.plan),
            objects: draft.objects.clone(),
            errors: BTreeSet::new(),
            deploys: self.current().deploys + 1,
        });
        self.catalog.current.store(Arc::clone(&current));
        current
    }
}
