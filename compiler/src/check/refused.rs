//! What an engine says of a project's statements, as findings at their places in the files.
//!
//! The runtime makes empty tables of a project's data sources and asks an engine to describe each [`Statement`]. What the engine refuses comes back here.
//! Statements are rendered with stand-in values where a request would bring some, so only refusals that no value could cause become findings.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use pipewright_grammar::diagnostic::{Code, Diagnostic, Severity};
use pipewright_grammar::source::Span;
use rayon::prelude::*;

use super::message::{gist, in_lower_case, named, suggestion};
use super::silence::is_silenced;
use super::views::place;
use crate::deploy::{Step, StepKind, view_name};
use crate::diagnostics::codes;
use crate::graph::{Branch, NodeId, Vertex};
use crate::mapped_text::PieceKind;
use crate::plan::{Compiled, NodePlan, Plan, Role, TablePlan};
use crate::project::ResourceName;
use crate::sql::lexer::Kind;
use crate::sql::outline::outline;
use crate::sql::{self, Policy, Use};

/// A statement of the project that an engine can describe.
#[derive(Debug)]
pub struct Statement {
    /// The node.
    pub node: NodeId,
    /// Which of its branches; the first is the one of a request without parameters.
    pub branch: usize,
    /// The text with all that it reads put in.
    pub compiled: Compiled,
}

/// What an engine says against a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The engine's name of the error, such as `UNKNOWN_IDENTIFIER`.
    pub name: String,
    /// What it says.
    pub message: String,
    /// Bytes from the start of the statement to what it is about, where it says that.
    pub offset: Option<usize>,
}

/// Every node that can be described without reaching outside of the engine, in each of its branches that a request can surely take. Findings of earlier
/// stages explain the others.
pub fn statements(plan: &Plan) -> Vec<Statement> {
    let vertices = plan.graph.topological();
    vertices
        .par_iter()
        .flat_map_iter(|vertex| of_vertex(plan, vertex))
        .collect()
}

/// The statements of these pipes alone, as a request without parameters takes them.
pub fn statements_of(plan: &Plan, pipes: &BTreeSet<ResourceName>) -> Vec<Statement> {
    let own = plan
        .graph
        .vertices()
        .filter(|vertex| matches!(vertex, Vertex::Node(id) if pipes.contains(&id.pipe)));
    own.flat_map(|vertex| of_vertex(plan, vertex))
        .filter(|statement| statement.branch == 0)
        .collect()
}

fn of_vertex(plan: &Plan, vertex: &Vertex) -> Vec<Statement> {
    let Vertex::Node(id) = vertex else {
        return Vec::new();
    };
    if !stays_inside(plan, vertex) {
        return Vec::new();
    }
    let certain = if others_are_certain(plan, id) {
        usize::MAX
    } else {
        1
    };
    let branches = plan.graph.branches(id).iter().enumerate().take(certain);
    let compiled = branches.filter_map(|(branch, read)| {
        Some(Statement {
            node: id.clone(),
            branch,
            compiled: plan.compile_branch(id, read).ok()?,
        })
    });
    compiled.collect()
}

/// Whether requests can take every branch of a node as it is rendered for a check: conditions that ask only which parameters are given do not exclude
/// each other, and a node without branches does not depend on the choice of its reader.
fn others_are_certain(plan: &Plan, id: &NodeId) -> bool {
    let vertex = Vertex::Node(id.clone());
    let closure = plan.graph.closure(&vertex);
    let sources_are_simple = closure.into_iter().all(|source| match source {
        Vertex::Node(source) => source == id || plan.graph.branches(source).len() <= 1,
        _ => true,
    });
    let asks_for_presence = plan.node(id).is_some_and(|(_, node)| {
        let file = plan
            .project
            .sources
            .files()
            .get(node.body.span.source.0 as usize);
        let text = file.and_then(|file| file.text().get(node.body.span.range()));
        text.is_some_and(asks_only_for_presence)
    });
    sources_are_simple && asks_for_presence
}

