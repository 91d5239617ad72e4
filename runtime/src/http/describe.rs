//! Pipes and nodes as the API shows them.

use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::plan::{Role, Schedule};
use pipewright_compiler::project::{Node, Pipe};
use serde_json::{Map, Value, json};

use crate::catalog::Current;
use crate::state::State;

/// Which parts of a description are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// What each node reads.
    pub(crate) dependencies: bool,
    /// The attributes of pipes; all if empty.
    pub(crate) attributes: Vec<String>,
    /// The attributes of nodes; all if empty.
    pub(crate) node_attributes: Vec<String>,
}

impl Wanted {
    /// All of it.
    pub(crate) fn all() -> Self {
        Self {
            dependencies: true,
            ..Self::default()
        }
    }
}

/// A pipe. `host` is where its endpoint is called.
pub(crate) fn pipe(
    current: &Current,
    pipe: &Pipe,
    host: &str,
    state: &State,
    wanted: &Wanted,
) -> Value {
    let workspace = state.workspace_id();
    let name = &pipe.name.name;
    let Some(object) = current.objects.pipe(name) else {
        return Value::Null;
    };
    let id_of = |node: Option<&Node>| {
        node.and_then(|node| current.objects.node(name, &node.name.value))
            .map(|object| object.id.clone())
    };
    let (endpoint, output) = (pipe.endpoint(), pipe.output());
    let nodes: Vec<Value> = pipe
        .nodes
        .iter()
        .map(|one| {
            keep(
                node(current, pipe, one, workspace, wanted.dependencies),
                &wanted.node_attributes,
            )
        })
        .collect();
    let steps = pipe.nodes.iter().map(|node| json!({ "name": node.name.value, "sql": current.node_sql(node), "materialized": is_materialized(current, pipe, node) }));
    let published = output.and_then(|node| current.objects.node(name, &node.name.value));
    let mut out = json!({
        "id": object.id,
        "name": name,
        "description": pipe.description,
        "type": kind_of(current, pipe),
        "endpoint": id_of(endpoint),
        "published_version": id_of(output),
        "published_date": published.map(crate::catalog::Object::updated_at),
        "created_at": object.created_at(),
        "updated_at": object.updated_at(),
        "parent": null,
        "nodes": nodes,
        "pipeline": { "nodes": steps.collect::<Vec<_>>() },
    });
    if let Value::Object(map) = &mut out {
        if endpoint.is_some() {
            map.insert(
                "url".to_owned(),
                format!("{host}/v0/pipes/{name}.json").into(),
            );
        }
        add_copy(current, pipe, state, map);
    }
    let mut attributes = wanted.attributes.clone();
    // Who asks for attributes of nodes asks for nodes.
    if !attributes.is_empty() && !wanted.node_attributes.is_empty() {
        attributes.push("nodes".to_owned());
    }
    keep(out, &attributes)
}

/// What a copy pipe fills, and when.
fn add_copy(current: &Current, pipe: &Pipe, state: &State, map: &mut Map<String, Value>) {
    let plan = current.plan.pipes.get(&pipe.name);
    let copy = plan
        .into_iter()
        .flat_map(|plan| &plan.nodes)
        .find_map(|node| match &node.role {
            Role::Copy {
                target,
                schedule,
                mode,
            } => Some((node, target, schedule, mode)),
            _ => None,
        });
    let Some((node, target, schedule, mode)) = copy else {
        return;
    };
    let id = current
        .objects
        .node(&pipe.name.name, &node.id.node)
        .map(|object| object.id.clone());
    map.insert("copy_node".to_owned(), id.into());
    map.insert(
        "copy_target_datasource".to_owned(),
        current
            .objects
            .datasource(&target.name)
            .map(|object| object.id.clone())
            .into(),
    );
    map.insert(
        "copy_target_workspace".to_owned(),
        state.workspace_id().into(),
    );
    map.insert("copy_mode".to_owned(), json!(mode));
    if let Schedule::Cron(cron) = schedule {
        let pipe_id = current.objects.pipe(&pipe.name.name);
        let stored = pipe_id.and_then(|object| state.schedules().find(&object.id).ok().flatten());
        let paused = stored.is_some_and(|stored| stored.paused);
        let status = if paused { "paused" } else { "running" };
        map.insert(
            "schedule".to_owned(),
            json!({ "timezone": "Etc/UTC", "cron": cron, "status": status }),
        );
    }
}

