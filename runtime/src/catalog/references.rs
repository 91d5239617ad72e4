//! Follows a rename: the places where SQL names a resource, in the files as written, each replaced on its own.

use std::collections::BTreeMap;

use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::mapped_text::PieceKind;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::sql::{Position, TableReference, quote_identifier};
use pipewright_grammar::source::Span;

/// What gets a new name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Renamed<'a> {
    /// A pipe or data source: every pipe may read it.
    Resource(&'a str),
    /// A node: only its own pipe reads it.
    Node(&'a str, &'a str),
}

/// The files of a project in which the SQL of nodes reads the renamed resource, with the new name in place of the old.
pub(super) fn follow(plan: &Plan, renamed: Renamed<'_>, to: &str) -> BTreeMap<String, String> {
    let mut edits: BTreeMap<(u32, u32), (Span, String)> = BTreeMap::new();
    for (id, reads) in &plan.graph.reads {
        let Some(name) = name_in(plan, id, renamed) else {
            continue;
        };
        for branch in &reads.branches {
            let text = &branch.rendered.sql;
            for table in branch
                .scan
                .tables
                .iter()
                .filter(|table| table.database.is_none() && table.name == name)
            {
                let verbatim = text.pieces().any(|(range, piece)| {
                    piece.kind == PieceKind::Verbatim
                        && range.start <= table.span.start
                        && table.span.end <= range.end
                });
                let Some(span) = text.locate_range(table.span.clone()).filter(|_| verbatim) else {
                    continue;
                };
                edits.insert(
                    (span.source.0, span.start),
                    (span, replacement(table, name, to, text.text())),
                );
            }
        }
    }
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    // From the last place to the first, so that the places before stay right.
    for (span, new) in edits.into_values().rev() {
        let file = &plan.project.sources[span.source];
        let text = files
            .entry(file.name().to_owned())
            .or_insert_with(|| file.text().to_owned());
        text.replace_range(span.start as usize..span.end as usize, &new);
    }
    files
}

/// The name under which a node reads the renamed resource, if it does.
fn name_in<'a>(plan: &Plan, reader: &NodeId, renamed: Renamed<'a>) -> Option<&'a str> {
    let pipe = plan
        .project
        .pipes
        .get(&reader.pipe)
        .filter(|pipe| pipe.name.workspace.is_none())?;
    match renamed {
        // A node of that name in the reader's own pipe hides the resource, unless it is the reader itself.
        Renamed::Resource(name) => {
            (reader.node == name || pipe.node(name).is_none()).then_some(name)
        }
        Renamed::Node(owner, name) => {
            (pipe.name.name == owner && reader.node != name).then_some(name)
        }
    }
}

/// The new name; with the old one as its alias where the statement may use that to name columns.
fn replacement(table: &TableReference, from: &str, to: &str, sql: &str) -> String {
    let named = sql.matches(from).count() > 1;
    if table.position == Position::From
        && table.alias.is_none()
        && named
        && table.is_final.is_none()
        && table.sample.is_none()
    {
        return format!("{} AS {}", quote_identifier(to), quote_identifier(from));
    }
    quote_identifier(to)
}

/// Whether anything reads a resource of the project or fills it.
pub(super) fn readers(plan: &Plan, vertex: &Vertex) -> Vec<String> {
    plan.graph
        .readers(vertex)
        .into_iter()
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use pipewright_compiler::project::SourceTree;

    use super::*;

    #[test]
    fn every_place_follows_and_nothing_else() {
        let files = [
            ("a.pipe", "NODE n\nSQL >\n    SELECT 1 AS x\n"),
            (
                "b.pipe",
                "NODE m\nSQL >\n    SELECT a.x, 'a' AS s FROM a -- a\nNODE a_2\nSQL >\n    SELECT x FROM `a` AS q JOIN m USING x WHERE x IN a\n",
            ),
        ];
        let tree = SourceTree::new(files.map(|(path, text)| (path.to_owned(), text.to_owned())));
        let (plan, _) = pipewright_compiler::check(tree);
        let changed = follow(&plan, Renamed::Resource("a"), "new");
        insta::assert_snapshot!(changed["b.pipe"], @r"
        NODE m
        SQL >
            SELECT a.x, 'a' AS s FROM new AS a -- a
        NODE a_2
        SQL >
            SELECT x FROM new AS q JOIN m USING x WHERE x IN new
        ");
        let changed = follow(&plan, Renamed::Node("b", "m"), "first");
        assert!(
            changed["b.pipe"].contains("JOIN first USING x"),
            "{}",
            changed["b.pipe"]
        );
    }
}
