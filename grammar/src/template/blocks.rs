//! Tags → items: pairs `{% if %}` with its `{% end %}`. Keeps its own stack instead of recursing.

use pest::Parser;
use pest::iterators::Pair;

use super::MAX_DEPTH;
use super::expression::{Builder, Built};
use super::grammar::{Rule, TemplateGrammar};
use super::open::{Kind, Open, Part};
use super::scan::after_string;
use super::tree::{Item, Template, Whitespace};
use crate::diagnostic::{Code, Diagnostic};
use crate::parse::Parsed;
use crate::source::Span;

/// Tags that the language reserves and refuses.
const FORBIDDEN: &[&str] = &[
    "raw",
    "module",
    "autoescape",
    "extends",
    "include",
    "block",
    "apply",
    "import",
    "from",
];

/// Statements of the wider language that a `set` must not hide.
const STATEMENTS: &[&str] = &[
    "import ",
    "from ",
    "del ",
    "return",
    "pass",
    "raise",
    "def ",
    "class ",
    "global ",
    "nonlocal ",
    "assert ",
    "with ",
    "if ",
    "for ",
    "while ",
    "try",
];

struct Blocks<'t> {
    text: &'t str,
    span: Span,
    diagnostics: Vec<Diagnostic>,
    /// The open blocks, each with the items before it.
    open: Vec<(Open, Vec<Item>)>,
    items: Vec<Item>,
}

pub(super) fn parse(text: &str, span: Span) -> Parsed<Template> {
    let mut blocks = Blocks {
        text,
        span,
        diagnostics: Vec::new(),
        open: Vec::new(),
        items: Vec::new(),
    };
    match TemplateGrammar::parse(Rule::template, text) {
        Ok(mut pairs) => {
            for pair in pairs.next().into_iter().flat_map(Pair::into_inner) {
                blocks.piece(&pair);
            }
        }
        Err(error) => blocks.fault(
            Code::TEMPLATE_TAG,
            span,
            error.variant.message().into_owned(),
        ),
    }
    blocks.finish()
}

/// Of so many blocks without an end one is told: the innermost ones.
const MOST_UNCLOSED: usize = 10;

