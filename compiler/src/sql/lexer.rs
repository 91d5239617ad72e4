//! ClickHouse's lexical rules: text → tokens with byte ranges, in one pass.
//!
//! Why not `sqlparser`'s tokenizer: it has other rules in places that matter for where a string or a comment ends (nested and `//` comments, `#` only before a
//! blank or `!`, heredocs with named tags, typographic quotes, words that begin with a digit), and a scanner that sees a string where the engine sees code
//! can be talked past the guard. It also reports lines and columns where bytes are needed, and allocates a string per token; this one allocates nothing but the
//! list.

use super::scan::SqlError;

/// What a token is. Blanks and comments are not among the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A bare word, known as a keyword or not.
    Word,
    /// A name in back quotes, double quotes or typographic double quotes.
    QuotedName,
    /// `'…'`, typographic quotes, a heredoc.
    Text,
    Number,
    OpenRound,
    CloseRound,
    OpenSquare,
    CloseSquare,
    OpenCurly,
    CloseCurly,
    Comma,
    Semicolon,
    Dot,
    Asterisk,
    Arrow,
    DoubleColon,
    Colon,
    Equals,
    /// Any other operator or sign.
    Operator,
}

impl Kind {
    /// Whether a token other than a word ends a value.
    pub(crate) fn ends_value(self) -> bool {
        matches!(
            self,
            Self::QuotedName
                | Self::Text
                | Self::Number
                | Self::CloseRound
                | Self::CloseSquare
                | Self::CloseCurly
        )
    }
}

/// A token and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Token {
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn text(self, sql: &str) -> &str {
        &sql[self.range()]
    }
}

/// A comment and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) range: std::ops::Range<usize>,
    /// The end of the line ends it.
    pub(crate) is_line: bool,
}

/// The tokens of a text.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) list: Vec<Token>,
    /// What stands between them, blanks aside, in order.
    pub(crate) comments: Vec<Comment>,
    /// The text ends in a comment that only a line break closes.
    pub(crate) ends_in_line_comment: bool,
}

/// Searches for the end of a heredoc that find none cost a pass over the rest of the text each; more than these are taken for an attack.
const UNCLOSED_HEREDOC_LIMIT: usize = 64;

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Splits a text into tokens.
pub(crate) fn tokenize(sql: &str) -> Result<Tokens, SqlError> {
    if u32::try_from(sql.len()).is_err() {
        return Err(SqlError::new("the statement is larger than 4 GiB", 0..0));
    }
    let mut lexer = Lexer::new(sql, 0);
    lexer.list.reserve(sql.len() / 4 + 4);
    while lexer.skip_blanks_and_comments()? {
        let start = lexer.at;
        let kind = lexer.token()?;
        lexer.list.push(Token {
            kind,
            start: offset(start),
            end: offset(lexer.at),
        });
    }
    Ok(Tokens {
        list: lexer.list,
        comments: lexer.comments,
        ends_in_line_comment: lexer.ends_in_line_comment,
    })
}

/// Whether a name is among the tokens of a text, quoted or not.
pub(crate) fn names(sql: &str, name: &str) -> bool {
    tokenize(sql).is_ok_and(|tokens| {
        tokens.list.iter().any(|token| {
            matches!(token.kind, Kind::Word | Kind::QuotedName)
                && super::identifier::unquote(token.text(sql)) == name
        })
    })
}

/// The places of names that stand before a dot and after none: of tables, databases, columns with parts.
pub(crate) fn qualifiers(sql: &str) -> Vec<std::ops::Range<usize>> {
    let Ok(tokens) = tokenize(sql) else {
        return Vec::new();
    };
    let list = &tokens.list;
    let is_dot = |at: Option<usize>| {
        at.and_then(|at| list.get(at))
            .is_some_and(|token| token.kind == Kind::Dot)
    };
    let is_qualifier = |at: &usize| {
        matches!(list[*at].kind, Kind::Word | Kind::QuotedName)
            && is_dot(Some(at + 1))
            && !is_dot(at.checked_sub(1))
    };
    let places = (0..list.len()).filter(is_qualifier);
    places.map(|at| list[at].range()).collect()
}

