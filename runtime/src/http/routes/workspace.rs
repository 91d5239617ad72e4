//! Queries, and the workspace as command lines ask for it.

use super::{Route, route};

pub(super) const ROUTES: &[Route] = &[
    route(
        "/v0/sql",
        "get",
        "Run a query over pipes and data sources",
        "the right to read all that the query names",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("q", "string"), ("pipeline", "string")]),
    route(
        "/v0/sql",
        "post",
        "Run a query over pipes and data sources",
        "the right to read all that the query names",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("pipeline", "string")])
    .body("text/plain"),
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
        "/v0/tags",
        "post",
        "Make a tag, and give it to resources",
        "ADMIN",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("name", "string")])
    .body("application/json"),
    route(
        "/v0/tags/{tag}",
        "put",
        "Give a tag to these resources and to no others",
        "ADMIN",
        &[200, 400, 403, 404, 429],
    )
    .body("application/json"),
    route(
        "/v0/tags/{tag}",
        "delete",
        "Take a tag away from all that have it",
        "ADMIN",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/workspaces/{workspace}/releases",
        "get",
        "The releases: none",
        "a token",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/workspace",
        "get",
        "The workspace",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v1/workspace",
        "get",
        "The workspace",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v1/user/workspaces",
        "get",
        "The workspaces of whoever asks: this one",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/v1/environments",
        "get",
        "The branches: none",
        "a token",
        &[200, 403, 429],
    ),
    route(
        "/examples/query.http",
        "get",
        "The address at which an endpoint answers, with its parameters",
        "ADMIN or PIPES:READ:<pipe>",
        &[200, 400, 403, 404, 429],
    )
    .query(&[("pipe", "string"), ("format", "string")]),
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
