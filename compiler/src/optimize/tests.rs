use insta::assert_snapshot;

use super::*;
use crate::plan::RequestContext;
use crate::project::SourceTree;
use crate::template::{RenderContext, Values};

fn table(database: Option<&str>, name: &str) -> Option<TableColumns> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (shown, hidden) = match (database, name) {
        (None | Some("pipewright"), "hits") => {
            (names(&["org", "ts", "user", "url", "amount"]), names(&[]))
        }
        (None, "computed") => (names(&["a", "b"]), names(&["c"])),
        _ => return None,
    };
    Some(TableColumns { shown, hidden })
}

fn with_rules(sql: &str, rules: &Rules) -> String {
    let span = Span::new(SourceId(0), 0, sql.len());
    let text = MappedText::verbatim(sql, span);
    match run(&text, rules, &Context { table: &table }) {
        None => "unchanged".to_owned(),
        Some(recipe) => recipe.follow(&text).into_text(),
    }
}

fn optimized(sql: &str) -> String {
    with_rules(sql, &Rules::all())
}

/// Statements that look as if a rule applied.
fn stay(statements: &[&str]) {
    for sql in statements {
        assert_eq!(optimized(sql), "unchanged", "{sql}");
    }
}

#[test]
fn a_chain_becomes_one_query() {
    assert_snapshot!(
        optimized(
            "SELECT url, sum(doubled) AS total FROM (\nSELECT * FROM (\nSELECT url, visitor, doubled FROM (\nSELECT *, amount * 2 AS doubled, user AS visitor FROM (\nSELECT * FROM hits WHERE org = 7 -- ours\n) AS a\n) AS b WHERE doubled > 5\n) AS c\n) AS d GROUP BY url ORDER BY total DESC LIMIT 3"
        ),
        @r"
    WITH identity(amount * 2) AS doubled
    SELECT url, sum(doubled) AS total FROM hits
    WHERE (org = 7)
      AND (doubled > 5) GROUP BY url ORDER BY total DESC LIMIT 3
    "
    );
}

#[test]
fn a_node_may_have_the_name_of_what_its_reader_counts() {
    let reader = "SELECT url, count() AS c FROM (\nSELECT url, amount * 2 AS d FROM (\nSELECT url, amount FROM hits\n) AS c\n) AS d WHERE d > 5";
    assert_snapshot!(
        optimized(&format!("{reader} GROUP BY url HAVING c > 2 ORDER BY c DESC")),
        @r"
    WITH amount * 2 AS d
    SELECT url, count() AS c FROM hits WHERE d > 5 GROUP BY url HAVING c > 2 ORDER BY c DESC
    "
    );
    // Right of an `IN` it may be the node.
    for tail in ["url IN c", "url IN (c)", "notIn(url, c)"] {
        let reader = "SELECT url, count() AS c FROM (\nSELECT url, amount FROM hits\n) AS c WHERE amount > 5";
        let kept = optimized(&format!("{reader} AND {tail} GROUP BY url"));
        assert!(kept == "unchanged" || kept.contains("\n) AS c "), "{kept}");
    }
}

#[test]
fn a_node_that_gives_names_inside_of_expressions_stays() {
    stay(&[
        "SELECT sum(amount) FROM (\nSELECT (amount + 1 AS amount) * 2 AS y, amount FROM hits\n) AS n",
        "SELECT sum(org) FROM (\nSELECT amount * 2 AS y, org FROM hits WHERE (amount + 1 AS org) > 2\n) AS n",
    ]);
}

#[test]
fn columns_of_one_definition_stay_two_where_groups_are_made_of_some_of_them() {
    for groups in ["CUBE(a, d)", "GROUPING SETS((a), (d))", "a, d WITH ROLLUP"] {
        stay(&[&format!(
            "SELECT a, d, count() AS c FROM (\nSELECT org AS a, org AS d FROM hits\n) AS n GROUP BY {groups}"
        )]);
    }
}

#[test]
fn a_tail_goes_to_the_groups_that_it_sorts() {
    assert_snapshot!(
        optimized("SELECT c, url FROM (\nSELECT url, org, count() AS c FROM hits GROUP BY url, org\n) AS n WHERE c > 3 ORDER BY c DESC LIMIT 5"),
        @r"
    SELECT count() AS c, url
    FROM hits GROUP BY url, org
    HAVING c > 3
    ORDER BY c DESC
    LIMIT 5
    "
    );
}

