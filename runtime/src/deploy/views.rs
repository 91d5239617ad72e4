//! Views: which of them change, what they follow, and what that means for the tables that they fill.

use std::collections::BTreeSet;

use pipewright_compiler::deploy::{Effect, Step, StepKind, view_name};
use pipewright_compiler::emit;
use pipewright_compiler::plan::Role;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::names;
use super::plan::{Action, Build, DeployStep, Estimate, Feed, Feeding};
use super::planner::{Planner, touching};
use crate::engine::EngineError;
use crate::engine::ask::lines;

/// A view of the new version.
#[derive(Debug)]
pub(super) struct View {
    pub(super) step: Step,
    /// The data source that it fills.
    pub(super) target: String,
    /// The data source whose inserts it follows; nothing when that is none of the project's own.
    pub(super) trigger: Option<String>,
    pub(super) query: String,
    /// The query in canonical form.
    pub(super) canonical: String,
    /// Whether the project wants it to change without a look at the rows of before.
    in_place: bool,
}

/// What is to become of the rows of a table that views fill.
#[derive(Debug)]
pub(super) enum Standing {
    /// The views make the same rows as before.
    Same,
    /// The views make others from now on; what is there stays, for this reason.
    Kept(String),
    /// All is made anew.
    Filled {
        feedings: Vec<Feeding>,
        what: Vec<String>,
        effect: Effect,
    },
}

/// The views of the new version.
pub(super) async fn find(
    planner: &Planner<'_>,
    desired: &[Step],
) -> Result<Vec<View>, EngineError> {
    let mut views = Vec::new();
    for step in desired
        .iter()
        .filter(|step| step.kind == StepKind::CreateMaterializedView)
    {
        let nodes = planner.wanted.pipes.values().flat_map(|pipe| &pipe.nodes);
        let found = nodes.into_iter().find_map(|node| match &node.role {
            Role::Materialized { target }
                if view_name(&node.id.pipe, &node.id.node) == step.name =>
            {
                Some((node.id.clone(), target.to_string()))
            }
            _ => None,
        });
        let Some((node, target)) = found else {
            continue;
        };
        let Ok(compiled) = emit::view_sql(planner.wanted, &node) else {
            continue;
        };
        let read: BTreeSet<String> = compiled
            .datasources
            .iter()
            .filter(|name| name.workspace.is_none())
            .map(|name| name.name.clone())
            .collect();
        let query = compiled.sql.into_text();
        let pipe = planner.wanted.project.pipes.get(&node.pipe);
        let directives = pipe
            .and_then(|pipe| pipe.node(&node.node))
            .map_or(&[][..], |node| &node.directives);
        let in_place = directives.iter().any(|directive| {
            directive.keyword.value == "DEPLOYMENT_METHOD"
                && directive.value.value.eq_ignore_ascii_case("alter")
        });
        views.push(View {
            trigger: trigger(planner, &step.name, &query, &read).await?,
            canonical: planner.canonical(step, &query).await?,
            step: step.clone(),
            target,
            query,
            in_place,
        });
    }
    Ok(views)
}

/// The data source whose inserts a view with this query follows.
async fn trigger(
    planner: &Planner<'_>,
    view: &str,
    query: &str,
    read: &BTreeSet<String>,
) -> Result<Option<String>, EngineError> {
    if read.len() < 2 {
        return Ok(read.first().cloned());
    }
    let probe = names::probe(view);
    let (probe, beside) = (
        quote_identifier(&probe),
        quote_identifier(&format!("{}_to", names::probe(view))),
    );
    let drop = [
        format!("DROP VIEW IF EXISTS {probe} SYNC"),
        format!("DROP TABLE IF EXISTS {beside} SYNC"),
    ];
    let engine = planner.engine;
    for sql in &drop {
        engine.execute(sql).await?;
    }
    // Rows that come in this moment are seen by a view that wants none and writes nowhere.
    let made = async {
        engine
            .execute(&format!(
                "CREATE TABLE {beside} ENGINE = Null EMPTY AS\n{query}"
            ))
            .await?;
        engine
            .execute(&format!(
                "CREATE MATERIALIZED VIEW {probe} TO {beside} AS\nSELECT * FROM (\n{query}\n) WHERE 0"
            ))
            .await?;
        lines(
            engine,
            &format!(
                "SELECT name FROM system.tables WHERE database = currentDatabase() AND has(dependencies_table, {})",
                quote_literal(&names::probe(view))
            ),
        )
        .await
    }
    .await;
    for sql in &drop {
        engine.execute(sql).await?;
    }
    let renamed = |name: &String| {
        let renames = &planner.planned.blueprint.renames;
        renames
            .iter()
            .find(|(from, _)| from == name)
            .map_or_else(|| name.clone(), |(_, to)| to.clone())
    };
    if let Ok(followed) = made {
        let found = followed
            .iter()
            .map(renamed)
            .find(|name| read.contains(name));
        return Ok(found);
    }
    // The query needs columns or tables that are not there yet: the one that stands first in it is the one, as a rule; the engine's view has the last word.
    let place = |name: &String| {
        query
            .find(&quote_identifier(name))
            .or_else(|| query.find(name.as_str()))
    };
    Ok(read
        .iter()
        .filter_map(|name| Some((place(name)?, name)))
        .min()
        .map(|(_, name)| name.clone()))
}

