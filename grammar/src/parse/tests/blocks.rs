//! Where blocks start and end, and what is said about lines that belong nowhere.

use insta::assert_snapshot;

use super::{datasource, pipe, pipe_findings};

#[test]
fn an_indented_directive_is_read_and_reported() {
    assert_snapshot!(pipe("NODE a\nSQL >\n    SELECT 1\n    TYPE endpoint\nNODE b\nSQL >\n    SELECT 2\n    NODE c\n    SQL >\n        SELECT 3\n"), @r#"
    node "a" Endpoint
      sql at 3:5 "SELECT 1"
    node "b"
      sql at 7:5 "SELECT 2"
    node "c"
      sql at 10:9 "SELECT 3"
    ! Warning[indented-directive] `TYPE` is indented below a block at 4:1 "    "
      fix (Safe): remove the indentation Some("")
    ! Warning[indented-directive] `NODE` is indented below a block at 8:1 "    "
      fix (Safe): remove the indentation Some("")
    "#);
    assert_snapshot!(datasource("SCHEMA >\n    a String\n    ENGINE \"MergeTree\"\n    ENGINE_SORTING_KEY \"a\"\n"), @r#"
    column a | String
    engine "MergeTree"
    ENGINE_SORTING_KEY "a"
    ! Warning[indented-directive] `ENGINE` is indented below a block at 3:1 "    "
      fix (Safe): remove the indentation Some("")
    "#);
}

#[test]
fn what_looks_like_an_indented_directive_inside_sql_stays_sql() {
    assert_snapshot!(pipe("NODE a\nSQL >\n    SELECT x,\n    NODE y,\n    '\n    TYPE endpoint\n    ', (\n    TYPE endpoint\n    ) /*\n    TYPE endpoint\n    */, type endpoint\n"), @r#"
    node "a"
      sql at 3:5 "SELECT x,\n    NODE y,\n    '\n    TYPE endpoint\n    ', (\n    TYPE endpoint\n    ) /*\n    TYPE endpoint\n    */, type endpoint"
    "#);
}

#[test]
fn an_indented_file_is_read() {
    assert_snapshot!(pipe("  NODE a\n  DESCRIPTION >\n    What it does\n  SQL >\n    SELECT 1\n  TYPE endpoint\n"), @r#"
    node "a" Endpoint
      description "What it does"
      sql at 5:5 "SELECT 1"
    ! Warning[indented-directive] `SQL` is indented below a block at 4:1 "  "
      fix (Safe): remove the indentation Some("")
    ! Warning[indented-directive] `TYPE` is indented below a block at 6:1 "  "
      fix (Safe): remove the indentation Some("")
    "#);
}

#[test]
fn sql_beside_the_keyword_is_kept() {
    assert_snapshot!(pipe("NODE a\nSQL > select 1\n  from x\nNODE b\nSQL select 2\nNODE c\nSQL> # note\n    select 3\nNODE d\nSQL\n    select 4\nTYPE endpoint\n"), @r#"
    node "a"
      sql at 2:7 "select 1\n  from x"
    node "b"
      sql at 5:5 "select 2"
    node "c"
      sql at 8:5 "select 3"
    node "d" Endpoint
      sql at 11:5 "select 4"
    ! Warning[text-after-block-marker] text on the line of `SQL >` at 2:7 "select 1"
      fix (Safe): move it to a line of its own Some("\n    ")
    ! Error[inline-sql] the query of `SQL` must be written as a block at 5:1 "SQL"
      fix (Safe): make it a block Some(" >\n    ")
    ! Error[missing-block-marker] `SQL` is not followed by `>` at 10:1 "SQL"
      fix (Safe): add ` >` Some(" >")
    "#);
}

#[test]
fn unknown_directives_get_a_suggestion() {
    assert_snapshot!(pipe("DESCRIPTON >\n    A pipe.\nNODE a\nSQL >\n    select 1\nTPYE endpoint\nFROBNICATE now\nWHATEVER >\n    anything\nNODE b\nSQL >\n    select 2\n"), @r#"
    description "A pipe."
    node "a" Endpoint
      sql at 5:5 "select 1"
    node "b"
      sql at 12:5 "select 2"
    ! Error[unknown-directive] unknown directive `DESCRIPTON` at 1:1 "DESCRIPTON"
      fix (Unsafe): write `DESCRIPTION` Some("DESCRIPTION")
    ! Error[unknown-directive] unknown directive `TPYE` at 6:1 "TPYE"
      fix (Unsafe): write `TYPE` Some("TYPE")
    ! Error[unknown-directive] unknown directive `FROBNICATE` at 7:1 "FROBNICATE"
    ! Error[unknown-directive] unknown directive `WHATEVER` at 8:1 "WHATEVER"
    "#);
    assert_snapshot!(datasource("SCHEMA >\n    a String\nSETTINGS index_granularity = 32\nENGINE_SORTINGKEY \"a\"\nSQL >\n    select 1\n"), @r#"
    column a | String
    ENGINE_SORTING_KEY "a"
    SQL > "select 1"
    ! Error[unknown-directive] unknown directive `SETTINGS` at 3:1 "SETTINGS"
      fix (Unsafe): write `ENGINE_SETTINGS` Some("ENGINE_SETTINGS")
    ! Error[unknown-directive] unknown directive `ENGINE_SORTINGKEY` at 4:1 "ENGINE_SORTINGKEY"
      fix (Unsafe): write `ENGINE_SORTING_KEY` Some("ENGINE_SORTING_KEY")
    ! Warning[misplaced-directive] `SQL` has no effect in a `.datasource` file at 5:1 "SQL"
    "#);
}

#[test]
fn stray_lines_are_reported_once_per_run() {
    assert_snapshot!(pipe_findings("DESCRIPTION Visits per day\nand per page,\nand per user\n-- old\nNODE a\nSQL >\n    select 1\n\nDATASOURCE x\n-- new\n!?\n"), @r##"
    ! Error[stray-text] `and per page,` belongs to no directive at 2:1 "and per page,"
    ! Warning[stray-text] an SQL comment stands outside of any SQL at 10:1 "-- new"
      fix (Safe): write `#` Some("#")
    "##);
}

#[test]
fn a_block_where_a_line_is_expected_is_read() {
    assert_snapshot!(pipe("NODE a\nSQL >\n    select 1\nTYPE >\n    endpoint\n"), @r#"
    node "a" Endpoint
      sql at 3:5 "select 1"
    ! Warning[unexpected-block] `TYPE` takes its value on the same line at 4:1 "TYPE"
    "#);
}

#[test]
fn an_empty_description_takes_nothing() {
    assert_snapshot!(pipe("DESCRIPTION\nNODE a\nSQL >\n    select 1\nDESCRIPTION\nTYPE endpoint\n"), @r#"
    description ""
    node "a" Endpoint
      description ""
      sql at 4:5 "select 1"
    "#);
}

#[test]
fn descriptions_lose_comments_and_indentation_but_not_paragraphs() {
    assert_snapshot!(pipe("DESCRIPTION >\n    # hidden\n    One.\n\n\n      - item\n    TYPE of prose\nSources of it\nNode by node\n\nNODE a\nDESCRIPTION\n    no marker\nSQL >\n    select 1\n"), @r#"
    description "One.\n\n      - item\n    TYPE of prose\nSources of it\nNode by node"
    node "a"
      description "no marker"
      sql at 15:5 "select 1"
    ! Error[missing-block-marker] `DESCRIPTION` is not followed by `>` at 12:1 "DESCRIPTION"
      fix (Safe): add ` >` Some(" >")
    "#);
}

#[test]
fn old_line_endings_are_line_endings() {
    assert_snapshot!(pipe("NODE a\rSQL >\r    select 1\rTYPE endpoint\r"), @r#"
    node "a" Endpoint
      sql at 1:18 "select 1"
    "#);
}

#[test]
fn a_node_may_be_called_like_a_word_of_sql() {
    assert_snapshot!(pipe("NODE a\nSQL >\n    select x\n    from t\nNODE as\nSQL >\n    select 'a\nNODE in\n', (1,\nNODE and\n1),\nNODE from\n t\n\nNODE limit\nSQL >\n    select 3\n"), @r#"
    node "a"
      sql at 3:5 "select x\n    from t"
    node "as"
      sql at 7:5 "select 'a\nNODE in\n', (1,\nNODE and\n1),\nNODE from\n t"
    node "limit"
      sql at 17:5 "select 3"
    "#);
    assert_snapshot!(pipe("DESCRIPTION >\n    Some prose\nNODE on\nSQL >\n    select 1\n"), @r#"
    description "Some prose"
    node "on"
      sql at 5:5 "select 1"
    "#);
}
