//! Divisions by what is, or may be, zero, from a statement's tokens.

use std::ops::Range;

use super::identifier::unquote;
use super::lexer::{self, Kind, Token};

/// A division whose divisor may be zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    /// The sign, or the function's name, with the first word of the divisor.
    pub(crate) span: Range<usize>,
    /// Whether the divisor is the number zero.
    pub(crate) by_zero: bool,
}

/// Functions that divide their first argument by their second, in lower case.
const DIVIDING: &[&str] = &["divide", "intdiv", "mod", "modulo", "positivemodulo"];

/// Functions that give no zero, or take care of it, in lower case. Those that begin with `to` convert what is most often a literal.
const CAREFUL: &[&str] = &[
    "coalesce", "exp", "greatest", "if", "multiif", "nullif", "pow", "power",
];

/// Functions around a division that take care of what comes out, in lower case.
const FORGIVING: &[&str] = &["ifnotfinite", "isfinite", "isinfinite", "isnan"];

/// Every division whose divisor may be zero: a name, a call, brackets with such, or the number 0. Not where a condition around the division, or one of the statement's
/// filters before or behind it, names the divisor.
pub(crate) fn divisions(sql: &str) -> Vec<Division> {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return Vec::new();
    };
    let text = Text {
        sql,
        list: &tokens.list,
    };
    let mut open: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    for (at, token) in text.list.iter().enumerate() {
        match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => open.push(at),
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
                open.pop();
            }
            _ => {}
        }
        if let Some(divisor) = text.divisor(at) {
            found.extend(text.division(at, divisor, &open));
        }
    }
    found
}

struct Text<'a> {
    sql: &'a str,
    list: &'a [Token],
}

