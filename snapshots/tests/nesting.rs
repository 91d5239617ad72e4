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

/// Those that are tried with ten megabytes: each other shape takes one of the ways that these take.
const LARGE: &[&str] = &[
    "brackets",
    "unclosed brackets",
    "parts of names",
    "items",
    "comments",
    "quotes",
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

/// The same for a type.
const TYPES: &[(&str, &str, &str, &str)] = &[
    ("arrays of types", "Array(", "String", ")"),
    ("nullable types", "Nullable(", "String", ")"),
    ("tuples of types", "Tuple(a ", "String", ")"),
    ("unclosed types", "Array(", "String", ""),
    ("closed types", "", "String", ")"),
    ("types in a row", "", "Tuple(String", ", String"),
];

/// The same for a path into JSON.
const PATHS: &[(&str, &str, &str, &str)] = &[
    ("parts of a path", "$", "", ".a"),
    ("arrays of a path", "$", ".a", "[:]"),
    ("brackets of a path", "$.", "a", "["),
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

/// Far more than any of these takes on a slow and busy machine.
const SOON: Duration = Duration::from_mins(4);

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

/// More errors than this say the same: a hundred of a code, and those of a few other codes.
const MOST: usize = 210;

/// The length of a message that can still be read.
const LONGEST: usize = 600;

/// Shorter times are noise.
const NOISE: Duration = Duration::from_millis(25);

/// What is wrong with the findings of a shape.
fn complaints(what: &str, diagnostics: &[Diagnostic]) -> Vec<String> {
    let errors: Vec<&Diagnostic> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    let mut complaints = Vec::new();
    if errors.len() > MOST {
        complaints.push(format!("{what}: {} errors", errors.len()));
    }
    for error in errors {
        if error.message.len() > LONGEST {
            complaints.push(format!("{what}: {:.200}", error.message));
        }
        // What is only found when the statement is put together has its node in its words.
        if error.primary().is_none() && !error.message.contains("a.n") {
            complaints.push(format!("{what}: no place for {:.200}", error.message));
        }
    }
    complaints.truncate(3);
    complaints
}

/// What is wrong with a shape at two sizes, of which the larger may take longer by no more than it is larger, and some.
fn of_sizes(what: &str, run: impl Fn(usize) -> (Duration, Vec<Diagnostic>)) -> Vec<String> {
    let (small, _) = run(500);
    let (mut large, diagnostics) = run(10_000);
    let mut complaints = complaints(what, &diagnostics);
    let small = small.max(NOISE);
    let ratio = |large: Duration| large.as_secs_f64() / small.as_secs_f64();
    if ratio(large) > RATIO {
        // Something else may have had the processor.
        large = large.min(run(10_000).0);
    }
    if ratio(large) > RATIO {
        complaints.push(format!("{what}: {small:?} and {large:?}"));
    }
    complaints
}

/// What is wrong with all shapes that were tried.
#[derive(Default)]
struct Tried(Vec<String>);

impl Tried {
    /// A project.
    fn files(&mut self, what: &str, files: impl Fn(usize) -> Vec<(String, String)>) {
        self.0.extend(of_sizes(what, |depth| checked(files(depth))));
    }

    /// A statement of a node, and the same as a query from outside.
    fn sql(&mut self, what: &str, sql: impl Fn(usize) -> String) {
        self.files(what, |depth| pipe(&sql(depth)));
        let asked = |depth| (asked(&sql(depth)), Vec::new());
        self.0.extend(of_sizes(&format!("query: {what}"), asked));
    }

    /// One data source.
    fn datasource(&mut self, what: &str, text: impl Fn(usize) -> String) {
        self.files(what, |depth| {
            vec![("hits.datasource".to_owned(), text(depth))]
        });
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

#[test]
fn sql_is_nested_without_an_end() {
    let mut tried = Tried::default();
    for shape in SQL {
        tried.sql(shape.0, |depth| {
            format!("SELECT {} FROM hits", nested(*shape, depth))
        });
    }
    tried.end();
}

#[test]
fn statements_are_nested_without_an_end() {
    let mut tried = Tried::default();
    for shape in STATEMENTS {
        tried.sql(shape.0, |depth| nested(*shape, depth));
    }
    tried.end();
}

#[test]
fn templates_are_nested_without_an_end() {
    let mut tried = Tried::default();
    for shape in TEMPLATES {
        tried.files(shape.0, |depth| {
            pipe(&format!("%\n    {}", nested(*shape, depth)))
        });
    }
    for shape in EXPRESSIONS {
        for (what, before, after) in [
            ("expression", "SELECT {{ ", " }}"),
            ("condition", "SELECT 1 {% if ", " %} + 1 {% end %}"),
        ] {
            tried.files(&format!("{what}, {}", shape.0), |depth| {
                pipe(&format!("%\n    {before}{}{after}", nested(*shape, depth)))
            });
        }
    }
    tried.end();
}

#[test]
fn types_are_nested_without_an_end() {
    let mut tried = Tried::default();
    for shape in TYPES {
        tried.datasource(shape.0, |depth| {
            format!("SCHEMA >\n    `k` {}\n", nested(*shape, depth))
        });
    }
    for shape in PATHS {
        tried.datasource(shape.0, |depth| {
            format!(
                "SCHEMA >\n    `k` String `json:{}`\n",
                nested(*shape, depth)
            )
        });
    }
    tried.end();
}

#[test]
fn values_of_datasources_are_nested_without_an_end() {
    let mut tried = Tried::default();
    for shape in VALUES {
        for (what, before, after) in [
            ("default", "SCHEMA >\n    `k` Int64 DEFAULT ", "\n"),
            (
                "index",
                "SCHEMA >\n    `k` Int64\n\nINDEXES >\n    i ",
                " TYPE minmax GRANULARITY 1\n",
            ),
            (
                "forward query",
                "SCHEMA >\n    `k` Int64\n\nFORWARD_QUERY >\n    SELECT ",
                " AS k\n",
            ),
        ] {
            tried.datasource(&format!("{what}, {}", shape.0), |depth| {
                format!("{before}{}{after}", nested(*shape, depth))
            });
        }
        for key in KEYS {
            tried.datasource(&format!("{key}, {}", shape.0), |depth| {
                let value = nested(*shape, depth);
                format!("SCHEMA >\n    `k` Int64\n\nENGINE \"MergeTree\"\n{key} \"{value}\"\n")
            });
        }
    }
    tried.end();
}

#[test]
fn ten_megabytes_of_anything_end_soon() {
    let mut tried = Tried::default();
    for (what, before, core, after) in SQL.iter().filter(|shape| LARGE.contains(&shape.0)) {
        let unit = (before.len() + after.len()).max(1);
        let nested = nested((what, before, core, after), 10_000_000 / unit);
        let (time, diagnostics) = checked(pipe(&format!("SELECT {nested} FROM hits")));
        tried.0.extend(complaints(what, &diagnostics));
        if time > SOON {
            tried.0.push(format!("{what}: {time:?}"));
        }
    }
    tried.end();
}
