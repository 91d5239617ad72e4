//! Rows that take the place of others: replace, truncate, delete.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use pipewright_compiler::emit::{at_moment, quarantine_name, table_name};
use pipewright_compiler::plan::{Plan, RequestContext, Role, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{is_closed, quote_literal};
use pipewright_compiler::template::{RenderContext, Values};
use serde_json::{Value, json};

use super::append::STAGING;
use super::{Append, Appended, Counts, Ingest, IngestError, Mark, unique};
use crate::engine::{EngineError, Query};
use crate::fence;
use crate::jobs::{Control, Job, Work, WorkError};
use std::sync::Arc;

/// What has a statement planned, and not run.
const PLAN: &str = "EXPLAIN PLAN\n";

/// No condition takes longer to be planned.
const PLANNED_WITHIN: Duration = Duration::from_secs(10);

/// Which rows give place to those of a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Replace<'a> {
    /// Those that a condition names; all without one.
    pub condition: Option<&'a str>,
    /// Whether a file that brings no row leaves none.
    pub may_empty: bool,
}

/// Rows in a table beside the data source that they are for.
#[derive(Debug)]
pub struct Staged {
    /// The table.
    pub table: TablePlan,
    /// What was written.
    pub appended: Appended,
    /// Which rows give place to them, and which of them come; all where nothing is said. It means the same rows whenever it is asked.
    pub condition: Option<String>,
}

impl Ingest {
    /// Puts the rows of a body in place of all rows, or of those that a condition names, at once: readers see the old rows or the new ones.
    ///
    /// Rows that arrive for the data source before the moment of the exchange go with those that were there; those of that moment wait for it, and stay.
    pub async fn replace(
        self: &Arc<Self>,
        plan: &Plan,
        table: &TablePlan,
        append: &Append,
        replace: Replace<'_>,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Appended, IngestError> {
        if let Some(view) = reader(plan, &table.name) {
            return Err(IngestError::Unreadable(format!(
                "the materialized view of `{view}` reads `{}`, and would not follow",
                table.name
            )));
        }
        let staged = self.stage(plan, table, append, replace, body).await?;
        let replaced = self.put_in_place(table, &staged).await;
        // After the exchange this holds the old rows, and before it the new ones of a failed attempt.
        let dropped = self.unstage(&staged.table).await;
        replaced?;
        left_over(dropped);
        Ok(staged.appended)
    }

    /// Writes rows into a table beside a data source, which is to take its place. Those that do not fit are in its quarantine then.
    pub async fn stage(
        self: &Arc<Self>,
        plan: &Plan,
        table: &TablePlan,
        append: &Append,
        replace: Replace<'_>,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Staged, IngestError> {
        if !table.engine.name.ends_with("MergeTree") {
            return Err(IngestError::Unreadable(format!(
                "`{}` keeps no rows (its engine is {}), so that there is nothing to replace",
                table.name, table.engine.name
            )));
        }
        let mut condition = None;
        if let Some(written) = replace.condition {
            self.check_condition(plan, table, written).await?;
            condition = Some(self.at_this_moment(written).await?);
        }
        let replace = Replace {
            condition: condition.as_deref(),
            ..replace
        };
        let mut staging = self.as_it_is(table).await?.into_owned();
        staging.name.name = format!("{STAGING}{}", unique()?.replace('-', "_"));
        let (name, new) = (table_name(&table.name), table_name(&staging.name));
        self.engine
            .execute(&format!("CREATE TABLE {new} AS {name}"))
            .await?;
        let filled = self.fill_staged(table, &staging, append, replace, body);
        match filled.await {
            Ok(appended) => Ok(Staged {
                table: staging,
                appended,
                condition,
            }),
            Err(error) => {
                left_over(self.unstage(&staging).await);
                Err(error)
            }
        }
    }

    async fn fill_staged(
        self: &Arc<Self>,
        table: &TablePlan,
        staging: &TablePlan,
        append: &Append,
        replace: Replace<'_>,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Appended, IngestError> {
        let mut appended = self.append(staging, append, body).await?;
        if appended.counts.quarantined > 0 {
            let (from, to) = (quarantine_name(&staging.name), quarantine_name(&table.name));
            self.prepare_quarantine(table).await?;
            self.engine
                .execute(&format!(
                    "INSERT INTO {} SELECT * FROM {}",
                    table_name(&to),
                    table_name(&from)
                ))
                .await?;
        }
        let counts = &mut appended.counts;
        if let Some(condition) = replace.condition {
            let new = table_name(&staging.name);
            let left_out =
                format!("SELECT count() FROM {new} WHERE NOT ifNull((\n{condition}\n), 0)");
            counts.successful = counts
                .successful
                .saturating_sub(self.count(&left_out).await?);
        }
        if counts.successful == 0 && !replace.may_empty {
            return Err(IngestError::Unreadable(brings_none(table, *counts)));
        }
        Ok(appended)
    }

