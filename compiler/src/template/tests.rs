//! What templates do, by small examples. The reference's own answers are in `tests/template_conformance.rs`, the book's examples in `tests/book_templates.rs`.

mod limits;

use insta::assert_snapshot;
use pipewright_grammar::source::{SourceId, Span};
use serde_json::json;

use super::*;
use crate::mapped_text::PieceKind;

fn compile(text: &str) -> Template {
    Template::compile_text(text, Span::new(SourceId(0), 100, 100 + text.len())).0
}

fn values(pairs: &[(&str, serde_json::Value)]) -> Values {
    pairs
        .iter()
        .map(|(name, value)| (*name, value.clone()))
        .collect()
}

fn outcome(template: &Template, values: &Values, context: &RenderContext<'_>) -> String {
    match template.render(values, context) {
        Ok(rendered) => rendered.sql.into_text(),
        Err(error) => format!("{}: {error}", error.kind.name()),
    }
}

fn call(text: &str, pairs: &[(&str, serde_json::Value)]) -> String {
    outcome(&compile(text), &values(pairs), &RenderContext::default())
}

fn check(text: &str) -> String {
    outcome(&compile(text), &Values::new(), &RenderContext::check())
}

#[test]
fn a_body_without_percent_sign_renders_to_itself() {
    let body = "SELECT {{ not_a_tag }}";
    let (template, diagnostics) = Template::compile(body, Span::new(SourceId(3), 7, 29));
    assert!(diagnostics.is_empty() && template.is_static());
    let rendered = template
        .render(&Values::new(), &RenderContext::default())
        .unwrap();
    assert_eq!(
        rendered.sql,
        MappedText::verbatim(body, Span::new(SourceId(3), 7, 29))
    );
}

#[test]
fn every_byte_of_the_sql_knows_its_place() {
    let body = "%\nSELECT {{Int32(a, 1)}} FROM {{table('t')}}";
    let (template, _) = Template::compile(body, Span::new(SourceId(0), 50, 50 + body.len()));
    let rendered = template
        .render(&Values::new(), &RenderContext::default())
        .unwrap();
    assert_eq!(rendered.sql.text(), "\nSELECT toInt32('1') FROM t");
    let kinds: Vec<_> = rendered
        .sql
        .pieces()
        .map(|(range, piece)| (range, piece.kind, piece.origin))
        .collect();
    assert_eq!(
        kinds,
        [
            (
                0..8,
                PieceKind::Verbatim,
                Some(Span::new(SourceId(0), 51, 59))
            ),
            (
                8..20,
                PieceKind::Literal,
                Some(Span::new(SourceId(0), 59, 74))
            ),
            (
                20..26,
                PieceKind::Verbatim,
                Some(Span::new(SourceId(0), 74, 80))
            ),
            (
                26..27,
                PieceKind::Structural,
                Some(Span::new(SourceId(0), 80, 94))
            ),
        ]
    );
}

#[test]
fn messages_name_the_parameter_and_the_place() {
    let template = compile("LIMIT {{Int32(limit, 10)}}");
    let error = template
        .render(
            &values(&[("limit", json!("abc"))]),
            &RenderContext::default(),
        )
        .unwrap_err();
    assert_snapshot!(error, @"parameter limit: 'abc' is not an Int32");
    assert_eq!(error.parameter.as_deref(), Some("limit"));
    assert_eq!(error.span, Some(Span::new(SourceId(0), 108, 124)));
    assert_snapshot!(call("{{String(name)}}", &[]), @"missing_required: parameter name: a value of type String is required");
    assert_snapshot!(call("{{Array(ids, 'Int32')}}", &[("ids", json!("1,x"))]), @"wrong_type: parameter ids: element 1, 'x', is not of type Int32");
    assert_snapshot!(call("{% for x in split_to_array(ids) %}{{Int64(x)}}{% end %}", &[("ids", json!("q"))]), @"wrong_type: variable x: 'q' is not an Int64");
}

