//! The names that a statement gives to expressions, and which of them are names of lambdas.
//!
//! The engine looks for a name as far out as it goes. An expression's name is found right of an `IN` in the queries inside, and a lambda's name in the place of the
//! function of that name, operators included: after `(a, b) -> 1 AS equals`, `x = y` is 1 wherever it stands. So it matters to whoever puts one text into another.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::sql::identifier::unquote;
use crate::sql::lexer::{Kind, Token, tokenize};

/// The names that a statement gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Given {
    /// To expressions of any kind; more rather than too few.
    aliases: HashSet<String>,
    /// To lambdas, and to what may be one, each with its bytes.
    lambdas: Vec<(String, Range<usize>)>,
    /// To a name alone: that name, and the place of the one that it is given.
    renamed: Vec<(Name, usize)>,
}

/// A name, perhaps with its database.
pub(super) type Name = (Option<String>, String);

/// A bracket that is open.
#[derive(Debug, Clone, Default)]
struct Level {
    /// Whether the bracket groups, and calls nothing.
    groups: bool,
    /// Whether the element here is a lambda, or ends in one.
    arrow: bool,
    /// Whether there is more than one element.
    listed: bool,
    element: Element,
}

/// What an element is so far, lambdas aside.
#[derive(Debug, Clone, Default)]
struct Element {
    /// Whether there is more in it than names, brackets around them and signs before them.
    is_more: bool,
    /// The last name, which the next one is given to: `(a AS b) AS c` gives `c` to `b`.
    last: Option<Name>,
    after_dot: bool,
}

impl Element {
    fn name(&mut self, name: String) {
        self.last = match self.last.take() {
            Some((_, database)) if self.after_dot => Some((Some(database), name)),
            _ => Some((None, name)),
        };
        self.after_dot = false;
    }

    /// Takes in a token that is neither a bracket nor a name that is given.
    fn token(&mut self, sql: &str, token: &Token) {
        match token.kind {
            Kind::Word if matches_any(token.text(sql), &["AS"]) => {}
            Kind::Word | Kind::QuotedName => self.name(unquote(token.text(sql))),
            Kind::Dot => self.after_dot = true,
            // The engine's parser drops it.
            Kind::Operator if self.last.is_none() && token.text(sql) == "+" => {}
            _ => self.is_more = true,
        }
    }

    /// Takes in brackets that were closed.
    fn brackets(&mut self, closed: Level, round: bool) {
        self.is_more |= !round || closed.listed || closed.element.is_more;
        if closed.element.last.is_some() {
            self.last = closed.element.last;
        }
    }
}

/// The names that are given to lambdas. Few statements have one, and nothing else is read there.
pub(super) fn lambdas(sql: &str, tokens: &[Token]) -> Vec<(String, Range<usize>)> {
    if tokens.iter().any(|token| makes_lambda(sql, token)) {
        given(sql, tokens).lambdas
    } else {
        Vec::new()
    }
}

/// The names that are given to a name alone, each with the names that it is given to: `a AS b`. Right of an `IN`, `b` may then be the table `a`.
pub(super) fn renamed(sql: &str, tokens: &[Token]) -> HashMap<String, BTreeSet<Name>> {
    let mut of: HashMap<String, BTreeSet<Name>> = HashMap::new();
    for (other, at) in given(sql, tokens).renamed {
        let name = unquote(tokens[at].text(sql));
        of.entry(name).or_default().insert(other);
    }
    of
}

/// Whether a token makes a lambda: `->`, or the function that is behind it.
fn makes_lambda(sql: &str, token: &Token) -> bool {
    token.kind == Kind::Arrow
        || (matches!(token.kind, Kind::Word | Kind::QuotedName)
            && unquote(token.text(sql)).eq_ignore_ascii_case("lambda"))
}

/// The names that are given to expressions: right of an `IN`, anywhere inside, each may mean its expression.
pub(crate) fn aliases(sql: &str) -> HashSet<String> {
    tokenize(sql).map_or_else(
        |_| HashSet::new(),
        |tokens| given(sql, &tokens.list).aliases,
    )
}

