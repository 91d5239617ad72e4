//! The second scoreboard: the `SELECT` statements of ClickHouse's own stateless tests, and those that the nodes of public projects render to.
//!
//! The statements are not in this repository. `PIPEWRIGHT_STATELESS` names a folder with the tests' `.sql` files, at any depth; `PIPEWRIGHT_CORPUS` one with a folder
//! for each project. With one of them, and the engine, the counts are compared with the committed ones. A statement that the engine parses and the scan does
//! not is a fault; so is a table that one sees and the other does not.

mod folders;
mod opened;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use folders::sorted;
use opened::Opened;
use pipewright::engine::{Engine, Query};
use pipewright::workspace;
use pipewright_compiler::sql::{self, Parsed, Position, StatementKind};

const SCOREBOARD: &str = include_str!("statements.txt");

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counts {
    statements: usize,
    parsed: usize,
    opaque: usize,
    doubted: usize,
    other_tables: usize,
}

impl Counts {
    fn line(&self, name: &str) -> String {
        format!(
            "{name:<55} {:>10} {:>8} {:>7} {:>8} {:>13}\n",
            self.statements, self.parsed, self.opaque, self.doubted, self.other_tables
        )
    }

    fn add(&mut self, text: &str, engine_tables: Option<&BTreeSet<String>>) {
        self.statements += 1;
        let Ok(scan) = sql::scan(text) else {
            self.doubted += 1;
            tell("refused", text);
            return;
        };
        match sql::parse(text, &scan) {
            Parsed::Tree(_) => self.parsed += 1,
            Parsed::Opaque(opaque) => {
                self.opaque += 1;
                tell(&opaque.reason, text);
            }
        }
        let Some(engine_tables) = engine_tables else {
            return;
        };
        let common: BTreeSet<&str> = scan
            .common_tables
            .iter()
            .map(|common| common.name.as_str())
            .collect();
        let ours: BTreeSet<String> = scan
            .tables
            .iter()
            .filter(|table| table.position == Position::From && !table.parameter)
            .map(sql::TableReference::display_name)
            .collect();
        let theirs: BTreeSet<String> = engine_tables
            .iter()
            .filter(|name| !common.contains(name.as_str()))
            .cloned()
            .collect();
        // A name of a common table expression may mean a table elsewhere in the statement; both lists leave it out.
        let ours: BTreeSet<String> = ours
            .into_iter()
            .filter(|name| !common.contains(name.as_str()))
            .collect();
        if ours != theirs {
            self.other_tables += 1;
            tell(&format!("{ours:?} and {theirs:?}"), text);
        }
    }
}

/// `PIPEWRIGHT_TELL` shows what is not as it should be.
#[expect(clippy::print_stderr, reason = "who asks for it reads it there")]
fn tell(what: &str, text: &str) {
    if std::env::var_os("PIPEWRIGHT_TELL").is_some() {
        let short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        eprintln!("{what}\t{short:.300}");
    }
}

#[test]
fn statements_of_others_are_read_as_the_engine_reads_them() {
    let mut text = format!(
        "{:<55} {:>10} {:>8} {:>7} {:>8} {:>13}\n",
        "statements", "statements", "parsed", "opaque", "refused", "other tables"
    );
    let stateless = std::env::var_os("PIPEWRIGHT_STATELESS").map(PathBuf::from);
    let corpus = std::env::var_os("PIPEWRIGHT_CORPUS").map(PathBuf::from);
    if let (Some(stateless), Some(corpus)) = (stateless, corpus) {
        let opened = Opened::new();
        let counts = stateless_counts(opened.engine.as_ref(), &stateless);
        let counts = opened.runtime.block_on(counts);
        opened.close();
        text.push_str(&counts.line("ClickHouse/tests/queries/0_stateless"));
        text.push_str(&corpus_counts(&corpus).line("nodes of public projects"));
        if std::env::var_os("UPDATE").is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/statements.txt");
            std::fs::write(file, &text).expect("the scoreboard is written");
            return;
        }
        similar_asserts::assert_eq!(text, SCOREBOARD, "UPDATE=1 rewrites the scoreboard");
    }
    let mut lines = 0;
    for line in SCOREBOARD.lines().skip(1) {
        let (_, numbers) = line.split_at(55);
        let numbers: Vec<usize> = numbers
            .split_whitespace()
            .map(|number| number.parse().expect("a count"))
            .collect();
        let [statements, parsed, _, refused, other_tables] = numbers[..] else {
            panic!("{line}");
        };
        assert!(parsed * 100 >= statements * 99, "{line}");
        assert_eq!(refused, 0, "{line}");
        assert_eq!(other_tables, 0, "{line}");
        lines += 1;
    }
    assert_eq!(lines, 2);
}

