//! The heart of `merge-chains`: a node that picks, renames, computes and filters goes into its only reader.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Subject;
use super::change::{Change, Part, add};
use super::columns::{self, Columns};
use super::functions::all_scalar;
use super::merge_chains::label;
use super::site::Site;
use crate::sql;
use crate::sql::blocks::{ClauseKind, Item, ItemKind, Nested, Run, Select, Source};
use crate::sql::lexer::Kind;

/// What the merger of a node into its reader has to know.
struct Merger<'a> {
    subject: &'a Subject<'a>,
    site: Site<'a>,
    reader: &'a Select,
    /// The reader's text before and after its source.
    around: [Run; 2],
    nested: &'a Nested,
    node: &'a Select,
    source: &'a Source,
    columns: Columns,
    /// The names of the columns that the node gives.
    outputs: Vec<String>,
    /// What the reader gives a meaning of its own.
    defined: BTreeSet<String>,
    /// What the leading `WITH` of a union gives a name, for its other branches.
    leading: BTreeSet<String>,
}

/// A node that picks, computes and filters goes into its only reader.
pub(super) fn apply(subject: &Subject<'_>, site: Site<'_>) -> Option<Change> {
    let merger = Merger::new(subject, site)?;
    merger.node_is_simple()?;
    merger.reader_can_take_it()?;
    merger.change()
}

impl<'a> Merger<'a> {
    fn new(subject: &'a Subject<'a>, site: Site<'a>) -> Option<Self> {
        let statement = subject.statement;
        let reader = site.select;
        let nested = reader.source_query()?;
        let node = nested.query.single()?;
        let source = node.source.as_ref()?;
        let columns = columns::of_source(statement, subject.context, site, node)?;
        let whole = &reader.source.as_ref()?.run;
        let around = [reader.run.start..whole.start, whole.end..reader.run.end];
        let outputs = columns::of_query(statement, subject.context, site, &nested.query)?;
        let defined = around
            .iter()
            .flat_map(|run| statement.defines(run))
            .collect();
        let mut leading = BTreeSet::new();
        let first = site.query.branches.first().filter(|_| site.branch > 0);
        let in_brackets = site.around.iter().map(|around| around.select);
        let in_brackets = in_brackets.filter(|select| !select.understood);
        for select in first.into_iter().chain(in_brackets) {
            match &select.with {
                Some(with) if select.understood => {
                    leading.extend(with.names.iter().map(|(name, _)| name.clone()));
                }
                None if select.understood => {}
                _ if !statement.has_word(&select.run, "WITH") => {}
                _ => leading.extend(statement.defines(&select.run)),
            }
        }
        Some(Self {
            subject,
            site,
            reader,
            around,
            nested,
            node,
            source,
            columns,
            outputs,
            defined,
            leading,
        })
    }

    /// The expression behind a column that the node makes; `None` for one that it passes on.
    fn definition(&self, item: &'a Item) -> Option<(&'a str, Run)> {
        match &item.kind {
            ItemKind::Named { name, expression } => {
                let statement = self.subject.statement;
                let same = expression.len() == 1
                    && statement.name(expression.start).as_deref() == Some(name);
                (!same).then(|| (name.as_str(), expression.clone()))
            }
            _ => None,
        }
    }

    fn definitions(&self) -> impl Iterator<Item = (&'a str, Run)> {
        self.node
            .items
            .iter()
            .filter_map(|item| self.definition(item))
    }

