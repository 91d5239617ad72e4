//! What can be taken over when a project is loaded again after a change of some of its files.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::SourceId;
use pipewright_grammar::syntax::NodeKind;

use super::{Pipe, Project, ResourceName, SourceTree};

/// The findings about pipes, by file. Files with includes are not among them: what they say depends on other files.
pub(crate) type Findings = BTreeMap<SourceId, PipeFindings>;

/// What was found in a pipe's file.
#[derive(Debug, Default)]
pub(crate) struct PipeFindings {
    /// When it was parsed.
    pub(crate) parsed: Vec<Diagnostic>,
    /// When its templates were compiled.
    pub(crate) built: Vec<Diagnostic>,
}

/// A pipe whose file is as it was.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) pipe: Pipe,
    pub(crate) findings: PipeFindings,
}

/// What names mean in a project: as long as that is the same, the names in an unchanged node mean the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    datasources: Vec<NamedDatasource>,
    pipes: Vec<NamedPipe>,
    /// What SQL may use is set there.
    config: Option<String>,
}

/// What others know of a data source.
#[derive(Debug, PartialEq, Eq)]
struct NamedDatasource {
    name: ResourceName,
    version: Option<u32>,
    /// Names of files alone are proposed where a name is unknown.
    has_file: bool,
}

/// What others know of a pipe.
#[derive(Debug, PartialEq, Eq)]
struct NamedPipe {
    name: ResourceName,
    version: Option<u32>,
    /// The node that its readers get.
    output: Option<String>,
    /// Whether that is served only because of what other files are like.
    published_by_default: bool,
}

impl Names {
    pub(crate) fn of(project: &Project) -> Self {
        let pipes = project.pipes.values().map(|pipe| NamedPipe {
            name: pipe.name.clone(),
            version: pipe.version,
            output: pipe.output().map(|node| node.name.value.clone()),
            published_by_default: pipe.published_by_default,
        });
        let datasources = project.datasources.values();
        let datasources = datasources.map(|datasource| NamedDatasource {
            name: datasource.name.clone(),
            version: datasource.version(),
            has_file: datasource.made_by.is_none(),
        });
        let config = project.sources.file("pipewright.toml");
        Self {
            datasources: datasources.collect(),
            pipes: pipes.collect(),
            config: config.map(|file| file.text().to_owned()),
        }
    }
}

impl Known {
    /// The pipes of a project whose files are in another tree, too, with the same number, name and text.
    pub(crate) fn of(
        before: &SourceTree,
        pipes: BTreeMap<ResourceName, Pipe>,
        mut findings: Findings,
        sources: &SourceTree,
    ) -> BTreeMap<SourceId, Self> {
        let is_same = |id: SourceId| {
            let (old, new) = (before.files(), sources.files());
            match (old.get(id.0 as usize), new.get(id.0 as usize)) {
                (Some(old), Some(new)) => old.name() == new.name() && old.text() == new.text(),
                _ => false,
            }
        };
        pipes
            .into_values()
            .filter_map(|mut pipe| {
                let id = pipe.span.source;
                let findings = findings.remove(&id).filter(|_| is_same(id))?;
                // Of nodes with one name, what each reads cannot be told apart.
                let mut names = BTreeSet::new();
                if !pipe.nodes.iter().all(|node| names.insert(&node.name.value)) {
                    return None;
                }
                // Whether it is served without saying so depends on other files.
                if std::mem::take(&mut pipe.published_by_default)
                    && let Some(last) = pipe.nodes.last_mut()
                {
                    last.kind = NodeKind::Standard;
                }
                Some((id, Self { pipe, findings }))
            })
            .collect()
    }
}
