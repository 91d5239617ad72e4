//! A data source as the table that holds it.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{Span, Spanned};
use pipewright_grammar::syntax::{ColumnDecl, DatasourceFile, DefaultKind};
use serde::Serialize;

use super::inferred::Inferred;
use crate::diagnostics::codes;
use crate::graph::{NodeId, similar_names};
use crate::project::{Datasource, ResourceName};
use crate::sql::outline::names;
use crate::types;

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

/// An engine argument: the key that gives it, and whether the engine works without.
struct Argument {
    key: &'static str,
    required: bool,
}

const fn optional(key: &'static str) -> Argument {
    Argument {
        key,
        required: false,
    }
}

const fn required(key: &'static str) -> Argument {
    Argument {
        key,
        required: true,
    }
}

/// The engines of the reference, with the arguments that each takes in order.
const ENGINES: &[(&str, &[Argument])] = &[
    ("MergeTree", &[]),
    (
        "ReplacingMergeTree",
        &[optional("ENGINE_VER"), optional("ENGINE_IS_DELETED")],
    ),
    ("SummingMergeTree", &[optional("ENGINE_COLUMNS")]),
    ("AggregatingMergeTree", &[]),
    ("CollapsingMergeTree", &[required("ENGINE_SIGN")]),
    (
        "VersionedCollapsingMergeTree",
        &[required("ENGINE_SIGN"), required("ENGINE_VERSION")],
    ),
    ("Null", &[]),
];

pub(super) fn plan(datasource: &Datasource, diagnostics: &mut Vec<Diagnostic>) -> TablePlan {
    let syntax = &datasource.syntax;
    for column in &syntax.columns {
        check_type(column, diagnostics);
    }
    let mut columns: Vec<Column> = syntax.columns.iter().map(column).collect();
    if !columns.is_empty() {
        columns.extend(crate::connect::implied_columns(syntax));
    }
    let mut engine = engine(syntax, diagnostics);
    for setting in guards_to_lift(&columns, &engine, datasource.made_by.is_some()) {
        engine.settings = Some(match engine.settings.take() {
            Some(written) if written.contains(setting.name) => written,
            Some(written) => format!("{}, {setting}", written.trim_end_matches([',', ' '])),
            None => setting.to_string(),
        });
    }
    // A table that keeps no rows takes none.
    let indexes = if engine.name == "Null" {
        &[][..]
    } else {
        &syntax.indexes
    };
    let indexes = indexes
        .iter()
        .map(|index| Index {
            name: index.name.value.clone(),
            expression: index.expression.value.clone(),
            kind: index.kind.value.clone(),
            granularity: index
                .granularity
                .as_ref()
                .map(|granularity| granularity.value),
        })
        .collect();
    TablePlan {
        name: datasource.name.clone(),
        columns,
        indexes,
        engine,
        made_by: datasource
            .made_by
            .clone()
            .map(|(pipe, node)| NodeId { pipe, node }),
        inferred: None,
        span: datasource.span,
    }
}

/// A setting of a table without which recent engines do not make what the reference's engine makes.
struct Lifted {
    name: &'static str,
    value: &'static str,
}

impl std::fmt::Display for Lifted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.name, self.value)
    }
}

/// The guards of recent engines that a table would run into. `check` warns of what they are about; whether there is a table is the author's to say.
fn guards_to_lift(columns: &[Column], engine: &Engine, made_by_node: bool) -> Vec<Lifted> {
    let is_outside_keys = |column: &Column| {
        let keys = [&engine.sorting_key, &engine.partition_key];
        !keys
            .into_iter()
            .flatten()
            .any(|key| names(key).contains(&column.name))
    };
    let is_plain = |column: &Column| {
        let data_type = column.data_type.as_ref();
        let data_type = data_type.and_then(|data_type| types::parse(data_type).ok());
        data_type.is_some_and(|data_type| {
            !data_type.is_aggregate_state() && !data_type.is_simple_aggregate()
        })
    };
    let mut lifted = Vec::new();
    // The columns that a node's SQL gives are not known here.
    if engine.name == "AggregatingMergeTree"
        && (made_by_node
            || columns
                .iter()
                .any(|column| is_plain(column) && is_outside_keys(column)))
    {
        lifted.push(Lifted {
            name: "allow_dimensions_outside_sorting_key",
            value: "1",
        });
    }
    let sampled = engine
        .sampling_key
        .as_deref()
        .map(names)
        .unwrap_or_default();
    let is_dictionary = |column: &Column| {
        column
            .data_type
            .as_ref()
            .is_some_and(|data_type| data_type.starts_with("LowCardinality"))
    };
    // A hash of such a column is such a value again.
    if columns
        .iter()
        .any(|column| is_dictionary(column) && sampled.contains(&column.name))
    {
        lifted.push(Lifted {
            name: "check_sample_column_is_correct",
            value: "0",
        });
    }
    lifted
}

