//! Forms around tables and at the end of a statement.

use sqlparser::tokenizer::Token;

use super::{FormKind, List};
use crate::sql::scan::Scan;

/// `FORMAT name` at the end.
pub(super) fn endings(list: &mut List, scan: &Scan) {
    if let Some(format) = &scan.format {
        drop_bytes(list, FormKind::Format, &format.span);
        list.sweep();
    }
}

/// `FINAL` and `SAMPLE` after a table: `sqlparser` would take the words for the table's alias.
pub(super) fn modifiers(list: &mut List, scan: &Scan) {
    for table in &scan.tables {
        if let Some(span) = &table.is_final {
            drop_bytes(list, FormKind::Final, span);
        }
        if let Some(span) = &table.sample {
            drop_bytes(list, FormKind::Sample, span);
        }
    }
    list.sweep();
}

fn drop_bytes(list: &mut List, form: FormKind, span: &std::ops::Range<usize>) {
    let from = list.forms.partition_point(|form| form.start < span.start);
    let to = list.forms.partition_point(|form| form.start < span.end);
    list.drop(form, from, to);
}

/// `SETTINGS a = 1, b` of the statement and of subqueries.
pub(super) fn settings(list: &mut List) {
    let mut at = 0;
    while at < list.forms.len() {
        let starts = list.is_word(at, "settings")
            && list.is_name(at + 1)
            && (list.is(at + 2, &Token::Eq) || (at > 0 && list.ends_operand(at - 1)))
            && !list.before_is_any(at, &["as"]);
        if starts {
            let end = list.find(at, |list, at| {
                list.is_any(at, &["union", "except", "intersect", "format"])
            });
            list.drop(FormKind::Settings, at, end);
            at = end;
        }
        at += 1;
    }
    list.sweep();
}

/// `view(SELECT …)` is the subquery in it.
pub(super) fn views(list: &mut List, scan: &Scan) {
    for called in &scan.table_functions {
        if called.name.eq_ignore_ascii_case("view") {
            drop_bytes(list, FormKind::View, &called.span);
        }
    }
    list.sweep();
}
