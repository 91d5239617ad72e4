//! `check --types`: statements that the engine refuses at every call, and values that do not go into the target of the node that gives them.

use super::harness::Project;
use super::types::{FORWARD, HITS, node, typed};

#[test]
fn what_the_engine_refuses_at_every_call_is_found_at_its_place() {
    let pipe = [
        node("united", "SELECT 1 AS a UNION ALL SELECT 1, 2"),
        node("filter", "SELECT day FROM hits WHERE user"),
        node(
            "join",
            "SELECT a.day FROM hits a\n        JOIN hits b ON a.user = b.amount",
        ),
        node(
            "asof",
            "SELECT a.day FROM hits a ASOF JOIN hits b ON a.user = b.user",
        ),
        node("alias", "SELECT 1 AS a, 2 AS a"),
        node("arrays", "SELECT x FROM hits ARRAY JOIN user AS x"),
        node(
            "unit",
            "SELECT dateDiff('fortnight', day, day) AS d FROM hits",
        ),
        node("level", "SELECT quantile(2)(amount) AS q FROM hits"),
        node(
            "place",
            "%\n    SELECT day FROM hits WHERE user = {{ String(user, 'x') }} ORDER BY 5",
        ),
        node("sample", "SELECT day FROM hits SAMPLE 0.1"),
        node("number", "SELECT CAST('abc' AS Int32) AS n"),
        node(
            "zone",
            "SELECT toDateTime(day, 'Mars/Phobos') AS z FROM hits",
        ),
        node("limit", "SELECT day FROM hits LIMIT 'a'"),
        node("negated", "SELECT -user AS n FROM hits"),
        node("like", "SELECT day FROM hits WHERE amount LIKE 'a'"),
        node("compared", "SELECT day FROM hits WHERE user > 3"),
        node("cast", "SELECT CAST(user AS Foo) AS x FROM hits"),
        node("merged", "SELECT sumMerge(amount) AS s FROM hits"),
        node("combined", "SELECT countIf(user) AS c FROM hits"),
        node("element", "SELECT tuple(1, 2).5 AS e"),
        node("filled", "SELECT user FROM hits ORDER BY user WITH FILL"),
        node("numbered", "SELECT row_number() AS n FROM hits"),
    ]
    .concat();
    let project = Project::new(&[HITS, FORWARD, ("refused.pipe", &pipe)]);
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @r"
    refused.pipe:3:19: error[wrong-types]: different number of columns in UNION_ALL elements: a and 1, 2
    refused.pipe:7:26: error[wrong-types]: invalid type for filter in WHERE: String
    refused.pipe:12:9: error[wrong-types]: there is no supertype for types UInt64, String because some of them are String/FixedString/Enum and some of them are not: JOIN cannot infer common type in ON section for keys
    refused.pipe:16:35: error[refused-statement]: ASOF join requires one inequality predicate in JOIN ON expression
    refused.pipe:20:25: error[refused-statement]: multiple expressions 2 AS a and 1 AS a for alias a
    refused.pipe:24:24: error[wrong-types]: ARRAY JOIN  hits ARRAY JOIN hits.user requires expression user AS x with Array or Map type
    refused.pipe:28:12: error[refused-statement]: function dateDiff does not support 'fortnight' unit
    refused.pipe:32:12: error[refused-statement]: quantile level is out of range [0..1]
    refused.pipe:37:72: error[refused-statement]: positional argument number 5 is out of bounds
    refused.pipe:41:26: error[refused-statement]: storage hits doesn't support sampling
    refused.pipe:45:17: error[wrong-types]: `'abc'` is no `Int32`
    refused.pipe:49:28: error[refused-statement]: cannot load time zone Mars/Phobos
    refused.pipe:53:26: error[refused-statement]: LIMIT expression must be constant with numeric type
    refused.pipe:57:12: error[wrong-types]: illegal type String of argument of function negate
    refused.pipe:61:39: error[wrong-types]: illegal type UInt64 of argument of function like
    refused.pipe:65:37: error[wrong-types]: there is no supertype for types String, UInt8 because some of them are String/FixedString/Enum and some of them are not
    refused.pipe:69:25: error[wrong-types]: unknown data type family: Foo
    refused.pipe:73:12: error[wrong-types]: illegal type UInt64 of argument for aggregate function with Merge suffix
    refused.pipe:77:12: error[wrong-types]: illegal type String of last argument for aggregate function with If suffix
    refused.pipe:81:24: error[refused-statement]: tuple doesn't have element with index '5'
    refused.pipe:83:6: error[refused-statement]: incompatible types of WITH FILL expression values with column type String
    refused.pipe:89:12: error[missing-over]: the window function `row_number` is called without `OVER`
    ");
    assert_eq!(code, 1);
}

