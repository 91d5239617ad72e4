//! Directives of data sources that nothing acts on: they are read, and whoever wrote them is told.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::syntax::Directive;

use crate::diagnostics::codes;
use crate::plan::Plan;

/// Keys that give an engine an argument, with the engines that take it.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("ENGINE_VER", &["ReplacingMergeTree"]),
    ("ENGINE_IS_DELETED", &["ReplacingMergeTree"]),
    ("ENGINE_COLUMNS", &["SummingMergeTree"]),
    (
        "ENGINE_SIGN",
        &["CollapsingMergeTree", "VersionedCollapsingMergeTree"],
    ),
    ("ENGINE_VERSION", &["VersionedCollapsingMergeTree"]),
];

/// Keys without effect, with what to write in their place.
const NOT_USED: &[(&str, &str)] = &[
    ("PARTITION_KEY", "write `ENGINE_PARTITION_KEY`"),
    ("SORTING_KEY", "write `ENGINE_SORTING_KEY`"),
    ("PRIMARY_KEY", "write `ENGINE_PRIMARY_KEY`"),
    ("SAMPLING_KEY", "write `ENGINE_SAMPLING_KEY`"),
    ("TTL", "write `ENGINE_TTL`"),
    (
        "IMPORT_STRATEGY",
        "rows are added; a replacement is asked for over HTTP",
    ),
    (
        "KAFKA_TARGET_PARTITIONS",
        "ClickHouse balances the partitions among its consumers",
    ),
    (
        "KAFKA_STORE_BINARY_HEADERS",
        "headers are kept as they come with `KAFKA_STORE_HEADERS`",
    ),
    (
        "KAFKA_KEY_AVRO_DESERIALIZATION",
        "keys of messages are kept as they come",
    ),
];

pub(super) fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for datasource in plan.project.datasources.values() {
        let Some(table) = plan.tables.get(&datasource.name) else {
            continue;
        };
        for directive in &datasource.syntax.directives {
            if !directive.value.value.trim().is_empty() {
                findings.extend(finding(directive, table.engine.name));
            }
        }
        if table.engine.name == "Null"
            && let Some(index) = datasource.syntax.indexes.first()
        {
            findings.push(without_effect(
                index.span,
                "`INDEXES`",
                "an engine that keeps no rows has nothing to find",
            ));
        }
    }
    findings
}

fn finding(directive: &Directive, engine: &str) -> Option<Diagnostic> {
    let keyword = directive.keyword.value.as_str();
    let at = directive.keyword.span;
    let named = format!("`{keyword}`");
    if let Some((_, engines)) = ARGUMENTS.iter().find(|(key, _)| *key == keyword) {
        let known = engines.contains(&engine);
        return (!known).then(|| {
            without_effect(
                at,
                &format!("{named} with {engine}"),
                &format!("it is a key of {}", engines.join(" and ")),
            )
        });
    }
    if keyword.starts_with("ENGINE_") && engine == "Null" {
        return Some(without_effect(
            at,
            &format!("{named} with {engine}"),
            "an engine that keeps no rows has no keys",
        ));
    }
    if keyword == "BACKFILL" && !directive.value.value.trim().eq_ignore_ascii_case("skip") {
        return Some(without_effect(
            directive.value.span,
            &format!("`BACKFILL {}`", directive.value.value.trim()),
            "the only value is `skip`",
        ));
    }
    let (_, help) = NOT_USED.iter().find(|(key, _)| *key == keyword)?;
    let mut finding = without_effect(at, &named, help);
    finding.severity = Severity::Note;
    Some(finding)
}

fn without_effect(at: pipewright_grammar::source::Span, what: &str, help: &str) -> Diagnostic {
    Diagnostic::warning(codes::IGNORED_KEY, format!("{what} has no effect"))
        .label(at, "")
        .help(help.to_owned())
}
