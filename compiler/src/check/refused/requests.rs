//! The statements of requests whose values lead into branches of a node or of what it reads.
//!
//! What a branch renders to with its conditions forced may be a text that no request gets, and a node that reads others renders them with the same values. So
//! values are looked for with which a condition comes out the other way, and the whole statement is made as for a request that brings them.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::{Statement, asks_only_for_presence};
use crate::graph::{Branch, NodeId, Vertex};
use crate::mapped_text::PieceKind;
use crate::plan::{Plan, RequestContext, RowFilters};
use crate::sql::{self, Policy, Use};
use crate::template::{RenderContext, Rendered, UNEXPECTED_VALUE, Values};

/// How many requests are looked at for one node at most.
const LIMIT: usize = 32;

/// A request that leads into a branch.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) values: Values,
    /// What the node's own template renders to for it.
    pub(super) branch: Branch,
}

impl Request {
    /// The values as they would stand in an address.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.values.iter() {
            let separator = if text.is_empty() { "" } else { "&" };
            let value = value.as_str().unwrap_or_default();
            _ = write!(text, "{separator}{name}={value}");
        }
        text
    }

    /// Whether it brings a text where the template compares with others.
    pub(super) fn is_unexpected(&self) -> bool {
        let mut values = self.values.iter();
        values.any(|(_, value)| value == UNEXPECTED_VALUE)
    }

    /// Whether a name may have come from one of the values, as far as they are more than literals.
    pub(super) fn may_bring(&self, statement: &Statement, name: &str) -> bool {
        let mut pieces = statement.compiled.sql.pieces();
        pieces.any(|(_, piece)| piece.kind == PieceKind::Structural)
            && self
                .values
                .iter()
                .any(|(_, value)| value.as_str().is_some_and(|value| value.contains(name)))
    }
}

/// The statements of a node for requests whose values lead into branches, each text once.
pub(super) fn statements(plan: &Plan, id: &NodeId) -> Vec<Statement> {
    let mut found: IndexMap<String, Statement> = IndexMap::new();
    let requests = requests(plan, id);
    if requests.is_empty() {
        return Vec::new();
    }
    let plain = plan.graph.branches(id).first();
    let plain = plain.and_then(|branch| plan.compile_branch(id, branch).ok());
    for (values, own) in requests {
        let Some(statement) = statement(plan, id, values, own) else {
            continue;
        };
        let text = statement.compiled.sql.text();
        if plain.as_ref().is_some_and(|plain| plain.sql.text() == text) {
            continue;
        }
        found.entry(text.to_owned()).or_insert(statement);
    }
    let numbered = found.into_values().enumerate();
    numbered
        .map(|(at, statement)| Statement {
            branch: at + 1,
            ..statement
        })
        .collect()
}

/// The values that lead into branches of a node, with what it renders to for them, and those that lead into branches of nodes of its pipe that it reads, where
/// these are chosen by more than the presence of parameters: there it may be other columns that are given. What another pipe can be asked for need not be meant
/// for this one.
fn requests(plan: &Plan, id: &NodeId) -> Vec<(Values, Option<Rendered>)> {
    let context = RenderContext::check();
    let own = plan.node(id).into_iter().flat_map(|(_, node)| {
        let own = node.template.requests(&context).into_iter();
        own.map(|(values, rendered)| (values, Some(rendered)))
    });
    let vertex = Vertex::Node(id.clone());
    let sources = plan.graph.closure(&vertex).into_iter();
    let of_sources = sources
        .filter_map(|source| match source {
            Vertex::Node(source) if source != id && source.pipe == id.pipe => plan.node(source),
            _ => None,
        })
        .filter(|(_, node)| {
            !node.template.is_static() && !asks_only_for_presence(node.template.text())
        })
        .flat_map(|(_, node)| node.template.requests(&context))
        .map(|(values, _)| (values, None));
    own.chain(of_sources).take(LIMIT).collect()
}

fn statement(plan: &Plan, id: &NodeId, values: Values, own: Option<Rendered>) -> Option<Statement> {
    let (_, node) = plan.node(id)?;
    let render = RenderContext::check();
    let rendered = match own {
        Some(rendered) => rendered,
        None => node.template.render(&values, &render).ok()?,
    };
    let scan = sql::scan(rendered.sql.text()).ok()?;
    let request = RequestContext {
        values: &values,
        render,
    };
    let compiled = plan
        .compile_node_as_written(id, request, RowFilters::NONE)
        .ok()?;
    // A name that is computed may be one that no branch was seen to name.
    let whole = sql::scan(compiled.sql.text()).ok()?;
    let reaches_outside = !sql::guard(&whole, &Policy::default(), Use::Node).is_empty();
    (!reaches_outside).then(|| Statement {
        node: id.clone(),
        branch: 0,
        compiled,
        fills: false,
        request: Some(Request {
            values,
            branch: Branch { rendered, scan },
        }),
    })
}
