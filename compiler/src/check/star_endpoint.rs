//! Answers whose columns are those of a table.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::origin::{Element, elements, source};
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{NodeId, Target};
use crate::plan::{PipePlan, Plan, Role};
use crate::sql::blocks::Statement;

pub(super) const RULE: Rule = Rule {
    code: codes::STAR_ENDPOINT,
    severity: Severity::Note,
    by_default: false,
    summary: "SELECT * from a data source in an endpoint",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# star-endpoint

## What it does
Finds endpoints that give `*` of a data source, in their own node or in one that it passes on with `*`.

## Why is this bad
The answer changes with the table: a column that is added there is served to every caller, and read from disk for each request.

## Example
    NODE latest
    SQL >
        SELECT * FROM hits ORDER BY day DESC LIMIT 10
    TYPE endpoint

## Use instead
    SELECT day, user FROM hits ORDER BY day DESC LIMIT 10
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    pipe.endpoint_node()
        .filter(|node| node.role == Role::Endpoint)
        .and_then(|node| of_node(plan, &node.id))
        .into_iter()
        .collect()
}

/// The finding for the text that passes a data source on to a node, and so to callers: its own, or that of a node of which it gives every column.
fn of_node(plan: &Plan, id: &NodeId) -> Option<Diagnostic> {
    let element = elements(plan, id)
        .into_iter()
        .find(|element| text(element) == "*")?;
    let (node, branch) = (element.node, element.branch);
    let statement = Statement::read(branch.rendered.sql.text())?;
    let table = match source(
        plan,
        &node.id,
        branch,
        &statement,
        statement.query.branches.first()?,
    )? {
        Target::Datasource(datasource) => plan.tables.get(&datasource.name)?,
        _ => return None,
    };
    let message = format!("the endpoint gives every column of `{}`", table.name);
    let mut diagnostic = Diagnostic::new(RULE.severity, RULE.code, message)
        .label(place(plan, node, branch, element.item.span), "")
        .help("name the columns that callers need");
    if node.id != *id {
        diagnostic = diagnostic.note(format!(
            "endpoint `{}` gives all that this node gives",
            id.pipe
        ));
    }
    Some(diagnostic)
}

fn text<'a>(element: &Element<'a>) -> &'a str {
    &element.branch.rendered.sql.text()[element.item.span.clone()]
}
