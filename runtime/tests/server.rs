//! A real ClickHouse server, started for these tests if one is installed.
//!
//! Without `clickhouse-server` on this machine the tests pass and say that they were skipped, unless `REQUIRE_SERVER`
//! is set. They hold for any version, so that an old server shows what is refused and a new one what works.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use pipewright::engine::{Config, Engine, EngineError, Insert, Query, open, server};

/// A server of its own for each test, ended when dropped.
struct Running {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server; `None` when none is installed.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn start() -> Option<Running> {
    let Some(program) = program() else {
        assert!(
            std::env::var_os("REQUIRE_SERVER").is_none(),
            "REQUIRE_SERVER is set, but clickhouse-server is not installed"
        );
        eprintln!("skipped: clickhouse-server is not installed");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let root = folder.path().display();
    let config = format!(
        "<yandex>
            <logger><level>error</level><log>{root}/log</log><errorlog>{root}/errors</errorlog></logger>
            <http_port>{port}</http_port>
            <listen_host>127.0.0.1</listen_host>
            <path>{root}/data/</path>
            <tmp_path>{root}/tmp/</tmp_path>
            <users_config>config.xml</users_config>
            <default_profile>default</default_profile>
            <default_database>default</default_database>
            <mark_cache_size>100000000</mark_cache_size>
            <profiles><default></default></profiles>
            <quotas><default></default></quotas>
            <users><default>
                <password></password>
                <networks><ip>127.0.0.1</ip></networks>
                <profile>default</profile>
                <quota>default</quota>
            </default></users>
        </yandex>"
    );
    std::fs::write(folder.path().join("config.xml"), config).unwrap();
    let child = Command::new(program)
        .arg(format!("--config-file={root}/config.xml"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some(Running {
        child,
        url: format!("http://127.0.0.1:{port}"),
        folder,
    })
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join("clickhouse-server"))
        .find(|file| file.is_file())
}

impl Running {
    async fn engine(&self) -> std::sync::Arc<dyn Engine> {
        let start = Instant::now();
        loop {
            match open(Config::Server(server::Config::new(&self.url))).await {
                Ok(engine) => return engine,
                Err(error) if start.elapsed() > Duration::from_secs(20) => {
                    let log = std::fs::read_to_string(self.folder.path().join("errors"))
                        .unwrap_or_default();
                    panic!("{error}\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

async fn text(engine: &dyn Engine, query: Query) -> Result<String, EngineError> {
    let bytes = engine.query(query).await?.bytes().await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

async fn tsv(engine: &dyn Engine, sql: &str) -> String {
    text(engine, Query::new(sql, "TabSeparated"))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Whether the server has what came with the release.
fn has(engine: &dyn Engine, release: (u32, u32)) -> bool {
    let mut numbers = engine
        .version()
        .split('.')
        .map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= release
}

#[tokio::test]
async fn a_server_answers_like_the_embedded_engine() {
    let Some(server) = start() else { return };
    let engine = server.engine().await;
    let engine = engine.as_ref();

    let json = text(
        engine,
        Query::new("SELECT number AS n FROM numbers(2) -- two;", "JSON"),
    )
    .await
    .unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"], 2);
    assert_eq!(
        text(engine, Query::new("SELECT 1 AS a;", "CSVWithNames"))
            .await
            .unwrap(),
        "\"a\"\n1\n"
    );
    assert_eq!(tsv(engine, "SELECT 1 WHERE 0").await, "");
    let columns = engine.describe("SELECT toUInt8(1) AS a, 'x' AS b").await;
    match columns {
        Ok(columns) => assert_eq!(
            (columns[0].type_name.as_str(), columns[1].name.as_str()),
            ("UInt8", "b")
        ),
        Err(error) => assert!(
            !has(engine, (19, 1)) && error.to_string().contains(engine.version()),
            "{error}"
        ),
    }

    engine
        .execute("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
        .await
        .unwrap();
    let insert = Insert {
        target: "t".to_owned(),
        format: "CSV".to_owned(),
        settings: vec![("max_insert_block_size".to_owned(), "1000".to_owned())],
    };
    let chunks = ["1,\"a\"\n2,\"", "b\"\n"].map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
    engine
        .insert(insert.clone(), stream::iter(chunks).boxed())
        .await
        .unwrap();
    assert_eq!(
        tsv(engine, "SELECT a, s FROM t ORDER BY a").await,
        "1\ta\n2\tb\n"
    );
    let bad = stream::iter([Ok(Bytes::from_static(b"x,y\n"))]).boxed();
    let error = engine.insert(insert, bad).await.unwrap_err();
    assert!(matches!(error, EngineError::Exception { .. }), "{error:?}");

    let query = Query::new(
        "SELECT value FROM system.settings WHERE name = 'max_threads'",
        "TabSeparated",
    );
    assert_eq!(
        text(engine, query.setting("max_threads", "7"))
            .await
            .unwrap(),
        "7\n"
    );
}

#[tokio::test]
async fn errors_name_the_code_and_an_old_servers_version() {
    let Some(server) = start() else { return };
    let engine = server.engine().await;
    let engine = engine.as_ref();
    let error = text(engine, Query::new("SELECT * FROM nope", "JSON"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, EngineError::Exception { code: 60, .. }),
        "{error:?}"
    );

    let bound = Query::new("SELECT {a:String}", "TabSeparatedRaw").text("a", "it's \\ \t é");
    let parquet = Query::new("SELECT 1", "Parquet");
    let common = Query::new("WITH x AS (SELECT 1 AS a) SELECT a FROM x", "TabSeparated");
    for (query, release) in [(bound, (19, 15)), (parquet, (19, 1)), (common, (20, 10))] {
        let answer = engine.query(query.clone()).await;
        if has(engine, release) {
            answer.unwrap();
        } else {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains(engine.version()), "{error}");
        }
    }
}

#[tokio::test]
async fn statements_nobody_waits_for_are_stopped() {
    let Some(server) = start() else { return };
    let engine = server.engine().await;
    let engine = engine.as_ref();
    let endless = |mark: &str| {
        format!("SELECT sum(sipHash64(number)) FROM system.numbers WHERE '{mark}' != ''")
    };
    let start = Instant::now();
    let query = Query::new(endless("timed"), "JSON").timeout(Duration::from_millis(300));
    let error = text(engine, query).await.unwrap_err();
    assert!(matches!(error, EngineError::Timeout { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    let streamed = Query::new("SELECT number, 'timed' FROM system.numbers", "CSV");
    let mut answer = engine.query(streamed).await.unwrap();
    assert!(!answer.next().await.unwrap().unwrap().is_empty());
    drop(answer);
    let running = "SELECT count() FROM system.processes WHERE position(query, '\\'timed\\'') > 0";
    while tsv(engine, running).await != "0\n" {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{}",
            tsv(engine, "SELECT query FROM system.processes").await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let error = open(Config::Server(server::Config::new(&url)))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, EngineError::Unavailable(message) if message.contains(&url)),
        "{error:?}"
    );
}
