//! What a pipe is for, and what it needs.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::source::Spanned;
use pipewright_grammar::syntax::NodeKind;
use serde::Serialize;

use super::keys;
use super::schedule::Schedule;
use super::shape::{RecipeCache, ShapeCache};
use crate::diagnostics::codes;
use crate::graph::{Graph, NodeId, Vertex};
use crate::project::{Node, Pipe, Project, ResourceName};
use crate::template::{Parameter, merge_parameters};

/// A pipe with its nodes' roles.
#[derive(Debug)]
pub struct PipePlan {
    /// The name.
    pub name: ResourceName,
    /// The nodes in file order.
    pub nodes: Vec<NodePlan>,
    /// The index of the node that readers of the pipe get.
    pub output: Option<usize>,
    /// The index of the node that is served over HTTP.
    pub endpoint: Option<usize>,
    /// The parameters of the output node and of all that it reads, merged by name.
    pub parameters: Vec<Parameter>,
    /// What was found when it was planned.
    pub(super) found: Vec<Diagnostic>,
}

/// A node with its role.
#[derive(Debug)]
pub struct NodePlan {
    /// Which node.
    pub id: NodeId,
    /// What it is for.
    pub role: Role,
    /// What was learnt about the shapes of its SQL.
    pub(super) shapes: ShapeCache,
    /// How its whole statement is optimized, by the shape of that.
    pub(super) recipes: RecipeCache,
}

/// What a node is for, with what that needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Role {
    /// A step that others read.
    Standard,
    /// Served over HTTP.
    Endpoint,
    /// Fills `target` with every insert.
    Materialized {
        /// The data source that is filled.
        target: ResourceName,
    },
    /// Fills `target` when it is run.
    Copy {
        /// The data source that is filled.
        target: ResourceName,
        /// When it runs.
        schedule: Schedule,
        /// Whether rows are added or replaced.
        mode: CopyMode,
    },
    /// Exports to a connection; running it needs that system.
    Sink,
}

/// What a copy does with the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyMode {
    /// Adds rows.
    Append,
    /// Puts the new rows in place of the old, at once.
    Replace,
}

impl PipePlan {
    /// The node that is served over HTTP.
    pub fn endpoint_node(&self) -> Option<&NodePlan> {
        self.nodes.get(self.endpoint?)
    }

    /// The node that readers of the pipe get.
    pub fn output_node(&self) -> Option<&NodePlan> {
        self.nodes.get(self.output?)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.id.node == name)
    }
}

pub(super) fn plan(project: &Project, graph: &Graph, pipe: &Pipe) -> PipePlan {
    let mut found = Vec::new();
    for node in &pipe.nodes {
        found.extend(keys::check(&project.sources, pipe, node));
    }
    let nodes: Vec<NodePlan> = pipe
        .nodes
        .iter()
        .map(|node| NodePlan {
            id: NodeId::of(pipe, node),
            role: role(project, pipe, node, &mut found),
            shapes: ShapeCache::default(),
            recipes: RecipeCache::default(),
        })
        .collect();
    let position = |wanted: Option<&Node>| {
        wanted.and_then(|wanted| {
            pipe.nodes
                .iter()
                .position(|node| std::ptr::eq(node, wanted))
        })
    };
    let output = position(pipe.output());
    let parameters = output.map_or_else(Vec::new, |index| {
        parameters(project, graph, &nodes[index].id)
    });
    PipePlan {
        name: pipe.name.clone(),
        output,
        endpoint: position(pipe.endpoint()),
        nodes,
        parameters,
        found,
    }
}

/// The parameters of a node and of every node that it reads: the node's own first, so that its types and defaults win.
pub(super) fn parameters(project: &Project, graph: &Graph, id: &NodeId) -> Vec<Parameter> {
    let vertex = Vertex::Node(id.clone());
    let others = graph.closure(&vertex);
    let ids = std::iter::once(id).chain(others.into_iter().filter_map(|vertex| match vertex {
        Vertex::Node(other) if other != id => Some(other),
        _ => None,
    }));
    let nodes = ids.filter_map(|id| project.pipes.get(&id.pipe)?.node(&id.node));
    merge_parameters(nodes.flat_map(|node| node.template.parameters()))
}

