//! The journal of deployments: what was put into the engine, when, how far it got, and the files of the versions before and after.
//!
//! An entry is written before the first step and closed after the last, so that an entry still running when the process starts is a deployment that was cut off.
//! That the new version is in force, and its files are, is written in one transaction.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use super::deployment::{
    Deployment, DeploymentKind, DeploymentPhase, DeploymentStatus, Files, NewDeployment,
};
use super::{CatalogWrite, Origin, State, StateError, aside, now};

/// The journal of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Deployments<'state> {
    state: &'state State,
}

/// The files of so many deployments are kept.
const KEPT: i64 = 50;

const SELECT: &str = "SELECT id, artifact_hash, status, started_at, finished_at, kind, phase, journal, steps, error, undone, staged FROM deployments";

impl<'state> Deployments<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// Notes that a deployment begins; returns its id.
    pub fn start(&self, new: NewDeployment<'_>) -> Result<i64, StateError> {
        self.insert(new, DeploymentStatus::Running, 0)
    }

    /// Notes a version that waits to be brought into force, and whether it may take anything away then; returns its id.
    pub fn stage(&self, new: NewDeployment<'_>, allowed: bool) -> Result<i64, StateError> {
        self.insert(new, DeploymentStatus::Failed, if allowed { 2 } else { 1 })
    }

    /// Begins a deployment that waits: whether it may take anything away. Nothing if it does not wait.
    pub fn promote(&self, id: i64) -> Result<Option<bool>, StateError> {
        let sql = "UPDATE deployments SET status = 'running', started_at = ?1, finished_at = NULL, staged = 0 WHERE id = ?2 AND staged = ?3";
        for (staged, allowed) in [(1, false), (2, true)] {
            if self.state.execute(sql, params![now(), id, staged])? > 0 {
                return Ok(Some(allowed));
            }
        }
        Ok(None)
    }

    /// Notes that a deployment which waits does not come into force, and why.
    pub fn discard(&self, id: i64, why: &str) -> Result<(), StateError> {
        let sql = "UPDATE deployments SET staged = 0, error = ?1, finished_at = ?2 WHERE id = ?3 AND staged > 0";
        self.state.execute(sql, params![why, now(), id])?;
        Ok(())
    }

    /// The same of all that wait.
    pub fn discard_all(&self, why: &str) -> Result<(), StateError> {
        let sql =
            "UPDATE deployments SET staged = 0, error = ?1, finished_at = ?2 WHERE staged > 0";
        self.state.execute(sql, params![why, now()])?;
        Ok(())
    }

    fn insert(
        self,
        new: NewDeployment<'_>,
        status: DeploymentStatus,
        staged: i64,
    ) -> Result<i64, StateError> {
        let of_api: BTreeMap<String, Origin> = self
            .state
            .catalog()
            .files()?
            .into_iter()
            .filter(|file| file.origin != Origin::Deploy)
            .map(|file| (file.path, file.origin))
            .collect();
        let connection = self.state.connection();
        let before = new.before.map(serde_json::to_string).transpose()?;
        let files = serde_json::to_string(new.files)?;
        let of_api = serde_json::to_string(&of_api)?;
        let written = || {
            connection.execute(
            "INSERT INTO deployments (artifact_hash, status, started_at, kind, files, files_before, steps, files_of_api, staged) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                new.artifact_hash,
                status.as_str(),
                now(),
                new.kind.as_str(),
                files,
                before,
                new.steps,
                of_api,
                staged
            ],
        )
        };
        aside(written)?;
        let id = connection.last_insert_rowid();
        let forgotten = || {
            connection.execute(
                "UPDATE deployments SET files = NULL, files_before = NULL WHERE id <= (SELECT id FROM deployments WHERE kind NOT IN ('replace', 'change') ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                [KEPT],
            )
        };
        aside(forgotten)?;
        Ok(id)
    }

    /// Notes other files of a deployment, which were changed by others after it was planned: those of its version, and those before it.
    pub fn set_files(
        &self,
        id: i64,
        artifact_hash: &str,
        files: &Files,
        before: &Files,
    ) -> Result<(), StateError> {
        self.state.execute(
            "UPDATE deployments SET artifact_hash = ?1, files = ?2, files_before = ?3 WHERE id = ?4",
            params![
                artifact_hash,
                serde_json::to_string(files)?,
                serde_json::to_string(before)?,
                id
            ],
        )?;
        Ok(())
    }

    /// Notes the steps of a deployment whose plan was made after it began.
    pub fn set_steps(&self, id: i64, steps: &str) -> Result<(), StateError> {
        self.state.execute(
            "UPDATE deployments SET steps = ?1 WHERE id = ?2",
            params![steps, id],
        )?;
        Ok(())
    }

    /// Notes how far a deployment is. On disk when this returns.
    pub fn note(&self, id: i64, phase: DeploymentPhase, journal: &str) -> Result<(), StateError> {
        self.state.execute(
            "UPDATE deployments SET phase = ?1, journal = ?2 WHERE id = ?3",
            params![phase.as_str(), journal, id],
        )?;
        Ok(())
    }

    /// Notes that the new version comes into force, with its files, all at once.
    pub fn switch(
        &self,
        id: i64,
        journal: &str,
        catalog: Option<&CatalogWrite>,
    ) -> Result<(), StateError> {
        self.bring(id, DeploymentPhase::Switching, journal, catalog)
    }

    /// The same with how far it is then.
    pub fn bring(
        &self,
        id: i64,
        phase: DeploymentPhase,
        journal: &str,
        catalog: Option<&CatalogWrite>,
    ) -> Result<(), StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE deployments SET phase = ?1, journal = ?2 WHERE id = ?3",
            params![phase.as_str(), journal, id],
        )?;
        if let Some(catalog) = catalog {
            transaction.execute_batch(
                "DELETE FROM catalog_files_before;
                 DELETE FROM catalog_objects_before;
                 INSERT INTO catalog_files_before SELECT * FROM catalog_files;
                 INSERT INTO catalog_objects_before SELECT * FROM catalog_objects;",
            )?;
            catalog.run(&transaction)?;
        }
        aside(|| transaction.commit())?;
        Ok(())
    }

    /// Notes that the new version does not come into force after all; the files of the old one are in force again, all at once.
    pub fn undo(&self, id: i64, with_catalog: bool) -> Result<(), StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE deployments SET phase = ?1 WHERE id = ?2",
            params![DeploymentPhase::Undoing.as_str(), id],
        )?;
        if with_catalog {
            transaction.execute_batch(
                "DELETE FROM catalog_files;
                 DELETE FROM catalog_objects;
                 INSERT INTO catalog_files SELECT * FROM catalog_files_before;
                 INSERT INTO catalog_objects SELECT * FROM catalog_objects_before;",
            )?;
            super::scopes::take_back(&transaction)?;
        }
        aside(|| transaction.commit())?;
        Ok(())
    }

    /// Forgets the replace of a job that has noted what became of it.
    pub fn forget_replace(&self, id: i64) -> Result<(), StateError> {
        self.state.execute(
            "DELETE FROM deployments WHERE id = ?1 AND kind = 'replace' AND status != 'running'",
            params![id],
        )?;
        Ok(())
    }

    /// Notes how the deployment `id` ended.
    pub fn finish(
        &self,
        id: i64,
        status: DeploymentStatus,
        error: Option<&str>,
    ) -> Result<(), StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE deployments SET status = ?1, finished_at = ?2, error = ?3, journal = '{}' WHERE id = ?4",
            params![status.as_str(), now(), error, id],
        )?;
        forget_passing(&transaction, id)?;
        aside(|| transaction.commit())?;
        Ok(())
    }

    /// Notes that a deployment ended well, and that the one that it takes back is in force no more, at once.
    pub fn finish_done(
        &self,
        id: i64,
        error: Option<&str>,
        undoes: Option<i64>,
    ) -> Result<(), StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE deployments SET status = ?1, finished_at = ?2, error = ?3, journal = '{}' WHERE id = ?4",
            params![DeploymentStatus::Done.as_str(), now(), error, id],
        )?;
        transaction.execute("UPDATE deployments SET undone = 1 WHERE id = ?1", [undoes])?;
        forget_passing(&transaction, id)?;
        aside(|| transaction.commit())?;
        Ok(())
    }

    /// Notes that the version of a deployment is in force no more, because the one before it is again.
    pub fn set_undone(&self, id: i64) -> Result<(), StateError> {
        self.state
            .execute("UPDATE deployments SET undone = 1 WHERE id = ?1", [id])?;
        Ok(())
    }

    /// All deployments of versions, the latest first.
    pub fn list(&self) -> Result<Vec<Deployment>, StateError> {
        self.select("WHERE kind NOT IN ('replace', 'change') ORDER BY id DESC")
    }

    /// Deployments and replaces that have not ended, the oldest first.
    pub fn running(&self) -> Result<Vec<Deployment>, StateError> {
        self.select("WHERE status = 'running' ORDER BY id")
    }

    /// Deployments that ended well, the oldest first.
    pub fn done(&self) -> Result<Vec<Deployment>, StateError> {
        self.select("WHERE status = 'done' ORDER BY id")
    }

    fn select(self, rest: &str) -> Result<Vec<Deployment>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} {rest}"))?;
        let rows = statement.query_map([], deployment)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The deployment with this id.
    pub fn find(&self, id: i64) -> Result<Option<Deployment>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        Ok(statement.query_row([id], deployment).optional()?)
    }

    /// The latest deployment of a version.
    pub fn latest(&self) -> Result<Option<Deployment>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!(
            "{SELECT} WHERE kind NOT IN ('replace', 'change') ORDER BY id DESC LIMIT 1"
        ))?;
        Ok(statement.query_row([], deployment).optional()?)
    }

    /// The files of a deployment: those of its version, and those of the version before it; each only while they are kept.
    pub fn files(&self, id: i64) -> Result<(Option<Files>, Option<Files>), StateError> {
        let connection = self.state.connection();
        let found: Option<(Option<String>, Option<String>)> = connection
            .query_row(
                "SELECT files, files_before FROM deployments WHERE id = ?1",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let read = |text: Option<String>| -> Result<Option<Files>, StateError> {
            Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
        };
        let (files, before) = found.unwrap_or_default();
        Ok((read(files)?, read(before)?))
    }

    /// The files that the API had made or changed when a deployment began.
    pub fn files_of_api(&self, id: i64) -> Result<BTreeMap<String, Origin>, StateError> {
        let connection = self.state.connection();
        let sql = "SELECT files_of_api FROM deployments WHERE id = ?1";
        let found: Option<String> = connection
            .query_row(sql, [id], |row| row.get(0))
            .optional()?;
        Ok(found
            .map(|text| serde_json::from_str(&text))
            .transpose()?
            .unwrap_or_default())
    }
}

