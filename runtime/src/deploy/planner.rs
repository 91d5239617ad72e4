//! Project × engine → [`DeployPlan`]. Nothing is changed here but empty tables that are made to be looked at, and gone again.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::deploy::{self as steps, Change, Effect, Method, Step, StepKind};
use pipewright_compiler::graph::Vertex;
use pipewright_compiler::plan::{Plan, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::names;
use super::plan::{Action, Build, DeployPlan, DeployStep, Drop, Estimate, Feed, Size};
use super::run::quarantine;
use super::shape::{create_as, shape, sketch};
use super::views::{Standing, View};
use super::{Actual, ActualTable, DeployError, describe, introspect, views};
use crate::engine::{Engine, EngineError};
use crate::ingest::{Ingest, Mark};

/// Compares a project with what is in the engine. `before` is the project that is in force, where it is known.
pub async fn plan(
    wanted: &Plan,
    before: Option<&Plan>,
    ingest: &Ingest,
) -> Result<DeployPlan, DeployError> {
    let (mut desired, _) = steps::desired(wanted);
    let actual = introspect(ingest.engine(), &wanted.database).await?;
    let uncompiled = steps::uncompiled(wanted);
    // A view that is there would go, and its table would get no rows.
    let gone = uncompiled
        .iter()
        .find(|(name, _)| actual.table(name).is_some());
    if let Some((_, diagnostic)) = gone {
        return Err(DeployError::NotCompiled(describe(wanted, diagnostic)));
    }
    let mut planner = Planner::new(wanted, before, ingest, actual);
    for (name, diagnostic) in &uncompiled {
        planner.leave_out(name, describe(wanted, diagnostic));
    }
    let planned = async {
        planner.without_refused(&mut desired).await?;
        planner.plan(&desired).await
    };
    planned
        .await
        .map_err(|source| DeployError::Introspect { source })?;
    Ok(planner.planned)
}

pub(super) struct Planner<'a> {
    pub(super) wanted: &'a Plan,
    pub(super) before: Option<&'a Plan>,
    pub(super) ingest: &'a Ingest,
    pub(super) engine: &'a dyn Engine,
    pub(super) actual: Actual,
    pub(super) views: Vec<View>,
    /// By target, the views that fill it now, with their queries in canonical form.
    pub(super) present_canonical: BTreeMap<String, Vec<(String, String)>>,
    /// Why the rows of a table stay although its views change.
    pub(super) kept: BTreeMap<String, String>,
    pub(super) planned: DeployPlan,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        wanted: &'a Plan,
        before: Option<&'a Plan>,
        ingest: &'a Ingest,
        actual: Actual,
    ) -> Self {
        Self {
            wanted,
            before,
            ingest,
            engine: ingest.engine(),
            actual,
            views: Vec::new(),
            present_canonical: BTreeMap::new(),
            kept: BTreeMap::new(),
            planned: DeployPlan::default(),
        }
    }
}

