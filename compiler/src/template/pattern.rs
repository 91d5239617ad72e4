//! What the text before a tag says about the tag: whether its value stands in a `LIKE` pattern. Looks back over a bounded stretch, never parses SQL.

/// How far back is looked.
const REACH: usize = 400;

/// Functions whose second argument is a `LIKE` pattern.
const PATTERN_FUNCTIONS: &[&str] = &["like", "ilike", "notlike", "notilike"];

/// Whether a value after this text is (part of) a `LIKE` pattern: `x LIKE ‸`, `x ILIKE '%' || ‸`, `x LIKE concat('%', ‸`, `like(x, ‸`.
pub(super) fn ends_in_like(before: &str) -> bool {
    let mut start = before.len().saturating_sub(REACH);
    while !before.is_char_boundary(start) {
        start += 1;
    }
    like(&before[start..], 0)
}

fn like(text: &str, depth: usize) -> bool {
    let text = text.trim_end();
    if depth > 8 {
        return false;
    }
    if let Some(word) = last_word(text) {
        return word.eq_ignore_ascii_case("like") || word.eq_ignore_ascii_case("ilike");
    }
    if let Some(rest) = text.strip_suffix("||") {
        return before_operand(rest).is_some_and(|rest| like(rest, depth + 1));
    }
    match open_call(text) {
        Some((before, name, arguments)) => {
            let name = name.to_ascii_lowercase();
            if PATTERN_FUNCTIONS.contains(&name.as_str()) {
                arguments > 0
            } else {
                (name.is_empty() || name == "concat") && like(before, depth + 1)
            }
        }
        None => false,
    }
}

/// The word that the text ends with.
fn last_word(text: &str) -> Option<&str> {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, character)| character.is_alphanumeric() || *character == '_')
        .last()?
        .0;
    Some(&text[start..])
}

/// The text before the string literal, tag or name that it ends with.
fn before_operand(text: &str) -> Option<&str> {
    let text = text.trim_end();
    if let Some(inner) = text.strip_suffix('\'') {
        let bytes = inner.as_bytes();
        let mut at = inner.rfind('\'')?;
        while at > 0 && bytes[at - 1] == b'\\' {
            at = inner[..at].rfind('\'')?;
        }
        return Some(&inner[..at]);
    }
    if let Some(inner) = text.strip_suffix("}}") {
        return inner.rfind("{{").map(|at| &inner[..at]);
    }
    last_word(text).map(|word| &text[..text.len() - word.len()])
}

/// The innermost call that is open at the end: the text before its name, the name, and how many arguments are complete.
fn open_call(text: &str) -> Option<(&str, &str, usize)> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut arguments = 0;
    let mut quoted = false;
    for at in (0..bytes.len()).rev() {
        match bytes[at] {
            b'\'' if at == 0 || bytes[at - 1] != b'\\' => quoted = !quoted,
            _ if quoted => {}
            b')' | b'}' => depth += 1,
            b'(' | b'{' if depth > 0 => depth -= 1,
            b'(' => {
                let name = last_word(&text[..at]).unwrap_or("");
                return Some((&text[..at - name.len()], name, arguments));
            }
            b',' if depth == 0 => arguments += 1,
            _ => {}
        }
    }
    None
}

/// Text with its white space reduced: runs with a line break become one line break, others one blank; or every run one blank.
pub(super) fn squeeze(text: &str, one_line: bool) -> String {
    let mut out = String::new();
    let mut run = String::new();
    let flush = |out: &mut String, run: &mut String| {
        if !run.is_empty() {
            out.push(if run.contains('\n') && !one_line {
                '\n'
            } else {
                ' '
            });
            run.clear();
        }
    };
    for character in text.chars() {
        if character.is_whitespace() {
            run.push(character);
        } else {
            flush(&mut out, &mut run);
            out.push(character);
        }
    }
    flush(&mut out, &mut run);
    out
}
