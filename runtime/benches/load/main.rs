//! The server under load it cannot bear, with clients that do nothing, clients that are slow, and for long: the real binary, real sockets, loopback.
//!
//! `cargo bench -p pipewright --bench load` runs all parts in about a minute; `-- soak` only the last one; `SOAK_SECONDS` makes it longer. The process ends
//! with an error when a bound is not kept.

mod client;
mod server;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::{Answer, Client};
use server::{ROWS, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| part == name);
    let mut kept = true;
    if is_wanted("overload") {
        kept &= runtime.block_on(overload());
    }
    if is_wanted("idle") {
        kept &= runtime.block_on(idle());
    }
    if is_wanted("slow") {
        kept &= runtime.block_on(slow());
    }
    if is_wanted("soak") {
        kept &= runtime.block_on(soak());
    }
    if !kept {
        say("a bound was not kept");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
fn say(line: &str) {
    println!("{line}");
}

fn path(request: u64) -> String {
    let id = request.wrapping_mul(0x9E37_79B9_7F4A_7C15) % ROWS;
    format!("/v0/pipes/item.json?id={id}")
}

/// What was seen of many requests.
#[derive(Debug, Default)]
struct Seen {
    served: Vec<Duration>,
    shed: Vec<Duration>,
    without_retry_after: usize,
    other: usize,
}

impl Seen {
    fn add(&mut self, answer: &std::io::Result<Answer>, took: Duration) {
        match answer {
            Ok(answer) if answer.status == 200 => self.served.push(took),
            Ok(answer) if answer.status == 429 => {
                self.shed.push(took);
                self.without_retry_after += usize::from(!answer.retry_after);
            }
            _ => self.other += 1,
        }
    }
}

fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// Clients that each ask again as soon as they are answered.
async fn closed_loop(address: SocketAddr, clients: u64, time: Duration) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let until = Instant::now() + time;
    let tasks = (0..clients).map(|client| {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut connection = Client::connect(address).await.expect("a connection");
            let mut request = client << 32;
            while Instant::now() < until {
                let started = Instant::now();
                let answer = connection.get(&path(request)).await;
                let took = started.elapsed();
                seen.lock().expect("no panic").add(&answer, took);
                request += 1;
            }
        })
    });
    futures::future::join_all(tasks).await;
    let mut seen = seen.lock().expect("no panic");
    std::mem::take(&mut seen)
}

