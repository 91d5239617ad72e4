//! The last part of a populate: what has been made, in a table beside the target, into the target.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use tokio::sync::OwnedRwLockWriteGuard;

use super::{Moving, Progress, Run};
use crate::engine::{EngineError, Query};
use crate::ingest::load::{Views, is_of_view, once_in_blocks};
use crate::ingest::table_id;
use crate::jobs::WorkError;

/// So long it is waited after each try to put the rest of a populate into its target.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

impl Run<'_> {
    /// Puts what was made before the rows that have come to the target since: another table, which has all of them in this order, takes the target's place. Links
    /// of parts alone, in a moment in which no rows come.
    pub(super) async fn put_before(&self, progress: &mut Progress) -> Result<(), WorkError> {
        let name = &self.request.datasource.name;
        let _gates = self.target_alone().await?;
        let engine = self.ingest.engine();
        let id_of = async |name: &str| {
            let id = table_id(engine, name).await;
            id.map_err(|error| self.control.failed(error))
        };
        let there = id_of(name).await?;
        if there.is_empty() {
            return Err(WorkError::Failed(format!("there is no `{name}` any more")));
        }
        if !progress.whole.is_empty() && there == progress.whole {
            return Ok(());
        }
        let (target, whole) = (quote_identifier(name), quote_identifier(&self.whole));
        self.execute(&format!("DROP TABLE IF EXISTS {whole} SYNC"))
            .await?;
        self.execute(&format!("CREATE TABLE {whole} AS {target}"))
            .await?;
        for from in [&self.beside, &target] {
            self.execute(&format!(
                "ALTER TABLE {whole} ATTACH PARTITION ALL FROM {from}"
            ))
            .await?;
        }
        progress.whole = id_of(&self.whole).await?;
        self.note(progress)?;
        self.execute(&format!("EXCHANGE TABLES {target} AND {whole}"))
            .await?;
        self.ingest.tables_changed();
        Ok(())
    }

    /// Inserts what was made under the job's token, so that views see it: what is in already does not come again, neither there nor in what follows.
    pub(super) async fn insert_made(&self, progress: &mut Progress) -> Result<(), WorkError> {
        let name = &self.request.datasource.name;
        let together = self.ingest.together_named(&ResourceName::local(name)).await;
        let _together = together.map_err(|_| WorkError::Interrupted)?;
        // Not before: a table that is made anew in between would not remember the token.
        let prepared = self.ingest.prepare_named(name).await;
        prepared.map_err(|error| self.control.failed(error))?;
        let Err(thrown) = self.insert(Views::All).await else {
            return Ok(());
        };
        if !is_of_view(&thrown) {
            return Err(self.control.failed(thrown));
        }
        // The rows are in, or some blocks of them: the rest and the other views follow.
        let rest = self.insert(Views::ThatCan).await;
        rest.map_err(|error| self.control.failed(error))?;
        progress.percentage = 100.0;
        self.note(progress)?;
        Err(WorkError::Failed(format!(
            "the rows are in `{name}`, and another populate would add them again; a view that follows it has thrown on them, and has not got all: {thrown}"
        )))
    }

    async fn insert(&self, views: Views) -> Result<(), EngineError> {
        let sql = format!(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position",
            Self::literal(&self.beside)
        );
        let columns = self.ingest.text(&sql);
        let columns: Vec<String> = columns.await?.lines().map(quote_identifier).collect();
        let columns = columns.join(", ");
        let sql = format!(
            "INSERT INTO {} ({columns})\nSELECT {columns} FROM {}",
            quote_identifier(&self.request.datasource.name),
            self.beside
        );
        let mut query = Query::new(sql, "Null");
        let settings = once_in_blocks(&self.token, views).into_iter();
        query.settings = settings
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.ingest.engine().query(query).await?.bytes().await?;
        Ok(())
    }

    /// The target alone, when it is certain what is in it: a table in its place would not know the tokens of what comes again.
    async fn target_alone(&self) -> Result<Vec<OwnedRwLockWriteGuard<()>>, WorkError> {
        let name = &self.request.datasource.name;
        let mut names = self.request.upstream_of_target.clone();
        names.extend(self.ingest.upstream_now(name));
        names.insert(name.clone());
        loop {
            self.control.check()?;
            let gates = self.ingest.all_alone(&names).await;
            let gates = gates.map_err(|_| WorkError::Interrupted)?;
            let jobs = self.control.unfinished()?;
            if !self.ingest.is_in_doubt(&jobs, &names) {
                let settled = self.ingest.settle(&names).await;
                settled.map_err(|error| self.unsettled(error))?;
                return Ok(gates);
            }
            drop(gates);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Moves what was made into the target. When a part of it is there and the rest cannot follow now, nobody could tell one from the other later: what is to
    /// follow stays, and the next process goes on.
    pub(super) async fn insist_on_moving(&self, progress: &mut Progress) -> Result<(), WorkError> {
        for pause in PAUSES {
            let why = match self.finish_moving(progress).await {
                Err(WorkError::Failed(why)) => why,
                done => return done,
            };
            let unmoved = self.size(&self.beside).await;
            if matches!(unmoved, Ok((rows, _)) if Some(rows) == progress.unmoved) {
                return Err(WorkError::Failed(why));
            }
            tracing::error!(
                datasource = self.request.datasource.name,
                "a part of a populate is in, and the rest cannot be put there; it is tried again: {why}"
            );
            progress.error = Some(why);
            self.note(progress)?;
            tokio::time::sleep(pause).await;
        }
        Err(WorkError::Interrupted)
    }

    /// Moves what was made into the target, one partition after the other.
    async fn finish_moving(&self, progress: &mut Progress) -> Result<(), WorkError> {
        let sql = format!(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() AND table = {} ORDER BY partition_id",
            Self::literal(&self.beside)
        );
        self.execute(&format!("SYSTEM STOP MERGES {}", self.beside))
            .await?;
        let cut_off = progress.moving.clone();
        if cut_off.is_none() {
            progress.unmoved = Some(self.size(&self.beside).await?.0);
        }
        for partition in self.text(&sql).await?.lines() {
            let at = cut_off.as_ref().map(|moving| moving.partition.as_str());
            if Some(partition) < at {
                // Moved, and listed again: the parts came back when the process that had moved them died.
                continue;
            }
            if let Some(moving) = cut_off.as_ref().filter(|_| Some(partition) == at) {
                if !self.forget_moved(moving).await? {
                    continue;
                }
            } else {
                progress.moving = Some(Moving {
                    partition: partition.to_owned(),
                    alike: self.alike(partition).await?,
                });
                self.note(progress)?;
            }
            self.execute(&format!(
                "ALTER TABLE {} MOVE PARTITION ID {} TO TABLE {}",
                self.beside,
                quote_literal(partition),
                quote_identifier(&self.request.datasource.name)
            ))
            .await?;
        }
        progress.moving = None;
        Ok(())
    }

    /// The names of the parts of the target that hold the same bytes as parts of a partition that is to be moved.
    async fn alike(&self, partition: &str) -> Result<BTreeSet<String>, WorkError> {
        let sql = format!(
            "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = {} AND hash_of_all_files IN (SELECT hash_of_all_files FROM system.parts WHERE active AND database = currentDatabase() AND table = {} AND partition_id = {})",
            quote_literal(&self.request.datasource.name),
            Self::literal(&self.beside),
            quote_literal(partition)
        );
        Ok(self
            .text(&sql)
            .await?
            .lines()
            .map(ToOwned::to_owned)
            .collect())
    }

    /// Drops the parts of a partition that are in the target already, each of them for one there; says whether others are left.
    async fn forget_moved(&self, moving: &Moving) -> Result<bool, WorkError> {
        let parts = |table: String, filter: &str| {
            format!(
                "SELECT toString(hash_of_all_files), name, min_block_number FROM system.parts WHERE database = currentDatabase() AND table = {table} {filter}"
            )
        };
        let split = |text: &str| -> Vec<[String; 3]> {
            text.lines()
                .filter_map(|line| {
                    let fields: Vec<String> = line.split('\t').map(ToOwned::to_owned).collect();
                    fields.try_into().ok()
                })
                .collect()
        };
        // Also what the engine has merged since and keeps for a while. A part that was merged alone keeps the number of its block.
        let target = parts(quote_literal(&self.request.datasource.name), "");
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for [hash, name, block] in split(&self.text(&target).await?) {
            if !moving.alike.contains(&name) {
                there.entry(hash).or_default().insert(block);
            }
        }
        let filter = format!(
            "AND active AND partition_id = {}",
            quote_literal(&moving.partition)
        );
        let mut left = false;
        let beside = parts(Self::literal(&self.beside), &filter);
        for [hash, name, _] in split(&self.text(&beside).await?) {
            if there.get_mut(&hash).and_then(BTreeSet::pop_first).is_some() {
                self.execute(&format!(
                    "ALTER TABLE {} DROP PART {}",
                    self.beside,
                    quote_literal(&name)
                ))
                .await?;
            } else {
                left = true;
            }
        }
        Ok(left)
    }
}
