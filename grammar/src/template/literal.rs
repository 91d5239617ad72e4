//! String literals: prefixes, escapes and f-strings.

use super::tree::FormatPart;

/// Resolves the escapes of a string literal. `None` for an escape that names no character.
pub(super) fn unescape(body: &str) -> Option<String> {
    if !body.contains('\\') {
        return Some(body.to_owned());
    }
    let mut out = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next()? {
            '\n' => {}
            '\\' => out.push('\\'),
            '\'' => out.push('\''),
            '"' => out.push('"'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\u{b}'),
            'x' => out.push(hexadecimal(&mut rest, 2)?),
            'u' => out.push(hexadecimal(&mut rest, 4)?),
            'U' => out.push(hexadecimal(&mut rest, 8)?),
            'N' => return None,
            digit @ '0'..='7' => out.push(octal(digit, &mut rest)?),
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    Some(out)
}

fn hexadecimal(rest: &mut std::str::Chars<'_>, count: usize) -> Option<char> {
    let digits = rest.as_str().get(..count)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    *rest = rest.as_str().get(count..)?.chars();
    char::from_u32(value)
}

fn octal(first: char, rest: &mut std::str::Chars<'_>) -> Option<char> {
    let mut value = first.to_digit(8)?;
    for _ in 0..2 {
        let mut ahead = rest.clone();
        let Some(digit) = ahead.next().and_then(|character| character.to_digit(8)) else {
            break;
        };
        value = value * 8 + digit;
        *rest = ahead;
    }
    char::from_u32(value)
}

/// A piece of an f-string before its expressions are read.
pub(super) enum RawPart<'a> {
    /// Text, `{{` already read as `{`.
    Text(String),
    /// The text between braces: expression, conversion, specification, and the offset of the expression in the body.
    Value(&'a str, Option<char>, &'a str, usize),
}

/// Splits the body of an f-string at its braces. `None` when the braces do not match.
pub(super) fn split_format(body: &str) -> Option<Vec<RawPart<'_>>> {
    let bytes = body.as_bytes();
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' if bytes.get(at + 1) == Some(&b'{') => {
                text.push('{');
                at += 2;
            }
            b'}' if bytes.get(at + 1) == Some(&b'}') => {
                text.push('}');
                at += 2;
            }
            b'}' => return None,
            b'{' => {
                if !text.is_empty() {
                    parts.push(RawPart::Text(std::mem::take(&mut text)));
                }
                let end = at + 1 + closing_brace(&body[at + 1..])?;
                parts.push(split_value(&body[at + 1..end], at + 1)?);
                at = end + 1;
            }
            _ => {
                let end = body[at..]
                    .find(['{', '}'])
                    .map_or(bytes.len(), |offset| at + offset);
                text.push_str(&body[at..end]);
                at = end;
            }
        }
    }
    if !text.is_empty() {
        parts.push(RawPart::Text(text));
    }
    Some(parts)
}

/// The bytes of an expression outside of its quotes and brackets.
fn outermost(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut depth = 0usize;
    let mut quote = None;
    text.bytes().enumerate().filter(move |(_, byte)| {
        let is_outside = quote.is_none() && depth == 0;
        match (quote, *byte) {
            (Some(open), byte) if byte == open => quote = None,
            (None, b'\'' | b'"') => quote = Some(*byte),
            (None, b'{' | b'[' | b'(') => depth += 1,
            (None, b'}' | b']' | b')') => depth = depth.saturating_sub(1),
            (Some(_) | None, _) => {}
        }
        is_outside
    })
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut outermost = outermost(text);
    outermost.find(|(_, byte)| *byte == b'}').map(|(at, _)| at)
}

fn split_value(text: &str, offset: usize) -> Option<RawPart<'_>> {
    let bytes = text.as_bytes();
    for (at, byte) in outermost(text) {
        match byte {
            b':' => {
                return Some(RawPart::Value(&text[..at], None, &text[at + 1..], offset));
            }
            b'!' if bytes.get(at + 1) != Some(&b'=') => {
                let conversion = text[at + 1..].chars().next()?;
                let rest = &text[at + 1 + conversion.len_utf8()..];
                let specification = if rest.is_empty() {
                    rest
                } else {
                    rest.strip_prefix(':')?
                };
                return matches!(conversion, 'r' | 's' | 'a').then_some(RawPart::Value(
                    &text[..at],
                    Some(conversion),
                    specification,
                    offset,
                ));
            }
            _ => {}
        }
    }
    Some(RawPart::Value(text, None, "", offset))
}

/// Joins neighbouring text parts.
pub(super) fn push_part(parts: &mut Vec<FormatPart>, part: FormatPart) {
    if let FormatPart::Text(text) = &part
        && let Some(FormatPart::Text(last)) = parts.last_mut()
    {
        last.push_str(text);
        return;
    }
    parts.push(part);
}
