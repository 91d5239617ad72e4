//! The server describes itself: `/openapi.json` for machines, and a page at `/` for people. Both show what the token may read.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use pipewright_compiler::emit;
use serde_json::{Map, Value, json};

use super::App;
use super::error::ApiError;
use super::parameters::Parameters;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    version: &'a str,
    engine: &'a str,
}

/// Nothing but the page's own script and style, and requests to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        engine: app.engine.version(),
    };
    let text = page
        .render()
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(asset("text/html; charset=utf-8", text))
}

/// The page's script.
pub(super) async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../../templates/page.js").to_owned(),
    )
}

/// The page's style.
pub(super) async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        include_str!("../../templates/page.css").to_owned(),
    )
}

fn asset(media_type: &'static str, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type)], text).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The description of the API: the management routes for everyone, and of the endpoints those that the token may read.
pub(super) async fn openapi(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = Parameters::read(&uri, &headers, &axum::body::Bytes::new())?;
    let served = app.served.load_full();
    let access = match served.tokens.access(&headers, parameters.text_of("token")) {
        Ok(access) => Some(access),
        Err(_)
            if !headers.contains_key(header::AUTHORIZATION)
                && parameters.text_of("token").is_none() =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    let readable = |path: &str| {
        let name = path
            .strip_prefix("/v0/pipes/")
            .and_then(|file| file.rsplit_once('.'))
            .map_or("", |(name, _)| name);
        access
            .as_ref()
            .is_some_and(|access| access.reads_pipe(name))
    };
    let mut document = serde_json::to_value(emit::openapi(&served.plan))
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let endpoints = document["paths"].as_object().cloned().unwrap_or_default();
    let mut paths: Map<String, Value> = endpoints
        .into_iter()
        .filter(|(path, _)| readable(path))
        .collect();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method] = route.describe();
    }
    document["paths"] = paths.into();
    document["info"] = json!({ "title": "Pipewright", "version": env!("CARGO_PKG_VERSION") });
    Ok(super::call::json_response(&document))
}

/// A route that is the same in every project.
struct Route {
    path: &'static str,
    method: &'static str,
    summary: &'static str,
    scope: &'static str,
    query: &'static [(&'static str, &'static str)],
    body: Option<&'static str>,
    answers: &'static [u16],
}

const fn route(
    path: &'static str,
    method: &'static str,
    summary: &'static str,
    scope: &'static str,
    answers: &'static [u16],
) -> Route {
    Route {
        path,
        method,
        summary,
        scope,
        query: &[],
        body: None,
        answers,
    }
}

impl Route {
    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    const fn body(mut self, media_type: &'static str) -> Self {
        self.body = Some(media_type);
        self
    }

    fn describe(&self) -> Value {
        let in_path = self
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        let query = self.query.iter().map(|(name, kind)| json!({ "name": name, "in": "query", "required": false, "schema": { "type": kind } }));
        let answers: Map<String, Value> = self
            .answers
            .iter()
            .map(|status| (status.to_string(), answer(*status)))
            .collect();
        let mut out = json!({
            "summary": self.summary,
            "description": format!("Needs {}.", self.scope),
            "tags": ["management"],
            "parameters": parameters.chain(query).collect::<Vec<_>>(),
            "responses": answers,
        });
        if let Some(media_type) = self.body {
            let kind = if media_type == "text/plain" {
                "string"
            } else {
                "object"
            };
            out["requestBody"] = json!({ "required": false, "content": { media_type: { "schema": { "type": kind } } } });
        }
        out
    }
}

fn answer(status: u16) -> Value {
    let error =
        json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
    match status {
        200 => json!({ "description": "Done" }),
        204 => json!({ "description": "Done; there is nothing to say" }),
        400 => {
            json!({ "description": "The request, its SQL or a parameter is wrong", "content": error })
        }
        403 => {
            json!({ "description": "The token is missing or may not do this", "content": error })
        }
        404 => json!({ "description": "There is no such thing", "content": error }),
        409 => {
            json!({ "description": "The name is taken, or something stands in the way", "content": error })
        }
        _ => json!({ "description": "The token or the server is at its limit", "content": error }),
    }
}

const CREATE: &str = "ADMIN or PIPES:CREATE";
const READ: &str = "ADMIN or PIPES:READ:<pipe>";
const TOKENS: &str = "ADMIN or TOKENS";
const PIPE_QUERY: &[(&str, &str)] = &[("name", "string"), ("description", "string")];
const VIEW_QUERY: &[(&str, &str)] = &[
    ("datasource", "string"),
    ("override_datasource", "boolean"),
    ("engine", "string"),
    ("engine_sorting_key", "string"),
    ("engine_partition_key", "string"),
];

