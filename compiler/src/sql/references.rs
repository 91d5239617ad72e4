//! `pipewright debug references`: one JSON line in, one out, for trying the scan on any SQL.

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use super::guard::{Policy, Use, guard};
use super::parse::{Parsed, parse};
use super::scan::{StatementKind, scan};

/// A line that comes in.
#[derive(Deserialize)]
struct Question {
    id: serde_json::Value,
    sql: String,
}

/// A line that goes out.
#[derive(Serialize)]
struct Answer {
    id: serde_json::Value,
    status: Status,
    tables: IndexSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Parsed,
    Opaque,
    Rejected,
}

/// Answers a line `{"id": …, "sql": "…"}` with `{"id": …, "status": "parsed|opaque|rejected", "tables": […], "reason": "…"}`.
pub fn references(line: &str) -> String {
    let answer = match serde_json::from_str::<Question>(line) {
        Ok(question) => answer(question),
        Err(error) => rejected(serde_json::Value::Null, error.to_string()),
    };
    serde_json::to_string(&answer).unwrap_or_default()
}

fn rejected(id: serde_json::Value, reason: String) -> Answer {
    Answer {
        id,
        status: Status::Rejected,
        tables: IndexSet::new(),
        reason: Some(reason),
    }
}

fn answer(question: Question) -> Answer {
    let scanned = match scan(&question.sql) {
        Ok(scanned) => scanned,
        Err(error) => return rejected(question.id, error.message),
    };
    let tables = scanned
        .tables
        .iter()
        .map(super::TableReference::display_name)
        .collect();
    let violation = guard(&scanned, &Policy::default(), Use::Query)
        .into_iter()
        .next()
        .map(|violation| violation.message);
    let (status, reason) = match violation {
        Some(reason) => (Status::Rejected, Some(reason)),
        None if scanned.kind == StatementKind::Describe => (Status::Parsed, None),
        None => match parse(&question.sql, &scanned) {
            Parsed::Tree(_) => (Status::Parsed, None),
            Parsed::Opaque(opaque) => (Status::Opaque, Some(opaque.reason)),
        },
    };
    Answer {
        id: question.id,
        status,
        tables,
        reason,
    }
}
