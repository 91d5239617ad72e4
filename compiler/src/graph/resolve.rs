//! What a table name in SQL means: node of the same pipe → pipe → data source → service data source → allowed system table.

use crate::project::{Datasource, Node, Pipe, Project, ResourceName};
use crate::sql::Policy;

/// Databases of the service data sources. Their tables are ordinary tables of the engine.
pub const SERVICE_DATABASES: &[&str] = &["tinybird", "organization"];

/// Where a name is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The pipe whose nodes are in scope; `None` for a query from outside.
    pub pipe: Option<&'a Pipe>,
    /// The node that reads: its own name means the resource of that name, not itself.
    pub node: Option<&'a str>,
    /// What `_` stands for in a query to a pipe's endpoint.
    pub underscore: Option<&'a Pipe>,
}

/// What a name means.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A node: of the same pipe, or the output node of another.
    Node(&'a Pipe, &'a Node),
    /// A data source: a table of the engine under the same name.
    Datasource(&'a Datasource),
    /// A service data source, an allowed system table, or the quarantine of a data source.
    Service,
}

/// Finds what a table name means; `None` if nothing has it.
pub fn resolve<'a>(
    project: &'a Project,
    policy: &Policy,
    scope: Scope<'a>,
    database: Option<&str>,
    name: &str,
) -> Option<Target<'a>> {
    if let Some(database) = database {
        if SERVICE_DATABASES.contains(&database)
            || (database == "system" && policy.system_tables.contains(name))
        {
            return Some(Target::Service);
        }
        let shared = ResourceName {
            workspace: Some(database.to_owned()),
            name: name.to_owned(),
        };
        return resource(project, &shared);
    }
    if name == "_" && scope.underscore.is_some() {
        return scope
            .underscore
            .and_then(|pipe| Some(Target::Node(pipe, pipe.output()?)));
    }
    if let Some(pipe) = scope.pipe
        && scope.node != Some(name)
        && let Some(node) = pipe.node(name)
    {
        return Some(Target::Node(pipe, node));
    }
    // A resource that another workspace shares is found in that workspace first by its own pipes.
    let workspace = scope.pipe.and_then(|pipe| pipe.name.workspace.clone());
    if workspace.is_some()
        && let Some(target) = resource(
            project,
            &ResourceName {
                workspace,
                name: name.to_owned(),
            },
        )
    {
        return Some(target);
    }
    resource(project, &ResourceName::local(name))
}

fn resource<'a>(project: &'a Project, name: &ResourceName) -> Option<Target<'a>> {
    if let Some(pipe) = project.pipes.get(name) {
        return pipe.output().map(|node| Target::Node(pipe, node));
    }
    if let Some(datasource) = project.datasources.get(name) {
        return Some(Target::Datasource(datasource));
    }
    if let Some(plain) = project.unversioned(name) {
        return resource(project, &plain);
    }
    let quarantined = ResourceName {
        workspace: name.workspace.clone(),
        name: name.name.strip_suffix("_quarantine")?.to_owned(),
    };
    project
        .datasources
        .contains_key(&quarantined)
        .then_some(Target::Service)
}

/// At most three names in scope that look like `name`, best first.
pub fn suggestions(project: &Project, scope: Scope<'_>, name: &str) -> Vec<String> {
    let nodes = scope
        .pipe
        .into_iter()
        .flat_map(|pipe| pipe.nodes.iter().map(|node| node.name.value.clone()));
    let pipes = project.pipes.keys().map(ToString::to_string);
    let datasources = project.datasources.keys().map(ToString::to_string);
    similar_names(
        name,
        nodes
            .filter(|node| scope.node != Some(node))
            .chain(pipes)
            .chain(datasources),
    )
}

/// At most three of the candidates that look like `name`, best first.
pub fn similar_names(name: &str, candidates: impl Iterator<Item = String>) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut scored: Vec<(f64, String)> = candidates
        .map(|candidate| {
            (
                strsim::jaro_winkler(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored
        .into_iter()
        .take(3)
        .map(|(_, candidate)| candidate)
        .collect()
}
