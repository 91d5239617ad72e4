//! What a deploy does: typed steps for people and machines, and the work behind them.
//!
//! The steps are what is printed, the blueprint is what is run; both are made at once by [`super::plan()`], from the same findings.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::deploy::{Effect, Statement, Step};
use serde::{Deserialize, Serialize};

/// What a deploy does, in order.
#[derive(Debug, Default, Serialize)]
pub struct DeployPlan {
    /// The steps.
    pub steps: Vec<DeployStep>,
    #[serde(skip)]
    pub(super) blueprint: Blueprint,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A table that is not there yet.
    CreateTable,
    /// A table or view that cannot be made: the rest is deployed without it.
    LeaveOut,
    /// A table is altered in place.
    AlterTable,
    /// A new table is filled from the old one and takes its place.
    RebuildTable,
    /// A new table is filled by the views that fill the data source, from what they read, and takes the old one's place.
    FillTable,
    /// A table gets another name.
    RenameTable,
    /// A view that is not there yet.
    CreateView,
    /// A view gets another query.
    ChangeView,
    /// A view goes.
    DropView,
    /// A table goes.
    DropTable,
    /// Another system is connected.
    Connect,
}

impl Action {
    /// The action in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::CreateTable => "create table",
            Self::AlterTable => "alter table",
            Self::RebuildTable => "rebuild table",
            Self::FillTable => "fill table",
            Self::RenameTable => "rename table",
            Self::CreateView => "create view",
            Self::ChangeView => "change view",
            Self::DropView => "drop view",
            Self::DropTable => "drop table",
            Self::LeaveOut => "leave out",
            Self::Connect => "connect",
        }
    }
}

/// Rows and their bytes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Size {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What a step costs, by what is there now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// What is read.
    pub reads: Size,
    /// What is written anew, at most.
    pub rewrites: Size,
    /// What is not there any more afterwards.
    pub destroys: Size,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployStep {
    /// What it does.
    pub action: Action,
    /// The table or view.
    pub name: String,
    /// Its name until now, where it gets another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What changes, and why, in words.
    pub what: Vec<String>,
    /// What it does to rows.
    pub effect: Effect,
    /// What it costs.
    pub estimate: Estimate,
    /// The statements. Large tables are filled by more than one of their kind, partition by partition.
    pub sql: Vec<String>,
}

impl DeployPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.action == Action::LeaveOut)
    }

    /// What is not made, with why.
    pub fn left_out(&self) -> BTreeMap<String, String> {
        let left = self.steps.iter();
        let left = left.filter(|step| step.action == Action::LeaveOut);
        left.map(|step| (step.name.clone(), step.what.join("; ")))
            .collect()
    }

    /// Steps that take values or rows away.
    pub fn destructive(&self) -> Vec<&DeployStep> {
        destructive(&self.steps)
    }
}

/// Steps that take values or rows away.
pub fn destructive(steps: &[DeployStep]) -> Vec<&DeployStep> {
    steps
        .iter()
        .filter(|step| step.effect == Effect::Destroys)
        .collect()
}

/// The work behind the steps.
#[derive(Debug, Default)]
pub(super) struct Blueprint {
    /// Databases of other workspaces, made if they are not there.
    pub(super) databases: Vec<String>,
    /// Tables that begin empty.
    pub(super) creates: Vec<Step>,
    /// Statements that the old version does not notice.
    pub(super) before: Vec<Statement>,
    /// Tables that are made beside others and take their places, each after those that it is filled from.
    pub(super) builds: Vec<Build>,
    /// Tables that get other names: from, to.
    pub(super) renames: Vec<(String, String)>,
    /// Views that are not there when tables change places: name, and the statement that makes each as it is.
    pub(super) old_views: Vec<(String, String)>,
    /// Views that are there afterwards.
    pub(super) new_views: Vec<Step>,
    /// Statements of a moment, run while nobody reads or writes.
    pub(super) during: Vec<Statement>,
    /// Statements that the old version would notice.
    pub(super) after: Vec<String>,
    /// Tables that go at the end.
    pub(super) drops: Vec<Drop>,
    /// The data sources that may get no rows in the moment in which the new version comes into force.
    pub(super) touched: BTreeSet<String>,
    /// Tables that stay other ones than the new version says, as the engine does not make those.
    pub(super) left: BTreeSet<String>,
    /// Data sources that have not all that their views would make of the rows that are there.
    pub(super) partial: BTreeSet<String>,
}

impl Blueprint {
    /// The present name of a table that the new version calls so.
    pub(super) fn present_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.renames
            .iter()
            .find(|(_, to)| to == name)
            .map_or(name, |(from, _)| from)
    }

    pub(super) fn build(&self, name: &str) -> Option<&Build> {
        self.builds.iter().find(|build| build.name == name)
    }
}

/// A table that goes, with its quarantine.
#[derive(Debug)]
pub(super) struct Drop {
    pub(super) name: String,
    /// Whether nothing was in it, so that nobody was asked.
    pub(super) was_empty: bool,
}

/// A table that is made beside another.
#[derive(Debug)]
pub(super) struct Build {
    /// The data source.
    pub(super) name: String,
    /// What makes the table.
    pub(super) step: Step,
    /// Whether there is one whose place it takes.
    pub(super) exists: bool,
    /// Where its rows come from.
    pub(super) feed: Feed,
    /// Whether it keeps what is put into it.
    pub(super) keeps_rows: bool,
    /// Whether rows have to come to it in the order in which they came to what they are read from.
    pub(super) heeds_order: bool,
}

/// Where the rows of a new table come from.
#[derive(Debug)]
pub(super) enum Feed {
    /// Nowhere: the old one keeps none.
    Nothing,
    /// From the old one, column by column.
    Own {
        columns: Vec<String>,
        values: Vec<String>,
    },
    /// From the old one, by the project's own query.
    Forward { query: String },
    /// From a table beside it that has the new rows; those of the old one that stay are the ones that a condition does not name.
    Replaced {
        staging: String,
        condition: Option<String>,
    },
    /// From what the views of the data source read.
    Views {
        feedings: Vec<Feeding>,
        /// How often rows had come to it otherwise than through its views when that was decided: those that come later would be lost.
        direct: u64,
    },
}

/// A view that fills a table.
#[derive(Debug, Clone)]
pub(super) struct Feeding {
    /// The data source whose inserts it follows, in the new version.
    pub(super) trigger: String,
    /// Its query.
    pub(super) query: String,
}
