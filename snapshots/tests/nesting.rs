//! Nesting without an end, in every place that can be nested: each ends in findings with a place, without a crash, in a time that grows with the size.

use std::time::{Duration, Instant};

use pipewright_compiler::emit;
use pipewright_compiler::plan::RequestContext;
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Values};
use pipewright_grammar::diagnostic::{Diagnostic, Severity};

const HITS: &str = "SCHEMA >\n    `k` Int64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"k\"\n";

/// What is written before, between and after something that is nested.
const SQL: &[(&str, &str, &str, &str)] = &[
    ("brackets", "(", "1", ")"),
    ("arrays", "[", "1", "]"),
    ("mixed brackets", "([", "1", "])"),
    ("unclosed brackets", "(", "1", ""),
    ("closing brackets", "", "1", ")"),
    ("calls", "f(", "1", ")"),
    ("cases", "CASE WHEN 1 THEN ", "1", " ELSE 0 END"),
    ("conditions of cases", "CASE WHEN ", "1", " THEN 1 END"),
    ("scalar queries", "(SELECT ", "1", ")"),
    ("sets", "1 IN (SELECT ", "1", ")"),
    ("lists", "1 IN (", "1", ")"),
    ("negations", "NOT ", "1", ""),
    ("signs", "- ", "1", ""),
    ("sums", "1 + ", "1", ""),
    ("powers of words", "a AND ", "1", ""),
    ("texts", "'a' || ", "'b'", ""),
    ("ternaries", "a ? 1 : ", "1", ""),
    ("inner ternaries", "a ? ", "1", " : 0"),
    ("lambdas", "x -> ", "1", ""),
    ("elements", "", "x", "[1]"),
    ("tuple elements", "", "x", ".1"),
    ("parts of names", "x.", "x", ""),
    ("casts", "", "1", "::Int8"),
    ("types", "", "1::", ""),
    ("casts to types", "CAST(", "1", " AS Int8)"),
    ("aliases", "(", "1", " AS a)"),
    ("intervals", "INTERVAL ", "1", " DAY"),
    ("comments", "/* ", "1", " */ 1"),
    ("unclosed comments", "/* ", "1", ""),
    ("windows", "sum(", "1", ") OVER (ORDER BY 1)"),
    ("between", "1 BETWEEN ", "1", " AND 2"),
    ("parameters", "{a:Array(", "Int8", ")}"),
    ("items", "1, ", "1", ""),
    ("heredocs", "$a$ ", "1", ""),
    ("quotes", "'", "1", ""),
];

/// The same for whole statements.
const STATEMENTS: &[(&str, &str, &str, &str)] = &[
    ("queries", "SELECT * FROM (", "SELECT 1", ")"),
    ("queries in brackets", "(", "SELECT 1", ")"),
    ("unions", "SELECT 1 UNION ALL ", "SELECT 1", ""),
    ("differences", "(SELECT 1) EXCEPT ", "(SELECT 1)", ""),
    (
        "expressions",
        "WITH a AS (",
        "SELECT 1",
        ") SELECT * FROM a",
    ),
    ("named values", "WITH (", "SELECT 1", ") AS a SELECT a"),
    ("joins", "", "SELECT 1 FROM hits AS a", " JOIN hits USING k"),
    ("tables in brackets", "SELECT 1 FROM (", "hits", ")"),
    ("views", "SELECT * FROM view(", "SELECT 1", ")"),
    ("conditions", "", "SELECT 1 FROM hits WHERE 1", " AND k = 1"),
    ("orders", "", "SELECT 1 FROM hits ORDER BY 1", ", k"),
    (
        "arrays joined",
        "",
        "SELECT 1 FROM hits",
        " ARRAY JOIN [1] AS a",
    ),
    (
        "settings",
        "",
        "SELECT 1 FROM hits SETTINGS max_threads = 1",
        ", max_threads = 1",
    ),
    ("from first", "FROM (", "FROM hits SELECT k", ") SELECT k"),
    ("explained", "SELECT * FROM (EXPLAIN ", "SELECT 1", ")"),
];

