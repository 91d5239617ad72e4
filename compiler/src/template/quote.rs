//! Values → SQL text: the only place that writes literals and quoted identifiers. Whatever the value is, the text is one token.

/// Appends `'text'`.
///
/// Only escapes that ClickHouse takes back are written: the reference also writes `\%` and `\z`, which ClickHouse keeps as two characters, so that such
/// values never equal themselves. In a `LIKE` pattern `\%` and `\_` are wanted: there they make the signs ordinary characters, so that a value matches itself
/// and nothing else.
pub(super) fn string(out: &mut String, text: &str, in_pattern: bool) {
    out.reserve(text.len() + 2);
    out.push('\'');
    escape(out, text, in_pattern);
    out.push('\'');
}

fn escape(out: &mut String, text: &str, in_pattern: bool) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            0 => "\\0",
            b'\r' => "\\r",
            8 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            b'"' => "\\\"",
            b'\'' => "\\'",
            // In a pattern a backslash is an escape of its own, after that of the literal.
            b'\\' if in_pattern => "\\\\\\\\",
            b'\\' => "\\\\",
            b'`' => "\\`",
            b'%' if in_pattern => "\\%",
            b'_' if in_pattern => "\\_",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escaped);
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
}

/// The literal of `sql_unescape(text, what)`: in a pattern, percent signs that are part of `what` keep their special meaning.
///
/// `what` can never bring back a quote or a backslash: what is written is always an escaped literal.
pub(super) fn unescaped(text: &str, what: &str, in_pattern: bool) -> String {
    let mut out = String::new();
    if what.is_empty() || what.contains(['\'', '"', '\\', '`']) {
        string(&mut out, text, in_pattern);
        return out;
    }
    out.push('\'');
    let mut rest = text;
    while let Some(at) = rest.find(what) {
        escape(&mut out, &rest[..at], in_pattern);
        // The first character of `what` loses the backslash that it would get in a pattern; the others keep theirs.
        let first = what.chars().next().map_or(0, char::len_utf8);
        escape(&mut out, &what[..first], false);
        escape(&mut out, &what[first..], in_pattern);
        rest = &rest[at + what.len()..];
    }
    escape(&mut out, rest, in_pattern);
    out.push('\'');
    out
}

/// Appends a quoted identifier. A double quote is dropped, as the reference does.
pub(super) fn identifier(out: &mut String, name: &str, quote: char) {
    out.push(quote);
    for character in name.chars() {
        match character {
            '\0' => out.push_str("\\0"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '"' => {}
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '`' => out.push_str("\\`"),
            character => out.push(character),
        }
    }
    out.push(quote);
}

/// A name with each of its dotted parts quoted: `a.b` → `` `a`.`b` ``.
pub(super) fn column(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    for (at, part) in name.split('.').enumerate() {
        if at > 0 {
            out.push('.');
        }
        identifier(&mut out, part, '`');
    }
    out
}