    fn node_is_simple(&self) -> Option<()> {
        let (statement, node) = (self.subject.statement, self.node);
        let only_where = node
            .clauses
            .iter()
            .all(|clause| clause.kind == ClauseKind::Where);
        let runs =
            std::iter::once(&node.list).chain(node.clauses.iter().map(|clause| &clause.body));
        let harmless =
            |run: &Run| all_scalar(&statement.calls(run)) && !statement.has_word(run, "OVER");
        if node.with.is_some()
            || node.distinct.is_some()
            || !only_where
            || !runs.into_iter().all(harmless)
        {
            return None;
        }
        // A name that is given inside of an expression would be another one's in the reader, or nobody's.
        let mut clauses = node.clauses.iter();
        if clauses.any(|clause| !statement.gives(&clause.body).is_empty()) {
            return None;
        }
        let mut stars = 0;
        for item in &node.items {
            let own = match &item.kind {
                ItemKind::Named { name, .. } => Some(name),
                _ => None,
            };
            let given = statement.gives(&item.run);
            if given.iter().any(|given| Some(given) != own) {
                return None;
            }
            match &item.kind {
                ItemKind::Star => stars += 1,
                ItemKind::Column { qualifier, name } => {
                    let known = qualifier.as_ref().is_none_or(|qualifier| {
                        self.source.answers_to(qualifier) && !self.columns.has(qualifier)
                    });
                    if !known || !self.columns.has(name) {
                        return None;
                    }
                }
                ItemKind::Named { name, expression } => {
                    let is_new = !self.columns.has(name);
                    if (self.definition(item).is_some() && !is_new)
                        || statement.has_star(expression)
                    {
                        return None;
                    }
                }
                ItemKind::Other => return None,
            }
        }
        (stars <= 1).then_some(())
    }

    fn reader_can_take_it(&self) -> Option<()> {
        let (statement, reader) = (self.subject.statement, self.reader);
        let stars = reader
            .items
            .iter()
            .filter(|item| item.kind == ItemKind::Star)
            .count();
        let other_stars = reader
            .items
            .iter()
            .any(|item| item.kind != ItemKind::Star && statement.has_star(&item.run))
            || reader
                .clauses
                .iter()
                .any(|clause| statement.has_star(&clause.body));
        // Two columns with one definition are two keys, and would be one. The key of the totals is the default of its type, and would be computed with.
        let groups_often = ["ROLLUP", "CUBE", "GROUPING", "TOTALS"]
            .iter()
            .any(|word| statement.has_word(&reader.run, word));
        let by_pattern = ["COLUMNS", "APPLY", "EXCEPT", "REPLACE"]
            .iter()
            .any(|word| statement.has_word(&reader.list, word));
        if stars > 1
            || other_stars
            || by_pattern
            || groups_often
            || reader.with.as_ref().is_some_and(|with| with.recursive)
            || reader.clause(ClauseKind::Prewhere).is_some()
        {
            return None;
        }
        // Of two columns with one name the engine calls one by its table as well, which would be another.
        let mut names = reader.items.iter().filter_map(Item::name);
        if stars == 1 && names.any(|name| self.outputs.iter().any(|output| output == name)) {
            return None;
        }
        // A name that meant nothing of the node must not mean a column that the node did not pass on.
        for run in &self.around {
            for name in statement.names(run) {
                let passed = self.outputs.contains(&name) || self.defined.contains(&name);
                if !passed && self.columns.has(&name) {
                    return None;
                }
                // `x IN name` means a table of the same `FROM` before it means a common table expression.
                if self.source.answers_to(&name)
                    && !self.only_defined(run, &name)
                    && !self.means_no_table(&name)
                {
                    return None;
                }
            }
            for at in run.clone() {
                self.compound_is_clear(at)?;
            }
        }
        Some(())
    }

    /// Whether a run has a name only where it gives it to something.
    fn only_defined(&self, run: &Run, name: &str) -> bool {
        let statement = self.subject.statement;
        let named = |at: &usize| statement.name(*at).as_deref() == Some(name);
        let given = |at: usize| at > 0 && statement.is(at - 1, "AS");
        run.clone().filter(named).all(given)
    }

    /// Whether a name that the reader gives to something can mean no table in it: where nothing takes a table for a value, a name alone is what it was given to.
    fn means_no_table(&self, name: &str) -> bool {
        let statement = self.subject.statement;
        let takes_tables = |run: &Run| {
            statement.has_word(run, "IN")
                || statement
                    .calls(run)
                    .iter()
                    .any(|call| is_set_function(call))
        };
        self.defined.contains(name) && !self.around.iter().any(takes_tables)
    }

