//! A change whose tables and views are made and that is not in force: the moment in which it can still be taken back, with every row.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fates::scope_changes;
use super::{Catalog, Change, ChangeError, Current, hash};
use crate::deploy::Carried;
use crate::engine::Engine;
use crate::state::{CatalogWrite, NewJob, Origin, StateError, StoredFile};

/// A change that is committed or taken back next.
#[derive(Debug)]
#[must_use = "what is made in the engine stays there until the change is committed or taken back"]
pub struct Prepared<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) engine: &'a dyn Engine,
    pub(super) change: Change,
    pub(super) carried: Carried,
    pub(super) gone: Vec<String>,
    pub(super) before: Arc<Current>,
    pub(super) current: Arc<Current>,
    pub(super) job: Option<NewJob>,
    pub(super) views: BTreeSet<String>,
}

impl Prepared<'_> {
    /// What is in force until then.
    pub fn before(&self) -> &Arc<Current> {
        &self.before
    }

    /// What will be in force.
    pub fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// The data sources that are no more then.
    pub fn gone(&self) -> &[String] {
        &self.gone
    }

    /// The views that it makes or changes.
    pub fn views(&self) -> &BTreeSet<String> {
        &self.views
    }

    /// Has a job written with the change: who makes one has the other.
    pub fn with_job(&mut self, job: NewJob) {
        self.job = Some(job);
    }

    /// Writes the change and brings it into force. On an error nothing has changed.
    pub async fn commit(self) -> Result<Arc<Current>, ChangeError> {
        if let Err(error) = self.persist() {
            self.take_back().await;
            return Err(error.into());
        }
        self.catalog.current.store(Arc::clone(&self.current));
        self.carried.finish(&self.catalog.state, self.engine).await;
        Ok(self.current)
    }

    /// Leaves everything as it was.
    pub async fn take_back(self) {
        let state = &self.catalog.state;
        self.carried.take_back(state, self.engine).await;
    }

    fn persist(&self) -> Result<(), StateError> {
        let base = &self.catalog.base;
        let (reverted, changed): (Vec<_>, Vec<_>) = self
            .change
            .files
            .iter()
            .partition(|(path, text)| base.get(*path) == text.as_ref());
        let changed: Vec<StoredFile> = changed
            .into_iter()
            .map(|(path, text)| StoredFile {
                path: path.clone(),
                text: text.clone(),
                base: base.get(path).map(|text| hash(text)),
                origin: if self.before.files.contains_key(path) {
                    Origin::Changed
                } else {
                    Origin::Made
                },
            })
            .collect();
        let reverted: Vec<String> = reverted.into_iter().map(|(path, _)| path.clone()).collect();
        let (stored, removed) = self.current.objects.difference(&self.before.objects);
        let renames = &self.change.renames;
        let written = CatalogWrite {
            files: changed,
            reverted,
            objects: stored,
            removed,
            scopes: scope_changes(&self.before.plan, &self.current.plan, renames),
            job: self.job.clone(),
        };
        self.carried.write(&self.catalog.state, &written)
    }
}
