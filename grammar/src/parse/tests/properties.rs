//! What holds for every text.

use proptest::prelude::*;

use super::file;
use crate::diagnostic::Diagnostic;
use crate::parse::{parse_connection, parse_datasource, parse_include, parse_pipe, parse_token};
use crate::source::{SourceFile, SourceId, Span};
use crate::syntax::SqlBody;

/// Pieces that real files are made of.
const PIECES: &[&str] = &[
    "NODE a\n",
    "NODE",
    "SQL >\n",
    "SQL > ",
    "SQL",
    "    SELECT 1\n",
    "TYPE endpoint\n",
    "    TYPE copy\n",
    "DESCRIPTION >\n",
    "DESCRIPTION x\n",
    "SCHEMA >\n",
    "    a String,\n",
    "    `b` Array(Tuple(x String, y Int8)) DEFAULT [] CODEC(ZSTD(1)) `json:$.b[:]`,\n",
    "INDEXES >\n",
    "    Nice a TYPE minmax GRANULARITY 1\n",
    "ENGINE \"MergeTree\"\n",
    "ENGINE_TTL",
    "TOKEN \"x\" READ\n",
    "TAGS \"a, b\"\n",
    "INCLUDE \"x\" \"K=v\"\n",
    "SHARED_WITH >\n",
    "SCOPE PIPES:READ\n",
    "RESOURCE r\n",
    "FILTER x = 1\n",
    "# note\n",
    "-- note\n",
    "%\n",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "'",
    "\"",
    "`",
    "\\",
    "(",
    ")",
    "[",
    "]",
    ",",
    ">",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\u{FEFF}",
    "\u{201C}",
    "ß",
    "\u{1F980}",
    "\0",
    "$X",
    "json:",
    "type",
    "filter from x\n",
    "FOO >\n",
    "TYPO endpoint\n",
    "/*",
    "*/",
    "--",
];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        proptest::collection::vec(proptest::sample::select(PIECES), 0..40)
            .prop_map(|pieces| pieces.concat()),
    ]
}

fn check_span(file: &SourceFile, span: Span) {
    assert_eq!(span.source, file.id());
    assert!(
        file.text().get(span.range()).is_some(),
        "{span:?} is no part of {:?}",
        file.text()
    );
}

fn check_sql(file: &SourceFile, sql: &SqlBody) {
    check_span(file, sql.span);
    assert_eq!(sql.text.len(), sql.span.len());
    assert_eq!(sql.text.trim_ascii(), sql.text);
    for (kept, written) in sql.text.bytes().zip(file.slice(sql.span).bytes()) {
        assert!(kept == written || kept == b' ');
    }
}

fn check_findings(file: &SourceFile, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(
            diagnostic.primary().is_some(),
            "{diagnostic:?} has no place"
        );
        for label in &diagnostic.labels {
            check_span(file, label.span);
        }
        for edit in diagnostic.fixes.iter().flat_map(|fix| &fix.edits) {
            check_span(file, edit.span);
        }
    }
    assert!(diagnostics.is_sorted_by_key(Diagnostic::primary));
}

fn check_pipe(file: &SourceFile, parsed: &crate::parse::Parsed<crate::syntax::PipeFile>) {
    check_findings(file, &parsed.diagnostics);
    let tree = &parsed.tree;
    let nodes = tree.nodes.iter();
    let texts = tree
        .description
        .iter()
        .chain(&tree.tags)
        .chain(nodes.clone().flat_map(|node| &node.description));
    for text in texts.chain(nodes.clone().map(|node| &node.name)) {
        check_span(file, text.span);
    }
    for directive in tree
        .directives
        .iter()
        .chain(nodes.clone().flat_map(|node| &node.directives))
    {
        check_span(file, directive.keyword.span);
        check_span(file, directive.value.span);
    }
    for node in nodes.clone() {
        check_span(file, node.span);
    }
    for sql in tree
        .sql
        .iter()
        .chain(nodes.filter_map(|node| node.sql.as_ref()))
    {
        check_sql(file, sql);
    }
}