/// The routes of the API that are no endpoints.
const ROUTES: &[Route] = &[
    route(
        "/v0/sql",
        "get",
        "Run a query over pipes and data sources",
        "the right to read all that the query names",
        &[200, 400, 403, 429],
    )
    .query(&[("q", "string")]),
    route(
        "/v0/sql",
        "post",
        "Run a query over pipes and data sources",
        "the right to read all that the query names",
        &[200, 400, 403, 429],
    )
    .body("text/plain"),
    route(
        "/v0/pipes",
        "get",
        "List the pipes that the token may read",
        "a token",
        &[200, 400, 403, 429],
    )
    .query(&[
        ("dependencies", "boolean"),
        ("attrs", "string"),
        ("node_attrs", "string"),
    ]),
    route(
        "/v0/pipes",
        "post",
        "Create a pipe, or put another in its place",
        CREATE,
        &[200, 400, 403, 404, 409, 429],
    )
    .query(&[
        ("name", "string"),
        ("sql", "string"),
        ("from", "string"),
        ("description", "string"),
    ])
    .body("application/json"),
    route(
        "/v0/pipes/{pipe}",
        "get",
        "A pipe by name or id",
        READ,
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}",
        "put",
        "Rename or describe a pipe",
        CREATE,
        &[200, 400, 403, 404, 409, 429],
    )
    .query(PIPE_QUERY),
    route(
        "/v0/pipes/{pipe}",
        "delete",
        "Delete a pipe",
        "ADMIN or PIPES:DROP:<pipe>",
        &[204, 403, 404, 409, 429],
    ),
    route(
        "/v0/pipes/{pipe}/explain",
        "get",
        "Explain the most relevant node",
        "ADMIN or PIPES:READ and DATASOURCES:READ",
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/endpoint",
        "put",
        "Publish the node whose id is the body",
        CREATE,
        &[200, 400, 403, 404, 429],
    )
    .body("text/plain"),
    route(
        "/v0/pipes/{pipe}/nodes",
        "post",
        "Append a node",
        CREATE,
        &[200, 400, 403, 404, 409, 429],
    )
    .query(&[
        ("name", "string"),
        ("description", "string"),
        ("type", "string"),
        ("datasource", "string"),
        ("engine", "string"),
    ])
    .body("text/plain"),
    route(
        "/v0/pipes/{pipe}/nodes/{node}",
        "put",
        "Change a node",
        CREATE,
        &[200, 400, 403, 404, 409, 429],
    )
    .query(PIPE_QUERY)
    .body("text/plain"),
    route(
        "/v0/pipes/{pipe}/nodes/{node}",
        "delete",
        "Delete a node",
        "ADMIN, PIPES:CREATE or IMPORT",
        &[204, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/explain",
        "get",
        "Explain a node",
        "ADMIN or PIPES:READ and DATASOURCES:READ",
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/endpoint",
        "post",
        "Publish a node",
        CREATE,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/endpoint",
        "delete",
        "Unpublish a node",
        CREATE,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/materialization",
        "post",
        "Make a node fill a data source",
        CREATE,
        &[200, 400, 403, 404, 409, 429],
    )
    .query(VIEW_QUERY),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/materialization",
        "delete",
        "Let a node fill nothing any more",
        CREATE,
        &[204, 400, 403, 404, 429],
    ),
    route("/v0/tokens", "get", "List tokens", TOKENS, &[200, 403, 429]),
    route(
        "/v0/tokens",
        "post",
        "Create a token, or with expiration_time a JWT",
        TOKENS,
        &[200, 400, 403, 409, 429],
    )
    .query(&[
        ("name", "string"),
        ("scope", "string"),
        ("description", "string"),
        ("expiration_time", "integer"),
    ])
    .body("application/json"),
    route(
        "/v0/tokens/{token}",
        "get",
        "A token by name, id or secret",
        TOKENS,
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/tokens/{token}",
        "put",
        "Change a token",
        TOKENS,
        &[200, 400, 403, 404, 429],
    )
    .query(&[("scope", "string"), ("description", "string")]),
    route(
        "/v0/tokens/{token}",
        "delete",
        "Delete a token",
        TOKENS,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/tokens/{token}/refresh",
        "post",
        "Give a token another secret",
        TOKENS,
        &[200, 403, 404, 429],
    ),
];
