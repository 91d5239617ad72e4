//! Columns that a data source has without saying so, because its connector fills them: the original adds them, and engine keys name them.

use pipewright_grammar::syntax::DatasourceFile;

use super::is_yes;
use crate::plan::Column;

/// The columns in which the connector puts what is known of a message, where each comes from on the way, and whether it is always there.
pub(super) const META: &[(&str, &str, &str)] = &[
    ("__value", "String", "line"),
    ("__topic", "LowCardinality(String)", "pw_topic"),
    ("__partition", "Int16", "toInt16(pw_partition)"),
    ("__offset", "Int64", "toInt64(pw_offset)"),
    (
        "__timestamp",
        "DateTime",
        "ifNull(pw_timestamp, toDateTime(0))",
    ),
    ("__key", "String", "pw_key"),
    ("__headers", "Map(String, String)", "pw_headers"),
];

/// The same for `DynamoDB`, which nothing here fills.
const OF_DYNAMO: &[(&str, &str)] = &[
    ("_timestamp", "DateTime64(3)"),
    ("_event_type", "LowCardinality(String)"),
    ("_is_deleted", "UInt8"),
    ("_record", "String"),
    ("_old_record", "String"),
];

/// The columns that the file does not name.
pub fn implied_columns(file: &DatasourceFile) -> Vec<Column> {
    let says = |keyword: &str| {
        file.directive(keyword)
            .map(|found| found.value.value.trim())
    };
    let is_new = |name: &str| !file.columns.iter().any(|column| column.name.value == name);
    let headers = says("KAFKA_STORE_HEADERS").is_some_and(is_yes);
    let mut columns: Vec<(&str, &str)> = Vec::new();
    if says("KAFKA_TOPIC").is_some() {
        let known = META.iter().map(|(name, data_type, _)| (*name, *data_type));
        columns.extend(known.filter(|(name, _)| *name != "__headers" || headers));
    }
    if says("IMPORT_TABLE_ARN").is_some() {
        columns.extend(OF_DYNAMO);
    }
    columns
        .into_iter()
        .filter(|(name, _)| is_new(name))
        .map(|(name, data_type)| Column {
            name: name.to_owned(),
            data_type: Some(data_type.to_owned()),
            default: None,
            codec: None,
            ttl: None,
            json_path: None,
            implied: true,
        })
        .collect()
}
