//! Diagnostics as JSON objects, for other programs.

use pipewright_grammar::diagnostic::{Applicability, Diagnostic};
use serde_json::{Value, json};

use super::{locate, location, severity};
use crate::diagnostics::Sources;

/// Renders diagnostics as an array of objects. Places count lines and columns from 1; the end is the first place after.
pub fn json(diagnostics: &[Diagnostic], sources: &(impl Sources + ?Sized)) -> Value {
    diagnostics
        .iter()
        .map(|diagnostic| object(diagnostic, sources))
        .collect()
}

fn object(diagnostic: &Diagnostic, sources: &(impl Sources + ?Sized)) -> Value {
    let place = location(diagnostic, sources);
    let fixes: Vec<Value> = diagnostic
        .fixes
        .iter()
        .map(|fix| {
            let edits: Vec<Value> = fix
                .edits
                .iter()
                .map(|edit| {
                    let place = locate(edit.span, sources);
                    json!({
                        "file": place.map(|place| place.file),
                        "line": place.map(|place| place.line),
                        "column": place.map(|place| place.column),
                        "end_line": place.map(|place| place.end_line),
                        "end_column": place.map(|place| place.end_column),
                        "replacement": edit.replacement,
                    })
                })
                .collect();
            json!({
                "title": fix.title,
                "safe": fix.applicability == Applicability::Safe,
                "edits": edits,
            })
        })
        .collect();
    json!({
        "code": diagnostic.code.name(),
        "severity": severity(diagnostic.severity),
        "message": diagnostic.message,
        "file": place.map(|place| place.file),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "end_line": place.map(|place| place.end_line),
        "end_column": place.map(|place| place.end_column),
        "help": diagnostic.helps,
        "notes": diagnostic.notes,
        "fixes": fixes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::render::fixture::findings;
    use insta::assert_snapshot;

    #[test]
    fn each_finding_is_one_object() {
        let (files, findings) = findings();
        let shown = serde_json::to_string_pretty(&json(&findings, &files)).unwrap();
        assert_snapshot!(shown, @r#"
        [
          {
            "code": "stray-text",
            "severity": "error",
            "message": "unknown column `amout`",
            "file": "pipes/daily.pipe",
            "line": 3,
            "column": 21,
            "end_line": 3,
            "end_column": 26,
            "help": [
              "100% sure? `amount` might be meant"
            ],
            "notes": [
              "names are case-sensitive"
            ],
            "fixes": [
              {
                "title": "a column with a similar name exists",
                "safe": false,
                "edits": [
                  {
                    "file": "pipes/daily.pipe",
                    "line": 3,
                    "column": 21,
                    "end_line": 3,
                    "end_column": 26,
                    "replacement": "amount"
                  }
                ]
              }
            ]
          },
          {
            "code": "missing-schema",
            "severity": "warning",
            "message": "a second line\nin a message",
            "file": "datasources/orders, old.datasource",
            "line": 2,
            "column": 5,
            "end_line": 2,
            "end_column": 13,
            "help": [],
            "notes": [],
            "fixes": []
          },
          {
            "code": "missing-node",
            "severity": "error",
            "message": "nothing to compile",
            "file": null,
            "line": null,
            "column": null,
            "end_line": null,
            "end_column": null,
            "help": [],
            "notes": [],
            "fixes": []
          }
        ]
        "#);
    }
}