#[test]
fn a_percent_sign_is_kept_but_escaped_in_like_patterns() {
    let percent = [("x", json!("50%"))];
    assert_snapshot!(call("a = {{String(x)}}", &percent), @"a = '50%'");
    assert_snapshot!(call("a LIKE {{String(x)}}", &percent), @r"a LIKE '50\%'");
    assert_snapshot!(call("a not ilike {{x}}", &percent), @r"a not ilike '50\%'");
    assert_snapshot!(call("like(a, {{x}})", &percent), @r"like(a, '50\%')");
    assert_snapshot!(call("a LIKE '%' || {{x}} || '%'", &percent), @r"a LIKE '%' || '50\%' || '%'");
    assert_snapshot!(call("a LIKE concat('%', {{x}}, '%')", &percent), @r"a LIKE concat('%', '50\%', '%')");
    assert_snapshot!(call("a LIKE {{sql_unescape('%' + String(x) + '%', '%')}}", &percent), @"a LIKE '%50%%'");
    let others = [("x", json!("a_b\\c"))];
    assert_snapshot!(call("a LIKE {{String(x)}} AND b = {{x}}", &others), @r"a LIKE 'a\_b\\\\c' AND b = 'a_b\\c'");
    assert_snapshot!(call("a = 'like ' AND b = {{x}}", &percent), @"a = 'like ' AND b = '50%'");
}

#[test]
fn arrays_are_escaped_once() {
    assert_snapshot!(call("{{Array(a, 'String')}}", &[("a", json!("50%,it's,`"))]), @r"['50%','it\'s','\`']");
}

