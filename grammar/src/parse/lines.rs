//! Text of a file → lines. The first step of every parse function: one pest run over the whole file, which says what each line could be.

use std::ops::Range;

use pest::Parser;

use super::{DatafileParser, Rule};

/// One line that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Where its first non-blank character stands.
    pub(super) start: usize,
    /// Where it ends, before the line ending.
    pub(super) end: usize,
    /// Whether blanks stand before its first character.
    pub(super) indented: bool,
    pub(super) content: Content,
}

/// What a line could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// It starts with `#`.
    Comment,
    /// It starts with a word, as directives do.
    Word {
        /// The word.
        keyword: Range<usize>,
    },
    /// Anything else.
    Text,
}

impl Line {
    /// The bytes of the line without its indentation and ending.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Cuts a text into its lines; blank ones are left out.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let Ok(pairs) = DatafileParser::parse(Rule::file, text) else {
        debug_assert!(false, "the line grammar is total");
        return Vec::new();
    };
    pairs
        .flat_map(pest::iterators::Pair::into_inner)
        .filter_map(|pair| {
            let span = pair.as_span();
            let content = match pair.as_rule() {
                Rule::comment => Content::Comment,
                Rule::directive => {
                    let keyword = pair.into_inner().next()?.as_span();
                    Content::Word {
                        keyword: keyword.start()..keyword.end(),
                    }
                }
                Rule::text if !span.as_str().trim().is_empty() => Content::Text,
                _ => return None,
            };
            Some(Line {
                start: span.start(),
                end: span.end(),
                indented: text[..span.start()].ends_with([' ', '\t']),
                content,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_debug_snapshot;

    #[test]
    fn lines_keep_their_places_across_endings_and_a_byte_order_mark() {
        let text = "\u{FEFF}NODE a\r\n\tSQL >\r  # note\n\n  , 1";
        let found: Vec<(&str, bool, Content)> = lines(text)
            .into_iter()
            .map(|line| (&text[line.range()], line.indented, line.content))
            .collect();
        assert_debug_snapshot!(found, @r##"
        [
            (
                "NODE a",
                false,
                Word {
                    keyword: 3..7,
                },
            ),
            (
                "SQL >",
                true,
                Word {
                    keyword: 12..15,
                },
            ),
            (
                "# note",
                true,
                Comment,
            ),
            (
                ", 1",
                true,
                Text,
            ),
        ]
        "##);
    }
}
