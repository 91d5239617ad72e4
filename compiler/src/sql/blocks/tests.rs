use super::*;

fn read(text: &str) -> Statement<'_> {
    Statement::read(text).expect("it can be read")
}

#[test]
fn a_select_is_split_at_its_keywords() {
    let text = "WITH 1 AS one SELECT DISTINCT a, t.b, c + 1 AS `d e`, f(x) FROM hits AS t WHERE a = 1 GROUP BY a HAVING b ORDER BY a WITH FILL LIMIT 3";
    let statement = read(text);
    let select = statement.query.single().expect("it is understood");
    let clauses: Vec<_> = select
        .clauses
        .iter()
        .map(|clause| (clause.kind, statement.slice(&clause.body)))
        .collect();
    assert_eq!(
        clauses,
        [
            (ClauseKind::Where, "a = 1"),
            (ClauseKind::GroupBy, "a"),
            (ClauseKind::Having, "b"),
            (ClauseKind::OrderBy, "a WITH FILL"),
            (ClauseKind::Limit, "3"),
        ]
    );
    let names: Vec<_> = select.items.iter().map(Item::name).collect();
    assert_eq!(names, [Some("a"), Some("b"), Some("d e"), None]);
    assert!(select.distinct.is_some());
    let source = select.source.as_ref().expect("one source");
    assert!(source.answers_to("t") && source.answers_to("hits"));
}

#[test]
fn what_is_not_understood_is_said_for_its_own_select_alone() {
    for text in [
        "FROM t SELECT a",
        "SELECT a FROM t WHERE format FORMAT JSON",
        "SELECT limit FROM t LIMIT 1 LIMIT 2",
        "SELECT a, FROM t",
        "(SELECT a FROM t)",
        "SELECT DISTINCT ON (a) a FROM t",
        "SELECT a FROM view(SELECT 1 AS a)",
    ] {
        assert!(read(text).query.single().is_none(), "{text}");
    }
    let outer = read("FROM (SELECT a FROM t WHERE b) SELECT a");
    let inner = &outer.query.branches[0].nested[0];
    assert!(inner.query.single().is_some());
}

#[test]
fn queries_inside_are_found_with_their_place() {
    let text = "SELECT (SELECT 1), a IN (SELECT 2) FROM (SELECT 3) AS x JOIN (SELECT 4) AS y USING a WHERE exists(SELECT 5)";
    let statement = read(text);
    let places: Vec<_> = statement.query.branches[0]
        .nested
        .iter()
        .map(|nested| (nested.place, statement.slice(&nested.query.run)))
        .collect();
    assert_eq!(
        places,
        [
            (Place::Other, "SELECT 1"),
            (Place::Set, "SELECT 2"),
            (Place::Source, "SELECT 3"),
            (Place::Source, "SELECT 4"),
            (Place::Other, "SELECT 5"),
        ]
    );
}

#[test]
fn set_operators_split_a_query() {
    let union = read("SELECT 1 UNION ALL SELECT * EXCEPT (a) FROM t UNION ALL SELECT 3");
    assert_eq!(
        (union.query.branches.len(), union.query.only_union_all),
        (3, true)
    );
    let other = read("SELECT 1 UNION DISTINCT SELECT 2 EXCEPT SELECT 3");
    assert_eq!(
        (other.query.branches.len(), other.query.only_union_all),
        (3, false)
    );
}

#[test]
fn names_that_may_be_aliases_are_defined() {
    let text = "WITH q AS (SELECT 1) SELECT a AS b, f(c) d, arrayMap((x, y) -> x + y, z), CASE WHEN e THEN 1 END FROM t u ORDER BY v DESC";
    let statement = read(text);
    let all = 0..statement.query.run.end;
    let defined: Vec<_> = statement.defines(&all).into_iter().collect();
    assert_eq!(defined, ["b", "d", "q", "u", "x", "y"]);
    assert!(statement.uses(&all, "z") && !statement.uses(&all, "f"));
    let calls: Vec<_> = statement.calls(&all).into_iter().collect();
    assert_eq!(calls, ["arraymap", "f"]);
}

#[test]
fn text_that_is_no_statement_is_not_read() {
    assert!(Statement::read("SELECT 'a").is_none());
    assert!(Statement::read("SELECT (1]").is_none());
    let deep = format!("SELECT {}1{}", "(SELECT ".repeat(400), ")".repeat(400));
    assert!(Statement::read(&deep).is_none());
}
