//! What stands after a keyword on its line → words, and the value that they make.

use std::ops::Range;

use pest::Parser;

use super::{DatafileParser, Rule};
use crate::source::{SourceId, Span, Spanned};

/// The quotes that may stand around a value; they need not match, since word processors change them.
const QUOTES: [char; 6] = ['"', '\'', '\u{201C}', '\u{201D}', '\u{2018}', '\u{2019}'];

/// The words of a line, and where they stand in the file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Words<'a> {
    words: Vec<(&'a str, usize)>,
    /// Where a value would stand if there is none.
    empty_at: usize,
}

impl<'a> Words<'a> {
    /// Splits the text that stands at `offset` of a file. A `#` outside of quotes ends it.
    pub(super) fn split(text: &'a str, offset: usize) -> Self {
        let words = DatafileParser::parse(Rule::value, text)
            .into_iter()
            .flatten()
            .flat_map(pest::iterators::Pair::into_inner)
            .filter(|pair| matches!(pair.as_rule(), Rule::quoted | Rule::bare))
            .map(|pair| (pair.as_str(), offset + pair.as_span().start()))
            .collect();
        Self {
            words,
            empty_at: offset,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// From the first byte of the first word to the last byte of the last.
    pub(super) fn range(&self) -> Range<usize> {
        match (self.words.first(), self.words.last()) {
            (Some((_, start)), Some((last, at))) => *start..at + last.len(),
            _ => self.empty_at..self.empty_at,
        }
    }

    /// One word without its quotes.
    pub(super) fn word(&self, index: usize, source: SourceId) -> Option<Spanned<String>> {
        let (word, at) = self.words.get(index)?;
        Some(unquoted(word, *at, source))
    }

    /// All words with one blank between them, without outer quotes.
    pub(super) fn joined(&self, source: SourceId) -> Spanned<String> {
        let range = self.range();
        let text = self.text();
        let inner = without_quotes(&text);
        let lead = quote_length(&text, inner);
        let trail = text.len() - lead - inner.len();
        let span = Span::new(source, range.start + lead, range.end - trail);
        Spanned::new(inner.to_owned(), span)
    }

    /// All words with one blank between them, quotes and all.
    pub(super) fn verbatim(&self, source: SourceId) -> Spanned<String> {
        let range = self.range();
        Spanned::new(self.text(), Span::new(source, range.start, range.end))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut end = None;
        for (word, at) in &self.words {
            if end.is_some_and(|end| end < *at) {
                text.push(' ');
            }
            text.push_str(word);
            end = Some(at + word.len());
        }
        text
    }
}

/// Takes one pair of outer quotes off.
pub(super) fn without_quotes(text: &str) -> &str {
    let mut characters = text.chars();
    match (characters.next(), characters.next_back()) {
        (Some(first), Some(last)) if QUOTES.contains(&first) && QUOTES.contains(&last) => {
            characters.as_str()
        }
        _ => text,
    }
}

/// The length of the opening quote that [`without_quotes`] took off.
fn quote_length(text: &str, inner: &str) -> usize {
    if inner.len() == text.len() {
        return 0;
    }
    text.chars().next().map_or(0, char::len_utf8)
}

/// The text at `at` without outer quotes, with the place of what remains.
pub(super) fn unquoted(text: &str, at: usize, source: SourceId) -> Spanned<String> {
    let inner = without_quotes(text);
    let start = at + quote_length(text, inner);
    Spanned::new(
        inner.to_owned(),
        Span::new(source, start, start + inner.len()),
    )
}

/// Splits a list at commas and line ends; `text` stands at `offset` of the file. Quotes around the list or an entry are taken off.
pub(super) fn list(text: &str, offset: usize, source: SourceId) -> Vec<Spanned<String>> {
    let is_edge = |character: char| character.is_whitespace() || QUOTES.contains(&character);
    let mut at = offset;
    let mut entries = Vec::new();
    for part in text.split([',', '\n', '\r']) {
        let entry = part.trim_matches(is_edge);
        if !entry.is_empty() {
            let start = at + part.len() - part.trim_start_matches(is_edge).len();
            let span = Span::new(source, start, start + entry.len());
            entries.push(Spanned::new(entry.to_owned(), span));
        }
        at += part.len() + 1;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn joined(text: &str) -> String {
        let value = Words::split(text, 10).joined(SourceId(0));
        format!("{} {:?}", value.value, value.span)
    }

    #[test]
    fn values_lose_their_outer_quotes_and_comments() {
        assert_snapshot!(joined(r#" "toYear(day)"  # by year"#), @"toYear(day) 0@12..23");
        assert_snapshot!(joined(r" foo#bar"), @"foo 0@11..14");
        assert_snapshot!(joined(r#" "a # b" "#), @"a # b 0@12..17");
        assert_snapshot!(joined(" \u{201C}a b\u{201D}"), @"a b 0@14..17");
        assert_snapshot!(joined(" it's   fine"), @"it's fine 0@11..22");
        assert_snapshot!(joined(r#" {{ tb_secret("k") }}"#), @r#"{{ tb_secret("k") }} 0@11..31"#);
        assert_snapshot!(joined(r#" """#), @" 0@12..12");
        assert_snapshot!(joined(r#" f("x", "a # b")"#), @r#"f("x", "a # b") 0@11..26"#);
        assert_snapshot!(joined(r#" ""#), @r#"" 0@11..12"#);
    }

    #[test]
    fn lists_split_at_commas_and_line_ends() {
        let shown = |text| {
            format!(
                "{:?}",
                list(text, 5, SourceId(0))
                    .iter()
                    .map(|entry| (entry.value.clone(), entry.span))
                    .collect::<Vec<_>>()
            )
        };
        assert_snapshot!(shown("\"a, b c\""), @r#"[("a", 0@6..7), ("b c", 0@9..12)]"#);
        assert_snapshot!(shown("\n  one\n  'two',\n"), @r#"[("one", 0@8..11), ("two", 0@15..18)]"#);
    }
}
