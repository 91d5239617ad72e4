//! The routes that are the same in every project, as `/openapi.json` describes them.

use serde_json::{Map, Value, json};

/// A route that is the same in every project.
pub(super) struct Route {
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
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    const fn body(mut self, media_type: &'static str) -> Self {
        self.body = Some(media_type);
        self
    }

    pub(super) fn describe(&self) -> Value {
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
        409 => {
            json!({ "description": "The name is taken, or something stands in the way", "content": error })
        }
        _ => json!({ "description": "The token or the server is at its limit", "content": error }),
    }
}

const CREATE: &str = "ADMIN or PIPES:CREATE";
const READ: &str = "ADMIN or PIPES:READ:<pipe>";
const TOKENS: &str = "ADMIN or TOKENS";
const APPEND: &str = "ADMIN or DATASOURCES:APPEND:<data source>";
const DROP: &str = "ADMIN or DATASOURCES:DROP:<data source>";
const COPY_QUERY: &[(&str, &str)] = &[
    ("target_datasource", "string"),
    ("schedule_cron", "string"),
    ("mode", "string"),
];
const DEPLOY_QUERY: &[(&str, &str)] = &[
    ("check", "boolean"),
    ("wait", "boolean"),
    ("allow_destructive_operations", "boolean"),
];
const PIPE_QUERY: &[(&str, &str)] = &[("name", "string"), ("description", "string")];
const VARIABLE_QUERY: &[(&str, &str)] = &[("name", "string"), ("value", "string")];
const VIEW_QUERY: &[(&str, &str)] = &[
    ("datasource", "string"),
    ("override_datasource", "boolean"),
    ("engine", "string"),
    ("engine_sorting_key", "string"),
    ("engine_partition_key", "string"),
    ("populate", "boolean"),
    ("populate_condition", "string"),
    ("populate_subset", "number"),
    ("unlink_on_populate_error", "boolean"),
];

