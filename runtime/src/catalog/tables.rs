//! What a change of the catalog means for the engine: tables and views are made before the change is written, and what nobody needs goes after it.

use std::collections::BTreeSet;

use pipewright_compiler::deploy::{Step, StepKind, desired};
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::emit::quarantine_name;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::{Change, ChangeError, Rename};
use crate::deploy::introspect;
use crate::engine::Engine;

/// Statements of one change.
#[derive(Debug, Default)]
pub(super) struct Migration {
    /// Run before the change is written, each with what takes it back.
    forward: Vec<(String, Option<String>)>,
    /// Run after it is written.
    cleanup: Vec<String>,
}

impl Migration {
    /// From what the engine has to what the plan needs. Tables of data sources that are gone are dropped, tables that differ are left alone unless the change
    /// wants them anew.
    pub(super) async fn plan(
        before: &Plan,
        after: &Plan,
        change: &Change,
        engine: &dyn Engine,
    ) -> Result<Self, ChangeError> {
        let (old, new) = (steps(before, false)?, steps(after, true)?);
        if old == new {
            return Ok(Self::default());
        }
        let actual = introspect(engine, &after.database)
            .await
            .map_err(|error| ChangeError::Engine(error.to_string()))?
            .names();
        let mut migration = Self::default();
        let mut old = old;
        for rename in &change.renames {
            migration.rename(rename, &mut old, after);
        }
        for step in &new {
            let before = find(&old, &step.name);
            let exists = actual.contains(&step.name);
            match before {
                Some(before) if before.sql == step.sql && exists => {}
                Some(_) if exists && change.anew.as_ref() == Some(&step.name) => {
                    migration.make_anew(step, &actual);
                }
                Some(before) if step.kind == StepKind::CreateMaterializedView && exists => {
                    migration.alter_view(before, step);
                }
                _ if step.kind == StepKind::CreateDatabase => {
                    migration.forward.push((step.sql.clone(), None));
                }
                _ if exists => {}
                _ => migration
                    .forward
                    .push((step.sql_with_comment(), step.undo())),
            }
        }
        // Views go before the tables that they read.
        let gone = old
            .iter()
            .rev()
            .filter(|step| find(&new, &step.name).is_none());
        migration.cleanup.extend(gone.filter_map(Step::undo));
        Ok(migration)
    }

    /// Views are named after their pipe and node: they follow a rename, without missing a row.
    fn rename(&mut self, rename: &Rename, old: &mut [Step], after: &Plan) {
        let pairs: Vec<(String, String)> = match rename {
            Rename::Datasource { from, to } => vec![(from.clone(), to.clone())],
            Rename::Node { pipe, from, to } => {
                vec![(format!("mv__{pipe}__{from}"), format!("mv__{pipe}__{to}"))]
            }
            Rename::Pipe { from, to } => {
                let nodes = after.pipe(to).map_or(&[][..], |pipe| &pipe.nodes);
                nodes
                    .iter()
                    .map(|node| {
                        (
                            format!("mv__{from}__{}", node.id.node),
                            format!("mv__{to}__{}", node.id.node),
                        )
                    })
                    .collect()
            }
        };
        for (from, to) in pairs {
            let Some(step) = old.iter_mut().find(|step| step.name == from) else {
                continue;
            };
            let (quoted_from, quoted_to) = (quote_identifier(&from), quote_identifier(&to));
            self.forward.push((
                format!("RENAME TABLE {quoted_from} TO {quoted_to}"),
                Some(format!("RENAME TABLE {quoted_to} TO {quoted_from}")),
            ));
            if let Some((_, rest)) = step.sql.split_once(&quoted_from) {
                step.sql = format!("CREATE MATERIALIZED VIEW {quoted_to}{rest}");
            }
            step.name = to;
        }
    }

