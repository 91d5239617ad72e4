//! Rows that take the place of others in a data source that views read: all that follows from it is made anew beside what is there, and changes places with it in
//! the same moment. A deploy of the same version, as it were.

use std::collections::BTreeSet;

use pipewright_compiler::deploy::{self as steps, Effect, Step, StepKind};
use pipewright_compiler::plan::Plan;

use super::plan::{DeployPlan, Feed};
use super::planner::{Planner, touching};
use super::views::{self, Standing};
use super::{DeployError, introspect};
use crate::engine::EngineError;
use crate::ingest::Ingest;

/// What takes the place of what.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'a> {
    /// The data source.
    pub name: &'a str,
    /// The table that holds the new rows, which has the same columns.
    pub staging: &'a str,
    /// Which rows go, and which of the new ones come; all of them where nothing is said.
    pub condition: Option<&'a str>,
}

/// How rows are replaced with all that follows from them, by the version that is in force.
pub async fn plan_replacement(
    plan: &Plan,
    ingest: &Ingest,
    replacement: Replacement<'_>,
) -> Result<DeployPlan, DeployError> {
    let (desired, _) = steps::desired(plan);
    let actual = introspect(ingest.engine(), &plan.database).await?;
    let mut planner = Planner::new(plan, Some(plan), ingest, actual);
    let planned = planner.replace(&desired, replacement).await;
    planned
        .map_err(|source| DeployError::Introspect { source })?
        .map_err(|why| DeployError::Follows {
            name: replacement.name.to_owned(),
            why,
        })?;
    Ok(planner.planned)
}

impl Planner<'_> {
    /// Plans it; inside, why it cannot be.
    async fn replace(
        &mut self,
        desired: &[Step],
        replacement: Replacement<'_>,
    ) -> Result<Result<(), String>, EngineError> {
        self.views = views::find(self, desired).await?;
        self.read_present_queries().await?;
        for step in self.in_order(desired) {
            if step.name == replacement.name {
                let feed = Feed::Replaced {
                    staging: replacement.staging.to_owned(),
                    condition: replacement.condition.map(ToOwned::to_owned),
                };
                self.built(step, true, feed);
            } else if self.follows(&step.name)
                && let Err(why) = self.make_anew(step)
            {
                return Ok(Err(why));
            }
        }
        let builds = self.planned.blueprint.builds.iter();
        let moved: BTreeSet<String> = builds.map(|build| build.name.clone()).collect();
        self.views.retain(|view| touching(view, &moved));
        let views = self.views.iter().map(|view| view.step.name.as_str());
        let touched: BTreeSet<&str> = views.chain(moved.iter().map(String::as_str)).collect();
        let is_touched = |step: &&Step| {
            step.kind != StepKind::CreateDatabase && touched.contains(step.name.as_str())
        };
        let concerned: Vec<Step> = desired.iter().filter(is_touched).cloned().collect();
        if let Some(name) = self.actual.drifted(&concerned).first() {
            return Ok(Err(format!(
                "`{name}` is another one in the engine than in its file, and would be changed with it: deploy first"
            )));
        }
        self.switch_views(&concerned, &[]);
        Ok(Ok(()))
    }

    /// Whether a view puts what follows from a new table into this one.
    fn follows(&self, target: &str) -> bool {
        let is_built = |name: &str| self.planned.blueprint.build(name).is_some();
        let mut views = self.views.iter().filter(|view| view.target == target);
        views.any(|view| view.trigger.as_deref().is_some_and(is_built))
    }

    fn make_anew(&mut self, step: &Step) -> Result<(), String> {
        let target = &step.name;
        let direct = self.direct(target);
        match self.standing_of(target, false) {
            Standing::Same => Ok(()),
            Standing::Kept(why) => Err(format!("`{target}` follows from it, and {why}")),
            Standing::Filled {
                what,
                effect: Effect::Destroys,
                ..
            } => {
                // Without what a deploy can do about it.
                let sentences = what.iter().filter_map(|what| what.split("; ").next());
                let why = sentences.filter(|why| !why.ends_with("is made anew"));
                let why: Vec<&str> = why.collect();
                Err(format!("`{target}` follows from it; {}", why.join("; ")))
            }
            Standing::Filled {
                feedings,
                what,
                effect,
            } if !self.ingest.is_partial(target) => {
                self.fill(step, (feedings, direct), true, what, effect);
                Ok(())
            }
            Standing::Filled { .. } => Err(format!(
                "`{target}` follows from it, and a view was made, changed or populated without all rows that were there: they would come to `{target}` now; a populate with `truncate=true` lets them"
            )),
        }
    }
}
