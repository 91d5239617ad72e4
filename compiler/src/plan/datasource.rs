//! From the file of a data source to its table.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Spanned;
use pipewright_grammar::syntax::ColumnDecl;

use super::engine::engine;
use super::table::{Column, Engine, Index, TablePlan};
use crate::diagnostics::codes;
use crate::graph::NodeId;
use crate::project::Datasource;
use crate::sql::outline::names;
use crate::types;

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

#[cfg(test)]
mod tests {
    use crate::project::SourceTree;

    fn settings(datasource: &str) -> Option<String> {
        let files = [("d.datasource".to_owned(), datasource.to_owned())];
        let (plan, _) = crate::compile(SourceTree::new(files));
        plan.table("d").unwrap().engine.settings.clone()
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
