//! `pipewright debug render`: one JSON line in, one JSON line out; no project, no engine.

use pipewright_grammar::source::{SourceFile, SourceId, Span};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::{Mode, Parameter, RenderContext, Settings, Template, TemplateError, Values};

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Json,
    template: String,
    #[serde(default)]
    params: Option<Map<String, Json>>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    test_mode: bool,
    #[serde(default)]
    now: Option<String>,
}

/// Renders one request: `{"id", "template", "params", "secrets", "test_mode"}` → `{"id", "sql", "params", "settings"}`, or `error_kind` and `error` with
/// line and column instead of `sql`. The template is given without the `%` of a body.
pub fn debug_render(line: &str) -> String {
    let request: Request = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => {
            return json!({"error_kind": "bad_request", "error": {"message": error.to_string()}})
                .to_string();
        }
    };
    let file = SourceFile::new(SourceId(0), "template", request.template);
    let span = Span::new(file.id(), 0, file.text().len());
    let (template, _) = Template::compile_text(file.text(), span);
    let values: Values = request.params.unwrap_or_default().into_iter().collect();
    let context = RenderContext {
        mode: if request.test_mode {
            Mode::Check
        } else {
            Mode::Call
        },
        secrets: &request.secrets,
        now: request.now.as_deref().unwrap_or("1970-01-01 00:00:00"),
        ..RenderContext::default()
    };
    let mut answer = Map::new();
    answer.insert("id".into(), request.id);
    match template.render(&values, &context) {
        Ok(rendered) => {
            answer.insert("sql".into(), rendered.sql.text().into());
            answer.insert("settings".into(), settings(&rendered.settings));
            if !rendered.secrets.is_empty() {
                answer.insert("secrets".into(), rendered.secrets.into());
            }
        }
        Err(error) => {
            answer.insert("error_kind".into(), error.kind.name().into());
            answer.insert("error".into(), describe(&file, &error));
        }
    }
    answer.insert(
        "params".into(),
        template.parameters().iter().map(parameter).collect(),
    );
    Json::Object(answer).to_string()
}

fn describe(file: &SourceFile, error: &TemplateError) -> Json {
    let mut out = Map::new();
    out.insert("message".into(), error.message.as_str().into());
    if let Some(span) = error.span {
        let (line, column) = file.line_column(span.start);
        out.insert("line".into(), line.into());
        out.insert("column".into(), column.into());
        out.insert("start".into(), span.start.into());
        out.insert("end".into(), span.end.into());
    }
    if let Some(parameter) = &error.parameter {
        out.insert("parameter".into(), parameter.as_str().into());
    }
    if let Some(status) = error.status {
        out.insert("status".into(), status.into());
    }
    if let Some(body) = &error.body {
        out.insert("body".into(), (**body).clone());
    }
    Json::Object(out)
}

fn settings(settings: &Settings) -> Json {
    let mut out = Map::new();
    if let Some(threads) = settings.max_threads {
        out.insert("max_threads".into(), threads.into());
    }
    if let Some(ttl) = &settings.cache_ttl {
        out.insert("cache_ttl".into(), ttl.as_str().into());
    }
    if settings.backend_hint_given {
        out.insert("backend_hint".into(), settings.backend_hint.clone().into());
    }
    if !settings.activate.is_empty() {
        out.insert("activate".into(), settings.activate.clone().into());
    }
    if let Some(feature) = &settings.disable {
        out.insert("disable".into(), feature.as_str().into());
    }
    Json::Object(out)
}

fn parameter(parameter: &Parameter) -> Json {
    let mut out = Map::new();
    out.insert("name".into(), parameter.name.as_str().into());
    out.insert("type".into(), parameter.data_type.as_str().into());
    if let Some(description) = &parameter.description {
        out.insert("description".into(), description.as_str().into());
    }
    if let Some(required) = parameter.required {
        out.insert("required".into(), required.into());
    }
    if let Some(example) = &parameter.example {
        out.insert("example".into(), example.clone());
    }
    if let Some(format) = &parameter.format {
        out.insert("format".into(), format.as_str().into());
    }
    if !parameter.enumeration.is_empty() {
        out.insert("enum".into(), parameter.enumeration.clone().into());
    }
    if parameter.optional {
        out.insert("defined".into(), false.into());
    }
    out.insert(
        "default".into(),
        parameter.default.clone().unwrap_or(Json::Null),
    );
    if parameter.used_in.is_some() {
        out.insert("used_in".into(), "function_call".into());
    }
    Json::Object(out)
}
