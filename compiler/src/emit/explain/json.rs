//! The explanation for machines.

use serde_json::{Value, json};

use super::{Explained, place, role_name};
use crate::emit::sql::{compiled_sql, sql_before_rules};
use crate::graph::Vertex;

/// The same as the text says, as JSON.
pub fn explain_json(explained: Explained<'_>) -> Value {
    let Explained { plan, pipe, .. } = explained;
    let Some(output) = pipe.output_node() else {
        return json!({ "pipe": pipe.name.to_string(), "nodes": [] });
    };
    let closure = plan.graph.closure(&Vertex::Node(output.id.clone()));
    let nodes: Vec<Value> = closure
        .into_iter()
        .filter_map(|vertex| {
            let Vertex::Node(id) = vertex else {
                return None;
            };
            let node = plan.pipes.get(&id.pipe)?.node(&id.node)?;
            let reads: Vec<String> = plan
                .graph
                .sources(vertex)
                .iter()
                .map(ToString::to_string)
                .collect();
            let mut value =
                json!({ "node": id.to_string(), "type": role_name(&node.role), "reads": reads });
            if let Some(view) = explained.engine.and_then(|engine| engine.nodes.get(id)) {
                let columns = view.columns.iter();
                value["columns"] = columns
                    .map(|(name, kind)| json!({ "name": name, "type": kind }))
                    .collect();
                value["rows_read"] = view.rows.into();
            }
            Some(value)
        })
        .collect();
    let mut value = json!({
        "pipe": pipe.name.to_string(),
        "output": output.id.to_string(),
        "nodes": nodes,
    });
    match compiled_sql(plan, &output.id, explained.values) {
        Ok(compiled) => {
            let rules = compiled.rewrites.iter().map(|rewrite| {
                let at = place(plan, rewrite.at);
                let at = at.trim_matches([' ', '(', ')']);
                json!({ "rule": rewrite.rule, "what": rewrite.what, "at": at })
            });
            value["rules"] = rules.collect();
            value["sql"] = compiled.sql.text().into();
            if let Ok(before) = sql_before_rules(plan, &output.id, explained.values) {
                value["sql_before_rules"] = before.sql.text().into();
            }
        }
        Err(error) => value["error"] = error.to_string().into(),
    }
    if let Some(view) = explained.engine.and_then(|engine| engine.plan.as_ref()) {
        value["engine"] =
            json!({ "granules": view.granules(), "reads": view.reads, "plan": view.steps });
    }
    value
}
