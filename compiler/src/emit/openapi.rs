//! `openapi.json`: the published endpoints as an OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use utoipa::openapi::encoding::{Encoding, EncodingBuilder};
use utoipa::openapi::path::{
    OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle, PathItemBuilder, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, Ref, Required,
};

use crate::plan::{PipePlan, Plan, QueryError, RequestContext, RowFilters};
use crate::template::{Parameter, RenderContext, Values};

/// The formats in which an endpoint answers, by the ending of its path.
const FORMATS: &[(&str, &str)] = &[
    ("json", "application/json"),
    ("csv", "text/csv"),
    ("ndjson", "application/x-ndjson"),
    ("parquet", "application/vnd.apache.parquet"),
];

/// What an endpoint may answer besides rows.
const FAILURES: &[(&str, &str)] = &[
    (
        "400",
        "A parameter is missing or wrong, the query failed, or its answer is too long",
    ),
    ("403", "The token is missing or may not read this endpoint"),
    ("404", "Nothing is published under this name any more"),
    ("408", "The query took too long"),
    ("429", "The token or the server is at its limit"),
    ("500", "Something broke; the log says what"),
    ("503", "The engine is not there, or not ready"),
];

/// What an endpoint may answer to a body besides.
const FAILURES_OF_BODIES: &[(&str, &str)] = &[
    ("413", "The body is too long"),
    ("415", "The body is of a kind that is not read here"),
];

/// How a request brings its parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    /// In the address.
    Get,
    /// In the address or in a body.
    Post,
}

/// The description of the endpoints of a project.
pub fn openapi(plan: &Plan) -> OpenApi {
    let mut paths = PathsBuilder::new();
    for pipe in plan.pipes.values().filter(|pipe| pipe.endpoint.is_some()) {
        let needed = needed(plan, pipe);
        for (ending, media_type) in FORMATS {
            let format = (*ending, *media_type);
            let item = PathItemBuilder::new()
                .operation(
                    HttpMethod::Get,
                    operation(plan, pipe, &needed, Method::Get, format),
                )
                .operation(
                    HttpMethod::Post,
                    operation(plan, pipe, &needed, Method::Post, format),
                )
                .build();
            paths = paths.path(format!("/v0/pipes/{}.{ending}", pipe.name), item);
        }
    }
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let query = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("token")));
    let mut components = ComponentsBuilder::new();
    for (status, description) in FAILURES.iter().chain(FAILURES_OF_BODIES) {
        components = components.response(failure_name(status), failed(description));
    }
    let components = components
        .security_scheme("bearer", bearer)
        .security_scheme("token", query)
        .schema("Error", error())
        .schema("Result", result());
    let security = [
        SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []),
        SecurityRequirement::new::<_, [&str; 0], &str>("token", []),
    ];
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Endpoints").version("1").build())
        .paths(paths.build())
        .components(Some(components.build()))
        .security(Some(security))
        .build()
}

fn operation(
    plan: &Plan,
    pipe: &PipePlan,
    needed: &BTreeSet<String>,
    method: Method,
    (ending, media_type): (&str, &str),
) -> OperationBuilder {
    let source = plan.project.pipes.get(&pipe.name);
    let content = match ending {
        "json" => ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Result")))
            .build(),
        _ => ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build(),
    };
    let id = match method {
        Method::Get => format!("{}_{ending}", pipe.name),
        Method::Post => format!("{}_{ending}_post", pipe.name),
    };
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .description(source.and_then(|pipe| pipe.description.clone()))
        .response(
            "200",
            ResponseBuilder::new()
                .description("The rows")
                .content(media_type, content)
                .build(),
        );
    let of_bodies = match method {
        Method::Get => &[],
        Method::Post => FAILURES_OF_BODIES,
    };
    for (status, _) in FAILURES.iter().chain(of_bodies) {
        operation = operation.response(*status, Ref::from_response_name(failure_name(status)));
    }
    for tag in source.map_or(&[][..], |pipe| &pipe.tags) {
        operation = operation.tag(tag.clone());
    }
    match method {
        Method::Get => {
            for parameter in &pipe.parameters {
                let is_needed = needed.contains(&parameter.name);
                operation = operation.parameter(query_parameter(parameter, is_needed));
            }
            operation
        }
        Method::Post => operation.request_body(Some(body(&pipe.parameters))),
    }
}

