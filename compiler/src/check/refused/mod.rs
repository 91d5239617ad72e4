//! What an engine says of a project's statements, as findings at their places in the files.
//!
//! The runtime makes empty tables of a project's data sources and asks an engine to describe each [`Statement`]. What the engine refuses comes back here.
//! Statements are rendered with stand-in values where a request would bring some, so only refusals that no value could cause become findings.

mod cause;
mod position;
mod requests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use pipewright_grammar::diagnostic::{Code, Diagnostic, Severity};
use pipewright_grammar::source::Span;
use rayon::prelude::*;

use self::cause::{Cause, converted_text, may_come_from_a_text};
use self::position::{position, repeats_a_written_text, verbatim_place, verbatim_text};
use self::requests::Request;
use super::message::{gist, in_lower_case, named, suggestion};
use super::silence::is_silenced;
use super::target_types::filled;
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
    /// Whether its rows go into a data source by themselves, so that the types of its columns matter.
    pub fills: bool,
    /// The request that it is the statement of, where that brings values.
    request: Option<Request>,
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

/// Every node that can be described without reaching outside of the engine, in each of its branches that a request can surely take: where the others depend on
/// values, those of requests that lead into them. Findings of earlier stages explain the rest.
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
    let (certain, of_requests) = if others_are_certain(plan, id) {
        (usize::MAX, Vec::new())
    } else {
        (1, requests::statements(plan, id))
    };
    let node = plan
        .pipes
        .get(&id.pipe)
        .and_then(|pipe| pipe.node(&id.node));
    let fills = node.is_some_and(|node| filled(node).is_some());
    let branches = plan.graph.branches(id).iter().enumerate().take(certain);
    let compiled = branches.filter_map(|(branch, read)| {
        Some(Statement {
            node: id.clone(),
            branch,
            compiled: plan.compile_branch(id, read).ok()?,
            fills: fills && branch == 0,
            request: None,
        })
    });
    compiled.chain(of_requests).collect()
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
        let branch = self.written(plan)?;
        let node = plan.pipes.get(&self.node.pipe)?.node(&self.node.node)?;
        let text = &branch.rendered.sql;
        let cause = Cause::of(refusal)?;
        let (code, message, range) = match cause {
            Cause::Name(code) => {
                let (message, range) = self.unknown_name(plan, branch, code, refusal)?;
                (code, message, range)
            }
            Cause::Syntax => {
                // A chain of values without an `else` leaves a gap for any other value: such a request is wrong, and not the template.
                let request = self.request.as_ref();
                if request.is_some_and(Request::is_unexpected) {
                    return None;
                }
                let span = self.compiled.sql.locate(refusal.offset?)?;
                let message = "the engine cannot read on here".to_owned();
                return is_fixed(plan, self, branch)
                    .then(|| self.diagnostic(codes::SQL_SYNTAX, message, span, refusal));
            }
            Cause::Structure(code) | Cause::Statement(code) => {
                if !is_fixed(plan, self, branch) {
                    return None;
                }
                let text =
                    converted_text(&refusal.message).filter(|_| may_come_from_a_text(refusal));
                if let Some((text, data_type)) = text {
                    let range = verbatim_text(branch, text)?;
                    (code, format!("`'{text}'` is no `{data_type}`"), range)
                } else {
                    let is_own = matches!(cause, Cause::Structure(_))
                        || has_no_values(self)
                        || repeats_a_written_text(branch, &refusal.message);
                    if !is_own {
                        return None;
                    }
                    let said = gist(&refusal.message);
                    let sentence = said.split(". ").next().unwrap_or(&said);
                    let range = position(branch, refusal).unwrap_or(0..0);
                    (code, in_lower_case(sentence), range)
                }
            }
        };
        let span = if range.is_empty() {
            plan.node(&self.node).map(|(_, node)| node.name.span)
        } else {
            text.locate_range(range.clone())
        };
        let span = span.unwrap_or_else(|| place(plan, node, branch, range));
        Some(self.diagnostic(code, message, span, refusal))
    }

    /// The name that a refusal is about, where the author wrote it.
    fn unknown_name(
        &self,
        plan: &Plan,
        branch: &Branch,
        code: Code,
        refusal: &Refusal,
    ) -> Option<(String, Range<usize>)> {
        let names = named(&refusal.message);
        let (name, range) = names
            .iter()
            .find_map(|name| Some((name, verbatim_place(branch, name)?)))?;
        let is_column = code == codes::UNKNOWN_COLUMN;
        let request = self.request.as_ref();
        if is_column && name.starts_with('_') && self.reads_connector(plan)
            || request.is_some_and(|request| request.may_bring(self, name))
        {
            return None;
        }
        let message = if is_column {
            format!("unknown column `{name}`")
        } else {
            format!("there is no function `{name}`")
        };
        Some((message, range))
    }

    /// What the node's own template renders to.
    fn written<'a>(&'a self, plan: &'a Plan) -> Option<&'a Branch> {
        match &self.request {
            Some(request) => Some(&request.branch),
            None => plan.graph.branches(&self.node).get(self.branch),
        }
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
            let which = "only requests whose parameters lead into this branch fail";
            diagnostic = match &self.request {
                Some(request) => diagnostic.note(format!("{which}, such as `{}`", request.told())),
                None => diagnostic.note(which),
            };
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
    // Those that fail for some requests.
    let mut at_times: BTreeSet<Vertex> = BTreeSet::new();
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
        let vertex = Vertex::Node(statement.node.clone());
        let of_values = statement.request.is_some();
        if depends(&statement.node, &failed) || of_values && depends(&statement.node, &at_times) {
            continue;
        }
        if statement.branch == 0 {
            failed.insert(vertex);
        } else {
            at_times.insert(vertex);
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
            let template = &node.template;
            template.parameters().iter().all(|parameter| {
                parameter.typed
                    || parameter.used_in.is_some()
                    || template.only_asks_for(&parameter.name)
            })
        }),
        _ => true,
    });
    typed && !structural
}

/// Whether a statement has neither a value of a request nor one of rows in it: a scalar subquery gives one.
fn has_no_values(statement: &Statement) -> bool {
    let sql = &statement.compiled.sql;
    let is_value = |kind: PieceKind| matches!(kind, PieceKind::Literal | PieceKind::Structural);
    statement.compiled.secrets.is_empty()
        && !sql.pieces().any(|(_, piece)| is_value(piece.kind))
        && !has_scalar_subquery(sql.text())
}

/// Whether a subquery may stand for a value: one that is neither a table nor a set.
fn has_scalar_subquery(sql: &str) -> bool {
    let Ok(tokens) = sql::lexer::tokenize(sql) else {
        return true;
    };
    let word = |at: usize| tokens.list.get(at).map_or("", |token| token.text(sql));
    let is = |at: usize, words: &[&str]| {
        let found = word(at);
        words.iter().any(|word| found.eq_ignore_ascii_case(word))
    };
    let mut opens = (0..tokens.list.len()).filter(|at| tokens.list[*at].kind == Kind::OpenRound);
    opens.any(|open| {
        let is_query = is(open + 1, &["SELECT", "WITH"]);
        let is_table = open > 0 && is(open - 1, &["FROM", "JOIN", "IN", "EXISTS", "AS", "ALL"]);
        is_query && !is_table
    })
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
