use insta::assert_snapshot;

use super::*;

/// The statement with states, its keys, and how its states are read; or why there are none.
fn shown(sql: &str) -> String {
    match grouped(sql) {
        Ok(None) => "values".to_owned(),
        Ok(Some(grouped)) => {
            let mut text = sql.to_owned();
            for (range, replacement) in grouped.edits.iter().rev() {
                text.replace_range(range.clone(), replacement);
            }
            let states = grouped.states.iter();
            let states: Vec<_> = states
                .map(|state| format!("{} by {}", state.name, state.merge))
                .collect();
            let others = if grouped.has_others {
                " and others"
            } else {
                ""
            };
            format!(
                "{text}\nkeys: {}{others}\nstates: {}",
                grouped.keys.join(", "),
                states.join("; ")
            )
        }
        Err(reason) => format!(
            "{}\nat: {}\nhelp: {}",
            reason.message, &sql[reason.span], reason.help
        ),
    }
}

#[test]
fn plain_aggregates_become_states() {
    assert_snapshot!(shown("SELECT shop, toDate(ts) AS day, sum(qty) AS total, count() AS hits, uniqIf(buyer, qty > 0) AS buyers, quantile(0.9)(lat) q FROM sale GROUP BY shop, day"), @r"
    SELECT shop, toDate(ts) AS day, sumState(qty) AS total, countState() AS hits, uniqIfState(buyer, qty > 0) AS buyers, quantileState(0.9)(lat) q FROM sale GROUP BY shop, day
    keys: shop, day
    states: total by sumMerge; hits by countMerge; buyers by uniqIfMerge; q by quantileMerge(0.9)
    ");
}

#[test]
fn names_that_the_text_does_not_say_are_written_down() {
    assert_snapshot!(shown("SELECT lower(shop), COUNT(*), max(ts) FROM sale GROUP BY Lower( shop ), 1"), @r"
    `GROUP BY Lower( shop )` is no column of the result: groups could not be told apart in the data source
    at: Lower( shop )
    help: add it to the SELECT list, under a name
    ");
    assert_snapshot!(shown("SELECT lower(shop), COUNT(*), max(ts) FROM sale GROUP BY lower( shop ), 1"), @r"
    SELECT lower(shop) AS `lower(shop)`, COUNTState(*) AS `COUNT(*)`, maxState(ts) AS `max(ts)` FROM sale GROUP BY lower( shop ), 1
    keys: lower(shop)
    states: COUNT(*) by countMerge; max(ts) by maxMerge
    ");
}

#[test]
fn distinct_filters_and_states_of_states_are_what_the_engine_makes_of_them() {
    assert_snapshot!(shown("SELECT k, count(DISTINCT a, b) AS c, sum(DISTINCT a) AS s, countIf(DISTINCT a, b) AS i FROM t GROUP BY k"), @r"
    SELECT k, uniqExactState(a, b) AS c, sumDistinctState(a) AS s, uniqExactIfState(a, b) AS i FROM t GROUP BY k
    keys: k
    states: c by uniqExactMerge; s by sumDistinctMerge; i by uniqExactIfMerge
    ");
    assert_snapshot!(shown("SELECT k, maxIfOrNull(a, b) AS m FROM t GROUP BY k"), @r"
    SELECT k, maxOrNullIfState(a, b) AS m FROM t GROUP BY k
    keys: k
    states: m by maxOrNullIfMerge
    ");
    assert_snapshot!(shown("SELECT k, sum(a) FILTER (WHERE b) AS f, any(a) RESPECT NULLS AS n, sumMerge(s) AS m, avgState(a) AS already, maxSimpleState(a) AS simple, sum(distinct) AS d FROM t GROUP BY k"), @r"
    SELECT k, sumState(a) FILTER (WHERE b) AS f, anyState(a) RESPECT NULLS AS n, sumMergeState(s) AS m, avgState(a) AS already, maxSimpleState(a) AS simple, sumState(distinct) AS d FROM t GROUP BY k
    keys: k
    states: f by sumMerge; n by any_respect_nullsMerge; m by sumMerge; already by avgMerge; d by sumMerge
    ");
}

#[test]
fn keys_are_given_by_name_place_text_and_all() {
    assert_snapshot!(shown("SELECT a, b, sum(c) AS s FROM t GROUP BY 2, a"), @r"
    SELECT a, b, sumState(c) AS s FROM t GROUP BY 2, a
    keys: b, a
    states: s by sumMerge
    ");
    assert_snapshot!(shown("SELECT t.a, toDate(b) AS d, 'x' AS kind, sum(c) AS s FROM t GROUP BY (t.a, toDate(b)) WITH TOTALS"), @r"
    SELECT t.a, toDate(b) AS d, 'x' AS kind, sumState(c) AS s FROM t GROUP BY (t.a, toDate(b)) WITH TOTALS
    keys: a, d and others
    states: s by sumMerge
    ");
    assert_snapshot!(shown("SELECT a, toDate(b) AS d, sum(c) AS s FROM t GROUP BY ALL"), @r"
    SELECT a, toDate(b) AS d, sumState(c) AS s FROM t GROUP BY ALL
    keys: a, d
    states: s by sumMerge
    ");
    assert_snapshot!(shown("SELECT count() AS c FROM t"), @r"
    SELECT countState() AS c FROM t
    keys: 
    states: c by countMerge
    ");
    assert_snapshot!(shown("SELECT a FROM t GROUP BY a"), @r"
    SELECT a FROM t GROUP BY a
    keys: a
    states:
    ");
}

#[test]
fn what_neither_groups_nor_aggregates_has_values() {
    for sql in [
        "SELECT a, b * 2 AS c FROM t",
        "SELECT DISTINCT a FROM t",
        "SELECT a, sum(b) OVER (PARTITION BY a) AS s FROM t",
        "SELECT a, s FROM (SELECT a, sum(b) AS s FROM t GROUP BY a)",
        "SELECT a, (SELECT count() FROM u) AS c FROM t",
        "SELECT a FROM t UNION ALL SELECT a FROM u",
        "SELECT arraySum(x -> x.count, items) AS c FROM t",
        "SELECT 'not",
    ] {
        assert_eq!(shown(sql), "values", "{sql}");
    }
}

#[test]
fn what_cannot_become_a_state_is_refused_with_what_to_do() {
    assert_snapshot!(shown("SELECT a, sum(b) / count() AS mean FROM t GROUP BY a"), @r"
    `sum(b) / count()` is computed from `sum` of each insert alone, and cannot become a state
    at: sum(b) / count() AS mean
    help: give each aggregate a column of its own, and compute with them where the data source is read
    ");
    assert_snapshot!(shown("SELECT a, sum(b) AS s, count() AS c, s / c AS mean FROM t GROUP BY a"), @r"
    `s / c` is computed from `s` of each insert alone, and cannot become a state
    at: s / c AS mean
    help: give each aggregate a column of its own, and compute with them where the data source is read
    ");
    assert_snapshot!(shown("SELECT a, round(avg(b)) FROM t GROUP BY a"), @r"
    `round(avg(b))` is computed from `avg` of each insert alone, and cannot become a state
    at: round(avg(b))
    help: give each aggregate a column of its own, and compute with them where the data source is read
    ");
    assert_snapshot!(shown("SELECT a, count() AS c FROM t GROUP BY a, b"), @r"
    `GROUP BY b` is no column of the result: groups could not be told apart in the data source
    at: b
    help: add it to the SELECT list, under a name
    ");
    assert_snapshot!(shown("SELECT *, count() AS c FROM t GROUP BY ALL"), @r"
    which columns `*` gives beside the aggregates cannot be told
    at: *
    help: name each column of the result, or declare the data source
    ");
    assert_snapshot!(shown("SELECT a, count() AS c FROM t GROUP BY a UNION ALL SELECT a, 1 FROM u"), @r"
    the groups of several queries cannot become states of one
    at: SELECT a, count() AS c FROM t GROUP BY a
    help: make a materialized node of each query, or declare the data source
    ");
    for (sql, what) in [
        (
            "SELECT a, count() AS c FROM t GROUP BY a HAVING c > 1",
            "`HAVING`",
        ),
        (
            "SELECT a, count() AS c FROM t GROUP BY a HAVING sum(b) > 1",
            "`HAVING`",
        ),
        (
            "SELECT a, count() AS c FROM t GROUP BY a ORDER BY c",
            "`ORDER BY`",
        ),
        (
            "SELECT a, count() AS c FROM t GROUP BY a ORDER BY 2 LIMIT 3",
            "`ORDER BY`",
        ),
        (
            "SELECT a, count() AS c FROM t GROUP BY a ORDER BY ALL",
            "`ORDER BY`",
        ),
        (
            "SELECT DISTINCT a, count() AS c FROM t GROUP BY a",
            "`DISTINCT`",
        ),
        (
            "WITH sum(b) AS s SELECT a, s AS total, count() AS c FROM t GROUP BY a",
            "`WITH`",
        ),
    ] {
        let shown = shown(sql);
        let said = format!("{what} sees the aggregates of each insert alone");
        assert!(shown.starts_with(&said), "{sql}: {shown}");
    }
    for sql in [
        "SELECT a, count() AS c FROM t GROUP BY a HAVING a > 1 ORDER BY a",
        "SELECT a, count() AS c FROM t GROUP BY a ORDER BY 1",
    ] {
        assert!(
            shown(sql).starts_with("SELECT a, countState() AS c"),
            "{sql}"
        );
    }
    let grouping_sets = shown("SELECT a, count() AS c FROM t GROUP BY GROUPING SETS ((a), ())");
    assert!(
        grouping_sets.contains("is no column of the result"),
        "{grouping_sets}"
    );
}
