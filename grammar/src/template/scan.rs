//! Looks at the raw text of a tag before pest does: bounds the depth of nesting, so that parsing cannot exhaust the stack, and finds line breaks where the
//! language allows none. One pass, no recursion.

/// What is wrong with the text of a tag before any grammar is applied, with the byte offset of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objection {
    /// More brackets or lambdas inside each other than [`super::MAX_DEPTH`].
    TooDeep(usize),
    /// A line break outside of brackets and strings.
    LineBreak(usize),
    /// A `;` outside of brackets and strings.
    Semicolon(usize),
    /// A `#` outside of strings: a comment would swallow the end of the tag.
    Comment(usize),
}

/// Scans the text of one tag.
pub(super) fn scan(text: &str, depth_limit: usize) -> Option<Objection> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut lambdas = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' | b'"' => {
                at = after_string(bytes, at);
                continue;
            }
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > depth_limit {
                    return Some(Objection::TooDeep(at));
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'l' if text[at..].starts_with("lambda") => {
                lambdas += 1;
                if lambdas > depth_limit {
                    return Some(Objection::TooDeep(at));
                }
            }
            b'\n' if depth == 0 => return Some(Objection::LineBreak(at)),
            b';' if depth == 0 => return Some(Objection::Semicolon(at)),
            b'#' => return Some(Objection::Comment(at)),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The offset after the string literal that starts at `start`; the end of the text if it is not closed.
pub(super) fn after_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let long = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if long { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote => {
                if !long {
                    return at + 1;
                }
                if bytes[at..].starts_with(&[quote; 3]) {
                    return at + 3;
                }
            }
            b'\n' if !long => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
