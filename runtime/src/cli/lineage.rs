//! `pipewright lineage`: where a column comes from, where it goes, and what a change of it would break.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use pipewright_compiler::graph::Vertex;
use pipewright_compiler::lineage::{
    ColumnId, Columns, Impact, Lineage as Found, Readers, Unused, find, impact, lineage, unused,
};
use pipewright_compiler::plan::Plan;
use serde_json::{Value, json};

use super::arguments::{Lineage, OutputFormat};
use super::check::plural;
use super::printer::Printer;
use super::{ExitStatus, checked, project_folder, report_errors};

pub(super) fn run(
    arguments: &Lineage,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let (plan, diagnostics) = checked(&folder)?;
    // A project with errors has a lineage all the same, of what can be read.
    report_errors(&plan, &diagnostics, &folder, printer);
    let found = lineage(&plan);
    let is_json = arguments.format == OutputFormat::Json;
    let Some(text) = &arguments.column else {
        let unused = unused(&plan, &found);
        if is_json {
            let report = if arguments.unused {
                json!({ "unused": unused })
            } else {
                summary_json(&plan, &found, &unused)
            };
            printer.data(&serde_json::to_string_pretty(&report)?)?;
        } else if arguments.unused {
            printer.data(&unused_text(&unused))?;
        } else {
            printer.data(&summary(&plan, &found, &unused))?;
            printer.hint("`pipewright lineage DATASOURCE.COLUMN` follows one column");
        }
        return Ok(ExitStatus::Success);
    };
    let column = match find(&plan, &found, text) {
        Ok(column) => column,
        Err(error) => {
            printer.error(&error.message);
            printer.hint(&error.help);
            return Ok(ExitStatus::Error);
        }
    };
    let impact = impact(&plan, &found, &column);
    if is_json {
        let report = column_json(&plan, &found, &column, &impact);
        printer.data(&serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitStatus::Success);
    }
    let mut out = String::new();
    if !arguments.breaks {
        _ = writeln!(out, "{}", titled(&plan, &column));
        trees(&found, &column, &mut out);
        out.push('\n');
    }
    breaks(&impact, &mut out);
    printer.data(&out)?;
    Ok(ExitStatus::Success)
}

/// The column with its type.
fn titled(plan: &Plan, column: &ColumnId) -> String {
    match data_type(plan, column) {
        Some(data_type) => format!("{column} ({data_type})"),
        None => column.to_string(),
    }
}

fn data_type<'p>(plan: &'p Plan, column: &ColumnId) -> Option<&'p str> {
    let Vertex::Datasource(name) = &column.vertex else {
        return None;
    };
    let name_of_column = column.column.as_deref()?;
    let mut columns = plan.tables.get(name)?.columns.iter();
    columns
        .find(|declared| declared.name == name_of_column)?
        .data_type
        .as_deref()
}

fn trees(found: &Found, column: &ColumnId, out: &mut String) {
    out.push_str("\ncomes from\n");
    let sources = found.sources(column);
    if sources.is_empty() {
        out.push_str(match &column.vertex {
            Vertex::Node(_) => "  no column: a constant, or a count of rows\n",
            Vertex::Datasource(_) | Vertex::Service(_) => "  what is inserted\n",
        });
    }
    upstream(found, column, 1, &mut BTreeSet::new(), out);
    let rows = found
        .columns(&column.vertex)
        .map(|columns| &columns.filters);
    let rows: Vec<String> = rows
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    if !rows.is_empty() {
        _ = writeln!(out, "  its rows depend on {}", rows.join(", "));
    }
    out.push_str("\ngoes into\n");
    let readers = found.readers();
    let before = out.len();
    downstream(&readers, column, 1, &mut BTreeSet::new(), out);
    if out.len() == before {
        out.push_str("  nothing\n");
    }
}

/// No tree is deeper than the longest chain of nodes; what stands elsewhere in the tree is not repeated.
fn upstream(
    found: &Found,
    column: &ColumnId,
    depth: usize,
    shown: &mut BTreeSet<ColumnId>,
    out: &mut String,
) {
    for source in found.sources(column) {
        let is_new = shown.insert(source.clone());
        let leads_on = !found.sources(&source).is_empty();
        let mark = match (is_new || !leads_on, &source.column) {
            (false, _) => " (see above)",
            (true, None) => " (any column: the SQL could not be read that far)",
            (true, Some(_)) => "",
        };
        _ = writeln!(out, "{:indent$}{source}{mark}", "", indent = depth * 2);
        if is_new {
            upstream(found, &source, depth + 1, shown, out);
        }
    }
}

