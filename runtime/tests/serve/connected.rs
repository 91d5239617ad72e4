//! Connectors on a ClickHouse server while a version of the project is deployed there over HTTP.

use serde_json::json;

use crate::clickhouse::ClickHouse;
use crate::copies::admin;
use crate::harness::{Project, Server};

const BROKER: &str = "TYPE kafka\nKAFKA_BOOTSTRAP_SERVERS 127.0.0.1:1\nKAFKA_SECURITY_PROTOCOL plaintext\nKAFKA_KEY me\nKAFKA_SECRET {{ tb_secret(\"hush\") }}\n";

fn clicks(topic: &str, key: &str) -> String {
    format!(
        "SCHEMA >\n    `id` UInt32 `json:$.id`\n\nENGINE MergeTree\nENGINE_SORTING_KEY {key}\nKAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC {topic}\nKAFKA_GROUP_ID g\n"
    )
}

#[test]
fn a_deploy_over_http_connects_what_it_has_changed() {
    let clickhouse = ClickHouse::start();
    let settings = format!(
        "[server]\nclickhouse_url = \"http://{}\"\n",
        clickhouse.address
    );
    let project = Project::new(&[
        ("pipewright.toml", &settings),
        (".env.local", "hush=opensesame\n"),
        ("broker.connection", BROKER),
        ("clicks.datasource", &clicks("a", "id")),
    ]);
    let server = Server::start(&project);
    let topics = || {
        clickhouse.ask("SELECT extract(create_table_query, 'kafka_topic_list = .([a-z]+)'), (SELECT count() FROM system.tables WHERE name LIKE 'connector%feed') FROM system.tables WHERE name = 'connector__clicks'")
    };
    assert_eq!(topics(), "a\t1");
    let deploy = |topic: &str, key: &str| {
        let files = json!({ "broker.connection": BROKER, "clicks.datasource": clicks(topic, key) });
        let body = json!({ "files": files }).to_string();
        admin(&server, "POST", "/v1/deploy?wait=true", &body)
    };
    // A table that is made anew, and a connector that is.
    for (topic, key) in [("a", "id % 7, id"), ("b", "id % 7, id")] {
        let rows = clickhouse.ask("SELECT count() FROM clicks");
        let deployed = deploy(topic, key);
        assert_eq!(deployed.status, 200, "{}", deployed.text());
        let is_live = &deployed.json()["deployment"]["live"];
        assert_eq!(*is_live, true, "{}", deployed.text());
        assert_eq!(topics(), format!("{topic}\t1"));
        let sorted = clickhouse.ask("SELECT sorting_key FROM system.tables WHERE name = 'clicks'");
        assert_eq!(sorted.trim_matches(['(', ')']), key);
        let event = "{\"id\": 1}";
        let sent = admin(&server, "POST", "/v0/events?name=clicks&wait=true", event);
        assert_eq!(sent.status, 200, "{}", sent.text());
        let before: u64 = rows.parse().expect("a number");
        assert_eq!(
            clickhouse.ask("SELECT count() FROM clicks"),
            (before + 1).to_string()
        );
    }
    // What is refused leaves what was there connected.
    let none = json!({ "files": { "broker.connection": BROKER } }).to_string();
    let refused = admin(&server, "POST", "/v1/deploy?wait=true", &none);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(topics(), "b\t1");
}
