//! Deployments and jobs.

use super::{Route, route};

const DEPLOY_QUERY: &[(&str, &str)] = &[
    ("check", "boolean"),
    ("wait", "boolean"),
    ("allow_destructive_operations", "boolean"),
];

const CREATE_QUERY: &[(&str, &str)] = &[
    ("check", "boolean"),
    ("wait", "boolean"),
    ("allow_destructive_operations", "boolean"),
    ("auto_promote", "boolean"),
];

pub(super) const ROUTES: &[Route] = &[
    route(
        "/v1/deploy",
        "post",
        "Bring a whole project into force, as a job; with check only say what would change",
        "ADMIN",
        &[200, 400, 403, 409, 429],
    )
    .query(CREATE_QUERY)
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
        "The deployment in force, and those that are on their way or wait; with include_deleted, all",
        "ADMIN",
        &[200, 400, 403, 429],
    )
    .query(&[("include_deleted", "boolean")]),
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
        "Bring a deployment that waits into force",
        "ADMIN",
        &[200, 400, 403, 404, 409, 429],
    ),
    route(
        "/v1/deployments/{deployment}",
        "delete",
        "Give up a deployment that waits, or stop one that is on its way",
        "ADMIN",
        &[200, 403, 404, 409, 429],
    ),
    route(
        "/v0/jobs",
        "get",
        "The latest jobs that the token may see",
        "a token; all of them: ADMIN",
        &[200, 403, 429],
    )
    .query(&[("kind", "string"), ("status", "string")]),
    route(
        "/v0/jobs/{job}",
        "get",
        "A job",
        "ADMIN, or the token that asked for it",
        &[200, 403, 404, 429],
    ),
    route(
        "/v0/jobs/{job}/cancel",
        "post",
        "Cancel a job",
        "ADMIN, or the token that asked for it",
        &[200, 400, 403, 404, 429],
    ),
];
