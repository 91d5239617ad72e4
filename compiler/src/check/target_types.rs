//! What an engine says of the columns that a materialized or copy node gives, beside the columns of its target: values that do not go in, or not as they are.

use std::ops::Range;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::source::Span;

use super::Statement;
use super::origin::{Made, Origin, origin};
use super::silence::is_silenced;
use super::views::place;
use crate::contract::Described;
use crate::diagnostics::codes;
use crate::graph::Branch;
use crate::plan::{NodePlan, Plan, Role, TablePlan};
use crate::project::ResourceName;
use crate::sql::blocks::{ItemKind, Statement as Blocks};
use crate::sql::lexer::{Kind, tokenize};
use crate::sql::unquote;
use crate::types::{self, DataType, Loss};

/// The data source that a node fills by itself.
pub(super) fn filled(node: &NodePlan) -> Option<&ResourceName> {
    match &node.role {
        Role::Materialized { target } | Role::Copy { target, .. } => Some(target),
        _ => None,
    }
}

/// The findings for the columns that the engine describes of nodes that fill data sources.
pub fn target_types(plan: &Plan, described: &[(&Statement, &Described)]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (statement, columns) in described {
        let node = plan
            .pipes
            .get(&statement.node.pipe)
            .and_then(|pipe| pipe.node(&statement.node.node));
        let Some(node) = node.filter(|_| statement.branch == 0) else {
            continue;
        };
        let target = filled(node).and_then(|target| plan.tables.get(target));
        for (name, data_type) in *columns {
            found.extend(target.and_then(|target| finding(plan, node, target, name, data_type)));
        }
    }
    found.retain(|finding| !is_silenced(plan, finding));
    found
}

fn finding(
    plan: &Plan,
    node: &NodePlan,
    target: &TablePlan,
    name: &str,
    described: &str,
) -> Option<Diagnostic> {
    let column = target.columns.iter().find(|column| column.name == name)?;
    let declared = types::parse(column.data_type.as_deref()?).ok()?;
    let given = types::parse(described).ok()?;
    let loss = given.loss_in(&declared)?;
    let origin = origin(plan, &node.id, name);
    if is_meant(origin.as_ref(), &loss) {
        return None;
    }
    let (given, declared) = (given.bare(), declared.bare());
    let message = format!(
        "`{name}` is `{given}` here and `{declared}` in `{}`",
        target.name
    );
    let span = span(plan, node, origin.as_ref(), name)?;
    let is_stored = matches!(
        &origin,
        Some(Origin {
            made: Made::Stored(..),
            ..
        })
    );
    Some(
        Diagnostic::new(severity(&loss, is_stored), codes::TARGET_TYPES, message)
            .label(span, "")
            .note(consequence(&loss))
            .help(help(&loss, name, given, declared, target)),
    )
}

/// An error is what a column of texts does to every row whose text is no such value, be it only empty; dates are often kept as texts that are all well formed.
fn severity(loss: &Loss, is_stored: bool) -> Severity {
    match loss {
        Loss::Text(data_type) if is_stored && !data_type.is_date_or_time() => Severity::Error,
        _ => Severity::Warning,
    }
}

fn consequence(loss: &Loss) -> String {
    match loss {
        Loss::Text(data_type) => {
            format!("rows whose text is no `{data_type}`, such as an empty one, are refused")
        }
        Loss::Range => "numbers that it does not hold become others, without a word".to_owned(),
        Loss::Fraction => "what stands behind the point is cut off, without a word".to_owned(),
        Loss::Names(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("rows with {} are refused", names.join(", "))
        }
        Loss::Elements => "elements go by their names; what finds none is lost".to_owned(),
    }
}

fn help(
    loss: &Loss,
    name: &str,
    given: &DataType,
    declared: &DataType,
    target: &TablePlan,
) -> String {
    let change = format!("make the column of `{}` `{given}`", target.name);
    match loss {
        Loss::Text(data_type) if data_type == declared => match reading(declared) {
            Some(function) => format!("write `{function}`, or {change}").replace('…', name),
            None => change,
        },
        Loss::Range | Loss::Fraction if declared.is_number() && declared.family != "Decimal" => {
            format!(
                "write `to{}({name})` where that is meant, or {change}",
                declared.family
            )
        }
        _ => change,
    }
}

