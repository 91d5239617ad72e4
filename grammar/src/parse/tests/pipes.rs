//! `.pipe` and `.incl` files.

use insta::assert_snapshot;

use super::{include, pipe, pipe_findings};

#[test]
fn a_whole_pipe_is_read() {
    assert_snapshot!(pipe("\u{FEFF}DESCRIPTION >\r\n\tVisits.\r\n\r\n\t  By day.\r\nTOKEN \"dash board\" read  # shown\r\nTAGS \"a, b c\"\r\nVERSION 2\r\n\r\nNODE one # first\r\nDESCRIPTION 'raw' rows\r\nSQL >  \r\n\r\n    SELECT 1\r\n\r\nNODE \"two\"\r\nSQL >\r\n    % SELECT {{Int32(a, 1)}} FROM one\r\nType Endpoint"), @r#"
    description "Visits.\n\nBy day."
    token "dash board" READ
    tags ["a", "b c"]
    VERSION "2"
    node "one"
      description "'raw' rows"
      sql at 13:5 "SELECT 1"
    node "two" Endpoint
      sql at 17:5 template "% SELECT {{Int32(a, 1)}} FROM one"
    "#);
}

#[test]
fn unindented_sql_is_kept_whole() {
    assert_snapshot!(pipe("NODE a\nSQL >\n%\nselect version,\ntype = 'x',\ntags,\nsource\nfilter from x\nfrom orders\nwhere type = 'endpoint'\nnode.x > 1 and\ndescription in ('a')\ntoken <> 'read'\nsql > 5 and\nengine like 'a'\nNODE, datasource, 2\nSETTINGS max_threads = 1\nTYPE endpoint\n"), @r#"
    node "a" Endpoint
      sql at 3:1 template "%\nselect version,\ntype = 'x',\ntags,\nsource\nfilter from x\nfrom orders\nwhere type = 'endpoint'\nnode.x > 1 and\ndescription in ('a')\ntoken <> 'read'\nsql > 5 and\nengine like 'a'\nNODE, datasource, 2\nSETTINGS max_threads = 1"
    "#);
}

#[test]
fn comments_and_blank_lines_keep_their_places() {
    assert_snapshot!(pipe("NODE a\nSQL >\n    # größe\n    SELECT '\n# not a comment',\n\n    # it's one\n    1 -- don't # stop\n# end\n"), @r#"
    node "a"
      sql at 4:5 "SELECT '\n# not a comment',\n\n              \n    1 -- don't # stop"
    "#);
}

#[test]
fn tags_do_not_confuse_strings() {
    assert_snapshot!(pipe("NODE a\nSQL >\n    %\n    {% if defined(a) and a == \"it's\" %} {# don't #} {% comment it's %}\n    # hidden\n    SELECT '{{String(a, 'x')}}'\n    # hidden too\n    {% end %}\nTYPE endpoint\n"), @r#"
    node "a" Endpoint
      sql at 3:5 template "%\n    {% if defined(a) and a == \"it's\" %} {# don't #} {% comment it's %}\n            \n    SELECT '{{String(a, 'x')}}'\n                \n    {% end %}"
    "#);
}

#[test]
fn directives_of_materialized_copy_and_sink_nodes_stay_in_order() {
    assert_snapshot!(pipe("NODE m\nSQL >\n    select 1\nTYPE materialized\nDATASOURCE 'target'\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY a, b\nENGINE_TTL \"\"\nDEPLOYMENT_METHOD alter\nNODE c\nSQL >\n    select 1\nTYPE COPY\nTARGET_DATASOURCE t\nCOPY_SCHEDULE 0 * * * *\nMODE append\n"), @r#"
    node "m" Materialized
      sql at 3:5 "select 1"
      DATASOURCE "target"
      ENGINE "MergeTree"
      ENGINE_SORTING_KEY "a, b"
      ENGINE_TTL ""
      DEPLOYMENT_METHOD "alter"
    node "c" Copy
      sql at 12:5 "select 1"
      TARGET_DATASOURCE "t"
      COPY_SCHEDULE "0 * * * *"
      COPY_MODE "append"
    ! Warning[several-typed-nodes] a second node of the pipe has a `TYPE` at 13:6 "COPY", 4:6 "materialized"
    "#);
}

#[test]
fn includes_remember_their_position() {
    assert_snapshot!(pipe("INCLUDE \"../x.incl\" \"KEY=a b\" \"OTHER=1\" odd\nNODE a\nSQL >\n    select 1\nDATASOURCE d\nINCLUDE 'y.incl'\n"), @r#"
    include "../x.incl" [("KEY", "a b"), ("OTHER", "1")] after 0 nodes, 0 directives
    include "y.incl" [] after 1 nodes, 1 directives
    node "a"
      sql at 4:5 "select 1"
      DATASOURCE "d"
    ! Warning[invalid-include-argument] `odd` is not an argument of an include at 1:41 "odd"
    "#);
    assert_snapshot!(include("DESCRIPTION shared\nSQL >\n    select $KEY\nTYPE endpoint\nENGINE_TTL \"x\"\nSCHEMA >\n    a String\n"), @r#"
    description "shared"
    TYPE "endpoint"
    ENGINE_TTL "x"
    SCHEMA > "a String"
    sql at 3:5 "select $KEY"
    "#);
}

#[test]
fn nodes_are_checked() {
    assert_snapshot!(pipe_findings("NODE\nSQL >\n    select 1\nNODE a\nSQL >\nNODE a\nTYPE endpiont\nSQL >\n    %\nNODE \"\"\nSQL >\n    select 2\nTYPE sink\nNODE e\nSQL >\n    select 3\nTYPE endpoint\n"), @r#"
    ! Error[missing-node-name] `NODE` has no name at 1:1 "NODE"
    ! Error[empty-sql] the SQL is empty at 5:1 "SQL"
    ! Error[duplicate-node] two nodes are called `a` at 6:6 "a", 4:6 "a"
    ! Error[invalid-node-type] `endpiont` is not a type of node at 7:6 "endpiont"
      fix (Unsafe): write `endpoint` Some("endpoint")
    ! Error[empty-sql] the SQL is empty at 8:1 "SQL"
    ! Error[missing-node-name] `NODE` has no name at 10:1 "NODE"
    ! Warning[several-typed-nodes] a second node of the pipe has a `TYPE` at 17:6 "endpoint", 13:6 "sink"
    "#);
}

#[test]
fn several_materialized_nodes_are_fine() {
    assert_snapshot!(pipe_findings("NODE a\nSQL >\n    select 1\nTYPE materialized\nDATASOURCE x\nNODE b\nSQL >\n    select 1\nTYPE materialized\nDATASOURCE y\n"), @"");
}

#[test]
fn what_stands_before_the_first_node_is_checked() {
    assert_snapshot!(pipe("SQL >\n    select 1\nTYPE endpoint\n"), @r#"
    TYPE "endpoint"
    sql at 2:5 "select 1"
    ! Error[directive-outside-node] `SQL` stands before the first `NODE` at 1:1 "SQL"
    "#);
    assert_snapshot!(pipe("DESCRIPTION nothing\n"), @r#"
    description "nothing"
    ! Warning[missing-node] the pipe has no `NODE` at 1:1 ""
    "#);
    assert_snapshot!(pipe(""), @r#"! Warning[missing-node] the pipe has no `NODE` at 1:1 """#);
}

#[test]
fn repeated_directives_name_both_places() {
    assert_snapshot!(pipe("DESCRIPTION a\nDESCRIPTION b\nTOKEN a READ\nTOKEN b READ\nNODE a\nSQL >\n    select 1\nSQL >\n    select 2\nDATASOURCE x\nDATASOURCE y\nTYPE copy\nTYPE materialized\n"), @r#"
    description "b"
    token "a" READ
    token "b" READ
    node "a" Materialized
      sql at 9:5 "select 2"
      DATASOURCE "x"
      DATASOURCE "y"
    ! Warning[duplicate-directive] `DESCRIPTION` is given twice, and the last one counts at 2:13 "b", 1:13 "a"
    ! Warning[duplicate-directive] `SQL` is given twice, and the last one counts at 8:1 "SQL", 7:5 "select 1"
    ! Warning[duplicate-directive] `DATASOURCE` is given twice, and the last one counts at 11:1 "DATASOURCE", 10:1 "DATASOURCE"
    ! Warning[duplicate-directive] `TYPE` is given twice, and the last one counts at 13:6 "materialized", 12:6 "copy"
    "#);
}

#[test]
fn tokens_are_checked() {
    assert_snapshot!(pipe("TOKEN a\nTOKEN b WRITE\nTOKEN my token READ\nNODE a\nSQL >\n    select 1\n"), @r#"
    token "b" WRITE
    token "my" TOKEN
    node "a"
      sql at 6:5 "select 1"
    ! Error[invalid-token] `TOKEN` needs a name and a permission at 1:1 "TOKEN a"
    ! Warning[invalid-token] `WRITE` is not a permission of a token at 2:9 "WRITE"
    ! Warning[invalid-token] `TOKEN` takes a name and a permission only at 3:1 "TOKEN my token READ"
    ! Warning[invalid-token] `TOKEN` is not a permission of a token at 3:10 "token"
    "#);
}