/// Reads the names off the tokens of a statement.
fn given(sql: &str, tokens: &[Token]) -> Given {
    let mut given = Given::default();
    let mut levels = vec![Level::default()];
    let mut lambdas: BTreeSet<usize> = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_nested = levels.len() > 1;
        let Some(level) = levels.last_mut() else {
            break;
        };
        match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => {
                let before = at.checked_sub(1).map(|before| &tokens[before]);
                let calls = before.is_some_and(|before| is_operand(sql, before));
                levels.push(Level {
                    groups: token.kind == Kind::OpenRound && !calls,
                    ..Level::default()
                });
            }
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly if is_nested => {
                let closed = levels.pop().unwrap_or_default();
                if let Some(level) = levels.last_mut() {
                    level.arrow |= closed.groups && closed.arrow;
                    level
                        .element
                        .brackets(closed, token.kind == Kind::CloseRound);
                }
            }
            Kind::Comma => {
                (level.arrow, level.listed) = (false, true);
                level.element = Element::default();
            }
            Kind::Arrow => level.arrow = true,
            Kind::Word | Kind::QuotedName if is_given(sql, tokens, at) => {
                let name = unquote(token.text(sql));
                if level.arrow {
                    lambdas.insert(at);
                } else if let Some(other) =
                    level.element.last.take().filter(|_| !level.element.is_more)
                {
                    given.renamed.push((other, at));
                }
                level.element.name(name.clone());
                given.aliases.insert(name);
            }
            Kind::Word if begins_element(sql, tokens, at) => {
                level.arrow = false;
                level.element = Element::default();
            }
            _ => {
                level.arrow |= makes_lambda(sql, token);
                level.element.token(sql, token);
            }
        }
    }
    let name = |at: usize| unquote(tokens[at].text(sql));
    // What has the name of a lambda is one.
    let mut of: HashMap<&str, Vec<usize>> = HashMap::new();
    for (other, at) in &given.renamed {
        if let (None, other) = other {
            of.entry(other.as_str()).or_default().push(*at);
        }
    }
    let mut waiting: Vec<String> = lambdas.iter().map(|at| name(*at)).collect();
    while let Some(known) = waiting.pop() {
        for at in of.remove(known.as_str()).unwrap_or_default() {
            if lambdas.insert(at) {
                waiting.push(name(at));
            }
        }
    }
    let lambdas = lambdas.into_iter();
    given.lambdas = lambdas.map(|at| (name(at), tokens[at].range())).collect();
    given
}

/// Whether a word begins the elements of a list. That of `IS DISTINCT FROM` stands in the middle of one.
fn begins_element(sql: &str, tokens: &[Token], at: usize) -> bool {
    let is = |at: usize, words: &[&str]| {
        tokens[at].kind == Kind::Word && matches_any(tokens[at].text(sql), words)
    };
    is(at, &["SELECT", "WITH"]) || (at > 0 && is(at, &["DISTINCT"]) && is(at - 1, &["SELECT"]))
}

fn matches_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Words that stand between operands, after which no name is given.
const BETWEEN: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "ASOF",
    "BETWEEN",
    "BY",
    "CASE",
    "CROSS",
    "DESC",
    "DISTINCT",
    "DIV",
    "ELSE",
    "END",
    "EXCEPT",
    "FINAL",
    "FROM",
    "FULL",
    "GLOBAL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MOD",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PREWHERE",
    "QUALIFY",
    "RECURSIVE",
    "REGEXP",
    "RIGHT",
    "SAMPLE",
    "SELECT",
    "SEMI",
    "SETTINGS",
    "THEN",
    "UNION",
    "USING",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Whether a value may end with this token.
fn is_operand(sql: &str, token: &Token) -> bool {
    match token.kind {
        Kind::Word => !matches_any(token.text(sql), BETWEEN),
        Kind::QuotedName
        | Kind::Text
        | Kind::Number
        | Kind::CloseRound
        | Kind::CloseSquare
        | Kind::CloseCurly => true,
        _ => false,
    }
}

