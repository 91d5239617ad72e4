//! Tokens and variables.

use super::{Route, route};

const TOKENS: &str = "ADMIN or TOKENS";
const VARIABLE_QUERY: &[(&str, &str)] = &[("name", "string"), ("value", "string")];

pub(super) const ROUTES: &[Route] = &[
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
];
