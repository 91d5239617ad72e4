//! Templates: an SQL body that starts with `%` → a [`Template`], compiled once → SQL for each request.
//!
//! The tree comes from `grammar`. Here its parameters are found, everything that the language refuses is refused, and the rest is lowered once to minijinja
//! bytecode: the control flow is minijinja's, each Python operation a callable minijinja object, each parameter a minijinja object that knows its name. What
//! comes out is [`MappedText`]: every byte of SQL knows its place in the file.
//!
//! A value can leave its quotes in no way: only `quote` writes literals and identifiers, and only functions of the language write anything else.

mod branches;
mod debug;
mod demands;
mod error;
mod format;
mod functions;
mod lower;
mod lower_expression;
mod methods;
mod operation;
mod operators;
mod parameters;
mod pattern;
mod print;
mod quote;
mod render;
mod requests;
mod restrict;
mod scope;
mod value;
mod walk;
mod wide;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};

use indexmap::IndexSet;
use minijinja::machinery::{self, Instructions};
use minijinja::{AutoEscape, Environment};
use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{Span, Spanned};
use pipewright_grammar::template::{Item, parse_template};

pub use debug::debug_render;
pub use demands::Demand;
pub use error::{ErrorKind, TemplateError};
pub(crate) use functions::{aggregate_in_lower_case, is_aggregate};
pub use parameters::{Parameter, UsedIn, merge_parameters};
pub use render::{
    DEFAULT_OUTPUT_LIMIT, DEFAULT_STEPS, Mode, RenderContext, Rendered, Settings, Values,
};

pub use requests::UNEXPECTED_VALUE;
pub use wide::exact_json;

use crate::diagnostics::codes;
use crate::mapped_text::MappedText;
use functions::convert_elements;
use operation::Chunk;
use render::{Conditioned, Handoff, Render};
use scope::{Scope, Slot, Source};
use value::{Thing, from_json, list, none, thing};

/// The environment of all templates: no templates, filters or functions of its own, and a formatter that takes text chunks. It never changes.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_formatter(|_, state, value| {
        if let (Some(chunk), Some(render)) = (
            value.downcast_object_ref::<Chunk>(),
            state.get_extension_mut::<Render>(),
        ) {
            chunk.emit(render).map_err(|error| error.at(chunk.span))?;
        }
        Ok(())
    });
    environment
});

/// Names of parameters that a request cannot give: they choose the output of the endpoint itself.
const FORBIDDEN_NAMES: &[&str] = &["format", "q"];

/// Names of parameters that have another meaning in a request.
const DOUBTFUL_NAMES: &[&str] = &[
    "token",
    "pipeline",
    "debug",
    "tag",
    "query_id",
    "playground",
    "explain",
    "finalize_aggregations",
    "debug_source_tables",
    "release_replacements",
    "template_parameters",
    "__tb__semver",
    "__tb__csv_header",
    JOB_TIMESTAMP,
];

/// The parameter that is the time of a job where no value is given.
pub(crate) const JOB_TIMESTAMP: &str = "job_timestamp";

/// A compiled template. Cheap to render, from any number of threads.
pub struct Template {
    /// The body without its `%`.
    text: String,
    span: Span,
    items: Vec<Item>,
    /// Absent for bodies that are no templates.
    code: Option<Instructions<'static>>,
    slots: Vec<Slot>,
    parameters: Vec<Parameter>,
    redeclared: Vec<Parameter>,
    tables: Vec<Spanned<String>>,
    computes_tables: bool,
    overridable: IndexSet<String>,
    uses_secrets: bool,
    secrets: IndexSet<String>,
    /// The first error; a template that has one cannot be rendered.
    error: Option<TemplateError>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Whether a body is a template: its first character is `%`.
    pub fn is_template(body: &str) -> bool {
        body.trim_start().starts_with('%')
    }

    /// Compiles the text of an SQL body that stands at `span` (`span.start` is the place of its first byte). Without a leading `%` it is no template: it
    /// renders to itself.
    pub fn compile(body: &str, span: Span) -> (Self, Vec<Diagnostic>) {
        let trimmed = body.trim_start();
        match trimmed.strip_prefix('%') {
            Some(text) => {
                let start = span.start as usize + (body.len() - text.len());
                Self::compile_text(text, Span::new(span.source, start, start + text.len()))
            }
            None => (Self::fixed(body, span), Vec::new()),
        }
    }

    fn fixed(text: &str, span: Span) -> Self {
        Self {
            text: text.to_owned(),
            span,
            items: Vec::new(),
            code: None,
            slots: Vec::new(),
            parameters: Vec::new(),
            redeclared: Vec::new(),
            tables: Vec::new(),
            computes_tables: false,
            overridable: IndexSet::new(),
            uses_secrets: false,
            secrets: IndexSet::new(),
            error: None,
        }
    }

