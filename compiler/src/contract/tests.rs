use super::{Change, compare, contracts};
use crate::lineage::lineage;
use crate::project::SourceTree;

const WEB: (&str, &str) = (
    "web.datasource",
    "SCHEMA >\n    `day` Date,\n    `user` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

/// The changes between an endpoint of each of these statements, with types where they are given.
fn changes(old: &str, new: &str, types: Option<[&[(&str, &str)]; 2]>) -> Vec<Change> {
    let mut versions = [old, new].into_iter().enumerate().map(|(at, sql)| {
        let pipe = format!("NODE n\nSQL >\n    %\n    {sql}\n\nTYPE endpoint\n");
        let files = [WEB, ("p.pipe", &pipe)].map(|(name, text)| (name.to_owned(), text.to_owned()));
        let (plan, diagnostics) = crate::compile(SourceTree::new(files));
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let described = types.iter().map(|types| {
            let columns = types[at].iter();
            let columns =
                columns.map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned()));
            ("p".to_owned(), columns.collect())
        });
        contracts(&plan, &lineage(&plan), &described.collect())
    });
    let (old, new) = (versions.next(), versions.next());
    compare(&old.expect("a version"), &new.expect("a version"))
}

#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    let found = changes(old, new, None);
    let found: Vec<String> = found.iter().map(shown).collect();
    assert_eq!(found, expected, "{old} → {new}");
}

fn shown(change: &Change) -> String {
    let mark = if change.breaking { "breaking: " } else { "" };
    format!("{mark}{}", change.message)
}

#[test]
fn columns_are_compared_by_name() {
    check(
        "SELECT day, user FROM web",
        "SELECT day, user FROM web WHERE user != ''",
        &[],
    );
    check(
        "SELECT day, user FROM web",
        "SELECT day, user AS who FROM web",
        &[
            "breaking: `p` no longer gives column `user`",
            "`p` gives a new column `who`",
        ],
    );
    check(
        "SELECT day, user FROM web",
        "SELECT user, day FROM web",
        &[
            "the columns of `p` come in another order: user, day; formats without names, such as CSV, show it",
        ],
    );
    check(
        "SELECT day, user FROM web",
        "SELECT user, * APPLY(toString) FROM web",
        &["not every column of `p` is known in the new version"],
    );
}

#[test]
fn types_are_compared_where_an_engine_told_them() {
    let retyped = |old: &str, new: &str| {
        let sql = "SELECT day FROM web";
        let found = changes(sql, sql, Some([&[("day", old)], &[("day", new)]]));
        let found: Vec<String> = found.iter().map(shown).collect();
        found.join("; ")
    };
    assert_eq!(retyped("Date", "Date"), "");
    assert_eq!(
        retyped("UInt32", "String"),
        "breaking: column `day` of `p` is `String` and was `UInt32`"
    );
    assert_eq!(
        retyped("Array(LowCardinality(String))", "Array(String)"),
        "column `day` of `p` is `Array(String)` and was `Array(LowCardinality(String))`"
    );
    assert_eq!(
        retyped("Nullable(Date)", "Date"),
        "column `day` of `p` is `Date` and was `Nullable(Date)`"
    );
    assert!(retyped("Date", "Nullable(Date)").starts_with("breaking"));
}

#[test]
fn parameters_are_compared_by_what_a_request_may_say() {
    let with = |parameter: &str| {
        format!("SELECT day FROM web WHERE user = toString({{{{ {parameter} }}}})")
    };
    let check = |old: &str, new: &str, expected: &[&str]| check(&with(old), &with(new), expected);
    check(
        "String(who, 'x')",
        "String(who, 'y')",
        &["the default of parameter `who` of `p` is \"y\" and was \"x\""],
    );
    check(
        "String(who, 'x')",
        "String(name, 'x')",
        &[
            "breaking: parameter `who` of `p` has no effect any more",
            "`p` has a new parameter `name`, which may be given",
        ],
    );
    check(
        "String(who, 'x')",
        "String(who, required=True)",
        &["breaking: parameter `who` of `p` must be given now"],
    );
    check(
        "Int32(a, 1)",
        "Int64(a, 1)",
        &["parameter `a` of `p` is `Int64` and was `Int32`"],
    );
    check(
        "String(a, '1')",
        "Int32(a, 1)",
        &[
            "breaking: parameter `a` of `p` is `Int32` and was `String`",
            "the default of parameter `a` of `p` is 1 and was \"1\"",
        ],
    );
    check(
        "String(a, 'x', enum=['x', 'y'])",
        "String(a, 'x', enum=['x'])",
        &["breaking: parameter `a` of `p` takes \"x\"; it took \"x\", \"y\""],
    );
    check(
        "String(a, 'x', enum=['x'])",
        "String(a, 'x')",
        &["parameter `a` of `p` takes any value; it took \"x\""],
    );
}