    /// Takes the table of staged rows away.
    pub async fn unstage(&self, staging: &TablePlan) -> Result<(), IngestError> {
        let name = &staging.name;
        let mut dropped = Ok(());
        for name in [
            table_name(name),
            table_name(&quarantine_name(name)),
            whole(staging),
        ] {
            let sql = format!("DROP TABLE IF EXISTS {name} SYNC");
            dropped = dropped.and(self.engine.execute(&sql).await);
        }
        Ok(dropped?)
    }

    /// Refuses rows that were staged for a table which a deploy has made another one since.
    pub async fn still_fits(&self, table: &TablePlan, staged: &Staged) -> Result<(), IngestError> {
        let (name, staging) = (table.name.to_string(), staged.table.name.to_string());
        if self.are_alike(&name, &staging).await? {
            return Ok(());
        }
        Err(IngestError::Unreadable(format!(
            "`{name}` was changed by a deploy while the rows were on their way; its rows are as they were: send them again"
        )))
    }

    async fn put_in_place(&self, table: &TablePlan, staged: &Staged) -> Result<(), IngestError> {
        let (name, mut new) = (table_name(&table.name), table_name(&staged.table.name));
        let _alone = self.alone(&table.name).await?;
        self.still_fits(table, staged).await?;
        for mark in [Mark::Direct, Mark::Rewritten] {
            self.mark(mark, &table.name.to_string()).await?;
        }
        if let Some(condition) = &staged.condition {
            let whole = whole(&staged.table);
            self.put_behind_the_rest((&name, &new, &whole), condition)
                .await?;
            new = whole;
        }
        self.engine
            .execute(&format!("EXCHANGE TABLES {name} AND {new}"))
            .await?;
        self.tables_changed();
        Ok(())
    }

    /// Puts the new rows that a condition names behind the old ones that it does not, in a table beside. These stay in their parts, and in the order in which they
    /// came: it says which row is the last one of its key.
    async fn put_behind_the_rest(
        &self,
        (name, new, whole): (&str, &str, &str),
        condition: &str,
    ) -> Result<(), EngineError> {
        let is_named = format!("ifNull((\n{condition}\n), 0)");
        for sql in [
            format!("ALTER TABLE {new} DELETE WHERE NOT {is_named} SETTINGS mutations_sync = 2"),
            format!("CREATE TABLE {whole} AS {name}"),
            format!("ALTER TABLE {whole} ATTACH PARTITION ALL FROM {name}"),
            format!("ALTER TABLE {whole} DELETE WHERE {is_named} SETTINGS mutations_sync = 2"),
            format!("ALTER TABLE {whole} ATTACH PARTITION ALL FROM {new}"),
        ] {
            self.engine.execute(&sql).await?;
        }
        Ok(())
    }

    /// Whether a data source has rows, or its quarantine has.
    pub async fn has_rows(&self, table: &TablePlan) -> Result<bool, IngestError> {
        let names = [table.name.clone(), quarantine_name(&table.name)];
        let names = names.map(|name| quote_literal(&name.name));
        let sql = format!(
            "SELECT sum(ifNull(total_rows, 0)) FROM system.tables WHERE database = currentDatabase() AND name IN ({})",
            names.join(", ")
        );
        Ok(self.count(&sql).await? > 0)
    }

    /// Takes all rows away.
    pub async fn truncate(&self, table: &TablePlan) -> Result<(), IngestError> {
        let _alone = self.alone(&table.name).await?;
        let name = table.name.to_string();
        self.mark(Mark::Rewritten, &name).await?;
        self.engine
            .execute(&format!("TRUNCATE TABLE {}", table_name(&table.name)))
            .await?;
        Ok(self.forget_direct(&name).await?)
    }

    /// Counts the rows that a condition names, as long as `limit` allows. A condition that is more than one is refused.
    pub async fn matching(
        &self,
        plan: &Plan,
        table: &TablePlan,
        condition: &str,
        limit: Duration,
    ) -> Result<u64, IngestError> {
        self.check_condition(plan, table, condition).await?;
        let counted = Query::new(counting(table, condition), "TSV")
            .timeout(limit)
            .within(&plan.project.config.limits);
        Ok(self.number(counted).await?)
    }

    /// A condition that is asked several times, of old rows and of new ones, in which the time is that of now.
    async fn at_this_moment(&self, condition: &str) -> Result<String, IngestError> {
        let now = self.count("SELECT toUnixTimestamp(now())").await?;
        at_moment(condition, now).ok_or_else(|| {
            IngestError::Unreadable(
                "the condition names other rows each time it is asked: of functions that do not depend on the row, it may use now(), now64(), today() and yesterday()"
                    .to_owned(),
            )
        })
    }

    /// Refuses a condition that is more than one, or none over the columns of the data source. Reads no row: there may be many.
    pub async fn check_condition(
        &self,
        plan: &Plan,
        table: &TablePlan,
        condition: &str,
    ) -> Result<(), IngestError> {
        if !is_closed(condition) {
            return Err(IngestError::Unreadable(
                "the condition is not one SQL expression".to_owned(),
            ));
        }
        let values = Values::default();
        let query = counting(table, condition);
        let compiled = plan.compile_query(
            &query,
            None,
            RequestContext {
                values: &values,
                render: RenderContext::default(),
            },
        );
        let compiled = compiled.map_err(|error| {
            IngestError::Unreadable(format!("the condition cannot be used: {error}"))
        })?;
        if compiled.named_pipes.iter().next().is_some()
            || compiled
                .named_tables
                .iter()
                .any(|named| *named != table.name.to_string())
        {
            return Err(only_its_columns());
        }
        self.plan_alone(plan, table, condition).await
    }