#[test]
fn a_star_takes_the_list_of_the_node() {
    assert_snapshot!(
        optimized("SELECT *, n.doubled + 1 AS more FROM (\nSELECT url, amount * 2 AS doubled FROM hits\n) AS n WHERE n.url != ''"),
        @"SELECT url, amount * 2 AS doubled, doubled + 1 AS more FROM hits WHERE url != ''"
    );
}

#[test]
fn a_constant_stays_inside_of_an_aggregate_as_it_does_over_a_node() {
    let merged = |expression: &str, reader: &str| {
        let node = format!("(\nSELECT org, {expression} AS d FROM hits\n) AS n");
        optimized(&format!("SELECT {reader}").replace('@', &node))
    };
    for expression in [
        "amount + 1",
        "5 - amount",
        "(amount / 3)",
        "toDate(ts) + toInt8(1)",
        "amount * 2",
        "multiply(amount, 2)",
        "-amount",
    ] {
        for reader in [
            "max(d) FROM @",
            "org, avgIf(d, org > 1) FROM @ GROUP BY org",
        ] {
            let merged = merged(expression, reader);
            let kept = format!("WITH identity({expression}) AS d\n");
            assert!(merged.starts_with(&kept), "{merged}");
        }
    }
    // The engine takes nothing but constants out, and only what is outermost.
    for (expression, reader) in [
        ("amount + org", "max(d) FROM @"),
        ("round(amount * 2)", "sum(d) FROM @"),
        ("amount * 2", "org, count() FROM @ WHERE d > 1 GROUP BY org"),
    ] {
        let merged = merged(expression, reader);
        assert!(
            merged.starts_with(&format!("WITH {expression} AS d\n")),
            "{merged}"
        );
    }
}

#[test]
fn a_later_branch_keeps_the_common_tables_of_the_first() {
    stay(&[
        "WITH u AS (SELECT 1 AS k) SELECT k FROM u UNION ALL SELECT x FROM (\nSELECT amount + org AS x FROM hits\n) AS n WHERE x IN u",
        // A column that the node does not pass on is not taken for one of them.
        "WITH org AS (SELECT toInt64(1) AS k) SELECT k FROM org UNION ALL SELECT k FROM (\nSELECT amount AS k FROM hits\n) AS n WHERE k IN org",
        // Its named values mean themselves in every branch.
        "WITH 5 AS org SELECT toInt64(org) AS k UNION ALL SELECT k FROM (\nSELECT url AS k FROM hits WHERE org > 3\n) AS n",
    ]);
    // Brackets of a union are left out by the engine, also where the union is in brackets itself.
    let node = "SELECT x FROM (\nSELECT org + amount AS x FROM hits\n) AS a WHERE x + x > 1";
    stay(&[
        &format!("SELECT * FROM (\n({node}) UNION ALL (SELECT x FROM t)\n) AS c"),
        &format!(
            "SELECT x, count() FROM (((({node}))) UNION ALL (SELECT x FROM t)) AS c GROUP BY x"
        ),
        &format!("SELECT k FROM ((WITH org AS k SELECT k FROM t) UNION ALL ({node})) AS c"),
        "SELECT x FROM ((SELECT * FROM (WITH org + amount AS x SELECT x FROM hits)) UNION ALL (SELECT x FROM t)) AS c WHERE x > 1",
    ]);
    let scalar = "WITH 1 AS k SELECT k FROM t UNION ALL SELECT x FROM (\nSELECT amount + org AS x FROM hits\n) AS n WHERE x > 1";
    assert_ne!(optimized(scalar), "unchanged");
}

#[test]
fn totals_are_those_of_the_node() {
    stay(&[
        "SELECT s, count() AS r FROM (\nSELECT url, toString(org) AS s FROM hits\n) AS n GROUP BY s WITH TOTALS",
        "SELECT s FROM (\nSELECT org AS s, count() FROM hits GROUP BY s WITH TOTALS\n) AS n UNION ALL SELECT s FROM (\nSELECT org AS s, count() FROM hits GROUP BY s WITH TOTALS\n) AS n",
    ]);
}

