//! Keys of a node that nothing acts on, because the node's `TYPE` is another one or is missing.
//!
//! A forgotten `TYPE` would else be noticed by nobody: the pipe runs, and what it was to fill stays empty.

use pipewright_grammar::diagnostic::{Applicability, Diagnostic, Edit, Severity};
use pipewright_grammar::source::Span;
use pipewright_grammar::syntax::{Directive, NodeKind};

use crate::diagnostics::codes;
use crate::project::{Node, Pipe, SourceTree};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Materialized,
    Copy,
    Sink,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Materialized, Self::Copy, Self::Sink];

    fn of(keyword: &str) -> Option<Self> {
        match keyword {
            "DATASOURCE" | "DEPLOYMENT_METHOD" => Some(Self::Materialized),
            "TARGET_DATASOURCE" | "ON_DEMAND_COMPUTE" => Some(Self::Copy),
            _ if is_engine(keyword) => Some(Self::Materialized),
            _ if keyword.starts_with("COPY_") => Some(Self::Copy),
            _ if keyword.starts_with("EXPORT_") => Some(Self::Sink),
            _ => None,
        }
    }

    /// The word after `TYPE`.
    fn name(self) -> &'static str {
        match self {
            Self::Materialized => "materialized",
            Self::Copy => "copy",
            Self::Sink => "sink",
        }
    }

    fn is_of(self, kind: &NodeKind) -> bool {
        match self {
            Self::Materialized => *kind == NodeKind::Materialized,
            Self::Copy => *kind == NodeKind::Copy,
            Self::Sink => matches!(kind, NodeKind::Sink | NodeKind::Stream),
        }
    }
}

/// Whether a key of a node, in upper case, has a meaning under one `TYPE` alone.
pub fn needs_type(keyword: &str) -> bool {
    Purpose::of(keyword).is_some()
}

fn is_engine(keyword: &str) -> bool {
    keyword == "ENGINE" || keyword.starts_with("ENGINE_")
}