/// All names in a text, in lower case.
pub(crate) fn all_names(sql: &str) -> Vec<String> {
    let Ok(tokens) = tokenize(sql) else {
        return Vec::new();
    };
    let is_name = |token: &&Token| matches!(token.kind, Kind::Word | Kind::QuotedName);
    let names = tokens.list.iter().filter(is_name);
    names
        .map(|token| super::identifier::unquote(token.text(sql)).to_ascii_lowercase())
        .collect()
}

/// Where a name stands in a text as a name, quoted or not: `a`, or `t.a` with its table. Texts and comments that hold the word are passed over.
///
/// ```
/// use pipewright_compiler::sql::places_of_name;
///
/// let sql = "SELECT 'a' AS b FROM t /* a */ WHERE t.`a` = a";
/// assert_eq!(places_of_name(sql, "a"), [39, 45]);
/// assert_eq!(places_of_name(sql, "t.a"), [37]);
/// ```
pub fn places_of_name(sql: &str, name: &str) -> Vec<usize> {
    let Ok(tokens) = tokenize(sql) else {
        return Vec::new();
    };
    let is_name = |token: &Token, name: &str| {
        matches!(token.kind, Kind::Word | Kind::QuotedName)
            && super::identifier::unquote(token.text(sql)) == name
    };
    let parts: Vec<&str> = name.split('.').collect();
    let is_path = |tokens: &[Token]| {
        let mut each = parts.iter().enumerate();
        each.all(|(at, part)| {
            let dotted = at == 0
                || tokens
                    .get(2 * at - 1)
                    .is_some_and(|dot| dot.kind == Kind::Dot);
            dotted && tokens.get(2 * at).is_some_and(|token| is_name(token, part))
        })
    };
    let list = &tokens.list;
    let found = (0..list.len()).filter(|at| is_name(&list[*at], name) || is_path(&list[*at..]));
    found.map(|at| list[at].start as usize).collect()
}

/// Where the next token begins, from a place outside of tokens on; where a comment begins that is not closed.
pub(super) fn past_comments(sql: &str, from: usize) -> usize {
    let mut lexer = Lexer::new(sql, from);
    _ = lexer.skip_blanks_and_comments();
    lexer.at
}

/// Where the token ends that begins at a place.
pub(super) fn token_end(sql: &str, at: usize) -> Option<usize> {
    let mut lexer = Lexer::new(sql, at);
    (at < sql.len() && lexer.token().is_ok()).then_some(lexer.at)
}

/// Byte offsets fit: `tokenize` refuses larger texts.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
    list: Vec<Token>,
    comments: Vec<Comment>,
    ends_in_line_comment: bool,
    unclosed_heredocs: usize,
}