fn column(decl: &ColumnDecl) -> Column {
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.value.clone());
    Column {
        name: decl.name.value.clone(),
        data_type: text(&decl.data_type),
        default: decl
            .default
            .as_ref()
            .map(|(kind, expression)| (*kind, expression.value.clone())),
        codec: text(&decl.codec),
        ttl: text(&decl.ttl),
        json_path: text(&decl.json_path),
        implied: false,
    }
}

fn check_type(column: &ColumnDecl, diagnostics: &mut Vec<Diagnostic>) {
    let Some(data_type) = &column.data_type else {
        return;
    };
    let Err(error) = types::parse(&data_type.value) else {
        return;
    };
    let mut diagnostic = Diagnostic::error(
        codes::BAD_TYPE,
        format!(
            "column `{}` has no ClickHouse type: {error}",
            column.name.value
        ),
    )
    .label(data_type.span, "");
    if let Some(help) = error.help.clone() {
        diagnostic = diagnostic.help(help);
    }
    diagnostics.push(diagnostic);
}

fn engine(syntax: &DatasourceFile, diagnostics: &mut Vec<Diagnostic>) -> Engine {
    let Some((name, arguments)) = engine_name(syntax, diagnostics) else {
        return Engine {
            name: "MergeTree",
            sorting_key: Some("tuple()".to_owned()),
            ..Engine::default()
        };
    };
    let value = |keyword: &str| {
        syntax
            .directive(keyword)
            .map(|directive| directive.value.value.trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    let merge_tree = name.ends_with("MergeTree");
    Engine {
        name,
        arguments: engine_arguments(syntax, name, arguments, diagnostics),
        partition_key: value("ENGINE_PARTITION_KEY").filter(|_| merge_tree),
        sorting_key: merge_tree
            .then(|| value("ENGINE_SORTING_KEY").unwrap_or_else(|| "tuple()".to_owned())),
        primary_key: value("ENGINE_PRIMARY_KEY").filter(|_| merge_tree),
        sampling_key: value("ENGINE_SAMPLING_KEY").filter(|_| merge_tree),
        ttl: value("ENGINE_TTL").filter(|_| merge_tree),
        settings: value("ENGINE_SETTINGS").filter(|_| merge_tree),
    }
}

/// The engine by its name in any case, with or without arguments in parentheses and the prefixes of replicated servers.
fn engine_name(
    syntax: &DatasourceFile,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(&'static str, &'static [Argument])> {
    let Some(written) = &syntax.engine else {
        return Some((ENGINES[0].0, ENGINES[0].1));
    };
    let bare = written.value.split('(').next().unwrap_or("").trim();
    let bare = ["Replicated", "Shared"]
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix))
        .unwrap_or(bare);
    let known = ENGINES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(bare));
    if let Some((name, arguments)) = known {
        check_written_arguments(syntax, written, arguments, diagnostics);
        return Some((name, arguments));
    }
    let mut diagnostic = Diagnostic::error(
        codes::BAD_ENGINE,
        format!("there is no engine `{bare}` for data sources"),
    )
    .label(written.span, "");
    diagnostic =
        match similar_names(bare, ENGINES.iter().map(|(name, _)| (*name).to_owned())).first() {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None => diagnostic.help("use MergeTree or one of its family, or Null"),
        };
    diagnostics.push(diagnostic);
    None
}

/// Reports arguments behind an engine's name that its own keys do not give as well: they would be lost. What replicated servers have in front of them, texts, is nothing
/// that one server needs.
fn check_written_arguments(
    syntax: &DatasourceFile,
    written: &Spanned<String>,
    arguments: &[Argument],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some((_, inside)) = written.value.split_once('(') else {
        return;
    };
    let names = |text: &str| -> Vec<String> {
        let words = text.split(|letter: char| {
            matches!(letter, '(' | ')' | ',' | '`') || letter.is_whitespace()
        });
        words
            .filter(|word| !word.is_empty() && !word.starts_with('\''))
            .map(str::to_owned)
            .collect()
    };
    let written_names = names(inside);
    let keys = arguments
        .iter()
        .filter_map(|argument| syntax.directive(argument.key));
    let given: Vec<String> = keys.flat_map(|key| names(&key.value.value)).collect();
    if written_names.is_empty() || written_names == given {
        return;
    }
    let keys: Vec<String> = arguments
        .iter()
        .map(|argument| format!("`{}`", argument.key))
        .collect();
    let diagnostic = Diagnostic::error(
        codes::BAD_ENGINE,
        format!("the arguments of `{}` are not read", written.value),
    )
    .label(written.span, "");
    diagnostics.push(if keys.is_empty() {
        diagnostic.help("take them out: this engine has none")
    } else {
        diagnostic.help(format!("write them as {}", keys.join(" and ")))
    });
}

