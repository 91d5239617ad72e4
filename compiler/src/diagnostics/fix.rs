//! Safe fixes → changed text.

use pipewright_grammar::diagnostic::{Applicability, Diagnostic, Edit};
use pipewright_grammar::source::SourceFile;

/// The text of a file after the safe fixes of the diagnostics. A fix is applied whole or not at all; of two that touch the same place, the first one wins
/// and the other is for the next round.
pub fn apply_fixes(file: &SourceFile, diagnostics: &[Diagnostic]) -> String {
    let mut fixes: Vec<&[Edit]> = diagnostics
        .iter()
        .flat_map(|diagnostic| &diagnostic.fixes)
        .filter(|fix| fix.applicability == Applicability::Safe)
        .map(|fix| fix.edits.as_slice())
        .filter(|edits| edits.iter().all(|edit| fits(file, edit)))
        .collect();
    fixes.sort_by_key(|edits| edits.iter().map(|edit| edit.span).min());
    let mut accepted: Vec<&Edit> = Vec::new();
    for edits in fixes {
        let mut wanted: Vec<&Edit> = edits.iter().collect();
        wanted.sort_by_key(|edit| edit.span);
        let free_from = accepted.last().map(|edit| edit.span);
        let first = wanted.first().map(|edit| edit.span);
        // Fixes come in order of their first edit, so only what was accepted last can be in the way.
        let clear = match (free_from, first) {
            (Some(last), Some(first)) => {
                last.end < first.start
                    || last.end == first.start && !(last.is_empty() && first.is_empty())
            }
            _ => true,
        };
        if clear
            && wanted
                .windows(2)
                .all(|pair| pair[0].span.end <= pair[1].span.start)
        {
            accepted.extend(wanted);
        }
    }
    let text = file.text();
    let mut changed = String::with_capacity(text.len());
    let mut at = 0;
    for edit in accepted {
        changed.push_str(&text[at..edit.span.range().start]);
        changed.push_str(&edit.replacement);
        at = edit.span.range().end;
    }
    changed.push_str(&text[at..]);
    changed
}

/// Whether an edit is one of that file, at places that the file has.
fn fits(file: &SourceFile, edit: &Edit) -> bool {
    edit.span.source == file.id() && file.text().get(edit.span.range()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use pipewright_grammar::diagnostic::{Code, Severity};
    use pipewright_grammar::parse_pipe;
    use pipewright_grammar::source::{SourceId, Span};

    #[test]
    fn safe_fixes_of_a_pipe_make_it_free_of_findings() {
        let text = "NODE a\nSQL > SELECT 1\n    TYPE endpoint\nNODE b\nSQL SELECT 2\n";
        let file = SourceFile::new(SourceId(0), "a.pipe", text);
        let fixed = apply_fixes(&file, &parse_pipe(&file).diagnostics);
        assert_snapshot!(fixed, @r"
        NODE a
        SQL > 
            SELECT 1
        TYPE endpoint
        NODE b
        SQL >
            SELECT 2
        ");
        let file = SourceFile::new(SourceId(0), "a.pipe", fixed);
        assert_eq!(parse_pipe(&file).diagnostics, []);
    }

    #[test]
    fn unsafe_and_overlapping_fixes_are_left_out() {
        let file = SourceFile::new(SourceId(3), "a.pipe", "abcdef");
        let edit = |start, end, text: &str| Edit {
            span: Span::new(SourceId(3), start, end),
            replacement: text.to_owned(),
        };
        let code = Code::STRAY_TEXT;
        let diagnostics = [
            Diagnostic::new(Severity::Note, code, "").fix(
                "",
                Applicability::Safe,
                vec![edit(1, 3, "X")],
            ),
            Diagnostic::new(Severity::Note, code, "").fix(
                "",
                Applicability::Safe,
                vec![edit(2, 4, "Y")],
            ),
            Diagnostic::new(Severity::Note, code, "").fix(
                "",
                Applicability::Unsafe,
                vec![edit(4, 5, "Z")],
            ),
            Diagnostic::new(Severity::Note, code, "").fix(
                "",
                Applicability::Safe,
                vec![edit(90, 95, "W")],
            ),
            Diagnostic::new(Severity::Note, code, "").fix(
                "",
                Applicability::Safe,
                vec![edit(5, 6, ">"), edit(3, 3, "<")],
            ),
        ];
        assert_snapshot!(apply_fixes(&file, &diagnostics), @"aX<de>");
    }
}
