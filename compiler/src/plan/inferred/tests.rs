use insta::assert_snapshot;

use crate::project::SourceTree;

const SALE: &str = "SCHEMA >\n    `shop` String,\n    `ts` DateTime,\n    `qty` Int32\n";

/// The statements that an empty engine needs for the target of a node, or what was found against it.
fn made(node: &str) -> String {
    let files = [
        ("sale.datasource".to_owned(), SALE.to_owned()),
        ("g.pipe".to_owned(), node.to_owned()),
    ];
    let (plan, diagnostics) = crate::compile(SourceTree::new(files));
    let errors = diagnostics.iter().filter(|diagnostic| {
        diagnostic.severity == pipewright_grammar::diagnostic::Severity::Error
    });
    let errors: Vec<String> = errors.map(|error| error.message.to_string()).collect();
    if !errors.is_empty() {
        return errors.join("\n");
    }
    let (steps, _) = crate::deploy::desired(&plan);
    let steps = steps.iter().filter(|step| step.name != "sale");
    steps
        .map(|step| step.sql.clone())
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn node(select: &str, directives: &str) -> String {
    format!("NODE n\nSQL >\n    {select}\n\nTYPE materialized\nDATASOURCE inferred\n{directives}")
}

#[test]
fn the_target_of_a_node_that_groups_holds_states() {
    assert_snapshot!(made(&node("SELECT shop, toDate(ts) AS day, sum(qty) AS total, count() FROM sale GROUP BY shop, day", "")), @r"
    CREATE TABLE IF NOT EXISTS inferred
    ENGINE = AggregatingMergeTree
    ORDER BY (shop, day)
    SETTINGS allow_nullable_key = 1
    EMPTY AS
    SELECT shop, toDate(ts) AS day, sumState(qty) AS total, countState() AS `count()` FROM sale GROUP BY shop, day

    CREATE MATERIALIZED VIEW IF NOT EXISTS mv__g__n TO inferred AS
    SELECT shop, toDate(ts) AS day, sumState(qty) AS total, countState() AS `count()` FROM sale GROUP BY shop, day
    ");
}

#[test]
fn an_engine_that_is_said_is_kept_with_its_key() {
    let select = "SELECT shop, sum(qty) AS total FROM sale GROUP BY shop";
    let made_by = |directives: &str| made(&node(select, directives));
    let states = "sumState(qty) AS total";
    let sums = made_by("ENGINE SummingMergeTree\nENGINE_SORTING_KEY shop\n");
    assert!(
        !sums.contains(states) && sums.contains("ENGINE = SummingMergeTree"),
        "{sums}"
    );
    let said = made_by(
        "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY \"shop\"\nENGINE_PARTITION_KEY shop\n",
    );
    assert!(
        said.contains(states) && said.contains("PARTITION BY (shop)"),
        "{said}"
    );
    let keyless = made_by("ENGINE AggregatingMergeTree\n");
    assert!(
        keyless.contains(states) && keyless.contains("ORDER BY (shop)"),
        "{keyless}"
    );
}

#[test]
fn what_cannot_be_inferred_is_an_error_unless_the_engine_is_said() {
    let select = "SELECT shop, sum(qty) / count() AS mean FROM sale GROUP BY shop";
    assert_snapshot!(made(&node(select, "")), @"`inferred` is not declared, and cannot be inferred: `sum(qty) / count()` is computed from `sum` of each insert alone, and cannot become a state");
    for engine in ["MergeTree", "AggregatingMergeTree"] {
        let made = made(&node(
            select,
            &format!("ENGINE {engine}\nENGINE_SORTING_KEY shop\n"),
        ));
        assert!(made.contains("sum(qty) / count() AS mean"), "{made}");
    }
}

#[test]
fn a_node_that_does_not_group_keeps_its_rows() {
    let made = made(&node(
        "SELECT shop, qty * 2 AS twice FROM sale WHERE qty > 0",
        "",
    ));
    assert!(
        made.contains("ENGINE = MergeTree\nORDER BY tuple()"),
        "{made}"
    );
}

#[test]
fn edits_are_places_of_the_file() {
    let text = node(
        "SELECT shop, sum(qty) AS total, count() FROM sale GROUP BY shop",
        "",
    );
    let files = [
        ("sale.datasource".to_owned(), SALE.to_owned()),
        ("g.pipe".to_owned(), text.clone()),
    ];
    let (plan, _) = crate::compile(SourceTree::new(files));
    let id = plan
        .table("inferred")
        .and_then(|table| table.made_by.clone())
        .unwrap();
    let compiled = crate::emit::default_sql(&plan, &id).unwrap();
    let edits = plan.with_states(&compiled.sql).unwrap().edits.unwrap();
    let mut written = text;
    for (span, replacement) in edits.iter().rev() {
        written.replace_range(span.start as usize..span.end as usize, replacement);
    }
    assert_eq!(
        written,
        node(
            "SELECT shop, sumState(qty) AS total, countState() AS `count()` FROM sale GROUP BY shop",
            ""
        )
    );
}
