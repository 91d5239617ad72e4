//! What was answered is there after a crash, at whatever moment it comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{ADMIN, Project, Server};

/// Sends a request; `None` when the server is gone.
fn try_send(server: &Server, path: &str, body: &str) -> Option<u16> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(server.address()).ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn nothing_that_was_answered_is_lost_by_a_crash() {
    let project = Project::new(&[
        ("t.datasource", "SCHEMA >\n    `a` Int32\n"),
        ("first.pipe", "NODE n\nSQL >\n    SELECT a FROM t\n"),
    ]);
    let mut expected: Vec<String> = vec!["first".to_owned()];
    for round in 0..2 {
        let server = Server::start(&project);
        let listed = server.get("/v0/pipes?attrs=name").json();
        let found: Vec<&str> = listed["pipes"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|pipe| pipe["name"].as_str())
            .collect();
        assert!(
            expected.iter().all(|name| found.contains(&name.as_str())),
            "{expected:?} {found:?}"
        );
        // A change is there whole or not at all: every pipe that is there answers.
        for name in &found {
            let answer = server.get(&format!("/v0/sql?q=SELECT+count()+FROM+{name}"));
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
        let stop = AtomicBool::new(false);
        let made = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (server, stop) = (&server, &stop);
                    scope.spawn(move || {
                        let mut made = Vec::new();
                        for number in 0.. {
                            let name = format!("p_{round}_{writer}_{number}");
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            if try_send(
                                server,
                                "/v0/pipes",
                                &format!("name={name}&sql=select a from t"),
                            ) != Some(200)
                            {
                                break;
                            }
                            made.push(name.clone());
                            let view = format!(
                                "/v0/pipes/{name}/nodes?type=materialized&datasource=d_{name}"
                            );
                            if number % 5 == 0
                                && try_send(server, &view, "select a + 1 as b from t") != Some(200)
                            {
                                break;
                            }
                        }
                        made
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(900));
            server.kill();
            stop.store(true, Ordering::Relaxed);
            writers
                .into_iter()
                .flat_map(|writer| writer.join().expect("a writer ends"))
                .collect::<Vec<_>>()
        });
        assert!(!made.is_empty());
        expected.extend(made);
    }
    let server = Server::start(&project);
    let listed = server.get("/v0/pipes?attrs=name").json();
    assert!(listed["pipes"].as_array().expect("a list").len() >= expected.len());
}
