//! What a scan finds: names with their places. Plain data, no behaviour beyond small questions about itself.

use std::ops::Range;

/// Where in a statement a table's name stands, which decides what may replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// After `FROM`, `JOIN` or a comma between tables: a subquery with an alias can take its place.
    From,
    /// The right side of `IN` (`x IN name`, `x IN (name)`, `in(x, name)`). The engine prefers a column of that name, which a scan cannot see: a name that
    /// is no resource is to be left alone.
    In,
    /// The dictionary of `dictGet`, `dictHas` and the like. `span` covers the whole literal or name.
    Dictionary,
    /// The table of `joinGet`. `span` covers the whole literal or name.
    JoinGet,
    /// The object of `DESCRIBE`.
    Describe,
}

/// A table's name in a statement. Names of common table expressions are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReference {
    /// The bytes of the whole name: database and table, with their quotes.
    pub span: Range<usize>,
    /// The database, unquoted, if one is written.
    pub database: Option<String>,
    /// The table, unquoted. For a name that is a parameter, the parameter as written (`{name:Identifier}`).
    pub name: String,
    /// Where the name stands.
    pub position: Position,
    /// The alias written after it, unquoted.
    pub alias: Option<String>,
    /// The word `FINAL` after it.
    pub is_final: Option<Range<usize>>,
    /// `SAMPLE …` with its numbers.
    pub sample: Option<Range<usize>>,
    /// The word `PREWHERE` of a query that reads nothing else.
    pub prewhere: Option<Range<usize>>,
    /// The name (or a part of it) is an `{…:Identifier}` parameter: what it names is not known before it is bound.
    pub parameter: bool,
    /// The name is written as a string literal (`FROM 'file.csv'`): a file to the embedded engine, never a table.
    pub is_literal: bool,
    pub(crate) scope: super::scan::ScopeId,
    /// The query that it stands in.
    pub(crate) query: u32,
}

impl TableReference {
    /// What stands behind it and works on tables only: `FINAL`, `SAMPLE` or `PREWHERE`.
    pub(crate) fn needs_a_table(&self) -> Option<Range<usize>> {
        let found = [&self.is_final, &self.sample, &self.prewhere];
        found.into_iter().flatten().next().cloned()
    }

    /// `database.name`, or the bare name.
    pub fn display_name(&self) -> String {
        match &self.database {
            Some(database) => format!("{database}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A name that is called: an ordinary, aggregate or table function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The function's name, unquoted, with the letter case as written.
    pub name: String,
    /// The bytes of the name with its quotes.
    pub span: Range<usize>,
}

/// A name in a `SETTINGS` clause, of the statement or of a subquery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The setting's name, unquoted.
    pub name: String,
    /// Its value, where that is a number that is not negative.
    pub value: Option<u64>,
    /// The bytes of the name.
    pub span: Range<usize>,
}

/// A `{name:Type}` parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The parameter's name.
    pub name: String,
    /// Its type, as written.
    pub type_text: String,
    /// The bytes from `{` to `}`.
    pub span: Range<usize>,
}
