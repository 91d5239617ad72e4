//! Tables and columns that are the same under another name.

use std::collections::BTreeMap;

use pipewright_compiler::deploy::{self as steps, Effect, Step, StepKind, TableShape};
use pipewright_compiler::sql::quote_identifier;

use super::plan::{Action, DeployStep, Estimate};
use super::planner::{Planner, retag};
use super::shape::{shape, sketch};
use crate::engine::EngineError;

impl Planner<'_> {
    /// A table that is gone from the project and one that is new are the same under another name when nothing else could be meant: both are the only ones of
    /// their shape, and where it is known from where in a JSON object the columns come, that is the same too.
    pub(super) async fn find_renames(
        &mut self,
        desired: &[Step],
        gone: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let mut pairs: Vec<(&Step, String)> = Vec::new();
        let mut old_shapes = BTreeMap::new();
        for name in gone.iter() {
            old_shapes.insert(name.clone(), shape(self.engine, name).await?);
        }
        for step in desired.iter().filter(|step| {
            step.kind == StepKind::CreateTable && self.actual.table(&step.name).is_none()
        }) {
            if old_shapes.is_empty() {
                break;
            }
            // What follows from a query cannot be made before what the query reads.
            let Ok(new) = sketch(step, self.engine).await else {
                continue;
            };
            for (name, old) in &old_shapes {
                let same = steps::change_table(step, old, &new, false, &BTreeMap::new()).is_none();
                if same && self.same_paths(name, &step.name) {
                    pairs.push((step, name.clone()));
                }
            }
        }
        for (step, from) in &pairs {
            let rivals = pairs
                .iter()
                .filter(|(other, name)| other.name == step.name || name == from)
                .count();
            if rivals > 1 {
                continue;
            }
            gone.retain(|name| name != from);
            let blueprint = &mut self.planned.blueprint;
            blueprint.renames.push((from.clone(), step.name.clone()));
            blueprint.touched.extend([from.clone(), step.name.clone()]);
            let retag = retag(step);
            // Taken back it has the columns, engine and keys of the new text as well.
            blueprint.during.push(steps::Statement::new(retag, None));
            self.planned.steps.push(DeployStep {
                action: Action::RenameTable,
                name: step.name.clone(),
                from: Some(from.clone()),
                what: vec![format!(
                    "`{from}` is gone from the project and `{}` is new, with the same columns, engine and keys: it is taken for the same, and its rows stay",
                    step.name
                )],
                effect: Effect::Nothing,
                estimate: Estimate::default(),
                sql: vec![format!(
                    "RENAME TABLE {} TO {}",
                    quote_identifier(from),
                    quote_identifier(&step.name)
                )],
            });
        }
        Ok(())
    }

    fn same_paths(&self, old: &str, new: &str) -> bool {
        let Some(old) = self.before.and_then(|before| before.table(old)) else {
            return true;
        };
        let paths = |columns: &[pipewright_compiler::plan::Column]| -> Vec<_> {
            columns
                .iter()
                .map(|column| column.json_path.clone())
                .collect()
        };
        self.wanted
            .table(new)
            .is_some_and(|new| paths(&new.columns) == paths(&old.columns))
    }

    /// Columns that are the same under another name: they take their values from the same place of a JSON object.
    pub(super) fn renamed_columns(
        &self,
        name: &str,
        found: &TableShape,
        wanted: &TableShape,
    ) -> BTreeMap<String, String> {
        let tables = self
            .before
            .and_then(|before| Some((before.table(name)?, self.wanted.table(name)?)));
        let Some((old, new)) = tables else {
            return BTreeMap::new();
        };
        let has =
            |shape: &TableShape, name: &str| shape.columns.iter().any(|column| column.name == name);
        let mut renamed = BTreeMap::new();
        for column in new
            .columns
            .iter()
            .filter(|column| !has(found, &column.name) && has(wanted, &column.name))
        {
            let Some(path) = &column.json_path else {
                continue;
            };
            let only = |columns: &[pipewright_compiler::plan::Column]| {
                let mut named = columns
                    .iter()
                    .filter(|column| column.json_path.as_ref() == Some(path));
                let first = named.next().map(|column| column.name.clone());
                first.filter(|_| named.next().is_none())
            };
            let from = only(&old.columns).filter(|from| has(found, from) && !has(wanted, from));
            if let Some(from) = from.filter(|_| only(&new.columns).is_some()) {
                renamed.insert(column.name.clone(), from);
            }
        }
        renamed
    }
}
