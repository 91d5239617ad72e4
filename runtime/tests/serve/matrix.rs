//! Every route with every scope: who may, and nobody else.

use serde_json::Value;

use crate::guarded::{started, token};
use crate::harness::{ADMIN, Server};

/// The scopes, of which each token has one.
const SCOPES: &[&str] = &[
    "ADMIN",
    "TOKENS",
    "PIPES:CREATE",
    "PIPES:READ:by_org",
    "PIPES:READ:on_top",
    "PIPES:DROP:by_org",
    "PIPES:DROP:spare",
    "DATASOURCES:CREATE",
    "DATASOURCES:READ:events",
    "DATASOURCES:APPEND:events",
    "DATASOURCES:DROP:events",
    "IMPORT",
];

/// Requests, with their bodies and the scopes that allow them.
const MATRIX: &str = r#"
GET /v0/pipes | | all
POST /v0/pipes | name=made&sql=select 1 | ADMIN PIPES:CREATE
GET /v0/pipes/by_org | | ADMIN PIPES:READ:by_org
GET /v0/pipes/by_org.pipe | | ADMIN PIPES:READ:by_org
GET /v1/pipes/by_org.pipe | | ADMIN PIPES:READ:by_org
GET /v0/pipes/by_org.json | | ADMIN PIPES:READ:by_org
POST /v0/pipes/by_org.csv | | ADMIN PIPES:READ:by_org
GET /v0/sql?q=select+*+from+by_org | | ADMIN PIPES:READ:by_org
POST /v0/sql | select * from by_org | ADMIN PIPES:READ:by_org
GET /v0/sql?q=select+*+from+events | | ADMIN DATASOURCES:READ:events
GET /v0/pipes/by_org.json?q=select+*+from+events | | ADMIN
GET /v0/pipes/by_org/explain | | ADMIN
GET /v0/pipes/by_org/nodes/n/explain | | ADMIN
PUT /v0/pipes/by_org?description=x | | ADMIN PIPES:CREATE
POST /v0/pipes/spare/nodes | select 2 | ADMIN PIPES:CREATE
PUT /v0/pipes/spare/nodes/spare_0 | select 3 | ADMIN PIPES:CREATE
POST /v0/pipes/spare/nodes/spare_0/endpoint | | ADMIN PIPES:CREATE
PUT /v0/pipes/spare/endpoint | spare_0 | ADMIN PIPES:CREATE
DELETE /v0/pipes/spare/nodes/spare_0/endpoint | | ADMIN PIPES:CREATE
DELETE /v0/pipes/spare/endpoint | | ADMIN PIPES:CREATE
DELETE /v0/pipes/spare/nodes/spare_1 | | ADMIN PIPES:CREATE IMPORT
POST /v0/pipes/spare/nodes/spare_0/materialization | datasource=filled | ADMIN PIPES:CREATE
DELETE /v0/pipes/spare/nodes/spare_0/materialization | | ADMIN PIPES:CREATE
POST /v0/pipes/spare/nodes/spare_0/materialization | datasource=events | ADMIN
POST /v0/pipes/spare/nodes/spare_0/population | | ADMIN PIPES:CREATE
POST /v0/pipes/spare/nodes/spare_0/copy | target_datasource=events | ADMIN
POST /v0/pipes/spare/nodes?type=copy&target_datasource=events | select 1 | ADMIN
PUT /v0/pipes/spare/nodes/spare_0/copy | schedule_cron=0 * * * * | ADMIN PIPES:CREATE
POST /v0/pipes/copier/copy | | ADMIN
POST /v0/pipes/copier/copy/pause | | ADMIN PIPES:CREATE
POST /v0/pipes/copier/copy/resume | | ADMIN PIPES:CREATE
POST /v0/pipes/copier/copy/cancel | | ADMIN PIPES:CREATE
DELETE /v0/pipes/spare/nodes/spare_0/copy | | ADMIN PIPES:CREATE
GET /v0/datasources | | all
GET /v0/datasources/events | | ADMIN DATASOURCES:READ:events
POST /v0/events?name=events | {} | ADMIN DATASOURCES:APPEND:events
POST /v0/datasources?name=events&mode=append | | ADMIN DATASOURCES:APPEND:events
POST /v0/datasources?name=events&mode=replace | | ADMIN
POST /v1/datasources/events/append | | ADMIN DATASOURCES:APPEND:events
POST /v1/datasources/events/replace | | ADMIN
POST /v0/datasources/events/delete | delete_condition=0 | ADMIN DATASOURCES:DROP:events
POST /v0/datasources/events/truncate | | ADMIN DATASOURCES:DROP:events
GET /v0/datasources/events.datasource | | ADMIN DATASOURCES:READ:events
POST /v0/datasources?name=made&schema=a%20Int32 | | ADMIN DATASOURCES:CREATE IMPORT
PUT /v0/datasources/events?description=x | | ADMIN DATASOURCES:CREATE IMPORT
POST /v0/datasources/events/alter | description=y | ADMIN DATASOURCES:CREATE IMPORT
DELETE /v0/datasources/events | | ADMIN DATASOURCES:DROP:events
GET /v0/pipes/by_org/nodes/n/analysis | | ADMIN PIPES:CREATE
GET /v0/variables | | ADMIN
POST /v0/variables | name=key&value=x | ADMIN
GET /v0/variables/key | | ADMIN
PUT /v0/variables/key | value=y | ADMIN
DELETE /v0/variables/key | | ADMIN
POST /v1/deploy?check=true | {"files":{}} | ADMIN
POST /v1/rollback?check=true | | ADMIN
GET /v1/deployments | | ADMIN
GET /v1/deployments/1 | | ADMIN
POST /v1/deployments/1/set-live | | ADMIN
DELETE /v1/deployments/99 | | ADMIN
GET /v0/workspace | | all
GET /v1/workspace | | all
GET /v1/user/workspaces | | all
GET /v1/environments | | all
GET /examples/query.http?pipe=on_top | | ADMIN PIPES:READ:on_top
GET /v0/workspaces/other | | all
GET /v0/user/workspaces | | all
GET /v0/auth | | all
GET /v0/connectors | | all
GET /v0/environments | | all
GET /v0/tags | | all
POST /v0/tags | name=kind | ADMIN
PUT /v0/tags/kind | | ADMIN
DELETE /v0/tags/kind | | ADMIN
GET /v0/workspaces/other/releases | | all
GET /v0/dependencies | | all
POST /v0/sql_tables | select 1 from events | all
GET /v0/sql_format?q=select%201 | | all
POST /v0/analyze | {} | ADMIN
GET /v0/jobs | | all
GET /v0/jobs/nothing | | ADMIN
POST /v0/jobs/nothing/cancel | | ADMIN
DELETE /v0/pipes/spare | | ADMIN PIPES:DROP:spare
DELETE /v0/pipes/by_org | | ADMIN PIPES:DROP:by_org
GET /v0/tokens | | ADMIN TOKENS
POST /v0/tokens/?name=n&scope=PIPES:READ:on_top | | ADMIN TOKENS
GET /v0/tokens/n | | ADMIN TOKENS
POST /v0/tokens/n/refresh | | ADMIN TOKENS
PUT /v0/tokens/n?description=x | | ADMIN TOKENS
DELETE /v0/tokens/n | | ADMIN TOKENS
"#;

