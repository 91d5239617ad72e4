//! The inside of a block: which lines are comments, and where the text is in the middle of a string, a comment, a template tag or parentheses.
//!
//! A hand-written scan, fed line by line, because only the state between lines is wanted: it costs one look at each byte.

/// Where the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Plain SQL.
    Code,
    /// A string or quoted name, until that quote.
    Quoted(u8),
    /// `/* … */`
    Comment,
    /// A template tag.
    Tag {
        /// The byte before the closing `}`.
        close: u8,
        /// The open quote inside the tag.
        quote: Option<u8>,
        /// Whether quotes mean something: not in comments.
        quotes: bool,
        /// The quote of the SQL string that the tag stands in.
        inside: Option<u8>,
    },
}

/// Follows the lines of a block.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    state: State,
    depth: usize,
    template: bool,
    started: bool,
    /// Whether the last word or sign asks for something to follow.
    dangling: bool,
}

/// Words after which an expression or a name must follow.
const OPEN_ENDED: [&str; 24] = [
    "SELECT", "DISTINCT", "WITH", "AS", "FROM", "JOIN", "ON", "USING", "WHERE", "PREWHERE",
    "HAVING", "BY", "AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "CASE", "WHEN", "THEN",
    "ELSE", "IS",
];

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            state: State::Code,
            depth: 0,
            template: false,
            started: false,
            dangling: true,
        }
    }

    /// Whether a line that starts here with `#` is a comment.
    pub(super) fn takes_comment(&self) -> bool {
        !matches!(self.state, State::Quoted(_))
    }

    /// Whether a statement could end here.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Code && self.depth == 0
    }

    /// Whether the text so far asks for more: it ends with an operator, a comma or a word such as `SELECT`.
    pub(super) fn is_dangling(&self) -> bool {
        self.dangling
    }

    /// Follows one line, given without its line ending.
    pub(super) fn feed(&mut self, line: &str) {
        let mut rest = line.as_bytes();
        if !self.started && !line.trim().is_empty() {
            self.started = true;
            let start = line.len() - line.trim_start().len();
            self.template = rest[start] == b'%';
            if self.template {
                rest = &rest[start + 1..];
            }
        }
        while !rest.is_empty() {
            let step = self.step(rest).clamp(1, rest.len());
            rest = &rest[step..];
        }
    }

    /// Follows the next sign or word and says how many bytes it has.
    fn step(&mut self, rest: &[u8]) -> usize {
        match self.state {
            State::Code => self.code(rest),
            State::Quoted(quote) => self.quoted(rest, quote),
            State::Comment => {
                if rest.starts_with(b"*/") {
                    self.state = State::Code;
                    return 2;
                }
                1
            }
            State::Tag {
                close,
                quote,
                quotes,
                inside,
            } => {
                if rest[0] == close && rest.get(1) == Some(&b'}') && quote.is_none() {
                    self.state = inside.map_or(State::Code, State::Quoted);
                    return 2;
                }
                let next = match quote {
                    _ if !quotes => None,
                    Some(_) if rest[0] == b'\\' => return 2,
                    Some(open) if open == rest[0] => None,
                    None if matches!(rest[0], b'\'' | b'"') => Some(rest[0]),
                    other => other,
                };
                self.state = State::Tag {
                    close,
                    quote: next,
                    quotes,
                    inside,
                };
                1
            }
        }
    }

    fn code(&mut self, rest: &[u8]) -> usize {
        if let Some(length) = self.tag(rest, None) {
            self.dangling = false;
            return length;
        }
        if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!") {
            return rest.len();
        }
        if rest.starts_with(b"/*") {
            self.state = State::Comment;
            return 2;
        }
        match rest[0] {
            quote @ (b'\'' | b'"' | b'`') => {
                self.state = State::Quoted(quote);
                self.dangling = false;
            }
            b'(' | b'[' | b'{' => {
                self.depth += 1;
                self.dangling = true;
            }
            b')' | b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                self.dangling = false;
            }
            b';' => self.dangling = false,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            byte if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                let length = rest
                    .iter()
                    .position(|byte| {
                        !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
                    })
                    .unwrap_or(rest.len());
                self.dangling = OPEN_ENDED
                    .iter()
                    .any(|word| word.as_bytes().eq_ignore_ascii_case(&rest[..length]));
                return length;
            }
            _ => self.dangling = true,
        }
        1
    }

    fn quoted(&mut self, rest: &[u8], quote: u8) -> usize {
        if let Some(length) = self.tag(rest, Some(quote)) {
            return length;
        }
        if rest[0] == b'\\' {
            return 2;
        }
        if rest[0] == quote {
            if rest.get(1) == Some(&quote) {
                return 2;
            }
            self.state = State::Code;
        }
        1
    }

    /// Enters a template tag if one starts here.
    fn tag(&mut self, rest: &[u8], inside: Option<u8>) -> Option<usize> {
        if !self.template || rest[0] != b'{' {
            return None;
        }
        let close = match rest.get(1)? {
            b'{' => b'}',
            b'%' => b'%',
            b'#' => b'#',
            _ => return None,
        };
        let word = rest[2..].trim_ascii_start();
        self.state = State::Tag {
            close,
            quote: None,
            quotes: close != b'#' && !(close == b'%' && word.starts_with(b"comment")),
            inside,
        };
        Some(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Scanner {
        let mut scanner = Scanner::new();
        for line in text.lines() {
            scanner.feed(line);
        }
        scanner
    }

    #[test]
    fn strings_comments_and_tags_are_told_apart() {
        assert!(after("select 'it''s' -- don't\nfrom t /* isn't */").is_between());
        assert!(!after("select 'a\n").takes_comment());
        assert!(after("select \"a\n\"").takes_comment());
        assert!(
            after("%\nselect {{String(a, \"it's\")}} {# don't #} {% comment can't %}").is_between()
        );
        assert!(after("%\nselect '{{String(a, 'b')}}'").is_between());
        assert!(!after("%\nselect {{ String(a,\n").is_between());
        assert!(!after("select {{ 'a").takes_comment());
        assert!(!after("select (1,").is_between());
    }

    #[test]
    fn a_text_that_asks_for_more_is_dangling() {
        assert!(after("select a,").is_dangling());
        assert!(after("select").is_dangling());
        assert!(after("select a from").is_dangling());
        assert!(!after("select a from b -- and").is_dangling());
        assert!(!after("select a from b # and").is_dangling());
        assert!(!after("select a from b;").is_dangling());
    }
}