#[test]
fn a_star_beside_a_column_of_a_name_that_it_brings_stays_a_star() {
    stay(&[
        "SELECT *, org * 2 AS d FROM (\nSELECT org, n.d FROM (\nSELECT DISTINCT org, org + org AS d FROM hits\n) AS n\n) AS a",
    ]);
}

#[test]
fn a_column_that_an_expression_has_the_name_of_keeps_the_alias_before_it() {
    stay(&[
        "WITH org + 1 AS url SELECT * FROM (SELECT * FROM hits WHERE org < 2) AS n",
        "SELECT *, (org AS url) + 1 AS z FROM (SELECT * FROM hits WHERE org < 2) AS n",
    ]);
}

#[test]
fn names_that_would_meet_keep_node_and_reader_apart() {
    stay(&[
        // The node gives a column another's name.
        "SELECT ts FROM (SELECT toDate(ts) AS ts FROM hits) AS n WHERE ts > 1",
        // The reader's name would be taken for the column in the node's text.
        "SELECT sum(amount) AS org FROM (SELECT amount FROM hits WHERE org = 7) AS n",
        "SELECT lower(u) AS url FROM (SELECT concat(url, '') AS u FROM hits) AS n",
        "SELECT arrayMap(org -> org + x, [1]) AS r FROM (SELECT org + 1 AS x FROM hits) AS n",
        // The name would be seen inside.
        "SELECT x FROM (SELECT org + 1 AS x FROM hits) AS n WHERE x IN (SELECT x FROM t)",
        "SELECT x FROM (SELECT org + 1 AS x FROM hits) AS n UNION ALL SELECT x FROM t",
        // The set would be the table.
        "WITH hits AS (SELECT 1 AS org) SELECT url FROM (SELECT url, org FROM pipewright.hits WHERE 2 > 1) AS n WHERE org IN hits",
        // A column that the node does not pass on.
        "WITH (SELECT 1) AS w SELECT url, org FROM (SELECT url FROM hits WHERE 2 > 1) AS n",
    ]);
}

#[test]
fn what_a_node_defines_does_not_reach_the_other_operands_of_its_reader() {
    let node = "WITH t AS (SELECT max(org) AS org FROM hits) SELECT org, count() AS c FROM hits WHERE org IN (SELECT org FROM t) GROUP BY org";
    let operands = |first: &str| format!("({first}) EXCEPT (SELECT org, c FROM t)");
    stay(&[
        &operands(&format!("SELECT org, c FROM ({node}) AS n")),
        &operands(&format!("SELECT * FROM ({node}) AS n")),
        &operands(&format!("(SELECT * FROM ({node}) AS n)")),
        "(SELECT sum(x) AS s FROM (SELECT org + 1 AS x FROM hits) AS n) UNION ALL (SELECT x FROM t)",
    ]);
    // Not where nothing stands beside it.
    assert_eq!(
        optimized(&format!(
            "SELECT 1 AS one WHERE 1 IN (SELECT c FROM (SELECT * FROM ({node}) AS n))"
        ))
        .matches("SELECT")
        .count(),
        4
    );
}

#[test]
fn what_tells_two_definitions_apart_stays() {
    stay(&[
        "WITH a AS (SELECT * FROM (\nSELECT url FROM b\n) AS pw_1) SELECT url FROM a",
        "WITH a AS (SELECT * FROM (\nSELECT url, count() AS c FROM hits GROUP BY url\n) AS pw_1) SELECT url FROM a",
        "WITH a AS (SELECT * FROM (\nSELECT url FROM hits\n) AS pw_1) SELECT url FROM a",
    ]);
}