#[test]
fn what_a_value_or_a_row_could_change_is_not_refused() {
    let pipe = [
        node(
            "unit",
            "%\n    SELECT dateDiff({{ String(unit) }}, day, today()) AS d FROM hits",
        ),
        node(
            "zone",
            "%\n    SELECT toDateTime(day, {{ String(zone, 'nowhere') }}) AS z FROM hits",
        ),
        // The tables are empty.
        node(
            "scalar",
            "SELECT range(0, 10, (SELECT count() FROM hits)) AS r",
        ),
        node(
            "thrown",
            "SELECT throwIf((SELECT count() FROM hits) = 0, 'no rows') AS t",
        ),
        node(
            "divided",
            "SELECT intDiv(1, (SELECT count() FROM hits)) AS d",
        ),
        node("rows", "SELECT toDate(max(user)) AS d FROM hits"),
    ]
    .concat();
    let project = Project::new(&[HITS, FORWARD, ("values.pipe", &pipe)]);
    assert_eq!(typed(&project).0, "");
}

/// The findings for a materialized node that fills a data source with these columns beside `day` from `hits`.
fn filled(columns: &str, pipe: &str) -> (String, i32) {
    let target = format!(
        "SCHEMA >\n    `day` Date,\n    {columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n"
    );
    let pipe = format!("{pipe}TYPE materialized\nDATASOURCE target\n");
    let project = Project::new(&[HITS, ("target.datasource", &target), ("v.pipe", &pipe)]);
    let (findings, _, code) = typed(&project);
    // What was said is kept.
    assert_eq!(typed(&project).0, findings);
    (findings, code)
}

#[test]
fn values_that_the_target_does_not_take_are_found() {
    let sql = "SELECT day, user AS number,\n        user AS kind,\n        toInt32(amount) AS small,\n        amount / 2 AS half,\n        [user] AS list,\n        lower(user) AS id\n    FROM hits";
    let (findings, code) = filled(
        "`number` UInt64,\n    `kind` Enum8('a' = 1),\n    `small` UInt8,\n    `half` UInt64,\n    `list` Array(UInt32),\n    `id` UUID",
        &node("fill", sql),
    );
    insta::assert_snapshot!(findings, @r"
    v.pipe:3:17: error[target-types]: `number` is `String` here and `UInt64` in `target`
    v.pipe:4:9: error[target-types]: `kind` is `String` here and `Enum8('a' = 1)` in `target`
    v.pipe:5:9: warning[target-types]: `small` is `Int32` here and `UInt8` in `target`
    v.pipe:6:9: warning[target-types]: `half` is `Float64` here and `UInt64` in `target`
    v.pipe:7:9: warning[target-types]: `list` is `Array(String)` here and `Array(UInt32)` in `target`
    v.pipe:8:9: warning[target-types]: `id` is `String` here and `UUID` in `target`
    ");
    assert_eq!(code, 1);
    // The column is followed to where it is made.
    let through = node("made", "SELECT day,\n        user AS number FROM hits")
        + &node("fill", "SELECT * FROM made");
    insta::assert_snapshot!(filled("`number` UInt64", &through).0, @r"
    v.pipe:4:9: error[target-types]: `number` is `String` here and `UInt64` in `target`
    ");
}

#[test]
fn values_that_the_target_takes_are_not() {
    for (column, expression) in [
        ("Nullable(String)", "any(user)"),
        ("LowCardinality(String)", "any(user)"),
        ("UInt32", "count()"),
        ("Float64", "sum(amount)"),
        ("String", "any(amount)"),
        ("DateTime", "max(day)"),
        ("Date", "toStartOfHour(toDateTime(max(day)))"),
        ("UInt64", "toUInt64OrZero(any(user))"),
        ("UInt8", "toUInt8(any(amount))"),
        ("UInt64", "round(avg(amount))"),
        ("Enum8('a' = 1, 'b' = 2)", "if(count() > 5, 'a', 'b')"),
        ("Enum8('a' = 1, 'b' = 2)", "'a'"),
        ("Int8", "0"),
        ("Date", "toString(max(day))"),
        ("Nullable(UInt64)", "any(user)"),
    ] {
        let sql = format!("SELECT day, {expression} AS c FROM hits GROUP BY day");
        let (findings, _) = filled(&format!("`c` {column}"), &node("fill", &sql));
        assert_eq!(findings, "", "{column} {expression}");
    }
}

#[test]
fn a_view_that_refuses_a_row_does_not_hide_what_another_refuses() {
    let datasource = |columns: &str| {
        format!(
            "SCHEMA >\n    `day` Date,\n    {columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n"
        )
    };
    let fill = |sql: &str, target: &str| {
        node("fill", sql) + &format!("TYPE materialized\nDATASOURCE {target}\n")
    };
    let project = Project::new(&[
        (
            "source.datasource",
            &datasource("`a` Nullable(String),\n    `b` Nullable(String)"),
        ),
        ("one.datasource", &datasource("`a` String")),
        ("two.datasource", &datasource("`b` String")),
        ("three.datasource", &datasource("`n` UInt64")),
        ("fill_one.pipe", &fill("SELECT day, a FROM source", "one")),
        ("fill_two.pipe", &fill("SELECT day, b FROM source", "two")),
        // The default is no number, which is the row's affair.
        (
            "fill_three.pipe",
            &fill(
                "SELECT day, toUInt64(ifNull(a, '')) AS n FROM source",
                "three",
            ),
        ),
    ]);
    insta::assert_snapshot!(typed(&project).0, @r"
    fill_one.pipe:3:17: warning[breaks-inserts]: inserts into `source` fail where this is NULL
    fill_two.pipe:3:17: warning[breaks-inserts]: inserts into `source` fail where this is NULL
    ");
}