fn downstream(
    readers: &Readers,
    column: &ColumnId,
    depth: usize,
    shown: &mut BTreeSet<ColumnId>,
    out: &mut String,
) {
    let indent = depth * 2;
    for reader in readers.values(column) {
        let is_new = shown.insert(reader.clone());
        let leads_on = !readers.values(reader).is_empty() || !readers.rows(reader).is_empty();
        let mark = if is_new || !leads_on {
            ""
        } else {
            " (see above)"
        };
        _ = writeln!(out, "{:indent$}{reader}{mark}", "");
        if is_new {
            downstream(readers, reader, depth + 1, shown, out);
        }
    }
    for vertex in readers.rows(column) {
        _ = writeln!(out, "{:indent$}the rows of {vertex}", "");
    }
}

fn breaks(impact: &Impact, out: &mut String) {
    out.push_str("without it\n");
    let before = out.len();
    for (node, role) in &impact.refused {
        _ = writeln!(out, "  {role} {node} fails");
    }
    for (node, columns) in &impact.changed {
        _ = writeln!(out, "  {node} no longer gives {}", columns.join(", "));
    }
    for (node, role) in &impact.unknown {
        _ = writeln!(out, "  {role} {node} may fail: its SQL could not be read");
    }
    if !impact.filled_by.is_empty() {
        let nodes = impact.filled_by.join(", ");
        _ = writeln!(out, "  {nodes} would fill a column that is not there");
    }
    if !impact.needed_by_table.is_empty() {
        let parts = impact.needed_by_table.join(", ");
        _ = writeln!(out, "  the table itself needs it: {parts}");
    }
    if out.len() == before {
        out.push_str("  nothing breaks\n");
    }
}

fn column_json(plan: &Plan, found: &Found, column: &ColumnId, impact: &Impact) -> Value {
    let readers = found.readers();
    let (mut columns, mut rows) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting = vec![column.clone()];
    while let Some(next) = waiting.pop() {
        rows.extend(readers.rows(&next).into_iter().map(ToString::to_string));
        for reader in readers.values(&next) {
            if columns.insert(reader.clone()) {
                waiting.push(reader.clone());
            }
        }
    }
    let breaks: BTreeSet<&str> = impact.breaks().collect();
    json!({
        "column": column,
        "type": data_type(plan, column),
        "from": found.sources(column),
        "origins": found.origins(column),
        "rows_depend_on": found.columns(&column.vertex).map(|columns| &columns.filters),
        "goes_into": columns,
        "decides_rows_of": rows,
        "breaks": breaks,
        "without_it": impact,
    })
}

/// The nodes of which not everything is known.
fn unknown(found: &Found) -> Vec<String> {
    let is_unknown = |columns: &Columns| columns.unknown || columns.more;
    let nodes = found.nodes.iter();
    nodes
        .filter(|(_, columns)| is_unknown(columns))
        .map(|(id, _)| id.to_string())
        .collect()
}

/// The names in nodes that are no column of what they read.
fn unresolved(found: &Found) -> BTreeMap<String, &BTreeSet<String>> {
    let nodes = found.nodes.iter();
    nodes
        .filter(|(_, columns)| !columns.unresolved.is_empty())
        .map(|(id, columns)| (id.to_string(), &columns.unresolved))
        .collect()
}

fn summary_json(plan: &Plan, found: &Found, unused: &[Unused]) -> Value {
    json!({
        "datasources": plan.tables.len(),
        "nodes": found.nodes.len(),
        "columns": count(found),
        "unknown": unknown(found),
        "unresolved": unresolved(found),
        "unused": unused,
    })
}

fn count(found: &Found) -> usize {
    found
        .vertices()
        .map(|(_, columns)| columns.columns.len())
        .sum()
}

fn summary(plan: &Plan, found: &Found, unused: &[Unused]) -> String {
    let mut out = String::new();
    let (tables, nodes) = (plan.tables.len(), found.nodes.len());
    _ = writeln!(
        out,
        "{tables} data {}, {nodes} {}, {} columns",
        plural(tables, "source"),
        plural(nodes, "node"),
        count(found)
    );
    let unknown = unknown(found);
    if !unknown.is_empty() {
        _ = writeln!(
            out,
            "\nnot everything is known of these nodes; what they read may be used by any of their columns"
        );
        for node in unknown {
            _ = writeln!(out, "  {node}");
        }
    }
    out.push('\n');
    out.push_str(&unused_text(unused));
    out
}

fn unused_text(unused: &[Unused]) -> String {
    if unused.is_empty() {
        return "every column of every data source is used by an endpoint, a sink or a data source that is filled\n".to_owned();
    }
    let mut out =
        "columns that no endpoint, no sink and no filled data source depends on\n".to_owned();
    for one in unused {
        _ = write!(out, "  {}", one.column);
        if let Some(data_type) = &one.data_type {
            _ = write!(out, " ({data_type})");
        }
        if !one.kept_by.is_empty() {
            _ = write!(out, ", needed by the table: {}", one.kept_by.join(", "));
        }
        if !one.named_in.is_empty() {
            _ = write!(out, ", named in {}", one.named_in.join(", "));
        }
        out.push('\n');
    }
    out
}