    /// `a.b` in the reader must not mean the source of the node, nor a part of a column that the node makes.
    fn compound_is_clear(&self, at: usize) -> Option<()> {
        let statement = self.subject.statement;
        let first = statement.kind(at + 1) == Some(Kind::Dot)
            && !(at > 0 && statement.kind(at - 1) == Some(Kind::Dot));
        let Some(name) = statement.name(at).filter(|_| first) else {
            return Some(());
        };
        let alias = self
            .reader
            .source
            .as_ref()
            .and_then(|source| source.alias.as_ref());
        if alias == Some(&name) {
            return Some(());
        }
        let made = self.definitions().any(|(made, _)| made == name);
        (!made && !self.source.answers_to(&name)).then_some(())
    }

    /// `n.a` in the reader, where `n` is the node, becomes `a`.
    fn unqualified(&self) -> Option<Vec<Range<usize>>> {
        let statement = self.subject.statement;
        let Some(alias) = self
            .reader
            .source
            .as_ref()
            .and_then(|source| source.alias.as_ref())
        else {
            return Some(Vec::new());
        };
        let mut removed = Vec::new();
        for at in self.around.iter().cloned().flatten() {
            let after_dot = at > 0 && statement.kind(at - 1) == Some(Kind::Dot);
            if statement.name(at).as_ref() != Some(alias) || after_dot {
                continue;
            }
            if statement.kind(at + 1) != Some(Kind::Dot) {
                // A column of that name, or the node as a set, which would be gone.
                if self.outputs.contains(alias)
                    || self.only_defined(&(at..at + 1), alias)
                    || self.means_no_table(alias)
                {
                    continue;
                }
                return None;
            }
            let column = statement.name(at + 2)?;
            let inside = self
                .reader
                .nested
                .iter()
                .any(|nested| nested.open < at && at < nested.close);
            if inside
                || self.outputs.contains(alias)
                || !self.outputs.contains(&column)
                || self.defined.contains(&column)
                || statement.kind(at + 3) == Some(Kind::Dot)
            {
                return None;
            }
            removed.push(
                statement.bytes(&(at..at + 2)).start..statement.bytes(&(at + 2..at + 3)).start,
            );
        }
        Some(removed)
    }

    /// The columns that the node makes and that are used after it, in order.
    fn needed(&self, removed: &[Range<usize>]) -> Vec<(&'a str, Run)> {
        let statement = self.subject.statement;
        let qualified = |name: &str| {
            removed.iter().any(|range| {
                let mut after = self.around.iter().cloned().flatten();
                after.any(|at| {
                    statement.bytes(&(at..at + 1)).start == range.end
                        && statement.name(at).as_deref() == Some(name)
                })
            })
        };
        let filter = self.node.clause(ClauseKind::Where);
        let around = self.around.iter();
        let runs = around.chain(filter.map(|filter| &filter.body));
        let used: BTreeSet<String> = runs.flat_map(|run| statement.names(run)).collect();
        let definitions: BTreeMap<&str, Run> = self.definitions().collect();
        let mut waiting: Vec<&str> = definitions
            .keys()
            .copied()
            .filter(|name| used.contains(*name) || qualified(name))
            .collect();
        // Each definition is read once: what it uses is needed as well.
        let mut needed: BTreeSet<&str> = waiting.iter().copied().collect();
        while let Some(name) = waiting.pop() {
            for used in statement.names(&definitions[name]) {
                if let Some((known, _)) = definitions.get_key_value(used.as_str())
                    && needed.insert(known)
                {
                    waiting.push(known);
                }
            }
        }
        self.definitions()
            .filter(|(name, _)| needed.contains(name))
            .collect()
    }

