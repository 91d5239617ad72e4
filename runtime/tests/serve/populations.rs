//! Views are filled with the rows that were there before them, and go when that fails.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::datasources::{ended, rows, send, shape, started};
use crate::harness::Answer;

#[test]
fn a_view_is_filled_with_the_rows_of_before() {
    let (_project, server) = started();
    let lines =
        "{\"site\":\"a\",\"hits\":1}\n{\"site\":\"a\",\"hits\":2}\n{\"site\":\"b\",\"hits\":3}\n";
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/datasources?name=hits&mode=append",
            lines
        )
        .status,
        200
    );
    let made = [
        (
            "/v0/pipes?name=per_site",
            "{\"name\":\"per_site\",\"nodes\":[{\"name\":\"n\",\"sql\":\"select site, countState() as visits from hits group by site\"},{\"name\":\"other\",\"sql\":\"select 1\"}]}",
        ),
        (
            "/v0/pipes/per_site/nodes/n/materialization?datasource=visits",
            "",
        ),
    ];
    for (path, body) in made {
        let answer = send(&server, "POST", path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let found = "SELECT site, countMerge(visits) FROM visits GROUP BY site ORDER BY site";
    assert_eq!(rows(&server, found), "");
    let path = "/v0/pipes/per_site/nodes/n/population";
    let asked = send(
        &server,
        "POST",
        &format!("{path}?populate_condition=hits%3E1"),
        "",
    );
    assert_snapshot!("populate", shape(&asked));
    assert_eq!(ended(&server, &asked)["status"], "done");
    assert_eq!(rows(&server, found), "a\t1\nb\t1\n");
    let asked = send(&server, "POST", &format!("{path}?truncate=true"), "");
    let job = ended(&server, &asked);
    assert_eq!(
        (&job["status"], &job["statistics"]["rows"]),
        (&json!("done"), &json!(3))
    );
    assert_eq!(rows(&server, found), "a\t2\nb\t1\n");
    // The view goes on with what comes.
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/events?name=hits&wait=true",
            "{\"site\":\"b\",\"hits\":9}"
        )
        .status,
        200
    );
    assert_eq!(rows(&server, found), "a\t2\nb\t2\n");
    for (path, status) in [
        ("/v0/pipes/per_site/nodes/other/population", 400),
        ("/v0/pipes/per_site/nodes/nothing/population", 404),
        ("/v0/pipes/nothing/nodes/n/population", 404),
        (
            "/v0/pipes/per_site/nodes/n/population?populate_subset=2",
            400,
        ),
        (
            "/v0/pipes/per_site/nodes/n/population?populate_subset=some",
            400,
        ),
        (
            "/v0/pipes/per_site/nodes/n/population?populate_subset=0",
            400,
        ),
        (
            "/v0/pipes/per_site/nodes/n/population?populate_subset=0.2",
            400,
        ),
        (
            "/v0/pipes/per_site/nodes/n/population?populate_condition=nothing",
            400,
        ),
        (
            "/v0/pipes/per_site/nodes/n/population?truncate=perhaps",
            400,
        ),
    ] {
        let answer = send(&server, "POST", path, "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[test]
fn a_view_is_populated_when_it_is_made_and_goes_when_that_fails() {
    let (_project, server) = started();
    let path = "/v0/datasources?name=hits&mode=append";
    let lines = "{\"site\":\"1\",\"hits\":1}\n{\"site\":\"2\",\"hits\":2}\n";
    assert_eq!(send(&server, "POST", path, lines).status, 200);
    let done = |path: &str, body: &str| {
        let answer = send(&server, "POST", path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    };
    done(
        "/v0/pipes?name=numbers_of",
        "{\"name\":\"numbers_of\",\"nodes\":[{\"name\":\"n\",\"sql\":\"select toUInt32(site) as number, hits from hits\"}]}",
    );
    let made = done(
        "/v0/pipes/numbers_of/nodes/n/materialization?datasource=found&populate=true&populate_condition=hits%3E1",
        "",
    );
    assert_eq!(ended(&server, &made)["status"], "done");
    assert_eq!(rows(&server, "SELECT number FROM found"), "2\n");
    let made = done(
        "/v0/pipes/numbers_of/nodes?name=more&type=materialized&datasource=more_found&populate=true",
        "select toUInt32(site) + 1 as number from hits",
    );
    assert!(made.json()["materialized"].is_string(), "{}", made.text());
    assert_eq!(ended(&server, &made)["statistics"]["rows"], 2);
    assert_eq!(
        rows(&server, "SELECT number FROM more_found ORDER BY number"),
        "2\n3\n"
    );
    // What cannot be asked for is not made.
    let before = server.get("/v0/pipes").json();
    let wrong = send(
        &server,
        "POST",
        "/v0/pipes/numbers_of/nodes?name=wrong&type=materialized&datasource=wrong_found&populate=true&populate_condition=nothing",
        "select site from hits",
    );
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert_eq!(
        without_times(server.get("/v0/pipes").json()),
        without_times(before)
    );
    assert_eq!(server.get("/v0/datasources/wrong_found").status, 404);
    // A row of before that the view cannot take: at the first failure the view goes, later ones leave it unless asked to take it along.
    assert_eq!(
        send(&server, "POST", "/v0/datasources/hits/truncate", "").status,
        205
    );
    for node in ["n", "more"] {
        let path = format!("/v0/pipes/numbers_of/nodes/{node}/materialization");
        assert_eq!(send(&server, "DELETE", &path, "").status, 204);
    }
    let bad = "{\"site\":\"no number\",\"hits\":3}\n";
    assert_eq!(send(&server, "POST", path, bad).status, 200);
    let is_view =
        || !server.get("/v0/pipes/numbers_of").json()["nodes"][0]["materialized"].is_null();
    let path = "/v0/pipes/numbers_of/nodes/n/materialization?datasource=found";
    let failed = |asked: &Answer| {
        let job = ended(&server, asked);
        assert_eq!(job["status"], "error", "{job}");
    };
    let gone = || {
        let until = Instant::now() + Duration::from_secs(20);
        while is_view() {
            assert!(Instant::now() < until, "the view is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    failed(&done(&format!("{path}&populate=true"), ""));
    gone();
    done(path, "");
    let populate = "/v0/pipes/numbers_of/nodes/n/population";
    failed(&done(populate, ""));
    assert!(is_view());
    failed(&done(
        &format!("{populate}?unlink_on_populate_error=true"),
        "",
    ));
    gone();
    // Without the view, rows that it could not take are taken.
    assert_eq!(
        send(&server, "POST", "/v0/events?name=hits&wait=true", bad).status,
        200
    );
    assert_eq!(rows(&server, "SELECT count() FROM hits"), "2\n");
}

#[test]
fn a_data_source_keeps_its_rows_when_the_view_that_overrides_it_cannot_be_populated() {
    let (_project, server) = started();
    let done = |path: &str, body: &str| {
        let answer = send(&server, "POST", path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    for name in ["hits", "kept"] {
        if name == "kept" {
            done(
                "/v0/datasources?mode=create&name=kept&schema=site+String+%60json:$.site%60,hits+UInt32+%60json:$.hits%60",
                "",
            );
        }
        let path = format!("/v0/datasources?name={name}&mode=append");
        done(
            &path,
            "{\"site\":\"a\",\"hits\":1}\n{\"site\":\"b\",\"hits\":2}\n",
        );
    }
    done(
        "/v0/pipes?name=view&sql=select+site,+hits+%2B+1+as+more+from+hits",
        "",
    );
    let made = "/v0/pipes/view/nodes/view_0/materialization?datasource=kept&override_datasource=true&populate=true";
    let before = without_times(server.get("/v0/datasources/kept").json());
    for wrong in ["populate_condition=nothing", "populate_subset=3"] {
        let answer = send(&server, "POST", &format!("{made}&{wrong}"), "");
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
        assert_eq!(
            rows(&server, "SELECT site, hits FROM kept ORDER BY site"),
            "a\t1\nb\t2\n",
            "{wrong}"
        );
        assert_eq!(
            without_times(server.get("/v0/datasources/kept").json()),
            before
        );
    }
    let made = send(&server, "POST", made, "");
    assert_eq!(ended(&server, &made)["status"], "done");
    assert_eq!(
        rows(&server, "SELECT site, more FROM kept ORDER BY site"),
        "a\t2\nb\t3\n"
    );
}

fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.retain(|key, _| !key.ends_with("_at") && !key.ends_with("_date"));
            map.values_mut()
                .for_each(|value| *value = without_times(value.take()));
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| *value = without_times(value.take())),
        _ => {}
    }
    value
}

/// The same request to a data source that was deleted and made anew, as to one that never was.
#[test]
fn a_data_source_that_is_made_anew_has_not_been_through_what_another_of_its_name_has() {
    let (_project, server) = started();
    let ask = |method: &str, path: &str, body: &str| {
        let answer = send(&server, method, path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer
    };
    let rows_of = |mode: &str| format!("/v0/datasources?name=hits&mode={mode}");
    let lines = "{\"site\":\"1\",\"hits\":1}\n{\"site\":\"2\",\"hits\":2}\n";
    ask("POST", &rows_of("append"), lines);
    for _ in 0..2 {
        ask(
            "POST",
            "/v0/pipes?name=copied&sql=select+hits+from+hits",
            "",
        );
        let path = "/v0/pipes/copied/nodes/copied_0/materialization?datasource=again&populate=true";
        assert_eq!(ended(&server, &ask("POST", path, ""))["status"], "done");
        ask("POST", &rows_of("replace"), lines);
        assert_eq!(rows(&server, "SELECT sum(hits) FROM again"), "3\n");
        ask(
            "POST",
            "/v0/datasources?name=again&mode=append",
            "{\"hits\":7}\n",
        );
        ask("DELETE", "/v0/pipes/copied", "");
        ask("DELETE", "/v0/datasources/again?force=true", "");
    }
}
