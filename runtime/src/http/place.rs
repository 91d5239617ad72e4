//! What an error of the engine is about: the place in the files, where what the engine says leads there, and the node that was asked.

use std::collections::BTreeSet;

use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::mapped_text::MappedText;
use pipewright_compiler::plan::{Plan, QUERY_SOURCE};
use pipewright_compiler::project::Node;
use pipewright_compiler::sql::places_of_name;
use pipewright_grammar::source::Span;

/// Where what a message is about stands in the files: the engine gives no position for names that it does not know, nor for functions that fail. Where several nodes
/// have the name, it cannot be told which one is meant.
pub(super) fn of_message(plan: &Plan, sql: &MappedText, message: &str) -> Option<Span> {
    subjects(message).find_map(|name| {
        let places = places_of_name(sql.text(), name);
        let mut spans = places.into_iter().filter_map(|offset| sql.locate(offset));
        let first = spans.next()?;
        let node = body_of(plan, first);
        spans
            .all(|other| other.source == first.source && body_of(plan, other) == node)
            .then_some(first)
    })
}

/// The names that a message may be about: what it quotes, the function that was at work, the function that is spoken of.
fn subjects(message: &str) -> impl Iterator<Item = &str> {
    const AT_WORK: &str = "while executing 'FUNCTION ";
    let quoted = message.split('`').nth(1);
    let behind = |at: Option<usize>, words: &str| {
        let rest = &message[at? + words.len()..];
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '_');
        Some(&rest[..end.unwrap_or(rest.len())])
    };
    let at_work = behind(message.rfind(AT_WORK), AT_WORK);
    let spoken_of = behind(message.find("unction "), "unction ");
    let names = [quoted, at_work, spoken_of].into_iter().flatten();
    names.filter(|name| !name.is_empty())
}

/// The node whose statement it is: of all that it is made of, the one that no other of them reads. A query of the caller's own is of none.
pub(super) fn asked<'a>(plan: &'a Plan, sql: &MappedText) -> Option<&'a NodeId> {
    let origins: BTreeSet<(u32, u32)> = sql
        .pieces()
        .filter_map(|(_, piece)| piece.origin)
        .map(|origin| (origin.source.0, origin.start))
        .collect();
    if origins.range((QUERY_SOURCE.0, 0)..).next().is_some() {
        return None;
    }
    let is_part = |node: &Node| {
        let body = node.body.span;
        let inside = (body.source.0, body.start)..=(body.source.0, body.end);
        origins.range(inside).next().is_some()
    };
    let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
    let parts: Vec<&NodeId> = nodes
        .map(|node| &node.id)
        .filter(|id| node(plan, id).is_some_and(is_part))
        .collect();
    let is_read = |id: &&NodeId| {
        let vertex = Vertex::Node((*id).clone());
        let readers = plan.graph.readers(&vertex);
        parts
            .iter()
            .any(|other| readers.contains(&Vertex::Node((*other).clone())))
    };
    let mut unread = parts.iter().filter(|id| !is_read(id));
    match (unread.next(), unread.next()) {
        (Some(id), None) => Some(id),
        _ => None,
    }
}

fn node<'a>(plan: &'a Plan, id: &NodeId) -> Option<&'a Node> {
    plan.project.pipes.get(&id.pipe)?.node(&id.node)
}

/// The SQL of the node in which a place is.
fn body_of(plan: &Plan, place: Span) -> Option<Span> {
    let pipes = plan.project.pipes.values();
    let mut bodies = pipes
        .flat_map(|pipe| &pipe.nodes)
        .map(|node| node.body.span);
    bodies.find(|body| {
        body.source == place.source && body.start <= place.start && place.start <= body.end
    })
}
