//! `pipewright: allow(code)` in a comment.

use pipewright_grammar::diagnostic::Diagnostic;

use crate::plan::Plan;

/// Whether the line of a finding, or the one above, allows it.
pub(super) fn is_silenced(plan: &Plan, finding: &Diagnostic) -> bool {
    let files = plan.project.sources.files();
    let Some((file, span)) = finding
        .primary()
        .and_then(|span| Some((files.get(span.source.0 as usize)?, span)))
    else {
        return false;
    };
    let text = file.text();
    let Some(before) = text.get(..span.start as usize) else {
        return false;
    };
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let above = before[..start]
        .trim_end_matches(['\n', '\r'])
        .lines()
        .next_back();
    [Some(&text[start..end]), above]
        .into_iter()
        .flatten()
        .any(|line| allows(line, finding.code.name()))
}

fn allows(line: &str, code: &str) -> bool {
    let list = line
        .split_once("pipewright: allow(")
        .and_then(|(before, rest)| before.contains(['-', '#', '*']).then_some(rest))
        .and_then(|rest| rest.split_once(')'));
    list.is_some_and(|(codes, _)| codes.split(',').any(|allowed| allowed.trim() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_allows_the_codes_it_lists() {
        assert!(allows("SELECT now() -- pipewright: allow(a-b, c)", "c"));
        assert!(!allows("SELECT now() -- pipewright: allow(a-b, c)", "a"));
        assert!(!allows("pipewright: allow(c)", "c"));
    }
}