/// The routes of the API that are no endpoints.
pub(super) const ROUTES: &[Route] = &[
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
        ("target_datasource", "string"),
        ("schedule_cron", "string"),
        ("mode", "string"),
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
        "/v0/pipes/{pipe}/nodes/{node}/analysis",
        "get",
        "What a data source for the result of a node would be",
        CREATE,
        &[200, 400, 403, 404, 429],
    )
    .query(&[("datasource", "string"), ("engine", "string")]),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/materialization",
        "delete",
        "Let a node fill nothing any more",
        CREATE,
        &[204, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/population",
        "post",
        "Fill what a materialized view fills with what was there before, as a job",
        CREATE,
        &[200, 400, 403, 404, 429],
    )
    .query(&[
        ("truncate", "boolean"),
        ("populate_condition", "string"),
        ("populate_subset", "number"),
        ("unlink_on_populate_error", "boolean"),
    ]),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/copy",
        "post",
        "Make a node a copy node",
        "ADMIN or PIPES:CREATE and DATASOURCES:APPEND:<target>",
        &[200, 400, 403, 404, 429],
    )
    .query(COPY_QUERY),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/copy",
        "put",
        "Change the target, the schedule or the mode of a copy node",
        CREATE,
        &[200, 400, 403, 404, 429],
    )
    .query(COPY_QUERY),
    route(
        "/v0/pipes/{pipe}/nodes/{node}/copy",
        "delete",
        "Make a copy node a plain one",
        CREATE,
        &[204, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/copy",
        "post",
        "Run a copy as a job; the parameters are those of its template",
        "ADMIN or PIPES:READ:<pipe> and DATASOURCES:APPEND:<target>",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("_mode", "string")]),
    route(
        "/v0/pipes/{pipe}/copy/pause",
        "post",
        "Let the times of a schedule pass",
        CREATE,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/copy/resume",
        "post",
        "Follow a schedule again",
        CREATE,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/copy/cancel",
        "post",
        "Cancel the copies that wait or run, and pause the schedule",
        CREATE,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/events",
        "post",
        "Rows of JSON into a data source",
        APPEND,
        &[200, 202, 400, 403, 404, 429],
    )
    .query(&[
        ("name", "string"),
        ("format", "string"),
        ("wait", "boolean"),
    ])
    .body("application/x-ndjson"),
    route(
        "/v0/datasources",
        "get",
        "List the data sources that the token may read",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v0/datasources",
        "post",
        "A file of rows into a data source, beside the rows that are there or in their place; or a new data source from a schema or a file",
        "ADMIN or DATASOURCES:APPEND:<data source>, to replace also DATASOURCES:DROP:<data source>, to create DATASOURCES:CREATE",
        &[200, 400, 403, 404, 409, 429],
    )
    .query(&[
        ("name", "string"),
        ("mode", "string"),
        ("schema", "string"),
        ("format", "string"),
        ("url", "string"),
        ("dialect_delimiter", "string"),
        ("replace_condition", "string"),
    ])
    .body("application/octet-stream"),
    route(
        "/v0/datasources/{datasource}",
        "get",
        "A data source by name or id",
        "ADMIN or DATASOURCES:READ:<data source>",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/datasources/{datasource}/truncate",
        "post",
        "Take all rows away",
        DROP,
        &[205, 403, 404, 429],
    ),
    route(
        "/v0/datasources/{datasource}/delete",
        "post",
        "Take the rows away that a condition names, as a job",
        DROP,
        &[200, 201, 400, 403, 404, 429],
    )
    .query(&[("delete_condition", "string"), ("dry_run", "boolean")]),
    route(
        "/v0/analyze",
        "post",
        "The columns and types of a sample of rows",
        "ADMIN",
        &[200, 400, 403, 429],
    )
    .query(&[("format", "string")])
    .body("application/octet-stream"),
    route(
        "/v1/deploy",
        "post",
        "Bring a whole project into force, as a job; with check only say what would change",
        "ADMIN",
        &[200, 400, 403, 409, 429],
    )
    .query(DEPLOY_QUERY)
    .body("multipart/form-data"),
    route(
        "/v1/rollback",
        "post",
        "Return to the version before the last deploy, as a job",
        "ADMIN",
        &[200, 400, 403, 409, 429],
    )
    .query(DEPLOY_QUERY),
    route(
        "/v1/deployments",
        "get",
        "The deployments, the latest first",
        "ADMIN",
        &[200, 403, 429],
    ),
    route(
        "/v1/deployments/{deployment}",
        "get",
        "A deployment with its steps and its job",
        "ADMIN",
        &[200, 403, 404, 429],
    ),
    route(
        "/v1/deployments/{deployment}/set-live",
        "post",
        "Whether a deployment is in force, which it is as soon as it is done",
        "ADMIN",
        &[200, 403, 404, 409, 429],
    ),
    route(
        "/v0/jobs",
        "get",
        "The latest jobs",
        "ADMIN",
        &[200, 403, 429],
    )
    .query(&[("kind", "string"), ("status", "string")]),
    route(
        "/v0/jobs/{job}",
        "get",
        "A job",
        "ADMIN",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/jobs/{job}/cancel",
        "post",
        "Cancel a job",
        "ADMIN",
        &[200, 400, 403, 404, 429],
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
    route(
        "/v0/variables",
        "get",
        "List the variables; their values are not told",
        "ADMIN",
        &[200, 403, 429],
    ),
    route(
        "/v0/variables",
        "post",
        "Create a variable",
        "ADMIN",
        &[200, 400, 403, 409, 429],
    )
    .query(VARIABLE_QUERY),
    route(
        "/v0/variables/{variable}",
        "get",
        "A variable; its value is not told",
        "ADMIN",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/variables/{variable}",
        "put",
        "Give a variable another value",
        "ADMIN",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("value", "string")]),
    route(
        "/v0/variables/{variable}",
        "delete",
        "Delete a variable",
        "ADMIN",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/datasources/{datasource}",
        "put",
        "Describe a data source",
        "ADMIN or DATASOURCES:CREATE",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("description", "string")]),
    route(
        "/v0/datasources/{datasource}",
        "delete",
        "Delete a data source that no pipe reads or fills",
        DROP,
        &[200, 204, 400, 403, 404, 409, 429],
    )
    .query(&[("force", "boolean"), ("dry_run", "boolean")]),
    route(
        "/v0/datasources/{datasource}/alter",
        "post",
        "Describe a data source, or add columns to it; with dry, only say what would be done",
        "ADMIN or DATASOURCES:CREATE",
        &[200, 400, 403, 404, 429],
    )
    .query(&[
        ("schema", "string"),
        ("description", "string"),
        ("dry", "boolean"),
    ]),
    route(
        "/v0/dependencies",
        "get",
        "Which pipes read or fill which data sources",
        "a token",
        &[200, 400, 403, 429],
    )
    .query(&[
        ("datasource", "string"),
        ("pipe", "string"),
        ("match", "string"),
        ("no_deps", "boolean"),
    ]),
    route(
        "/v0/tags",
        "get",
        "The tags of the project and what has them",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v0/workspace",
        "get",
        "The workspace",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v0/workspaces/{workspace}",
        "get",
        "The workspace by its id or name",
        "a token",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/user/workspaces",
        "get",
        "The workspaces of whoever asks: this one",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v0/auth",
        "get",
        "Whether the token is one",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v0/connectors",
        "get",
        "The connections: none",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v0/environments",
        "get",
        "The branches: none",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v1/pipes/{pipe}",
        "get",
        "A pipe, or with `.pipe` behind its name the text of its file",
        READ,
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/sql_tables",
        "post",
        "The tables that a query names",
        "a token",
        &[200, 400, 403, 429],
    )
    .query(&[("q", "string")]),
    route(
        "/v0/sql_format",
        "get",
        "A query, as it is",
        "a token",
        &[200, 400, 403, 429],
    )
    .query(&[("q", "string")]),
];
