//! The columns of a `SCHEMA`.

use insta::assert_snapshot;

use super::datasource;

fn schema(columns: &str) -> String {
    datasource(&format!("SCHEMA >\n{columns}"))
}

#[test]
fn columns_have_types_defaults_codecs_and_paths_in_any_order() {
    assert_snapshot!(schema("    a String `json:$.a`,\n    b Int32 DEFAULT 0 `json:$.b[:].c`,\n    c Int32 `json:$.c` DEFAULT now(),\n    d DateTime64(3, 'UTC') default '1970-01-01, 00:00' codec(Delta(4), ZSTD(1)) `json:$.d`,\n    e MATERIALIZED a || 'it''s',\n    f Date TTL f + INTERVAL 1 DAY,\n    g EPHEMERAL,\n    h String ALIAS upper(a)"), @r"
    column a | String | path $.a
    column b | Int32 | default Default 0 | path $.b[:].c
    column c | Int32 | default Default now() | path $.c
    column d | DateTime64(3, 'UTC') | default Default '1970-01-01, 00:00' | codec Delta(4), ZSTD(1) | path $.d
    column e | default Materialized a || 'it''s'
    column f | Date | ttl f + INTERVAL 1 DAY
    column g | default Ephemeral 
    column h | String | default Alias upper(a)
    ");
}

#[test]
fn types_keep_their_commas_parentheses_and_strings() {
    assert_snapshot!(schema("    a Array(Tuple(x String, y Nullable(Int32))),\n    b Enum8('a,b' = 1, ')' = 2, '\\'' = 3),\n    c AggregateFunction(uniq, Tuple(String,\n        UInt8)),\n    d BIGINT UNSIGNED,\n    `weird name` LowCardinality(Nullable(String)),\n    1st String,\n    a.b Nested(c Int8),\n    größe UInt8"), @r"
    column a | Array(Tuple(x String, y Nullable(Int32)))
    column b | Enum8('a,b' = 1, ')' = 2, '\'' = 3)
    column c | AggregateFunction(uniq, Tuple(String,
            UInt8))
    column d | BIGINT UNSIGNED
    column weird name | LowCardinality(Nullable(String))
    column 1st | String
    column a.b | Nested(c Int8)
    column größe | UInt8
    ");
}

#[test]
fn comments_and_trailing_commas_are_fine() {
    assert_snapshot!(schema("    -- first, second\n    a String, -- it's\n    # b String,\n    c Map(String, -- key\n      UInt8),\n    d String `json:$.a--b`,\n\n"), @r"
    column a | String
    column c | Map(String,       
          UInt8)
    column d | String | path $.a--b
    ");
}

#[test]
fn one_bad_column_leaves_the_others() {
    assert_snapshot!(schema("    a Array(String,\n    b Int32,\n    c String DEFAULT 'x,\n    d Int32,\n    `e String,\n    f,\n    g String `json:$.g,\n    h) Int8,\n    , i String,\n    j String DEFAULT,\n    k Int32 NOT NULL,\n    l String json:$.l[:].m,\n    42, 'n' Int8,\n    a String\n"), @r#"
    column a
    column b | Int32
    column c
    column d | Int32
    column f
    column g
    column h
    column i | String
    column j | String | default Default 
    column k | Int32
    column l | String | path $.l[:].m
    column 42
    column n | Int8
    column a | String
    ! Error[invalid-schema] `(` is not closed at 2:12 "("
    ! Error[invalid-schema] `'` is not closed at 4:22 "'x,"
    ! Error[invalid-schema] a back-quote is not closed at 6:5 "`e String,"
    ! Error[missing-column-type] column `f` has no type at 7:5 "f"
    ! Error[invalid-schema] a back-quote is not closed at 8:14 "`json:$.g,"
    ! Error[invalid-schema] `)` closes nothing at 9:6 ")"
    ! Warning[invalid-schema] a column is missing before a comma at 10:5 ","
    ! Error[invalid-schema] `DEFAULT` of column `j` has no expression at 11:14 "DEFAULT"
    ! Error[invalid-schema] `NOT NULL` is not expected in column `k` at 12:13 "NOT NULL"
    ! Error[invalid-schema] the JSON path of column `l` needs back-quotes at 13:14 "json:$.l[:].m"
      fix (Safe): put it in back-quotes Some("`json:$.l[:].m`")
    ! Error[missing-column-type] column `42` has no type at 14:5 "42"
    ! Error[duplicate-column] two columns are called `a` at 15:5 "a", 2:5 "a"
    "#);
}

#[test]
fn a_missing_comma_is_found() {
    assert_snapshot!(schema("    a String\n    b Array(Int32)\n    c String `json:$.c`\n    d Int32 DEFAULT 1\n    `e` Int32\n    f Int8 DEFAULT a\n      AND b\n"), @r#"
    column a | String
    column b | Array(Int32)
    column c | String | path $.c
    column d | Int32 | default Default 1
    column e | Int32
    column f | Int8 | default Default a
          AND b
    ! Error[missing-comma] a comma is missing between two columns at 2:13 "", 3:5 "b"
      fix (Safe): add the comma Some(",")
    ! Error[missing-comma] a comma is missing between two columns at 3:19 "", 4:5 "c"
      fix (Safe): add the comma Some(",")
    ! Error[missing-comma] a comma is missing between two columns at 4:24 "", 5:5 "d"
      fix (Safe): add the comma Some(",")
    ! Error[missing-comma] a comma is missing between two columns at 5:22 "", 6:5 "`e`"
      fix (Safe): add the comma Some(",")
    ! Error[missing-comma] a comma is missing between two columns at 6:14 "", 7:5 "f"
      fix (Safe): add the comma Some(",")
    "#);
}

#[test]
fn an_index_among_the_columns_is_read() {
    assert_snapshot!(schema("    a String,\n    INDEX by_a a TYPE minmax GRANULARITY 1,\n    index String\n"), @r#"
    column a | String
    column index | String
    index by_a | a | minmax | Some(1)
    ! Warning[misplaced-index] an index stands among the columns at 3:5 "INDEX by_a a TYPE minmax GRANULARITY 1"
    "#);
}

#[test]
fn a_schema_may_stand_on_the_line_of_its_keyword() {
    assert_snapshot!(datasource("SCHEMA a String, b Int8\nENGINE MergeTree\n"), @r#"
    column a | String
    column b | Int8
    engine "MergeTree"
    "#);
    assert_snapshot!(datasource("SCHEMA\n    a String\nENGINE MergeTree\n"), @r#"
    column a | String
    engine "MergeTree"
    ! Error[missing-block-marker] `SCHEMA` is not followed by `>` at 1:1 "SCHEMA"
      fix (Safe): add ` >` Some(" >")
    "#);
}
