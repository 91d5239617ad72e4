//! What the engine says against an endpoint, with the place that it is about.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::harness::{ADMIN, Project, Server};

#[test]
fn an_error_says_which_pipe_and_node_it_is_of() {
    let node = |name: &str, sql: &str| format!("NODE {name}\nSQL >\n    {sql}\n");
    let project = Project::new(&[
        (
            "people.datasource",
            "SCHEMA >\n    `name` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"name\"\n",
        ),
        ("fixtures/people.sql", "SELECT 'boom' AS name"),
        (
            "chained.pipe",
            &(node("a", "SELECT name FROM people")
                + &node(
                    "b",
                    "%\n    SELECT any(name) AS name FROM a WHERE name = {{String(n, 'x')}}",
                )
                + "TYPE endpoint\n"),
        ),
        (
            "thrown.pipe",
            &(node(
                "a",
                "SELECT name, throwIf(name = 'boom', 'bang') AS t FROM people",
            ) + "TYPE endpoint\n"),
        ),
        (
            "on_thrown.pipe",
            &(node("upper", "SELECT upper(name) AS name, t FROM thrown") + "TYPE endpoint\n"),
        ),
        (
            "merged.pipe",
            &(node("a", "SELECT countMerge(length(name)) AS t FROM people") + "TYPE endpoint\n"),
        ),
        (
            "parsed.pipe",
            &(node("a", "SELECT toInt32(name) AS t FROM people") + "TYPE endpoint\n"),
        ),
        (
            "divided.pipe",
            &(node(
                "a",
                "SELECT name, intDiv(1, length(name) - 4) AS t FROM people",
            ) + &node("b", "SELECT t FROM a")
                + "TYPE endpoint\n"),
        ),
    ]);
    let server = Server::start(&project);
    let mut told = String::new();
    let mut tell = |answer: crate::harness::Answer| {
        let error = answer.json()["error"].as_str().unwrap_or("").to_owned();
        writeln!(told, "{} {error}", answer.status).expect("text");
    };
    for pipe in [
        "chained",
        "thrown",
        "on_thrown",
        "merged",
        "parsed",
        "divided",
    ] {
        tell(server.get(&format!("/v0/pipes/{pipe}.json")));
    }
    // A query of the caller's own is in no pipe.
    tell(server.ask(ADMIN, "POST", "/v0/sql", "SELECT throwIf(1, 'bang')"));
    assert_snapshot!(told, @r"
    400 chained.pipe:7:12: Aggregate function any(name) AS name is found in WHERE in query (ILLEGAL_AGGREGATION)
    400 thrown.pipe:3:18: bang: while executing 'FUNCTION throwIf(equals(__table1.name, 'boom'_String) :: 0, 'bang'_String :: 2) -> throwIf(equals(__table1.name, 'boom'_String), 'bang'_String) UInt8 : 3' (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    400 thrown.pipe:3:18: bang: while executing 'FUNCTION throwIf(equals(__table2.name, 'boom'_String) :: 0, 'bang'_String :: 2) -> throwIf(equals(__table2.name, 'boom'_String), 'bang'_String) UInt8 : 3' (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    400 pipe `merged`, node `a`: Illegal type UInt64 of argument for aggregate function with Merge suffix. It must be AggregateFunction(...) (ILLEGAL_TYPE_OF_ARGUMENT)
    400 parsed.pipe:3:12: Cannot parse string 'boom' as Int32: syntax error at begin of string. Note: there are toInt32OrZero and toInt32OrNull functions, which returns zero/NULL instead of throwing exception: while executing 'FUNCTION toInt32(__table1.name :: 1) -> toInt32(__table1.name) Int32 : 0' (CANNOT_PARSE_TEXT)
    400 divided.pipe:3:18: Division by zero: while executing 'FUNCTION intDiv(1_UInt8 :: 1, minus(length(__table1.name), 4_UInt8) :: 3) -> intDiv(1_UInt8, minus(length(__table1.name), 4_UInt8)) Int8 : 2' (ILLEGAL_DIVISION)
    400 q, byte 7: bang: while executing 'FUNCTION throwIf(1_UInt8 :: 1, 'bang'_String :: 2) -> throwIf(1_UInt8, 'bang'_String) UInt8 : 3' (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    ");
}
