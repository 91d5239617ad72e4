//! A served endpoint against the engine's C API: the same point lookup on ten million rows, in one process and one run, at 1 and 8 clients.
//!
//! `cargo bench -p pipewright --bench serve` prints medians and what serving adds. A third side shows what of that is HTTP itself: a thread for each
//! connection that reads a request, calls the C API, and writes the answer, and that knows nothing but this one statement. The sides take turns, so that a machine that grows slower does so for
//! both. Clients are threads with one keep-alive connection each, so that their own work is small and is counted on our side.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipewright::catalog::Catalog;
use pipewright::engine::chdb::ffi::{Connection, Library};
use pipewright::engine::{self, Config, Engine};
use pipewright::http::{self, App};
use pipewright::secrets::Secrets;
use pipewright::state::State;
use pipewright_compiler::plan::{Plan, RequestContext};
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Values};

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 10_000_000;
const ROUNDS: usize = 8;
const REQUESTS: usize = 300;

fn main() {
    let runtime = http::threads().expect("a runtime");
    let state = tempfile::tempdir().expect("a temporary folder");
    let library =
        engine::locate().expect("the engine is installed: `cargo run --release -- engine install`");
    let engine = runtime
        .block_on(engine::open(Config::embedded(state.path())))
        .expect("the engine opens");
    runtime.block_on(fill(engine.as_ref()));
    let plan = plan();
    let address = runtime.block_on(serve(&plan, Arc::clone(&engine)));
    for clients in [1, 8] {
        compare(clients, &plan, &library, state.path(), address);
    }
    runtime.block_on(engine.shutdown());
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
fn report(line: &str) {
    println!("{line}");
}

fn sources() -> SourceTree {
    let datasource = "SCHEMA >\n    `id` UInt64,\n    `name` String,\n    `amount` Float64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let pipe = "NODE one\nSQL >\n    %\n    SELECT id, name, amount FROM items WHERE id = {{ UInt64(id, 1, description='Which item') }}\n\nNODE result\nSQL >\n    SELECT * FROM one\n\nTYPE endpoint\n";
    SourceTree::new([
        ("items.datasource".to_owned(), datasource.to_owned()),
        ("item.pipe".to_owned(), pipe.to_owned()),
    ])
}

fn plan() -> Plan {
    let (plan, diagnostics) = pipewright_compiler::check(sources());
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    plan
}

async fn fill(engine: &dyn Engine) {
    let create = "CREATE TABLE items (id UInt64, name String, amount Float64) ENGINE = MergeTree ORDER BY id";
    let insert = format!(
        "INSERT INTO items SELECT number, concat('item ', toString(number)), number / 7 FROM numbers({ROWS})"
    );
    for sql in [create, insert.as_str(), "OPTIMIZE TABLE items FINAL"] {
        engine.execute(sql).await.expect("the table is filled");
    }
}

async fn serve(plan: &Plan, engine: Arc<dyn Engine>) -> SocketAddr {
    let _ = plan;
    let state = State::in_memory().expect("a state");
    state
        .tokens()
        .ensure_admin(Some("t"))
        .expect("the admin token");
    let catalog = Catalog::open(Arc::new(state), &sources(), self::plan()).expect("the catalog");
    let app = App::new(catalog, Secrets::default(), engine)
        .await
        .expect("the app");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(http::serve(listener, app, std::future::pending()));
    address
}

/// The same identifiers on both sides, spread over the table.
fn id(request: usize) -> u64 {
    (request as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % ROWS
}

/// The statements that the endpoint sends, as the floor sends them.
fn statements(plan: &Plan) -> Vec<String> {
    let node = &plan
        .pipe("item")
        .and_then(|pipe| pipe.endpoint_node())
        .expect("the endpoint")
        .id;
    (0..REQUESTS)
        .map(|request| {
            let values: Values = [("id", id(request).to_string().into())]
                .into_iter()
                .collect();
            let context = RequestContext {
                values: &values,
                render: RenderContext::default(),
            };
            plan.compile_node(node, context)
                .expect("the request compiles")
                .sql
                .into_text()
        })
        .collect()
}

fn compare(clients: usize, plan: &Plan, library: &Path, state: &Path, address: SocketAddr) {
    let statements = statements(plan);
    let library = Library::open(library).expect("the library opens");
    let arguments = [
        "clickhouse".to_owned(),
        format!("--path={}", state.join("chdb").display()),
    ];
    let (mut floor, mut bare, mut served) = (Vec::new(), Vec::new(), Vec::new());
    let bare_address = serve_bare(library, &arguments, &statements);
    for round in 0..=ROUNDS {
        let direct = parallel(
            clients,
            || entered(library, &arguments),
            |connection: &mut Connection, at| {
                let result = connection.query(&statements[at], "JSON", &[]);
                assert!(result.error().is_none(), "{:?}", result.error());
            },
        );
        let [over_bare_http, over_http] =
            [bare_address, address].map(|address| parallel(clients, || connect(address), request));
        if round > 0 {
            floor.extend(direct);
            bare.extend(over_bare_http);
            served.extend(over_http);
        }
    }
    let (floor, bare, served) = (median(floor), median(bare), median(served));
    let added = served.as_secs_f64() - floor.as_secs_f64();
    report(&format!(
        "{clients} clients: bare HTTP adds {:.0} µs",
        (bare.as_secs_f64() - floor.as_secs_f64()) * 1e6
    ));
    report(&format!(
        "{clients} clients: C API {:.0} µs, served {:.0} µs, added {:.0} µs (bound 150) = {:.1} % (bound 15)",
        floor.as_secs_f64() * 1e6,
        served.as_secs_f64() * 1e6,
        added * 1e6,
        added / floor.as_secs_f64() * 100.0
    ));
}

/// A connection of the C API in the database of the engine's tables.
fn entered(library: &'static Library, arguments: &[String]) -> Connection {
    let mut connection = library.connect(arguments).expect("a connection");
    let entered = connection.query(&format!("USE {}", engine::DATABASE), "Null", &[]);
    assert!(entered.error().is_none(), "{:?}", entered.error());
    connection
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Runs every request on each client at the same time; returns the time of each. A client is made in its thread, and its first answers are not counted.
fn parallel<C>(
    clients: usize,
    make: impl Fn() -> C + Sync,
    run: impl Fn(&mut C, usize) + Sync,
) -> Vec<Duration> {
    let (make, run) = (&make, &run);
    let work = move |number: usize| {
        let mut client = make();
        (0..10).for_each(|at| run(&mut client, at));
        let timed = |at: usize| {
            let started = Instant::now();
            run(&mut client, (at + number * 37) % REQUESTS);
            started.elapsed()
        };
        (0..REQUESTS).map(timed).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a client thread"))
            .collect()
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket option");
    stream
}

/// The least that can answer the requests of this benchmark over HTTP.
fn serve_bare(
    library: &'static Library,
    arguments: &[String; 2],
    statements: &[String],
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (arguments, statements) = (arguments.clone(), Arc::new(statements.to_vec()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("a socket option");
            let (arguments, statements) = (arguments.clone(), Arc::clone(&statements));
            std::thread::spawn(move || {
                let mut connection = entered(library, &arguments);
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut chunk) {
                    let head = std::str::from_utf8(&chunk[..read]).expect("text");
                    let at = head
                        .split("at=")
                        .nth(1)
                        .and_then(|rest| rest.split(' ').next());
                    let at: usize = at.and_then(|at| at.parse().ok()).expect("a number");
                    let result = connection.query(&statements[at], "JSON", &[]);
                    let body: &[u8] = result.as_ref();
                    let mut answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())
                            .into_bytes();
                    answer.extend_from_slice(body);
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// One request and its whole answer.
fn request(stream: &mut TcpStream, at: usize) {
    // In one piece, as clients send requests of this size.
    let request = format!(
        "GET /v0/pipes/item.json?id={}&at={at} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n\r\n",
        id(at)
    );
    stream
        .write_all(request.as_bytes())
        .expect("the request is sent");
    let mut answer = Vec::with_capacity(2048);
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).expect("an answer");
        assert!(read > 0, "the server closed the connection");
        answer.extend_from_slice(&chunk[..read]);
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        let length: usize = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next())
            .and_then(|value| value.parse().ok())
            .expect("a length");
        if answer.len() >= head + 4 + length {
            let body = String::from_utf8_lossy(&answer[head + 4..]);
            assert!(body.contains("\"rows\": 1"), "{body}");
            return;
        }
    }
}