#[test]
fn nodes_that_do_more_are_left_alone() {
    stay(&[
        "SELECT url FROM (SELECT DISTINCT url, org FROM hits) AS n WHERE url != ''",
        "SELECT count() AS c FROM (SELECT url FROM hits LIMIT 5) AS n",
        "SELECT url FROM (SELECT url FROM hits FINAL) AS n",
        "SELECT url FROM (SELECT url FROM hits SAMPLE 1/2) AS n",
        "SELECT r FROM (SELECT rand() AS r FROM hits) AS n WHERE r > 1",
        "SELECT r FROM (SELECT row_number() OVER (ORDER BY ts) AS r FROM hits) AS n",
        "SELECT r FROM (SELECT arrayJoin([1, 2]) AS r FROM hits) AS n",
        "SELECT s FROM (SELECT sum(amount) AS s FROM hits) AS n WHERE s > 1",
        "SELECT url FROM (SELECT url FROM unknown) AS n",
        "SELECT url FROM (SELECT url FROM hits) AS n SETTINGS max_threads = 1",
        "SELECT url FROM (SELECT url FROM hits ORDER BY ts) AS n",
        "SELECT c FROM (SELECT a, b, a + b AS c FROM computed) AS n",
        "SELECT k, count() AS c FROM (SELECT 'a' AS k FROM hits) AS n GROUP BY k",
        "SELECT x FROM (SELECT url AS x FROM hits PREWHERE org = 7) AS n",
        "SELECT url FROM (SELECT url FROM hits) AS n ARRAY JOIN [1] AS q",
        "SELECT COLUMNS('u') FROM (SELECT url, org + 1 AS u FROM hits) AS n",
    ]);
}

#[test]
fn a_select_star_between_is_left_out_wherever_it_stands() {
    assert_snapshot!(
        optimized("SELECT a.url FROM (SELECT * FROM hits) AS a JOIN (SELECT * FROM (SELECT org, max(ts) AS t FROM hits GROUP BY org) AS q) AS b ON a.org = b.org"),
        @"SELECT a.url FROM hits AS a JOIN (SELECT org, max(ts) AS t FROM hits GROUP BY org) AS b ON a.org = b.org"
    );
    // Some tables take an alias with `AS` alone.
    assert_snapshot!(
        optimized("SELECT url FROM (SELECT * FROM hits)q WHERE org = 1"),
        @"SELECT url FROM hits AS q WHERE org = 1"
    );
    stay(&[
        // Which of the two is meant by the table's own name would not be sure.
        "SELECT hits.url FROM (SELECT * FROM hits) AS a JOIN (SELECT org FROM t) AS hits ON a.org = hits.org",
        "SELECT a.b FROM (SELECT * FROM computed) AS a JOIN t ON a.b = t.b",
        "WITH hits AS (SELECT 1 AS org) SELECT x.org FROM (SELECT * FROM hits) AS x JOIN t ON x.org = t.org",
    ]);
}

#[test]
fn conditions_that_are_always_true_go() {
    assert_snapshot!(optimized("SELECT count() FROM hits WHERE 1 = 1 AND org = 7 AND true"), @"SELECT count() FROM hits WHERE org = 7");
    assert_snapshot!(optimized("SELECT count() FROM hits WHERE (1=1) GROUP BY org HAVING 1"), @"SELECT count() FROM hits  GROUP BY org");
    stay(&[
        "SELECT 1 FROM hits WHERE 1 = 1 OR org = 7",
        "SELECT 1 FROM hits WHERE org BETWEEN 0 AND 1 AND 1 = 1",
        "SELECT 1 FROM hits WHERE amount AND 1",
        "SELECT 1 FROM hits WHERE 1 = 2",
    ]);
}

#[test]
fn a_value_of_the_request_decides_nothing() {
    let mut text = MappedText::verbatim(
        "SELECT count() FROM hits WHERE ",
        Span::new(SourceId(0), 0, 31),
    );
    text.push(
        "1",
        PieceKind::Literal,
        Some(Span::new(SourceId(0), 31, 40)),
    );
    text.append(&MappedText::verbatim(
        " = 1 AND org = 7",
        Span::new(SourceId(0), 40, 56),
    ));
    assert!(run(&text, &Rules::all(), &Context { table: &table }).is_none());
}

