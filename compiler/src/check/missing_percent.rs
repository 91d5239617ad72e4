//! Tags of the template language in SQL that is no template.

use pipewright_grammar::diagnostic::{Applicability, Diagnostic, Edit, Severity};
use pipewright_grammar::source::Span;
use pipewright_grammar::syntax::SqlBody;

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};
use crate::sql::lexer::{Kind, tokenize};
use crate::template::Template;

pub(super) const RULE: Rule = Rule {
    code: codes::MISSING_PERCENT,
    severity: Severity::Warning,
    by_default: true,
    summary: "tags of the template language in SQL that does not begin with %",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# missing-percent

## What it does
Finds `{{ … }}` and `{% … %}` in the SQL of nodes that does not begin with `%`. Braces inside of quotes and comments are text like any other there, and are no finding.

## Why is this bad
Only SQL that begins with `%` is a template. Any other reaches the engine as it is, tags and all, and the engine refuses it at every call.

## Example
    SQL >
        SELECT * FROM hits WHERE user = {{ String(user) }}

## Use instead
    SQL >
        %
        SELECT * FROM hits WHERE user = {{ String(user) }}
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let Some(source) = plan.project.pipes.get(&pipe.name) else {
        return Vec::new();
    };
    let nodes = source.nodes.iter().filter(|node| node.template.is_static());
    let found = nodes.filter_map(|node| {
        let tags = tags(&node.body.text);
        let at = node.body.span.start as usize + tags.first?;
        let message = format!(
            "node `{}` has tags of the template language, and its SQL does not begin with `%`",
            node.name.value
        );
        Some(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(
                    Span::new(node.body.span.source, at, at + 2),
                    "reaches the engine as it is",
                )
                .fix(
                    "begin with `%`",
                    applicability(&node.body, &tags),
                    vec![beginning(plan, &node.body)],
                ),
        )
    });
    found.collect()
}

/// The tags that begin in a text.
struct Tags {
    /// The first one outside of quotes and comments.
    first: Option<usize>,
    /// Whether others stand in quotes or comments.
    in_quotes: bool,
}

fn tags(text: &str) -> Tags {
    let written = || ["{{", "{%"].iter().flat_map(|tag| text.match_indices(tag));
    let mut all: Vec<usize> = written().map(|(at, _)| at).collect();
    all.sort_unstable();
    if all.is_empty() {
        return Tags {
            first: None,
            in_quotes: false,
        };
    }
    let Ok(tokens) = tokenize(text) else {
        // An apostrophe in a tag opens a quote that nothing closes: what is in quotes cannot be told, and the text is no statement in any case.
        return Tags {
            first: all.first().copied(),
            in_quotes: true,
        };
    };
    let outside: Vec<usize> = tokens
        .list
        .iter()
        .filter(|token| token.kind == Kind::OpenCurly)
        .map(|token| token.start as usize)
        .filter(|at| all.binary_search(at).is_ok())
        .collect();
    Tags {
        first: outside.first().copied(),
        in_quotes: outside.len() < all.len(),
    }
}

/// Whether the SQL surely means what its author meant once it is a template.
fn applicability(body: &SqlBody, tags: &Tags) -> Applicability {
    let (template, found) = Template::compile(&format!("%{}", body.text), body.span);
    if tags.in_quotes || template.error().is_some() || !found.is_empty() {
        Applicability::Unsafe
    } else {
        Applicability::Safe
    }
}

/// Puts `%` on a line of its own, as far in as the first line of the SQL.
fn beginning(plan: &Plan, body: &SqlBody) -> Edit {
    let at = body.span.start as usize;
    let file = plan
        .project
        .sources
        .files()
        .get(body.span.source.0 as usize);
    let before = file.and_then(|file| file.text().get(..at)).unwrap_or("");
    let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
    let indent = if line.trim().is_empty() { line } else { "    " };
    Edit {
        span: Span::new(body.span.source, at, at),
        replacement: format!("%\n{indent}"),
    }
}
