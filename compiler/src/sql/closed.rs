//! Whether a text that stands between parentheses stays there.

use super::lexer::{Kind, tokenize};

/// Whether a text is one expression as far as parentheses, quotes and comments go, so that it cannot end what is around it and nothing can follow it.
///
/// ```
/// use pipewright_compiler::sql::is_closed;
///
/// assert!(is_closed("a IN ('x)', 'y')"));
/// assert!(!is_closed("1) OR (1"));
/// assert!(!is_closed("a = 1 -- all of them"));
/// ```
pub fn is_closed(text: &str) -> bool {
    let Ok(tokens) = tokenize(text) else {
        return false;
    };
    let (mut open, mut end) = (Vec::new(), 0);
    for token in &tokens.list {
        let range = token.range();
        let is_matched = match token.kind {
            Kind::OpenRound => {
                open.push(Kind::CloseRound);
                true
            }
            Kind::OpenSquare => {
                open.push(Kind::CloseSquare);
                true
            }
            Kind::OpenCurly => {
                open.push(Kind::CloseCurly);
                true
            }
            close @ (Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly) => {
                open.pop() == Some(close)
            }
            Kind::Semicolon => false,
            _ => true,
        };
        if !is_matched || has_comment(&text[end..range.start]) {
            return false;
        }
        end = range.end;
    }
    open.is_empty() && !tokens.list.is_empty() && !has_comment(&text[end..])
}

/// Whether what stands between tokens is more than blanks.
fn has_comment(gap: &str) -> bool {
    gap.contains(['-', '/', '#'])
}

#[cfg(test)]
mod tests {
    use super::is_closed;

    #[test]
    fn a_text_cannot_leave_its_parentheses() {
        for good in [
            "a = 1",
            "(a = 1) OR b IN ('x)', \"y\")",
            "s = 'it\\'s'",
            "s = 'a -- b /* c; #'",
            "a - 1 / 2 = `x)`[1]",
            "s = \u{2018}x'\u{2019}",
        ] {
            assert!(is_closed(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "1) OR (1",
            "a = 'x",
            "1; DROP TABLE t",
            "1 -- x",
            "1 # x",
            "1 /* x",
            "1 /* x */",
            "[1",
            "([1)]",
            "v = length(\u{2018}'\u{2019}) OR 1) OR (1 = length(\u{2018}'\u{2019})",
            "s = \u{201c}\"\u{201d}) OR (1 = 1 OR \u{201c}\"\u{201d} = 1",
        ] {
            assert!(!is_closed(bad), "{bad}");
        }
    }
}
