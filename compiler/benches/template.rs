//! Rendering a typical endpoint node: ours against bare minijinja on an equivalent Jinja template, and the cost of compiling it.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use minijinja::{Environment, context};
use std::fmt::Write as _;

use pipewright_compiler::template::{RenderContext, Template, Values};
use pipewright_grammar::source::{SourceId, Span};

/// A node of 59 lines: 17 tags that print, 8 conditions.
fn ours() -> String {
    let mut text = String::from("%\nSELECT\n");
    for at in 0..30 {
        _ = writeln!(text, "    column_{at} AS output_{at},");
    }
    text.push_str("    count() AS hits\nFROM events\nWHERE tenant = {{String(tenant, 'none')}}\n");
    for at in 0..8 {
        _ = write!(
            text,
            "{{% if defined(filter_{at}) %}}\n    AND f{at} = {{{{String(filter_{at}, 'x')}}}}\n{{% end %}}\n"
        );
    }
    text.push_str("ORDER BY hits\nLIMIT {{Int32(page_size, 100)}}\n");
    text
}

fn jinja() -> String {
    let text = ours();
    text.trim_start_matches('%')
        .replace("{% end %}", "{% endif %}")
        .replace("String(tenant, 'none')", "tenant|default('none')|quoted")
        .replace("Int32(page_size, 100)", "page_size|default(100)|integer")
        .lines()
        .map(|line| {
            let mut line = line.to_owned();
            for at in 0..8 {
                line = line
                    .replace(
                        &format!("String(filter_{at}, 'x')"),
                        &format!("filter_{at}|default('x')|quoted"),
                    )
                    .replace(
                        &format!("defined(filter_{at})"),
                        &format!("filter_{at} is defined"),
                    );
            }
            line + "\n"
        })
        .collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn integer(number: i64) -> String {
    format!("toInt32('{number}')")
}

fn compile(text: &str) -> Template {
    Template::compile(text, Span::new(SourceId(0), 0, text.len())).0
}

fn render(criterion: &mut Criterion) {
    let text = ours();
    let template = compile(&text);
    let mut values = Values::new();
    values.insert_text("tenant", "acme");
    for at in 0..8 {
        values.insert_text(format!("filter_{at}"), "it's a value");
    }
    let context = RenderContext::default();
    criterion.bench_function("render/ours", |bench| {
        bench.iter(|| template.render(&values, &context).expect("renders"));
    });

    let source = jinja();
    let mut environment = Environment::new();
    environment.add_filter("quoted", quoted);
    environment.add_filter("integer", integer);
    environment.add_template("node", &source).expect("compiles");
    criterion.bench_function("render/bare minijinja", |bench| {
        bench.iter(|| {
            let node = environment.get_template("node").expect("exists");
            node.render(context! {
                tenant => "acme", filter_0 => "it's a value", filter_1 => "it's a value", filter_2 => "it's a value",
                filter_3 => "it's a value", filter_4 => "it's a value", filter_5 => "it's a value", filter_6 => "it's a value",
                filter_7 => "it's a value",
            })
            .expect("renders")
        });
    });
    criterion.bench_function("compile/parse and lower", |bench| {
        bench.iter(|| compile(&text));
    });
}

fn grow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grow");
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        let template = compile("%SELECT {{String(a)}}");
        let mut values = Values::new();
        values.insert_text("a", "x'".repeat(size / 2));
        group.bench_function(BenchmarkId::new("value", size), |bench| {
            bench.iter(|| {
                template
                    .render(&values, &RenderContext::default())
                    .expect("renders")
            });
        });
    }
    for count in [100, 1_000, 10_000] {
        let mut text = String::new();
        for at in 0..count {
            _ = writeln!(text, "{{{{String(p{at}, 'x')}}}},");
        }
        let template = compile(&format!("%{text}"));
        let values: Values = (0..count)
            .map(|at| (format!("p{at}"), "v".into()))
            .collect();
        group.bench_function(BenchmarkId::new("parameters", count), |bench| {
            bench.iter(|| {
                template
                    .render(&values, &RenderContext::default())
                    .expect("renders")
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = render, grow
}
criterion_main!(benches);