/// Whether every tag of a template is an `if` or `elif` that asks only which parameters are `defined`, or closes one.
fn asks_only_for_presence(template: &str) -> bool {
    template.split("{%").skip(1).all(|rest| {
        let tag = rest.split("%}").next().unwrap_or(rest);
        let mut words =
            tag.split(|character: char| character.is_whitespace() || "()".contains(character));
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        match words.next() {
            Some("else" | "end") => true,
            Some("if" | "elif") => {
                let mut was_defined = false;
                words.all(|word| {
                    let is_name = std::mem::replace(&mut was_defined, word == "defined");
                    is_name || matches!(word, "defined" | "not" | "and" | "or")
                })
            }
            _ => false,
        }
    })
}

/// Whether a node and all that it reads call nothing that is refused by default: to describe `url(…)` is to fetch it.
fn stays_inside(plan: &Plan, vertex: &Vertex) -> bool {
    let policy = Policy::default();
    plan.graph.closure(vertex).into_iter().all(|vertex| {
        let Vertex::Node(id) = vertex else {
            return true;
        };
        plan.graph
            .branches(id)
            .iter()
            .all(|branch| sql::guard(&branch.scan, &policy, Use::Node).is_empty())
    })
}

impl Statement {
    /// The finding that a refusal is, if it would be one whatever a request brings.
    pub fn finding(&self, plan: &Plan, refusal: &Refusal) -> Option<Diagnostic> {
        let branch = plan.graph.branches(&self.node).get(self.branch)?;
        let node = plan.pipes.get(&self.node.pipe)?.node(&self.node.node)?;
        let text = &branch.rendered.sql;
        let names = named(&refusal.message);
        let code = code_of(refusal)?;
        let (message, range) = match code {
            codes::UNKNOWN_COLUMN => {
                let (name, range) = names
                    .iter()
                    .find_map(|name| Some((name, verbatim_place(branch, name)?)))?;
                if name.starts_with('_') && self.reads_connector(plan) {
                    return None;
                }
                (format!("unknown column `{name}`"), range)
            }
            codes::UNKNOWN_FUNCTION => {
                let (name, range) = names
                    .iter()
                    .find_map(|name| Some((name, verbatim_place(branch, name)?)))?;
                (format!("there is no function `{name}`"), range)
            }
            codes::SQL_SYNTAX => {
                let span = self.compiled.sql.locate(refusal.offset?)?;
                return is_fixed(plan, self, branch).then(|| {
                    self.diagnostic(
                        code,
                        "the engine cannot read on here".to_owned(),
                        span,
                        refusal,
                    )
                });
            }
            _ if may_come_from_a_text(refusal) => {
                let (text, data_type) = converted_text(&refusal.message)?;
                let range = verbatim_text(branch, text)?;
                if !is_fixed(plan, self, branch) {
                    return None;
                }
                (format!("`'{text}'` is no `{data_type}`"), range)
            }
            _ if is_fixed(plan, self, branch) => {
                let range = called_in(branch, &refusal.message)
                    .or_else(|| operator_in(branch, &refusal.message))
                    .or_else(|| names.iter().find_map(|name| verbatim_place(branch, name)));
                let said = gist(&refusal.message);
                let sentence = said.split(". ").next().unwrap_or(&said);
                (in_lower_case(sentence), range.unwrap_or(0..0))
            }
            _ => return None,
        };
        let span = if range.is_empty() {
            plan.node(&self.node).map(|(_, node)| node.name.span)
        } else {
            text.locate_range(range.clone())
        };
        let span = span.unwrap_or_else(|| place(plan, node, branch, range));
        Some(self.diagnostic(code, message, span, refusal))
    }

    fn reads_connector(&self, plan: &Plan) -> bool {
        let mut read = self.compiled.datasources.iter();
        read.any(|name| plan.gets_columns(name))
    }