/// Whether the name at a place may be given to what stands before it, with `AS` or without.
fn is_given(sql: &str, tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| &tokens[before]) else {
        return false;
    };
    let follows_as = before.kind == Kind::Word && before.text(sql).eq_ignore_ascii_case("AS");
    let ends = before.kind == Kind::Word && matches_any(before.text(sql), &["END", "NULL"]);
    let is_word_between =
        tokens[at].kind == Kind::Word && matches_any(tokens[at].text(sql), BETWEEN);
    follows_as || ((is_operand(sql, before) || ends) && !is_word_between)
}

/// Functions that stand behind words and signs.
const BEHIND_SIGNS: &[&str] = &[
    "_cast",
    "and",
    "array",
    "arrayelement",
    "between",
    "caseexpression",
    "casewithexpression",
    "casewithoutexpression",
    "cast",
    "concat",
    "date",
    "dateadd",
    "datediff",
    "datesub",
    "datetrunc",
    "date_add",
    "date_diff",
    "date_sub",
    "date_trunc",
    "divide",
    "equals",
    "exists",
    "globalin",
    "globalvariable",
    "globalnotin",
    "globalnotnullin",
    "globalnullin",
    "greater",
    "greaterorequals",
    "grouping",
    "if",
    "ilike",
    "in",
    "intdiv",
    "isdistinctfrom",
    "isnotdistinctfrom",
    "isnotnull",
    "isnull",
    "less",
    "lessorequals",
    "like",
    "map",
    "match",
    "minus",
    "modulo",
    "multiif",
    "multiply",
    "negate",
    "not",
    "notequals",
    "notilike",
    "notin",
    "notlike",
    "notnullin",
    "nullin",
    "or",
    "plus",
    "position",
    "singlevalueornull",
    "substring",
    "timestamp_add",
    "timestamp_sub",
    "timestampadd",
    "timestampsub",
    "todate",
    "todate32",
    "todatetime",
    "todatetime64",
    "totimezone",
    "transform",
    "trim",
    "trimboth",
    "trimleft",
    "trimright",
    "tuple",
    "tupleelement",
    "xor",
];

/// Whether the engine may call a function of that name for a word or a sign, so that no text shows it.
pub(crate) fn is_behind_signs(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = |prefix: &str| name.strip_prefix(prefix);
    // `EXTRACT(YEAR FROM x)`, `INTERVAL 1 DAY`, `DATE_ADD(…)`.
    let of_time = ["tointerval", "tostartof", "add", "subtract", "to"]
        .iter()
        .filter_map(|prefix| rest(prefix))
        .any(|unit| UNITS.contains(&unit));
    of_time || BEHIND_SIGNS.contains(&name.as_str())
}

/// The words, in lower case, which stand together where the engine calls a function of that name for another: `sum` and `distinct` where `sum(DISTINCT x)` calls
/// `sumDistinct`, or `sum` and `filter` where `sum(x) FILTER (WHERE y)` calls `sumIf`. There may be several such lists; each has all that one way takes.
pub(crate) fn called_for(name: &str) -> Vec<Vec<&str>> {
    match name {
        "uniqexact" => return vec![vec!["count", "distinct"]],
        // `x > ALL (SELECT …)`
        "max" | "min" => return vec![vec!["all"], vec!["any"], vec!["some"]],
        _ => {}
    }
    // `count(DISTINCT x) FILTER (WHERE y)` calls `countDistinctIf`.
    let without_if = name.strip_suffix("if");
    let filtered: &[&str] = if without_if.is_some() {
        &["filter"]
    } else {
        &[]
    };
    let without_both = without_if.unwrap_or(name).strip_suffix("distinct");
    let ways = [
        without_if.map(|base| (base, &[][..])),
        without_both.map(|base| (base, &["distinct"][..])),
    ];
    ways.into_iter()
        .flatten()
        .filter(|(base, _)| !base.is_empty())
        .map(|(base, more)| [&[base], more, filtered].concat())
        .collect()
}

