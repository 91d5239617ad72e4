//! What a change of the catalog means for the engine: tables and views are made before the change is written, and what nobody needs goes after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipewright_compiler::deploy::{Step, StepKind, desired};
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::emit::quarantine_name;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::ahead::Witness;
use super::{Change, ChangeError, Current, Rename};
use crate::deploy::{Carried, Carry, CarryError, introspect};
use crate::engine::Engine;
use crate::state::State;

/// Statements of one change.
#[derive(Debug, Default)]
pub(super) struct Migration {
    /// Done before the change is written.
    forward: Vec<Carry>,
    /// Run after it is written.
    cleanup: Vec<String>,
    /// The data sources that are no more then.
    gone: Vec<String>,
    /// The views that are made, or get another query or target.
    views: BTreeSet<String>,
}

impl Migration {
    /// From what the engine has to what the plan needs. Tables of data sources that are gone are dropped, tables that differ are left alone unless the change
    /// wants them anew.
    pub(super) async fn plan(
        before: &Arc<Current>,
        after: &Plan,
        change: &Change,
        witness: &Witness<'_>,
    ) -> Result<Self, ChangeError> {
        let (old, new) = (steps(&before.plan, false)?, steps(after, true)?);
        if old == new {
            return Ok(Self::default());
        }
        let actual = introspect(witness.engine, &after.database)
            .await
            .map_err(|error| ChangeError::Engine(error.to_string()))?
            .names();
        let mut migration = Self::default();
        let mut old = old;
        for rename in &change.renames {
            migration.rename(rename, &mut old, after);
        }
        for step in &new {
            let old = find(&old, &step.name);
            let exists = actual.contains(&step.name);
            let is_changed = old.is_none_or(|old| old.sql != step.sql);
            if step.kind == StepKind::CreateMaterializedView && is_changed {
                let anew = change.anew.as_deref();
                super::fits::refuse_misfit((before, after), step, anew, witness).await?;
            }
            match old {
                // Also where it is to have the same columns: its rows go.
                Some(_) if exists && change.anew.as_ref() == Some(&step.name) => {
                    migration.make_anew(step, &actual);
                }
                Some(old) if old.sql == step.sql && exists => {}
                Some(old) if step.kind == StepKind::CreateMaterializedView && exists => {
                    migration.views.insert(step.name.clone());
                    migration.alter_view(old, step);
                }
                _ if step.kind == StepKind::CreateDatabase => {
                    migration.forward.push(Carry::Run {
                        sql: step.sql.clone(),
                        undo: None,
                    });
                }
                _ if exists => {}
                _ => {
                    // Those of tables are passed over where they are looked at.
                    migration.views.insert(step.name.clone());
                    migration.forward.push(Carry::Run {
                        sql: step.sql_with_comment(),
                        undo: step.undo(),
                    });
                }
            }
        }
        // Views go before the tables that they read.
        let gone = old
            .iter()
            .rev()
            .filter(|step| find(&new, &step.name).is_none());
        for step in gone {
            migration.cleanup.extend(step.undo());
            if step.kind == StepKind::CreateTable {
                migration.gone.push(step.name.clone());
            }
        }
        Ok(migration)
    }

    /// Whether tables and views stay as they are.
    pub(super) fn is_nothing(&self) -> bool {
        self.forward.is_empty() && self.cleanup.is_empty()
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
            self.forward.push(Carry::Rename {
                from: from.clone(),
                to: to.clone(),
            });
            if let Some((_, rest)) = step.sql.split_once(&quoted_from) {
                step.sql = format!("CREATE MATERIALIZED VIEW {quoted_to}{rest}");
            }
            step.name = to;
        }
    }

    /// Another table in the place of one: the old one goes when the change is written, and comes back if it is not.
    fn make_anew(&mut self, step: &Step, actual: &BTreeSet<String>) {
        self.forward.push(Carry::Anew(step.clone()));
        let quarantine = quarantine_name(&ResourceName::local(&step.name)).to_string();
        if actual.contains(&quarantine) {
            let quarantine = quote_identifier(&quarantine);
            self.cleanup
                .push(format!("DROP TABLE IF EXISTS {quarantine} SYNC"));
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
                self.forward.push(Carry::Run {
                    sql: format!("ALTER TABLE {name} MODIFY QUERY {query}"),
                    undo: Some(format!("ALTER TABLE {name} MODIFY QUERY {old_query}")),
                });
            }
            // Made with its comment.
            _ => return self.forward.push(Carry::AnotherView(after.clone())),
        }
        let comment = |step: &Step| {
            format!(
                "ALTER TABLE {name} MODIFY COMMENT {}",
                quote_literal(&step.comment())
            )
        };
        self.forward.push(Carry::Run {
            sql: comment(after),
            undo: Some(comment(before)),
        });
    }

    /// Does what comes before the change is written; takes it all back when one thing cannot be done.
    pub(super) async fn carry(
        &self,
        state: &State,
        engine: &dyn Engine,
    ) -> Result<Carried, ChangeError> {
        let carried = Carried::carry(&self.forward, &self.cleanup, &self.gone, (state, engine));
        carried.await.map_err(|error| match error {
            CarryError::Engine(error) => ChangeError::Refused(error.to_string()),
            CarryError::State(error) => error.into(),
            error @ CarryError::Unfinished(_) => ChangeError::Unfinished(error.to_string()),
        })
    }

    /// The views that have not seen the rows of before.
    pub(super) fn views(&self) -> &BTreeSet<String> {
        &self.views
    }

    /// The data sources that are no more when the change is written.
    pub(super) fn gone(&self) -> &[String] {
        &self.gone
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