/// The same inside of a template.
const TEMPLATES: &[(&str, &str, &str, &str)] = &[
    ("brackets", "SELECT {{ ", "(", ") }}"),
    ("tags", "{{ ", "1", " }}"),
    ("ifs", "{% if defined(a) %}", "SELECT 1", "{% end %}"),
    (
        "ifs in a row",
        "{% if defined(a) %}SELECT 1{% else %}SELECT 2{% end %} -- ",
        "",
        "\n",
    ),
    ("unended ifs", "{% if defined(a) %}", "SELECT 1", ""),
    ("ends", "", "SELECT 1", "{% end %}"),
    ("loops", "{% for a in [1] %}", "SELECT 1", "{% end %}"),
    ("comments", "{# ", "SELECT 1", " #}"),
    (
        "other branches",
        "{% if defined(a) %}",
        "SELECT 1",
        "{% elif defined(b) %}SELECT 2",
    ),
    ("sets", "{% set a = 1 %}", "SELECT {{ a }}", ""),
];

/// The same inside of `{{ … }}`.
const EXPRESSIONS: &[(&str, &str, &str, &str)] = &[
    ("brackets", "(", "1", ")"),
    ("lists", "[", "1", "]"),
    ("maps", "{'a': ", "1", "}"),
    ("calls", "Int32(", "1", ")"),
    ("sums", "1 + ", "1", ""),
    ("powers", "1 ** ", "1", ""),
    ("negations", "not ", "1", ""),
    ("signs", "-", "1", ""),
    ("conditions", "1 if ", "1", " else 0"),
    ("others", "1 if a else ", "1", ""),
    ("comparisons", "1 < ", "1", ""),
    ("methods", "", "a", ".split(',')"),
    ("elements", "", "a", "[0]"),
    ("comprehensions", "[x for x in ", "a", "]"),
    ("texts", "'a' ", "'b'", ""),
    ("arguments", "", "Int32(a", ", 1"),
    ("keywords", "", "Int32(a", ", b=1"),
];

/// The same for one value of a data source.
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("brackets", "(", "k", ")"),
    ("calls", "toDate(", "k", ")"),
    ("arrays", "[", "k", "]"),
    ("items", "k, ", "k", ""),
    ("unclosed brackets", "(", "k", ""),
    ("quotes", "\\'", "k", ""),
];

/// Where such values stand.
const KEYS: &[&str] = &[
    "ENGINE_SORTING_KEY",
    "ENGINE_PARTITION_KEY",
    "ENGINE_PRIMARY_KEY",
    "ENGINE_SAMPLING_KEY",
    "ENGINE_TTL",
    "ENGINE_SETTINGS",
    "ENGINE_VER",
    "ENGINE",
    "TOKEN",
    "TAGS",
];

fn nested((_, before, core, after): (&str, &str, &str, &str), depth: usize) -> String {
    format!("{}{core}{}", before.repeat(depth), after.repeat(depth))
}

fn pipe(sql: &str) -> Vec<(String, String)> {
    let pipe = format!("NODE n\nSQL >\n    {sql}\n\nTYPE endpoint\n");
    vec![
        ("hits.datasource".to_owned(), HITS.to_owned()),
        ("a.pipe".to_owned(), pipe),
    ]
}

/// Checks and emits a project.
fn checked(files: Vec<(String, String)>) -> (Duration, Vec<Diagnostic>) {
    let started = Instant::now();
    let (plan, mut diagnostics) = pipewright_compiler::check(SourceTree::new(files));
    let (_, found) = emit::emit(&plan);
    diagnostics.extend(found);
    (started.elapsed(), diagnostics)
}

/// A query from outside, which has no file to show a place in.
fn asked(sql: &str) -> Duration {
    let (plan, _) = pipewright_compiler::check(SourceTree::new([(
        "hits.datasource".to_owned(),
        HITS.to_owned(),
    )]));
    let values = Values::new();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let started = Instant::now();
    _ = plan.compile_query(sql, None, request);
    started.elapsed()
}

/// Twenty times the size may take this many times as long. What is quadratic takes 400 times.
const RATIO: f64 = 120.0;

/// Shorter times are noise.
const NOISE: Duration = Duration::from_millis(25);

/// Tries a shape at two sizes.
fn grows_with_its_size(what: &str, time: impl Fn(usize) -> Duration) {
    let small = time(500).max(NOISE);
    let mut large = time(10_000);
    if large.as_secs_f64() > small.as_secs_f64() * RATIO {
        // Something else may have had the processor.
        large = large.min(time(10_000));
    }
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    assert!(ratio < RATIO, "{what}: {small:?} and {large:?}");
}