    fn change(&self) -> Option<Change> {
        let statement = self.subject.statement;
        let removed = self.unqualified()?;
        let star = self
            .reader
            .items
            .iter()
            .find(|item| item.kind == ItemKind::Star);
        let node_is_star = matches!(
            self.node.items.as_slice(),
            [Item {
                kind: ItemKind::Star,
                ..
            }]
        );
        let spliced = star.filter(|_| !node_is_star);
        let hoisted = if spliced.is_some() {
            Vec::new()
        } else {
            self.needed(&removed)
        };
        self.names_stay_apart(spliced.is_some(), &hoisted)?;
        self.keeps_its_common_tables(&hoisted)?;
        let copy = |run: &Run| Part::Copy(statement.bytes(run));
        let place = &self.reader.source.as_ref()?.run;
        let mut edits: Vec<(Range<usize>, Vec<Part>)> = removed
            .into_iter()
            .map(|range| (range, Vec::new()))
            .collect();
        let mut source = vec![copy(&self.source.run)];
        if let Some(filter) = self.node.clause(ClauseKind::Where) {
            if let Some(own) = self.reader.clause(ClauseKind::Where) {
                let own = statement.bytes(&own.body);
                let before = vec![add("("), copy(&filter.body), add(")\n  AND (")];
                edits.push((own.start..own.start, before));
                edits.push((own.end..own.end, vec![add(")")]));
            } else {
                source.extend([add("\nWHERE "), copy(&filter.body)]);
            }
        }
        edits.push((statement.bytes(place), source));
        if let Some(star) = spliced {
            edits.push((statement.bytes(&star.run), vec![copy(&self.node.list)]));
        }
        if !hoisted.is_empty() {
            edits.push(self.hoist(&hoisted));
        }
        Some(Change {
            what: format!(
                "{} becomes one query with its reader",
                label(self.reader.source.as_ref())
            ),
            at: statement.bytes(&(self.node.keyword..self.node.keyword + 1)),
            edits,
        })
    }

    /// A later branch of a union has the common tables of the first as long as it has no `WITH` of its own.
    fn keeps_its_common_tables(&self, hoisted: &[(&str, Run)]) -> Option<()> {
        let statement = self.subject.statement;
        let tables = |select: &Select| {
            if select.understood {
                let mut with = select.with.iter().flat_map(|with| &with.names);
                with.any(|(_, is_table)| *is_table)
            } else {
                statement.has_word(&select.run, "WITH")
            }
        };
        let gets_one = !hoisted.is_empty() && self.reader.with.is_none();
        let branches = &self.site.query.branches;
        let earlier = branches.iter().take(self.site.branch).any(tables);
        // What a `WITH` in other brackets of the union names is not looked for.
        let of_brackets = || {
            let own = self.reader.run.clone();
            let around = &statement.query.run;
            self.site.is_united_in_brackets(statement)
                && (statement.has_word(&(around.start..own.start), "WITH")
                    || statement.has_word(&(own.end..around.end), "WITH"))
        };
        (!gets_one || !(earlier || of_brackets())).then_some(())
    }

    /// `WITH expression AS name, …` before the reader, or at the start of its own.
    fn hoist(&self, hoisted: &[(&str, Run)]) -> (Range<usize>, Vec<Part>) {
        let statement = self.subject.statement;
        let own = self.reader.with.as_ref();
        let aggregates = self.aggregates();
        let mut parts = Vec::new();
        if own.is_none() {
            parts.push(add("WITH "));
        }
        for (at, (name, run)) in hoisted.iter().enumerate() {
            if at > 0 {
                parts.push(add(", "));
            }
            // Behind a function that gives what it takes, the engine sees no constant to take out.
            let kept = aggregates && self.is_sum_with_constant(run);
            parts.extend(kept.then(|| add("identity(")));
            parts.push(Part::Copy(statement.bytes(run)));
            parts.extend(kept.then(|| add(")")));
            parts.push(add(format!(" AS {}", sql::quote_identifier(name))));
        }
        parts.push(add(if own.is_some() { ", " } else { "\n" }));
        let before = own.map_or(self.reader.keyword, |with| with.keyword + 1);
        let at = statement.bytes(&(before..before + 1)).start;
        (at..at, parts)
    }

    /// Whether the reader has an aggregate out of which the engine takes constants: `sum(a * 2)` becomes `sum(a) * 2`. Where `a * 2` is the column of a query it cannot;
    /// decimals are rounded in another place then, dates become others, and without rows `max(a + 1)` is 1 and not 0.
    fn aggregates(&self) -> bool {
        let statement = self.subject.statement;
        self.around.iter().any(|run| {
            let calls = statement.calls(run);
            let mut calls = calls.iter();
            calls.any(|call| {
                ["any", "avg", "max", "min", "sum"]
                    .iter()
                    .any(|name| call.starts_with(name))
            })
        })
    }