    /// Compiles what follows the `%` of a body.
    pub fn compile_text(text: &str, span: Span) -> (Self, Vec<Diagnostic>) {
        let parsed = parse_template(text, span);
        let mut scope = Scope::of(&parsed.tree.items);
        let found = parameters::find(&parsed.tree.items, &mut scope);
        let lowered = lower::lower(
            &parsed.tree.items,
            text,
            span.start as usize,
            span,
            scope,
            lower::Conditions::Tested,
        );
        let mut errors: Vec<TemplateError> =
            parsed.diagnostics.iter().map(from_diagnostic).collect();
        // A broken tag is reported before one that is refused, which is reported before one that Python itself could not read.
        errors.extend(lowered.errors);
        let mut diagnostics = parsed.diagnostics;
        diagnostics.extend(
            errors[diagnostics.len()..]
                .iter()
                .map(TemplateError::to_diagnostic),
        );
        for parameter in &found.parameters {
            let (finding, error) = reserved_name(parameter);
            diagnostics.extend(finding);
            errors.extend(error);
        }
        let order = |error: &TemplateError| match error.kind {
            ErrorKind::TemplateParse | ErrorKind::UnclosedBlock => 0,
            ErrorKind::PythonSyntax => 2,
            _ => 1,
        };
        let error = errors.into_iter().min_by_key(order);
        let template = Self {
            text: text.to_owned(),
            span,
            items: parsed.tree.items,
            code: Some(lowered.code),
            slots: lowered.scope.slots,
            parameters: found.parameters,
            redeclared: found.redeclared,
            tables: found.tables,
            computes_tables: found.computes_tables,
            overridable: lowered.overridable,
            uses_secrets: lowered.uses_secrets,
            secrets: found.secrets,
            error,
        };
        (template, diagnostics)
    }

    /// Whether the body is no template and renders to itself.
    pub fn is_static(&self) -> bool {
        self.code.is_none()
    }

    /// The parameters, once each, in order of first use; no loop or `set` variables.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Declarations in what the template prints that give a parameter another type than the first such.
    pub fn redeclared(&self) -> &[Parameter] {
        &self.redeclared
    }

    /// What follows the `%` of the body; the body itself where it is no template.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a parameter stands only in the conditions of blocks, so that no value of it is a part of what is rendered.
    pub fn only_asks_for(&self, name: &str) -> bool {
        requests::only_asks_for(&self.items, name)
    }

    /// What requests must give, so that it can be rendered for them.
    pub fn demands(&self) -> BTreeSet<Demand> {
        demands::find(&self.items, &|name| {
            let mut parameters = self.parameters.iter();
            parameters.any(|parameter| parameter.name == name)
        })
    }

    /// The constant arguments of `table()` in every branch.
    pub fn tables(&self) -> &[Spanned<String>] {
        &self.tables
    }

    /// Whether the text asks `table()` for a name that is computed, in some branch.
    pub fn computes_tables(&self) -> bool {
        self.computes_tables
    }

    /// The names of the secrets that the text asks for, in every branch. A name that is computed is not among them.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// Whether the text asks for a secret somewhere, by a constant name or another.
    pub fn uses_secrets(&self) -> bool {
        self.uses_secrets
    }

    /// The first reason why the template cannot be rendered at all.
    pub fn error(&self) -> Option<&TemplateError> {
        self.error.as_ref()
    }

    /// Renders the template.
    pub fn render(
        &self,
        values: &Values,
        context: &RenderContext<'_>,
    ) -> Result<Rendered, TemplateError> {
        match &self.code {
            Some(code) => self.run(code, &self.slots, values, context, Conditioned::default()),
            None => Ok(Rendered {
                sql: MappedText::verbatim(&self.text, self.span),
                ..Rendered::default()
            }),
        }
    }

    /// Renders the feasible combinations of conditions in check mode, each distinct SQL once. Bounded: every condition is taken at least once each way, not
    /// every combination of all.
    pub fn branches(&self, context: &RenderContext<'_>) -> Vec<Result<Rendered, TemplateError>> {
        branches::render(self, context)
    }

    /// Requests that together take each condition both ways, where such are found, with what the template renders to for each: that is a text which a request
    /// gets, while one of [`Self::branches`] may be none. Bounded, and deterministic.
    pub fn requests(&self, context: &RenderContext<'_>) -> Vec<(Values, Rendered)> {
        requests::find(self, context)
    }

