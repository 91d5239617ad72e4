//! Parameters that are looked at before something is done: what is not understood is refused, and never taken for a no.

use crate::datasources::{ended, rows, send, started};
use crate::harness::ADMIN;

#[test]
fn a_dry_run_deletes_nothing_however_it_is_asked_for() {
    let (_project, server) = started();
    let line = "{\"site\":\"a\",\"hits\":1}\n";
    let append = "/v0/datasources?name=hits&mode=append";
    assert_eq!(send(&server, "POST", append, line).status, 200);
    let delete = "/v0/datasources/hits/delete?delete_condition=hits%3D1";
    for spelled in ["TRUE", "true", "1"] {
        let path = format!("{delete}&dry_run={spelled}");
        let answer = send(&server, "POST", &path, "");
        assert_eq!(answer.status, 200, "{spelled}: {}", answer.text());
        assert_eq!(answer.json()["rows_to_be_deleted"], 1, "{spelled}");
    }
    let answer = server.ask(ADMIN, "POST", delete, "{\"dry_run\":true}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    for unknown in ["yes", "perhaps"] {
        let answer = send(&server, "POST", &format!("{delete}&dry_run={unknown}"), "");
        assert_eq!(answer.status, 400, "{unknown}: {}", answer.text());
        let events = format!("/v0/events?name=hits&wait={unknown}");
        let answer = send(&server, "POST", &events, line);
        assert_eq!(answer.status, 400, "{unknown}: {}", answer.text());
    }
    assert_eq!(rows(&server, "SELECT count() FROM hits"), "1\n");
}

#[test]
fn a_condition_is_looked_at_before_rows_are_deleted() {
    let (_project, server) = started();
    let delete = "/v0/datasources/hits/delete?delete_condition=";
    for wrong in [
        "nothing%3D1",
        "count()%3E1",
        "hits%3D1)%20OR%20(1",
        "hits%20IN%20(SELECT%20hits%20FROM%20plain)",
    ] {
        let answer = send(&server, "POST", &format!("{delete}{wrong}"), "");
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
}

#[test]
fn a_job_that_has_ended_is_not_cancelled_again() {
    let (_project, server) = started();
    let delete = "/v0/datasources/hits/delete?delete_condition=hits%3D1";
    let asked = send(&server, "POST", delete, "");
    let job = ended(&server, &asked);
    let path = format!("/v0/jobs/{}/cancel", job["id"].as_str().expect("an id"));
    for _ in 0..2 {
        let answer = send(&server, "POST", &path, "");
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
}

#[test]
fn a_place_in_a_query_is_the_place_in_what_was_sent() {
    let (_project, server) = started();
    let shown = server.get("/v0/datasources/hits").json();
    let id = shown["id"].as_str().expect("an id");
    let query = format!("SELECT site FROM {id} WHERE hits = 1 AND nothing = 2");
    let place = query.find("nothing").expect("it is there");
    let answer = send(&server, "POST", "/v0/sql", &query);
    let said = answer.json()["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(said.starts_with(&format!("q, byte {place}: ")), "{said}");
}