fn role(project: &Project, pipe: &Pipe, node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Role {
    match node.kind {
        NodeKind::Endpoint => Role::Endpoint,
        NodeKind::Materialized => target(project, pipe, node, "DATASOURCE", diagnostics)
            .map_or(Role::Standard, |target| Role::Materialized { target }),
        NodeKind::Copy => {
            let Some(target) = target(project, pipe, node, "TARGET_DATASOURCE", diagnostics) else {
                return Role::Standard;
            };
            let mode = node
                .directive("COPY_MODE")
                .or_else(|| node.directive("MODE"))
                .map(|mode| mode.value.to_ascii_lowercase());
            if let Some(other) = mode
                .as_deref()
                .filter(|mode| !["append", "replace", ""].contains(mode))
            {
                let written = node
                    .directive("COPY_MODE")
                    .or_else(|| node.directive("MODE"));
                let span = written.map_or(node.name.span, |written| written.span);
                diagnostics.push(
                    Diagnostic::error(codes::BAD_COPY_MODE, format!("`{other}` is no copy mode"))
                        .label(span, "")
                        .help("write `append` or `replace`"),
                );
            }
            let mode = if mode.as_deref() == Some("replace") {
                CopyMode::Replace
            } else {
                CopyMode::Append
            };
            Role::Copy {
                target,
                schedule: schedule(node, diagnostics),
                mode,
            }
        }
        NodeKind::Sink | NodeKind::Stream => {
            diagnostics.push(
                Diagnostic::new(
                    Severity::Note,
                    codes::NEEDS_EXTERNAL_SYSTEM,
                    format!(
                        "node `{}` exports to another system and is not run here",
                        node.name.value
                    ),
                )
                .label(node.name.span, "sink"),
            );
            Role::Sink
        }
        NodeKind::Standard | NodeKind::Other(_) => Role::Standard,
    }
}

/// The data source that a node fills.
fn target(
    project: &Project,
    pipe: &Pipe,
    node: &Node,
    keyword: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ResourceName> {
    let Some(target) = node.target() else {
        diagnostics.push(
            Diagnostic::error(
                codes::BAD_TARGET,
                format!(
                    "node `{}` does not say which data source it fills",
                    node.name.value
                ),
            )
            .label(node.name.span, "")
            .help(format!("add `{keyword} <data source>` to the node")),
        );
        return None;
    };
    let name = project.target_name(pipe, &target.value);
    if project.datasources.contains_key(&name) {
        return Some(name);
    }
    diagnostics.push(unknown_target(project, target));
    None
}

pub(super) fn unknown_target(project: &Project, target: &Spanned<String>) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        codes::BAD_TARGET,
        format!(
            "data source `{}` does not exist in this project",
            target.value
        ),
    )
    .label(target.span, "filled by this node");
    let similar = crate::graph::similar_names(
        &target.value,
        project
            .datasources
            .values()
            .filter(|datasource| datasource.made_by.is_none())
            .map(|datasource| datasource.name.to_string()),
    );
    match similar.first() {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None => diagnostic.help(format!("add `{}.datasource`", target.value)),
    }
}

fn schedule(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Schedule {
    let Some(written) = node.directive("COPY_SCHEDULE") else {
        return Schedule::OnDemand;
    };
    Schedule::parse(&written.value).unwrap_or_else(|error| {
        diagnostics.push(
            Diagnostic::error(codes::BAD_SCHEDULE, error.to_string())
                .label(written.span, "")
                .help("write `@on-demand`, or five cron fields (minute hour day month weekday, UTC) such as `0 * * * *`"),
        );
        Schedule::OnDemand
    })
}