fn check_files(what: &str, files: impl Fn(usize) -> Vec<(String, String)>) {
    grows_with_its_size(what, |depth| {
        let (time, diagnostics) = checked(files(depth));
        let errors: Vec<&Diagnostic> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .collect();
        assert!(errors.len() <= 20, "{what}: {} errors", errors.len());
        for error in errors {
            assert!(
                error.message.len() < 1_000,
                "{what}: {:.200}",
                error.message
            );
            // What is only found when the statement is put together has its node in its words.
            let has_place = error.primary().is_some() || error.message.contains("a.n");
            assert!(has_place, "{what}: {}", error.message);
        }
        time
    });
}

#[test]
fn sql_is_nested_without_an_end() {
    for shape in SQL {
        let what = format!("SQL, {}", shape.0);
        let sql = |depth| format!("SELECT {} FROM hits", nested(*shape, depth));
        check_files(&what, |depth| pipe(&sql(depth)));
        grows_with_its_size(&what, |depth| asked(&sql(depth)));
    }
}

#[test]
fn statements_are_nested_without_an_end() {
    for shape in STATEMENTS {
        let what = format!("statement, {}", shape.0);
        check_files(&what, |depth| pipe(&nested(*shape, depth)));
        grows_with_its_size(&what, |depth| asked(&nested(*shape, depth)));
    }
}

#[test]
fn templates_are_nested_without_an_end() {
    for shape in TEMPLATES {
        let what = format!("template, {}", shape.0);
        check_files(&what, |depth| {
            pipe(&format!("%\n    {}", nested(*shape, depth)))
        });
    }
    for shape in EXPRESSIONS {
        let what = format!("expression, {}", shape.0);
        check_files(&what, |depth| {
            pipe(&format!(
                "%\n    SELECT {{{{ {} }}}}",
                nested(*shape, depth)
            ))
        });
        let what = format!("condition, {}", shape.0);
        check_files(&what, |depth| {
            pipe(&format!(
                "%\n    SELECT 1 {{% if {} %}} + 1 {{% end %}}",
                nested(*shape, depth)
            ))
        });
    }
}

#[test]
fn datasources_are_nested_without_an_end() {
    let datasource = |text: String| vec![("hits.datasource".to_owned(), text)];
    for (what, before, after) in [
        ("Array", "Array(", ")"),
        ("Nullable", "Nullable(", ")"),
        ("Tuple", "Tuple(a ", ")"),
        ("unclosed", "Array(", ""),
        ("closed", "", ")"),
    ] {
        check_files(&format!("type, {what}"), |depth| {
            let nested = nested(("", before, "String", after), depth);
            datasource(format!("SCHEMA >\n    `k` {nested}\n"))
        });
    }
    for shape in VALUES {
        check_files(&format!("default, {}", shape.0), |depth| {
            datasource(format!(
                "SCHEMA >\n    `k` Int64 DEFAULT {}\n",
                nested(*shape, depth)
            ))
        });
        check_files(&format!("index, {}", shape.0), |depth| {
            datasource(format!(
                "{HITS}\nINDEXES >\n    i {} TYPE minmax GRANULARITY 1\n",
                nested(*shape, depth)
            ))
        });
        check_files(&format!("forward query, {}", shape.0), |depth| {
            datasource(format!(
                "{HITS}\nFORWARD_QUERY >\n    SELECT {} AS k\n",
                nested(*shape, depth)
            ))
        });
        for key in KEYS {
            check_files(&format!("{key}, {}", shape.0), |depth| {
                datasource(format!(
                    "SCHEMA >\n    `k` Int64\n\nENGINE \"MergeTree\"\n{key} \"{}\"\n",
                    nested(*shape, depth)
                ))
            });
        }
    }
}

#[test]
fn ten_megabytes_of_anything_end_soon() {
    for (what, before, core, after) in SQL {
        let unit = (before.len() + after.len()).max(1);
        let depth = 10_000_000 / unit;
        let sql = format!(
            "SELECT {} FROM hits",
            nested((what, before, core, after), depth)
        );
        let (time, _) = checked(pipe(&sql));
        assert!(time < Duration::from_secs(120), "{what}: {time:?}");
    }
}
