//! Where the columns of a statement come from: for each output column the table columns in its expression, and the columns that only decide which rows
//! there are or in which order (`WHERE`, `GROUP BY`, `JOIN … ON`, …).
//!
//! In: a statement with its scan, and what is known of the columns of each table that it names. Out: [`QueryColumns`], in terms of those tables. Names are
//! resolved as the engine's analyzer does: arguments of lambdas, then aliases of the same `SELECT` (but not inside of their own definition), then columns of
//! its tables, then the same in the query around. What cannot be told is said to be open, never guessed.

mod expression;
mod fragment;
mod name;
mod relation;
mod resolve;
mod scope;
mod select;
mod star;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use sqlparser::ast::Statement;
use sqlparser::tokenizer::Span;

use self::fragment::Fragment;
use super::parse::{FormKind, Opaque, Parsed, Tree, parse};
use super::scan::Scan;

/// A column of a table that a statement names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Input {
    /// The place of the table in [`Scan::tables`].
    pub(crate) table: usize,
    /// The column; `None` where it may be any.
    pub(crate) column: Option<String>,
}

/// Columns of tables.
pub(crate) type Inputs = BTreeSet<Input>;

/// What is known of a table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableColumns {
    /// The columns in order, each with whether `*` stands for it.
    pub(crate) columns: Vec<(String, bool)>,
    /// Whether the table has no others.
    pub(crate) complete: bool,
}

/// A column that a query gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its name.
    pub(crate) name: String,
    /// Whether the engine surely gives it that name.
    pub(crate) certain: bool,
    /// What its values are made from.
    pub(crate) inputs: Inputs,
}

/// The columns that a query gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    /// Those that are known, in order.
    pub(crate) columns: Vec<Output>,
    /// Whether there are others.
    pub(crate) more: bool,
    /// What the others may be made from.
    pub(crate) open: Inputs,
}

impl Outputs {
    /// Everything that any of the columns is made from.
    fn all_inputs(&self) -> Inputs {
        let known = self.columns.iter().flat_map(|output| &output.inputs);
        known.chain(&self.open).cloned().collect()
    }
}

/// What was found on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    filters: Inputs,
    mentions: Inputs,
    unresolved: BTreeSet<String>,
    partial: bool,
}

/// The columns of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QueryColumns {
    /// What it gives.
    pub(crate) outputs: Outputs,
    /// Columns that decide which rows there are, or in which order.
    pub(crate) filters: Inputs,
    /// Columns that the text needs: without one of them, the engine refuses the statement.
    pub(crate) mentions: Inputs,
    /// Names that mean nothing, and set operators whose sides do not fit.
    pub(crate) unresolved: BTreeSet<String>,
    /// Some part could not be told.
    pub(crate) partial: bool,
}

/// The columns of a statement whose tables are known as far as `tables` says, by their place in the scan.
pub(crate) fn columns(
    sql: &str,
    scan: &Scan,
    tables: &[Option<TableColumns>],
) -> Result<QueryColumns, Opaque> {
    let tree = match parse(sql, scan) {
        Parsed::Tree(tree) => tree,
        Parsed::Opaque(opaque) => return Err(opaque),
    };
    let Statement::Query(query) = &tree.statement else {
        return Err(Opaque {
            reason: "the statement is no query".to_owned(),
            position: None,
        });
    };
    let fragments = fragment::fragments(sql, &tree);
    let analysis = Analysis::new(scan, tables, &tree, &fragments);
    let outputs = analysis.query(query, None);
    analysis.reads_elsewhere();
    let found = analysis.found.into_inner();
    let partial = found.partial || outputs.more;
    Ok(QueryColumns {
        outputs,
        filters: found.filters,
        mentions: found.mentions,
        unresolved: found.unresolved,
        partial,
    })
}

/// A statement that is being looked at.
struct Analysis<'a> {
    scan: &'a Scan,
    tables: &'a [Option<TableColumns>],
    /// Tables of the scan by the byte at which they start.
    places: HashMap<usize, usize>,
    fragments: &'a [Fragment],
    /// Starts of column transformers that the tree does not show.
    transformers: Vec<usize>,
    /// The named scalars of `WITH`, by the byte at which their names start.
    scalars: BTreeSet<usize>,
    found: RefCell<Found>,
    /// How deep aliases and common tables lead into one another.
    depth: RefCell<usize>,
}

impl<'a> Analysis<'a> {
    fn new(
        scan: &'a Scan,
        tables: &'a [Option<TableColumns>],
        tree: &Tree,
        fragments: &'a [Fragment],
    ) -> Self {
        let places = scan.tables.iter().enumerate();
        let transformers = tree.taken_out().iter();
        let scalars = scan.common_tables.iter().filter(|common| !common.is_table);
        Self {
            scan,
            tables,
            places: places.map(|(at, table)| (table.span.start, at)).collect(),
            fragments,
            transformers: transformers
                .filter(|taken| taken.form == FormKind::ColumnTransformer)
                .map(|taken| taken.span.start)
                .collect(),
            scalars: scalars.map(|common| common.span.start).collect(),
            found: RefCell::default(),
            depth: RefCell::default(),
        }
    }

    /// Tables that are read by a name in a literal: nothing in the tree says which of their columns are used.
    fn reads_elsewhere(&self) {
        use super::reference::Position;
        for (table, reference) in self.scan.tables.iter().enumerate() {
            let hidden = matches!(reference.position, Position::JoinGet | Position::Dictionary);
            if hidden && self.tables.get(table).is_some_and(Option::is_some) {
                self.filter([Input {
                    table,
                    column: None,
                }]);
                self.found.borrow_mut().partial = true;
            }
        }
    }

    fn filter(&self, inputs: impl IntoIterator<Item = Input>) {
        self.found.borrow_mut().filters.extend(inputs);
    }

    fn mention<'i>(&self, inputs: impl IntoIterator<Item = &'i Input>) {
        let mut found = self.found.borrow_mut();
        for input in inputs {
            if !found.mentions.contains(input) {
                found.mentions.insert(input.clone());
            }
        }
    }

    fn unresolved(&self, what: String) {
        self.found.borrow_mut().unresolved.insert(what);
    }

    fn partial(&self) {
        self.found.borrow_mut().partial = true;
    }

    /// Goes one step deeper, unless that is too deep: then the outcome is what nothing is known of.
    fn deeper<T: Default>(&self, step: impl FnOnce() -> T) -> T {
        const LIMIT: usize = 96;
        if *self.depth.borrow() >= LIMIT {
            self.partial();
            return T::default();
        }
        *self.depth.borrow_mut() += 1;
        let outcome = step();
        *self.depth.borrow_mut() -= 1;
        outcome
    }
}

/// The byte at which a piece of the tree starts; pieces that the tree's makers added have none.
fn start(span: Span) -> Option<usize> {
    usize::try_from(span.start.column).ok()?.checked_sub(1)
}

/// Whether one range lies in another.
fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
