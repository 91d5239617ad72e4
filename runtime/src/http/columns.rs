//! Names right of an `IN` of which the engine has said that no table has them: they are columns, or expressions of the statement.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipewright_compiler::plan::Plan;

/// So long the engine's word holds: somebody else may make a table on a server of its own.
const HOLDS: Duration = Duration::from_secs(10);

/// So many names are kept: they come from queries of anybody.
const MOST: usize = 1_000;

/// The names, for the plan that is in force.
#[derive(Debug, Default)]
pub(super) struct Columns {
    of: Option<(Arc<Plan>, Instant)>,
    names: BTreeSet<String>,
}

impl Columns {
    fn holds_for(&self, plan: &Arc<Plan>) -> bool {
        let of = self.of.as_ref();
        of.is_some_and(|(known, since)| Arc::ptr_eq(known, plan) && since.elapsed() < HOLDS)
    }

    /// Whether all these are known to be no tables.
    pub(super) fn knows(&self, plan: &Arc<Plan>, names: &BTreeSet<String>) -> bool {
        self.holds_for(plan) && names.is_subset(&self.names)
    }

    /// With these as well.
    pub(super) fn with(&self, plan: &Arc<Plan>, names: &BTreeSet<String>) -> Self {
        if self.holds_for(plan) && self.names.len() < MOST {
            let names = self.names.union(names).cloned().collect();
            let of = self.of.clone();
            return Self { of, names };
        }
        Self {
            of: Some((Arc::clone(plan), Instant::now())),
            names: names.clone(),
        }
    }
}
