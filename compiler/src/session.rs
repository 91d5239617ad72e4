//! One project checked again and again, as its author saves files.
//!
//! What is costly is done for each file, node or pipe by itself: parsing it, compiling its templates, rendering and scanning its branches, planning it, and looking
//! at it with the rules. A file whose text is the same keeps what was made of it. As long as every name of the project means what it did, the nodes of such files
//! keep what they read, and the pipes that no change reaches keep their plans and findings. The rest (the graph, the tables, what is found about the
//! project as a whole) is made anew from those, since it is cheap and depends on everything. So that nothing is ever stale, nothing is patched: what is kept is
//! moved from one plan to the next, whole.

mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::SourceId;

use crate::check;
use crate::graph::{self, NodeId, NodeReads};
use crate::plan::{self, PipePlan, Plan};
use crate::project::{
    Datasource, Findings, Known, Loaded, Names, Policies, Project, ResourceName, SourceTree,
};
use reach::Changes;

/// Remembers the last check of a project.
#[derive(Default)]
pub struct Session {
    last: Option<Compiled>,
    /// What the rules found about each pipe.
    findings: BTreeMap<ResourceName, Vec<Diagnostic>>,
}

/// A plan with what a next one can take over.
pub(crate) struct Compiled {
    pub(crate) plan: Plan,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Of each file.
    findings: Findings,
    /// The pipes whose plans are those of before, with all that rules see of them.
    untouched: BTreeSet<ResourceName>,
}

impl Session {
    /// What [`check`](crate::check()) says of the files, sooner where most of them are as they were the last time.
    pub fn check(&mut self, sources: SourceTree) -> (&Plan, Vec<Diagnostic>) {
        let mut compiled = compile(sources, self.last.take());
        let mut known = std::mem::take(&mut self.findings);
        known.retain(|name, _| compiled.untouched.contains(name));
        self.findings = check::of_pipes(&compiled.plan, known);
        let mut found = check::of_project(&compiled.plan);
        found.extend(self.findings.values().flatten().cloned());
        let mut diagnostics = std::mem::take(&mut compiled.diagnostics);
        crate::add_findings(&compiled.plan, found, &mut diagnostics);
        (&self.last.insert(compiled).plan, diagnostics)
    }
}

pub(crate) fn compile(sources: SourceTree, last: Option<Compiled>) -> Compiled {
    let (known, before) = last
        .and_then(|last| Before::of(last, &sources))
        .unwrap_or_default();
    let same: BTreeSet<SourceId> = known.keys().copied().collect();
    let Loaded {
        project,
        mut diagnostics,
        findings,
    } = crate::project::load_again(sources, known);
    let policies = Policies::of(&project.config);
    let mut before = before
        .filter(|before| before.names == Names::of(&project))
        .unwrap_or_default();
    let changes = before.forget_changed(&project, &same);
    let (graph, found) = graph::build_again(&project, &policies, before.reads);
    diagnostics.extend(found);
    let reached = changes.reach(&graph);
    let mut plans = before.plans;
    plans.retain(|name, _| !reached.contains(name));
    let untouched = plans.keys().cloned().collect();
    let (plan, found) = plan::plan_again(Arc::new(project), graph, policies, plans);
    diagnostics.extend(found);
    Compiled {
        plan,
        diagnostics,
        findings,
        untouched,
    }
}

/// What was made of a project before, beside the pipes of files that are as they were. Empty where no name can be trusted to mean what it did.
#[derive(Default)]
struct Before {
    names: Names,
    datasources: BTreeMap<ResourceName, Datasource>,
    reads: BTreeMap<NodeId, NodeReads>,
    plans: BTreeMap<ResourceName, PipePlan>,
}

impl Before {
    /// With the pipes of files that are as they were. `None` where someone else still holds the project.
    fn of(
        last: Compiled,
        sources: &SourceTree,
    ) -> Option<(BTreeMap<SourceId, Known>, Option<Self>)> {
        let project = Arc::try_unwrap(last.plan.project).ok()?;
        let names = Names::of(&project);
        let known = Known::of(&project.sources, project.pipes, last.findings, sources);
        let before = Self {
            names,
            datasources: project.datasources,
            reads: last.plan.graph.reads,
            plans: last.plan.pipes,
        };
        Some((known, Some(before)))
    }

    /// Drops what changed files say, and says what those are and what they read.
    fn forget_changed(&mut self, project: &Project, same: &BTreeSet<SourceId>) -> Changes {
        let pipes = project.pipes.values();
        let pipes: BTreeSet<ResourceName> = pipes
            .filter(|pipe| !same.contains(&pipe.span.source))
            .map(|pipe| pipe.name.clone())
            .collect();
        let datasources = project.datasources.iter();
        let datasources = datasources
            .filter(|(name, datasource)| self.datasources.get(*name) != Some(*datasource))
            .map(|(name, _)| name.clone())
            .collect();
        let mut read_before = BTreeSet::new();
        self.reads.retain(|id, reads| {
            let is_same = !pipes.contains(&id.pipe);
            if !is_same {
                read_before.extend(std::mem::take(&mut reads.sources).into_keys());
            }
            is_same
        });
        Changes {
            pipes,
            datasources,
            read_before,
        }
    }
}
