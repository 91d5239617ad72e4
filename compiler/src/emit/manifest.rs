//! `manifest.json`: what a build holds, for machines.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::deploy::Step;
use crate::graph::Vertex;
use crate::plan::{Plan, Role, TablePlan};
use crate::template::Parameter;

/// The contents of a build.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    /// The shape of this file.
    pub format: u32,
    /// blake3 of each source file, by path.
    pub sources: BTreeMap<&'a str, String>,
    /// The tables, by data source.
    pub datasources: BTreeMap<String, &'a TablePlan>,
    /// The pipes, by name.
    pub pipes: BTreeMap<String, ManifestPipe<'a>>,
    /// The statements that an empty engine needs, in order.
    pub steps: Vec<ManifestStep<'a>>,
}

/// A pipe of a build.
#[derive(Debug, Serialize)]
pub struct ManifestPipe<'a> {
    /// The description.
    pub description: Option<&'a str>,
    /// Tags.
    pub tags: &'a [String],
    /// The tokens that may read it.
    pub tokens: Vec<&'a str>,
    /// The published node.
    pub endpoint: Option<&'a str>,
    /// Whether that is its last node because no node has a `TYPE` (Classic).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub published_by_default: bool,
    /// Merged parameters of the output node and all that it reads.
    pub parameters: Vec<ManifestParameter<'a>>,
    /// The nodes in order.
    pub nodes: Vec<ManifestNode<'a>>,
}

/// A parameter of a pipe. Keys that have no value are left out.
#[derive(Debug, Serialize)]
pub struct ManifestParameter<'a> {
    /// The name that a request gives it by.
    pub name: &'a str,
    /// Its type in the template language.
    #[serde(rename = "type")]
    pub data_type: &'a str,
    /// The value that it has when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'a Value>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// Whether a value must be given, if declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Its format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'a str>,
    /// An example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<&'a Value>,
    /// The values that it may have.
    #[serde(rename = "enum", skip_serializing_if = "<[Value]>::is_empty")]
    pub enumeration: &'a [Value],
}

impl<'a> From<&'a Parameter> for ManifestParameter<'a> {
    fn from(parameter: &'a Parameter) -> Self {
        Self {
            name: &parameter.name,
            data_type: &parameter.data_type,
            default: parameter.default.as_ref(),
            description: parameter.description.as_deref(),
            required: parameter.required,
            format: parameter.format.as_deref(),
            example: parameter.example.as_ref(),
            enumeration: &parameter.enumeration,
        }
    }
}

/// A node of a build.
#[derive(Debug, Serialize)]
pub struct ManifestNode<'a> {
    /// The name.
    pub name: &'a str,
    /// What it is for.
    #[serde(flatten)]
    pub role: &'a Role,
    /// What it reads.
    pub reads: Vec<&'a Vertex>,
}

/// A deploy step of a build; its SQL is in `ddl/`.
#[derive(Debug, Serialize)]
pub struct ManifestStep<'a> {
    /// What it makes.
    pub kind: crate::deploy::StepKind,
    /// The object.
    pub name: &'a str,
    /// A hash of the statement.
    pub fingerprint: &'a str,
}

/// The manifest of a project.
pub fn manifest<'a>(plan: &'a Plan, steps: &'a [Step]) -> Manifest<'a> {
    let sources = plan
        .project
        .sources
        .files()
        .iter()
        .map(|file| {
            (
                file.name(),
                blake3::hash(file.text().as_bytes()).to_hex().to_string(),
            )
        })
        .collect();
    let pipes = plan
        .project
        .pipes
        .iter()
        .filter_map(|(name, pipe)| {
            let planned = plan.pipes.get(name)?;
            let nodes = planned.nodes.iter().map(|node| ManifestNode {
                name: &node.id.node,
                role: &node.role,
                reads: plan
                    .graph
                    .sources(&Vertex::Node(node.id.clone()))
                    .into_iter()
                    .collect(),
            });
            let entry = ManifestPipe {
                description: pipe.description.as_deref(),
                tags: &pipe.tags,
                tokens: pipe
                    .tokens
                    .iter()
                    .filter(|token| token.permission.value == "READ")
                    .map(|token| token.name.value.as_str())
                    .collect(),
                endpoint: planned.endpoint_node().map(|node| node.id.node.as_str()),
                published_by_default: pipe.published_by_default,
                parameters: planned.parameters.iter().map(Into::into).collect(),
                nodes: nodes.collect(),
            };
            Some((name.to_string(), entry))
        })
        .collect();
    Manifest {
        format: 1,
        sources,
        datasources: plan
            .tables
            .iter()
            .map(|(name, table)| (name.to_string(), table))
            .collect(),
        pipes,
        steps: steps
            .iter()
            .map(|step| ManifestStep {
                kind: step.kind,
                name: &step.name,
                fingerprint: &step.fingerprint,
            })
            .collect(),
    }
}