/// Units of time, as they end the names of functions.
const UNITS: &[&str] = &[
    "nanosecond",
    "nanoseconds",
    "microsecond",
    "microseconds",
    "millisecond",
    "milliseconds",
    "second",
    "seconds",
    "minute",
    "minutes",
    "hour",
    "hours",
    "day",
    "days",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "week",
    "weeks",
    "month",
    "months",
    "quarter",
    "quarters",
    "year",
    "years",
    "isoweek",
    "isoyear",
    "interval",
    "unixtimestamp",
    "yearweek",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lambdas(sql: &str) -> Vec<String> {
        let tokens = tokenize(sql).expect("tokens").list;
        let given = given(sql, &tokens);
        given.lambdas.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn names_of_lambdas_are_found_wherever_they_are_given() {
        let cases: &[(&str, &[&str])] = &[
            ("WITH (a, b) -> 1 AS equals SELECT * FROM t", &["equals"]),
            ("WITH x -> 100 AS abs SELECT id FROM t", &["abs"]),
            ("WITH (x -> 100) abs SELECT id FROM t", &["abs"]),
            ("WITH (a, b) -> 1 AS `in`, 2 AS two SELECT 1", &["in"]),
            (
                "SELECT arrayMap(((a, b) -> 1) AS equals, [1], [2]), * FROM t",
                &["equals"],
            ),
            (
                "SELECT arrayMap((((a, b) -> 1)) AS `and`, [1], [2]) FROM t",
                &["and"],
            ),
            (
                "WITH ((x, y) -> 1) AS g, g AS equals SELECT 1",
                &["g", "equals"],
            ),
            (
                "WITH g AS equals, ((x, y) -> 1) AS f, (f) AS g SELECT 1",
                &["equals", "f", "g"],
            ),
            ("WITH x -> 1 AS f SELECT f h, 2 AS k", &["f", "h"]),
            (
                "SELECT 1 UNION ALL SELECT arrayMap((x -> 1) AS or, [1])",
                &["or"],
            ),
            (
                "WITH (x, y) -> 1 IS NOT DISTINCT FROM 1 AS equals SELECT 1",
                &["equals"],
            ),
            (
                "WITH lambda(tuple(x, y), 1) AS equals SELECT 1",
                &["equals"],
            ),
            (
                "WITH `lambda`(tuple(x, y), 1) AS f, f AS g SELECT 1",
                &["f", "g"],
            ),
            ("SELECT DISTINCT x -> 1 AS f", &["f"]),
            (
                "WITH RECURSIVE ((x, y) -> 1) AS equals SELECT 1",
                &["equals"],
            ),
            (
                "WITH ((x, y) -> 1) AS g, (g AS h) AS equals SELECT 1",
                &["g", "h", "equals"],
            ),
            // Of what lambdas make, and of what is none.
            (
                "SELECT arrayMap(x -> x + 1, a) AS equals, count() AS count FROM t",
                &[],
            ),
            (
                "SELECT arrayMap(x -> x AND y, a) FROM t WHERE a AND b OR c IN (1)",
                &[],
            ),
            ("SELECT a AS equals, (b, c) AS g FROM t", &[]),
        ];
        for (sql, expected) in cases {
            assert_eq!(&lambdas(sql), expected, "{sql}");
        }
    }

    #[test]
    fn all_names_that_are_given_are_among_the_aliases() {
        let sql = "WITH 3 AS a, (SELECT 1) b SELECT tuple(4 AS c), d + 1 e, replace(s AS f, 'a', 'b'), CASE WHEN 1 THEN 2 END g, NULL h FROM t";
        let tokens = tokenize(sql).expect("tokens").list;
        let given = given(sql, &tokens).aliases;
        for name in ["a", "b", "c", "e", "f", "g", "h"] {
            assert!(given.contains(name), "{name}");
        }
        for name in ["d", "s", "t"] {
            assert!(!given.contains(name), "{name}");
        }
    }
}