async fn stateless_counts(engine: &dyn Engine, folder: &Path) -> Counts {
    let mut counts = Counts::default();
    let mut files = Vec::new();
    sql_files(folder, &mut files);
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).expect("the file can be read");
        let text = String::from_utf8_lossy(&bytes);
        for statement in statements(&text) {
            // What is no query is refused whatever it is made of; a query about a query is refused, too.
            let query = sql::scan(statement)
                .is_ok_and(|scan| scan.kind != StatementKind::Select || scan.explained.is_some());
            if query {
                continue;
            }
            if let Some(tables) = engine_tables(engine, statement).await {
                counts.add(statement, Some(&tables));
            }
        }
    }
    counts
}

fn sql_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sql_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
}

/// The tables of a statement after `FROM` and `JOIN` as the engine's parser sees them; `None` if it cannot parse it.
async fn engine_tables(engine: &dyn Engine, statement: &str) -> Option<BTreeSet<String>> {
    // The hints of the tests are words to the engine's client.
    let statement = statement.replace("Error", "error").replace('\r', " ");
    let explain = format!("EXPLAIN AST {statement}");
    let answer = engine.query(Query::new(&explain, "TSVRaw")).await.ok()?;
    let bytes = answer.bytes().await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let names = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("TableIdentifier "));
    Some(
        names
            .map(|name| name.split(" (alias ").next().unwrap_or(name).to_owned())
            .collect(),
    )
}

/// The queries of a script: statements that begin with `SELECT`, `WITH`, `FROM` or a bracket.
fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = end_of_statement(rest);
        let statement = after_comments(&rest[..end]).trim_end();
        let first: String = statement
            .trim_start_matches(['(', ' ', '\n', '\t'])
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        if ["select", "with", "from"].contains(&first.to_ascii_lowercase().as_str()) {
            found.push(statement);
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

fn end_of_statement(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest[0] {
            b';' => return at,
            quote @ (b'\'' | b'"' | b'`') => at = after_quote(bytes, at, quote),
            b'$' => at = after_heredoc(text, at),
            _ if is_line_comment(rest) => {
                at += rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            }
            b'/' if rest.starts_with(b"/*") => at += after_block_comment(rest),
            _ => at += 1,
        }
    }
    text.len()
}

fn is_line_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!")
}

fn after_quote(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn after_heredoc(text: &str, start: usize) -> usize {
    let name = text[start + 1..]
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let tag = text.get(start..start + name + 2).unwrap_or_default();
    if !tag.ends_with('$') || tag.len() < 2 {
        return start + 1;
    }
    let body = start + tag.len();
    text[body..]
        .find(tag)
        .map_or(start + 1, |end| body + end + tag.len())
}

fn after_block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn after_comments(text: &str) -> &str {
    let mut text = text.trim_start();
    loop {
        let bytes = text.as_bytes();
        let length = if is_line_comment(bytes) {
            text.find('\n').unwrap_or(text.len())
        } else if text.starts_with("/*") {
            after_block_comment(bytes)
        } else {
            return text;
        };
        text = text[length..].trim_start();
    }
}

/// Every branch of every node, as a check renders it.
fn corpus_counts(corpus: &Path) -> Counts {
    let mut counts = Counts::default();
    for folder in sorted(corpus) {
        let workspace = workspace::read(&folder).expect("the project can be read");
        for project in workspace::projects(&workspace.sources) {
            let (plan, _) = pipewright_compiler::check(project);
            for reads in plan.graph.reads.values() {
                for branch in &reads.branches {
                    counts.add(branch.rendered.sql.text(), None);
                }
            }
        }
    }
    counts
}

#[test]
fn scripts_are_split_into_their_queries() {
    let script = "-- a; b\nSET x = ';';\n(SELECT $t$;$t$, 'it\\'s;');/* ; */ with 1 as x select x -- ;\n; insert into a select 1;\nFROM t SELECT \";\"";
    assert_eq!(
        statements(script),
        [
            "(SELECT $t$;$t$, 'it\\'s;')",
            "with 1 as x select x -- ;",
            "FROM t SELECT \";\""
        ]
    );
}