/// What a failure is called among the components.
fn failure_name(status: &str) -> String {
    format!("Failure{status}")
}

fn failed(description: &str) -> Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Error")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build()
}

/// The parameters as a form or as JSON.
fn body(parameters: &[Parameter]) -> RequestBody {
    let mut object = ObjectBuilder::new();
    let mut encoding: BTreeMap<String, Encoding> = BTreeMap::new();
    for parameter in parameters {
        object = object.property(&parameter.name, schema(parameter));
        if parameter.data_type.starts_with("Array(") {
            let joined = EncodingBuilder::new()
                .style(Some(ParameterStyle::Form))
                .explode(Some(false));
            encoding.insert(parameter.name.clone(), joined.build());
        }
    }
    let mut form = ContentBuilder::new().schema(Some(object)).build();
    form.encoding.extend(encoding);
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let json = ContentBuilder::new().schema(Some(object)).build();
    RequestBodyBuilder::new()
        .description(Some(
            "The parameters, unless the address has them, as for GET",
        ))
        .content("application/x-www-form-urlencoded", form)
        .content("application/json", json)
        .build()
}

/// The parameters without which a request that gives nothing else fails.
fn needed(plan: &Plan, pipe: &PipePlan) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    let Some(endpoint) = pipe.endpoint_node() else {
        return needed;
    };
    let mut values = Values::default();
    for _ in 0..=pipe.parameters.len() {
        let request = RequestContext {
            values: &values,
            render: RenderContext::default(),
        };
        let compiled = plan.compile_node_as_written(&endpoint.id, request, RowFilters::NONE);
        let Err(QueryError::Template(error)) = compiled else {
            break;
        };
        let missing = pipe.parameters.iter().find(|parameter| {
            parameter.default.is_none() && error.parameter.as_ref() == Some(&parameter.name)
        });
        match missing {
            Some(missing) if needed.insert(missing.name.clone()) => {
                values.insert_text(&missing.name, stand_in(missing));
            }
            _ => break,
        }
    }
    needed
}

/// A value that a parameter can have.
fn stand_in(parameter: &Parameter) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some(value) = parameter.enumeration.first().or(parameter.example.as_ref()) {
        return text(value);
    }
    let number = ["Int", "UInt", "Float", "Decimal"];
    let data_type = parameter.data_type.trim_start_matches("Array(");
    match data_type {
        _ if number.iter().any(|prefix| data_type.starts_with(prefix)) => "1".to_owned(),
        _ if data_type.starts_with("DateTime") => "2024-01-01 00:00:00".to_owned(),
        _ if data_type.starts_with("Date") => "2024-01-01".to_owned(),
        _ => "a".to_owned(),
    }
}

fn query_parameter(parameter: &Parameter, is_needed: bool) -> ParameterBuilder {
    let required = parameter.default.is_none() && (is_needed || parameter.required == Some(true));
    let mut builder = ParameterBuilder::new()
        .name(parameter.name.clone())
        .parameter_in(ParameterIn::Query)
        .required(if required {
            Required::True
        } else {
            Required::False
        })
        .description(parameter.description.clone())
        .example(fitting(parameter.example.as_ref(), &parameter.data_type))
        .schema(Some(schema(parameter)));
    if parameter.data_type.starts_with("Array(") {
        // `a,b,c` in one value, as the template language reads it.
        builder = builder
            .style(Some(ParameterStyle::Form))
            .explode(Some(false));
    }
    builder
}

fn schema(parameter: &Parameter) -> Schema {
    let element = parameter
        .data_type
        .strip_prefix("Array(")
        .and_then(|rest| rest.strip_suffix(')'));
    if let Some(element) = element {
        return Schema::Array(
            ArrayBuilder::new()
                .items(scalar(element).build())
                .default(fitting(parameter.default.as_ref(), &parameter.data_type))
                .build(),
        );
    }
    let default = fitting(parameter.default.as_ref(), &parameter.data_type);
    let mut object = scalar(&parameter.data_type);
    if parameter.enumeration.is_empty() {
        return Schema::Object(object.default(default).build());
    }
    let values = parameter.enumeration.iter();
    let values: Vec<Value> = values
        .filter_map(|value| fitting(Some(value), &parameter.data_type))
        .collect();
    // What stands for no choice need not be one that a request can make.
    object = object.default(default.filter(|default| values.contains(default)));
    object = object.enum_values(Some(values));
    Schema::Object(object.build())
}

