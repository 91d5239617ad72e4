//! Any text compiles and renders without a panic; a value cannot change the shape of what is printed around it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pipewright_compiler::template::{RenderContext, Template, Values};
use pipewright_grammar::source::{SourceId, Span};

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    let (template, _) = Template::compile_text(text, Span::new(SourceId(0), 0, text.len()));
    let mut values = Values::new();
    for parameter in template.parameters() {
        values.insert_text(parameter.name.clone(), value);
    }
    let context = RenderContext {
        steps: 50_000,
        output_limit: 1 << 20,
        ..RenderContext::default()
    };
    let _ = template.render(&values, &context);
    let _ = template.render(&Values::new(), &RenderContext { mode: pipewright_compiler::template::Mode::Check, ..context });
});
