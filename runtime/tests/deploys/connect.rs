//! Connectors: their statements are ClickHouse's, their rows take the way of all rows, and what differs is made anew. The engine here stands for a server.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use pipewright::ingest::{Append, Format};
use pipewright::secrets::Secrets;
use pipewright_compiler::connect::{Connector, StatementKind, connectors};

use super::*;

const BROKER: &str = "TYPE kafka\nKAFKA_BOOTSTRAP_SERVERS 127.0.0.1:1\nKAFKA_SECURITY_PROTOCOL plaintext\nKAFKA_KEY me\nKAFKA_SECRET {{ tb_secret(\"hush\") }}\n";

fn clicks(topic: &str) -> String {
    datasource(
        "`id` UInt32 `json:$.id`,\n`__offset` Int64,\n`__headers` Map(String, String)",
        &format!(
            "ENGINE MergeTree\nENGINE_SORTING_KEY id, __timestamp\nKAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC {topic}\nKAFKA_GROUP_ID g\nKAFKA_STORE_RAW_VALUE True\n"
        ),
    )
}

fn secrets() -> Secrets {
    Secrets::from_iter([
        ("hush".to_owned(), "opensesame".to_owned()),
        ("id".to_owned(), "k'1".to_owned()),
    ])
}

fn named<'a>(connectors: &'a [Connector], owner: &str) -> &'a Connector {
    let found = connectors.iter().find(|found| found.owner == owner);
    found.expect("the connector")
}

#[tokio::test]
async fn messages_go_into_the_data_source_or_its_quarantine() {
    let bench = Bench::new().await;
    let files = [
        ("clicks.datasource", &*clicks("a")),
        ("broker.connection", BROKER),
    ];
    let (plan, _) = bench.deploy(&files, None).await;
    let engine = bench.engine.as_ref();
    let connect = |plan: Plan| async move {
        deploy::connect(&plan, engine, &secrets(), &Silent)
            .await
            .unwrap()
    };
    assert_eq!(connect(plan).await, ["clicks"]);
    // What a message brings, without a broker.
    bench
        .execute("INSERT INTO connector__clicks__rows VALUES ('{\"id\":7}', 't', 3, 40, '2026-01-02 03:04:05', 'k', map('a', 'b')), ('{\"id\":-1}', 't', 3, 41, NULL, '', map()), ('no json', 't', 3, 42, NULL, '', map())")
        .await;
    assert_eq!(
        bench.tsv("SELECT * FROM clicks").await,
        "7\t40\t{'a':'b'}\t{\"id\":7}\tt\t3\t2026-01-02 03:04:05\tk\n"
    );
    assert_eq!(
        bench
            .tsv("SELECT c__error_column, c__error, id FROM clicks_quarantine ORDER BY c__error")
            .await,
        "['id']\t['cannot read as UInt32: -1']\t-1\n['']\t['not a JSON object: no json']\t\\N\n"
    );
    // Rows that are sent have the columns of the file, and no more.
    let table = checked(&files);
    let append = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let rows = futures::stream::iter([Ok(bytes::Bytes::from_static(b"8,1,{}\n"))]);
    let table = table.table("clicks").unwrap();
    let appended = bench.ingest.append(table, &append, rows).await.unwrap();
    assert_eq!(appended.counts.successful, 1, "{:?}", appended.counts);
    // The credential is in the collection, and nowhere else.
    let shown = bench
        .tsv("SELECT create_table_query FROM system.tables WHERE name LIKE 'connector%'")
        .await;
    assert!(shown.contains("Kafka(pipewright_broker)") && !shown.contains("opensesame"));
    let made = "SELECT uuid FROM system.tables WHERE name = 'connector__clicks'";
    let before = bench.tsv(made).await;
    assert!(connect(checked(&files)).await.is_empty());
    assert_eq!(bench.tsv(made).await, before);
    // Another topic: the table is made anew, and a plan says so before.
    let other = checked(&[
        ("clicks.datasource", &clicks("b")),
        ("broker.connection", BROKER),
    ]);
    let pending = deploy::pending(&other, engine).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert!(!format!("{pending:?}").contains("opensesame"));
    assert_eq!(connect(other).await, ["clicks"]);
    assert_ne!(bench.tsv(made).await, before);
    // A deploy neither takes these tables for its own nor asks them for rows.
    let gone = [("clicks.datasource", &*datasource("`id` UInt32", KEYS))];
    deploy::disconnect(engine).await.unwrap();
    let feeds = "SELECT count() FROM system.tables WHERE name LIKE 'connector%feed'";
    assert_eq!(bench.tsv(feeds).await, "0\n");
    let (plan, _) = bench.deploy(&gone, None).await;
    assert!(connect(plan).await.is_empty());
    let left = "SELECT count() FROM system.tables WHERE name LIKE 'connector%'";
    assert_eq!(bench.tsv(left).await, "0\n");
}

