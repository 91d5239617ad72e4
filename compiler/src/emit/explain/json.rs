//! The explanation for machines.

use serde_json::{Value, json};

use super::{Explained, fills, place, role_name, tables};
use crate::emit::sql::{compiled_sql, sql_before_rules};
use crate::graph::Vertex;
use crate::plan::{Plan, TablePlan};
use crate::template::Parameter;

/// The same as the text says, as JSON.
pub fn explain_json(explained: Explained<'_>) -> Value {
    let Explained { plan, pipe, .. } = explained;
    let description = plan.project.pipes.get(&pipe.name);
    let description = description.and_then(|pipe| pipe.description.as_deref());
    let parameters: Vec<Value> = pipe.parameters.iter().map(parameter).collect();
    let Some(output) = pipe.output_node() else {
        return json!({
            "pipe": pipe.name.to_string(),
            "description": description,
            "parameters": parameters,
            "nodes": [],
            "tables": [],
        });
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
        "description": description,
        "parameters": parameters,
        "output": output.id.to_string(),
        "nodes": nodes,
        "fills": fills(&output.role),
        "tables": tables(plan, &output.id)
            .into_iter()
            .map(|read| table(plan, read))
            .collect::<Vec<_>>(),
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

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "type": parameter.data_type,
        "default": parameter.default,
        "required": parameter.default.is_none() && parameter.required == Some(true),
        "description": parameter.description,
    })
}

fn table(plan: &Plan, table: &TablePlan) -> Value {
    let connector = crate::connect::connector_of(plan, &table.name);
    json!({
        "name": table.name.to_string(),
        "engine": table.engine.name,
        "partition_by": table.engine.partition_key,
        "order_by": table.engine.sorting_key,
        "ttl": table.engine.ttl,
        "rows_from": connector.map(|connector| connector.system.words()),
    })
}