    fn diagnostic(&self, code: Code, message: String, span: Span, refusal: &Refusal) -> Diagnostic {
        // A branch that a request without parameters does not take need not be wrong for the requests that are made.
        let severity = if self.branch == 0 {
            Severity::Error
        } else {
            Severity::Warning
        };
        let said = gist(&refusal.message);
        let has_more =
            code == codes::UNKNOWN_COLUMN || may_come_from_a_text(refusal) || said.contains(". ");
        let note = has_more.then(|| format!("the engine says: {said}"));
        let mut diagnostic = Diagnostic::new(severity, code, message).label(span, "");
        if let Some(similar) = suggestion(&refusal.message) {
            diagnostic = diagnostic.help(format!("did you mean `{similar}`?"));
        }
        diagnostic.notes.extend(note.map(Cow::Owned));
        if self.branch > 0 {
            diagnostic =
                diagnostic.note("only requests whose parameters lead into this branch fail");
        }
        diagnostic
    }
}

/// The finding for a table or view that the engine does not make.
fn not_created(plan: &Plan, step: &Step, refusal: &Refusal) -> Option<Diagnostic> {
    let (what, span) = match step.kind {
        StepKind::CreateDatabase => return None,
        StepKind::CreateTable => {
            let table = table(plan, step)?;
            if plan.gets_columns(&table.name) {
                return None;
            }
            let schema = plan.project.datasources.get(&table.name);
            let schema = schema.and_then(|datasource| datasource.syntax.schema);
            (
                format!("table of data source `{}`", step.name),
                schema.unwrap_or(table.span),
            )
        }
        StepKind::CreateMaterializedView => {
            let node = view(plan, step)?;
            let span = converted(plan, node, &refusal.message)
                .or_else(|| plan.node(&node.id).map(|(_, node)| node.name.span))?;
            (format!("view of node `{}`", node.id), span)
        }
    };
    let message = format!("the engine does not make the {what}");
    Some(
        Diagnostic::error(codes::NOT_CREATED, message)
            .label(span, "")
            .note(format!("the engine says: {}", gist(&refusal.message))),
    )
}

/// The table that a step makes.
fn table<'a>(plan: &'a Plan, step: &Step) -> Option<&'a TablePlan> {
    let mut tables = plan.tables.values();
    tables.find(|table| step.kind == StepKind::CreateTable && table.name.to_string() == step.name)
}

/// The node of a view.
fn view<'a>(plan: &'a Plan, step: &Step) -> Option<&'a NodePlan> {
    let mut nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
    nodes.find(|node| view_name(&node.id.pipe, &node.id.node) == step.name)
}

/// The output column that a message says cannot go into its target.
fn converted(plan: &Plan, node: &NodePlan, message: &str) -> Option<Span> {
    let column = message.split_once("to destination column ");
    let column = column
        .map(|(_, rest)| rest.trim_end_matches('.'))
        .or_else(|| {
            let (_, rest) = message.split_once("outputs column with name '")?;
            rest.split_once('\'').map(|(name, _)| name)
        })?;
    let branch = plan.graph.branches(&node.id).first()?;
    let items = outline(branch.rendered.sql.text()).items;
    let item = items
        .into_iter()
        .find(|item| item.name.as_deref() == Some(column))?;
    branch.rendered.sql.locate_range(item.span)
}