#[test]
fn a_parameter_must_be_given_if_requests_without_it_get_an_error() {
    let old = "SELECT day FROM web WHERE user = {{ String(who, 'x') }}";
    let check = |added: &str, expected: &[&str]| check(old, &format!("{old} {added}"), expected);
    let must = "breaking: `p` has a new parameter `a`, which must be given";
    let may = "`p` has a new parameter `a`, which may be given";
    for added in [
        "AND user != {{ String(a) }}",
        "AND user != {{ String(a, required=False) }}",
        "AND user IN {{ Array(a) }}",
        "LIMIT {{ a }}",
        "ORDER BY {{ symbol(a) }}",
        "{% if Int32(a) > 3 %} LIMIT 1 {% end %}",
        "{% if who == 'x' %} AND user != {{ String(a) }} {% end %}",
        "{% if not defined(a) %} {{ error('a is required') }} {% end %}",
        "{% if a is None %} {{ custom_error({'error': 'a'}) }} {% end %}",
        "{% if defined(who) and Int32(a) > 1 %} AND 1 {% end %}",
    ] {
        check(added, &[must]);
    }
    for added in [
        "{% if defined(a) %} AND user != {{ String(a, required=True) }} {% end %}",
        "{% if a %} LIMIT {{ Int32(a) }} {% end %}",
        "{% if a == 'x' %} AND user != {{ String(a) }} {% end %}",
        "{% if not defined(a) %} AND 1 {% else %} AND user != {{ String(a) }} {% end %}",
        "{% if defined(who) and not defined(a) %} {% elif defined(a) and Int32(a) > 3 %} LIMIT 1 {% end %}",
        "AND {{ String(a) if defined(a) else 'x' }} = 'x'",
        "{% if a is not None and a != 'x' %} AND user != {{ String(a) }} {% end %}",
        "{% try %} AND user != {{ String(a) }} {% except %} {% end %}",
        "AND user IN {{ Array(a, 'String', 'x') }}",
        "AND {{ sql_and(user__in=Array(a, defined=False)) }}",
        "{% if defined(a) and a == 'y' %} {{ error('not y') }} {% end %}",
    ] {
        check(added, &[may]);
    }
    // A new parameter that only requests with another new one need is asked of nobody who calls the old version.
    check(
        "{% if defined(a) %} AND user != {{ String(b) }} {% end %}",
        &["`p` has a new parameter `b`, which may be given", may],
    );
    check(
        "{% if defined(a) and not defined(who) %} {{ error('who') }} {% end %}",
        &[may],
    );
    check(
        "{% if not defined(a) and not defined(who) %} {{ error('a or who') }} {% end %}",
        &[must, "breaking: parameter `who` of `p` must be given now"],
    );
}

#[test]
fn demands_that_requests_meet_already_are_no_change() {
    let either = "SELECT {% if not defined(a) and not defined(b) %}{{ error('a or b') }}{% end %} day FROM web {% if defined(a) %} LIMIT {{ Int32(a) }} {% end %} {% if defined(b) %} LIMIT {{ Int32(b) }} {% end %}";
    let first = "SELECT day FROM web LIMIT {{ Int32(a) }}";
    check(either, either, &[]);
    check(
        first,
        either,
        &[
            "`p` has a new parameter `b`, which may be given",
            "parameter `a` of `p` need not be given any more",
        ],
    );
    check(
        "SELECT day FROM web {% if defined(b) %} LIMIT {{ Int32(b) }} {% end %}",
        "SELECT day FROM web LIMIT {{ Int32(b) }}",
        &["breaking: parameter `b` of `p` must be given now"],
    );
    check(
        "SELECT day FROM web LIMIT {{ Int32(b) }}",
        "SELECT day FROM web LIMIT {{ Int32(b, 5) }}",
        &["parameter `b` of `p` need not be given any more"],
    );
}

#[test]
fn endpoints_come_go_and_change_their_names() {
    let version = |pipes: &[(&str, &str)]| {
        let pipes = pipes.iter().map(|(name, sql)| {
            let text = format!("NODE n\nSQL >\n    {sql}\n\nTYPE endpoint\n");
            ((*name).to_owned(), text)
        });
        let web = std::iter::once((WEB.0.to_owned(), WEB.1.to_owned()));
        let (plan, _) = crate::compile(SourceTree::new(web.chain(pipes)));
        contracts(&plan, &lineage(&plan), &std::collections::BTreeMap::new())
    };
    let old = version(&[
        ("a.pipe", "SELECT day FROM web"),
        ("b.pipe", "SELECT user FROM web"),
    ]);
    let new = version(&[
        ("c.pipe", "SELECT user FROM web"),
        ("d.pipe", "SELECT 1 AS one"),
    ]);
    let found: Vec<String> = compare(&old, &new).iter().map(shown).collect();
    assert_eq!(
        found,
        [
            "breaking: endpoint `a` is gone",
            "breaking: endpoint `b` is now called `c`",
            "endpoint `d` is new"
        ]
    );
}
