//! All parse functions on arbitrary bytes: none panics, and every place that a diagnostic names exists.
//!
//! Run with `cargo +nightly fuzz run datafile` in the folder above `fuzz/`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{SourceFile, SourceId};
use pipewright_grammar::{
    parse_connection, parse_datasource, parse_include, parse_pipe, parse_token,
};

fuzz_target!(|bytes: &[u8]| {
    let (file, _) = SourceFile::from_bytes(SourceId(0), "fuzz", bytes.to_vec());
    let pipe = parse_pipe(&file);
    for sql in pipe.tree.nodes.iter().filter_map(|node| node.sql.as_ref()) {
        assert_eq!(sql.text.len(), sql.span.len());
    }
    check(&file, &pipe.diagnostics);
    check(&file, &parse_include(&file).diagnostics);
    check(&file, &parse_datasource(&file).diagnostics);
    check(&file, &parse_connection(&file).diagnostics);
    check(&file, &parse_token(&file).diagnostics);
});

fn check(file: &SourceFile, diagnostics: &[Diagnostic]) {
    for label in diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(file.text().get(label.span.range()).is_some());
    }
}
