//! What files and API disagree about. It is said before anything is done, so that a version of the files never takes back in silence what the API changed.

use std::collections::BTreeMap;

use pipewright_compiler::project::FileKind;
use serde::{Deserialize, Serialize};

use super::{Catalog, Draft, Writer, hash};
use crate::state::{Origin, StateError, StoredFile};

/// A file that the API, or a deploy, has another version of than somebody's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The path.
    pub path: String,
    /// Whether the API's version goes.
    pub goes: bool,
    /// What is the matter, for people.
    pub message: String,
}

/// Whose a version of the whole project is.
#[derive(Debug, Clone, Default)]
pub enum Author {
    /// Somebody's, who sends files.
    #[default]
    Files,
    /// The API's: it changes the file at this path, and leaves the others as they are.
    Api(String),
    /// It has been in force before, and the API had made or changed these files of it.
    Earlier(BTreeMap<String, Origin>),
}

impl Author {
    /// Who wrote a file of the version; `stored` is how it is kept now. What stays as it is stays whose it is: others may have changed it while the
    /// version waited.
    pub(super) fn origin_of(&self, path: &str, stored: Option<Origin>, stays: bool) -> Origin {
        match self {
            Self::Api(own) if own == path => Origin::Changed,
            Self::Api(_) => stored.unwrap_or(Origin::Deploy),
            Self::Files if stays => stored.unwrap_or(Origin::Deploy),
            Self::Files => Origin::Deploy,
            Self::Earlier(of_api) => of_api.get(path).copied().unwrap_or(Origin::Deploy),
        }
    }

    /// The version, and that it has something.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Files | Self::Api(_) => ("the files", "the files have"),
            Self::Earlier(_) => ("the earlier version", "the earlier version has"),
        }
    }
}

impl Writer<'_> {
    /// What the API made, changed or deleted, and a version has otherwise.
    pub fn taken_back(&self, draft: &Draft, author: &Author) -> Result<Vec<Drift>, StateError> {
        let stored = self.catalog.state.catalog().files()?;
        let of_api = stored.into_iter().filter(|file| {
            let is_own = matches!(author, Author::Api(own) if *own == file.path);
            file.origin != Origin::Deploy && !is_own && !is_pulled(file)
        });
        let differing = of_api.filter(|file| draft.files().get(&file.path) != file.text.as_ref());
        Ok(differing
            .map(|file| {
                let is_there = draft.files().contains_key(&file.path);
                taken_back(file, is_there, author.words())
            })
            .collect())
    }
}

impl Catalog {
    /// Files that were changed both on disk and through the API or by a deploy, whose text is in force.
    pub fn conflicts(&self) -> Result<Vec<Drift>, StateError> {
        let files = self.state.catalog().files()?.into_iter();
        Ok(files.filter_map(|file| self.conflict(&file)).collect())
    }

    /// The files of which a deploy from the folder keeps the API's version.
    pub fn differing(&self) -> Result<Vec<Drift>, StateError> {
        let files = self.state.catalog().files()?.into_iter();
        let files = files.filter(|file| {
            file.origin != Origin::Deploy && self.base.get(&file.path) != file.text.as_ref()
        });
        Ok(files
            .map(|file| self.conflict(&file).unwrap_or_else(|| self.kept(file)))
            .collect())
    }

    /// The files that a deploy from the folder brings, where that is another version than the one in force: what an earlier deploy or a rollback has in the place of
    /// the folder's files was never written by who has the folder, and these take its place. What the API changed stays.
    pub fn with_folder(&self) -> Result<Option<BTreeMap<String, String>>, StateError> {
        let mut files = self.current().files.clone();
        let mut differs = false;
        for file in self.state.catalog().files()? {
            let on_disk = self.base.get(&file.path);
            if file.origin != Origin::Deploy || on_disk == file.text.as_ref() {
                continue;
            }
            differs = true;
            match on_disk {
                Some(text) => _ = files.insert(file.path, text.clone()),
                None => _ = files.remove(&file.path),
            }
        }
        Ok(differs.then_some(files))
    }

    fn conflict(&self, file: &StoredFile) -> Option<Drift> {
        let on_disk = self.base.get(&file.path);
        if on_disk.map(|text| hash(text)) == file.base || on_disk == file.text.as_ref() {
            return None;
        }
        let now = match on_disk {
            Some(_) => "was changed on disk",
            None => "was deleted on disk",
        };
        let (how, whose) = match file.origin {
            Origin::Deploy => ("came with a deploy", "the deployed"),
            Origin::Made | Origin::Changed => ("was changed through the API", "the API's"),
        };
        let message = format!(
            "`{}` {how} and {now} since: {whose} version is in force",
            file.path
        );
        Some(Drift {
            path: file.path.clone(),
            goes: false,
            message,
        })
    }

    fn kept(&self, file: StoredFile) -> Drift {
        let what = named(&file.path);
        let is_on_disk = self.base.contains_key(&file.path);
        let message = match (&file.text, is_on_disk) {
            (None, _) => {
                format!("{what} was deleted through the API and is on disk: it stays away")
            }
            (Some(_), true) => {
                format!(
                    "{what} was changed through the API: its version is in force, not the one on disk"
                )
            }
            (Some(_), false) => {
                format!("{what} was made through the API and is not on disk: it stays")
            }
        };
        Drift {
            path: file.path,
            goes: false,
            message: format!("{message}; `pipewright pull` makes the files the same"),
        }
    }
}

/// Whether the files got to know what the API wrote.
fn is_pulled(file: &StoredFile) -> bool {
    file.base == file.text.as_deref().map(hash)
}

fn taken_back(file: StoredFile, is_there: bool, (files, files_have): (&str, &str)) -> Drift {
    let what = named(&file.path);
    let how = match file.origin {
        Origin::Made => "made",
        Origin::Changed | Origin::Deploy => "changed",
    };
    let is_resource = matches!(
        FileKind::of(&file.path),
        Some(FileKind::Pipe | FileKind::Datasource)
    );
    let goes = match (file.text.is_some(), is_there) {
        (false, _) => {
            let message =
                format!("{what} was deleted through the API and is in {files}: it is made again");
            return Drift {
                path: file.path,
                goes: false,
                message,
            };
        }
        (true, true) => format!(
            "was {how} through the API, and {files_have} it otherwise: the API's version goes"
        ),
        (true, false) if is_resource => {
            format!(
                "was {how} through the API and is not in {files}: it goes, and what tokens may do with it"
            )
        }
        (true, false) => format!("was {how} through the API and is not in {files}: it goes"),
    };
    Drift {
        path: file.path,
        goes: true,
        message: format!("{what} {goes}; `pipewright pull` writes it to the files first"),
    }
}

/// What a file holds, by its name.
fn named(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match FileKind::of(path) {
        Some(FileKind::Pipe) => format!("pipe `{stem}`"),
        Some(FileKind::Datasource) => format!("data source `{stem}`"),
        Some(FileKind::Connection) => format!("connection `{stem}`"),
        _ => format!("`{path}`"),
    }
}