/// A value as the schema of its type has it; nothing where it is none of that type.
fn fitting(value: Option<&Value>, data_type: &str) -> Option<Value> {
    let value = value?;
    let element = data_type
        .strip_prefix("Array(")
        .and_then(|rest| rest.strip_suffix(')'));
    if let Some(element) = element {
        let all = |values: &mut dyn Iterator<Item = Value>| {
            let fitting = values.map(|value| fitting(Some(&value), element));
            fitting.collect::<Option<Vec<Value>>>().map(Value::Array)
        };
        return match value {
            Value::Array(values) => all(&mut values.iter().cloned()),
            Value::String(text) if text.is_empty() => Some(Value::Array(Vec::new())),
            Value::String(text) => all(&mut text.split(',').map(|part| part.trim().into())),
            other => all(&mut std::iter::once(other.clone())),
        };
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
        other => other.to_string(),
    };
    let integer = || {
        let small = text.parse::<i64>().map(Value::from);
        small.or_else(|_| text.parse::<u64>().map(Value::from)).ok()
    };
    match kind_of(data_type).0 {
        Type::Integer => integer(),
        Type::Number => integer().or_else(|| {
            let number = serde_json::Number::from_f64(text.parse().ok()?)?;
            Some(Value::Number(number))
        }),
        Type::Boolean => match text.to_ascii_lowercase().as_str() {
            "1" | "true" => Some(true.into()),
            "0" | "false" => Some(false.into()),
            _ => None,
        },
        _ => Some(text.into()),
    }
}

/// The JSON schema type nearest to a parameter's type.
fn scalar(data_type: &str) -> ObjectBuilder {
    let (kind, format) = kind_of(data_type);
    ObjectBuilder::new().schema_type(kind).format(format)
}

fn kind_of(data_type: &str) -> (Type, Option<SchemaFormat>) {
    match data_type {
        "Int8" | "Int16" | "Int32" | "Int" | "Integer" | "UInt8" | "UInt16" => (
            Type::Integer,
            Some(SchemaFormat::KnownFormat(KnownFormat::Int32)),
        ),
        "Int64" | "UInt32" => (
            Type::Integer,
            Some(SchemaFormat::KnownFormat(KnownFormat::Int64)),
        ),
        "UInt64" | "Int128" | "UInt128" | "Int256" | "UInt256" => (Type::Integer, None),
        "Float32" => (
            Type::Number,
            Some(SchemaFormat::KnownFormat(KnownFormat::Float)),
        ),
        "Float64" => (
            Type::Number,
            Some(SchemaFormat::KnownFormat(KnownFormat::Double)),
        ),
        "Boolean" => (Type::Boolean, None),
        "Date" => (
            Type::String,
            Some(SchemaFormat::KnownFormat(KnownFormat::Date)),
        ),
        _ => (Type::String, None),
    }
}

fn error() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    Schema::Object(
        ObjectBuilder::new()
            .property("error", text())
            .property("documentation", text())
            .required("error")
            .build(),
    )
}