/// Requests at fixed times, whether or not earlier ones have been answered. Each is timed from when it was due.
async fn open_loop(address: SocketAddr, rate: f64, time: Duration) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let pool: Arc<Mutex<Vec<Client>>> = Arc::default();
    let began = Instant::now();
    let mut tasks = Vec::new();
    let mut sent = 0_u32;
    while began.elapsed() < time {
        let due_count = began.elapsed().as_secs_f64() * rate;
        while f64::from(sent) < due_count {
            let due = began + Duration::from_secs_f64(f64::from(sent) / rate);
            let (seen, pool) = (Arc::clone(&seen), Arc::clone(&pool));
            let request = u64::from(sent);
            tasks.push(tokio::spawn(async move {
                let idle = pool.lock().expect("no panic").pop();
                let mut client = match idle {
                    Some(client) => client,
                    None => match Client::connect(address).await {
                        Ok(client) => client,
                        Err(error) => {
                            seen.lock()
                                .expect("no panic")
                                .add(&Err(error), due.elapsed());
                            return;
                        }
                    },
                };
                let answer = client.get(&path(request)).await;
                let took = due.elapsed();
                seen.lock().expect("no panic").add(&answer, took);
                if answer.is_ok() {
                    pool.lock().expect("no panic").push(client);
                }
            }));
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    futures::future::join_all(tasks).await;
    let mut seen = seen.lock().expect("no panic");
    std::mem::take(&mut seen)
}

/// Twice the load that the server can answer.
async fn overload() -> bool {
    let server = Server::start("");
    _ = closed_loop(server.address, 4, Duration::from_secs(2)).await;
    let mut alone = closed_loop(server.address, 1, Duration::from_secs(4)).await;
    let unloaded = quantile(&mut alone.served, 0.5);
    let time = Duration::from_secs(5);
    let full = closed_loop(server.address, 8, time).await;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let capacity = full.served.len() as f64 / time.as_secs_f64();
    let time = Duration::from_secs(12);
    let mut seen = open_loop(server.address, capacity * 2.0, time).await;
    let (median, late) = (
        quantile(&mut seen.served, 0.5),
        quantile(&mut seen.served, 0.99),
    );
    let ratio = median.as_secs_f64() / unloaded.as_secs_f64();
    say(&format!(
        "overload: one client median {}; eight clients {capacity:.0} requests/s; at {:.0} requests/s for {} s: {} served (median {}, 99 % {}), {} shed (median {}), {} failed; median {ratio:.2} × unloaded (bound 2)",
        ms(unloaded),
        capacity * 2.0,
        time.as_secs(),
        seen.served.len(),
        ms(median),
        ms(late),
        seen.shed.len(),
        ms(quantile(&mut seen.shed, 0.5)),
        seen.other,
    ));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let after = closed_loop(server.address, 4, Duration::from_secs(1)).await;
    say(&format!(
        "afterwards: {} served, {} shed",
        after.served.len(),
        after.shed.len()
    ));
    ratio <= 2.0
        && seen.other == 0
        && seen.without_retry_after == 0
        && !seen.shed.is_empty()
        && after.shed.is_empty()
}

/// A thousand connections that have asked once and rest.
async fn idle() -> bool {
    const CONNECTIONS: u64 = 1000;
    let server = Server::start("");
    _ = closed_loop(server.address, 8, Duration::from_secs(3)).await;
    let before = server.memory();
    let mut connections = Vec::new();
    for request in 0..CONNECTIONS {
        let mut client = Client::connect(server.address).await.expect("a connection");
        let answer = client.get(&path(request)).await.expect("an answer");
        assert_eq!(answer.status, 200);
        connections.push(client);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = server.memory();
    let (Some(before), Some(after)) = (before, after) else {
        say("idle: this system does not tell the memory of a process");
        return true;
    };
    let cost = after.saturating_sub(before);
    let answer = connections[0].get(&path(1)).await.expect("an answer");
    say(&format!(
        "idle: {CONNECTIONS} keep-alive connections cost {} KiB of memory (bound 30720; {} MiB before)",
        cost / 1024,
        before / 1024 / 1024
    ));
    drop(connections);
    cost < 30 * 1024 * 1024 && answer.status == 200
}

/// Clients that send heads and bodies byte by byte, that do not take their answers, and that send too much, beside one that behaves.
async fn slow() -> bool {
    const EACH: usize = 150;
    let server = Server::start("client_timeout_ms = 2000\nidle_timeout_ms = 4000");
    let address = server.address;
    let mut alone = closed_loop(address, 1, Duration::from_secs(3)).await;
    let unloaded = quantile(&mut alone.served, 0.5);
    let mut clients = Vec::new();
    for _ in 0..EACH {
        for opening in [
            "GET /v0/pipes/item.json HTTP/1.1\r\nHost: l".to_owned(),
            "POST /v0/sql HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer t\r\nContent-Length: 100000\r\n\r\n".to_owned(),
        ] {
            clients.push(tokio::spawn(drip(address, opening)));
        }
    }
    for _ in 0..EACH / 10 {
        clients.push(tokio::spawn(hoard(address)));
        clients.push(tokio::spawn(flood(address)));
    }
    let mut beside = closed_loop(address, 1, Duration::from_secs(6)).await;
    let (median, late) = (
        quantile(&mut beside.served, 0.5),
        quantile(&mut beside.served, 0.99),
    );
    let mut ended = 0;
    for client in clients {
        ended += usize::from(
            tokio::time::timeout(Duration::from_secs(30), client)
                .await
                .is_ok(),
        );
    }
    let all = EACH * 2 + EACH / 10 * 2;
    say(&format!(
        "slow: one client median {}, beside {all} slow ones {} (99 % {}), {} served, {} shed, {} failed; {ended} of {all} slow ones were cut off",
        ms(unloaded),
        ms(median),
        ms(late),
        beside.served.len(),
        beside.shed.len(),
        beside.other
    ));
    beside.other == 0 && beside.shed.is_empty() && ended == all
}

/// Sends an opening and then a byte now and then, until it is cut off.
async fn drip(address: SocketAddr, opening: String) {
    let Ok(client) = Client::connect(address).await else {
        return;
    };
    let mut stream = client.into_stream();
    _ = stream.write_all(opening.as_bytes()).await;
    let (mut reading, mut writing) = stream.split();
    let mut byte = [0; 1024];
    tokio::select! {
        () = async { while reading.read(&mut byte).await.is_ok_and(|read| read > 0) {} } => {}
        () = async { while writing.write_all(b"x").await.is_ok() { tokio::time::sleep(Duration::from_millis(300)).await } } => {}
    }
}

/// Asks for much and takes none of it, until it is cut off.
async fn hoard(address: SocketAddr) {
    let Ok(client) = Client::connect(address).await else {
        return;
    };
    let mut stream = client.into_stream();
    _ = stream
        .write_all(b"GET /v0/pipes/big.json HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer t\r\n\r\n")
        .await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // What was not taken keeps the server from writing; a byte sent after it gave up is refused.
        if stream.write_all(b"\r\n").await.is_err() {
            return;
        }
    }
}

/// Sends more than a body may have, and reads what it is told.
async fn flood(address: SocketAddr) {
    let Ok(mut client) = Client::connect(address).await else {
        return;
    };
    let body = vec![b'x'; 12 * 1024 * 1024];
    // Refused while it is still sent: the connection ends, with or without an answer that can be read.
    _ = client.post("/v0/sql", &body).await;
}

/// Reads and writes of all kinds for long: the memory must not grow.
async fn soak() -> bool {
    let seconds = std::env::var("SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_u64);
    let server = Server::start("");
    let address = server.address;
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers = tokio::spawn(async move {
        let mut sent = 0_u64;
        let mut client = Client::connect(address).await.expect("a connection");
        while Instant::now() < until {
            let body = format!("{{\"id\":{sent},\"text\":\"a row\"}}\n").repeat(10);
            let answer = client.post("/v0/events?name=events", body.as_bytes()).await;
            assert!(answer.is_ok_and(|answer| answer.status == 202));
            sent += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent
    });
    let come_and_go = tokio::spawn(async move {
        let mut visits = 0_u64;
        while Instant::now() < until {
            let mut client = Client::connect(address).await.expect("a connection");
            for wrong in [
                "/v0/pipes/nothing.json",
                "/v0/sql?q=SELECT",
                "/openapi.json",
            ] {
                _ = client.get(wrong).await.expect("an answer");
            }
            let all = client.get("/v0/sql?q=SELECT%20count()%20FROM%20item").await;
            assert!(all.is_ok_and(|answer| answer.bytes > 0));
            visits += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        visits
    });
    let mut samples = Vec::new();
    let mut requests = 0;
    while Instant::now() < until {
        let part = Duration::from_secs((seconds / 10).max(1));
        let seen = closed_loop(address, 4, part).await;
        requests += seen.served.len();
        samples.extend(server.memory());
    }
    let (written, visits) = (
        writers.await.expect("no panic"),
        come_and_go.await.expect("no panic"),
    );
    let mebibytes: Vec<u64> = samples.iter().map(|bytes| bytes / 1024 / 1024).collect();
    let settled = mebibytes.get(mebibytes.len() / 3).copied().unwrap_or(0);
    let last = mebibytes.last().copied().unwrap_or(0);
    let (ended, took) = server.stop();
    say(&format!(
        "soak: {seconds} s, {requests} queries, {written} batches of events, {visits} short visits; memory in MiB by tenths {mebibytes:?}; from the fourth tenth to the last {} MiB (bound {}); it stopped {} in {}",
        last.cast_signed() - settled.cast_signed(),
        settled / 10 + 16,
        if ended { "by itself" } else { "with an error" },
        ms(took)
    ));
    ended && last <= settled + settled / 10 + 16
}
