//! Names and strings as ClickHouse writes them: quoting what we insert into SQL, and reading what the user quoted.

use super::lexer::is_word_byte;

/// Whether a name can stand in SQL without quotes and is read back as itself. Words that could be taken for a keyword do not count.
pub fn is_plain_identifier(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes
        .first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && bytes.iter().all(|byte| is_word_byte(*byte))
        && !is_reserved(name)
}

/// Words that mean something else in at least one place where a name may stand.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asc",
    "asof",
    "between",
    "by",
    "case",
    "cast",
    "cross",
    "cube",
    "desc",
    "describe",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "fetch",
    "fill",
    "final",
    "format",
    "from",
    "full",
    "global",
    "group",
    "having",
    "ilike",
    "in",
    "inf",
    "infinity",
    "inner",
    "insert",
    "interpolate",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "local",
    "nan",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "over",
    "parallel",
    "paste",
    "prewhere",
    "qualify",
    "recursive",
    "regexp",
    "right",
    "rollup",
    "sample",
    "select",
    "semi",
    "settings",
    "step",
    "table",
    "then",
    "ties",
    "to",
    "totals",
    "true",
    "union",
    "using",
    "values",
    "view",
    "when",
    "where",
    "window",
    "with",
];

fn is_reserved(name: &str) -> bool {
    name.len() <= 11
        && RESERVED
            .binary_search(&name.to_ascii_lowercase().as_str())
            .is_ok()
}

/// The name, in back quotes unless it can stand without.
///
/// ```
/// # use pipewright_compiler::sql::quote_identifier;
/// assert_eq!(quote_identifier("page_hits"), "page_hits");
/// assert_eq!(quote_identifier("a.b"), "`a.b`");
/// assert_eq!(quote_identifier("tick`"), "`tick\\``");
/// ```
pub fn quote_identifier(name: &str) -> String {
    if is_plain_identifier(name) {
        name.to_owned()
    } else {
        escape(name, '`')
    }
}

/// A string literal with that value.
///
/// ```
/// # use pipewright_compiler::sql::quote_literal;
/// assert_eq!(quote_literal("it's"), r"'it\'s'");
/// ```
pub fn quote_literal(value: &str) -> String {
    escape(value, '\'')
}

fn escape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            _ => out.push(character),
        }
    }
    out.push(quote);
    out
}

/// What a quoted or bare token means: the name behind `` `a\`b` ``, the value of `'it''s'`, the text of a heredoc. Bare words are themselves. Bytes that an
/// escape makes and that are not UTF-8 become replacement characters: such a name can match no resource.
pub fn unquote(token: &str) -> String {
    let bytes = token.as_bytes();
    match bytes.first() {
        Some(quote @ (b'\'' | b'"' | b'`')) if bytes.len() >= 2 => {
            unescape(&bytes[1..bytes.len() - 1], *quote)
        }
        // Typographic quotes enclose their text as it is.
        Some(0xE2) if bytes.len() >= 6 => {
            String::from_utf8_lossy(&bytes[3..bytes.len() - 3]).into_owned()
        }
        Some(b'$') => match token[1..].find('$') {
            Some(tag) if token.len() >= 2 * (tag + 2) => {
                token[tag + 2..token.len() - tag - 2].to_owned()
            }
            _ => token.to_owned(),
        },
        _ => token.to_owned(),
    }
}

fn unescape(bytes: &[u8], quote: u8) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        if byte == quote && bytes.get(at) == Some(&quote) {
            out.push(quote);
            at += 1;
        } else if byte == b'\\' && at < bytes.len() {
            let escaped = bytes[at];
            at += 1;
            at += push_escape(&mut out, escaped, &bytes[at..]);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Appends what `\` + `escaped` stands for and returns how many of the bytes after it belong to the escape.
fn push_escape(out: &mut Vec<u8>, escaped: u8, rest: &[u8]) -> usize {
    match escaped {
        b'x' => {
            let digits = rest
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match digits {
                Some(byte) => {
                    out.push(byte);
                    return 2;
                }
                None => out.extend_from_slice(b"\\x"),
            }
        }
        b'N' => {}
        b'a' => out.push(0x07),
        b'b' => out.push(0x08),
        b'e' => out.push(0x1B),
        b'f' => out.push(0x0C),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(0x0B),
        b'0' => out.push(0),
        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'=' => out.push(escaped),
        // Unknown escapes keep their backslash: 'a\d' is a, backslash, d (so that regular expressions can be written).
        _ => out.extend_from_slice(&[b'\\', escaped]),
    }
    0
}
