//! The routes that are the same in every project, as `/openapi.json` describes them.

mod datasources;
mod deployments;
mod pipes;
mod tokens;
mod workspace;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// What is said of all of them, by path and method: made once, since anybody may ask for it.
pub(super) fn described() -> &'static [(&'static str, &'static str, Value)] {
    static DESCRIBED: LazyLock<Vec<(&str, &str, Value)>> = LazyLock::new(|| {
        let routes = all();
        routes
            .map(|route| (route.path, route.method, route.describe()))
            .collect()
    });
    &DESCRIBED
}

/// All of them.
fn all() -> impl Iterator<Item = &'static Route> {
    let groups = [
        pipes::ROUTES,
        datasources::ROUTES,
        deployments::ROUTES,
        tokens::ROUTES,
        workspace::ROUTES,
    ];
    groups.into_iter().flatten()
}

/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// A route that is the same in every project.
struct Route {
    path: &'static str,
    method: &'static str,
    summary: &'static str,
    scope: &'static str,
    query: &'static [(&'static str, &'static str)],
    and_query: &'static [(&'static str, &'static str)],
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
        and_query: &[],
        body: None,
        answers,
    }
}

impl Route {
    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// Further parameters, which another route has, too.
    const fn and_query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.and_query = query;
        self
    }

    const fn body(mut self, media_type: &'static str) -> Self {
        self.body = Some(media_type);
        self
    }

    /// What any request may be answered: a query that takes too long, something that broke, an engine that is away; and what a body may be refused with.
    fn common(&self) -> &'static [u16] {
        if self.method == "get" || self.method == "delete" {
            &[405, 408, 500, 503]
        } else {
            &[405, 408, 413, 415, 500, 503]
        }
    }

    fn describe(&self) -> Value {
        let in_path = self
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        let schema = |kind: &str| json!({ "type": kind });
        let query = self.query.iter().chain(self.and_query).map(|(name, kind)| json!({ "name": name, "in": "query", "required": false, "schema": schema(kind) }));
        let answers: Map<String, Value> = self
            .answers
            .iter()
            .chain(self.common())
            .map(|status| (status.to_string(), answer(*status)))
            .collect();
        let mut out = json!({
            "summary": self.summary,
            "description": format!("Needs {}.", self.scope),
            "tags": ["management"],
            "parameters": parameters.chain(query).collect::<Vec<_>>(),
            "responses": answers,
        });
        // What is not a text of its own may stand in a form as well as in the address.
        if self.body.is_none() && !self.query.is_empty() && self.method != "get" {
            let fields = self.query.iter();
            let fields: Map<String, Value> = fields
                .map(|(name, kind)| ((*name).to_owned(), schema(kind)))
                .collect();
            out["requestBody"] = json!({ "required": false, "content": { FORM: { "schema": { "type": "object", "properties": fields } } } });
        }
        if let Some(media_type) = self.body {
            let kind = if media_type == "application/json" {
                "object"
            } else {
                "string"
            };
            out["requestBody"] = json!({ "required": false, "content": { media_type: { "schema": { "type": kind } } } });
            // One row is also plain JSON.
            if media_type == "application/x-ndjson" {
                out["requestBody"]["content"]["application/json"] =
                    json!({ "schema": { "type": "object" } });
            }
        }
        out
    }
}

fn answer(status: u16) -> Value {
    let error =
        json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
    match status {
        200 => json!({ "description": "Done" }),
        201 => json!({ "description": "Taken on, as a job" }),
        202 => json!({ "description": "Taken, and written soon" }),
        205 => json!({ "description": "Done; look at it anew" }),
        204 => json!({ "description": "Done; there is nothing to say" }),
        400 => {
            json!({ "description": "The request, its SQL or a parameter is wrong", "content": error })
        }
        403 => {
            json!({ "description": "The token is missing or may not do this", "content": error })
        }
        404 => json!({ "description": "There is no such thing", "content": error }),
        405 => json!({ "description": "The path does not take the method", "content": error }),
        408 => {
            json!({ "description": "The query took too long, or the body came too slowly", "content": error })
        }
        413 => json!({ "description": "The body is too long", "content": error }),
        415 => {
            json!({ "description": "The body is of a kind that is not read here", "content": error })
        }
        500 => json!({ "description": "Something broke; the log says what", "content": error }),
        503 => json!({ "description": "The engine is not there, or not ready", "content": error }),
        409 => {
            json!({ "description": "The name is taken, or something stands in the way", "content": error })
        }
        _ => json!({ "description": "The token or the server is at its limit", "content": error }),
    }
}
