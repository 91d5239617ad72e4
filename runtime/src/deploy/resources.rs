//! Stage *apply*, its words: which pipes, data sources and other files come, change and go with a version.
//!
//! In: the version in force, where it is known, and the one that is to be. Out: a list by name, for people, machines and clients. The steps of a plan say what happens
//! in the engine; an endpoint has nothing there, and is what callers notice first.

use std::collections::BTreeMap;

use pipewright_compiler::plan::{PipePlan, Plan, Role};
use pipewright_compiler::project::{FileKind, Pipe, Project};
use pipewright_grammar::source::Span;
use serde::{Deserialize, Serialize};

/// A version of a project: its texts by path, and what they compile to.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// The texts by path.
    pub files: &'a BTreeMap<String, String>,
    /// The compiled project.
    pub plan: &'a Plan,
}

/// What becomes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is new.
    Added,
    /// Its text is another.
    Changed,
    /// It is gone.
    Removed,
}

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A data source.
    Datasource,
    /// A pipe that is served.
    Endpoint,
    /// A pipe with a materialized node.
    Materialized,
    /// A pipe that copies.
    Copy,
    /// A pipe that sends rows to another system.
    Sink,
    /// A pipe that others read.
    Pipe,
    /// A connection.
    Connection,
    /// Another file: settings, an include, a token.
    File,
}

impl ResourceKind {
    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Datasource => "data source",
            Self::Endpoint => "endpoint",
            Self::Materialized => "materialized pipe",
            Self::Copy => "copy pipe",
            Self::Sink => "sink pipe",
            Self::Pipe => "pipe",
            Self::Connection => "connection",
            Self::File => "file",
        }
    }

    /// Whether it is a pipe of any kind.
    pub fn is_pipe(self) -> bool {
        !matches!(self, Self::Datasource | Self::Connection | Self::File)
    }
}

/// A resource that a version has otherwise than the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// What becomes of it.
    pub change: Fate,
    /// What it is, in the new version where it is there.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: String,
    /// Whether requests to its endpoint are answered with 404 from then on.
    pub endpoint_goes: bool,
}

impl ResourceChange {
    /// One line for people.
    pub fn words(&self) -> String {
        let verb = match self.change {
            Fate::Added => "add",
            Fate::Changed => "change",
            Fate::Removed => "remove",
        };
        format!("{verb} {} {}", self.kind.words(), self.name)
    }
}

/// The endpoints that are answered no more.
pub fn ending_endpoints(changes: &[ResourceChange]) -> impl Iterator<Item = &ResourceChange> {
    changes.iter().filter(|change| change.endpoint_goes)
}

/// What a version has otherwise than the one before it, by kind of file and name.
pub fn resource_changes(before: Option<Version<'_>>, now: Version<'_>) -> Vec<ResourceChange> {
    let old = before.map(definitions).unwrap_or_default();
    let new = definitions(now);
    let mut changes = Vec::new();
    for (key, resource) in &new {
        let before = old.get(key);
        let change = match before {
            None => Fate::Added,
            Some(before) if before.text != resource.text || before.kind != resource.kind => {
                Fate::Changed
            }
            Some(_) => continue,
        };
        let was_endpoint = before.is_some_and(|before| before.kind == ResourceKind::Endpoint);
        changes.push(ResourceChange {
            change,
            kind: resource.kind,
            name: key.1.clone(),
            path: resource.path.clone(),
            endpoint_goes: was_endpoint && resource.kind != ResourceKind::Endpoint,
        });
    }
    let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
    changes.extend(gone.map(|(key, resource)| ResourceChange {
        change: Fate::Removed,
        kind: resource.kind,
        name: key.1.clone(),
        path: resource.path.clone(),
        endpoint_goes: resource.kind == ResourceKind::Endpoint,
    }));
    changes
}

/// A resource as a version has it.
struct Definition {
    kind: ResourceKind,
    path: String,
    text: String,
}

/// Resources by what they are named among, and their names.
type Definitions = BTreeMap<(Space, String), Definition>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Datasources,
    Pipes,
    Connections,
    Files,
}

fn definitions(version: Version<'_>) -> Definitions {
    let project = &version.plan.project;
    let mut found = Definitions::new();
    // One without a file is made by the node that fills it, which is told.
    let datasources = project.datasources.values();
    for datasource in datasources.filter(|datasource| datasource.made_by.is_none()) {
        let definition = definition(project, ResourceKind::Datasource, datasource.span);
        found.insert(
            (Space::Datasources, datasource.name.to_string()),
            definition,
        );
    }
    for pipe in project.pipes.values() {
        let kind = kind_of(version.plan.pipes.get(&pipe.name));
        let mut definition = definition(project, kind, pipe.span);
        definition.text.push_str(&included(project, pipe));
        found.insert((Space::Pipes, pipe.name.to_string()), definition);
    }
    for (name, connection) in &project.connections {
        let definition = definition(project, ResourceKind::Connection, connection.span);
        found.insert((Space::Connections, name.clone()), definition);
    }
    for (path, text) in version.files {
        let is_resource = matches!(
            FileKind::of(path),
            Some(FileKind::Pipe | FileKind::Datasource | FileKind::Connection) | None
        );
        if !is_resource {
            let definition = Definition {
                kind: ResourceKind::File,
                path: path.clone(),
                text: text.clone(),
            };
            found.insert((Space::Files, path.clone()), definition);
        }
    }
    found
}

fn definition(project: &Project, kind: ResourceKind, span: Span) -> Definition {
    let file = project.sources.files().get(span.source.0 as usize);
    Definition {
        kind,
        path: file.map_or_else(String::new, |file| file.name().to_owned()),
        text: file.map_or_else(String::new, |file| file.text().trim().to_owned()),
    }
}

/// The nodes of a pipe that stand in other files.
fn included(project: &Project, pipe: &Pipe) -> String {
    let elsewhere = pipe.nodes.iter();
    let elsewhere = elsewhere.filter(|node| node.span.source != pipe.span.source);
    elsewhere
        .map(|node| project.sources.slice(node.span))
        .collect()
}

/// What a pipe is: what callers, readers or the clock want of it.
fn kind_of(pipe: Option<&PipePlan>) -> ResourceKind {
    let Some(pipe) = pipe else {
        return ResourceKind::Pipe;
    };
    let has = |wanted: fn(&Role) -> bool| pipe.nodes.iter().any(|node| wanted(&node.role));
    if pipe.endpoint_node().is_some() {
        ResourceKind::Endpoint
    } else if has(|role| matches!(role, Role::Materialized { .. })) {
        ResourceKind::Materialized
    } else if has(|role| matches!(role, Role::Copy { .. })) {
        ResourceKind::Copy
    } else if has(|role| matches!(role, Role::Sink)) {
        ResourceKind::Sink
    } else {
        ResourceKind::Pipe
    }
}