impl Planner<'_> {
    async fn plan(&mut self, desired: &[Step]) -> Result<(), EngineError> {
        let database = &self.wanted.database;
        let left_over: Vec<(String, bool)> = self
            .actual
            .left_over(desired, database)
            .into_iter()
            .map(|(name, table)| (name.to_owned(), table.is_view()))
            .collect();
        let mut gone: Vec<String> = left_over
            .iter()
            .filter(|(_, is_view)| !is_view)
            .map(|(name, _)| name.clone())
            .collect();
        self.find_renames(desired, &mut gone).await?;
        self.views = views::find(self, desired).await?;
        self.read_present_queries().await?;
        let changed: BTreeMap<String, Change> = self.changed_tables(desired).await?;
        let databases = desired
            .iter()
            .filter(|step| step.kind == StepKind::CreateDatabase);
        self.planned.blueprint.databases = databases.map(|step| step.sql.clone()).collect();
        self.builds(desired, &changed);
        self.switch_views(desired, &left_over);
        for name in gone {
            self.drop_table(name);
        }
        self.tell_inferred().await;
        Ok(())
    }

    /// The name that a table has now.
    pub(super) fn present(&self, name: &str) -> String {
        self.planned.blueprint.present_name(name).to_owned()
    }

    pub(super) fn size(&self, name: &str) -> Size {
        let table = self.actual.table(&self.present(name));
        table.map_or_else(Size::default, |table| Size {
            rows: table.rows,
            bytes: table.bytes,
        })
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.actual.table(&self.present(name)).is_some()
    }

    /// What differs in the tables that are there. A table of which only the text differs is given its new mark when the new version comes into force.
    async fn changed_tables(
        &mut self,
        desired: &[Step],
    ) -> Result<BTreeMap<String, Change>, EngineError> {
        let mut changed = BTreeMap::new();
        let drifted = self.actual.drifted(desired);
        for step in desired.iter().filter(|step| {
            step.kind == StepKind::CreateTable
                && drifted.contains(&step.name)
                && ResourceName::local(&step.name).to_string() == step.name
                && !step.name.contains('.')
        }) {
            let found = shape(self.engine, &step.name).await?;
            let wanted = match sketch(step, self.engine).await {
                Err(EngineError::Exception { message, .. }) => {
                    self.planned.blueprint.left.insert(step.name.clone());
                    self.leave_out(&step.name, message);
                    continue;
                }
                wanted => wanted?,
            };
            let renamed = self.renamed_columns(&step.name, &found, &wanted);
            let forward = self.forward_query(&step.name).is_some();
            if let Some(change) = steps::change_table(step, &found, &wanted, forward, &renamed) {
                changed.insert(step.name.clone(), change);
            } else {
                let mark = self.mark(step);
                self.planned.blueprint.during.push(mark);
            }
        }
        Ok(changed)
    }

    pub(super) fn forward_query(&self, name: &str) -> Option<String> {
        steps::forward_query(self.wanted, self.before, name)
    }

    /// Gives a table the mark of its new text; taken back it has that of the old one, or nothing would differ for the next deploy.
    fn mark(&self, step: &Step) -> steps::Statement {
        let old = self.actual.table(&step.name).map(ActualTable::comment);
        let undo = old.map(|comment| comment_on(&step.name, comment));
        steps::Statement::new(retag(step), undo)
    }

    fn alter(&mut self, step: &Step, change: Option<&Change>) {
        let Some(Change {
            what,
            effect,
            method:
                Method::Alter {
                    before,
                    during,
                    after,
                },
            ..
        }) = change
        else {
            return;
        };
        let size = self.size(&step.name);
        let estimate = match effect {
            Effect::Nothing => Estimate::default(),
            Effect::Rewrites => Estimate {
                reads: size,
                rewrites: size,
                ..Estimate::default()
            },
            Effect::Destroys => Estimate {
                destroys: size,
                ..Estimate::default()
            },
        };
        let sql = before
            .iter()
            .chain(during)
            .map(|statement| statement.sql.clone())
            .chain(after.iter().cloned())
            .collect();
        let mark = self.mark(step);
        let blueprint = &mut self.planned.blueprint;
        blueprint.before.extend(before.iter().cloned());
        blueprint.during.extend(during.iter().cloned());
        blueprint.during.push(mark);
        blueprint.after.extend(after.iter().cloned());
        blueprint.touched.insert(step.name.clone());
        self.planned.steps.push(DeployStep {
            action: Action::AlterTable,
            name: step.name.clone(),
            from: None,
            what: what.clone(),
            effect: *effect,
            estimate,
            sql,
        });
    }

    /// The steps that make tables, each after those of the tables that it is filled from.
    pub(super) fn in_order<'s>(&self, desired: &'s [Step]) -> Vec<&'s Step> {
        let mut order: Vec<&Step> = Vec::new();
        let tables = || {
            desired
                .iter()
                .filter(|step| step.kind == StepKind::CreateTable)
        };
        for vertex in self.wanted.graph.topological() {
            let Vertex::Datasource(name) = vertex else {
                continue;
            };
            order.extend(tables().find(|step| step.name == name.to_string()));
        }
        let rest: Vec<&Step> = tables()
            .filter(|step| !order.iter().any(|known| known.name == step.name))
            .collect();
        order.extend(rest);
        order
    }

    /// Tables that are new or made anew, each after those that it is filled from.
    fn builds(&mut self, desired: &[Step], changed: &BTreeMap<String, Change>) {
        for step in self.in_order(desired) {
            if self.exists(&step.name) {
                self.change(step, changed.get(&step.name));
            } else {
                self.create(step);
            }
        }
    }

    fn create(&mut self, step: &Step) {
        let direct = self.direct(&step.name);
        let feedings = self.feedings_of_new(&step.name);
        if feedings.is_empty() {
            self.is_partial(&step.name);
            self.planned.blueprint.creates.push(step.clone());
            self.planned.steps.push(DeployStep {
                action: Action::CreateTable,
                name: step.name.clone(),
                from: None,
                what: Vec::new(),
                effect: Effect::Nothing,
                estimate: Estimate::default(),
                sql: vec![step.sql.clone()],
            });
            return;
        }
        let what = vec!["filled with what its views make of the rows that are there".to_owned()];
        self.fill(step, (feedings, direct), false, what, Effect::Nothing);
    }

    fn change(&mut self, step: &Step, change: Option<&Change>) {
        let is_rebuilt =
            change.is_some_and(|change| matches!(change.method, Method::Rebuild { .. }));
        // Before it is asked whether rows have come directly.
        let direct = self.direct(&step.name);
        match self.standing_of(&step.name, is_rebuilt) {
            Standing::Same => {}
            Standing::Kept(why) => {
                self.is_partial(&step.name);
                self.kept.insert(step.name.clone(), why);
            }
            Standing::Filled {
                feedings,
                mut what,
                mut effect,
            } => {
                if let Some(change) = change {
                    what.splice(0..0, change.what.iter().cloned());
                    effect = effect.max(change.effect);
                }
                self.fill(step, (feedings, direct), true, what, effect);
                return;
            }
        }
        match change {
            Some(change) if is_rebuilt => self.rebuild(step, change),
            change => self.alter(step, change),
        }
    }

    /// Notes that what is in a table is not all that its views would make, if there is something of which they would make more.
    fn is_partial(&mut self, name: &str) {
        let has_rows = |trigger: &String| self.size(trigger).rows > 0;
        let mut views = self.views.iter().filter(|view| view.target == name);
        if views.any(|view| view.trigger.as_ref().is_some_and(has_rows)) {
            self.planned.blueprint.partial.insert(name.to_owned());
        }
    }

    /// How often rows have come to a table otherwise than through its views.
    pub(super) fn direct(&self, name: &str) -> u64 {
        self.ingest.marks(Mark::Direct, &self.present(name))
    }

    pub(super) fn fill(
        &mut self,
        step: &Step,
        (feedings, direct): (Vec<super::plan::Feeding>, u64),
        exists: bool,
        what: Vec<String>,
        effect: Effect,
    ) {
        let next = quote_identifier(&names::next(&step.name));
        let mut sql = vec![create_as(step, &step.sql, &names::next(&step.name))];
        let mut reads = Size::default();
        for feeding in &feedings {
            sql.push(format!("INSERT INTO {next}\n{}", feeding.query));
            reads = reads.plus(self.size(&feeding.trigger));
        }
        sql.extend(changing_places(&step.name, exists));
        let size = self.size(&step.name);
        let estimate = Estimate {
            reads,
            rewrites: if exists { size } else { Size::default() },
            destroys: if effect == Effect::Destroys {
                size
            } else {
                Size::default()
            },
        };
        let triggers = feedings.iter().map(|feeding| feeding.trigger.clone());
        self.planned.blueprint.touched.extend(triggers);
        self.built(step, exists, Feed::Views { feedings, direct });
        self.planned.steps.push(DeployStep {
            action: Action::FillTable,
            name: step.name.clone(),
            from: None,
            what,
            effect,
            estimate,
            sql,
        });
    }

    fn rebuild(&mut self, step: &Step, change: &Change) {
        let Method::Rebuild { columns, values } = &change.method else {
            return;
        };
        let (name, next) = (
            quote_identifier(&step.name),
            quote_identifier(&names::next(&step.name)),
        );
        let keeps_rows = self
            .actual
            .table(&step.name)
            .is_some_and(ActualTable::keeps_rows);
        let forward = self.forward_query(&step.name);
        let (feed, insert) = match forward {
            _ if !keeps_rows => (Feed::Nothing, None),
            Some(query) => {
                let insert = format!("INSERT INTO {next}\n{query}");
                (Feed::Forward { query }, Some(insert))
            }
            None => {
                let names: Vec<String> = columns
                    .iter()
                    .map(|column| quote_identifier(column))
                    .collect();
                let insert = format!(
                    "INSERT INTO {next} ({}) SELECT {} FROM {name}",
                    names.join(", "),
                    values.join(", ")
                );
                let feed = Feed::Own {
                    columns: columns.clone(),
                    values: values.clone(),
                };
                (feed, Some(insert))
            }
        };
        let mut sql = vec![create_as(step, &step.sql, &names::next(&step.name))];
        sql.extend(insert);
        sql.extend(changing_places(&step.name, true));
        let size = self.size(&step.name);
        let estimate = Estimate {
            reads: size,
            rewrites: size,
            destroys: if change.effect == Effect::Destroys {
                size
            } else {
                Size::default()
            },
        };
        self.built(step, true, feed);
        self.planned.steps.push(DeployStep {
            action: Action::RebuildTable,
            name: step.name.clone(),
            from: None,
            what: change.what.clone(),
            effect: change.effect,
            estimate,
            sql,
        });
    }

    pub(super) fn built(&mut self, step: &Step, exists: bool, feed: Feed) {
        let table = self.wanted.table(&step.name);
        let blueprint = &mut self.planned.blueprint;
        blueprint.touched.insert(step.name.clone());
        blueprint.builds.push(Build {
            name: step.name.clone(),
            step: step.clone(),
            exists,
            feed,
            keeps_rows: table.is_some_and(TablePlan::keeps_rows),
            heeds_order: table.is_some_and(TablePlan::heeds_order),
        });
    }

    fn drop_table(&mut self, name: String) {
        let quarantine = quarantine(&name);
        let size = self.size(&name).plus(self.size(&quarantine));
        let mut what = vec!["it is gone from the project".to_owned()];
        if self.actual.table(&quarantine).is_some() {
            what.push(format!("`{quarantine}` goes with it"));
        }
        let untaken = self.ingest.untaken();
        if untaken.contains_key(&name) {
            what.push("rows wait for it that the engine has not taken".to_owned());
        }
        let effect = if size.rows > 0 || untaken.contains_key(&name) {
            Effect::Destroys
        } else {
            Effect::Nothing
        };
        self.planned.steps.push(DeployStep {
            action: Action::DropTable,
            name: name.clone(),
            from: None,
            what,
            effect,
            estimate: Estimate {
                destroys: size,
                ..Estimate::default()
            },
            sql: vec![format!("DROP TABLE {} SYNC", quote_identifier(&name))],
        });
        self.planned.blueprint.touched.insert(name.clone());
        self.planned.blueprint.drops.push(Drop {
            name,
            was_empty: effect == Effect::Nothing,
        });
    }
}

fn changing_places(name: &str, exists: bool) -> Vec<String> {
    let (name, next) = (quote_identifier(name), quote_identifier(&names::next(name)));
    if exists {
        vec![
            format!("EXCHANGE TABLES {name} AND {next}"),
            format!("DROP TABLE {next} SYNC"),
        ]
    } else {
        vec![format!("RENAME TABLE {next} TO {name}")]
    }
}

/// The statement after which an object says which text it is of.
pub(crate) fn retag(step: &Step) -> String {
    comment_on(&step.name, &step.comment())
}

fn comment_on(name: &str, comment: &str) -> String {
    format!(
        "ALTER TABLE {} MODIFY COMMENT {}",
        quote_identifier(name),
        quote_literal(comment)
    )
}

/// Names of views that stand in a step's way.
pub(super) fn touching(view: &View, names: &BTreeSet<String>) -> bool {
    names.contains(&view.target)
        || view
            .trigger
            .as_ref()
            .is_some_and(|name| names.contains(name))
}
