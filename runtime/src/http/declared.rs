//! The tokens that datafiles declare: made when the project comes into force.

use std::collections::BTreeMap;

use pipewright_compiler::plan::Plan;
use pipewright_grammar::syntax::TokenDecl;

use super::{App, Scope};
use crate::state::{Declared, State, StateError};

/// The tokens that datafiles declare with `TOKEN name READ` or `TOKEN name APPEND`, with what each may do.
fn declared(plan: &Plan) -> BTreeMap<String, Vec<Scope>> {
    let mut declared: BTreeMap<String, Vec<Scope>> = BTreeMap::new();
    let mut add = |tokens: &[TokenDecl], permission: &str, scope: Scope| {
        for token in tokens
            .iter()
            .filter(|token| token.permission.value == permission)
        {
            declared
                .entry(token.name.value.clone())
                .or_default()
                .push(scope.clone());
        }
    };
    for pipe in plan.project.pipes.values() {
        let name = pipe.name.to_string();
        add(&pipe.tokens, "READ", Scope::ReadPipe(name));
    }
    for datasource in plan.project.datasources.values() {
        let (tokens, name) = (&datasource.syntax.tokens, datasource.name.to_string());
        add(tokens, "READ", Scope::ReadDatasource(name.clone()));
        add(tokens, "APPEND", Scope::AppendDatasource(name));
    }
    declared
}

/// Makes the tokens of a project that are not there yet, and gives the others what the project's files declare now.
pub fn ensure_declared(plan: &Plan, state: &State) -> Result<Declared, StateError> {
    let scopes = |scopes: Vec<Scope>| scopes.iter().map(Scope::to_json).collect();
    let declared = declared(plan).into_iter();
    let declared = declared.map(|(name, allowed)| (name, scopes(allowed)));
    state.tokens().declare(&declared.collect())
}

/// Does the same for what is in force now, and serves the tokens.
pub(super) fn ensure(app: &App) -> Result<(), StateError> {
    let plan = app.catalog.current().plan.clone();
    let declared = ensure_declared(&plan, app.catalog.state())?;
    if declared.changed || !declared.made.is_empty() {
        app.reload_tokens()?;
    }
    Ok(())
}
