//! What the engine calls the columns that have no alias.

use std::collections::BTreeMap;

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use super::relation::{Relation, qualifier, words};
use super::scope::{Alias, Scope};

/// The name of an expression, and whether the engine surely calls it that.
pub(super) fn of_expression(expr: &Expr, scope: &Scope<'_>) -> (String, bool) {
    match expr {
        Expr::Identifier(name) => (name.value.clone(), true),
        Expr::CompoundIdentifier(names) => {
            let parts: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
            let relations = scope.relations.borrow();
            if let Some((at, length)) = qualifier(&relations, &parts) {
                let column = parts[length..].join(".");
                return qualified(&relations, at, &column, &BTreeMap::new());
            }
            (parts.join("."), true)
        }
        Expr::Nested(inner) => of_expression(inner, scope),
        _ => match canonical(expr) {
            Some(name) => (name, true),
            None => (expr.to_string(), false),
        },
    }
}

/// The name of a column of one of several tables: qualified where another has one of that name, save in the first of two.
pub(super) fn qualified(
    relations: &[Relation],
    at: usize,
    column: &str,
    aliases: &BTreeMap<&str, Alias<'_>>,
) -> (String, bool) {
    let bare = (column.to_owned(), true);
    let others = || {
        relations
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
    };
    let has = |relation: &Relation| relation.columns.iter().any(|other| other.name == column);
    let is_shared = others().any(|(_, other)| has(other));
    let is_first = at == 0 && relations.len() <= 2;
    if aliases.contains_key(column) {
        return (column.to_owned(), false);
    }
    if !is_shared || is_first {
        // A table of unknown columns may have it too.
        let is_open = others().any(|(_, other)| other.more);
        return (column.to_owned(), is_first || !is_open);
    }
    match relations
        .get(at)
        .and_then(|relation| relation.names.first())
    {
        Some(table) => (format!("{table}.{column}"), relations.len() == 2),
        None => bare,
    }
}

/// The engine's own text of simple calls and literals.
fn canonical(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| number.clone()),
            Value::SingleQuotedString(text) => {
                (!text.contains(['\'', '\\'])).then(|| format!("'{text}'"))
            }
            _ => None,
        },
        Expr::Function(function) => call(function),
        _ => None,
    }
}

fn call(function: &Function) -> Option<String> {
    let plain = function.over.is_none()
        && function.filter.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none();
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if !plain || !list.clauses.is_empty() || list.duplicate_treatment.is_some() {
        return None;
    }
    let name = words(&function.name);
    let [name] = name[..] else { return None };
    let parameters = match &function.parameters {
        FunctionArguments::None => String::new(),
        FunctionArguments::List(parameters) => format!("({})", arguments(&parameters.args)?),
        FunctionArguments::Subquery(_) => return None,
    };
    // Functions of any letter case are written in the engine's.
    let known = ["count", "sum", "min", "max", "avg", "any", "uniq"];
    let lower = name.to_ascii_lowercase();
    let name = if known.contains(&lower.as_str()) {
        lower
    } else {
        name.to_owned()
    };
    Some(format!("{name}{parameters}({})", arguments(&list.args)?))
}

fn arguments(arguments: &[FunctionArg]) -> Option<String> {
    let texts = arguments.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => canonical(expr),
        _ => None,
    });
    Some(texts.collect::<Option<Vec<_>>>()?.join(", "))
}