fn check_datasource(file: &SourceFile) {
    let parsed = parse_datasource(file);
    check_findings(file, &parsed.diagnostics);
    for column in &parsed.tree.columns {
        check_span(file, column.span);
        let default = column.default.as_ref().map(|(_, text)| text);
        let parts = [
            column.data_type.as_ref(),
            default,
            column.codec.as_ref(),
            column.json_path.as_ref(),
            column.ttl.as_ref(),
        ];
        for part in parts.into_iter().flatten().chain([&column.name]) {
            check_span(file, part.span);
            assert_eq!(part.span.len(), part.value.len());
        }
    }
    for index in &parsed.tree.indexes {
        for part in [&index.name, &index.expression, &index.kind] {
            check_span(file, part.span);
        }
        check_span(file, index.span);
    }
    for directive in &parsed.tree.directives {
        check_span(file, directive.value.span);
    }
    if let Some(sql) = &parsed.tree.forward_query {
        check_sql(file, sql);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_has_a_tree_whose_places_exist(text in texts()) {
        let file = file(&text);
        check_pipe(&file, &parse_pipe(&file));
        check_pipe(&file, &parse_include(&file));
        check_datasource(&file);
        check_findings(&file, &parse_connection(&file).diagnostics);
        check_findings(&file, &parse_token(&file).diagnostics);
    }

    #[test]
    fn a_schema_of_anything_has_a_tree_whose_places_exist(text in texts()) {
        check_datasource(&file(&format!("SCHEMA >\n {text}")));
        check_datasource(&file(&format!("INDEXES >\n {text}")));
    }

    #[test]
    fn every_bytes_have_a_tree(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (file, _) = SourceFile::from_bytes(SourceId(0), "file", bytes);
        check_pipe(&file, &parse_pipe(&file));
        check_datasource(&file);
    }
}

/// Texts on which a careless parser recurses: one call per sign would overflow the stack. Their time is measured by the benchmark, not here.
#[test]
fn hostile_texts_neither_panic_nor_recurse() {
    const TIMES: usize = 200;
    const DEEP: usize = 100_000;
    let bodies = [
        "(",
        ")",
        "'",
        "\"",
        "`",
        "\\'",
        "{{",
        "{%",
        "/*",
        "((a)",
        "\u{201C}a ",
        "'a ",
        "-- ",
        "#",
        "# #",
        "a,",
        "a Array(\n",
        "a '\n",
        "a `\n",
        ",",
        "%",
        "json:",
        "a TYPE ",
        "    TYPE endpoint\n",
        "    SQL >\n",
        "NODE a\n",
        "SQL >\n x\n",
        "SQL > x\n",
        "FOO >\n",
        "TYPO endpoint\n",
        "TAGS a\n",
        "\r",
        "\n",
        " ",
        "x\n",
        "DESCRIPTION\n",
        "INCLUDE a.incl",
        ".inc",
        "ENGINE (",
        "TOKEN",
    ];
    for deep in ["(", "[", "Array(", "{{", "((a)"] {
        let deep = deep.repeat(DEEP);
        check_datasource(&file(&format!("SCHEMA >\n    a {deep}")));
        check_findings(&file(&deep), &parse_pipe(&file(&deep)).diagnostics);
    }
    for body in bodies {
        let body = body.repeat(TIMES);
        for start in [
            "",
            "NODE a\nSQL >\n  ",
            "NODE a\nSQL >\n%\n",
            "SCHEMA >\n  ",
            "INDEXES >\n  ",
            "DESCRIPTION >\n",
            "DESCRIPTION ",
            "TAGS ",
            "NODE a\nSQL >\nINCLUDE ",
        ] {
            let file = file(&format!("{start}{body}"));
            check_findings(&file, &parse_pipe(&file).diagnostics);
            check_findings(&file, &parse_datasource(&file).diagnostics);
        }
    }
}
