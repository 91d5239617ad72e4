//! Why a table would not have the rows that it had after its views have made it anew.

use std::collections::BTreeSet;

use super::names;
use super::plan::{Build, Feed};
use super::planner::Planner;
use super::views::View;
use crate::ingest::Mark;

/// Engines that keep one of the rows with the same key, or none: what a view made of the others is not made again.
const REPLACING: &[&str] = &["Replacing", "Collapsing", "Graphite"];

impl Planner<'_> {
    /// Why rows of a table would be missing after it has been made anew by its views.
    pub(super) fn not_made_again(&self, target: &str, views: &[&View]) -> Vec<String> {
        let mut reasons = self.of_target(target);
        let gone = self.without_successor(target, views);
        reasons.extend(
            gone.iter()
                .map(|view| format!("what `{view}` made, which goes, is not made anew")),
        );
        for trigger in triggers(views) {
            reasons.extend(self.of_trigger(target, trigger));
        }
        reasons
    }

    /// What was done to the table itself.
    fn of_target(&self, target: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        let present = self.present(target);
        let filled = self.ingest.marked(Mark::Filled, &present);
        if self.ingest.marked(Mark::Direct, &present).is_some() {
            reasons.push(format!(
                "rows came to `{target}` otherwise than through its views, and cannot be made anew; FORWARD_QUERY or DEPLOYMENT_METHOD alter keep them"
            ));
        }
        let rewritten = self.ingest.marked(Mark::Rewritten, &present);
        if rewritten.is_some_and(|at| filled.is_none_or(|filled| at >= filled)) {
            reasons.push(format!(
                "rows were taken away from `{target}`, and come back when it is made anew; FORWARD_QUERY or DEPLOYMENT_METHOD alter leave it as it is"
            ));
        }
        reasons
    }

    /// What happened to what a view reads.
    fn of_trigger(&self, target: &str, trigger: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        let is_replaced = |build: &Build| {
            matches!(
                build.feed,
                Feed::Replaced {
                    condition: None,
                    ..
                }
            )
        };
        if self
            .planned
            .blueprint
            .build(trigger)
            .is_some_and(is_replaced)
        {
            // Nothing of what it had is to be made again.
            return reasons;
        }
        let old = self.present(trigger);
        let filled = self.ingest.marked(Mark::Filled, &self.present(target));
        let rewritten = self.ingest.marked(Mark::Rewritten, &old);
        if rewritten.is_some_and(|at| filled.is_none_or(|filled| at >= filled)) {
            reasons.push(format!(
                "rows were taken away from `{trigger}` that `{target}` may still count"
            ));
        }
        let Some(table) = self.actual.table(&old) else {
            return reasons;
        };
        if table.create_table_query.contains(" TTL ") {
            reasons.push(format!(
                "`{trigger}` has a TTL: what it no longer has cannot be made anew"
            ));
        }
        if REPLACING.iter().any(|kind| table.engine.contains(kind)) {
            reasons.push(format!(
                "`{trigger}` merges rows with the same key ({}): those that it no longer has are not counted again",
                table.engine
            ));
        }
        reasons
    }

    /// What is to be known of sources that add rows with the same key up. Sums of them stay what they are.
    pub(super) fn merged_before(&self, views: &[&View]) -> Vec<String> {
        let adds_up = |trigger: &&str| {
            let table = self.actual.table(&self.present(trigger));
            let engine = table.map_or("", |table| table.engine.as_str());
            engine.ends_with("MergeTree")
                && ["Summing", "Aggregating", "Coalescing"]
                    .iter()
                    .any(|kind| engine.contains(kind))
        };
        let triggers = triggers(views);
        let merged = triggers.iter().filter(|trigger| adds_up(trigger));
        merged
            .map(|trigger| {
                format!(
                    "`{trigger}` merges rows with the same key: a sum over them stays the same, a count of them does not"
                )
            })
            .collect()
    }

    /// The views into a table that go, and in whose place no new one follows the same source.
    fn without_successor(&self, target: &str, views: &[&View]) -> Vec<String> {
        let present = self.present_canonical.get(target);
        let present: Vec<&(String, String)> = present.into_iter().flatten().collect();
        let is_wanted = |name: &str, query: &str| {
            views
                .iter()
                .any(|view| view.step.name == name || view.canonical == query)
        };
        let follows_too = |name: &str| {
            let followed = self.followed_by(name);
            let is_new = |view: &&&View| !present.iter().any(|(there, _)| *there == view.step.name);
            views.iter().filter(is_new).any(|view| {
                let trigger = view.trigger.as_deref();
                trigger.is_some_and(|trigger| followed.contains(&self.present(trigger)))
            })
        };
        present
            .iter()
            .filter(|(name, query)| !is_wanted(name, query) && !follows_too(name))
            .filter(|(name, _)| !names::is_passing(name))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

fn triggers<'a>(views: &[&'a View]) -> BTreeSet<&'a str> {
    views
        .iter()
        .filter_map(|view| view.trigger.as_deref())
        .collect()
}
