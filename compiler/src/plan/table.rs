//! The table that holds a data source's rows.

use pipewright_grammar::source::Span;
use pipewright_grammar::syntax::DefaultKind;
use serde::Serialize;

use super::inferred::Inferred;
use crate::graph::NodeId;
use crate::project::ResourceName;

/// The table of a data source.
#[derive(Debug, Clone, Serialize)]
pub struct TablePlan {
    /// The data source's name, which is the table's.
    pub name: ResourceName,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// Skip indexes.
    pub indexes: Vec<Index>,
    /// The engine with its keys.
    pub engine: Engine,
    /// The node that makes the table, when it has no file: its columns are those of the node's SQL.
    #[serde(skip)]
    pub made_by: Option<NodeId>,
    /// What the node that makes the table says of it, beyond its columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inferred: Option<Inferred>,
    /// The file.
    #[serde(skip)]
    pub span: Span,
}

impl TablePlan {
    /// Whether rows stay in the table.
    pub fn keeps_rows(&self) -> bool {
        self.engine.name.ends_with("MergeTree")
    }

    /// Whether what the table shows of rows with the same key depends on the order in which they came.
    pub fn heeds_order(&self) -> bool {
        match self.engine.name.strip_suffix("MergeTree") {
            None | Some("" | "VersionedCollapsing") => false,
            Some("Aggregating") => {
                let mut columns = self.columns.iter();
                columns.any(|column| {
                    column.keeps_one_of_many() || column.is_plain() && !self.in_key(&column.name)
                })
            }
            Some("Summing") => !self.engine.arguments.is_empty() || !self.sums_all(),
            Some(_) => true,
        }
    }

    /// Whether the sorting key names a column.
    fn in_key(&self, name: &str) -> bool {
        let key = self.engine.sorting_key.as_deref().unwrap_or_default();
        let mut words = key.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
        words.any(|word| word == name)
    }

    /// Whether every column is a number, or named by the key: of the others a table that sums keeps the first.
    fn sums_all(&self) -> bool {
        const NUMBERS: [&str; 4] = ["UInt", "Int", "Float", "Decimal"];
        self.columns.iter().all(|column| {
            let is_number = column.data_type.as_deref().is_some_and(|data_type| {
                NUMBERS.iter().any(|number| data_type.starts_with(number))
            });
            is_number || self.in_key(&column.name)
        })
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The name, unquoted.
    pub name: String,
    /// The ClickHouse type as written; absent where it follows from the default.
    #[serde(rename = "type")]
    pub data_type: Option<String>,
    /// How it gets a value that an insert does not give.
    pub default: Option<(DefaultKind, String)>,
    /// What stands between the parentheses of `CODEC(…)`.
    pub codec: Option<String>,
    /// A `TTL` of the column.
    pub ttl: Option<String>,
    /// Where a JSON row has the value, such as `$.a.b`.
    pub json_path: Option<String>,
    /// Whether it is there for a connector alone: no file names it, and no insert gives it.
    #[serde(skip)]
    pub implied: bool,
}

impl Column {
    /// Whether it holds no state: of the rows that a table makes one of, it has the value of the first.
    fn is_plain(&self) -> bool {
        let data_type = self.data_type.as_deref().unwrap_or_default();
        let is_computed = matches!(
            self.default,
            Some((
                DefaultKind::Materialized | DefaultKind::Alias | DefaultKind::Ephemeral,
                _
            ))
        );
        !is_computed && !data_type.contains("AggregateFunction")
    }

    /// Whether an aggregate function of the column's type takes what comes first or last.
    fn keeps_one_of_many(&self) -> bool {
        const OF_ORDER: [&str; 7] = [
            "any",
            "_value",
            "groupArray",
            "argM",
            "groupConcat",
            "deltaSum",
            "exponential",
        ];
        let data_type = self.data_type.as_deref().unwrap_or_default();
        data_type.contains("AggregateFunction")
            && OF_ORDER.iter().any(|function| data_type.contains(function))
    }
}

/// A skip index of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Index {
    /// The name.
    pub name: String,
    /// The indexed expression.
    pub expression: String,
    /// The kind with its arguments.
    pub kind: String,
    /// How many granules one index mark covers.
    pub granularity: Option<u64>,
}

/// A table engine with its keys. Values are SQL text as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Engine {
    /// The engine's name in ClickHouse's spelling.
    pub name: &'static str,
    /// The arguments, in the engine's order.
    pub arguments: Vec<String>,
    /// `PARTITION BY`.
    pub partition_key: Option<String>,
    /// `ORDER BY`; `tuple()` for none. Absent for engines without one.
    pub sorting_key: Option<String>,
    /// `PRIMARY KEY`, where it differs from the sorting key.
    pub primary_key: Option<String>,
    /// `SAMPLE BY`.
    pub sampling_key: Option<String>,
    /// `TTL`.
    pub ttl: Option<String>,
    /// `SETTINGS`.
    pub settings: Option<String>,
}

#[cfg(test)]
mod tests {
    use crate::project::SourceTree;

    #[test]
    fn tables_that_keep_one_of_many_heed_the_order_of_rows() {
        let heeds = |columns: &str, engine: &str| {
            let text = format!(
                "SCHEMA >\n    `k` UInt8, {columns}\n\nENGINE {engine}\nENGINE_SORTING_KEY k\n"
            );
            let files = [("d.datasource".to_owned(), text)];
            let (plan, _) = crate::compile(SourceTree::new(files));
            let table = plan.table("d").unwrap();
            (table.keeps_rows(), table.heeds_order())
        };
        assert_eq!(
            heeds("`v` String DEFAULT 'MergeTree'", "Null"),
            (false, false)
        );
        assert_eq!(heeds("`v` String", "MergeTree"), (true, false));
        assert_eq!(heeds("`v` String", "ReplacingMergeTree"), (true, true));
        assert_eq!(heeds("`v` UInt64", "SummingMergeTree"), (true, false));
        assert_eq!(
            heeds("`v` UInt64, `w` String", "SummingMergeTree"),
            (true, true)
        );
        let state = |function: &str| format!("`v` AggregateFunction({function}, UInt64)");
        assert_eq!(heeds(&state("sum"), "AggregatingMergeTree"), (true, false));
        for function in [
            "anyLast",
            "groupConcat",
            "deltaSum",
            "exponentialMovingAverage(1)",
        ] {
            assert_eq!(
                heeds(&state(function), "AggregatingMergeTree"),
                (true, true),
                "{function}"
            );
        }
        // Neither key nor state: the first value stays.
        let plain = format!("{}, `w` String", state("sum"));
        assert_eq!(heeds(&plain, "AggregatingMergeTree"), (true, true));
        let computed = format!("{}, `w` String MATERIALIZED 'x'", state("sum"));
        assert_eq!(heeds(&computed, "AggregatingMergeTree"), (true, false));
    }
}
