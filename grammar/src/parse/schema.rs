//! `SCHEMA` → columns. Each entry stands for itself: a mistake in one leaves the others.

use std::collections::BTreeMap;
use std::ops::Range;

use super::clauses::default_kind;
use super::entries::{Kind, Tokens};
use super::index;
use crate::diagnostic::{Applicability, Code, Diagnostic, Edit};
use crate::source::{SourceId, Span, Spanned};
use crate::syntax::{ColumnDecl, DefaultKind, IndexDecl};

/// What a schema holds.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) columns: Vec<ColumnDecl>,
    /// Indexes that were written among the columns.
    pub(super) indexes: Vec<IndexDecl>,
}

/// Reads a schema that stands at `offset` of the file.
pub(super) fn read(
    text: &str,
    offset: usize,
    source: SourceId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Schema {
    let tokens = Tokens::read(text, offset, source);
    let mut reader = Reader {
        tokens: &tokens,
        schema: Schema::default(),
        diagnostics,
    };
    let mut at = 0;
    while at < tokens.len() {
        at = reader.entry(at);
    }
    let schema = reader.schema;
    report_duplicates(&schema.columns, diagnostics);
    schema
}

struct Reader<'a> {
    tokens: &'a Tokens,
    schema: Schema,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// Where an entry ends.
struct Extent {
    tokens: Range<usize>,
    next: usize,
    /// Whether a quote or parenthesis was reported in it.
    broken: bool,
}

impl Reader<'_> {
    /// Reads the entry that starts at a token and says where the next one starts.
    fn entry(&mut self, start: usize) -> usize {
        let extent = self.extent(start);
        let (tokens, next) = (extent.tokens, extent.next);
        if tokens.is_empty() {
            self.diagnostics.push(
                Diagnostic::warning(Code::INVALID_SCHEMA, "a column is missing before a comma")
                    .label(
                        self.tokens.span(start..start + 1),
                        "nothing stands before it",
                    ),
            );
            return next;
        }
        if extent.broken {
            let name = self.name(tokens.start);
            self.schema
                .columns
                .extend(name.map(|name| bare_column(name, self.tokens.span(tokens.clone()))));
            return next;
        }
        if self.tokens.is_word(start, "INDEX")
            && tokens.clone().any(|at| self.tokens.is_word(at, "TYPE"))
        {
            self.diagnostics.push(
                Diagnostic::warning(Code::MISPLACED_INDEX, "an index stands among the columns")
                    .label(
                        self.tokens.span(tokens.clone()),
                        "read as an entry of `INDEXES`",
                    )
                    .help("write it below `INDEXES >`"),
            );
            let found = index::entry(self.tokens, tokens, self.diagnostics);
            self.schema.indexes.extend(found);
            return next;
        }
        let end = self.column(tokens.clone());
        if end < tokens.end { end } else { next }
    }

    /// Finds the end of an entry: a comma outside of parentheses.
    fn extent(&mut self, start: usize) -> Extent {
        let mut at = start;
        let mut broken_at = None;
        while at < self.tokens.len() {
            if broken_at.is_some() && self.tokens.starts_line(at) {
                break;
            }
            match self.tokens.kind(at) {
                Some(Kind::Comma) if broken_at.is_none() => {
                    return Extent {
                        tokens: start..at,
                        next: at + 1,
                        broken: false,
                    };
                }
                Some(Kind::Open | Kind::Close) if self.tokens.partner(at).is_none() => {
                    self.unmatched(at, &mut broken_at);
                }
                Some(Kind::Unclosed) => {
                    let quote: String = self.tokens.token(at).chars().take(1).collect();
                    self.unclosed(at, &quote, &mut broken_at);
                }
                _ => {}
            }
            at = if broken_at.is_some() {
                at + 1
            } else {
                self.tokens.after(at)
            };
        }
        Extent {
            tokens: start..at,
            next: at,
            broken: broken_at.is_some(),
        }
    }

    fn unmatched(&mut self, at: usize, broken_at: &mut Option<usize>) {
        let sign = self.tokens.token(at).to_owned();
        if self.tokens.kind(at) == Some(Kind::Open) {
            self.unclosed(at, &sign, broken_at);
        } else if broken_at.replace(at).is_none() {
            self.diagnostics.push(
                Diagnostic::error(Code::INVALID_SCHEMA, format!("`{sign}` closes nothing")).label(
                    self.tokens.span(at..at + 1),
                    "no opening sign belongs to it",
                ),
            );
        }
    }

    fn unclosed(&mut self, at: usize, sign: &str, broken_at: &mut Option<usize>) {
        if broken_at.replace(at).is_none() {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::INVALID_SCHEMA,
                    if sign == "`" {
                        "a back-quote is not closed".to_owned()
                    } else {
                        format!("`{sign}` is not closed")
                    },
                )
                .label(self.tokens.span(at..at + 1), "opened here"),
            );
        }
    }

    /// The name that a column starts with.
    fn name(&mut self, at: usize) -> Option<Spanned<String>> {
        match self.tokens.kind(at) {
            Some(Kind::Word) => Some(self.tokens.part(at, 0, 0)),
            Some(Kind::BackQuoted | Kind::String) => Some(self.tokens.part(at, 1, 1)),
            _ => None,
        }
    }

    /// Reads one column and says where it really ended, which is earlier than `tokens` if a comma is missing.
    fn column(&mut self, tokens: Range<usize>) -> usize {
        let Some(name) = self.name(tokens.start) else {
            let found = self.tokens.token(tokens.start).to_owned();
            self.diagnostics.push(
                Diagnostic::error(
                    Code::INVALID_SCHEMA,
                    format!("`{found}` is not the name of a column"),
                )
                .label(
                    self.tokens.span(tokens.start..tokens.start + 1),
                    "a column name must stand here",
                ),
            );
            return tokens.end;
        };
        let mut column = bare_column(name, self.tokens.span(tokens.clone()));
        let mut at = tokens.start + 1;
        while at < tokens.end {
            if at > tokens.start + 1 && self.tokens.starts_column(at, tokens.end) {
                self.missing_comma(at);
                break;
            }
            at = self.clause(&mut column, at, tokens.end);
        }
        column.span = self.tokens.span(tokens.start..at);
        if column.data_type.is_none() && column.default.is_none() {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::MISSING_COLUMN_TYPE,
                    format!("column `{}` has no type", column.name.value),
                )
                .label(column.name.span, "a type must follow")
                .help("write `name Type`"),
            );
        }
        self.schema.columns.push(column);
        at
    }

    /// Reads what stands at `at`: a path, a codec, a default, or the type.
    fn clause(&mut self, column: &mut ColumnDecl, at: usize, end: usize) -> usize {
        let tokens = self.tokens;
        if tokens.kind(at) == Some(Kind::JsonPath) {
            let path = tokens.part(at, "`json:".len(), 1);
            column.json_path = Some(trimmed(&path));
            return at + 1;
        }
        if let Some(kind) = default_kind(tokens, at) {
            return self.default(column, kind, at, end);
        }
        if tokens.is_word(at, "CODEC") && tokens.kind(at + 1) == Some(Kind::Open) {
            let close = tokens.after(at + 1) - 1;
            column.codec = Some(tokens.slice(at + 2..close.max(at + 2)));
            return close + 1;
        }
        if tokens.is_word(at, "TTL") {
            let stop = self.tokens.expression_end(at + 1, end);
            column.ttl = Some(tokens.slice(at + 1..stop));
            return stop.max(at + 1);
        }
        if tokens.kind(at) == Some(Kind::Word) && tokens.token(at).starts_with("json:") {
            return self.bare_path(column, at, end);
        }
        if column.data_type.is_none()
            && column.default.is_none()
            && column.codec.is_none()
            && tokens.kind(at) == Some(Kind::Word)
        {
            let stop = self.tokens.type_end(at, end);
            column.data_type = Some(tokens.slice(at..stop));
            return stop;
        }
        let stop = self.tokens.expression_end(at + 1, end);
        let found = tokens.slice(at..stop);
        let mut diagnostic = Diagnostic::error(
            Code::INVALID_SCHEMA,
            format!(
                "`{}` is not expected in column `{}`",
                found.value, column.name.value
            ),
        )
        .label(found.span, "neither a type, default, codec nor JSON path");
        if tokens.is_word(at, "NULL") || tokens.is_word(at, "NOT") {
            diagnostic = diagnostic.help("columns without `Nullable(…)` are not nullable; `NULL` and `NOT NULL` are not written");
        }
        self.diagnostics.push(diagnostic);
        stop
    }

    fn default(
        &mut self,
        column: &mut ColumnDecl,
        kind: DefaultKind,
        at: usize,
        end: usize,
    ) -> usize {
        let stop = self.tokens.expression_end(at + 1, end);
        if stop == at + 1 && kind != DefaultKind::Ephemeral {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::INVALID_SCHEMA,
                    format!(
                        "`{}` of column `{}` has no expression",
                        self.tokens.token(at),
                        column.name.value
                    ),
                )
                .label(self.tokens.span(at..at + 1), "an expression must follow"),
            );
        }
        column.default = Some((kind, self.tokens.slice(at + 1..stop)));
        stop
    }

    /// A JSON path without back-quotes.
    fn bare_path(&mut self, column: &mut ColumnDecl, at: usize, end: usize) -> usize {
        let mut stop = at + 1;
        while stop < end && self.tokens.touches(stop) {
            stop += 1;
        }
        let path = self.tokens.slice(at..stop);
        self.diagnostics.push(
            Diagnostic::error(
                Code::INVALID_SCHEMA,
                format!(
                    "the JSON path of column `{}` needs back-quotes",
                    column.name.value
                ),
            )
            .label(path.span, "written without them")
            .fix(
                "put it in back-quotes",
                Applicability::Safe,
                vec![Edit {
                    span: path.span,
                    replacement: format!("`{}`", path.value),
                }],
            ),
        );
        let start = path.span.start as usize + "json:".len();
        let span = Span::new(path.span.source, start, path.span.end as usize);
        column.json_path = Some(Spanned::new(path.value["json:".len()..].to_owned(), span));
        stop
    }

    fn missing_comma(&mut self, at: usize) {
        let before = self.tokens.span(at - 1..at);
        let end = Span::new(before.source, before.end as usize, before.end as usize);
        self.diagnostics.push(
            Diagnostic::error(
                Code::MISSING_COMMA,
                "a comma is missing between two columns",
            )
            .label(end, "the column ends here")
            .label(self.tokens.span(at..at + 1), "the next one starts here")
            .fix(
                "add the comma",
                Applicability::Safe,
                vec![Edit {
                    span: end,
                    replacement: ",".to_owned(),
                }],
            ),
        );
    }
}

fn bare_column(name: Spanned<String>, span: Span) -> ColumnDecl {
    ColumnDecl {
        name,
        data_type: None,
        default: None,
        codec: None,
        json_path: None,
        ttl: None,
        span,
    }
}

fn trimmed(text: &Spanned<String>) -> Spanned<String> {
    let start = text.span.start as usize + text.value.len() - text.value.trim_start().len();
    let value = text.value.trim().to_owned();
    let span = Span::new(text.span.source, start, start + value.len());
    Spanned::new(value, span)
}

fn report_duplicates(columns: &[ColumnDecl], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for column in columns {
        if let Some(earlier) = seen.insert(column.name.as_str(), column.name.span) {
            diagnostics.push(
                Diagnostic::error(
                    Code::DUPLICATE_COLUMN,
                    format!("two columns are called `{}`", column.name.value),
                )
                .label(column.name.span, "the second one")
                .label(earlier, "the first one"),
            );
        }
    }
}
