//! Numbers and strings, also formatted ones, whose expressions are parsed like any other.

use pest::iterators::Pair;

use super::expression::{Builder, Built, first};
use super::grammar::Rule;
use super::literal::{RawPart, push_part, split_format, unescape};
use super::tree::{Expr, ExprKind, FormatPart};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

impl Builder {
    pub(super) fn strings(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut parts = Vec::new();
        let mut height = 0;
        let mut formatted = false;
        for string in pair.into_inner() {
            let mut pieces = string.into_inner();
            let prefix = pieces
                .next()
                .map(|prefix| prefix.as_str().to_ascii_lowercase())
                .unwrap_or_default();
            let quoted = first(pieces);
            let body = first(quoted.into_inner());
            if prefix.contains('b') {
                return Self::make(span, ExprKind::Unsupported("bytes"), 1);
            }
            let raw = prefix.contains('r');
            let text = |text: &str| {
                if raw {
                    Some(text.to_owned())
                } else {
                    unescape(text)
                }
            };
            let fault = || {
                Box::new(
                    Diagnostic::error(Code::TEMPLATE_EXPRESSION, "the string has a broken escape")
                        .label(span, ""),
                )
            };
            if prefix.contains('f') {
                formatted = true;
                let raw_parts = split_format(body.as_str()).ok_or_else(fault)?;
                let start = self.base + body.as_span().start();
                for part in raw_parts {
                    let part = match part {
                        RawPart::Text(part) => FormatPart::Text(text(&part).ok_or_else(fault)?),
                        RawPart::Value(expression, conversion, specification, offset) => {
                            let value = self.embedded(expression, start + offset, span)?;
                            height = height.max(value.height);
                            FormatPart::Value {
                                value,
                                conversion,
                                specification: specification.to_owned(),
                            }
                        }
                    };
                    push_part(&mut parts, part);
                }
            } else {
                let text = text(body.as_str()).ok_or_else(fault)?;
                push_part(&mut parts, FormatPart::Text(text));
            }
        }
        if formatted {
            return Self::make(span, ExprKind::Format(parts), height + 1);
        }
        let text = match parts.pop() {
            Some(FormatPart::Text(text)) => text,
            _ => String::new(),
        };
        Self::make(span, ExprKind::Str(text), 1)
    }

    /// The expression between the braces of an f-string.
    fn embedded(&self, text: &str, base: usize, span: Span) -> Built<Expr> {
        if self.depth >= 4 {
            return Err(Box::new(
                Diagnostic::error(Code::TEMPLATE_EXPRESSION, "f-strings nested too deeply")
                    .label(span, ""),
            ));
        }
        let lead = text.len() - text.trim_start().len();
        let builder = Builder {
            base: base + lead,
            depth: self.depth + 1,
            ..*self
        };
        builder.output(text.trim())
    }
}

/// What a number says, or why it is none of the language.
pub(super) fn number(text: &str) -> ExprKind {
    let clean: String = text.chars().filter(|character| *character != '_').collect();
    let lower = clean.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return u128::from_str_radix(digits, radix).map_or(
                ExprKind::Unsupported("an integer of more than 128 bits"),
                |value| ExprKind::Int(value.to_string()),
            );
        }
    }
    if lower.ends_with('j') {
        return ExprKind::Unsupported("a complex number");
    }
    if lower.contains(['.', 'e']) {
        return ExprKind::Float(lower.parse().unwrap_or(f64::INFINITY));
    }
    let digits = lower.trim_start_matches('0');
    if digits.len() < lower.len() && !digits.is_empty() {
        return ExprKind::Unsupported("a number with leading zeros");
    }
    ExprKind::Int(if digits.is_empty() { "0" } else { digits }.to_owned())
}