/// Finds the keys of a node that have no effect in it.
pub(super) fn check(sources: &SourceTree, pipe: &Pipe, node: &Node) -> Vec<Diagnostic> {
    if matches!(node.kind, NodeKind::Other(_)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for purpose in Purpose::ALL {
        if purpose.is_of(&node.kind) {
            continue;
        }
        let (meant, keys): (Vec<_>, Vec<_>) = node
            .directives
            .iter()
            .filter(|directive| Purpose::of(&directive.keyword.value) == Some(purpose))
            .partition(|directive| is_target_of_copy(node, directive));
        found.extend(meant.into_iter().map(meant_for_copy));
        if let Some(first) = keys.first() {
            let at = first.keyword.span;
            found.push(if is_untyped(pipe, node) {
                without_type(purpose, at, &keys, typed(sources, node, purpose, at))
            } else {
                of_another_type(&node.kind, purpose, at, &keys)
            });
        }
    }
    found.extend(two_ways(node));
    found
}

/// A copy node without `TARGET_DATASOURCE` fills the data source that it names with `DATASOURCE`.
fn is_target_of_copy(node: &Node, directive: &Directive) -> bool {
    node.kind == NodeKind::Copy
        && directive.keyword.value == "DATASOURCE"
        && node.directive("TARGET_DATASOURCE").is_none()
}

fn meant_for_copy(directive: &Directive) -> Diagnostic {
    let keyword = directive.keyword.span;
    Diagnostic::warning(
        codes::MISPLACED_KEY,
        "a copy node names what it fills with `TARGET_DATASOURCE`",
    )
    .label(keyword, "read as `TARGET_DATASOURCE`")
    .fix(
        "write `TARGET_DATASOURCE`",
        Applicability::Safe,
        vec![Edit {
            span: keyword,
            replacement: "TARGET_DATASOURCE".to_owned(),
        }],
    )
}

fn without_type(purpose: Purpose, at: Span, keys: &[&Directive], edit: Edit) -> Diagnostic {
    let wanted = purpose.name();
    let message = format!("{} no effect in a node without `TYPE {wanted}`", have(keys));
    Diagnostic::error(codes::MISPLACED_KEY, message)
        .label(at, "")
        .help(format!("`TYPE {wanted}` might be missing"))
        .fix(
            format!("write `TYPE {wanted}`"),
            Applicability::Unsafe,
            vec![edit],
        )
}

fn of_another_type(kind: &NodeKind, purpose: Purpose, at: Span, keys: &[&Directive]) -> Diagnostic {
    let (wanted, own) = (purpose.name(), kind_name(kind));
    let message = format!("{} no effect in a node of `TYPE {own}`", have(keys));
    Diagnostic::new(severity(kind, keys), codes::MISPLACED_KEY, message)
        .label(at, format!("for `TYPE {wanted}`"))
        .help(format!("take it away, or make a node of `TYPE {wanted}`"))
}

/// The keys by name, and the verb.
fn have(keys: &[&Directive]) -> String {
    let names: Vec<String> = keys
        .iter()
        .map(|key| format!("`{}`", key.keyword.value))
        .collect();
    match names.as_slice() {
        [names @ .., last] if !names.is_empty() => {
            format!("{} and {last} have", names.join(", "))
        }
        names => format!("{} has", names.join("")),
    }
}

/// The edit that gives a node its type.
fn typed(sources: &SourceTree, node: &Node, purpose: Purpose, key: Span) -> Edit {
    let wanted = purpose.name();
    if let Some(span) = node.kind_at {
        // A `TYPE` without a word has its own place for that of a value.
        let is_empty = sources.slice(span).eq_ignore_ascii_case("type");
        let before = if is_empty { "TYPE " } else { "" };
        return Edit {
            span,
            replacement: format!("{before}{wanted}"),
        };
    }
    let before = &sources[key.source].text()[..key.range().start];
    let line = before.rsplit('\n').next().unwrap_or("");
    let indent = if line.trim().is_empty() { line } else { "" };
    Edit {
        span: Span {
            end: key.start,
            ..key
        },
        replacement: format!("TYPE {wanted}\n{indent}"),
    }
}

/// Whether it says nothing of what it is for; a Classic project serves such a node.
fn is_untyped(pipe: &Pipe, node: &Node) -> bool {
    node.kind == NodeKind::Standard || node.kind == NodeKind::Endpoint && pipe.published_by_default
}

/// What the reference refuses is an error; it takes any key in endpoints and streams, and Classic an engine in a copy.
fn severity(kind: &NodeKind, keys: &[&Directive]) -> Severity {
    let is_taken = match kind {
        NodeKind::Endpoint | NodeKind::Stream => true,
        NodeKind::Copy => keys.iter().all(|key| is_engine(&key.keyword.value)),
        _ => false,
    };
    if is_taken {
        Severity::Warning
    } else {
        Severity::Error
    }
}

fn kind_name(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Endpoint => "endpoint",
        NodeKind::Materialized => "materialized",
        NodeKind::Copy => "copy",
        NodeKind::Sink => "sink",
        NodeKind::Stream => "stream",
        NodeKind::Standard | NodeKind::Other(_) => "standard",
    }
}

