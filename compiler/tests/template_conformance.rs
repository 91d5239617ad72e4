//! The reference's answers to 577 templates, and how many of ours equal them to the byte.

use pipewright_compiler::template::debug_render;
use serde_json::Value;

const CASES: &str = include_str!("../../snapshots/conformance/templates.jsonl");

struct Score {
    same: usize,
    quirks_same: usize,
    quirks: usize,
    differing: Vec<String>,
}

fn score() -> Score {
    let mut score = Score {
        same: 0,
        quirks_same: 0,
        quirks: 0,
        differing: Vec::new(),
    };
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let answer: Value = serde_json::from_str(&debug_render(line)).expect("an answer is JSON");
        let same = answer.get("sql") == case.get("expected_sql")
            && answer.get("error_kind") == case.get("expected_error_kind")
            && answer["error"]["status"].as_u64() == case["expected_status"].as_u64()
            && case
                .get("expected_settings")
                .is_none_or(|expected| *expected == answer["settings"]);
        if case.get("peer_quirk").is_some() {
            score.quirks += 1;
            score.quirks_same += usize::from(same);
        } else if same {
            score.same += 1;
        } else {
            score.differing.push(format!(
                "{} {}\n    reference: {}\n    ours:      {}",
                case["id"].as_str().unwrap_or_default(),
                case["template"],
                shown(&case["expected_sql"], &case["expected_error_kind"]),
                shown(&answer["sql"], &answer["error_kind"]),
            ));
        }
    }
    score
}

fn shown(sql: &Value, kind: &Value) -> String {
    match sql.as_str() {
        Some(sql) => format!("{sql:?}"),
        None => format!("error {}", kind.as_str().unwrap_or("?")),
    }
}

#[test]
fn the_reference_and_we_agree_to_the_byte() {
    let score = score();
    let total = score.same + score.differing.len();
    insta::assert_snapshot!(format!(
        "{} of {total} equal, quirks aside; of {} quirks {} are copied\n\ndiffering:\n{}",
        score.same,
        score.quirks,
        score.quirks_same,
        score.differing.join("\n")
    ));
}
