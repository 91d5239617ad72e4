//! Random files of a project, right and wrong, and random edits of them. Few names and many meanings: an edit changes what the names in other files mean.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::tape::Tape;

/// What is edited. One resource may be declared by two files, and a fragment belongs to others.
const FILES: &[&str] = &[
    "first.pipe",
    "second.pipe",
    "third.pipe",
    "moved/first.pipe",
    "hits.datasource",
    "days.datasource",
    "moved/hits.datasource",
    "vendor/other/people.datasource",
    "vendor/other/third.pipe",
    "shared.incl",
    "pipewright.toml",
    "reader.token",
];

/// Names in SQL: of resources, of nodes, of both, with versions, and of nothing.
const NAMES: &[&str] = &[
    "hits",
    "first",
    "second",
    "third",
    "days",
    "a",
    "b",
    "hits__v1",
    "second__v1",
    "hits_quarantine",
    "other.people",
    "made",
    "hist",
];

const NODES: &[&str] = &["a", "b", "hits", "first"];

/// Statements over the tables `A` and `B`.
const STATEMENTS: &[&str] = &[
    "SELECT k, v, s FROM A",
    "SELECT * FROM A FINAL WHERE s = 'x'",
    "SELECT k, sum(v) AS v FROM A GROUP BY k",
    "SELECT k, sumState(v) AS v, s FROM A GROUP BY k, s",
    "SELECT k FROM A ORDER BY k",
    "%\n    SELECT k FROM A WHERE s = {{ String(p, 'x') }} LIMIT {{ Int32(n, 3) }}",
    "%\n    SELECT k FROM A {% if defined(q) %} WHERE k IN B {% end %} LIMIT {{ Int64(p, 1) }}",
    "SELECT a.k, a.v / b.v AS r FROM A AS a JOIN B AS b USING k",
    "SELECT k, now() AS v FROM A UNION ALL SELECT k, v FROM B",
    "WITH x AS (SELECT k FROM A) SELECT k FROM x JOIN B USING k",
    "SELECT k, v FROM A -- pipewright: allow(unlimited-endpoint, view-trigger, unused-node)",
    "SELECT 1 AS k",
    "SELECT k FROM (A",
    "%\n    SELECT {{ nonsense(k) }} FROM A",
    "",
];

const TYPES: &[&str] = &[
    "",
    "TYPE endpoint\n",
    "TYPE standard\n",
    "TYPE materialized\nDATASOURCE days\n",
    "TYPE materialized\nDATASOURCE made\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"k\"\n",
    "TYPE materialized\nDATASOURCE mode\n",
    "TYPE copy\nTARGET_DATASOURCE days\nCOPY_SCHEDULE @on-demand\n",
    "TYPE copy\nTARGET_DATASOURCE hits__v1\nCOPY_MODE sometimes\n",
];

fn statement(tape: &mut Tape) -> String {
    let (a, b) = (*tape.one(NAMES), *tape.one(NAMES));
    let words = tape.one(STATEMENTS).split_inclusive([' ', '\n']);
    words
        .map(|word| match word.trim_end() {
            "A" | "(A" | "A)" => word.replace('A', a),
            "B" => word.replace('B', b),

            _ => word.to_owned(),
        })
        .collect()
}

fn node(tape: &mut Tape) -> String {
    let (name, sql) = (*tape.one(NODES), statement(tape));
    format!("NODE {name}\nSQL >\n    {sql}\n\n{}\n", tape.one(TYPES))
}

fn pipe(tape: &mut Tape) -> String {
    let mut text = String::new();
    let part = *tape.one(&[
        "",
        "VERSION 1\n",
        "TOKEN reader READ\n",
        "DESCRIPTION >\n    x\n",
    ]);
    text.push_str(part);
    for _ in 0..=tape.below(3) {
        text.push_str(&node(tape));
    }
    let part = *tape.one(&["", "", "", "INCLUDE \"shared.incl\"\n", "BROKEN\n"]);
    text.push_str(part);
    text
}

fn datasource(tape: &mut Tape) -> String {
    let mut text =
        (*tape.one(&["", "VERSION 1\n", "VERSION 2\n", "TOKEN reader APPEND\n"])).to_owned();
    let key = tape.one(&["Int64", "Nullable(Int64)", "Int46"]);
    let value = tape.one(&[
        "Int64",
        "AggregateFunction(sum, Int64)",
        "SimpleAggregateFunction(sum, Int64)",
    ]);
    _ = write!(
        text,
        "SCHEMA >\n    `k` {key},\n    `v` {value},\n    `s` String\n\n"
    );
    let engine = tape.one(&[
        "MergeTree",
        "ReplacingMergeTree",
        "AggregatingMergeTree",
        "SummingMergeTree",
        "Null",
    ]);
    let sorted = tape.one(&["k", "k, s", "s", "missing"]);
    _ = write!(
        text,
        "ENGINE \"{engine}\"\nENGINE_SORTING_KEY \"{sorted}\"\n"
    );
    text
}

fn settings(tape: &mut Tape) -> String {
    let levels = ["off", "note", "error"];
    let mut text = String::from("[lints]\n");
    for code in [
        "unlimited-endpoint",
        "join-order",
        "unkeyed-filter",
        "unused-pipe",
    ] {
        if let Some(level) = levels.get(tape.below(levels.len() + 1)) {
            _ = writeln!(text, "{code} = \"{level}\"");
        }
    }
    let part = *tape.one(&[
        "",
        "[project]\nkind = \"classic\"\n",
        "[project]\nkind = \"forward\"\n",
    ]);
    text.push_str(part);
    text
}

fn text(file: &str, tape: &mut Tape) -> String {
    match file.rsplit_once('.').map(|(_, ending)| ending) {
        Some("pipe") => pipe(tape),
        Some("datasource") => datasource(tape),
        Some("incl") => node(tape),
        Some("toml") => settings(tape),
        _ => "SCOPE PIPES:READ\nRESOURCE first\n".to_owned(),
    }
}

/// The states of a project after each of its edits.
pub(crate) fn states(tape: &mut Tape) -> Vec<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for file in FILES {
        if tape.below(3) > 0 {
            files.insert((*file).to_owned(), text(file, tape));
        }
    }
    let mut states = vec![files.clone()];
    for _ in 0..=tape.below(8) {
        let file = *tape.one(FILES);
        match tape.below(4) {
            // A line in front moves every place in the file.
            0 => {
                if let Some(text) = files.get_mut(file) {
                    text.insert_str(0, "# comment\n");
                }
            }
            1 => _ = files.remove(file),
            _ => _ = files.insert(file.to_owned(), text(file, tape)),
        }
        states.push(files.clone());
    }
    states
}