/// The function that reads a text and minds no text that is none.
fn reading(data_type: &DataType) -> Option<String> {
    let family = data_type.family.as_str();
    Some(match family {
        "DateTime" | "DateTime64" => format!("parse{family}BestEffortOrZero(…)"),
        "Date" | "Date32" | "UUID" => format!("to{family}OrZero(…)"),
        "IPv4" | "IPv6" => format!("to{family}OrDefault(…)"),
        "Bool" => "… = 'true'".to_owned(),
        _ if data_type.is_number() && family != "Decimal" => format!("to{family}OrZero(…)"),
        _ => return None,
    })
}

/// Where the column stands in the node that fills the target; where that has only `*`, in the node that it comes from.
fn span(plan: &Plan, node: &NodePlan, origin: Option<&Origin<'_>>, name: &str) -> Option<Span> {
    let branch = plan.graph.branches(&node.id).first()?;
    let statement = Blocks::read(branch.rendered.sql.text())?;
    let first = statement.query.branches.first();
    let items = first.into_iter().flat_map(|select| &select.items);
    let item = items.clone().find(|item| item.name() == Some(name));
    if let Some(item) = item {
        return Some(place(plan, node, branch, statement.bytes(&item.run)));
    }
    let elsewhere = origin
        .filter(|origin| origin.id != node.id)
        .and_then(|origin| {
            let node = plan.pipes.get(&origin.id.pipe)?.node(&origin.id.node)?;
            Some(place(plan, node, origin.branch, origin.span.clone()))
        });
    let star = || {
        let item = items.clone().find(|item| item.kind == ItemKind::Star)?;
        Some(place(plan, node, branch, statement.bytes(&item.run)))
    };
    elsewhere
        .or_else(star)
        .or_else(|| plan.node(&node.id).map(|(_, node)| node.name.span))
}

/// Whether the expression says that it gives what the target takes.
fn is_meant(origin: Option<&Origin<'_>>, loss: &Loss) -> bool {
    let Some(Origin {
        branch,
        made: Made::Computed(expression),
        ..
    }) = origin
    else {
        return false;
    };
    let sql = branch.rendered.sql.text();
    let text = &sql[expression.clone()];
    if is_constant(text) {
        return true;
    }
    let first = called_first(branch, expression);
    let first = first.as_str();
    match loss {
        // Text made from a value, and a choice among names that are written there.
        Loss::Text(data_type) => {
            let is_choice = matches!(first, "if" | "multiif" | "transform")
                || text
                    .get(..4)
                    .is_some_and(|word| word.eq_ignore_ascii_case("case"));
            first.starts_with("tostring")
                || first.starts_with("format")
                || is_choice && names_one(text, data_type)
        }
        // How many there are, and how many signs a text has, is a number that fits as a rule.
        Loss::Range => {
            first.starts_with("count") || first.starts_with("uniq") || first.starts_with("length")
        }
        Loss::Fraction => ["round", "floor", "ceil", "trunc"]
            .iter()
            .any(|function| first.starts_with(function)),
        Loss::Names(_) | Loss::Elements => false,
    }
}

/// Whether an expression is made of literals alone.
fn is_constant(text: &str) -> bool {
    let Ok(tokens) = tokenize(text) else {
        return false;
    };
    let mut tokens = tokens.list.iter();
    !tokens.any(|token| matches!(token.kind, Kind::Word | Kind::QuotedName))
}

/// Whether a text literal in an expression is a name of an `Enum`.
fn names_one(text: &str, data_type: &DataType) -> bool {
    let Ok(tokens) = tokenize(text) else {
        return false;
    };
    let mut texts = tokens.list.iter().filter(|token| token.kind == Kind::Text);
    texts.any(|token| {
        let written = unquote(token.text(text));
        data_type.enum_names().any(|name| name == written)
    })
}

/// The function that an expression begins with, in lower case.
fn called_first(branch: &Branch, expression: &Range<usize>) -> String {
    let mut calls = branch.scan.functions.iter();
    let first = calls.find(|called| called.span.start == expression.start);
    first.map_or_else(String::new, |called| called.name.to_ascii_lowercase())
}
