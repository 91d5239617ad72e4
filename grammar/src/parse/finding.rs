//! The wording of what parsing finds about directives. Each function makes one diagnostic.

use super::keyword::{Keyword, Kind};
use crate::diagnostic::{Applicability, Code, Diagnostic, Edit};
use crate::source::Span;

fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut characters = text.trim_end().chars();
    let short: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        format!("{short}…")
    } else {
        short
    }
}

fn edit(span: Span, replacement: impl Into<String>) -> Vec<Edit> {
    vec![Edit {
        span,
        replacement: replacement.into(),
    }]
}

fn after(span: Span) -> Span {
    Span::new(span.source, span.end as usize, span.end as usize)
}

fn before(span: Span) -> Span {
    Span::new(span.source, span.start as usize, span.start as usize)
}

pub(super) fn stray_text(text: &str, span: Span) -> Diagnostic {
    if text.starts_with("--") {
        let dashes = Span::new(span.source, span.start as usize, span.start as usize + 2);
        return Diagnostic::warning(Code::STRAY_TEXT, "an SQL comment stands outside of any SQL")
            .label(span, "not a directive")
            .note("outside of a block, comments start with `#`")
            .fix("write `#`", Applicability::Safe, edit(dashes, "#"));
    }
    Diagnostic::error(
        Code::STRAY_TEXT,
        format!("`{}` belongs to no directive", shown(text)),
    )
    .label(span, "not a directive, and no block is open here")
    .help("a value of several lines is written as a block: the keyword, ` >`, and the lines below it indented")
}

pub(super) fn unknown_directive(
    written: &str,
    near: Option<&Keyword>,
    kind: Kind,
    span: Span,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::UNKNOWN_DIRECTIVE,
        format!("unknown directive `{written}`"),
    )
    .label(
        span,
        format!("no directive of {} files has this name", kind.ending()),
    );
    if written.eq_ignore_ascii_case("SETTINGS") {
        return diagnostic
            .help("engine settings are written as `ENGINE_SETTINGS`")
            .fix(
                "write `ENGINE_SETTINGS`",
                Applicability::Unsafe,
                edit(span, "ENGINE_SETTINGS"),
            );
    }
    match near {
        Some(keyword) => diagnostic
            .help(format!("`{}` might be meant", keyword.name))
            .fix(
                format!("write `{}`", keyword.name),
                Applicability::Unsafe,
                edit(span, keyword.name),
            ),
        None => diagnostic,
    }
}

pub(super) fn misplaced_directive(keyword: &Keyword, kind: Kind, span: Span) -> Diagnostic {
    Diagnostic::warning(
        Code::MISPLACED_DIRECTIVE,
        format!(
            "`{}` has no effect in a {} file",
            keyword.name,
            kind.ending()
        ),
    )
    .label(span, "ignored")
    .help(format!("it belongs into {} files", keyword.endings()))
}

pub(super) fn indented_directive(keyword: &Keyword, indentation: Span) -> Diagnostic {
    Diagnostic::warning(
        Code::INDENTED_DIRECTIVE,
        format!("`{}` is indented below a block", keyword.name),
    )
    .label(
        indentation,
        format!("read as the directive `{}`", keyword.name),
    )
    .note("other readers of this format take indented lines for a part of the block above")
    .fix(
        "remove the indentation",
        Applicability::Safe,
        edit(indentation, ""),
    )
}

pub(super) fn text_after_marker(keyword: &Keyword, span: Span) -> Diagnostic {
    Diagnostic::warning(
        Code::TEXT_AFTER_BLOCK_MARKER,
        format!("text on the line of `{} >`", keyword.name),
    )
    .label(span, "read as the first line of the block")
    .note("other readers of this format lose what stands after `>`")
    .fix(
        "move it to a line of its own",
        Applicability::Safe,
        edit(before(span), "\n    "),
    )
}

pub(super) fn unexpected_block(keyword: &Keyword, span: Span) -> Diagnostic {
    Diagnostic::warning(
        Code::UNEXPECTED_BLOCK,
        format!("`{}` takes its value on the same line", keyword.name),
    )
    .label(span, "written as a block")
    .help(format!("write `{} value` without `>`", keyword.name))
}

pub(super) fn inline_sql(keyword: &Keyword, place: Span, blanks: Span) -> Diagnostic {
    Diagnostic::error(
        Code::INLINE_SQL,
        format!("the query of `{}` must be written as a block", keyword.name),
    )
    .label(place, "the query stands on the same line")
    .help(format!("write `{} >` and the SQL below it", keyword.name))
    .fix(
        "make it a block",
        Applicability::Safe,
        edit(blanks, " >\n    "),
    )
}

pub(super) fn missing_marker(keyword: &Keyword, place: Span) -> Diagnostic {
    Diagnostic::error(
        Code::MISSING_BLOCK_MARKER,
        format!("`{}` is not followed by `>`", keyword.name),
    )
    .label(place, "opens a block")
    .fix("add ` >`", Applicability::Safe, edit(after(place), " >"))
}

pub(super) fn duplicate_directive(name: &str, earlier: Span, later: Span) -> Diagnostic {
    Diagnostic::warning(
        Code::DUPLICATE_DIRECTIVE,
        format!("`{name}` is given twice, and the last one counts"),
    )
    .label(later, "this one counts")
    .label(earlier, "this one has no effect")
}

pub(super) fn missing_value(name: &str, place: Span) -> Diagnostic {
    Diagnostic::warning(Code::MISSING_VALUE, format!("`{name}` has no value"))
        .label(place, "nothing follows")
}
