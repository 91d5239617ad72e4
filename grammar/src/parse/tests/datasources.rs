//! `.datasource` files but for their schemas.

use insta::assert_snapshot;

use super::datasource;

#[test]
fn a_whole_data_source_is_read() {
    assert_snapshot!(datasource("DESCRIPTION Orders of \"all\" shops\nTOKEN 'tracker' APPEND\nTAGS sales, \u{201C}raw\u{201D}\nSCHEMA >\n    `id` UInt64,\n    `type` String\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"\"\nENGINE_SORTING_KEY \u{201C}id, type\u{201D}\nENGINE_SETTINGS \"index_granularity=8192\" # small\nENGINE_TTL toDate(day) + INTERVAL 1 DAY\n"), @r#"
    description "Orders of \"all\" shops"
    token "tracker" APPEND
    tags ["sales", "raw"]
    column id | UInt64
    column type | String
    engine "MergeTree"
    ENGINE_PARTITION_KEY ""
    ENGINE_SORTING_KEY "id, type"
    ENGINE_SETTINGS "index_granularity=8192"
    ENGINE_TTL "toDate(day) + INTERVAL 1 DAY"
    "#);
}

#[test]
fn unindented_columns_with_names_of_directives_are_columns() {
    assert_snapshot!(datasource("SCHEMA >\ndescription String,\nversion UInt8,\ntags Array(String),\ntype String,\nengine LowCardinality(String),\nkafka_topic String,\nDESCRIPTION String,\nSETTINGS String,\nENGINE_VERSIONS UInt8,\nsource Nullable(String)\nENGINE MergeTree\nTAGS x\n"), @r#"
    tags ["x"]
    column description | String
    column version | UInt8
    column tags | Array(String)
    column type | String
    column engine | LowCardinality(String)
    column kafka_topic | String
    column DESCRIPTION | String
    column SETTINGS | String
    column ENGINE_VERSIONS | UInt8
    column source | Nullable(String)
    engine "MergeTree"
    "#);
}

#[test]
fn connectors_keep_their_values_and_secrets() {
    assert_snapshot!(datasource("SCHEMA >\n    a String `json:$.a`\n\nKAFKA_CONNECTION_NAME {{ tb_secret(\"my conn\", \"a#b\") }}\nKAFKA_TOPIC $TOPIC\nIMPORT_SCHEDULE '@on-demand'\nIMPORT_BUCKET_URI s3://bucket/*.csv\n"), @r#"
    column a | String | path $.a
    KAFKA_CONNECTION_NAME "{{ tb_secret(\"my conn\", \"a#b\") }}"
    KAFKA_TOPIC "$TOPIC"
    IMPORT_SCHEDULE "@on-demand"
    IMPORT_BUCKET_URI "s3://bucket/*.csv"
    "#);
}

#[test]
fn lists_may_be_lines() {
    assert_snapshot!(datasource("SCHEMA >\n    a String\nSHARED_WITH >\n    one,\n    'two'\n    # three\n    four five\nSHARED_WITH six, \"seven\"\n"), @r#"
    shared with ["one", "two", "four five", "six", "seven"]
    column a | String
    "#);
}

#[test]
fn indexes_are_read() {
    assert_snapshot!(datasource("SCHEMA >\n    Nice String\nINDICES >\n    Nice lower(Nice) TYPE bloom_filter(0.01) GRANULARITY 4,\n    INDEX by_type `type` TYPE set(100)\n    INDEX INDEX_a (a, b) type minmax granularity 1\n    type type TYPE minmax\n    broken a GRANULARITY 1\n    empty TYPE minmax\n    odd a TYPE minmax GRANULARITY many\n    long a || b\n      TYPE tokenbf_v1(256, 2, 0)\n      GRANULARITY 2\n"), @r#"
    column Nice | String
    index Nice | lower(Nice) | bloom_filter(0.01) | Some(4)
    index by_type | `type` | set(100) | None
    index INDEX_a | (a, b) | minmax | Some(1)
    index type | type | minmax | None
    index odd | a | minmax | None
    index long | a || b | tokenbf_v1(256, 2, 0) | Some(2)
    ! Error[invalid-index] an index has no `TYPE` at 8:5 "broken a GRANULARITY 1"
    ! Error[invalid-index] index `empty` has no expression at 9:5 "empty TYPE minmax"
    ! Error[invalid-index] the granularity of index `odd` is not a number at 10:35 "many"
    "#);
}

#[test]
fn forward_queries_are_sql() {
    assert_snapshot!(datasource("SCHEMA >\n    a String\nFORWARD_QUERY >\n    select a,\n    engine\n    # note\n    from x\nBACKFILL skip\n"), @r#"
    column a | String
    forward query "select a,\n    engine\n          \n    from x"
    BACKFILL "skip"
    "#);
}

#[test]
fn what_is_missing_is_reported() {
    assert_snapshot!(datasource("ENGINE MergeTree\n"), @r#"
    engine "MergeTree"
    ! Warning[missing-schema] the data source has no `SCHEMA` at 1:1 ""
    "#);
    assert_snapshot!(datasource("SCHEMA >\n\nENGINE MergeTree\nENGINE Log\nSHARED_WITH\nFORWARD_QUERY >\nENGINE_TTL a\nENGINE_TTL b\n"), @r#"
    engine "Log"
    forward query ""
    ENGINE_TTL "a"
    ENGINE_TTL "b"
    ! Error[invalid-schema] `SCHEMA` has no columns at 1:1 "SCHEMA"
    ! Warning[duplicate-directive] `ENGINE` is given twice, and the last one counts at 4:8 "Log", 3:8 "MergeTree"
    ! Warning[missing-value] `SHARED_WITH` has no value at 5:1 "SHARED_WITH"
    ! Error[empty-sql] the `FORWARD_QUERY` is empty at 6:1 "FORWARD_QUERY"
    ! Warning[duplicate-directive] `ENGINE_TTL` is given twice, and the last one counts at 8:1 "ENGINE_TTL", 7:1 "ENGINE_TTL"
    "#);
    assert_snapshot!(datasource("INCLUDE \"schema.incl\"\nENGINE MergeTree\n"), @r#"engine "MergeTree""#);
}
