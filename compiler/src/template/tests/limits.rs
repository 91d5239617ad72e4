//! No template takes long, whatever it is given: what walks through a value takes steps for all of it.

use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::json;

use super::{DEFAULT_STEPS, RenderContext, call, compile, outcome, values};

/// So many different items that nothing may be done with each of them and each other.
fn items() -> serde_json::Value {
    let items: Vec<String> = (0..40_000).map(|item: u32| item.to_string()).collect();
    json!(items.join(","))
}

/// The same for a tenth of the steps, and so of the time.
fn assert_takes_too_long(text: &str, pairs: &[(&str, serde_json::Value)]) {
    let context = RenderContext {
        steps: DEFAULT_STEPS / 10,
        ..RenderContext::default()
    };
    let outcome = outcome(&compile(text), &values(pairs), &context);
    let is_limit = outcome.starts_with("limit_exceeded");
    assert!(
        is_limit && outcome.ends_with("takes too many steps"),
        "{text}: {outcome}"
    );
}

#[test]
fn what_is_done_with_each_item_of_a_list_takes_steps_for_each() {
    let items = [("a", items())];
    for text in [
        "{% set seen = [] %}{% for x in a.split(',') %}{% if x not in seen %}{% set seen.append(x) %}{% end %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = l.count(x) %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = l.index('39999') %}{% end %}",
        "{% set l = a.split(',') %}{% for x in range(40000) %}{% set y = l.insert(0, x) %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = l == l %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = min(l) %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = sorted(l) %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = x in a %}{% end %}",
        "{% set l = a.split(',') %}{% for x in l %}{% set y = len(a) %}{% end %}",
        "{% set s = set(a.split(',')) %}{% for x in s %}{% set y = s & s %}{% end %}",
        "{% for x in range(len(a)) %}{% set y = a[x] %}{% end %}",
        "{% for x in range(1000) %}{% set y = a.strip(a) %}{% end %}",
    ] {
        assert_takes_too_long(text, &items);
    }
}

#[test]
fn what_looks_at_one_place_takes_no_steps_for_the_others() {
    let items = [("a", items())];
    for (text, expected) in [
        (
            "{% set s = set(a.split(',')) %}{% set n = [len(s & s), len(s | s), len(s - s), len(s ^ {'x'}), s == s] %}{{ n }}",
            "[40000, 40000, 0, 40001, true]",
        ),
        (
            "{% set s = set(a.split(',')) %}{% set n = 0 %}{% for x in a.split(',') %}{% if x in s %}{% set n = n + 1 %}{% end %}{% end %}{{ n }}",
            "40000",
        ),
        (
            "{% set l = a.split(',') %}{% set n = 0 %}{% for x in range(40000) %}{% if l[x] and len(l) == 40000 %}{% set n = n + 1 %}{% end %}{% end %}{{ n }}",
            "40000",
        ),
        (
            "{% set d = {} %}{% for x in a.split(',') %}{% set d[x] = 1 %}{% end %}{% set n = 0 %}{% for x in a.split(',') %}{% set n = n + d.get(x, 0) + d[x] %}{% end %}{{ n }}",
            "80000",
        ),
        (
            "{% set l = [] %}{% for x in a.split(',') %}{% set l.append(x) %}{% end %}{% for x in range(40000) %}{% set y = l.pop() %}{% end %}{{ len(l) }}",
            "0",
        ),
    ] {
        assert_eq!(call(text, &items), expected, "{text}");
    }
}

#[test]
fn lists_that_share_their_items_are_as_long_as_they_print() {
    let nested = "{% set a = [1] %}{% for i in range(6) %}{% set a = [a] * 60 %}{% end %}{% set b = [1] %}{% for i in range(6) %}{% set b = [b] * 60 %}{% end %}";
    for text in [
        "{{ a }}",
        "{% set x = str(a) %}",
        "{% set x = repr(a) %}",
        "{% set x = a == b %}",
        "{% set x = a < b %}",
        "{% set x = a in [b] %}",
        "{% set x = [b].index(a) %}",
        "{% set x = sorted([a, b]) %}",
        "{% set x = f'{a}' %}",
        "{% set x = '%s' % a %}",
        "{% set x = '%s' % (a,) %}",
        "{{ Array(a) }}",
        "{{ custom_error({'a': a}) }}",
        "{% set x = {'a': a} == {'a': b} %}",
    ] {
        assert_takes_too_long(&format!("{nested}{text}"), &[]);
    }
    let nested = "{% set a = (1,) %}{% for i in range(6) %}{% set a = (a,) * 60 %}{% end %}";
    for text in [
        "{% set x = {a: 1} %}",
        "{% set x = {a} %}",
        "{% set x = {}.get(a) %}",
        "{% set x = a in {} %}",
        "{% set x = {} %}{% set x[a] = 1 %}",
    ] {
        assert_takes_too_long(&format!("{nested}{text}"), &[]);
    }
    assert_snapshot!(call("{% set a = [1] %}{% for i in range(3) %}{% set a = [a] * 2 %}{% end %}{% set b = [a == a, {1, 2} == {2, 1.0}, 1 in {True}, 'x' in {'y'}] %}{{ a }} {{ b }}", &[]), @"[[[[1], [1]], [[1], [1]]], [[[1], [1]], [[1], [1]]]] [true, true, true, false]");
}

#[test]
fn a_long_row_of_conditions_is_explored_at_once_and_as_far_as_can_be() {
    let explored = |count: usize| {
        let mut conditions = String::new();
        for at in 0..count {
            let word = if at == 0 { "if" } else { "elif" };
            let _ = write!(
                conditions,
                "{{% {word} defined(p{at}) and (a == '{at}' or b == '{at}') %}}SELECT {at}"
            );
        }
        let template = compile(&format!("{conditions}{{% else %}}SELECT 'none'{{% end %}}"));
        let outcomes = template.branches(&RenderContext::check());
        outcomes.into_iter().flatten().count()
    };
    assert_eq!(explored(40), 41);
    assert_eq!(explored(2000), 64);
    let many: Vec<String> = (0..25).map(|at| format!("defined(p{at})")).collect();
    let many = many.join(" and ");
    let text = format!(
        "{{% if {many} and (defined(b) or defined(c)) %}}SELECT 1{{% else %}}SELECT 2{{% end %}}"
    );
    let outcomes = compile(&text).branches(&RenderContext::check());
    let outcomes: Vec<String> = outcomes
        .into_iter()
        .map(|outcome| {
            outcome.map_or_else(|error| error.to_string(), |found| found.sql.into_text())
        })
        .collect();
    assert_eq!(outcomes, ["SELECT 2", "SELECT 1"]);
}
