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