/// A node.
pub(crate) fn node(
    current: &Current,
    pipe: &Pipe,
    node: &Node,
    workspace: &str,
    dependencies: bool,
) -> Value {
    let name = &pipe.name.name;
    let Some(object) = current.objects.node(name, &node.name.value) else {
        return Value::Null;
    };
    let role = current
        .plan
        .pipes
        .get(&pipe.name)
        .and_then(|plan| plan.node(&node.name.value))
        .map(|plan| &plan.role);
    let target_id = |target: &pipewright_compiler::project::ResourceName| {
        current
            .objects
            .datasource(&target.name)
            .map(|object| object.id.clone())
    };
    let materialized = match role {
        Some(Role::Materialized { target }) => target_id(target),
        _ => None,
    };
    let tags = match role {
        Some(Role::Copy { target, .. }) => {
            json!({ "copy_target_datasource": target_id(target), "copy_target_workspace": workspace })
        }
        _ => json!({}),
    };
    let mut out = json!({
        "id": object.id,
        "name": node.name.value,
        "sql": current.node_sql(node),
        "description": node.description,
        "materialized": materialized,
        "cluster": null,
        "tags": tags,
        "created_at": object.created_at(),
        "updated_at": object.updated_at(),
        "version": 0,
        "project": null,
        "result": null,
        "ignore_sql_errors": false,
        "node_type": role_name(role),
        "params": parameters(node),
    });
    if dependencies && let Value::Object(map) = &mut out {
        map.insert(
            "dependencies".to_owned(),
            self::dependencies(current, pipe, node).into(),
        );
    }
    out
}

/// A node that was just made: `materialized` is a truth value where it fills nothing.
pub(crate) fn new_node(current: &Current, pipe: &Pipe, one: &Node, workspace: &str) -> Value {
    plainly(node(current, pipe, one, workspace, true))
}

/// Says `false` where a node fills nothing.
pub(crate) fn plainly(mut node: Value) -> Value {
    if node["materialized"].is_null()
        && let Value::Object(map) = &mut node
    {
        map.insert("materialized".to_owned(), false.into());
    }
    node
}

/// The names of what a node reads.
pub(crate) fn dependencies(current: &Current, pipe: &Pipe, node: &Node) -> Vec<String> {
    let id = NodeId {
        pipe: pipe.name.clone(),
        node: node.name.value.clone(),
    };
    let reads = current.plan.graph.reads.get(&id);
    let names = reads
        .into_iter()
        .flat_map(|reads| reads.sources.keys())
        .map(|vertex| match vertex {
            Vertex::Node(other) if other.pipe == pipe.name => other.node.clone(),
            Vertex::Node(other) => other.pipe.to_string(),
            Vertex::Datasource(name) => name.to_string(),
            Vertex::Service(name) => name.clone(),
        });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn parameters(node: &Node) -> Vec<Value> {
    let declared = node.template.parameters().iter();
    declared
        .map(|parameter| {
            let mut entry = Map::new();
            entry.insert("name".to_owned(), parameter.name.clone().into());
            entry.insert("type".to_owned(), parameter.data_type.clone().into());
            let optional = [
                ("default", parameter.default.clone()),
                (
                    "description",
                    parameter.description.clone().map(Value::from),
                ),
                ("required", parameter.required.map(Value::from)),
                ("format", parameter.format.clone().map(Value::from)),
                ("example", parameter.example.clone()),
                (
                    "enum",
                    (!parameter.enumeration.is_empty())
                        .then(|| parameter.enumeration.clone().into()),
                ),
            ];
            entry.extend(
                optional
                    .into_iter()
                    .filter_map(|(key, value)| Some((key.to_owned(), value?))),
            );
            entry.into()
        })
        .collect()
}

fn is_materialized(current: &Current, pipe: &Pipe, node: &Node) -> bool {
    let plan = current
        .plan
        .pipes
        .get(&pipe.name)
        .and_then(|plan| plan.node(&node.name.value));
    plan.is_some_and(|plan| matches!(plan.role, Role::Materialized { .. }))
}

/// What a pipe is for.
fn kind_of(current: &Current, pipe: &Pipe) -> &'static str {
    let roles = current
        .plan
        .pipes
        .get(&pipe.name)
        .map_or(&[][..], |plan| &plan.nodes);
    let names: Vec<&str> = roles
        .iter()
        .map(|node| role_name(Some(&node.role)))
        .collect();
    ["endpoint", "materialized", "copy", "sink"]
        .into_iter()
        .find(|kind| names.contains(kind))
        .unwrap_or("default")
}

fn role_name(role: Option<&Role>) -> &'static str {
    match role {
        Some(Role::Endpoint) => "endpoint",
        Some(Role::Materialized { .. }) => "materialized",
        Some(Role::Copy { .. }) => "copy",
        Some(Role::Sink) => "sink",
        Some(Role::Standard) | None => "default",
    }
}

/// The attributes that were asked for; all if none were.
pub(super) fn keep(value: Value, attributes: &[String]) -> Value {
    match value {
        Value::Object(map) if !attributes.is_empty() => map
            .into_iter()
            .filter(|(key, _)| attributes.contains(key))
            .collect::<Map<_, _>>()
            .into(),
        value => value,
    }
}
