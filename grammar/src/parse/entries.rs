//! The text of a `SCHEMA` or `INDEXES` value → words, with the matching of parentheses, ready to be cut into entries.

use std::ops::Range;

use pest::Parser;
use pest_derive::Parser;

use crate::source::{SourceId, Span, Spanned};

/// The generated parser of `schema.pest`, which matches every text.
#[derive(Parser)]
#[grammar = "schema.pest"]
struct SchemaParser;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    BackQuoted,
    JsonPath,
    String,
    /// A quote without its partner, and the rest of the line.
    Unclosed,
    Open,
    Close,
    Comma,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// The words of one value. Ranges are of `text`, which stands at `offset` of the file.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The value with its comments blank.
    text: String,
    offset: usize,
    source: SourceId,
    list: Vec<Token>,
    /// For each opening sign, the index of the sign that closes it.
    partners: Vec<Option<usize>>,
}

impl Tokens {
    pub(super) fn read(text: &str, offset: usize, source: SourceId) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        let mut tokens = Vec::new();
        let pairs = SchemaParser::parse(Rule::tokens, text)
            .into_iter()
            .flatten()
            .flat_map(pest::iterators::Pair::into_inner);
        for pair in pairs {
            let range = pair.as_span().start()..pair.as_span().end();
            let kind = match pair.as_rule() {
                Rule::comment => {
                    bytes[range].fill(b' ');
                    continue;
                }
                Rule::word => Kind::Word,
                Rule::back_quoted => Kind::BackQuoted,
                Rule::json_path => Kind::JsonPath,
                Rule::string => Kind::String,
                Rule::unclosed => Kind::Unclosed,
                Rule::open => Kind::Open,
                Rule::close => Kind::Close,
                Rule::comma => Kind::Comma,
                Rule::other => Kind::Other,
                _ => continue,
            };
            tokens.push(Token { kind, range });
        }
        let partners = partners(&tokens, text);
        Self {
            text: String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned()),
            offset,
            source,
            list: tokens,
            partners,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn kind(&self, index: usize) -> Option<Kind> {
        self.list.get(index).map(|token| token.kind)
    }

    /// The text of one token.
    pub(super) fn token(&self, index: usize) -> &str {
        self.list
            .get(index)
            .map_or("", |token| &self.text[token.range.clone()])
    }

    /// Whether the token is that word, in any case.
    pub(super) fn is_word(&self, index: usize, word: &str) -> bool {
        self.kind(index) == Some(Kind::Word) && self.token(index).eq_ignore_ascii_case(word)
    }

    /// The text and place of some tokens with what stands between them; empty at the end of the token before if there are none.
    pub(super) fn slice(&self, tokens: Range<usize>) -> Spanned<String> {
        if tokens.is_empty() {
            let at = tokens
                .start
                .checked_sub(1)
                .and_then(|before| self.list.get(before))
                .map_or(0, |token| token.range.end);
            return Spanned::new(String::new(), self.span_of(at..at));
        }
        let range = self.list[tokens.start].range.start..self.list[tokens.end - 1].range.end;
        Spanned::new(self.text[range.clone()].to_owned(), self.span_of(range))
    }

    /// The place of some tokens.
    pub(super) fn span(&self, tokens: Range<usize>) -> Span {
        match (
            self.list.get(tokens.start),
            self.list.get(tokens.end.max(1) - 1),
        ) {
            (Some(first), Some(last)) if !tokens.is_empty() => {
                self.span_of(first.range.start..last.range.end)
            }
            _ => self.slice(0..0).span,
        }
    }

    /// A part of one token.
    pub(super) fn part(&self, index: usize, skip_start: usize, skip_end: usize) -> Spanned<String> {
        let range = self.list[index].range.clone();
        let range = range.start + skip_start..range.end - skip_end;
        Spanned::new(self.text[range.clone()].to_owned(), self.span_of(range))
    }

    fn span_of(&self, range: Range<usize>) -> Span {
        Span::new(
            self.source,
            self.offset + range.start,
            self.offset + range.end,
        )
    }

    /// Whether a line ends between the token before and this one.
    pub(super) fn starts_line(&self, index: usize) -> bool {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.list.get(before));
        match (before, self.list.get(index)) {
            (Some(before), Some(token)) => {
                self.text[before.range.end..token.range.start].contains(['\n', '\r'])
            }
            _ => true,
        }
    }

    /// Whether the token follows the one before without a blank.
    pub(super) fn touches(&self, index: usize) -> bool {
        index > 0
            && index < self.len()
            && self.list[index - 1].range.end == self.list[index].range.start
    }

    /// The closing partner of an opening sign.
    pub(super) fn partner(&self, index: usize) -> Option<usize> {
        self.partners.get(index).copied().flatten()
    }

    /// The token after this one, with all that is in its parentheses if it opens some.
    pub(super) fn after(&self, index: usize) -> usize {
        self.partner(index).unwrap_or(index) + 1
    }
}

/// Matches opening and closing signs in one pass. A JSON path never stands in parentheses, and a quote that is not closed may have hidden their end:
/// both show that what is open was meant to be closed before, so that the columns below are not swallowed.
fn partners(tokens: &[Token], text: &str) -> Vec<Option<usize>> {
    let mut partners = vec![None; tokens.len()];
    let mut open: Vec<usize> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open => open.push(index),
            Kind::JsonPath | Kind::Unclosed => open.clear(),
            Kind::Close => {
                let closes = |opening: usize| {
                    matches!(
                        (
                            &text[tokens[opening].range.clone()],
                            &text[token.range.clone()]
                        ),
                        ("(", ")") | ("[", "]") | ("{", "}")
                    )
                };
                if let Some(opening) = open.pop_if(|opening| closes(*opening)) {
                    partners[opening] = Some(index);
                    partners[index] = Some(index);
                }
            }
            _ => {}
        }
    }
    partners
}