#[test]
fn structures_print_as_literals_of_clickhouse() {
    let given = [("a", json!(["it's", true, null, 1.5, {"k": "v\""}]))];
    assert_snapshot!(call("{{a}}", &given), @r#"['it\'s', true, NULL, 1.5, {'k': 'v\"'}]"#);
    assert_snapshot!(call("{{split_to_array(a)}}", &[("a", json!("'),(1"))]), @r"['\')', '(1']");
}

#[test]
fn table_gives_only_names_that_exist() {
    let context = RenderContext {
        tables: Some(&|name| name == "events"),
        ..RenderContext::default()
    };
    let template = compile("FROM {{table(a)}}");
    let with = |name: &str| outcome(&template, &values(&[("a", json!(name))]), &context);
    assert_snapshot!(with("events"), @"FROM events");
    assert_snapshot!(with("other"), @"unknown_table: 'other' is not the name of a data source or pipe");
    assert_snapshot!(with("(SELECT 1)"), @"unknown_table: parameter a: '(SELECT 1)' is not the name of a data source or pipe");
    assert_snapshot!(with("a, b"), @"unknown_table: parameter a: 'a, b' is not the name of a data source or pipe");
}

#[test]
fn columns_takes_only_known_functions_and_quotes_odd_aliases() {
    assert_snapshot!(call("{{columns(a, fn=f)}}", &[("a", json!("x")), ("f", json!("sum(1)) or (1"))]), @"unknown_aggregate: parameter a: 'sum(1)) or (1' is not a function that columns() knows");
    assert_snapshot!(call("{{columns(a, fn='sum')}}", &[("a", json!("x, y) FROM secrets --"))]), @"sum(`x`) as x,sum(`y) FROM secrets --`) as `y) FROM secrets --`");
}

#[test]
fn sql_unescape_cannot_reopen_a_literal() {
    for what in ["'", "\\", "\\'", "`", "\"", "%'"] {
        let text = call(
            "{{sql_unescape(a, b)}}",
            &[("a", json!("x' or 1=1 -- \\%'")), ("b", json!(what))],
        );
        assert_eq!(text, r"'x\' or 1=1 -- \\%\''", "{what}");
    }
}

#[test]
fn comments_of_settings_cannot_be_broken_out_of() {
    assert_snapshot!(call("{{backend_hint(a)}}SELECT 1", &[("a", json!("x\nDROP TABLE t; --"))]), @"
    -- backend_hint x DROP TABLE t; --
    SELECT 1
    ");
    let rendered = compile("{{max_threads(4)}}{{activate('analyzer')}}{{cache_ttl('5s')}}")
        .render(&Values::new(), &RenderContext::default())
        .unwrap();
    assert_eq!(rendered.settings.max_threads, Some(4));
    assert_eq!(rendered.settings.activate, ["analyzer"]);
    assert_eq!(rendered.settings.cache_ttl.as_deref(), Some("5s"));
}

#[test]
fn secrets_are_bound_and_never_printed() {
    let secrets = ["k".to_owned()];
    let context = RenderContext {
        secrets: &secrets,
        ..RenderContext::default()
    };
    let rendered = compile("{{tb_secret('k')}} {{tb_var('k')}}")
        .render(&Values::new(), &context)
        .unwrap();
    assert_snapshot!(rendered.sql.text(), @"{k: String} {k: String}");
    assert_eq!(rendered.secrets, ["k"]);
    assert_snapshot!(call("{{tb_secret('k')}}", &[]), @"secret_not_found: there is no secret 'k'");
    assert_snapshot!(call("{{tb_secret(a, 'd')}}", &[("a", json!("k: String} OR 1=1 --"))]), @"'d'");
}

#[test]
fn enum_is_enforced() {
    assert_snapshot!(call("{{String(o, 'asc', enum=['asc', 'desc'])}}", &[("o", json!("desc"))]), @"'desc'");
    assert_snapshot!(call("{{String(o, 'asc', enum=['asc', 'desc'])}}", &[("o", json!("x"))]), @"not_in_enum: parameter o: 'x' is not one of 'asc', 'desc'");
    assert_snapshot!(call("{{Array(o, 'Int32', enum=[1, 2])}}", &[("o", json!("1,3"))]), @"not_in_enum: parameter o: 3 is not one of 1, 2");
    assert_snapshot!(call("{{Enum(o, enum=['a'])}}", &[("o", json!("a"))]), @"'a'");
}

#[test]
fn types_beyond_the_reference_are_checked() {
    let text = "{{Decimal64(d, scale=2)}} {{UUID(u)}} {{IPv4(i)}} {{IPv6(j)}} {{Tuple(t, 'Int32,String')}} {{Map(m, 'String', 'UInt8')}}";
    let given = [
        ("d", json!("12.5")),
        ("u", json!("61F0C404-5CB3-11E7-907B-A6006AD3DBA0")),
        ("i", json!("10.0.0.1")),
        ("j", json!("::1")),
        ("t", json!("1,it's")),
        ("m", json!("{\"k\": 1}")),
    ];
    assert_snapshot!(call(text, &given), @r"CAST('12.5', 'Decimal(18, 2)') toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') toIPv4('10.0.0.1') toIPv6('::1') tuple(toInt32('1'),'it\'s') map('k',toUInt8('1'))");
    assert_snapshot!(call("{{UUID(u)}}", &[("u", json!("x"))]), @"wrong_type: parameter u: 'x' is not an UUID");
    assert_snapshot!(call("{{IPv4(u)}}", &[("u", json!("1.2.3.400"))]), @"wrong_type: parameter u: '1.2.3.400' is not an IPv4");
    assert_snapshot!(call("{{Decimal32(u)}}", &[("u", json!("12345678901"))]), @"wrong_type: parameter u: '12345678901' is not a Decimal32");
    assert_snapshot!(check("{{UUID(u)}} {{IPv4(i)}}"), @"toUUID('00000000-0000-0000-0000-000000000000') toIPv4('0.0.0.0')");
}

#[test]
fn loops_break_continue_and_have_else() {
    assert_snapshot!(call("{% for x in [1,2,3] %}{% if x == 2 %}{% continue %}{% end %}{{x}}{% else %}e{% end %}", &[]), @"13e");
    assert_snapshot!(call("{% for x in [1,2,3] %}{% if x == 2 %}{% break %}{% end %}{{x}}{% else %}e{% end %}", &[]), @"1");
    assert_snapshot!(call("{% set n = 0 %}{% while n < 5 %}{% set n += 1 %}{% if n == 3 %}{% break %}{% end %}{{n}}{% end %}", &[]), @"12");
    assert_snapshot!(call("{% for x in [1,2] %}{{x}}{% if not loop.last %},{% end %}{% end %}", &[]), @"1,2");
    assert_snapshot!(call("{% for x in [1,2] %}{% try %}{% if x == 1 %}{% continue %}{% end %}{{Int32('x')}}{% except %}E{{x}}{% end %}{% end %}", &[]), @"E2");
    assert_snapshot!(call("{% try %}{% for x in [1] %}{{Int32('x')}}{% end %}{% except KeyError %}k{% except %}bad{% finally %}!{% end %}", &[]), @"bad!");
}

#[test]
fn work_and_output_are_bounded() {
    let call = |text: &str, given: &[(&str, serde_json::Value)]| {
        let context = RenderContext {
            steps: 20_000,
            ..RenderContext::default()
        };
        outcome(&compile(text), &values(given), &context)
    };
    assert_snapshot!(call("{% while True %}{% end %}", &[]), @"limit_exceeded: the template takes too many steps");
    assert_snapshot!(call("{% set x = 'a' * 10000000000 %}", &[]), @"limit_exceeded: the template takes too many steps");
    assert_snapshot!(call("{% for x in range(100000000000) %}{% end %}", &[]), @"limit_exceeded: the template takes too many steps");
    assert_snapshot!(call("{% try %}{% while True %}{% end %}{% except %}caught{% end %}", &[]), @"limit_exceeded: the template takes too many steps");
    assert_snapshot!(call("{% set x = [] %}{% set x.append(x) %}{{x}}", &[]), @"type_error: variable x: the value is nested too deeply to be printed");
    assert_snapshot!(call("{% set x = [] %}{% while True %}{% set x = [x] %}{% end %}", &[]), @"limit_exceeded: the template takes too many steps");
    assert_snapshot!(call("{% set x = [] %}{% set x.append(x) %}{% if x == x %}equal{% else %}unknown{% end %}", &[]), @"unknown");
    let context = RenderContext {
        output_limit: 10,
        ..RenderContext::default()
    };
    assert_snapshot!(outcome(&compile("{{a}}"), &values(&[("a", json!("x".repeat(20)))]), &context), @"limit_exceeded: the SQL is longer than 10 bytes");
}

#[test]
fn parameters_are_found_without_rendering() {
    let template = compile(
        "SELECT {{columns(cols, 'a')}} {% for x in split_to_array(tags) %}{{x}}{% end %}\
         {% set y = 1 %}{{y}} LIMIT {{Int32(n, 10, description='rows', required=False, example=5)}} {{Int32(n)}} {{q1}}\
         {{Array(ids, 'UInt64')}} {{String(o, enum=['a', 'b'])}} {{[z for z in more]}}",
    );
    let listed: Vec<String> = template
        .parameters()
        .iter()
        .map(|one| {
            format!(
                "{} {} {:?} {:?}",
                one.name, one.data_type, one.default, one.used_in
            )
        })
        .collect();
    assert_snapshot!(listed.join("\n"), @r#"
    cols String None Some(FunctionCall)
    tags String None Some(FunctionCall)
    n Int32 Some(Number(10)) None
    q1 String None None
    ids Array(UInt64) None None
    o String None None
    more String None None
    "#);
    assert_eq!(
        template.parameters()[2].description.as_deref(),
        Some("rows")
    );
    assert_eq!(
        template.parameters()[5].enumeration,
        [json!("a"), json!("b")]
    );
}

#[test]
fn parameters_of_several_nodes_are_merged() {
    let (first, second) = (
        compile("{{a}} {{Int32(b)}}"),
        compile("{{Date(a, description='day')}} {{Int32(b, 3)}}"),
    );
    let merged = merge_parameters(first.parameters().iter().chain(second.parameters()));
    let listed: Vec<String> = merged
        .iter()
        .map(|one| format!("{} {} {:?}", one.name, one.data_type, one.default))
        .collect();
    assert_snapshot!(listed.join("\n"), @"
    a Date None
    b Int32 Some(Number(3))
    ");
}

#[test]
fn every_branch_is_rendered_for_checks() {
    let template = compile(
        "{% if defined(a) %}A{% elif defined(b) and c == 'x' %}B{% else %}C{% end %}\
         {% if not defined(a) %}D{% if x > 1 %}E{% end %}{% end %}{{column('u') if defined(b) else column('v')}} {{table('t')}}",
    );
    let sql: Vec<String> = template
        .branches(&RenderContext::check())
        .into_iter()
        .map(|outcome| match outcome {
            Ok(rendered) => rendered.sql.into_text(),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_snapshot!(sql.join("\n"), @"
    parameter x: '>' not supported between instances of 'Placeholder' and 'int'; wrap the parameter in a type, such as `Int32(…)`
    CD`v` t
    A`u` t
    BD`u` t
    CDE`v` t
    A`v` t
    CD`u` t
    ");
    let tables: Vec<&str> = template.tables().iter().map(Spanned::as_str).collect();
    assert_eq!(tables, ["t"]);
}

#[test]
fn integers_of_json_keep_their_digits() {
    let call = |text: &str, json: &str| call(text, &[("j", json!(json))]);
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "170141183460469231731687303715884105727",
    ] {
        let json = format!("{{\"k\": [{number}]}}");
        assert_eq!(call("{{JSON(j)['k'][0]}}", &json), number);
    }
    let widest = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
    assert_eq!(call("{{JSON(j)}}", widest), format!("'{widest}'"));
    assert_eq!(
        call("{{Int256(j)}}", widest),
        format!("toInt256('{widest}')")
    );
}

#[test]
fn each_parameter_is_given_alone_too() {
    let rendered = |text: &str| {
        let template = compile(text);
        let outcomes = template.branches(&RenderContext::check()).into_iter();
        let texts = outcomes.map(|outcome| outcome.expect(text).sql.into_text());
        texts.collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(rendered("{% if defined(a) %}A{% end %}{% if defined(b) and not defined(c) %}B{% end %}{% if defined(c) %}C{% end %}."), @"
    .
    AC.
    B.
    A.
    C.
    ");
    // What a value is compared with may exclude that it is missing, or another comparison.
    assert_snapshot!(rendered("{% if defined(a) %}A{% end %}{% if a == 'x' %}X{% end %}{% if a == 'y' %}Y{% end %}."), @"
    .
    AXY.
    A.
    ");
}

#[test]
fn a_lambda_is_refused_where_it_would_be_called() {
    for (text, place) in [
        ("{% set y = sorted(x, key=lambda a: a) %}", 125),
        ("{% set y = list(map(lambda a: a, x)) %}", 120),
        ("{% if (lambda: 1)() %}{% end %}", 107),
        ("{% set f = lambda a: a %}{% set y = f(1) %}", 111),
        ("{% set y = x.sort(key=lambda a: a) %}", 122),
    ] {
        let template = compile(text);
        let error = template.error().expect(text);
        let start = error.span.map(|span| span.start);
        assert_eq!(
            (error.kind.name().as_str(), start),
            ("security_expression", Some(place)),
            "{text}"
        );
        assert!(
            error.to_string().contains("a lambda cannot be called"),
            "{text}"
        );
    }
    // Where it is only tested, it is true.
    assert_eq!(call("{% if lambda: 1 %}t{% end %}", &[]), "t");
}

#[test]
fn the_secrets_that_a_template_names_are_known_without_rendering() {
    let template = compile(
        "{% if a %}{{tb_secret('one')}}{% else %}{{tb_var('two', 'x')}}{{tb_secret('o' + 'ne')}}{{tb_secret(a)}}{% end %}",
    );
    assert_eq!(template.secret_names().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn what_is_refused_is_refused_when_compiled() {
    let refused = |text: &str| {
        let (_, diagnostics) = Template::compile_text(text, Span::new(SourceId(0), 0, text.len()));
        diagnostics
            .iter()
            .map(|one| format!("{} {:?}: {}", one.code, one.primary(), one.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_snapshot!(refused("{{ a or b }}"), @"template-refused Some(0@3..9): `and` or `or` is not allowed in `{{ }}`; use it in a `{% set %}` or `{% if %}`");
    assert_snapshot!(refused("{{ Int33(a) }}"), @"template-refused Some(0@3..8): `Int33` is not a function of `{{ }}`; did you mean `Int32`?");
    assert_snapshot!(refused("{% if a.__class__ %}{% end %}"), @"template-refused Some(0@8..17): the attribute `__class__` is not allowed");
    assert_snapshot!(refused("{% set import os %}"), @"template-set Some(0@0..19): `set` takes an assignment or an expression, no other statement");
    assert_snapshot!(refused("x {% if a %} y"), @"template-unclosed-block Some(0@2..12): the block opened on line 1 of the template has no `{% end %}`");
    assert_snapshot!(refused("{{String(format)}} {{String(token)}}"), @"
    template-reserved-name Some(0@9..15): `format` cannot be the name of a parameter
    template-reserved-name Some(0@28..33): `token` has another meaning in requests; choose another name
    ");
    assert_snapshot!(refused("{{ a }} {{ b"), @"template-tag Some(0@8..10): the expression is not closed: `}}` is missing");
}

#[test]
fn deep_and_long_input_is_refused_or_rendered_but_never_overflows() {
    for text in [
        "(".repeat(100_000),
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{{{{ {}1 }}}}", "-".repeat(5000)),
        format!("{{% if {}a %}}{{% end %}}", "not ".repeat(5000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(5000)),
        format!("{{% set x = 1{} %}}", "**1".repeat(5000)),
        format!("{{% set x = {} 1 %}}", "lambda: ".repeat(5000)),
        format!("{{% set x = 1{} %}}", " if 1 else 2".repeat(5000)),
        format!("{{{{ a{} }}}}", "[0]".repeat(5000)),
        "{% if a %}".repeat(5000),
        format!(
            "{}{}",
            "{% for x in a %}".repeat(39),
            "{% end %}".repeat(39)
        ),
        "{".repeat(5000),
        "{{{{{{".repeat(1000),
    ] {
        let template = compile(&text);
        let _ = template.render(&Values::new(), &RenderContext::check());
        let _ = template.branches(&RenderContext::check());
    }
}

#[test]
fn debug_render_answers_in_json() {
    assert_snapshot!(debug_render(r#"{"id": 1, "template": "a\n{{Int32(x)}}", "params": {"x": "y"}}"#), @r#"{"id":1,"error_kind":"wrong_type","error":{"message":"parameter x: 'y' is not an Int32","line":2,"column":3,"start":4,"end":12,"parameter":"x"},"params":[{"name":"x","type":"Int32","default":null}]}"#);
    assert_snapshot!(debug_render("{"), @r#"{"error_kind":"bad_request","error":{"message":"EOF while parsing an object at line 1 column 1"}}"#);
}

#[test]
fn what_a_long_row_of_branches_demands_is_found_in_one_pass() {
    let branches: Vec<String> = (1..3000)
        .map(|at| format!("{{% elif defined(p{at}) %}} {{{{Int32(q{at})}}}}"))
        .collect();
    let branches = branches.concat();
    let template = compile(&format!(
        "{{% if defined(p0) %}} {{{{Int32(q0)}}}} {branches} {{% else %}} {{{{error('none')}}}} {{% end %}}"
    ));
    let demands = template.demands();
    // Each value where its branch is taken, and one of all that are asked for.
    assert_eq!(demands.len(), 3001);
    assert!(demands.iter().any(|demand| demand.any_of.len() == 3000));
}
