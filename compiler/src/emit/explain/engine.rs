//! What an engine says of a pipe, as far as the explanation shows it: plain data, filled by whoever has an engine.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::graph::NodeId;

/// What an engine says of a pipe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineView {
    /// By node.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// How it would run the whole statement.
    pub plan: Option<PlanView>,
}

/// What an engine says of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Names and types of its columns.
    pub columns: Vec<(String, String)>,
    /// How many rows it would read, by the index.
    pub rows: Option<u64>,
}

/// How an engine would run a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlanView {
    /// Its steps, each indented below the one that it feeds.
    pub steps: Vec<String>,
    /// What is read from tables with parts.
    pub reads: Vec<TableRead>,
}

/// What is read of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableRead {
    /// The table, or the projection that is read in its place.
    pub table: String,
    /// Parts that are read, of all.
    pub parts: (u64, u64),
    /// Granules that are read, of all.
    pub granules: (u64, u64),
    /// What left parts and granules out, in the order of use.
    pub indexes: Vec<IndexUse>,
}

/// An index in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IndexUse {
    /// `PrimaryKey`, `Partition`, `Skip`, …
    pub kind: String,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The key columns that the condition is about.
    pub keys: Vec<String>,
    /// The condition; `true` if the index is of no use.
    pub condition: String,
    /// Granules after it, of those before it.
    pub granules: (u64, u64),
}

/// Deeper plans are cut off.
const DEPTH_LIMIT: usize = 200;

impl PlanView {
    /// Reads the answer to `EXPLAIN json = 1, indexes = 1`.
    pub fn read(answer: &Value) -> Self {
        let mut plan = Self::default();
        for statement in answer.as_array().into_iter().flatten() {
            plan.step(&statement["Plan"], 0);
        }
        plan
    }

    /// All granules that are read.
    pub fn granules(&self) -> u64 {
        self.reads.iter().map(|read| read.granules.0).sum()
    }

    fn step(&mut self, step: &Value, depth: usize) {
        let Some(kind) = step["Node Type"].as_str().filter(|_| depth < DEPTH_LIMIT) else {
            return;
        };
        let description = step["Description"].as_str().unwrap_or_default();
        let shown = if description.is_empty() {
            String::new()
        } else {
            format!("  {description}")
        };
        self.steps
            .push(format!("{}{kind}{shown}", "  ".repeat(depth)));
        if let Some(indexes) = step["Indexes"].as_array() {
            self.reads.push(TableRead::read(description, indexes));
        }
        for below in step["Plans"].as_array().into_iter().flatten() {
            self.step(below, depth + 1);
        }
    }
}

impl TableRead {
    fn read(table: &str, indexes: &[Value]) -> Self {
        let number = |index: &Value, key: &str| index[key].as_u64().unwrap_or(0);
        let pair = |what: &str| {
            let before = indexes
                .first()
                .map_or(0, |index| number(index, &format!("Initial {what}")));
            let after = indexes
                .last()
                .map_or(0, |index| number(index, &format!("Selected {what}")));
            (after, before)
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let index = |index: &Value| IndexUse {
            kind: text(&index["Type"]),
            name: index["Name"].as_str().map(ToOwned::to_owned),
            keys: index["Keys"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect(),
            condition: text(&index["Condition"]),
            granules: (
                number(index, "Selected Granules"),
                number(index, "Initial Granules"),
            ),
        };
        Self {
            table: table.to_owned(),
            parts: pair("Parts"),
            granules: pair("Granules"),
            indexes: indexes.iter().map(index).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_steps_are_found_in_the_plan() {
        let index = |kind: &str, granules: (u64, u64)| json!({"Type": kind, "Keys": ["org"], "Condition": "(org in [7, 7])", "Initial Parts": 3, "Selected Parts": 2, "Initial Granules": granules.0, "Selected Granules": granules.1});
        let read = json!({"Node Type": "ReadFromMergeTree", "Description": "pipewright.hits", "Indexes": [index("PrimaryKey", (367, 9)), index("Skip", (9, 4))]});
        let plan = PlanView::read(&json!([{"Plan": {"Node Type": "Expression", "Plans": [read]}}]));
        assert_eq!(
            plan.steps,
            ["Expression", "  ReadFromMergeTree  pipewright.hits"]
        );
        assert_eq!(
            (plan.reads[0].parts, plan.reads[0].granules),
            ((2, 3), (4, 367))
        );
        assert_eq!(plan.granules(), 4);
        assert_eq!(PlanView::read(&json!({"no": "plan"})), PlanView::default());
    }
}
