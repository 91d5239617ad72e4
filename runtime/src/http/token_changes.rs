//! What the `TOKEN` lines of a version give and take, as clients list it before a deploy.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::project::Project;
use pipewright_grammar::syntax::TokenDecl;
use serde_json::{Value, json};

/// What tokens may do by their names: resource, its kind, and what may be done with it.
type Rights = BTreeMap<String, BTreeSet<(String, &'static str, String)>>;

/// Each token whose rights differ between two versions.
pub(super) fn of(before: &Project, now: &Project) -> Vec<Value> {
    let (old, new) = (rights(before), rights(now));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let none = BTreeSet::new();
        let (had, has) = (old.get(name), new.get(name));
        let (had_rights, has_rights) = (had.unwrap_or(&none), has.unwrap_or(&none));
        if had_rights == has_rights {
            continue;
        }
        let change = match (had, has) {
            (None, _) => "new",
            (_, None) => "deleted",
            _ => "modified",
        };
        let listed = |of: &BTreeSet<_>, but: &BTreeSet<_>| -> Vec<Value> {
            let only = of.difference(but);
            let shown = |(resource, kind, permission): &(String, &str, String)| {
                json!({
                    "resource_name": resource,
                    "resource_type": kind,
                    "permission": permission,
                })
            };
            only.map(shown).collect()
        };
        changes.push(json!({
            "token_name": name,
            "change_type": change,
            "permission_changes": {
                "added_permissions": listed(has_rights, had_rights),
                "removed_permissions": listed(had_rights, has_rights),
            },
        }));
    }
    changes
}

fn rights(project: &Project) -> Rights {
    let mut rights = Rights::new();
    let mut add = |resource: String, kind: &'static str, tokens: &[TokenDecl]| {
        for token in tokens {
            let permission = token.permission.value.to_ascii_uppercase();
            let of_token = rights.entry(token.name.value.clone()).or_default();
            of_token.insert((resource.clone(), kind, permission));
        }
    };
    for datasource in project.datasources.values() {
        let name = datasource.name.to_string();
        add(name, "datasource", &datasource.syntax.tokens);
    }
    for pipe in project.pipes.values() {
        add(pipe.name.to_string(), "pipe", &pipe.tokens);
    }
    rights
}