impl<'a> Lexer<'a> {
    fn new(sql: &'a str, at: usize) -> Self {
        Self {
            sql,
            bytes: sql.as_bytes(),
            at,
            list: Vec::new(),
            comments: Vec::new(),
            ends_in_line_comment: false,
            unclosed_heredocs: 0,
        }
    }
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Moves to the next token; false at the end of the text.
    fn skip_blanks_and_comments(&mut self) -> Result<bool, SqlError> {
        self.ends_in_line_comment = false;
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Ok(false);
            };
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C => {
                    if byte == b'\n' {
                        self.ends_in_line_comment = false;
                    }
                    self.at += 1;
                }
                b'-' if self.peek(1) == b'-' => self.line_comment(),
                b'/' if self.peek(1) == b'/' => self.line_comment(),
                b'#' if matches!(self.peek(1), b' ' | b'!') => self.line_comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment()?,
                0xC2 | 0xE1 | 0xE2 | 0xE3 | 0xEF => match blank_length(&self.bytes[self.at..]) {
                    0 => return Ok(true),
                    length => self.at += length,
                },
                _ => return Ok(true),
            }
        }
    }

    fn line_comment(&mut self) {
        let start = self.at;
        let rest = &self.bytes[self.at..];
        if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            self.at += length + 1;
        } else {
            self.at = self.bytes.len();
            self.ends_in_line_comment = true;
        }
        self.comments.push(Comment {
            range: start..self.at,
            is_line: true,
        });
    }

    /// Comments nest: `/* a /* b */ c */` is one.
    fn block_comment(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.bytes[self.at], self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        self.comments.push(Comment {
                            range: start..self.at,
                            is_line: false,
                        });
                        return Ok(());
                    }
                }
                _ => self.at += 1,
            }
        }
        self.at = start;
        Err(SqlError::new("the comment is not closed", start..start + 2))
    }

    fn token(&mut self) -> Result<Kind, SqlError> {
        let byte = self.bytes[self.at];
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                if matches!(byte, b'x' | b'X' | b'b' | b'B') && self.peek(1) == b'\'' {
                    self.at += 1;
                    return self.quoted(b'\'', Kind::Text);
                }
                self.word();
                Ok(Kind::Word)
            }
            b'0'..=b'9' => self.number(),
            b'\'' => self.quoted(b'\'', Kind::Text),
            b'"' | b'`' => self.quoted(byte, Kind::QuotedName),
            b'.' => self.dot(),
            b'$' => self.dollar(),
            0x80.. => self.beyond_ascii(),
            _ => self.sign(byte),
        }
    }

    fn word(&mut self) {
        while self
            .bytes
            .get(self.at)
            .is_some_and(|byte| is_word_byte(*byte) || *byte == b'$')
        {
            self.at += 1;
        }
    }

    fn quoted(&mut self, quote: u8, kind: Kind) -> Result<Kind, SqlError> {
        let start = self.at;
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) != quote {
                    return Ok(kind);
                }
                self.at += 1;
            }
        }
        let what = match quote {
            b'\'' => "the string is not closed",
            b'"' => "the name in double quotes is not closed",
            _ => "the name in back quotes is not closed",
        };
        Err(SqlError::new(what, start..start + 1))
    }

    /// The dot of a compound name or tuple element, or the start of a number like `.5`.
    fn dot(&mut self) -> Result<Kind, SqlError> {
        let after_operand = self.list.last().is_some_and(|last| {
            matches!(
                last.kind,
                Kind::Word | Kind::QuotedName | Kind::Number | Kind::CloseRound | Kind::CloseSquare
            )
        });
        if after_operand || !self.peek(1).is_ascii_digit() {
            self.at += 1;
            return Ok(Kind::Dot);
        }
        self.number()
    }

    /// Digits. After a dot only an element's index (`t.1.2` is two elements, not `t` and 1.2).
    fn number(&mut self) -> Result<Kind, SqlError> {
        let start = self.at;
        if self.list.last().is_some_and(|last| last.kind == Kind::Dot) {
            self.digits(|byte| byte.is_ascii_digit());
        } else if self.peek(0) == b'0' && matches!(self.peek(1), b'b' | b'B') {
            self.at += 2;
            self.digits(|byte| matches!(byte, b'0' | b'1'));
        } else {
            let hexadecimal = self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X');
            let digit: fn(u8) -> bool = if hexadecimal {
                self.at += 2;
                |byte| byte.is_ascii_hexdigit()
            } else {
                |byte| byte.is_ascii_digit()
            };
            self.digits(digit);
            if self.peek(0) == b'.' {
                self.at += 1;
                self.digits(digit);
            }
            let exponent: &[u8] = if hexadecimal { b"pP" } else { b"eE" };
            if exponent.contains(&self.peek(0)) {
                let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
                self.at += 1 + sign;
                self.digits(|byte| byte.is_ascii_digit());
            }
        }
        if !(is_word_byte(self.peek(0)) || self.peek(0) == b'$') {
            return Ok(Kind::Number);
        }
        // `1st_visit` is a name.
        self.word();
        let all_word = self.bytes[start..self.at]
            .iter()
            .all(|byte| is_word_byte(*byte) || *byte == b'$');
        if all_word {
            Ok(Kind::Word)
        } else {
            Err(SqlError::new("this is not a number", start..self.at))
        }
    }

    fn digits(&mut self, digit: fn(u8) -> bool) {
        while digit(self.peek(0)) || (self.peek(0) == b'_' && digit(self.peek(1))) {
            self.at += 1;
        }
    }

    /// A heredoc (`$tag$ … $tag$`), a word that begins with `$`, or a lone `$`.
    fn dollar(&mut self) -> Result<Kind, SqlError> {
        let rest = &self.bytes[self.at..];
        let name = rest[1..]
            .iter()
            .take_while(|byte| is_word_byte(**byte))
            .count();
        if rest.get(1 + name) == Some(&b'$') {
            let tag = &self.sql[self.at..self.at + name + 2];
            if let Some(length) = self.sql[self.at + tag.len()..].find(tag) {
                self.at += length + 2 * tag.len();
                return Ok(Kind::Text);
            }
            self.unclosed_heredocs += 1;
            if self.unclosed_heredocs > UNCLOSED_HEREDOC_LIMIT {
                return Err(SqlError::new(
                    "there are too many `$` that close nothing",
                    self.at..self.at + tag.len(),
                ));
            }
        }
        if !is_word_byte(self.peek(1)) {
            self.at += 1;
            return Ok(Kind::Operator);
        }
        self.word();
        Ok(Kind::Word)
    }

    fn beyond_ascii(&mut self) -> Result<Kind, SqlError> {
        let rest = &self.sql[self.at..];
        for (open, close, kind) in [
            ('\u{2018}', '\u{2019}', Kind::Text),
            ('\u{201C}', '\u{201D}', Kind::QuotedName),
        ] {
            if rest.starts_with(open) {
                let Some(end) = rest.find(close) else {
                    return Err(SqlError::new(
                        "the typographic quote is not closed",
                        self.at..self.at + open.len_utf8(),
                    ));
                };
                self.at += end + close.len_utf8();
                return Ok(kind);
            }
        }
        if rest.starts_with('\u{2212}') {
            self.at += '\u{2212}'.len_utf8();
            return Ok(Kind::Operator);
        }
        Err(self.unknown())
    }

    fn unknown(&self) -> SqlError {
        let character = self.sql[self.at..].chars().next().unwrap_or(' ');
        let shown = character.escape_default();
        let shown = if character.is_control() {
            shown.to_string()
        } else {
            character.to_string()
        };
        SqlError::new(
            format!("`{shown}` cannot stand here: names with such characters need back quotes"),
            self.at..self.at + character.len_utf8(),
        )
    }

    fn sign(&mut self, byte: u8) -> Result<Kind, SqlError> {
        let (kind, length) = match (byte, self.peek(1)) {
            (b'(', _) => (Kind::OpenRound, 1),
            (b')', _) => (Kind::CloseRound, 1),
            (b'[', _) => (Kind::OpenSquare, 1),
            (b']', _) => (Kind::CloseSquare, 1),
            (b'{', _) => (Kind::OpenCurly, 1),
            (b'}', _) => (Kind::CloseCurly, 1),
            (b',', _) => (Kind::Comma, 1),
            (b';', _) => (Kind::Semicolon, 1),
            (b'*', _) => (Kind::Asterisk, 1),
            (b'-', b'>') => (Kind::Arrow, 2),
            (b':', b':') => (Kind::DoubleColon, 2),
            (b':', _) => (Kind::Colon, 1),
            (b'=', b'=') => (Kind::Equals, 2),
            (b'=', _) => (Kind::Equals, 1),
            (b'<', b'=') if self.peek(2) == b'>' => (Kind::Operator, 3),
            (b'<', b'=' | b'>') | (b'>' | b'!', b'=') | (b'|', b'|') | (b'@', b'@') => {
                (Kind::Operator, 2)
            }
            (b'+' | b'-' | b'/' | b'%' | b'<' | b'>' | b'?' | b'^' | b'|' | b'@' | b'!', _) => {
                (Kind::Operator, 1)
            }
            _ => return Err(self.unknown()),
        };
        self.at += length;
        Ok(kind)
    }
}

/// How many bytes of blanks beyond ASCII (no-break space, wide spaces, byte order mark, …) stand at the start of the bytes; 0 if none.
fn blank_length(bytes: &[u8]) -> usize {
    match bytes {
        [0xC2, 0x85 | 0xA0, ..] => 2,
        [0xE1, 0xA0, 0x8E, ..]
        | [0xE2, 0x80, 0x80..=0x8D | 0xA8 | 0xA9 | 0xAF, ..]
        | [0xE2, 0x81, 0x9F | 0xA0, ..]
        | [0xE3, 0x80, 0x80, ..]
        | [0xEF, 0xBB, 0xBF, ..] => 3,
        _ => 0,
    }
}
