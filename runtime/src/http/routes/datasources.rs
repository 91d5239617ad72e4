//! Data sources and rows.

use super::{Route, route};

const APPEND: &str = "ADMIN or DATASOURCES:APPEND:<data source>";
const DROP: &str = "ADMIN or DATASOURCES:DROP:<data source>";

/// What says where rows are, how they are written and which ones they replace.
const ROWS_QUERY: &[(&str, &str)] = &[
    ("format", "string"),
    ("url", "string"),
    ("dialect_delimiter", "string"),
    ("replace_condition", "string"),
    ("replace_truncate_when_empty", "boolean"),
];

pub(super) const ROUTES: &[Route] = &[
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
    )
    .query(&[("attrs", "string")]),
    route(
        "/v0/datasources",
        "post",
        "A file of rows into a data source, beside the rows that are there or in their place; or a new data source from a schema or a file",
        "ADMIN or DATASOURCES:APPEND:<data source>, to replace also DATASOURCES:DROP:<data source>, to create DATASOURCES:CREATE",
        &[200, 202, 400, 403, 404, 409, 429],
    )
    .query(&[
        ("name", "string"),
        ("mode", "string"),
        ("schema", "string"),
        ("format", "string"),
        ("url", "string"),
        ("dialect_delimiter", "string"),
        ("replace_condition", "string"),
        ("replace_truncate_when_empty", "boolean"),
    ])
    .body("application/octet-stream"),
    route(
        "/v1/datasources/{datasource}/append",
        "post",
        "A file of rows beside the rows that are there; the answer names a job, which is done",
        APPEND,
        &[200, 202, 400, 403, 404, 429],
    )
    .query(ROWS_QUERY)
    .body("application/octet-stream"),
    route(
        "/v1/datasources/{datasource}/replace",
        "post",
        "A file of rows in the place of those that are there; the answer names a job, which is done",
        "ADMIN or DATASOURCES:APPEND:<data source> with DATASOURCES:DROP:<data source>",
        &[200, 202, 400, 403, 404, 429],
    )
    .query(ROWS_QUERY)
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
    .query(&[("dry_run", "boolean")]),
    route(
        "/v0/datasources/{datasource}/alter",
        "post",
        "Describe a data source, or add columns to it; with dry, only say what would be done",
        "ADMIN or DATASOURCES:CREATE",
        &[200, 400, 403, 404, 409, 429],
    )
    .query(&[
        ("schema", "string"),
        ("description", "string"),
        ("dry", "boolean"),
        ("allow_destructive_operations", "boolean"),
    ]),
];
