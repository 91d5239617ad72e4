//! The rules, in the order in which they are tried.

use std::collections::BTreeSet;

use super::change::Change;
use super::{
    Subject, constant_conditions, duplicate_distinct, merge_chains, share_node, useless_order,
};
use crate::project::Config;

/// A rule.
pub struct Rule {
    /// Its name in `--without-rule` and `pipewright.toml`.
    pub name: &'static str,
    /// What it does, why, and when it does not.
    pub page: &'static str,
    pub(super) apply: fn(&Subject<'_>) -> Option<Change>,
}

/// Every rule. A node that is shared must be found before its readers are merged with it.
pub const RULES: &[Rule] = &[
    share_node::RULE,
    constant_conditions::RULE,
    duplicate_distinct::RULE,
    useless_order::RULE,
    merge_chains::RULE,
];

/// The rule of that name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Which rules are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(BTreeSet<&'static str>);

impl Rules {
    /// Every rule.
    pub fn all() -> Self {
        Self(RULES.iter().map(|rule| rule.name).collect())
    }

    /// No rule.
    pub fn none() -> Self {
        Self::default()
    }

    /// One rule alone.
    pub fn only(name: &str) -> Self {
        Self(rule(name).map(|rule| rule.name).into_iter().collect())
    }

    /// As `pipewright.toml` says. On a server that runs beside, which may be of any version, the rules are off unless the file turns them on.
    pub fn of(config: &Config) -> Self {
        let on_server = config.server.clickhouse_url.is_some();
        if !config.optimize.enabled.unwrap_or(!on_server) {
            return Self::none();
        }
        let mut rules = Self::all();
        for name in &config.optimize.without {
            rules.remove(name);
        }
        rules
    }

    /// Turns a rule off; false if there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name);
        rule(name).is_some()
    }

    /// Whether a rule is on.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Whether all are off.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
