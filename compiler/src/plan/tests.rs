use super::RequestContext;
use crate::project::SourceTree;
use crate::template::{RenderContext, Values};

#[test]
fn a_query_keeps_its_settings_wherever_its_format_stands() {
    let (plan, _) = crate::compile(SourceTree::new([]));
    let values = Values::new();
    let of = |sql: &str| {
        let request = RequestContext {
            values: &values,
            render: RenderContext::default(),
        };
        let compiled = plan.compile_query(sql, None, request).expect(sql);
        (compiled.sql.into_text(), compiled.format)
    };
    for (sql, text) in [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1 FORMAT CSV -- all", "SELECT 1 "),
        (
            "SELECT 1 SETTINGS max_threads = 1 FORMAT CSV;",
            "SELECT 1 SETTINGS max_threads = 1 ",
        ),
        (
            "SELECT 1 FORMAT CSV SETTINGS max_threads = 1;",
            "SELECT 1  SETTINGS max_threads = 1",
        ),
        (
            "SELECT 1 SETTINGS max_threads = 1 FORMAT CSV SETTINGS join_use_nulls = 1",
            "SELECT 1 SETTINGS max_threads = 1  SETTINGS join_use_nulls = 1",
        ),
    ] {
        let format = sql.contains("FORMAT").then(|| "CSV".to_owned());
        assert_eq!(of(sql), (text.to_owned(), format), "{sql}");
    }
}

#[test]
fn an_array_of_a_table_may_stand_right_of_in() {
    let files = [
        (
            "t.datasource",
            "SCHEMA >\n    `id` UInt64,\n    `arr` Array(UInt64)\n",
        ),
        (
            "p.pipe",
            "NODE n\nSQL >\n    SELECT id IN q.arr AS g FROM t AS q WHERE id IN q.arr\n\nTYPE endpoint\n",
        ),
        (
            "hidden.pipe",
            "NODE n\nSQL >\n    SELECT id FROM t AS pipewright WHERE id IN pipewright.mv__x\n\nTYPE endpoint\n",
        ),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let (plan, _) = crate::compile(SourceTree::new(files));
    let compiled = |pipe: &str| {
        let node = plan.pipe(pipe).unwrap().endpoint_node().unwrap();
        crate::emit::default_sql(&plan, &node.id)
    };
    assert_eq!(
        compiled("p").unwrap().sql.text(),
        "SELECT id IN q.arr AS g FROM t AS q WHERE id IN q.arr"
    );
    assert!(compiled("hidden").is_err());
}

#[test]
fn a_query_has_one_format() {
    let (plan, _) = crate::compile(SourceTree::new([]));
    let values = Values::new();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let refused = plan.compile_query("SELECT 1 FORMAT Vertical FORMAT JSON", None, request);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("a query has one `FORMAT`"), "{said}");
}