#[test]
fn a_recipe_holds_for_other_values_of_the_same_shape() {
    let statement = |value: &str| {
        let mut text = MappedText::verbatim(
            "SELECT url FROM (SELECT url FROM hits WHERE org = ",
            Span::new(SourceId(0), 0, 50),
        );
        text.push(
            value,
            PieceKind::Literal,
            Some(Span::new(SourceId(0), 50, 60)),
        );
        text.append(&MappedText::verbatim(
            ") AS n WHERE url != ''",
            Span::new(SourceId(0), 60, 82),
        ));
        text
    };
    let context = Context { table: &table };
    let recipe = run(&statement("7"), &Rules::all(), &context).expect("it applies");
    let made = recipe.follow(&statement("toInt32('12345')"));
    assert_snapshot!(made.text(), @r"
    SELECT url FROM hits WHERE (org = toInt32('12345'))
      AND (url != '')
    ");
    // The place in the author's file is that of the text before.
    let at = made.text().find("url !=").expect("it is there");
    assert_eq!(made.locate(at), Some(Span::new(SourceId(0), 73, 73)));
    assert_eq!(recipe.rewrites()[0].rule, "merge-chains");
}

#[test]
fn distinct_goes_where_the_reader_is_distinct() {
    let only = |sql: &str| with_rules(sql, &Rules::only("duplicate-distinct"));
    assert_snapshot!(only("SELECT DISTINCT url FROM (SELECT DISTINCT url, org FROM hits) AS n"), @"SELECT DISTINCT url FROM (SELECT url, org FROM hits) AS n");
    assert_snapshot!(only("SELECT url, max(org) AS m FROM (SELECT DISTINCT url, org FROM hits) AS n GROUP BY url"), @"SELECT url, max(org) AS m FROM (SELECT url, org FROM hits) AS n GROUP BY url");
    assert_snapshot!(only("SELECT 1 WHERE 2 IN (SELECT DISTINCT org FROM hits)"), @"SELECT 1 WHERE 2 IN (SELECT org FROM hits)");
    for kept in [
        "SELECT DISTINCT url FROM (SELECT DISTINCT url, org FROM hits LIMIT 5) AS n",
        "SELECT DISTINCT upper(url) AS u FROM (SELECT DISTINCT url, org FROM hits) AS n",
        "SELECT url, count() AS c FROM (SELECT DISTINCT url, org FROM hits) AS n GROUP BY url",
        "SELECT url, max(org) AS m FROM (SELECT DISTINCT url, org FROM hits) AS n JOIN t USING url GROUP BY url",
        "SELECT url FROM (SELECT DISTINCT url, org FROM hits) AS n",
    ] {
        assert_eq!(only(kept), "unchanged", "{kept}");
    }
}

#[test]
fn order_goes_where_it_is_not_seen() {
    let only = |sql: &str| with_rules(sql, &Rules::only("useless-order"));
    assert_snapshot!(only("SELECT count() FROM (SELECT url FROM hits ORDER BY ts) AS n"), @"SELECT count() FROM (SELECT url FROM hits ) AS n");
    assert_snapshot!(only("SELECT url FROM (SELECT url FROM hits ORDER BY ts) AS n ORDER BY url"), @"SELECT url FROM (SELECT url FROM hits ) AS n ORDER BY url");
    for kept in [
        "SELECT url FROM (SELECT url FROM hits ORDER BY ts) AS n",
        "SELECT url FROM (SELECT url FROM hits ORDER BY ts) AS n ORDER BY url LIMIT 3",
        "SELECT groupArray(url) FROM (SELECT url FROM hits ORDER BY ts) AS n",
        "SELECT count() FROM (SELECT url FROM hits ORDER BY ts LIMIT 3) AS n",
        "SELECT count() FROM (SELECT url FROM hits ORDER BY ts LIMIT 1 BY url) AS n",
        "SELECT count() FROM (SELECT ts FROM hits ORDER BY ts WITH FILL) AS n",
        "SELECT count() FROM (SELECT url FROM hits ORDER BY ts) AS n ANY LEFT JOIN t USING url",
        "SELECT count(), row_number() OVER () FROM (SELECT url FROM hits ORDER BY ts) AS n",
        "SELECT (SELECT url FROM hits ORDER BY ts) AS one",
        "SELECT count() FROM (SELECT url FROM hits ORDER BY arrayJoin([1, 2, 3])) AS n",
        "SELECT count(), sum(y) FROM (SELECT y FROM hits ORDER BY amount * 2 AS y) AS n",
    ] {
        assert_eq!(only(kept), "unchanged", "{kept}");
    }
}

#[test]
fn a_node_with_several_readers_is_computed_once() {
    let node = "(\nSELECT url, count() AS c FROM hits GROUP BY url\n) AS n";
    let only = |sql: &str| with_rules(&sql.replace('@', node), &Rules::only("share-node"));
    assert_snapshot!(only("SELECT sum(c) FROM @ UNION ALL SELECT max(c) FROM @"), @r"
    WITH shared_n AS MATERIALIZED (
    SELECT url, count() AS c FROM hits GROUP BY url
    )
    SELECT sum(c) FROM shared_n AS n UNION ALL SELECT max(c) FROM shared_n AS n
    SETTINGS enable_materialized_cte = 1
    ");
    for kept in [
        "SELECT sum(c) FROM @ UNION ALL SELECT max(c) FROM @ WHERE url = 'a'",
        "SELECT (SELECT sum(c) FROM @) AS a, (SELECT max(c) FROM @) AS b",
        "SELECT 1 FROM (SELECT * FROM @ UNION ALL SELECT * FROM @) AS u WHERE c > 1",
        "SELECT sum(c) FROM @ UNION DISTINCT SELECT max(c) FROM @",
        "SELECT sum(c) FROM @ UNION ALL WITH 2 AS q SELECT max(c) + q FROM @",
        "WITH url AS x SELECT sum(c) FROM @ UNION ALL SELECT max(c) FROM (\nSELECT x AS url, count() AS c FROM hits GROUP BY x\n) AS n",
    ] {
        assert_eq!(only(kept), "unchanged", "{kept}");
    }
}

#[test]
fn a_node_that_differs_in_a_value_is_not_shared() {
    let copy = |value: &str, last: &mut u32| {
        let mut text = MappedText::new();
        let begin = "SELECT max(c) FROM (SELECT url, count() AS c FROM hits WHERE org = ";
        text.push(begin, PieceKind::Verbatim, Some(span(0, 67)));
        text.push(value, PieceKind::Literal, Some(span(67, 5)));
        let end = " GROUP BY url) AS n";
        text.push(end, PieceKind::Verbatim, Some(span(72, 19)));
        text.count_values(last);
        text
    };
    let is_shared = |one: &MappedText, other: &MappedText| {
        let mut text = one.clone();
        text.push(" UNION ALL ", PieceKind::Inserted, None);
        text.append(other);
        let rules = Rules::only("share-node");
        run(&text, &rules, &Context { table: &table }).is_some()
    };
    let mut last = 0;
    let one = copy("7", &mut last);
    assert!(is_shared(&one, &one));
    // Both come from one place: a loop, or a file that two nodes include. For another request they may differ though they are the same now.
    assert!(!is_shared(&one, &copy("7", &mut last)));
    assert!(!is_shared(&one, &copy("8", &mut last)));
}

fn span(start: u32, length: u32) -> Span {
    Span {
        source: SourceId(0),
        start,
        end: start + length,
    }
}

#[test]
fn the_turns_of_a_loop_are_not_one_node() {
    let pipe = "NODE e\nSQL >\n    %\n    {% for c in [1, 2] %}\n    SELECT * FROM (SELECT k, count() AS n FROM t WHERE k = {{c}} GROUP BY k) AS q\n    {% if not loop.last %} UNION ALL {% end %}\n    {% end %}\n\nTYPE endpoint\n";
    let sources = SourceTree::new([
        (
            "t.datasource".to_owned(),
            "SCHEMA >\n    `k` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"k\"\n"
                .to_owned(),
        ),
        ("p.pipe".to_owned(), pipe.to_owned()),
    ]);
    let (plan, _) = crate::check(sources);
    let values = Values::default();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let node = &plan.pipe("p").unwrap().endpoint_node().unwrap().id;
    let sql = plan.compile_node(node, request).unwrap().sql.into_text();
    assert!(sql.contains("k = 1") && sql.contains("k = 2"), "{sql}");
}

#[test]
fn hostile_text_ends_in_time() {
    let nested = format!("{}hits{}", "SELECT * FROM (".repeat(240), ")".repeat(240));
    let _ = optimized(&nested);
    let wide = format!(
        "SELECT {} FROM (SELECT * FROM hits) AS n",
        vec!["url"; 10_000].join(", ")
    );
    let _ = optimized(&wide);
}
