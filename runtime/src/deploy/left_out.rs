//! What a deploy does without: tables that the engine does not make, and views that read or fill them.

use std::collections::BTreeSet;

use pipewright_compiler::deploy::{Effect, Step, StepKind, view_name};
use pipewright_compiler::emit;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::Role;
use pipewright_compiler::project::ResourceName;

use super::file_of;
use super::plan::{Action, DeployStep, Estimate};
use super::planner::Planner;
use super::shape::sketch;
use crate::engine::EngineError;

impl Planner<'_> {
    /// Says that something is not made, and why.
    pub(super) fn leave_out(&mut self, name: &str, why: String) {
        let why = match file_of(self.wanted, name) {
            Some(file) if !why.contains(file) => format!("{file}: {why}"),
            _ => why,
        };
        self.planned.steps.push(DeployStep {
            action: Action::LeaveOut,
            name: name.to_owned(),
            from: None,
            what: vec![why],
            effect: Effect::Nothing,
            estimate: Estimate::default(),
            sql: Vec::new(),
        });
    }

    /// Takes those new tables out that the engine refuses to make, with the views that need them.
    pub(super) async fn without_refused(
        &mut self,
        desired: &mut Vec<Step>,
    ) -> Result<(), EngineError> {
        let mut refused: BTreeSet<String> = BTreeSet::new();
        let mut kept = Vec::with_capacity(desired.len());
        for step in std::mem::take(desired) {
            let is_new = self.actual.table(&step.name).is_none()
                && ResourceName::local(&step.name).to_string() == step.name
                && !step.name.contains('.');
            let why = match step.kind {
                _ if !is_new => None,
                StepKind::CreateDatabase => None,
                StepKind::CreateTable if self.made_by(&step.name).is_none() => {
                    match sketch(&step, self.engine).await {
                        Ok(_) => None,
                        Err(EngineError::Exception { message, .. }) => Some(message),
                        Err(error) => return Err(error),
                    }
                }
                _ => self
                    .needed(&step)
                    .into_iter()
                    .find(|name| refused.contains(name))
                    .map(|name| format!("it needs `{name}`")),
            };
            match why {
                None => kept.push(step),
                Some(why) => {
                    self.leave_out(&step.name, why);
                    refused.insert(step.name);
                }
            }
        }
        *desired = kept;
        Ok(())
    }

    fn made_by(&self, table: &str) -> Option<&NodeId> {
        self.wanted.table(table)?.made_by.as_ref()
    }

    /// The data sources that a view, or a table that follows from its query, cannot be made without.
    fn needed(&self, step: &Step) -> Vec<String> {
        let nodes = self.wanted.pipes.values().flat_map(|pipe| &pipe.nodes);
        let found = nodes.into_iter().find_map(|node| match &node.role {
            Role::Materialized { target } => {
                let is_view = view_name(&node.id.pipe, &node.id.node) == step.name;
                let is_table = self.made_by(&step.name) == Some(&node.id);
                (is_view || is_table).then_some((&node.id, is_view.then(|| target.to_string())))
            }
            _ => None,
        });
        let Some((node, target)) = found else {
            return Vec::new();
        };
        let read = emit::default_sql(self.wanted, node).map(|compiled| compiled.datasources);
        let read = read.unwrap_or_default();
        read.iter().map(ToString::to_string).chain(target).collect()
    }
}