    /// Has the engine plan a condition where it may read no other table, whatever was found in its text.
    async fn plan_alone(
        &self,
        plan: &Plan,
        table: &TablePlan,
        condition: &str,
    ) -> Result<(), IngestError> {
        let sql = format!("{PLAN}{}", counting(table, condition));
        let mut query = Query::new(sql, "Null")
            .timeout(PLANNED_WITHIN)
            .within_memory(plan.project.config.limits.memory_bytes);
        let fence = fence::alone(plan, &table.name, condition);
        query.settings.extend(fence);
        let planned = match self.engine.query(query).await {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        match planned {
            Ok(_) => Ok(()),
            Err(error) if fence::is_refused(&error.to_string()) => Err(only_its_columns()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The table that holds old rows and new ones before it takes the place of the old ones.
fn whole(staging: &TablePlan) -> String {
    table_name(&ResourceName::local(format!("{}_whole", staging.name)))
}

/// A table for a moment that could not be dropped changes nothing of what has been done; the next start drops it.
pub(crate) fn left_over(dropped: Result<(), IngestError>) {
    if let Err(error) = dropped {
        tracing::warn!(%error, "a table that nobody needs stays until the next start");
    }
}

/// Why a file replaces no rows.
fn brings_none(table: &TablePlan, counts: Counts) -> String {
    let name = &table.name;
    let why = match counts.quarantined {
        0 => "the file brings no rows".to_owned(),
        quarantined => format!(
            "the file brings no rows that fit ({quarantined} are in `{}`, with the reasons)",
            quarantine_name(name)
        ),
    };
    format!(
        "{why}, and those of `{name}` are as they were: say `replace_truncate_when_empty=true` if none are to be left"
    )
}

fn only_its_columns() -> IngestError {
    IngestError::Unreadable("the condition may read the data source's own columns only".to_owned())
}

fn counting(table: &TablePlan, condition: &str) -> String {
    let name = table_name(&table.name);
    format!("SELECT count() FROM {name} WHERE (\n{condition}\n)")
}

/// A node whose view reads a data source.
pub(crate) fn reader(plan: &Plan, name: &ResourceName) -> Option<String> {
    use pipewright_compiler::graph::Vertex;
    let start = Vertex::Datasource(name.clone());
    let edges = plan.graph.edges();
    let mut reached = std::collections::BTreeSet::from([&start]);
    let mut waiting = vec![&start];
    while let Some(vertex) = waiting.pop() {
        if let Vertex::Node(id) = vertex {
            let role = plan
                .pipes
                .get(&id.pipe)
                .and_then(|pipe| pipe.node(&id.node))
                .map(|node| &node.role);
            if matches!(role, Some(Role::Materialized { .. })) {
                return Some(format!("{}.{}", id.pipe, id.node));
            }
        }
        for (from, to, _) in &edges {
            if *from == vertex && reached.insert(to) {
                waiting.push(to);
            }
        }
    }
    None
}

/// Deletes the rows that a condition names.
#[derive(Debug)]
pub struct DeleteData(pub Arc<Ingest>);

#[async_trait]
impl Work for DeleteData {
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        let failed = |error: EngineError| control.failed(error);
        let (Some(name), Some(condition)) = (
            job.request["datasource"]["name"].as_str(),
            job.request["delete_condition"].as_str(),
        ) else {
            return Err(WorkError::Failed(
                "the job says neither data source nor condition".to_owned(),
            ));
        };
        control.check()?;
        // A deploy neither begins nor ends between the two marks.
        let deleting = self.0.deleting(name).await;
        let _deleting = deleting.map_err(|_| WorkError::Interrupted)?;
        let mark = || self.0.mark(Mark::Rewritten, name);
        let unmarked = |error: io::Error| WorkError::Failed(error.to_string());
        mark().await.map_err(unmarked)?;
        let name = table_name(&ResourceName::local(name));
        let answer = self
            .0
            .engine()
            .query(Query::new(
                format!("SELECT count() FROM {name} WHERE (\n{condition}\n)"),
                "TSV",
            ))
            .await
            .map_err(failed)?;
        let rows = answer.bytes().await.map_err(failed)?;
        let rows: u64 = String::from_utf8_lossy(&rows).trim().parse().unwrap_or(0);
        control.progress(&json!({ "rows_to_be_deleted": rows }))?;
        self.0
            .engine()
            .execute(&format!(
                "ALTER TABLE {name} DELETE WHERE (\n{condition}\n) SETTINGS mutations_sync = 2"
            ))
            .await
            .map_err(failed)?;
        mark().await.map_err(unmarked)?;
        Ok(json!({ "rows_deleted": rows }))
    }

    /// Deleting once more what is gone changes nothing.
    fn resumes(&self) -> bool {
        true
    }
}