impl Blocks<'_> {
    fn place(&self, start: usize, end: usize) -> Span {
        let base = self.span.start as usize;
        Span::new(self.span.source, base + start, base + end)
    }

    fn fault(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::error(code, message.into()).label(span, ""));
    }

    fn finish(mut self) -> Parsed<Template> {
        let mut said = 0;
        while let Some((open, before)) = self.open.pop() {
            self.items = before;
            said += 1;
            if said > MOST_UNCLOSED {
                continue;
            }
            let start = open.span.start as usize - self.span.start as usize;
            let line = self.text[..start].matches('\n').count() + 1;
            self.diagnostics.push(
                Diagnostic::error(
                    Code::TEMPLATE_UNCLOSED,
                    format!("the block opened on line {line} of the template has no `{{% end %}}`"),
                )
                .label(open.span, "opened here")
                .help("add `{% end %}` after the last line of the block"),
            );
        }
        Parsed {
            tree: Template { items: self.items },
            diagnostics: self.diagnostics,
        }
    }

    fn piece(&mut self, pair: &Pair<'_, Rule>) {
        let range = pair.as_span();
        let (start, end) = (range.start(), range.end());
        let span = self.place(start, end);
        match pair.as_rule() {
            Rule::text => self.items.push(Item::Text(span)),
            Rule::escape => {
                let span = self.place(start, end - 1);
                self.items.push(Item::Text(span));
            }
            Rule::output => self.output(start, end),
            Rule::statement => self.statement(start, end),
            Rule::unterminated => {
                let opener = &self.text[start..start + 2];
                let (what, closer) = match opener {
                    "{{" => ("expression", "}}"),
                    "{%" => ("block tag", "%}"),
                    _ => ("comment", "#}"),
                };
                let span = self.place(start, start + 2);
                self.fault(
                    Code::TEMPLATE_TAG,
                    span,
                    format!("the {what} is not closed: `{closer}` is missing"),
                );
            }
            _ => {}
        }
    }

    fn builder(&self, start: usize) -> Builder {
        Builder {
            source: self.span.source,
            base: self.span.start as usize + start,
            depth: 0,
        }
    }

    fn accept<T>(&mut self, built: Built<T>) -> Option<T> {
        built
            .map_err(|diagnostic| self.diagnostics.push(*diagnostic))
            .ok()
    }

    fn output(&mut self, start: usize, end: usize) {
        let inner = &self.text[start + 2..end - 2];
        let body = inner.trim();
        let span = self.place(start, end);
        if body.is_empty() {
            self.fault(Code::TEMPLATE_TAG, span, "the expression is empty");
            return;
        }
        let at = start + 2 + (inner.len() - inner.trim_start().len());
        if let Some(word) = reserved_word(body) {
            self.fault(
                Code::TEMPLATE_TAG,
                self.place(at + word, at + word + 4),
                "`from` is a reserved word and cannot be the name of a parameter",
            );
            return;
        }
        let built = self.builder(at).output(body);
        if let Some(value) = self.accept(built) {
            self.items.push(Item::Output { span, value });
        }
    }

    fn statement(&mut self, start: usize, end: usize) {
        let inner = &self.text[start + 2..end - 2];
        let body = inner.trim();
        let span = self.place(start, end);
        let at = start + 2 + (inner.len() - inner.trim_start().len());
        // Only a blank ends the keyword: `{% if<TAB>x %}` has the keyword `if<TAB>x`.
        let (keyword, rest) = body.split_once(' ').unwrap_or((body, ""));
        let suffix = rest.trim();
        let at = at + (body.len() - rest.len()) + (rest.len() - rest.trim_start().len());
        match keyword {
            "" => self.fault(Code::TEMPLATE_TAG, span, "the tag is empty"),
            "if" | "for" | "while" | "try" => self.opening(keyword, suffix, at, span),
            "elif" | "else" | "except" | "finally" => self.intermediate(keyword, suffix, at, span),
            "end" => self.end(span),
            "comment" => {}
            "set" => self.set(suffix, at, span),
            "break" | "continue" => self.jump(keyword, span),
            "whitespace" => match suffix {
                "all" => self.items.push(Item::Whitespace(span, Whitespace::All)),
                "single" => self.items.push(Item::Whitespace(span, Whitespace::Single)),
                "oneline" => self.items.push(Item::Whitespace(span, Whitespace::Oneline)),
                _ => self.fault(
                    Code::TEMPLATE_TAG,
                    span,
                    "`whitespace` takes `all`, `single` or `oneline`",
                ),
            },
            keyword if FORBIDDEN.contains(&keyword) => {
                self.fault(
                    Code::TEMPLATE_TAG,
                    span,
                    format!("`{keyword}` is forbidden"),
                );
            }
            keyword => {
                let mut diagnostic = Diagnostic::error(
                    Code::TEMPLATE_TAG,
                    format!("unknown tag `{}`", keyword.escape_debug()),
                )
                .label(span, "");
                if keyword.starts_with("end") {
                    diagnostic = diagnostic.help("every block ends with `{% end %}`");
                } else if keyword.starts_with('-') {
                    diagnostic = diagnostic.help("there is no `-` to trim blanks");
                }
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn opening(&mut self, keyword: &str, suffix: &str, at: usize, span: Span) {
        if self.open.len() >= MAX_DEPTH {
            if self.open.len() == MAX_DEPTH {
                self.fault(
                    Code::TEMPLATE_TAG,
                    span,
                    format!("more than {MAX_DEPTH} blocks inside each other"),
                );
            }
            self.push(span, Kind::Broken);
            return;
        }
        if suffix.is_empty() && keyword != "try" {
            self.fault(
                Code::TEMPLATE_EXPRESSION,
                span,
                format!("`{keyword}` needs an expression"),
            );
            self.push(span, Kind::Broken);
            return;
        }
        let builder = self.builder(at);
        let kind = match keyword {
            "if" => self
                .control(builder.condition(suffix), suffix)
                .map(|condition| Kind::If {
                    branches: Vec::new(),
                    condition: Some(condition),
                    otherwise: None,
                }),
            "while" => self
                .control(builder.condition(suffix), suffix)
                .map(|condition| Kind::While {
                    condition,
                    body: None,
                }),
            "for" => {
                let header = self.control(builder.for_header(suffix), suffix);
                header.map(|(target, iterable)| Kind::For {
                    target,
                    iterable,
                    body: None,
                })
            }
            _ => Some(Kind::Try {
                body: None,
                handlers: Vec::new(),
                otherwise: None,
                part: Part::Body,
            }),
        };
        self.push(span, kind.unwrap_or(Kind::Broken));
    }

    /// A condition that smuggles a second statement is refused as such, not as a mere syntax error.
    fn control<T>(&mut self, built: Built<T>, text: &str) -> Option<T> {
        let built = built.map_err(|mut diagnostic| {
            if text.contains(['\n', ';']) && text.contains(':') {
                diagnostic.code = Code::TEMPLATE_CONTROL;
            }
            diagnostic
        });
        self.accept(built)
    }

    fn push(&mut self, span: Span, kind: Kind) {
        let before = std::mem::take(&mut self.items);
        self.open.push((Open { span, kind }, before));
    }

    fn intermediate(&mut self, keyword: &str, suffix: &str, at: usize, span: Span) {
        if keyword == "else" && !suffix.is_empty() {
            self.fault(
                Code::TEMPLATE_CONTROL,
                span,
                "`else` takes no expression; write `elif`",
            );
            return;
        }
        let builder = self.builder(at);
        let condition = if keyword == "elif" {
            match self.control(builder.condition(suffix), suffix) {
                Some(condition) => Some(condition),
                None => return,
            }
        } else {
            None
        };
        let handler = if keyword == "except" {
            match self.control(builder.handler(suffix), suffix) {
                Some(handler) => Some(handler),
                None => return,
            }
        } else {
            None
        };
        let items = std::mem::take(&mut self.items);
        let fits = match self.open.last_mut() {
            None => false,
            Some((open, _)) => open.kind.switch(keyword, items, condition, handler),
        };
        if !fits {
            let known = self
                .open
                .last()
                .is_some_and(|(open, _)| open.kind.has_part(keyword));
            let (code, message) = if known {
                (Code::TEMPLATE_EXPRESSION, "stands too late in its block")
            } else {
                (
                    Code::TEMPLATE_TAG,
                    "does not belong to the block that it stands in",
                )
            };
            self.fault(code, span, format!("`{keyword}` {message}"));
        }
    }

    fn end(&mut self, span: Span) {
        let Some((open, before)) = self.open.pop() else {
            self.fault(
                Code::TEMPLATE_TAG,
                span,
                "`end` without a block that it could end",
            );
            return;
        };
        let last = std::mem::replace(&mut self.items, before);
        if let Some(item) = open.kind.close(open.span, last) {
            self.items.push(item);
        }
    }

    fn set(&mut self, suffix: &str, at: usize, span: Span) {
        if suffix.is_empty() {
            self.fault(Code::TEMPLATE_TAG, span, "`set` needs an assignment");
            return;
        }
        if STATEMENTS.iter().any(|word| suffix.starts_with(word)) {
            self.fault(
                Code::TEMPLATE_SET,
                span,
                "`set` takes an assignment or an expression, no other statement",
            );
            return;
        }
        let built = self
            .builder(at)
            .statement(suffix)
            .map_err(|mut diagnostic| {
                if suffix.contains([';', '\n']) {
                    diagnostic.code = Code::TEMPLATE_SET;
                }
                diagnostic
            });
        if let Some(statement) = self.accept(built) {
            self.items.push(Item::Set { span, statement });
        }
    }

    fn jump(&mut self, keyword: &str, span: Span) {
        let in_loop = self.open.iter().any(|(open, _)| {
            matches!(
                open.kind,
                Kind::For { .. } | Kind::While { .. } | Kind::Broken
            )
        });
        if !in_loop {
            self.fault(
                Code::TEMPLATE_TAG,
                span,
                format!("`{keyword}` outside of a loop"),
            );
        } else if keyword == "break" {
            self.items.push(Item::Break(span));
        } else {
            self.items.push(Item::Continue(span));
        }
    }
}

/// The offset of the word `from` used like a name, outside of strings.
fn reserved_word(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b'\'' | b'"') {
            at = after_string(bytes, at);
            continue;
        }
        let is_whole = bytes[at..].starts_with(b"from")
            && !bytes.get(at + 4).copied().is_some_and(word)
            && (at == 0 || !word(bytes[at - 1]));
        if is_whole {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_word_is_one_outside_of_strings() {
        for (body, at) in [
            ("String(from)", Some(7)),
            (r"String(x, 'a\\', description='the from date')", None),
            (r"String(x, 'it\'s from', '')", None),
            ("String(x, \"\"\"one \" from\"\"\")", None),
            ("String(x, '') + from", Some(16)),
            ("from_date + date_from + fromage", None),
            ("'open from", None),
        ] {
            assert_eq!(reserved_word(body), at, "{body}");
        }
    }
}