/// The body of ClickHouse's `FORMAT JSON`.
fn result() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = || ObjectBuilder::new().schema_type(Type::Number);
    let column = ObjectBuilder::new()
        .property("name", text())
        .property("type", text());
    let statistics = ObjectBuilder::new()
        .property("elapsed", number())
        .property("rows_read", number())
        .property("bytes_read", number());
    Schema::Object(
        ObjectBuilder::new()
            .property("meta", ArrayBuilder::new().items(column))
            .property("data", ArrayBuilder::new().items(ObjectBuilder::new()))
            .property("rows", ObjectBuilder::new().schema_type(Type::Integer))
            .property(
                "rows_before_limit_at_least",
                ObjectBuilder::new().schema_type(Type::Integer),
            )
            .property("statistics", statistics)
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use crate::project::SourceTree;

    #[test]
    fn a_parameter_without_which_every_request_fails_is_required() {
        let pipe = "NODE n\nSQL >\n    %\n    SELECT {{ String(user) }} AS u, {{ Int32(n) }} AS n, {{ String(given, 'x') }} AS g {% if defined(extra) %}, {{ String(extra) }} AS e {% end %}\n\nTYPE endpoint\n";
        let files = [("p.pipe".to_owned(), pipe.to_owned())];
        let (plan, _) = crate::compile(SourceTree::new(files));
        let document = serde_json::to_value(super::openapi(&plan)).unwrap();
        let parameters = &document["paths"]["/v0/pipes/p.json"]["get"]["parameters"];
        let required = parameters.as_array().unwrap().iter();
        let required: Vec<&str> = required
            .filter(|parameter| parameter["required"] == true)
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(required, ["user", "n"]);
    }

    #[test]
    fn an_endpoint_takes_its_parameters_in_a_body_too_and_tells_what_it_may_answer() {
        let pipe = "NODE n\nSQL >\n    %\n    SELECT {{ String(user) }} AS u, {{ Array(ids, 'Int32', default='1,2') }} AS a\n\nTYPE endpoint\n";
        let files = [("p.pipe".to_owned(), pipe.to_owned())];
        let (plan, _) = crate::compile(SourceTree::new(files));
        let document = serde_json::to_value(super::openapi(&plan)).unwrap();
        let item = &document["paths"]["/v0/pipes/p.csv"];
        let told = |method: &str| {
            let responses = item[method]["responses"].as_object().unwrap();
            let parameters = item[method]["parameters"].as_array();
            for answer in responses
                .values()
                .filter_map(|answer| answer["$ref"].as_str())
            {
                assert!(document.pointer(&answer[1..]).is_some(), "{answer}");
            }
            format!(
                "{} {:?} {}",
                item[method]["operationId"],
                responses.keys().collect::<Vec<_>>(),
                parameters.map_or(0, Vec::len)
            )
        };
        insta::assert_snapshot!(told("get"), @r#""p_csv" ["200", "400", "403", "404", "408", "429", "500", "503"] 2"#);
        insta::assert_snapshot!(told("post"), @r#""p_csv_post" ["200", "400", "403", "404", "408", "413", "415", "429", "500", "503"] 0"#);
        let body = &item["post"]["requestBody"]["content"];
        insta::assert_snapshot!(body["application/x-www-form-urlencoded"], @r#"{"schema":{"type":"object","properties":{"user":{"type":"string"},"ids":{"type":"array","items":{"type":"integer","format":"int32"},"default":[1,2]}}},"encoding":{"ids":{"style":"form","explode":false}}}"#);
        assert!(body["application/json"]["schema"].is_object());
    }

    #[test]
    fn defaults_and_examples_fit_their_schemas() {
        let pipe = "NODE n\nSQL >\n    %\n    SELECT {{ Array(ids, 'Int32', default='1, 2') }} AS a, {{ UInt64(big, '18446744073709551615') }} AS b, {{ Float64(share, '0.5', example='3') }} AS c, {{ Boolean(yes, '1') }} AS d, {{ String(kind, 'z', enum=['a', 'b']) }} AS e, {{ Int32(wrong, 'x') }} AS f, {{ DateTime(at, '2024-01-01 00:00:00') }} AS g\n\nTYPE endpoint\n";
        let files = [("p.pipe".to_owned(), pipe.to_owned())];
        let (plan, _) = crate::compile(SourceTree::new(files));
        let document = serde_json::to_value(super::openapi(&plan)).unwrap();
        let parameters = &document["paths"]["/v0/pipes/p.json"]["get"]["parameters"];
        let told = parameters.as_array().unwrap().iter().map(|parameter| {
            let (name, schema) = (&parameter["name"], &parameter["schema"]);
            format!("{name} {} {}", schema["default"], parameter["example"])
        });
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
        "ids" [1,2] null
        "big" 18446744073709551615 null
        "share" 0.5 3
        "yes" true null
        "kind" null null
        "wrong" null null
        "at" "2024-01-01 00:00:00" null
        "#);
    }
}
