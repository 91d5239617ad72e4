//! Renders every example of the book's chapter on templates.

use pipewright_compiler::template::{RenderContext, Template, Values};
use pipewright_grammar::source::{SourceId, Span};

const CHAPTER: &str = include_str!("../../book/src/templates.md");

/// The fenced blocks of the chapter: their mark and text.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in CHAPTER.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => {
                let (mark, lines) = open.take().expect("a block is open");
                blocks.push((mark, lines.join("\n")));
            }
            (Some(mark), None) => open = Some((mark.to_owned(), Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_book_renders_as_it_says() {
    let blocks = blocks();
    let mut examples = 0;
    for three in blocks.chunks(3) {
        let [
            (template_mark, text),
            (values_mark, values),
            (outcome_mark, expected),
        ] = three
        else {
            panic!("an example has three blocks: {three:?}");
        };
        assert_eq!(
            (template_mark.as_str(), values_mark.as_str()),
            ("template", "values")
        );
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(values).expect("values are JSON");
        let values: Values = object.into_iter().collect();
        let (template, _) = Template::compile_text(text, Span::new(SourceId(0), 0, text.len()));
        let outcome = match template.render(&values, &RenderContext::default()) {
            Ok(rendered) => ("sql", rendered.sql.into_text()),
            Err(error) => ("error", format!("{}: {error}", error.kind.name())),
        };
        assert_eq!(
            (outcome_mark.as_str(), expected),
            (outcome.0, &outcome.1),
            "{text}"
        );
        examples += 1;
    }
    assert!(examples >= 10, "only {examples} examples were found");
}