    /// Another table in the place of one: the old one goes when the change is written, and comes back if it is not.
    fn make_anew(&mut self, step: &Step, actual: &BTreeSet<String>) {
        let aside = quote_identifier(&format!("pw_before_{}", step.name));
        let name = quote_identifier(&step.name);
        let away = format!("DROP TABLE IF EXISTS {aside} SYNC");
        self.forward.push((away.clone(), None));
        self.forward.push((
            format!("RENAME TABLE {name} TO {aside}"),
            Some(format!("RENAME TABLE {aside} TO {name}")),
        ));
        self.forward.push((step.sql_with_comment(), step.undo()));
        self.cleanup.push(away);
        let quarantine = quarantine_name(&ResourceName::local(&step.name)).to_string();
        if actual.contains(&quarantine) {
            let quarantine = quote_identifier(&quarantine);
            self.cleanup.push(format!("DROP TABLE {quarantine} SYNC"));
        }
    }

    /// Another query, into the same target: in place. Another target: anew.
    fn alter_view(&mut self, before: &Step, after: &Step) {
        let query = |step: &Step| {
            step.sql
                .split_once(" AS\n")
                .map(|(head, query)| (head.to_owned(), query.to_owned()))
        };
        let name = quote_identifier(&after.name);
        match (query(before), query(after)) {
            (Some((old_head, old_query)), Some((head, query))) if old_head == head => {
                self.forward.push((
                    format!("ALTER TABLE {name} MODIFY QUERY {query}"),
                    Some(format!("ALTER TABLE {name} MODIFY QUERY {old_query}")),
                ));
            }
            _ => {
                self.forward.push((
                    format!("DROP VIEW {name} SYNC"),
                    Some(before.sql_with_comment()),
                ));
                self.forward.push((after.sql_with_comment(), after.undo()));
            }
        }
        let comment = |step: &Step| {
            format!(
                "ALTER TABLE {name} MODIFY COMMENT {}",
                quote_literal(&step.comment())
            )
        };
        self.forward.push((comment(after), Some(comment(before))));
    }

    /// Runs what comes before the change is written; takes it all back when one statement fails.
    pub(super) async fn prepare(&self, engine: &dyn Engine) -> Result<(), ChangeError> {
        for (done, (statement, _)) in self.forward.iter().enumerate() {
            if let Err(error) = engine.execute(statement).await {
                self.undo(done, engine).await;
                return Err(ChangeError::Refused(error.to_string()));
            }
        }
        Ok(())
    }

    /// Takes everything back: the change could not be written.
    pub(super) async fn take_back(&self, engine: &dyn Engine) {
        self.undo(self.forward.len(), engine).await;
    }

    async fn undo(&self, done: usize, engine: &dyn Engine) {
        for (_, undo) in self.forward[..done].iter().rev() {
            let Some(statement) = undo else { continue };
            if let Err(error) = engine.execute(statement).await {
                tracing::error!(%error, statement, "a change of the catalog cannot be taken back in the engine");
            }
        }
    }

    /// Drops what nobody needs any more.
    pub(super) async fn finish(&self, engine: &dyn Engine) {
        for statement in &self.cleanup {
            if let Err(error) = engine.execute(statement).await {
                tracing::error!(%error, statement, "a table or view that is no longer needed cannot be dropped");
            }
        }
    }
}

/// The engine's objects of a plan by name. What is wrong with the new plan refuses the change; the old one is taken as it is.
fn steps(plan: &Plan, strict: bool) -> Result<Vec<Step>, ChangeError> {
    let (steps, diagnostics) = desired(plan);
    if strict && let Some(diagnostic) = diagnostics.first() {
        let text = render::concise(
            std::slice::from_ref(diagnostic),
            plan.project.sources.files(),
        );
        return Err(ChangeError::Invalid(text.trim_end().to_owned()));
    }
    Ok(steps)
}

fn find<'a>(steps: &'a [Step], name: &str) -> Option<&'a Step> {
    steps.iter().find(|step| step.name == name)
}