impl Text<'_> {
    fn word(&self, at: usize) -> &str {
        self.list.get(at).map_or("", |token| token.text(self.sql))
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.list.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(Kind::Word) && self.word(at).eq_ignore_ascii_case(word)
    }

    fn lower(&self, at: usize) -> String {
        unquote(self.word(at)).to_ascii_lowercase()
    }

    /// The tokens of the divisor, if a division stands at a token.
    fn divisor(&self, at: usize) -> Option<Range<usize>> {
        let follows_value = at > 0
            && (self.kind(at - 1) == Some(Kind::Word)
                || self.kind(at - 1).is_some_and(Kind::ends_value));
        let is_sign = self.kind(at) == Some(Kind::Operator) && matches!(self.word(at), "/" | "%");
        let is_word = follows_value && (self.is(at, "DIV") || self.is(at, "MOD"));
        if is_sign || is_word && self.kind(at + 1) != Some(Kind::OpenRound) {
            return Some(at + 1..self.operand_end(at + 1)?);
        }
        let is_call = matches!(self.kind(at), Some(Kind::Word | Kind::QuotedName))
            && self.kind(at + 1) == Some(Kind::OpenRound)
            && DIVIDING.contains(&self.lower(at).as_str());
        if !is_call {
            return None;
        }
        let close = self.close(at + 1)?;
        let comma = (at + 2..close).find(|inner| {
            self.depth_between(at + 2, *inner) == 0 && self.kind(*inner) == Some(Kind::Comma)
        })?;
        (comma + 1 < close).then_some(comma + 1..close)
    }

    /// Where an operand ends: a literal, a name with its table, a call, brackets.
    fn operand_end(&self, start: usize) -> Option<usize> {
        let mut end = start;
        loop {
            match self.kind(end)? {
                Kind::OpenRound => return Some(self.close(end)? + 1),
                Kind::Word | Kind::QuotedName if self.kind(end + 1) == Some(Kind::OpenRound) => {
                    return Some(self.close(end + 1)? + 1);
                }
                Kind::Word | Kind::QuotedName if self.kind(end + 1) == Some(Kind::Dot) => end += 2,
                _ => return Some(end + 1),
            }
        }
    }

    fn close(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        (open..self.list.len()).find(|at| {
            match self.kind(*at) {
                Some(Kind::OpenRound) => depth += 1,
                Some(Kind::CloseRound) => depth = depth.saturating_sub(1),
                _ => return false,
            }
            depth == 0
        })
    }

    fn depth_between(&self, start: usize, end: usize) -> usize {
        let mut depth = 0_usize;
        for at in start..end {
            match self.kind(at) {
                Some(Kind::OpenRound | Kind::OpenSquare) => depth += 1,
                Some(Kind::CloseRound | Kind::CloseSquare) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        depth
    }

    fn division(&self, at: usize, divisor: Range<usize>, open: &[usize]) -> Option<Division> {
        let by_zero = divisor.len() == 1 && is_zero(self.word(divisor.start));
        if !by_zero && (!self.may_be_zero(&divisor) || self.is_guarded(at, &divisor, open)) {
            return None;
        }
        let end = self.list.get(divisor.start)?.end as usize;
        Some(Division {
            span: self.list[at].start as usize..end,
            by_zero,
        })
    }

    fn may_be_zero(&self, divisor: &Range<usize>) -> bool {
        let first = divisor.start;
        let called = self.kind(first + 1) == Some(Kind::OpenRound) && divisor.len() > 1;
        let name = self.lower(first);
        match self.kind(first) {
            Some(Kind::Word) if called => {
                !CAREFUL.contains(&name.as_str()) && !name.starts_with("to")
            }
            Some(Kind::Word | Kind::QuotedName) => true,
            // `x / (60 * 60)`, `x / (y + 1)`
            Some(Kind::OpenRound) => {
                let has_name = divisor
                    .clone()
                    .any(|at| matches!(self.kind(at), Some(Kind::Word | Kind::QuotedName)));
                let adds = divisor.clone().any(|at| {
                    self.word(at) == "+"
                        && self.kind(at + 1) == Some(Kind::Number)
                        && !is_zero(self.word(at + 1))
                });
                has_name && !adds
            }
            _ => false,
        }
    }

    /// Whether something around the division looks at the divisor first.
    fn is_guarded(&self, at: usize, divisor: &Range<usize>, open: &[usize]) -> bool {
        let is_choice = |open: &usize| {
            let name = open.checked_sub(1).map(|name| self.lower(name));
            matches!(name.as_deref(), Some("if" | "multiif")) && self.names(*open..at, divisor)
        };
        let is_forgiving = |open: &usize| {
            let name = open.checked_sub(1).map(|name| self.lower(name));
            name.is_some_and(|name| FORGIVING.contains(&name.as_str()))
        };
        open.iter()
            .any(|open| is_choice(open) || is_forgiving(open))
            || self.is_in_case(at, divisor)
            || self.is_in_choice(at, divisor, open)
            || self.is_filtered(divisor)
    }

    /// `CASE WHEN divisor = 0 THEN … ELSE x / divisor END`.
    fn is_in_case(&self, at: usize, divisor: &Range<usize>) -> bool {
        let mut ended = 0_usize;
        for before in (0..at).rev() {
            if self.is(before, "END") {
                ended += 1;
            } else if self.is(before, "CASE") {
                if ended == 0 && self.names(before..at, divisor) {
                    return true;
                }
                ended = ended.saturating_sub(1);
            }
        }
        false
    }

    /// `divisor = 0 ? 0 : x / divisor`.
    fn is_in_choice(&self, at: usize, divisor: &Range<usize>, open: &[usize]) -> bool {
        let begin = open.last().map_or(0, |open| open + 1);
        let ends = |before: &usize| {
            let is_end = self.kind(*before) == Some(Kind::Comma) || self.is(*before, "SELECT");
            is_end && self.depth_between(*before, at) == 0
        };
        let start = (begin..at).rfind(ends).map_or(begin, |before| before + 1);
        (start..at).any(|before| self.word(before) == "?" && self.names(start..before, divisor))
    }

    /// `WHERE divisor > 0`: whatever the filter is, it looks at the divisor.
    fn is_filtered(&self, divisor: &Range<usize>) -> bool {
        let is_filter = |at: &usize| {
            ["WHERE", "PREWHERE", "HAVING", "QUALIFY"]
                .iter()
                .any(|word| self.is(*at, word))
        };
        let mut filters = (0..self.list.len()).filter(is_filter);
        filters.any(|filter| {
            let ends = |at: &usize| {
                ["GROUP", "ORDER", "LIMIT", "UNION", "SELECT"]
                    .iter()
                    .any(|word| self.is(*at, word))
            };
            let end = (filter + 1..self.list.len()).find(ends);
            self.names(filter + 1..end.unwrap_or(self.list.len()), divisor)
        })
    }

    /// Whether the tokens of the divisor stand in a run, one after the other.
    fn names(&self, run: Range<usize>, divisor: &Range<usize>) -> bool {
        let length = divisor.len();
        let Some(last) = run.end.checked_sub(length) else {
            return false;
        };
        (run.start..=last).any(|start| {
            start != divisor.start
                && (0..length)
                    .all(|step| self.word(start + step) == self.word(divisor.start + step))
        })
    }
}

fn is_zero(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(|number| number == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str) -> Vec<&str> {
        let found = divisions(sql).into_iter();
        found.map(|division| &sql[division.span]).collect()
    }

    #[test]
    fn divisors_that_may_be_zero_are_found() {
        assert_eq!(
            found(
                "SELECT a / b, a / 2, a / nullIf(b, 0), a / (60 * 60), a / (b + c), a / count(), a / `d`"
            ),
            ["/ b", "/ (", "/ count", "/ `d`"]
        );
        assert_eq!(
            found(
                "SELECT divide(a, b), intDiv(a, t.b), a % b, modulo(a, 10), a MOD b, a DIV 3, mod FROM t"
            ),
            ["divide(a, b", "intDiv(a, t", "% b", "MOD b"]
        );
        assert_eq!(
            found("SELECT a / 0, a / 0.0, intDiv(a, 0), a / 10"),
            ["/ 0", "/ 0.0", "intDiv(a, 0"]
        );
        assert!(divisions("SELECT a / 0")[0].by_zero);
    }

    #[test]
    fn what_something_looks_at_first_is_guarded() {
        for sql in [
            "SELECT if(b = 0, 0, a / b)",
            "SELECT if(sum(b) = 0, 0, sum(a) / sum(b))",
            "SELECT multiIf(a > 1, 2, b > 0, a / b, 0)",
            "SELECT CASE WHEN b = 0 THEN 0 ELSE a / b END",
            "SELECT round(CASE WHEN b != 0 THEN divide(a, b) END, 2)",
            "SELECT x, b = 0 ? 0 : a / b AS c",
            "SELECT a / greatest(b, 1), a / (b + 1), a / if(b = 0, 1, b)",
            "SELECT a / b FROM t WHERE b > 0",
            "SELECT sum(a) / sum(b) FROM t GROUP BY c HAVING sum(b) > 0",
            "SELECT ifNotFinite(a / b, 0)",
            "SELECT divideOrNull(a, b), moduloOrZero(a, b)",
        ] {
            assert_eq!(found(sql), [""; 0], "{sql}");
        }
        assert_eq!(found("SELECT if(c = 0, 0, a / b)"), ["/ b"]);
        assert_eq!(found("SELECT CASE WHEN b = 0 THEN 1 END, a / b"), ["/ b"]);
        assert_eq!(found("SELECT b = 0 ? 0 : 1, a / b"), ["/ b"]);
    }
}
