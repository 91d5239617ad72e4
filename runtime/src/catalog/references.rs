//! The places where SQL names a resource, in the files as written, each replaced on its own: to follow a rename, and to write a name where a request has an id.

use std::collections::BTreeMap;

use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::mapped_text::PieceKind;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::sql::{Position, TableReference, quote_identifier, scan};
use pipewright_grammar::source::Span;

use super::objects::Objects;

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
    edited(plan, |id, table, sql| {
        let name = name_in(plan, id, renamed)?;
        let is_meant = table.database.is_none() && table.name == name;
        is_meant.then(|| replacement(table, name, to, sql))
    })
}

/// The files of a project in which the SQL of nodes has ids, with the names in their place.
pub(super) fn named(plan: &Plan, objects: &Objects) -> BTreeMap<String, String> {
    edited(plan, |_, table, sql| name_of_id(plan, objects, table, sql))
}

/// A query with the names of resources in the place of their ids; `None` if it has none. Blanks make up for what a name is shorter, so that a place in the one is
/// the same place in the other: it is what errors are about.
pub(super) fn named_in(plan: &Plan, objects: &Objects, sql: &str) -> Option<String> {
    // What cannot be scanned is refused later, with the reason.
    let scan = has_id(sql).then(|| scan(sql).ok())??;
    let mut out = sql.to_owned();
    let mut tables: Vec<&TableReference> = scan.tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.span.start));
    for table in tables {
        if let Some(name) = name_of_id(plan, objects, table, sql) {
            let length = table.span.len();
            out.replace_range(table.span.clone(), &format!("{name:length$}"));
        }
    }
    Some(out)
}

/// Whether a text may have an id, with or without a prefix.
pub(super) fn has_id(text: &str) -> bool {
    let mut words = text.split(|character: char| !character.is_ascii_alphanumeric());
    words.any(|word| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The name of the resource whose id a statement has in the place of a table.
fn name_of_id(plan: &Plan, objects: &Objects, table: &TableReference, sql: &str) -> Option<String> {
    let reference = table.display_name();
    let is_name = plan.project.pipe(&reference).is_some()
        || plan.project.datasource(&reference).is_some()
        || table.is_literal
        || !has_id(&reference);
    if is_name {
        return None;
    }
    let name = objects.pipe_name(&reference);
    let name = name.or_else(|| objects.datasource_name(&reference))?;
    Some(replacement(table, &table.name, name, sql))
}

/// The files in which `edit` has something else for a table.
fn edited(
    plan: &Plan,
    edit: impl Fn(&NodeId, &TableReference, &str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut edits: BTreeMap<(u32, u32), (Span, String)> = BTreeMap::new();
    for (id, reads) in &plan.graph.reads {
        for branch in &reads.branches {
            let text = &branch.rendered.sql;
            for table in &branch.scan.tables {
                let Some(new) = edit(id, table, text.text()) else {
                    continue;
                };
                let verbatim = text.pieces().any(|(range, piece)| {
                    piece.kind == PieceKind::Verbatim
                        && range.start <= table.span.start
                        && table.span.end <= range.end
                });
                let Some(span) = text.locate_range(table.span.clone()).filter(|_| verbatim) else {
                    continue;
                };
                edits.insert((span.source.0, span.start), (span, new));
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
pub(super) fn name_in<'a>(plan: &Plan, reader: &NodeId, renamed: Renamed<'a>) -> Option<&'a str> {
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