/// Keys that say where files go and how they are written, in a sink that writes messages.
fn two_ways(node: &Node) -> Option<Diagnostic> {
    if node.kind != NodeKind::Sink {
        return None;
    }
    let given = |keyword: &str| {
        let mut directives = node.directives.iter();
        directives.find(|directive| {
            directive.keyword.value == keyword && !directive.value.value.trim().is_empty()
        })
    };
    let topic = given("EXPORT_KAFKA_TOPIC")?;
    let first = |keywords: &[&str]| keywords.iter().find_map(|keyword| given(keyword));
    if let Some(place) = first(&["EXPORT_BUCKET_URI", "EXPORT_FILE_TEMPLATE"]) {
        return Some(
            Diagnostic::error(
                codes::MISPLACED_KEY,
                format!(
                    "`{}` has no effect in a sink with `EXPORT_KAFKA_TOPIC`",
                    place.keyword.value
                ),
            )
            .label(place.keyword.span, "for files")
            .label(topic.keyword.span, "for messages")
            .help("a sink writes to a topic or to files: make a node of its own for the other"),
        );
    }
    let form = first(&[
        "EXPORT_FORMAT",
        "EXPORT_COMPRESSION",
        "EXPORT_STRATEGY",
        "EXPORT_WRITE_STRATEGY",
    ])?;
    Some(
        Diagnostic::new(
            Severity::Note,
            codes::MISPLACED_KEY,
            format!(
                "`{}` has no effect in a sink with `EXPORT_KAFKA_TOPIC`",
                form.keyword.value
            ),
        )
        .label(form.keyword.span, "for files")
        .help("each row is a message, a JSON object"),
    )
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::diagnostics::render;
    use crate::project::SourceTree;

    const TARGET: (&str, &str) = ("t.datasource", "SCHEMA >\n    `id` Int32\n");

    fn below(lines: &str) -> String {
        format!("NODE n\nSQL >\n    SELECT id FROM t\n{lines}")
    }

    /// What is found in a pipe, in a project with an endpoint of its own.
    fn found(pipe: &str) -> (SourceTree, Vec<pipewright_grammar::diagnostic::Diagnostic>) {
        let served = "NODE e\nSQL >\n    SELECT id FROM t\nTYPE endpoint\n";
        let files = [TARGET, ("p.pipe", pipe), ("served.pipe", served)];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let sources = SourceTree::new(files);
        let (_, mut found) = crate::check(sources.clone());
        found.retain(|found| found.code == crate::diagnostics::codes::MISPLACED_KEY);
        (sources, found)
    }

    fn said(lines: &str) -> String {
        let (sources, found) = found(&below(lines));
        render::concise(&found, sources.files())
    }

    /// The file after the fix of the only finding, which has one.
    fn fixed(pipe: &str) -> String {
        let (sources, found) = found(pipe);
        let [finding] = found.as_slice() else {
            panic!("{found:?}");
        };
        let edit = &finding.fixes[0].edits[0];
        let mut text = sources[edit.span.source].text().to_owned();
        text.replace_range(edit.span.range(), &edit.replacement);
        text
    }

    #[test]
    fn keys_whose_type_was_forgotten_are_found_and_it_is_proposed() {
        assert_snapshot!(said("DATASOURCE t\n"), @"p.pipe:4:1: error[misplaced-key]: `DATASOURCE` has no effect in a node without `TYPE materialized`");
        assert_snapshot!(said("TARGET_DATASOURCE t\nCOPY_SCHEDULE @on-demand\nMODE replace\n"), @"p.pipe:4:1: error[misplaced-key]: `TARGET_DATASOURCE`, `COPY_SCHEDULE` and `COPY_MODE` have no effect in a node without `TYPE copy`");
        assert_snapshot!(said("TYPE standard\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n"), @"p.pipe:5:1: error[misplaced-key]: `ENGINE` and `ENGINE_SORTING_KEY` have no effect in a node without `TYPE materialized`");
        assert_snapshot!(said("EXPORT_CONNECTION_NAME c\n"), @"p.pipe:4:1: error[misplaced-key]: `EXPORT_CONNECTION_NAME` has no effect in a node without `TYPE sink`");
        for (before, after) in [
            ("DATASOURCE t\n", "TYPE materialized\nDATASOURCE t\n"),
            (
                "TYPE standard\nDATASOURCE t\n",
                "TYPE materialized\nDATASOURCE t\n",
            ),
        ] {
            assert_eq!(fixed(&below(before)), below(after));
        }
        let (before, after) = ("NODE n\nTYPE\n", "NODE n\nTYPE copy\n");
        let rest = "  TARGET_DATASOURCE t\nSQL >\n    SELECT id FROM t\n";
        assert_eq!(fixed(&format!("{before}{rest}")), format!("{after}{rest}"));
        assert_eq!(
            fixed(&format!("NODE n\n{rest}")),
            format!("NODE n\n  TYPE copy\n{rest}")
        );
    }

    #[test]
    fn a_classic_pipe_that_is_served_for_want_of_a_type_is_found_too() {
        let pipe = "NODE n\nSQL >\n    SELECT id FROM t\nDATASOURCE t\n";
        let files = [TARGET, ("p.pipe", pipe)];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let sources = SourceTree::new(files);
        let (plan, found) = crate::check(sources.clone());
        assert!(plan.pipe("p").unwrap().endpoint.is_some());
        assert_snapshot!(render::concise(&found, sources.files()), @r"
        p.pipe:1:6: note[published-by-default]: pipe `p` has no `TYPE`: its last node is its endpoint, as in a Classic push
        p.pipe:4:1: error[misplaced-key]: `DATASOURCE` has no effect in a node without `TYPE materialized`
        ");
    }

    #[test]
    fn keys_of_one_type_under_another_are_found() {
        assert_snapshot!(said("TYPE materialized\nDATASOURCE t\nCOPY_MODE replace\n"), @"p.pipe:6:1: error[misplaced-key]: `COPY_MODE` has no effect in a node of `TYPE materialized`");
        assert_snapshot!(said("TYPE copy\nTARGET_DATASOURCE t\nDATASOURCE t\n"), @"p.pipe:6:1: error[misplaced-key]: `DATASOURCE` has no effect in a node of `TYPE copy`");
        // The reference takes any key in an endpoint, and its Classic client an engine in a copy.
        assert_snapshot!(said("TYPE endpoint\nCOPY_SCHEDULE 0 * * * *\n"), @"p.pipe:5:1: warning[misplaced-key]: `COPY_SCHEDULE` has no effect in a node of `TYPE endpoint`");
        assert_snapshot!(said("TYPE copy\nTARGET_DATASOURCE t\nENGINE \"MergeTree\"\n"), @"p.pipe:6:1: warning[misplaced-key]: `ENGINE` has no effect in a node of `TYPE copy`");
        assert_snapshot!(said("TYPE copy\nDATASOURCE t\n"), @"p.pipe:5:1: warning[misplaced-key]: a copy node names what it fills with `TARGET_DATASOURCE`");
        assert_eq!(
            fixed(&below("TYPE copy\nDATASOURCE t\n")),
            below("TYPE copy\nTARGET_DATASOURCE t\n")
        );
        for right in [
            "TYPE materialized\nDATASOURCE t\nENGINE \"MergeTree\"\nDEPLOYMENT_METHOD alter\n",
            "TYPE copy\nTARGET_DATASOURCE t\nCOPY_SCHEDULE @on-demand\nCOPY_MODE append\nON_DEMAND_COMPUTE true\n",
            "TYPE endpoint\n",
            "TYPE stream\nEXPORT_KAFKA_TOPIC t\n",
        ] {
            assert_eq!(said(right), "", "{right}");
        }
    }

    #[test]
    fn a_sink_writes_to_one_place() {
        let sink = "TYPE sink\nEXPORT_CONNECTION_NAME c\nEXPORT_KAFKA_TOPIC t\n";
        assert_eq!(said(sink), "");
        assert_snapshot!(said(&format!("{sink}EXPORT_BUCKET_URI s3://b\n")), @"p.pipe:7:1: error[misplaced-key]: `EXPORT_BUCKET_URI` has no effect in a sink with `EXPORT_KAFKA_TOPIC`");
        assert_snapshot!(said(&format!("{sink}EXPORT_FORMAT csv\n")), @"p.pipe:7:1: note[misplaced-key]: `EXPORT_FORMAT` has no effect in a sink with `EXPORT_KAFKA_TOPIC`");
    }
}
