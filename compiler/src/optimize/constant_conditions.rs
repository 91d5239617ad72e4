//! `constant-conditions`.

use std::ops::Range;

use super::Subject;
use super::change::Change;
use super::rules::Rule;
use super::site::find;
use crate::sql::blocks::{Clause, ClauseKind, Run, Statement};
use crate::sql::lexer::Kind;

pub(super) const RULE: Rule = Rule {
    name: "constant-conditions",
    page: "\
# constant-conditions

Takes conditions that are always true out of `WHERE`, `PREWHERE` and `HAVING`.

## Why

Templates write `WHERE 1 = 1` so that each branch can begin with `AND`. The engine evaluates the condition for each plan, and the clause keeps
it from answering `count()` from what it knows of the table.

## Example

    SELECT count() FROM hits WHERE 1 = 1 AND org = 7

becomes

    SELECT count() FROM hits WHERE org = 7

## When it does not apply

The values of parameters are not looked at, since the next request has others. Conditions with `OR`, `BETWEEN` or `CASE` beside them are left as they are.
Where one condition remains, it has to be a comparison: the engine takes numbers for conditions only in places.
",
    apply,
};

fn apply(subject: &Subject<'_>) -> Option<Change> {
    let statement = subject.statement;
    find(&statement.query, &mut |site| {
        if !site.select.understood {
            return None;
        }
        [ClauseKind::Prewhere, ClauseKind::Where, ClauseKind::Having]
            .into_iter()
            .filter_map(|kind| site.select.clause(kind))
            .find_map(|clause| simplify(subject, clause))
    })
}

/// Words beside which a condition is no longer one of several that all must hold.
const OTHER_LOGIC: &[&str] = &["OR", "XOR", "BETWEEN", "CASE", "AS", "INTERVAL"];

fn simplify(subject: &Subject<'_>, clause: &Clause) -> Option<Change> {
    let statement = subject.statement;
    let outer: Vec<usize> = statement.outermost(&clause.body).collect();
    let other = |at: &usize| {
        OTHER_LOGIC.iter().any(|word| statement.is(*at, word))
            || statement.kind(*at) == Some(Kind::Arrow)
            || statement.word(*at) == "?"
    };
    if outer.iter().any(other) {
        return None;
    }
    let mut conditions: Vec<Run> = Vec::new();
    let mut start = clause.body.start;
    for at in outer {
        if statement.is(at, "AND") {
            conditions.push(start..at);
            start = at + 1;
        }
    }
    conditions.push(start..clause.body.end);
    let always = |run: &Run| is_true(statement, run) && !subject.has_literal(&statement.bytes(run));
    let index = conditions.iter().position(always)?;
    let remaining: Vec<&Run> = (conditions.iter().enumerate())
        .filter(|(at, _)| *at != index)
        .map(|(_, run)| run)
        .collect();
    if let [one] = remaining[..]
        && !is_comparison(statement, one)
    {
        return None;
    }
    let start = |run: &Run| statement.bytes(run).start;
    let end = |run: &Run| statement.bytes(run).end;
    let removed: Range<usize> = if remaining.is_empty() {
        statement.bytes(&clause.run)
    } else if let Some(next) = conditions.get(index + 1) {
        start(&conditions[index])..start(next)
    } else {
        end(&conditions[index - 1])..end(&conditions[index])
    };
    let condition = statement.slice(&conditions[index]);
    Some(Change {
        what: format!("`{condition}` is always true"),
        at: statement.bytes(&conditions[index]),
        edits: vec![(removed, Vec::new())],
    })
}

/// `1`, `true`, `1 = 1`, `0 = 0`, also in brackets.
fn is_true(statement: &Statement<'_>, run: &Run) -> bool {
    let number = |at: usize| statement.kind(at) == Some(Kind::Number);
    let first = run.start;
    match run.len() {
        1 => statement.word(first) == "1" || statement.is(first, "true"),
        3 if statement.kind(first) == Some(Kind::OpenRound) => {
            is_true(statement, &(first + 1..run.end - 1))
        }
        3 => {
            number(first)
                && number(first + 2)
                && statement.kind(first + 1) == Some(Kind::Equals)
                && statement.word(first) == statement.word(first + 2)
        }
        5 if statement.kind(first) == Some(Kind::OpenRound)
            && statement.close(first) == run.end - 1 =>
        {
            is_true(statement, &(first + 1..run.end - 1))
        }
        _ => false,
    }
}

/// Whether a condition is surely true or false and no other number.
fn is_comparison(statement: &Statement<'_>, run: &Run) -> bool {
    statement.outermost(run).any(|at| {
        statement.kind(at) == Some(Kind::Equals)
            || ["<", ">", "<=", ">=", "!=", "<>", "<=>"].contains(&statement.word(at))
            || ["IN", "LIKE", "ILIKE"]
                .iter()
                .any(|word| statement.is(at, word))
    })
}
