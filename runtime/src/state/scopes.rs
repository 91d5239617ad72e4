//! What tokens may do with resources that get other names or go: it changes in the transaction that writes the resources, so that no name is ever free for
//! another resource while a token still has rights to it.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};
use serde_json::Value;

use super::StateError;
use super::tokens::declarations;

/// New names by old ones; no name for what is gone.
pub type Fates = BTreeMap<String, Option<String>>;

/// What becomes of the resources that scopes are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeChanges {
    /// Pipes.
    pub pipes: Fates,
    /// Data sources.
    pub datasources: Fates,
}

impl ScopeChanges {
    /// Changes the scopes of all tokens. What was changed is noted for [`take_back`], in the place of what was noted before.
    pub(super) fn run(&self, transaction: &Transaction<'_>) -> Result<(), StateError> {
        transaction.execute("DELETE FROM token_scopes_before", [])?;
        if self.pipes.is_empty() && self.datasources.is_empty() {
            return Ok(());
        }
        for (id, _, scopes, declared) in declarations(transaction)? {
            let after = (self.applied(&scopes), self.applied(&declared));
            if (&scopes, &declared) == (&after.0, &after.1) {
                continue;
            }
            let [scopes, declared, scopes_after, declared_after] =
                [scopes, declared, after.0, after.1].map(|all| Value::from(all).to_string());
            transaction.execute(
                "INSERT INTO token_scopes_before (id, scopes, declared, scopes_after) VALUES (?1, ?2, ?3, ?4)",
                params![id, scopes, declared, scopes_after],
            )?;
            transaction.execute(
                "UPDATE tokens SET scopes = ?1, declared = ?2 WHERE id = ?3",
                params![scopes_after, declared_after, id],
            )?;
        }
        Ok(())
    }

    /// All at once: two resources may have exchanged their names.
    fn applied(&self, scopes: &[Value]) -> Vec<Value> {
        let scopes = scopes.iter().cloned();
        scopes.filter_map(|scope| self.changed(scope)).collect()
    }

    fn changed(&self, mut scope: Value) -> Option<Value> {
        let fates = match scope["type"].as_str().and_then(|kind| kind.split_once(':')) {
            Some(("PIPES", _)) => &self.pipes,
            Some(("DATASOURCES", _)) => &self.datasources,
            _ => return Some(scope),
        };
        let fate = scope["resource"].as_str().and_then(|name| fates.get(name));
        match fate {
            None => Some(scope),
            Some(None) => None,
            Some(Some(name)) => {
                scope["resource"] = name.as_str().into();
                Some(scope)
            }
        }
    }
}

/// Gives tokens back what the last changes took from them. One that was changed by hand since is left as it is.
pub(super) fn take_back(transaction: &Transaction<'_>) -> Result<(), StateError> {
    transaction.execute_batch(
        "UPDATE tokens SET scopes = before.scopes, declared = before.declared
         FROM token_scopes_before AS before
         WHERE tokens.id = before.id AND tokens.scopes = before.scopes_after;
         DELETE FROM token_scopes_before;",
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    fn scope(kind: &str, name: &str) -> Value {
        json!({ "type": kind, "resource": name })
    }

    fn run(state: &State, work: impl FnOnce(&Transaction<'_>)) {
        let mut connection = state.connection();
        let transaction = connection.transaction().unwrap();
        work(&transaction);
        transaction.commit().unwrap();
    }

    #[test]
    fn scopes_follow_go_and_come_back() {
        let state = State::in_memory().unwrap();
        let of = |name: &str| state.tokens().find(name).unwrap().unwrap().scopes;
        let before = json!([
            scope("DATASOURCES:READ", "a"),
            scope("DATASOURCES:APPEND", "b"),
            scope("PIPES:READ", "a"),
            scope("DATASOURCES:DROP", "gone"),
            { "type": "PIPES:CREATE" },
        ]);
        let narrowed = state.tokens().create("narrowed", &before).unwrap().token;
        state.tokens().create("other", &before).unwrap();
        let to = |name: &str| Some(name.to_owned());
        let changes = ScopeChanges {
            pipes: Fates::default(),
            datasources: [("a", to("b")), ("b", to("a")), ("gone", None)]
                .map(|(from, to)| (from.to_owned(), to))
                .into(),
        };
        run(&state, |transaction| changes.run(transaction).unwrap());
        let after = json!([
            scope("DATASOURCES:READ", "b"),
            scope("DATASOURCES:APPEND", "a"),
            scope("PIPES:READ", "a"),
            { "type": "PIPES:CREATE" },
        ]);
        assert_eq!((of("narrowed"), of("other")), (after.clone(), after));
        let less = json!([]);
        state
            .tokens()
            .update(&narrowed.id, Some(&less), None)
            .unwrap();
        run(&state, |transaction| take_back(transaction).unwrap());
        assert_eq!((of("narrowed"), of("other")), (less, before));
    }
}
