//! The outermost query of a statement, with its aggregates as intermediate states: what a materialized view must give when each insert makes rows of its own for
//! the groups, and the table merges them.
//!
//! The text is read as blocks and edited at byte ranges, each a token of the statement. What cannot become a state is said with a reason, never guessed.

use std::ops::Range;

use super::blocks::{Clause, ClauseKind, Item, ItemKind, Run, Select, Statement};
use super::identifier::quote_identifier;
use super::lexer::Kind;
use super::outline::outline;
use crate::template::is_aggregate;

/// A query that groups, and what its aggregates become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grouped {
    /// What takes the place of which bytes, in order. Each range is a token, with blanks behind it where it goes.
    pub(crate) edits: Vec<(Range<usize>, String)>,
    /// The output columns that its groups are told apart by, in the order of `GROUP BY`.
    pub(crate) keys: Vec<String>,
    /// The output columns that hold states.
    pub(crate) states: Vec<StateColumn>,
    /// Whether there are columns that are neither.
    pub(crate) has_others: bool,
}

/// A column of states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateColumn {
    /// Its name.
    pub(crate) name: String,
    /// What gives its values: `quantileMerge(0.9)`.
    pub(crate) merge: String,
}

/// Why the aggregates of a query cannot become states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoStates {
    /// What stands in the way.
    pub(crate) message: String,
    /// Where.
    pub(crate) span: Range<usize>,
    /// What to do.
    pub(crate) help: &'static str,
}

const NAME_COLUMNS: &str = "name each column of the result, or declare the data source";
const SPLIT: &str =
    "give each aggregate a column of its own, and compute with them where the data source is read";
const WHEN_READ: &str = "do that where the data source is read, when all inserts are in";

/// What becomes of the aggregates of a query; nothing for one that neither groups nor aggregates, and for text that cannot be read.
pub(crate) fn grouped(sql: &str) -> Result<Option<Grouped>, NoStates> {
    let Some(statement) = Statement::read(sql) else {
        return Ok(None);
    };
    let [select] = statement.query.branches.as_slice() else {
        return united(&statement);
    };
    if !select.understood {
        return if outline(sql).grouped {
            Err(NoStates {
                message: "the groups of this query cannot be told".to_owned(),
                span: statement.bytes(&select.run),
                help: "declare the data source that it fills, with its engine and sorting key",
            })
        } else {
            Ok(None)
        };
    }
    let reader = Reader {
        statement: &statement,
        select,
    };
    let in_list = reader.aggregates(&select.list).next().is_some();
    if select.clause(ClauseKind::GroupBy).is_none() && !in_list {
        return Ok(None);
    }
    reader.read().map(Some)
}

fn united(statement: &Statement<'_>) -> Result<Option<Grouped>, NoStates> {
    for select in &statement.query.branches {
        let reader = Reader { statement, select };
        let groups = select.clause(ClauseKind::GroupBy).is_some();
        if groups || reader.aggregates(&select.list).next().is_some() {
            return Err(NoStates {
                message: "the groups of several queries cannot become states of one".to_owned(),
                span: statement.bytes(&select.run),
                help: "make a materialized node of each query, or declare the data source",
            });
        }
    }
    Ok(None)
}

/// A call of an aggregate function.
struct Call {
    /// The token that is its name.
    at: usize,
    name: String,
    /// The brackets with the parameters, of a function with both.
    parameters: Option<Run>,
    /// The brackets with the arguments.
    arguments: Run,
    /// All of it, with `FILTER (…)` and what is said of NULLs.
    run: Run,
    /// Whether it is one over a window.
    is_window: bool,
}

struct Reader<'a> {
    statement: &'a Statement<'a>,
    select: &'a Select,
}