/// One request of the matrix.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) body: &'static str,
    allowed: Vec<&'static str>,
}

pub(crate) fn rows() -> Vec<Row> {
    let lines = MATRIX.lines().filter(|line| !line.is_empty());
    let row = |line: &'static str| {
        let mut parts = line.split(" |").map(str::trim);
        let (request, body, allowed) = (parts.next(), parts.next(), parts.next());
        let (method, path) = request.and_then(|request| request.split_once(' '))?;
        let allowed = match allowed? {
            "all" => SCOPES.to_vec(),
            scopes => scopes.split(' ').collect(),
        };
        Some(Row {
            method,
            path,
            body: body?,
            allowed,
        })
    };
    lines
        .map(|line| row(line).unwrap_or_else(|| panic!("{line}")))
        .collect()
}

impl Row {
    /// Whether this is a request to a route as the description writes it.
    fn is_of(&self, method: &str, template: &str) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let (path, template) = (path.trim_end_matches('/').split('/'), template.split('/'));
        self.method.eq_ignore_ascii_case(method)
            && path.clone().count() == template.clone().count()
            && path
                .zip(template)
                .all(|(part, wanted)| wanted.starts_with('{') || part == wanted)
    }
}

#[test]
fn every_route_has_its_scope() {
    let (_project, server) = started();
    for (path, body) in [
        ("/v0/pipes", "name=spare&sql=select 1"),
        ("/v0/pipes", "name=copier&sql=select org, value from events"),
        (
            "/v0/pipes/copier/nodes/copier_0/copy",
            "target_datasource=events&schedule_cron=0 0 1 1 *",
        ),
    ] {
        let made = server.ask(ADMIN, "POST", path, body);
        assert_eq!(made.status, 200, "{}", made.text());
    }
    let tokens: Vec<(&str, String)> = SCOPES
        .iter()
        .enumerate()
        .map(|(at, scope)| (*scope, token(&server, &format!("t{at}"), &[scope])))
        .collect();
    let mut wrong = Vec::new();
    for row in rows() {
        let Row {
            method, path, body, ..
        } = row;
        // The admin last: what is deleted is gone from the scopes of the others.
        for (scope, secret) in tokens.iter().rev() {
            let answer = server.ask(secret, method, path, body);
            // What is allowed may still be wrong (the thing is gone by now): only the right to it is looked at.
            let allowed = answer.status != 403;
            if allowed != row.allowed.contains(scope) || answer.status >= 500 {
                wrong.push(format!(
                    "{scope} {method} {path}: {} {}",
                    answer.status,
                    answer.text()
                ));
            }
        }
        for secret in ["", "p.unknown"] {
            let answer = server.ask(secret, method, path, body);
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    both_scopes(&server);
}

/// What needs two scopes or three.
fn both_scopes(server: &Server) {
    // With both scopes, a copy is set and run, rows are replaced, and rows that a copy would leave only with a third.
    let (made, all) = (
        ["PIPES:CREATE", "DATASOURCES:APPEND:events"],
        [
            "PIPES:READ:copier",
            "DATASOURCES:APPEND:events",
            "DATASOURCES:DROP:events",
        ],
    );
    let (made, two, all) = (
        token(server, "made", &made),
        token(server, "two", &all[..2]),
        token(server, "all", &all),
    );
    let (set, run) = (
        "/v0/pipes/copier/nodes/copier_0/copy",
        "/v0/pipes/copier/copy",
    );
    for (secret, path, status) in [
        (&made, format!("{set}?target_datasource=events"), 200),
        (&made, run.to_owned(), 403),
        (&two, run.to_owned(), 200),
        (&two, format!("{run}?_mode=replace"), 403),
        (&all, format!("{run}?_mode=replace"), 200),
        (&all, format!("{set}?target_datasource=events"), 403),
        (
            &all,
            "/v0/datasources?name=events&mode=replace&replace_truncate_when_empty=true".to_owned(),
            200,
        ),
    ] {
        let answer = server.ask(secret, "POST", &path, "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    // With both scopes, a statement is explained.
    let both = token(
        server,
        "both",
        &["PIPES:READ:on_top", "DATASOURCES:READ:events"],
    );
    assert_eq!(
        server
            .ask(&both, "GET", "/v0/pipes/on_top/explain", "")
            .status,
        200
    );
}

/// A route that nobody has thought of here is a route whose rights nobody has looked at.
#[test]
fn no_route_is_missing_in_the_matrix() {
    let (_project, server) = started();
    let rows = rows();
    let described = server.get("/openapi.json").json();
    let paths = described["paths"].as_object().expect("paths");
    let is_management = |operation: &Value| operation["tags"][0] == "management";
    let mut missing = Vec::new();
    for (path, item) in paths {
        let methods = item.as_object().expect("methods");
        if !methods.values().any(is_management) {
            continue;
        }
        for method in methods.keys() {
            if !rows.iter().any(|row| row.is_of(method, path)) {
                missing.push(format!("{method} {path}"));
            }
        }
        // What the router takes, whether it is described or not.
        let asked = path.replace(['{', '}'], "");
        let refused = server.ask(ADMIN, "PATCH", &asked, "");
        assert_eq!(refused.status, 405, "{path}");
        let line = refused
            .headers
            .lines()
            .find_map(|line| line.strip_prefix("allow: "))
            .expect("the methods");
        for method in line
            .split(',')
            .map(str::trim)
            .filter(|method| *method != "head")
        {
            if !rows.iter().any(|row| row.is_of(method, path)) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    // The rows are of routes that are there.
    for row in &rows {
        let known = paths.iter().any(|(path, item)| {
            item.as_object()
                .expect("methods")
                .keys()
                .any(|method| row.is_of(method, path))
        });
        let is_data = row.path.contains(".csv");
        assert!(known || is_data, "{} {}", row.method, row.path);
    }
}
