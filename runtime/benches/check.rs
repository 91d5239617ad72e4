//! `pipewright check` as a cold process on a generated project of 1,000 pipes of 4 nodes, against the floor: a process that only reads the same files and
//! runs sqlparser over the same SQL.
//!
//! `cargo bench -p pipewright --bench check` prints medians and their ratio, and where the engine is installed, how long it takes to look at types too.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlparser::dialect::ClickHouseDialect;
use sqlparser::parser::Parser;

const PIPES: usize = 1000;
const DATASOURCES: usize = 50;
const RUNS: usize = 15;
const COLD_RUNS: usize = 3;

fn main() {
    if let Some(folder) = std::env::args()
        .skip_while(|argument| argument != "--floor")
        .nth(1)
    {
        floor(Path::new(&folder));
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (project, floor_sql) = (folder.path().join("project"), folder.path().join("sql"));
    generate(&project, &floor_sql);

    let this = std::env::current_exe().expect("this program");
    let mut check = Command::new(env!("CARGO_BIN_EXE_pipewright"));
    check
        .args(["check", "--no-engine", "--format", "json"])
        .arg(&project);
    let mut floor = Command::new(this);
    floor.arg("--floor").arg(folder.path());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turn, so that a machine that grows slower does so for both.
    for run in 0..=RUNS {
        let times = (timed(&mut check), timed(&mut floor));
        if run > 0 {
            ours.push(times.0);
            theirs.push(times.1);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    report(&format!(
        "check of {PIPES} pipes × 4 nodes: {:.1} ms (bound 250 ms)",
        millis(ours)
    ));
    report(&format!(
        "read + sqlparser over the same SQL: {:.1} ms",
        millis(theirs)
    ));
    report(&format!("ratio: {ratio:.2} (bound 3)"));

    with_the_engine(&project);

    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/web-analytics");
    let mut check = Command::new(env!("CARGO_BIN_EXE_pipewright"));
    check
        .args(["check", "--no-engine", "--format", "json"])
        .arg(example);
    timed(&mut check);
    let times = (0..RUNS).map(|_| timed(&mut check)).collect();
    report(&format!(
        "check of examples/web-analytics: {:.1} ms (bound 20 ms)",
        millis(median(times))
    ));
}

/// The same with columns and types, where an engine is installed: with nothing known, with all answers known, and without asking for them.
fn with_the_engine(project: &Path) {
    if pipewright::engine::locate().is_none() {
        report("check --types: the engine is not installed");
        return;
    }
    let check = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
        command.arg("check").args(arguments);
        command.args(["--format", "json"]).arg(project);
        command.stderr(Stdio::null());
        timed(&mut command)
    };
    let cold = (0..COLD_RUNS).map(|_| {
        _ = std::fs::remove_dir_all(project.join(".pipewright"));
        check(&["--types"])
    });
    let cold = median(cold.collect());
    report(&format!(
        "check --types, nothing known: {:.1} s (bound 5 s)",
        cold.as_secs_f64()
    ));
    for (what, arguments) in [
        ("check --types, all known", &["--types"][..]),
        ("check, all known", &[]),
    ] {
        let times = (0..RUNS).map(|_| check(arguments)).collect();
        report(&format!(
            "{what}: {:.1} ms (bound 300 ms)",
            millis(median(times))
        ));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
fn report(line: &str) {
    println!("{line}");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed(command: &mut Command) -> Duration {
    let started = Instant::now();
    let status = command
        .stdout(Stdio::null())
        .status()
        .expect("the process starts");
    assert!(status.success(), "{command:?} ended with {status}");
    started.elapsed()
}

/// What no check can do without: reading every file, and parsing every statement.
fn floor(folder: &Path) {
    let mut files = 0;
    for entry in walk(&folder.join("project")) {
        files += std::fs::read_to_string(entry).expect("a file").len();
    }
    let statements = std::fs::read_to_string(folder.join("sql")).expect("the statements");
    let mut parsed = 0;
    for statement in statements
        .split('\0')
        .filter(|statement| !statement.is_empty())
    {
        parsed += Parser::parse_sql(&ClickHouseDialect {}, statement)
            .expect("valid SQL")
            .len();
    }
    assert!(files > 0 && parsed == PIPES * 4);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn generate(project: &Path, floor_sql: &Path) {
    std::fs::create_dir_all(project.join("datasources")).expect("a folder");
    std::fs::create_dir_all(project.join("pipes")).expect("a folder");
    for at in 0..DATASOURCES {
        let text = format!(
            "DESCRIPTION >\n    Events of source {at}\n\nSCHEMA >\n    `timestamp` DateTime `json:$.timestamp`,\n    `user_id` UInt64 `json:$.user_id`,\n    \
             `country` LowCardinality(String) `json:$.country`,\n    `action` String `json:$.action`,\n    `amount` Float64 `json:$.amount`\n\n\
             ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"toYYYYMM(timestamp)\"\nENGINE_SORTING_KEY \"user_id, timestamp\"\n"
        );
        std::fs::write(
            project.join(format!("datasources/events_{at}.datasource")),
            text,
        )
        .expect("a file");
    }
    let mut statements = String::new();
    for at in 0..PIPES {
        std::fs::write(
            project.join(format!("pipes/report_{at}.pipe")),
            pipe(at, &mut statements),
        )
        .expect("a file");
    }
    std::fs::write(floor_sql, statements).expect("a file");
}

/// A pipe of four nodes, two of them templates; every tenth reads the pipe before it. What its nodes render to with defaults is added to `statements`.
fn pipe(at: usize, statements: &mut String) -> String {
    let source = format!("events_{}", at % DATASOURCES);
    let dimension = if at % 10 == 9 {
        format!("report_{}", at - 1)
    } else {
        format!("events_{}", (at + 1) % DATASOURCES)
    };
    let column = if at % 10 == 9 { "country" } else { "action" };
    let filtered = |from: &str, country: &str| {
        format!(
            "SELECT\n        timestamp,\n        user_id,\n        country,\n        action,\n        amount,\n        toStartOfHour(timestamp) AS hour\n    FROM {source}\n    \
             WHERE timestamp >= toDateTime({from})\n        AND amount > 0{country}"
        )
    };
    let grouped = "SELECT\n        hour,\n        country,\n        count() AS events,\n        uniq(user_id) AS users,\n        sum(amount) AS revenue,\n        \
                   round(sum(amount) / nullIf(count(), 0), 2) AS average\n    FROM filtered\n    GROUP BY hour, country";
    let joined = format!(
        "SELECT g.hour, g.country, g.events, g.users, g.revenue, d.total\n    FROM grouped AS g\n    LEFT JOIN (SELECT {column} AS country, count() AS total FROM {dimension} GROUP BY country) AS d\n    \
         ON g.country = d.country\n    WHERE g.events > 10"
    );
    let last = |limit: &str| {
        format!(
            "SELECT hour, country, events, users, revenue, total\n    FROM joined\n    ORDER BY revenue DESC\n    LIMIT {limit}"
        )
    };
    for statement in [
        filtered("'2026-01-01 00:00:00'", ""),
        grouped.to_owned(),
        joined.clone(),
        last("10"),
    ] {
        _ = write!(statements, "{statement}\0");
    }
    let from = "{{ DateTime(since, '2026-01-01 00:00:00', description='Start of the period') }}";
    let country = "\n    {% if defined(country) %}\n        AND country = {{ String(country, description='Only this country', required=False) }}\n    {% end %}";
    format!(
        "DESCRIPTION >\n    Report {at}\n\nTOKEN \"dashboard\" READ\n\nNODE filtered\nSQL >\n    %\n    {}\n\nNODE grouped\nSQL >\n    {grouped}\n\nNODE joined\nSQL >\n    {joined}\n\n\
         NODE endpoint\nSQL >\n    %\n    {}\n\nTYPE endpoint\n",
        filtered(from, country),
        last("{{ Int32(limit, 10, description='Rows') }}"),
    )
}