impl Planner<'_> {
    fn views_of(&self, target: &str) -> Vec<&View> {
        self.views
            .iter()
            .filter(|view| view.target == target)
            .collect()
    }

    fn skips_backfill(&self, name: &str) -> bool {
        let directive = self
            .wanted
            .project
            .datasource(name)
            .and_then(|datasource| datasource.syntax.directive("BACKFILL"));
        directive.is_some_and(|directive| directive.value.value.eq_ignore_ascii_case("skip"))
    }

    /// Whether a table keeps rows that views can be run over: the one that is there, or the one that it becomes.
    fn keeps_rows(&self, name: &str) -> bool {
        match self.planned.blueprint.build(name) {
            Some(build) => build.keeps_rows && !matches!(build.feed, Feed::Nothing),
            None => self
                .actual
                .table(&self.present(name))
                .is_some_and(super::introspect::ActualTable::keeps_rows),
        }
    }

    /// Whether a view can be run over the rows of before.
    fn has_rows(&self, view: &View) -> bool {
        let trigger = view.trigger.as_deref();
        trigger.is_some_and(|trigger| self.keeps_rows(trigger))
    }

    fn feeding(view: &View) -> Option<Feeding> {
        Some(Feeding {
            trigger: view.trigger.clone()?,
            query: view.query.clone(),
        })
    }

    /// What fills a table that is not there yet with the rows of before; nothing when there are none.
    pub(super) fn feedings_of_new(&self, target: &str) -> Vec<Feeding> {
        if self.skips_backfill(target) {
            return Vec::new();
        }
        let has_rows = |view: &&View| {
            let Some(trigger) = &view.trigger else {
                return false;
            };
            let is_built = self.planned.blueprint.build(trigger).is_some();
            self.has_rows(view) && (is_built || self.size(trigger).rows > 0)
        };
        self.views_of(target)
            .into_iter()
            .filter(has_rows)
            .filter_map(Self::feeding)
            .collect()
    }

    /// What becomes of the rows of a table that is there.
    pub(super) fn standing_of(&self, target: &str, rebuilt: bool) -> Standing {
        let views = self.views_of(target);
        let present = self.present_canonical.get(target);
        let known: BTreeSet<&str> = present
            .into_iter()
            .flatten()
            .map(|(_, query)| query.as_str())
            .collect();
        let others: Vec<&&View> = views
            .iter()
            .filter(|view| !known.contains(view.canonical.as_str()))
            .collect();
        let made_anew = |view: &View| {
            let build = view
                .trigger
                .as_ref()
                .and_then(|trigger| self.planned.blueprint.build(trigger));
            let is_anew = |feed: &Feed| matches!(feed, Feed::Views { .. } | Feed::Replaced { .. });
            build.is_some_and(|build| build.exists && is_anew(&build.feed))
        };
        let follows: Vec<String> = views
            .iter()
            .filter(|view| made_anew(view))
            .filter_map(|view| view.trigger.clone())
            .collect();
        if others.is_empty() && follows.is_empty() {
            return Standing::Same;
        }
        let wanted: BTreeSet<&str> = views.iter().map(|view| view.canonical.as_str()).collect();
        let replaced = known.iter().any(|query| !wanted.contains(query));
        if follows.is_empty() && !replaced {
            return Standing::Kept(
                "the rows of before are not put into it: `pipewright materialization populate` does that"
                    .to_owned(),
            );
        }
        let keeps_rows = pipewright_compiler::plan::TablePlan::keeps_rows;
        if !self.wanted.table(target).is_some_and(keeps_rows) {
            return Standing::Kept(format!(
                "`{target}` keeps no rows, and what was made of them stays as it is"
            ));
        }
        if self.skips_backfill(target) {
            return Standing::Kept("its rows stay as they are: BACKFILL skip".to_owned());
        }
        if follows.is_empty() && others.iter().all(|view| view.in_place) {
            return Standing::Kept("its rows stay as they are: DEPLOYMENT_METHOD alter".to_owned());
        }
        if self.forward_query(target).is_some() {
            let why = if rebuilt {
                "its rows go through FORWARD_QUERY"
            } else {
                "its rows stay as they are: it has a FORWARD_QUERY"
            };
            return Standing::Kept(why.to_owned());
        }
        if let Some(view) = views.iter().find(|view| !self.has_rows(view)) {
            let source = view.trigger.as_deref().unwrap_or("another store");
            return Standing::Kept(format!(
                "its rows stay as they are: `{source}` keeps none to make them anew from"
            ));
        }
        let mut what: Vec<String> = others
            .iter()
            .map(|view| format!("view `{}` has another query", view.step.name))
            .collect();
        what.extend(
            follows
                .iter()
                .map(|name| format!("`{name}`, which it follows, is made anew")),
        );
        let lost = self.not_made_again(target, &views);
        let effect = if lost.is_empty() {
            Effect::Rewrites
        } else {
            Effect::Destroys
        };
        what.extend(lost);
        what.extend(self.merged_before(&views));
        Standing::Filled {
            feedings: views.into_iter().filter_map(Self::feeding).collect(),
            what,
            effect,
        }
    }

    /// Which views go for the moment in which tables change places, and which come.
    pub(super) fn switch_views(&mut self, desired: &[Step], left_over: &[(String, bool)]) {
        let blueprint = &self.planned.blueprint;
        let moved: BTreeSet<String> = blueprint
            .builds
            .iter()
            .map(|build| build.name.clone())
            .chain(
                blueprint
                    .renames
                    .iter()
                    .flat_map(|(from, to)| [from.clone(), to.clone()]),
            )
            .collect();
        let drifted = self.actual.drifted(desired);
        let mut steps = Vec::new();
        let (mut old_views, mut new_views, mut touched) = (Vec::new(), Vec::new(), BTreeSet::new());
        for view in &self.views {
            let there = self.actual.table(&view.step.name);
            let changes = drifted.contains(&view.step.name);
            if there.is_some() && !changes && !touching(view, &moved) {
                continue;
            }
            touched.insert(view.target.clone());
            touched.extend(view.trigger.clone());
            if let Some(there) = there {
                old_views.push((view.step.name.clone(), there.create_table_query.clone()));
                touched.extend(there.target());
            }
            new_views.push(view.step.clone());
            if there.is_some() && !changes {
                continue;
            }
            let same = self
                .present_canonical
                .get(&view.target)
                .is_some_and(|queries| queries.iter().any(|(_, query)| *query == view.canonical));
            if there.is_some() && same {
                // Another text for the same query.
                continue;
            }
            let mut what = Vec::new();
            what.extend(self.kept.get(&view.target).cloned());
            steps.push(DeployStep {
                action: if there.is_some() {
                    Action::ChangeView
                } else {
                    Action::CreateView
                },
                name: view.step.name.clone(),
                from: None,
                what,
                effect: Effect::Nothing,
                estimate: Estimate::default(),
                sql: vec![view.step.sql.clone()],
            });
        }
        for (name, _) in left_over.iter().filter(|(_, is_view)| *is_view) {
            let Some(there) = self.actual.table(name) else {
                continue;
            };
            touched.extend(there.target());
            touched.extend(self.followed_by(name));
            old_views.push((name.clone(), there.create_table_query.clone()));
            let fills_anew = |build: &Build| {
                matches!(build.feed, Feed::Views { .. })
                    && there.target().as_deref() == Some(blueprint.present_name(&build.name))
            };
            let what = if blueprint.builds.iter().any(fills_anew) {
                "it is gone from the project"
            } else {
                "it is gone from the project; what it has made stays"
            };
            steps.push(DeployStep {
                action: Action::DropView,
                name: name.clone(),
                from: None,
                what: vec![what.to_owned()],
                effect: Effect::Nothing,
                estimate: Estimate::default(),
                sql: vec![format!("DROP VIEW {} SYNC", quote_identifier(name))],
            });
        }
        self.planned.steps.append(&mut steps);
        let blueprint = &mut self.planned.blueprint;
        blueprint.old_views = old_views;
        blueprint.new_views = new_views;
        blueprint.touched.append(&mut touched);
    }

    /// The tables whose inserts a view follows now.
    pub(super) fn followed_by(&self, view: &str) -> Vec<String> {
        self.actual
            .names()
            .into_iter()
            .filter(|name| {
                self.actual
                    .table(name)
                    .is_some_and(|table| table.dependencies_table.iter().any(|found| found == view))
            })
            .collect()
    }
}
