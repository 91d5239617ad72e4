//! What a statement may read, in the engine's own words: conditions that every reading of a table is under, however the statement names it.
//!
//! Which tables a statement reads is found out from its text, and rights go by that. A fence holds where a text hides a table from us.

use pipewright_compiler::deploy::view_name;
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Plan, Role};
use pipewright_compiler::project::{PASSING, ResourceName};
use pipewright_compiler::sql::quote_literal;

/// The engine's setting for conditions that every reading of a table is under.
const SETTING: &str = "additional_table_filters";

/// A condition that the engine cannot plan: a statement that reads such a table is refused before it runs.
const REFUSES: &str = "`a condition reads the columns of its data source alone`";

/// Conditions of tables.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Vec<String>);

impl Conditions {
    /// Puts a table under a condition.
    pub(crate) fn add(&mut self, database: &str, table: &str, condition: &str) {
        let key = quote_literal(&format!("{database}.{table}"));
        self.0.push(format!("{key}: {}", quote_literal(condition)));
    }

    /// The setting that says so to the engine; none without conditions.
    pub(crate) fn setting(&self) -> Option<(String, String)> {
        let has_any = !self.0.is_empty();
        has_any.then(|| (SETTING.to_owned(), format!("{{{}}}", self.0.join(", "))))
    }

    /// Puts what is no data source under a condition, as far as a text may name it: through a view the engine shows the rows of its target under no condition but the
    /// view's, and tables for a moment are copies of others.
    pub(crate) fn add_inner(&mut self, plan: &Plan, text: &str, condition: &str) {
        let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
        for node in nodes.filter(|node| matches!(node.role, Role::Materialized { .. })) {
            let view = view_name(&node.id.pipe, &node.id.node);
            if may_name(text, &view) {
                self.add(&plan.database, &view, condition);
            }
        }
        for name in passing(text) {
            self.add(&plan.database, &name, condition);
        }
    }
}

/// Whether a text may name a table: a name can be written otherwise only with escapes.
pub(crate) fn may_name(text: &str, name: &str) -> bool {
    text.contains(name) || text.contains('\\')
}

/// The names of tables for a moment that stand in a text, as they are or with escapes.
fn passing(text: &str) -> Vec<String> {
    let mut names = words(text);
    if text.contains('\\') {
        names.extend(words(&unescaped(text)));
    }
    names.sort();
    names.dedup();
    names
}

fn words(text: &str) -> Vec<String> {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let words = text.split(|sign| !is_sign(sign));
    let passing = words.filter(|word| word.starts_with(PASSING));
    passing.map(ToOwned::to_owned).collect()
}

/// The text with what stands for letters: `\x70` and `\p` for `p`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .strip_prefix('x')
            .and_then(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok());
        rest = match code {
            Some(code) => {
                out.push(char::from(code));
                &after[3..]
            }
            None => after,
        };
    }
    out + rest
}

/// The setting under which a condition of a data source can be planned only where it reads no other table.
pub(crate) fn alone(plan: &Plan, name: &ResourceName, condition: &str) -> Option<(String, String)> {
    let mut conditions = Conditions::default();
    for other in plan.tables.keys() {
        let database = other.workspace.as_deref().unwrap_or(&plan.database);
        if other != name && may_name(condition, &other.name) {
            conditions.add(database, &other.name, REFUSES);
        }
        let quarantine = emit::quarantine_name(other);
        if may_name(condition, &quarantine.name) {
            conditions.add(database, &quarantine.name, REFUSES);
        }
    }
    conditions.add_inner(plan, condition, REFUSES);
    conditions.setting()
}

/// Whether the engine has refused a condition because of [`alone`].
pub(crate) fn is_refused(message: &str) -> bool {
    message.contains(REFUSES.trim_matches('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_for_a_moment_are_found_however_they_are_written() {
        let text = r"SELECT 1 FROM pw_a, `p\x77_b`, db.`\pw_c`, xpw_d, 'pw_e'";
        assert_eq!(passing(text), ["pw_a", "pw_b", "pw_c", "pw_e"]);
        assert!(passing("SELECT 1 FROM events").is_empty());
    }
}