#[tokio::test]
async fn every_statement_is_clickhouse_s_and_those_that_need_no_keeper_run() {
    let bench = Bench::new().await;
    let store = "TYPE s3\nS3_REGION eu-west-1\nS3_ACCESS_KEY {{ tb_secret(\"id\") }}\nS3_SECRET {{ tb_secret(\"hush\") }}\n";
    let bucket = "IMPORT_CONNECTION_NAME store\nIMPORT_BUCKET_URI s3://bucket/rows/*";
    let source = |keys: &str| datasource("`id` UInt32 `json:$.id`", &format!("{KEYS}{keys}\n"));
    let node = "NODE n\nSQL >\n    SELECT id, now() AS at FROM clicks\nTYPE sink\n";
    let files: Vec<(&str, String)> = vec![
        ("clicks.datasource", clicks("a")),
        ("avro.datasource", source("KAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_VALUE_FORMAT avro")),
        ("raw.datasource", datasource("`__value` String", "KAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_STORE_RAW_VALUE True\n")),
        ("auto.datasource", source(&format!("{bucket}\nIMPORT_SCHEDULE @auto"))),
        ("csv.datasource", datasource("`id` UInt32,\n`name` String", &format!("{KEYS}{bucket}\nIMPORT_SCHEDULE @auto\n"))),
        ("parquet.datasource", source(&format!("{bucket}\nIMPORT_SCHEDULE @on-demand\nIMPORT_FORMAT parquet"))),
        ("iceberg.datasource", source(&format!("{bucket}\nIMPORT_SCHEDULE @on-demand\nIMPORT_FORMAT iceberg"))),
        ("users.datasource", source("PG_CONNECTION_NAME shop\nPG_TABLE public.users")),
        ("topic.pipe", format!("{node}EXPORT_CONNECTION_NAME broker\nEXPORT_KAFKA_TOPIC out\n")),
        ("files.pipe", format!("{node}EXPORT_CONNECTION_NAME store\nEXPORT_BUCKET_URI s3://b/out\nEXPORT_FILE_TEMPLATE {{at, '%Y'}}/x\nEXPORT_FORMAT parquet\n")),
        ("broker.connection", format!("{BROKER}KAFKA_SCHEMA_REGISTRY_URL http://127.0.0.1:1\n")),
        ("store.connection", store.to_owned()),
        ("shop.connection", "TYPE postgres\nPG_HOST 127.0.0.1\nPG_PORT 1\nPG_DATABASE d\nPG_USER u\nPG_PASSWORD {{ tb_secret(\"hush\") }}\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let plan = checked(&files);
    let (connectors, _) = connectors(&plan);
    assert_eq!(connectors.len(), 10);
    let secret = |name: &str| secrets().get(name).map(ToOwned::to_owned);
    for statement in connectors.iter().flat_map(|found| &found.statements) {
        for sql in [statement.sql.text(), statement.sql.filled(secret).unwrap()] {
            let query =
                Query::new("SELECT formatQuery({text:String}) != ''", "TSV").text("text", &sql);
            let answer = bench.engine.query(query).await;
            let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(&*answer.bytes().await.unwrap(), b"1\n", "{sql}");
        }
    }
    for step in pipewright_compiler::deploy::desired(&plan).0 {
        bench.execute(&step.sql_with_comment()).await;
    }
    let mut refused = Vec::new();
    for statement in connectors.iter().flat_map(|found| &found.statements) {
        // A feed would begin to read, an Iceberg table be looked for, and so would what is run.
        let reads = matches!(statement.kind, StatementKind::Feed | StatementKind::Run)
            || statement.name == "connector__iceberg";
        if reads {
            continue;
        }
        let sql = statement.sql.filled(secret).unwrap();
        if let Err(error) = bench.engine.execute(&sql).await {
            let error = error.to_string();
            // The statement is understood up to the place where a keeper is asked for.
            assert!(
                sql.contains("S3Queue") && error.contains("Zookeeper"),
                "{sql}: {error}"
            );
            refused.push(statement.name.as_str());
        }
    }
    assert_eq!(refused, ["connector__auto", "connector__csv"]);
    // Rows of files on their way.
    bench
        .execute("INSERT INTO connector__csv__rows VALUES ('1', 'a', NULL), ('x', 'b', NULL), ('2', NULL, NULL)")
        .await;
    assert_eq!(bench.tsv("SELECT * FROM csv").await, "1\ta\n");
    assert_eq!(bench.tsv("SELECT count() FROM csv_quarantine").await, "2\n");
    bench
        .execute("INSERT INTO connector__raw__rows SELECT 'any thing', 't', 0, 0, NULL, '', map()")
        .await;
    assert_eq!(
        bench.tsv("SELECT __value, __topic FROM raw").await,
        "any thing\tt\n"
    );
    let topic = named(&connectors, "topic.n").statements.last().unwrap();
    let query = topic.sql.text().split_once('\n').unwrap().1.to_owned();
    bench.execute("INSERT INTO clicks (id) VALUES (5)").await;
    let sent = bench.tsv(&query).await;
    assert!(sent.starts_with("{\"id\":5,\"at\":"), "{sent}");
}

/// Answers every request with some bytes.
fn serving(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            _ = stream.write_all(head.as_bytes());
            if !request[..length].starts_with(b"HEAD") {
                _ = stream.write_all(body);
            }
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_file_at_a_url_is_read_when_its_statement_is_run() {
    let bench = Bench::new().await;
    let csv = serving(b"name,id\nann,1\n\"b,ob\",2\neve,x\n");
    let lines = serving(b"{\"id\":3}\n{\"id\":\"no\"}\n{\"id\":4}\n");
    let keys = |address: &str, file: &str| {
        format!("{KEYS}IMPORT_BUCKET_URI {address}/{file}\nIMPORT_SCHEDULE @on-demand\n")
    };
    let files = [
        (
            "people.datasource",
            datasource("`id` UInt8,\n`name` String", &keys(&csv, "people.csv")),
        ),
        (
            "ids.datasource",
            datasource("`id` UInt8 `json:$.id`", &keys(&lines, "ids.ndjson")),
        ),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let (plan, _) = bench.deploy(&files, None).await;
    let engine = bench.engine.as_ref();
    let made = deploy::connect(&plan, engine, &Secrets::default(), &Silent)
        .await
        .unwrap();
    assert_eq!(made, ["ids", "people"]);
    let (connectors, _) = connectors(&plan);
    for statement in connectors.iter().flat_map(|found| &found.statements) {
        if statement.kind == StatementKind::Run {
            bench.execute(&statement.sql.text()).await;
        }
    }
    assert_eq!(
        bench.tsv("SELECT * FROM people ORDER BY id").await,
        "1\tann\n2\tb,ob\n"
    );
    assert_eq!(
        bench
            .tsv("SELECT c__error, name FROM people_quarantine")
            .await,
        "['cannot read as UInt8: x']\teve\n"
    );
    assert_eq!(bench.tsv("SELECT * FROM ids ORDER BY id").await, "3\n4\n");
    assert_eq!(bench.tsv("SELECT id FROM ids_quarantine").await, "no\n");
}

#[tokio::test]
async fn a_missing_secret_is_named_and_a_refusal_shows_none() {
    let bench = Bench::new().await;
    let clicks = clicks("a");
    let plan = checked(&[
        ("clicks.datasource", &clicks),
        ("broker.connection", BROKER),
    ]);
    let engine = bench.engine.as_ref();
    let error = deploy::connect(&plan, engine, &Secrets::default(), &Silent).await;
    let error = format!("{:?}", error.unwrap_err());
    assert!(error.contains("hush"), "{error}");
    // Without the data source's own table, the views are refused.
    let error = deploy::connect(&plan, engine, &secrets(), &Silent).await;
    let error = format!("{:?}", error.unwrap_err());
    assert!(
        error.contains("clicks") && !error.contains("opensesame"),
        "{error}"
    );
}