/// The findings whose cause is not another finding: what reads a node or data source that failed fails for that reason.
pub fn without_consequences(
    plan: &Plan,
    steps: &[(Step, Refusal)],
    statements: &[(&Statement, Refusal)],
) -> Vec<Diagnostic> {
    let mut failed: BTreeSet<Vertex> = BTreeSet::new();
    for (step, _) in steps {
        failed.extend(table(plan, step).map(|table| Vertex::Datasource(table.name.clone())));
    }
    let mut found = Vec::new();
    let depends = |id: &NodeId, failed: &BTreeSet<Vertex>| {
        let vertex = Vertex::Node(id.clone());
        let closure = plan.graph.closure(&vertex);
        closure
            .into_iter()
            .any(|source| *source != vertex && failed.contains(source))
    };
    // In the order of the graph, so that the cause comes before its consequences.
    for (statement, refusal) in statements {
        if depends(&statement.node, &failed) {
            continue;
        }
        if statement.branch == 0 {
            failed.insert(Vertex::Node(statement.node.clone()));
        }
        found.extend(statement.finding(plan, refusal));
    }
    for (step, refusal) in steps {
        let fails =
            |id: &NodeId| failed.contains(&Vertex::Node(id.clone())) || depends(id, &failed);
        let because = match (view(plan, step), table(plan, step)) {
            (Some(node), _) => {
                let no_target = matches!(&node.role, Role::Materialized { target }
                    if failed.contains(&Vertex::Datasource(target.clone())));
                no_target || fails(&node.id)
            }
            (None, table) => table
                .and_then(|table| table.made_by.as_ref())
                .is_some_and(fails),
        };
        if !because {
            found.extend(not_created(plan, step, refusal));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|finding| {
        let span = finding.primary().map(|span| (span.source, span.start));
        seen.insert((span, finding.message.to_string())) && !is_silenced(plan, finding)
    });
    found
}

/// The code of a finding; `None` for errors that may come from values, from limits, or from what only the real tables have.
fn code_of(refusal: &Refusal) -> Option<Code> {
    Some(match refusal.name.as_str() {
        "UNKNOWN_IDENTIFIER" | "NO_SUCH_COLUMN_IN_TABLE" => codes::UNKNOWN_COLUMN,
        "UNKNOWN_FUNCTION" | "UNKNOWN_AGGREGATE_FUNCTION" => codes::UNKNOWN_FUNCTION,
        "ILLEGAL_TYPE_OF_ARGUMENT"
        | "NUMBER_OF_ARGUMENTS_DOESNT_MATCH"
        | "TOO_FEW_ARGUMENTS_FOR_FUNCTION"
        | "TOO_MANY_ARGUMENTS_FOR_FUNCTION"
        | "NO_COMMON_TYPE"
        | "UNKNOWN_TYPE"
        | "ILLEGAL_AGGREGATION"
        | "ILLEGAL_COLUMN"
        | "NOT_AN_AGGREGATE" => codes::WRONG_TYPES,
        "SYNTAX_ERROR" => codes::SQL_SYNTAX,
        _ if may_come_from_a_text(refusal) => codes::WRONG_TYPES,
        _ => return None,
    })
}

/// Whether a refusal may be about a text that is compared with, or converted to, another type: a wrong statement where the author wrote the text, and a wrong value
/// where a request brought it.
fn may_come_from_a_text(refusal: &Refusal) -> bool {
    refusal.name == "TYPE_MISMATCH" || refusal.name.starts_with("CANNOT_PARSE_")
}

/// The text that a message says cannot be converted, and the type that it should have.
fn converted_text(message: &str) -> Option<(&str, &str)> {
    [
        ("Cannot convert string '", "' to type "),
        (" while converting '", "' to "),
    ]
    .iter()
    .find_map(|(before, between)| {
        let (_, rest) = message.split_once(before)?;
        let (text, rest) = rest.split_once(between)?;
        let data_type = rest.split(": ").next().unwrap_or(rest);
        Some((text, data_type.trim_end_matches('.')))
    })
}

/// Where the author wrote a text, if every text like it is the author's.
fn verbatim_text(branch: &Branch, wanted: &str) -> Option<Range<usize>> {
    let sql = branch.rendered.sql.text();
    let tokens = sql::lexer::tokenize(sql).ok()?;
    let texts = tokens.list.iter().filter(|token| token.kind == Kind::Text);
    let mut places = texts
        .map(|token| token.range())
        .filter(|range| sql::unquote(&sql[range.clone()]) == wanted)
        .peekable();
    let first = places.peek().cloned()?;
    let written = written(branch);
    places
        .all(|range| written.iter().any(|piece| contains(piece, &range)))
        .then_some(first)
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The parts of a branch's text that the author wrote.
fn written(branch: &Branch) -> Vec<Range<usize>> {
    let pieces = branch.rendered.sql.pieces();
    pieces
        .filter(|(_, piece)| piece.kind == PieceKind::Verbatim)
        .map(|(range, _)| range)
        .collect()
}

/// Whether no value of a request has a part in a statement but typed literals.
fn is_fixed(plan: &Plan, statement: &Statement, branch: &Branch) -> bool {
    let is_structural = |kind: PieceKind| kind == PieceKind::Structural;
    let structural = [&statement.compiled.sql, &branch.rendered.sql]
        .into_iter()
        .any(|text| text.pieces().any(|(_, piece)| is_structural(piece.kind)));
    let vertex = Vertex::Node(statement.node.clone());
    let closure = plan.graph.closure(&vertex);
    let typed = closure.into_iter().all(|vertex| match vertex {
        Vertex::Node(id) => plan.node(id).is_some_and(|(_, node)| {
            let mut parameters = node.template.parameters().iter();
            parameters.all(|parameter| parameter.typed || parameter.used_in.is_some())
        }),
        _ => true,
    });
    typed && !structural
}

/// Where a name stands in the text that the author wrote, as a word of its own.
fn verbatim_place(branch: &Branch, name: &str) -> Option<Range<usize>> {
    let sql = branch.rendered.sql.text();
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let written = written(branch);
    sql.match_indices(name)
        .map(|(at, _)| at..at + name.len())
        .filter(|range| written.iter().any(|piece| contains(piece, range)))
        .find(|range| {
            !sql[..range.start].ends_with(is_word) && !sql[range.end..].starts_with(is_word)
        })
}

/// The functions that operators stand for.
const OPERATORS: &[(&str, &str)] = &[
    ("plus", "+"),
    ("minus", "-"),
    ("multiply", "*"),
    ("divide", "/"),
    ("equals", "="),
    ("notEquals", "!="),
    ("less", "<"),
    ("greater", ">"),
    ("lessOrEquals", "<="),
    ("greaterOrEquals", ">="),
    ("concat", "||"),
];

/// The operator that a message names by its function, where the statement has only one of it.
fn operator_in(branch: &Branch, message: &str) -> Option<Range<usize>> {
    let gist = gist(message);
    let (_, sign) = OPERATORS
        .iter()
        .find(|(name, _)| gist.ends_with(&format!("function {name}")))?;
    let sql = branch.rendered.sql.text();
    let tokens = sql::lexer::tokenize(sql).ok()?;
    let mut places = tokens.list.iter().filter(|token| token.text(sql) == *sign);
    let place = places.next()?.range();
    places.next().is_none().then_some(place)
}

/// The first function of the statement that a message names.
fn called_in(branch: &Branch, message: &str) -> Option<Range<usize>> {
    let gist = gist(message);
    let words: BTreeSet<&str> = gist
        .split(|character: char| !character.is_alphanumeric() && character != '_')
        .collect();
    let mut calls = branch.scan.functions.iter();
    calls
        .find(|called| words.contains(called.name.as_str()))
        .map(|called| called.span.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_values_may_exclude_each_other() {
        assert!(asks_only_for_presence("SELECT 1"));
        assert!(asks_only_for_presence(
            "{% if defined(a) and not (defined(b)) %} x {% elif defined(c) %} y {% else %} {% end %}"
        ));
        for text in [
            "{% if a == 'x' %} {% end %}",
            "{% if defined(a) and a %} {% end %}",
            "{% for a in b %} {% end %}",
            "{% set defined = 1 %}",
        ] {
            assert!(!asks_only_for_presence(text), "{text}");
        }
    }
}
