use super::*;
use crate::project::SourceTree;

fn table(schema: &str) -> TablePlan {
    let text = format!("SCHEMA >\n    {}\n", schema.replace('\n', "\n    "));
    let (plan, diagnostics) = crate::check(SourceTree::new([("t.datasource".to_owned(), text)]));
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|found| found.severity == pipewright_grammar::diagnostic::Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    plan.table("t").expect("the table").clone()
}

#[test]
fn a_row_is_read_once_for_all_paths() {
    let table = table(
        "`id` UInt32 `json:$.id`,\n`name` Nullable(String) `json:$.user.name`,\n`tags` Array(String) `json:$.tags[:]`",
    );
    insta::assert_snapshot!(insert_json(&table, "source"));
}

#[test]
fn bad_rows_go_to_the_quarantine_with_their_reasons() {
    let table = table("`id` UInt64 `json:$.id`,\n`at` DateTime64(3) DEFAULT now64(3) `json:$.at`");
    insta::assert_snapshot!(
        Ingestion::new(&table, &Input::Json("source")).insert_quarantine("import-1", &[])
    );
    insta::assert_snapshot!(create_quarantine(&table));
}

#[test]
fn csv_fields_are_read_as_text_first() {
    let table = table("`id` UInt8,\n`day` Date,\n`kind` Enum8('a' = 1, 'b' = 2)");
    let rows = format!("file('/rows.csv', 'CSV', '{}')", csv_fields(3));
    let input = Input::Csv {
        rows: &rows,
        columns: None,
        delimiter: ';',
    };
    insta::assert_snapshot!(
        Ingestion::new(&table, &input)
            .insert_good(&[("insert_deduplication_token", "one".to_owned())])
    );
}