    /// Whether an expression is, outside of all brackets, a sum or product of which a part is a constant. The functions of that meaning are taken for such.
    fn is_sum_with_constant(&self, run: &Run) -> bool {
        let statement = self.subject.statement;
        let functions = ["plus", "minus", "multiply", "divide", "negate"];
        let called = statement.calls(&(run.start..run.end.min(run.start + 2)));
        if called.iter().any(|call| functions.contains(&call.as_str())) {
            return true;
        }
        let grouped = statement.kind(run.start) == Some(Kind::OpenRound)
            && statement.kind(run.end - 1) == Some(Kind::CloseRound);
        if grouped {
            // `(a) * (2)` is looked into as well, which is one too many and no harm.
            return self.has_constant_part(&(run.start + 1..run.end - 1))
                || self.has_constant_part(run);
        }
        self.has_constant_part(run)
    }

    /// Whether one of the parts between the signs of an expression has no name in it.
    fn has_constant_part(&self, run: &Run) -> bool {
        let statement = self.subject.statement;
        let (mut depth, mut start, mut signs, mut constant) = (0_i32, run.start, 0, false);
        let mut end_part = |part: Run| constant |= statement.names(&part).is_empty();
        for at in run.clone() {
            let is_sign = match statement.kind(at) {
                Some(Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly) => {
                    depth += 1;
                    false
                }
                Some(Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly) => {
                    depth -= 1;
                    false
                }
                Some(Kind::Asterisk) => true,
                Some(Kind::Operator) => matches!(statement.word(at), "+" | "-" | "/"),
                _ => false,
            };
            if is_sign && depth == 0 {
                end_part(start..at);
                (start, signs) = (at + 1, signs + 1);
            }
        }
        end_part(start..run.end);
        signs > 0 && constant
    }

    /// No name that comes to the reader with the node may meet one that is there.
    fn names_stay_apart(&self, spliced: bool, hoisted: &[(&str, Run)]) -> Option<()> {
        let statement = self.subject.statement;
        let mut kept: BTreeSet<String> = BTreeSet::new();
        if let Some(filter) = self.node.clause(ClauseKind::Where) {
            kept.extend(statement.names(&filter.body));
        }
        if spliced {
            kept.extend(statement.names(&self.node.list));
        }
        for (name, run) in hoisted {
            let names = statement.names(run);
            // A constant is no column: grouping by it is another thing than grouping by one.
            if names.is_empty() {
                return None;
            }
            kept.extend(names);
            kept.insert((*name).to_owned());
        }
        let made: Vec<&str> = if spliced {
            self.definitions().map(|(name, _)| name).collect()
        } else {
            hoisted.iter().map(|(name, _)| *name).collect()
        };
        // The engine lets names of `WITH` through to queries inside, and those of the first branch of a union to the others.
        let inside = |name: &str| {
            let own = self
                .reader
                .nested
                .iter()
                .filter(|nested| nested.open != self.nested.open);
            own.chain(&self.node.nested)
                .any(|nested| statement.mentions(&(nested.open..nested.close + 1), name))
        };
        let beside = |name: &str| {
            let others = self.site.query.branches.iter().enumerate();
            let mut others = others.filter(|(at, _)| *at != self.site.branch);
            let in_brackets = self.site.is_united_in_brackets(statement);
            let run = &self.reader.run;
            others.any(|(_, other)| statement.mentions(&other.run, name))
                || in_brackets
                    && (statement.mentions(&(0..run.start), name)
                        || statement.mentions(&(run.end..statement.query.run.end), name))
        };
        // A column under the alias of a table is refused.
        let alias = self.source.alias.as_deref();
        let taken = |name: &str| alias == Some(name);
        if self.defined.iter().any(|name| taken(name)) || made.iter().any(|name| taken(name)) {
            return None;
        }
        let meets = made.iter().any(|name| inside(name) || beside(name))
            || kept
                .iter()
                .any(|name| self.defined.contains(name) || self.leading.contains(name));
        (!meets).then_some(())
    }
}

/// Whether a function, in lower case, can take a table or a dictionary by its bare name.
fn is_set_function(call: &str) -> bool {
    let rest = ["global", "not", "null"].iter().fold(call, |rest, prefix| {
        rest.strip_prefix(prefix).unwrap_or(rest)
    });
    matches!(rest, "in" | "inignoreset") || call.starts_with("joinget") || call.starts_with("dict")
}
