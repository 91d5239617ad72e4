//! What the log never has: tokens, and values of whoever asks.

use crate::guarded::{project, token};
use crate::harness::{ADMIN, Server, serve};
use crate::matrix::rows;

/// What stands for a value in parameters, rows, queries and variables.
const VALUE: &str = "v4lue0fsomebody";

#[test]
fn no_token_and_no_value_is_in_any_line() {
    let project = project();
    let mut command = serve(project.path(), &["--admin-token", ADMIN]);
    command.env("PIPEWRIGHT_LOG", "trace");
    let server = Server::run(command);
    let reader = token(
        &server,
        "reader",
        &["PIPES:READ:by_org", "DATASOURCES:READ:events:org = 1"],
    );
    let made = server.ask(ADMIN, "POST", "/v0/pipes", "name=spare&sql=select 1");
    assert_eq!(made.status, 200);
    // Before every route, as some of them take things away.
    let wrong_row = format!("{{\"org\": \"{VALUE}\"}}\n{{\"{VALUE}");
    for (method, path, body) in [
        (
            "GET",
            format!("/v0/pipes/by_org.json?below={VALUE}"),
            String::new(),
        ),
        (
            "POST",
            "/v0/pipes/by_org.json".to_owned(),
            format!("below={VALUE}"),
        ),
        (
            "POST",
            "/v0/pipes/by_org.json".to_owned(),
            format!("{{\"below\": \"{VALUE}\"}}"),
        ),
        (
            "POST",
            "/v0/pipes/by_org.json".to_owned(),
            format!("{{\"below\": \"{VALUE}"),
        ),
        (
            "POST",
            "/v0/sql".to_owned(),
            format!("SELECT '{VALUE}', toInt32('{VALUE}')"),
        ),
        ("POST", "/v0/sql".to_owned(), format!("SELECT {VALUE} FROM")),
        (
            "POST",
            "/v0/events?name=events&wait=true".to_owned(),
            wrong_row.clone(),
        ),
        ("POST", "/v0/events?name=events".to_owned(), wrong_row),
        (
            "POST",
            "/v0/datasources?name=events&mode=append&format=csv".to_owned(),
            format!("{VALUE},2\n"),
        ),
        (
            "POST",
            "/v0/datasources/events/delete".to_owned(),
            format!("delete_condition=toString(org) = '{VALUE}'"),
        ),
        (
            "POST",
            "/v0/variables".to_owned(),
            format!("name=hush&value={VALUE}"),
        ),
        ("GET", format!("/v0/tokens/{VALUE}"), String::new()),
    ] {
        for secret in [ADMIN, reader.as_str(), VALUE] {
            let answer = server.ask(secret, method, &path, &body);
            assert!(answer.status < 500, "{method} {path}: {}", answer.text());
            let sign = if path.contains('?') { '&' } else { '?' };
            server.send(
                method,
                &format!("{path}{sign}token={secret}"),
                &[],
                body.as_bytes(),
            );
        }
    }
    for row in rows() {
        for secret in [reader.as_str(), ADMIN] {
            server.ask(secret, row.method, row.path, row.body);
        }
    }
    let (_, messages) = server.interrupt();
    assert!(messages.contains("serving"), "{messages}");
    for line in messages.lines() {
        for hidden in [ADMIN, reader.as_str(), VALUE] {
            assert!(!line.contains(hidden), "{line}");
        }
    }
}