    fn run(
        &self,
        code: &Instructions<'static>,
        slots: &[Slot],
        values: &Values,
        context: &RenderContext<'_>,
        conditions: Conditioned,
    ) -> Result<Rendered, TemplateError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if let Some(name) = self
            .overridable
            .iter()
            .find(|name| values.get(name).is_some())
        {
            return Err(TemplateError::new(
                ErrorKind::NotAFunction,
                format!("parameter {name} hides the function of the same name"),
            ));
        }
        let mut render = Render {
            mode: context.mode,
            slots: Vec::with_capacity(slots.len()),
            out: MappedText::new(),
            settings: Settings::default(),
            secrets: Vec::new(),
            tables: Vec::new(),
            known_secrets: if self.uses_secrets {
                context.secrets.to_vec()
            } else {
                Vec::new()
            },
            steps: context.steps,
            output_limit: context.output_limit,
            guards: 0,
            raised: None,
            conditions,
            scratch: String::new(),
        };
        for slot in slots {
            let value = first_value(&mut render, slot, values, context);
            render.slots.push(value);
        }
        let render = evaluate(code, render)?;
        if let Some(known) = context.tables
            && let Some(table) = render
                .tables
                .iter()
                .find(|table| !table.is_empty() && !known(table))
        {
            return Err(TemplateError::new(
                ErrorKind::UnknownTable,
                format!("'{table}' is not the name of a data source or pipe"),
            ));
        }
        Ok(Rendered {
            sql: render.out,
            settings: render.settings,
            secrets: render.secrets,
            tables: render.tables,
        })
    }
}

fn evaluate(code: &Instructions<'static>, render: Render) -> Result<Render, TemplateError> {
    let root = minijinja::Value::from_object(Handoff(Mutex::new(Some(render))));
    let blocks = BTreeMap::new();
    let mut unused = String::new();
    let mut output = machinery::make_string_output(&mut unused);
    let outcome = machinery::eval(
        &ENVIRONMENT,
        code,
        root,
        &blocks,
        &mut output,
        AutoEscape::None,
    );
    match outcome {
        Ok((_, mut state)) => state
            .get_extension_mut::<Render>()
            .map(Render::take)
            .ok_or_else(|| TemplateError::new(ErrorKind::ValueError, "the render left no result")),
        Err(error) => Err(reason(&error)),
    }
}

/// The error of the language behind an error of the virtual machine.
fn reason(error: &minijinja::Error) -> TemplateError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<TemplateError>() {
            return found.clone();
        }
        source = inner.source();
    }
    TemplateError::new(ErrorKind::ValueError, error.to_string())
}

fn from_diagnostic(diagnostic: &Diagnostic) -> TemplateError {
    let mut error = TemplateError::new(
        ErrorKind::of(diagnostic.code),
        diagnostic.message.to_string(),
    );
    error.span = diagnostic.primary();
    error
}

fn reserved_name(parameter: &Parameter) -> (Option<Diagnostic>, Option<TemplateError>) {
    let name = parameter.name.as_str();
    if FORBIDDEN_NAMES.contains(&name) {
        let error = TemplateError::new(
            ErrorKind::ReservedName,
            format!("`{name}` cannot be the name of a parameter"),
        )
        .at(parameter.span);
        return (Some(error.to_diagnostic()), Some(error));
    }
    let doubtful = DOUBTFUL_NAMES.contains(&name) || name.starts_with("output_format_");
    let finding = doubtful.then(|| {
        Diagnostic::warning(
            codes::TEMPLATE_RESERVED_NAME,
            format!("`{name}` has another meaning in requests; choose another name"),
        )
        .label(parameter.span, "")
    });
    (finding, None)
}

/// What a variable is before the template runs.
fn first_value(
    render: &mut Render,
    slot: &Slot,
    values: &Values,
    context: &RenderContext<'_>,
) -> Option<minijinja::Value> {
    let Source::Parameter(array) = &slot.source else {
        return None;
    };
    let Some(given) = values.get(&slot.name).filter(|value| !value.is_null()) else {
        if values.get(&slot.name).is_none() {
            if let Some(function) = slot.function {
                return Some(operation::function_value(function));
            }
            if &*slot.name == JOB_TIMESTAMP {
                return Some(minijinja::Value::from(context.now));
            }
            if context.mode == Mode::Check {
                return Some(thing(Thing::Placeholder));
            }
        }
        return Some(none());
    };
    let value = from_json(given);
    // A parameter that is declared as an array is a list wherever it is used; a text that is no such array stays what it is.
    if let Some(element) = array
        && let Ok(items) = convert_elements(render, &value, *element)
    {
        return Some(list(items));
    }
    Some(value)
}

impl Render {
    fn take(&mut self) -> Self {
        Self {
            mode: self.mode,
            slots: Vec::new(),
            out: std::mem::take(&mut self.out),
            settings: std::mem::take(&mut self.settings),
            secrets: std::mem::take(&mut self.secrets),
            tables: std::mem::take(&mut self.tables),
            known_secrets: Vec::new(),
            steps: self.steps,
            output_limit: self.output_limit,
            guards: 0,
            raised: self.raised.take(),
            conditions: Conditioned::default(),
            scratch: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