/// A replace or a change that has ended is of interest to nobody, unless it is a job's, which forgets it when it has noted its end.
fn forget_passing(transaction: &rusqlite::Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM deployments WHERE id = ?1 AND kind IN ('replace', 'change') AND artifact_hash = ''";
    transaction.execute(sql, [id]).map(|_| ())
}

fn deployment(row: &Row<'_>) -> rusqlite::Result<Deployment> {
    Ok(Deployment {
        id: row.get(0)?,
        artifact_hash: row.get(1)?,
        status: DeploymentStatus::parse(&row.get::<_, String>(2)?, row.get(11)?),
        started_at: row.get(3)?,
        finished_at: row.get(4)?,
        kind: DeploymentKind::parse(&row.get::<_, String>(5)?),
        phase: DeploymentPhase::parse(&row.get::<_, String>(6)?),
        journal: row.get(7)?,
        steps: row.get(8)?,
        error: row.get(9)?,
        undone: row.get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::StoredFile;
    use super::*;

    fn start(state: &State, hash: &str) -> i64 {
        let files = Files::from([("a.pipe".to_owned(), hash.to_owned())]);
        let new = NewDeployment {
            artifact_hash: hash,
            kind: DeploymentKind::Deploy,
            files: &files,
            before: None,
            steps: "[]",
        };
        state.deployments().start(new).unwrap()
    }

    #[test]
    fn a_deployment_that_was_cut_off_stays_running() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        assert_eq!(state.deployments().latest().unwrap(), None);
        let done = start(&state, "aaa");
        state
            .deployments()
            .finish(done, DeploymentStatus::Done, None)
            .unwrap();
        let cut_off = start(&state, "bbb");
        drop(state);

        let state = State::open(&path).unwrap();
        let latest = state.deployments().latest().unwrap().unwrap();
        assert_eq!(
            (latest.id, latest.status, latest.finished_at),
            (cut_off, DeploymentStatus::Running, None)
        );
        assert_eq!(state.deployments().running().unwrap(), [latest]);
        let all = state.deployments().list().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[1].artifact_hash.as_str(), all[1].status),
            ("aaa", DeploymentStatus::Done)
        );
        assert!(all[1].finished_at >= Some(all[1].started_at));
        let (files, before) = state.deployments().files(done).unwrap();
        assert_eq!((files.unwrap()["a.pipe"].as_str(), before), ("aaa", None));
    }

    #[test]
    fn a_version_that_waits_is_begun_once_or_given_up() {
        let state = State::in_memory().unwrap();
        let files = Files::from([("a.pipe".to_owned(), "new".to_owned())]);
        let new = NewDeployment {
            artifact_hash: "aaa",
            kind: DeploymentKind::Deploy,
            files: &files,
            before: None,
            steps: "[]",
        };
        let deployments = state.deployments();
        let status = |id: i64| deployments.find(id).unwrap().unwrap().status;
        let first = deployments.stage(new, true).unwrap();
        let second = deployments.stage(new, false).unwrap();
        assert_eq!(status(first), DeploymentStatus::Staged);
        // What a process finds at its start is neither under way nor done.
        assert_eq!(deployments.running().unwrap(), []);
        assert_eq!(deployments.done().unwrap(), []);
        assert_eq!(deployments.promote(first).unwrap(), Some(true));
        assert_eq!(status(first), DeploymentStatus::Running);
        assert_eq!(deployments.promote(first).unwrap(), None);
        deployments.discard_all("given up").unwrap();
        let given_up = deployments.find(second).unwrap().unwrap();
        assert_eq!(
            (given_up.status, given_up.error.as_deref()),
            (DeploymentStatus::Failed, Some("given up"))
        );
        assert_eq!(status(first), DeploymentStatus::Running);
        assert_eq!(deployments.promote(second).unwrap(), None);
    }

    #[test]
    fn files_come_into_force_with_the_version_and_go_with_it() {
        let state = State::in_memory().unwrap();
        let file = |text: &str| StoredFile {
            path: "a.pipe".to_owned(),
            text: Some(text.to_owned()),
            base: None,
            origin: Origin::Changed,
        };
        state
            .catalog()
            .write(&[file("old")], &[], &[], &[])
            .unwrap();
        let id = start(&state, "aaa");
        let write = CatalogWrite {
            files: vec![file("new")],
            ..CatalogWrite::default()
        };
        state.deployments().switch(id, "{}", Some(&write)).unwrap();
        assert_eq!(state.catalog().files().unwrap(), [file("new")]);
        let phase = |state: &State| state.deployments().find(id).unwrap().unwrap().phase;
        assert_eq!(phase(&state), DeploymentPhase::Switching);
        state.deployments().undo(id, true).unwrap();
        assert_eq!(state.catalog().files().unwrap(), [file("old")]);
        assert_eq!(phase(&state), DeploymentPhase::Undoing);
    }
}
