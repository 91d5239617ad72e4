//! Which statements have a tree, and what was taken out of them before.

use super::*;

/// `parsed`, with the forms taken out, or the reason it is opaque.
fn parsed(sql: &str) -> String {
    let scan = scan(sql).unwrap();
    match parse(sql, &scan) {
        Parsed::Tree(tree) => {
            let forms: Vec<String> = tree
                .taken_out()
                .iter()
                .map(|taken| format!("{:?} `{}`", taken.form, &sql[taken.span.clone()]))
                .collect();
            format!("parsed {}", forms.join(", ")).trim_end().to_owned()
        }
        Parsed::Opaque(opaque) => format!("opaque {} {:?}", opaque.reason, opaque.position),
    }
}

#[test]
fn clickhouse_forms_are_taken_out_before_parsing() {
    for (sql, expected) in [
        (
            "SELECT a FROM t AS x FINAL SAMPLE 0.1",
            "parsed Final `FINAL`, Sample `SAMPLE 0.1`",
        ),
        (
            "WITH 1 + 2 AS x, y AS (SELECT 1) SELECT x FROM y",
            "parsed ScalarWith `1 + 2 AS x`",
        ),
        (
            "WITH (SELECT 1) AS x SELECT x",
            "parsed ScalarWith `(SELECT 1) AS x`",
        ),
        (
            "SELECT a FROM t LEFT ANY JOIN b USING c, d",
            "parsed Strictness `ANY`",
        ),
        ("SELECT a FROM t PASTE JOIN b", "parsed Strictness `PASTE`"),
        (
            "SELECT a FROM t LEFT ARRAY JOIN b AS c, d WHERE x GLOBAL NOT IN (1)",
            "parsed ArrayJoin `LEFT ARRAY JOIN b AS c, d`, Strictness `GLOBAL`",
        ),
        (
            "SELECT f(a AS b), (1 AS c) + 2 FROM t WHERE a AS d > 1",
            "parsed InnerAlias `AS b`, InnerAlias `AS c`, InnerAlias `AS d`",
        ),
        (
            "SELECT CAST(a AS Array(String)), a::DateTime('UTC') FROM t",
            "parsed TypeArguments `(String)`, TypeArguments `('UTC')`",
        ),
        (
            "SELECT * APPLY(sum), COLUMNS('x') EXCEPT (y) APPLY max FROM t",
            "parsed ColumnTransformer `APPLY(sum)`, ColumnTransformer `EXCEPT (y)`, ColumnTransformer `APPLY max`",
        ),
        (
            "SELECT a FROM t LIMIT 1 BY a LIMIT 10",
            "parsed LimitBy `LIMIT 1 BY a`",
        ),
        (
            "SELECT a FROM t ORDER BY a LIMIT 3 WITH TIES",
            "parsed WithModifier `WITH TIES`",
        ),
        (
            "SELECT count() FROM t WITH TOTALS SETTINGS max_threads = 1 FORMAT JSON;",
            "parsed WithModifier `WITH TOTALS`, Settings `SETTINGS max_threads = 1`, Format `FORMAT JSON`",
        ),
        (
            "SELECT j.a.:Int64, j.^b FROM t",
            "parsed JsonPath `.:Int64`, JsonPath `^`",
        ),
        ("SELECT * FROM view(SELECT 1 FROM a)", "parsed View `view`"),
        (
            "WITH a AS MATERIALIZED (SELECT 1) SELECT * FROM a",
            "parsed CommonTableModifier `MATERIALIZED`",
        ),
        (
            "SELECT t.1, x.1.2, a ? b : -c, a DIV 2, interval, interval + 1, FROM t # comment",
            "parsed",
        ),
        (
            "SELECT {a:String}, * FROM {b:Identifier} WHERE x > INTERVAL '1 month'",
            "parsed",
        ),
        (
            "SELECT a FROM t ORDER BY a LIMIT 1 UNION ALL WITH x AS (SELECT 1) SELECT * FROM x LIMIT 2",
            "parsed",
        ),
        (
            "SELECT sum(a) FILTER (WHERE b), quantile(0.5)(c) OVER (ORDER BY d) FROM t QUALIFY e",
            "parsed",
        ),
        (
            "SELECT a::JSON(b UInt8)[1], CAST(a AS b AS DateTime64), x::DOUBLE PRECISION FROM t",
            "parsed TypeArguments `(b UInt8)`, InnerAlias `AS b`",
        ),
        (
            "SELECT (1,), (), f((a,)), [(),], j.a[].b, [][1] FROM t ORDER BY ()",
            "parsed JsonPath `[]`",
        ),
        (
            "SELECT sum(a) OVER (ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), max(b) - any(c) FROM t WHERE a IS NOT DISTINCT FROM b",
            "parsed WindowFrame `ROWS BETWEEN 2 PRECEDING AND CURRENT ROW`",
        ),
        (
            "SELECT a FROM table ORDER BY a DESC COLLATE 'de', b WITH FILL STEP 1 STALENESS 3, c LIMIT 2, 1 BY a",
            "parsed Collation `COLLATE 'de'`, FillStaleness `STALENESS 3`, LimitBy `LIMIT 2, 1 BY a`",
        ),
        (
            "SELECT 1 AS a WITH ROLLUP",
            "parsed WithModifier `WITH ROLLUP`",
        ),
        (
            "SELECT t.* APPLY x -> x + 1, b FROM t",
            "parsed ColumnTransformer `APPLY x -> x + 1`",
        ),
        (
            "SELECT 1 FROM t WHERE a b c",
            "opaque Expected: EOF, found: b Some(24)",
        ),
    ] {
        assert_eq!(parsed(sql), expected, "{sql}");
    }
}
