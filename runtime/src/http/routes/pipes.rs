//! Pipes, their nodes, views and copies.

use super::{Route, route};

const CREATE: &str = "ADMIN or PIPES:CREATE";
const READ: &str = "ADMIN or PIPES:READ:<pipe>";
const COPY_QUERY: &[(&str, &str)] = &[
    ("target_datasource", "string"),
    ("schedule_cron", "string"),
    ("mode", "string"),
];
const PIPE_QUERY: &[(&str, &str)] = &[("name", "string"), ("description", "string")];
const VIEW_QUERY: &[(&str, &str)] = &[
    ("datasource", "string"),
    ("override_datasource", "boolean"),
    ("engine", "string"),
    ("engine_partition_key", "string"),
    ("engine_sorting_key", "string"),
    ("engine_primary_key", "string"),
    ("engine_sampling_key", "string"),
    ("engine_ttl", "string"),
    ("engine_settings", "string"),
    ("engine_ver", "string"),
    ("engine_is_deleted", "string"),
    ("engine_columns", "string"),
    ("engine_sign", "string"),
    ("engine_version", "string"),
    ("populate", "boolean"),
    ("populate_condition", "string"),
    ("populate_subset", "number"),
    ("unlink_on_populate_error", "boolean"),
];
const NODE_QUERY: &[(&str, &str)] = &[
    ("name", "string"),
    ("description", "string"),
    ("type", "string"),
    ("target_datasource", "string"),
    ("schedule_cron", "string"),
    ("mode", "string"),
];

pub(super) const ROUTES: &[Route] = &[
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
        "/v0/pipes/{pipe}/endpoint",
        "delete",
        "Unpublish whichever node is published",
        CREATE,
        &[200, 400, 403, 404, 429],
    ),
    route(
        "/v0/pipes/{pipe}/nodes",
        "post",
        "Append a node",
        CREATE,
        &[200, 400, 403, 404, 409, 429],
    )
    .query(NODE_QUERY)
    .and_query(VIEW_QUERY)
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
        "/v1/pipes/{pipe}",
        "get",
        "A pipe, or with `.pipe` behind its name the text of its file",
        READ,
        &[200, 403, 404, 429],
    ),
];
