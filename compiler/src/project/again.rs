//! What can be taken over when a project is loaded again after a change of some of its files.

use std::collections::BTreeMap;

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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    datasources: Vec<ResourceName>,
    /// Pipes with the node that their readers get.
    pipes: Vec<(ResourceName, Option<String>)>,
    /// What SQL may use is set there.
    config: Option<String>,
}

impl Names {
    pub(crate) fn of(project: &Project) -> Self {
        let pipes = project.pipes.iter().map(|(name, pipe)| {
            let output = pipe.output().map(|node| node.name.value.clone());
            (name.clone(), output)
        });
        let config = project.sources.file("pipewright.toml");
        Self {
            datasources: project.datasources.keys().cloned().collect(),
            pipes: pipes.collect(),
            config: config.map(|file| file.text().to_owned()),
        }
    }
}

impl Known {
    /// The pipes of a project whose files are in another tree, too, with the same number, name and text.
    pub(crate) fn of(
        project: Project,
        mut findings: Findings,
        sources: &SourceTree,
    ) -> BTreeMap<SourceId, Self> {
        let before = project.sources;
        let is_same = |id: SourceId| {
            let (old, new) = (before.files(), sources.files());
            match (old.get(id.0 as usize), new.get(id.0 as usize)) {
                (Some(old), Some(new)) => old.name() == new.name() && old.text() == new.text(),
                _ => false,
            }
        };
        let pipes = project.pipes.into_values();
        pipes
            .filter_map(|mut pipe| {
                let id = pipe.span.source;
                let findings = findings.remove(&id).filter(|_| is_same(id))?;
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