fn engine_arguments(
    syntax: &DatasourceFile,
    engine: &str,
    arguments: &[Argument],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut given: Vec<String> = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        let directive = syntax
            .directive(argument.key)
            .filter(|directive| !directive.value.value.trim().is_empty());
        let Some(directive) = directive else {
            if argument.required {
                let place = syntax.engine.as_ref().map_or(
                    Span::new(pipewright_grammar::source::SourceId(0), 0, 0),
                    |engine| engine.span,
                );
                diagnostics.push(
                    Diagnostic::error(
                        codes::BAD_ENGINE,
                        format!("{engine} needs `{}`", argument.key),
                    )
                    .label(place, ""),
                );
            }
            continue;
        };
        if given.len() < at {
            diagnostics.push(
                Diagnostic::error(
                    codes::BAD_ENGINE,
                    format!(
                        "`{}` needs `{}` as well",
                        argument.key,
                        arguments[at - 1].key
                    ),
                )
                .label(directive.keyword.span, ""),
            );
            continue;
        }
        for name in directive.value.value.trim_matches(['(', ')']).split(',') {
            check_column(
                syntax,
                name.trim().trim_matches('`'),
                directive.value.span,
                diagnostics,
            );
        }
        let text = directive.value.value.trim().to_owned();
        let several =
            argument.key == "ENGINE_COLUMNS" && text.contains(',') && !text.starts_with('(');
        given.push(if several { format!("({text})") } else { text });
    }
    given
}

fn check_column(
    syntax: &DatasourceFile,
    name: &str,
    span: Span,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let added = crate::connect::implied_columns(syntax)
        .iter()
        .any(|column| column.name == name);
    // The columns of a data source that a node makes are not written anywhere.
    let unwritten = syntax.schema.is_none();
    if name.is_empty()
        || added
        || unwritten
        || syntax
            .columns
            .iter()
            .any(|column| column.name.value == name)
    {
        return;
    }
    let mut diagnostic = Diagnostic::error(
        codes::BAD_ENGINE,
        format!("`{name}` is no column of this data source"),
    )
    .label(span, "");
    if let Some(similar) = similar_names(
        name,
        syntax
            .columns
            .iter()
            .map(|column| column.name.value.clone()),
    )
    .first()
    {
        diagnostic = diagnostic.help(format!("did you mean `{similar}`?"));
    }
    diagnostics.push(diagnostic);
}

#[cfg(test)]
mod tests {
    use crate::project::SourceTree;

    fn settings(datasource: &str) -> Option<String> {
        let files = [("d.datasource".to_owned(), datasource.to_owned())];
        let (plan, _) = crate::compile(SourceTree::new(files));
        plan.table("d").unwrap().engine.settings.clone()
    }

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

    #[test]
    fn what_recent_engines_refuse_is_allowed_where_a_table_needs_it() {
        let aggregating = |columns: &str, key: &str, rest: &str| {
            settings(&format!(
                "SCHEMA >\n    {columns}\n\nENGINE AggregatingMergeTree\nENGINE_SORTING_KEY {key}\n{rest}"
            ))
        };
        let columns = "`day` Date, `region` String, `n` AggregateFunction(count)";
        assert_eq!(
            aggregating(columns, "day", "").as_deref(),
            Some("allow_dimensions_outside_sorting_key = 1")
        );
        assert_eq!(aggregating(columns, "\"day, region\"", ""), None);
        assert_eq!(
            aggregating(columns, "day", "ENGINE_SETTINGS index_granularity=32\n").as_deref(),
            Some("index_granularity=32, allow_dimensions_outside_sorting_key = 1")
        );
        let said = "allow_dimensions_outside_sorting_key=0";
        assert_eq!(
            aggregating(columns, "day", &format!("ENGINE_SETTINGS {said}\n")).as_deref(),
            Some(said)
        );
        let sampled = "SCHEMA >\n    `e` LowCardinality(String)\n\nENGINE MergeTree\nENGINE_SORTING_KEY cityHash64(e)\nENGINE_SAMPLING_KEY cityHash64(e)\n";
        assert_eq!(
            settings(sampled).as_deref(),
            Some("check_sample_column_is_correct = 0")
        );
        assert_eq!(
            settings(&sampled.replace("LowCardinality(String)", "String")),
            None
        );
    }
}
