//! Every branch of a template counts: what is read in one branch only is a dependency, and what is wrong in one branch only is found.

use std::fmt::Write as _;

use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Template};
use pipewright_grammar::diagnostic::Severity;
use pipewright_grammar::source::{SourceId, Span};

/// What the endpoint of a pipe with this SQL reads, and what is said about it.
fn reads(sql: &str) -> (Vec<String>, Vec<(Severity, String)>) {
    let lines: Vec<String> = sql.lines().map(|line| format!("    {line}")).collect();
    let body = format!("{}\n", lines.join("\n"));
    let pipe = format!("NODE result\nSQL >\n    %\n{body}\nTYPE endpoint\n");
    let source = "SCHEMA >\n    `x` Int32\n";
    let (plan, diagnostics) = pipewright_compiler::compile(SourceTree::new([
        ("first.datasource".to_owned(), source.to_owned()),
        ("second.datasource".to_owned(), source.to_owned()),
        ("third.datasource".to_owned(), source.to_owned()),
        ("answer.pipe".to_owned(), pipe),
    ]));
    let edges = plan.graph.edges();
    let read = edges.into_iter().map(|(from, _, _)| from.to_string());
    let said = diagnostics
        .into_iter()
        .map(|one| (one.severity, one.message.to_string()));
    (read.collect(), said.collect())
}

#[test]
fn a_table_that_only_one_branch_reads_is_a_dependency() {
    for sql in [
        "SELECT x FROM {% if defined(other) %} second {% else %} first {% end %}",
        "SELECT x FROM first {% if Int32(deep, 0) > 3 %} WHERE x IN (SELECT x FROM second) {% end %}",
        "SELECT x FROM {% if mode == 'a' %} second {% elif mode == 'b' %} first {% else %} first {% end %}",
        "{% set name = 'first' %}{% if defined(other) %}{% set name = 'second' %}{% end %}SELECT x FROM {{table(name)}}",
        "SELECT x FROM {{ table('second') if defined(other) else table('first') }}",
        "SELECT x FROM first {% if not defined(all) and Boolean(more, 0) %} UNION ALL SELECT x FROM second {% end %}",
        "{% for name in ['first', 'second'] %}{% if defined(wide) or name == 'first' %}{% if name != 'first' %} UNION ALL {% end %}SELECT x FROM {{table(name)}}{% end %}{% end %}",
    ] {
        let (read, said) = reads(sql);
        assert_eq!(read, ["first", "second"], "{sql}: {said:?}");
        assert_eq!(said, [], "{sql}");
    }
}

#[test]
fn nested_branches_are_all_read() {
    let (read, said) = reads(
        "SELECT x FROM {% if defined(a) %}{% if defined(b) %} third {% else %} second {% end %}{% else %} first {% end %}",
    );
    assert_eq!(read, ["first", "second", "third"], "{said:?}");
}

#[test]
fn an_unknown_table_in_a_branch_that_defaults_do_not_take_is_found() {
    let (read, said) =
        reads("SELECT x FROM {% if defined(other) %} missing {% else %} first {% end %}");
    assert_eq!(read, ["first"]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].1.contains("missing"), "{said:?}");
}

#[test]
fn what_is_wrong_on_the_way_of_defaults_is_an_error_and_elsewhere_a_warning() {
    let (_, natural) = reads("SELECT x FROM first {% if not defined(off) %} ; SELECT 2 {% end %}");
    let (_, forced) = reads("SELECT x FROM first {% if defined(on) %} ; SELECT 2 {% end %}");
    assert_eq!(natural.len(), 1, "{natural:?}");
    assert_eq!(natural[0].0, Severity::Error);
    assert_eq!(forced.len(), 1, "{forced:?}");
    assert_eq!(forced[0].0, Severity::Warning);
}

#[test]
fn arguments_that_a_function_does_not_have_are_found_in_any_branch() {
    for call in [
        "{{ columns(show, 'x', description='which') }}",
        "{{ String(show, 'x', default='y') }}",
        "{{ Int32() }}",
    ] {
        let sql = format!(
            "SELECT x FROM first WHERE x = 1 {{% if defined(show) %}} OR x = {call} {{% end %}}"
        );
        let (_, said) = reads(&sql);
        assert_eq!(said.len(), 1, "{call}: {said:?}");
        assert_eq!(said[0].0, Severity::Warning, "{call}: {said:?}");
    }
    // What only a value makes wrong is not.
    let (_, said) = reads(
        "SELECT x FROM first WHERE x = 1 {% if defined(show) %} OR x = {{ Int32(show) }} {% end %}",
    );
    assert_eq!(said, []);
}

/// The requests that are found for a template, as they would stand in an address, each with what it renders to.
fn requests(text: &str) -> Vec<(String, String)> {
    let span = Span::new(SourceId(0), 0, text.len());
    let (template, diagnostics) = Template::compile_text(text, span);
    assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    let found = template.requests(&RenderContext::check()).into_iter();
    found
        .map(|(values, rendered)| {
            let values = values.iter().map(|(name, value)| {
                let value = value.as_str().expect("a text");
                format!("{name}={value}")
            });
            let words: Vec<&str> = rendered.sql.text().split_whitespace().collect();
            (values.collect::<Vec<_>>().join("&"), words.join(" "))
        })
        .collect()
}

#[test]
fn requests_are_found_that_lead_into_branches_which_values_choose() {
    for (text, found) in [
        (
            "{% if x == 'a' %} A {% elif x in ['b', 'c'] %} B {% else %} C {% end %}",
            &[("x=a", "A"), ("x=b", "B")][..],
        ),
        (
            "N {% if defined(x) and Int32(x) > 5 %} M {% if y != 'all' %} Y {% end %} {% end %}",
            &[("x=6", "N M Y"), ("x=6&y=all", "N M")],
        ),
        (
            "{% set unit = String(by, 'hour') %} {% if unit == 'week' %} W {% else %} H {% end %}",
            &[("by=week", "W")],
        ),
        (
            "{% if not defined(x) %} {{ error('x is missing') }} {% end %} A {% if x == '1' %} B {% end %}",
            &[("x=1", "A B")],
        ),
        (
            "{% for one in split_to_array(names, 'a') %} {% if one == 'z' %} Z {% else %} O {% end %} {% end %}",
            &[("names=z", "Z")],
        ),
        // Any other value leaves a gap there, which is a mistake of the request.
        (
            "A {% if defined(by) %} {% if by == 'a' %} B {% elif by == 'b' %} C {% end %} {% end %}",
            &[("by=a", "A B"), ("by=b", "A C")],
        ),
        // No request comes there, and nothing is chosen.
        ("{% if 1 == 2 %} A {% else %} B {% end %}", &[]),
        ("A {{ String(x, 'a') }}", &[]),
    ] {
        let requests = requests(text);
        let requests: Vec<(&str, &str)> = requests
            .iter()
            .map(|(values, text)| (values.as_str(), text.as_str()))
            .collect();
        assert_eq!(requests, found, "{text}");
    }
}

#[test]
fn looking_for_requests_ends_whatever_the_template_asks() {
    let mut text = String::new();
    for at in 0..400 {
        write!(
            text,
            "{{% if a{at} == 'x' and b{at} == 'y' and c{at} %}} A{at} {{% end %}}"
        )
        .expect("text");
    }
    let found = requests(&text);
    assert!(!found.is_empty() && found.len() <= 32, "{}", found.len());
}