impl Reader<'_> {
    /// The tokens of a run that are no part of a query inside.
    fn own(&self, run: &Run) -> impl Iterator<Item = usize> {
        run.clone().filter(|at| {
            let mut nested = self.select.nested.iter();
            !nested.any(|nested| (nested.open..=nested.close).contains(at))
        })
    }

    /// The aggregates that are computed over the groups of this query, also those inside of other calls.
    fn aggregates(&self, run: &Run) -> impl Iterator<Item = Call> {
        self.own(run)
            .filter_map(|at| self.call(at))
            .filter(|call| !call.is_window)
    }

    fn call(&self, at: usize) -> Option<Call> {
        let statement = self.statement;
        let name = statement.name(at)?;
        let follows_dot = at > 0 && statement.kind(at - 1) == Some(Kind::Dot);
        if statement.kind(at + 1) != Some(Kind::OpenRound) || follows_dot || !is_aggregate(&name) {
            return None;
        }
        let first = at + 1..statement.close(at + 1) + 1;
        let second = (statement.kind(first.end) == Some(Kind::OpenRound))
            .then(|| first.end..statement.close(first.end) + 1);
        let (parameters, arguments) = match second {
            Some(second) => (Some(first), second),
            None => (None, first),
        };
        let mut end = arguments.end;
        loop {
            let nulls = statement.is(end + 1, "NULLS")
                && (statement.is(end, "RESPECT") || statement.is(end, "IGNORE"));
            if nulls {
                end += 2;
            } else if statement.is(end, "FILTER")
                && statement.kind(end + 1) == Some(Kind::OpenRound)
            {
                end = statement.close(end + 1) + 1;
            } else {
                break;
            }
        }
        Some(Call {
            at,
            name,
            parameters,
            arguments,
            run: at..end,
            is_window: statement.is(end, "OVER"),
        })
    }

    fn read(&self) -> Result<Grouped, NoStates> {
        let mut grouped = Grouped::default();
        let mut columns = Vec::new();
        for item in &self.select.items {
            columns.push(self.column(item, &mut grouped)?);
        }
        self.refuse_computed(&columns, &grouped)?;
        self.refuse_clauses(&grouped)?;
        grouped.keys = self.keys(&columns, &mut grouped.edits)?;
        let is_other =
            |column: &Column| !column.is_aggregate && !grouped.keys.contains(&column.name);
        grouped.has_others = columns.iter().any(is_other);
        grouped.edits.sort_by_key(|(range, _)| range.start);
        Ok(grouped)
    }

    /// The column that an element of the list gives, and the edits after which an aggregate is a state.
    fn column(&self, item: &Item, grouped: &mut Grouped) -> Result<Column, NoStates> {
        let statement = self.statement;
        let (written, expression) = self.name_and_expression(item)?;
        let first = expression.start;
        let call = self
            .call(first)
            .filter(|call| call.run == expression && !call.is_window);
        let has_name = written.is_some();
        let name = written.unwrap_or_else(|| statement.slice(&expression).to_owned());
        let Some(call) = call else {
            let call = self.own(&expression).find_map(|at| self.call(at));
            if let Some(call) = call {
                return Err(NoStates {
                    message: format!(
                        "`{}` is computed from `{}` of each insert alone, and cannot become a state",
                        statement.slice(&expression),
                        call.name
                    ),
                    span: statement.bytes(&item.run),
                    help: SPLIT,
                });
            }
            return Ok(Column {
                name,
                has_name,
                expression,
                run: item.run.clone(),
                is_aggregate: false,
            });
        };
        let edits = &mut grouped.edits;
        let mut function = call.name.clone();
        if let Some(simple) = function.strip_suffix("SimpleState") {
            // It merges by itself, and is read as a value.
            function.truncate(simple.len());
        } else if let Some(state) = function.strip_suffix("State").filter(|it| is_aggregate(it)) {
            grouped.states.push(self.state(&name, state, &call));
        } else {
            if let Some(distinct) = self.distinct(&call) {
                let word = statement.bytes(&(distinct..distinct + 1));
                let next = statement.bytes(&(distinct + 1..distinct + 2)).start;
                let is_blank = statement.text[word.end..next].trim().is_empty();
                let end = if is_blank { next } else { word.end };
                edits.push((word.start..end, String::new()));
                function = of_distinct(&function);
            }
            // A state of the first forgets that no row met the condition; both give the same otherwise.
            if let Some(all) = function.strip_suffix("IfOrNull") {
                function = format!("{all}OrNullIf");
            }
            edits.push((
                statement.bytes(&(call.at..call.at + 1)),
                format!("{function}State"),
            ));
            let merged = function.strip_suffix("Merge").unwrap_or(&function);
            grouped.states.push(self.state(&name, merged, &call));
        }
        if !has_name {
            self.give_name(&item.run, &name, edits);
        }
        Ok(Column {
            name,
            has_name: true,
            expression,
            run: item.run.clone(),
            is_aggregate: true,
        })
    }

    /// Writes a name behind an element, so that its column keeps that name whatever becomes of the text.
    fn give_name(&self, run: &Run, name: &str, edits: &mut Vec<(Range<usize>, String)>) {
        let last = self.statement.bytes(&(run.end - 1..run.end));
        let text = &self.statement.text[last.clone()];
        edits.push((last, format!("{text} AS {}", quote_identifier(name))));
    }

    fn state(&self, name: &str, function: &str, call: &Call) -> StateColumn {
        let parameters = call.parameters.as_ref();
        let parameters = parameters.map_or("", |run| self.statement.slice(run));
        // A name of standard SQL in capitals.
        let is_loud = !function.chars().any(|letter| letter.is_ascii_lowercase());
        let function = if is_loud {
            function.to_ascii_lowercase()
        } else {
            function.to_owned()
        };
        // To the engine it is a function of its own.
        let nulls = if self.statement.is(call.arguments.end, "RESPECT") {
            "_respect_nulls"
        } else {
            ""
        };
        StateColumn {
            name: name.to_owned(),
            merge: format!("{function}{nulls}Merge{parameters}"),
        }
    }

    /// The word `DISTINCT` in front of the arguments.
    fn distinct(&self, call: &Call) -> Option<usize> {
        let at = call.arguments.start + 1;
        let is_name = matches!(
            self.statement.kind(at + 1),
            Some(Kind::Comma | Kind::CloseRound | Kind::Dot)
        );
        (self.statement.is(at, "DISTINCT") && !is_name).then_some(at)
    }

    fn name_and_expression(&self, item: &Item) -> Result<(Option<String>, Run), NoStates> {
        let statement = self.statement;
        let run = &item.run;
        let last = run.end - 1;
        match &item.kind {
            ItemKind::Named { name, expression } => {
                return Ok((Some(name.clone()), expression.clone()));
            }
            ItemKind::Column { name, .. } => return Ok((Some(name.clone()), run.clone())),
            ItemKind::Star => {}
            ItemKind::Other => {
                let is_star = |at: usize| {
                    let before = at.checked_sub(1).and_then(|before| statement.kind(before));
                    statement.kind(at) == Some(Kind::Asterisk)
                        && (at == run.start || before == Some(Kind::Dot))
                };
                let matches_names = statement.is(run.start, "COLUMNS");
                if !matches_names && !statement.outermost(run).any(is_star) {
                    // `f(x) name`
                    let is_alias = run.len() > 2
                        && statement.kind(last - 1) == Some(Kind::CloseRound)
                        && statement.plain_name(last)
                        && !statement.is(last, "END");
                    return Ok(if is_alias {
                        (statement.name(last), run.start..last)
                    } else {
                        (None, run.clone())
                    });
                }
            }
        }
        Err(NoStates {
            message: format!(
                "which columns `{}` gives beside the aggregates cannot be told",
                statement.slice(run)
            ),
            span: statement.bytes(run),
            help: NAME_COLUMNS,
        })
    }

    /// Refuses columns that are computed from others that become states.
    fn refuse_computed(&self, columns: &[Column], grouped: &Grouped) -> Result<(), NoStates> {
        for column in columns.iter().filter(|column| !column.is_aggregate) {
            if let Some(name) = self.names_state(&column.expression, grouped) {
                return Err(NoStates {
                    message: format!(
                        "`{}` is computed from `{name}` of each insert alone, and cannot become a state",
                        self.statement.slice(&column.expression)
                    ),
                    span: self.statement.bytes(&column.run),
                    help: SPLIT,
                });
            }
        }
        Ok(())
    }

    /// The first name of a run that is a column of states.
    fn names_state(&self, run: &Run, grouped: &Grouped) -> Option<String> {
        let statement = self.statement;
        self.own(run)
            .filter(|at| {
                let beside = [at.checked_sub(1), Some(at + 1)];
                !beside
                    .into_iter()
                    .flatten()
                    .any(|beside| statement.kind(beside) == Some(Kind::Dot))
                    && statement.kind(at + 1) != Some(Kind::OpenRound)
            })
            .filter_map(|at| statement.name(at))
            .find(|name| grouped.states.iter().any(|state| state.name == *name))
    }

    /// Refuses clauses that look at aggregates: they would see those of one insert.
    fn refuse_clauses(&self, grouped: &Grouped) -> Result<(), NoStates> {
        let statement = self.statement;
        let refuse = |what: &str, run: &Run, help| {
            Err(NoStates {
                message: format!("{what} sees the aggregates of each insert alone"),
                span: statement.bytes(run),
                help,
            })
        };
        if let Some(with) = &self.select.with {
            let run = with.keyword..self.select.keyword;
            if let Some(call) = self.aggregates(&run).next() {
                return refuse("`WITH`", &call.run, SPLIT);
            }
        }
        for Clause { kind, run, body } in &self.select.clauses {
            let what = match kind {
                ClauseKind::Having => "`HAVING`",
                ClauseKind::Qualify => "`QUALIFY`",
                ClauseKind::OrderBy => "`ORDER BY`",
                ClauseKind::Limit => "`LIMIT`",
                _ => continue,
            };
            let by_place = |part: &Run| {
                let place = statement.word(part.start).parse::<usize>().ok();
                let item = place.and_then(|place| self.select.items.get(place.checked_sub(1)?));
                item.is_some_and(|item| self.aggregates(&item.run).next().is_some())
            };
            let sees = self.aggregates(body).next().is_some()
                || self.names_state(body, grouped).is_some()
                || (*kind == ClauseKind::OrderBy
                    && !grouped.states.is_empty()
                    && (statement.is(body.start, "ALL")
                        || statement.split(body).iter().any(by_place)));
            if sees {
                return refuse(what, run, WHEN_READ);
            }
        }
        if let Some(distinct) = self.select.distinct
            && !grouped.states.is_empty()
        {
            return refuse("`DISTINCT`", &(distinct..distinct + 1), WHEN_READ);
        }
        Ok(())
    }

    /// The columns that the elements of `GROUP BY` are. One without a name of its own gets its text as that.
    fn keys(
        &self,
        columns: &[Column],
        edits: &mut Vec<(Range<usize>, String)>,
    ) -> Result<Vec<String>, NoStates> {
        let statement = self.statement;
        let Some(clause) = self.select.clause(ClauseKind::GroupBy) else {
            return Ok(Vec::new());
        };
        let mut body = clause.body.clone();
        // `WITH TOTALS`, which a view has no rows for. The others give rows of totals that have the key of a group.
        if body.len() > 2 && statement.is(body.end - 2, "WITH") {
            if !statement.is(body.end - 1, "TOTALS") {
                let span = statement.bytes(&(body.end - 2..body.end));
                return Err(NoStates {
                    message: format!(
                        "`{}` gives totals beside the groups, which could not be told apart in the data source",
                        &statement.text[span.clone()]
                    ),
                    span,
                    help: WHEN_READ,
                });
            }
            body.end -= 2;
        }
        let mut keys: Vec<&Column> = Vec::new();
        if body.len() == 1 && statement.is(body.start, "ALL") {
            keys.extend(columns.iter().filter(|column| !column.is_aggregate));
        } else {
            // `GROUP BY (a, b)`
            let brackets = statement.kind(body.start) == Some(Kind::OpenRound)
                && statement.close(body.start) + 1 == body.end
                && body.len() > 2;
            if brackets {
                body = body.start + 1..body.end - 1;
            }
            for part in statement.split(&body) {
                let column = self.key(&part, columns).ok_or_else(|| NoStates {
                    message: format!(
                        "`GROUP BY {}` is no column of the result: groups could not be told apart in the data source",
                        statement.slice(&part)
                    ),
                    span: statement.bytes(&part),
                    help: "add it to the SELECT list, under a name",
                })?;
                if !keys.iter().any(|key| key.name == column.name) {
                    keys.push(column);
                }
            }
        }
        for column in keys.iter().filter(|column| !column.has_name) {
            self.give_name(&column.run, &column.name, edits);
        }
        Ok(keys.into_iter().map(|column| column.name.clone()).collect())
    }

    /// The column that an element of `GROUP BY` is: by place, by name, or by the same text.
    fn key<'c>(&self, part: &Run, columns: &'c [Column]) -> Option<&'c Column> {
        let statement = self.statement;
        let mut plain = columns.iter().filter(|column| !column.is_aggregate);
        if part.len() == 1
            && let Ok(place) = statement.word(part.start).parse::<usize>()
        {
            let column = columns.get(place.checked_sub(1)?)?;
            return (!column.is_aggregate).then_some(column);
        }
        if part.len() == 1
            && let Some(name) = statement.name(part.start)
            && let Some(column) = plain.clone().find(|column| column.name == name)
        {
            return Some(column);
        }
        let words = |run: &Run| -> Vec<String> {
            let words = run.clone().map(|at| match statement.kind(at) {
                Some(Kind::Word | Kind::QuotedName) => statement.name(at).unwrap_or_default(),
                _ => statement.word(at).to_owned(),
            });
            words.collect()
        };
        let wanted = words(part);
        plain.find(|column| words(&column.expression) == wanted)
    }
}

/// An element of the list.
struct Column {
    name: String,
    /// Whether the text says its name.
    has_name: bool,
    expression: Run,
    run: Run,
    is_aggregate: bool,
}

/// What the engine computes for `function(DISTINCT …)`.
fn of_distinct(function: &str) -> String {
    let lower = function.to_ascii_lowercase();
    match lower.strip_prefix("count") {
        Some("") => "uniqExact".to_owned(),
        Some("if") => "uniqExactIf".to_owned(),
        _ => format!("{function}Distinct"),
    }
}

#[cfg(test)]
mod tests;
