//! One project checked again and again, as its author saves files.
//!
//! What is costly is done for each file or node by itself: parsing it, compiling its templates, rendering and scanning its branches. A file whose text is the same keeps
//! what was made of it, and its nodes keep what they read as long as every name of the project means what it did. The rest (edges, plans, rules) is made
//! anew from those, since it is cheap and depends on everything. So that nothing is ever stale, nothing is patched: what is kept is moved from one plan to
//! the next, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pipewright_grammar::diagnostic::Diagnostic;

use crate::graph;
use crate::plan::{self, Plan};
use crate::project::{Findings, Known, Loaded, Names, Policies, ResourceName, SourceTree};

/// Remembers the last check of a project.
#[derive(Default)]
pub struct Session {
    last: Option<Compiled>,
}

/// A plan with what a next one can take over.
pub(crate) struct Compiled {
    pub(crate) plan: Plan,
    pub(crate) diagnostics: Vec<Diagnostic>,
    findings: Findings,
}

impl Session {
    /// What [`check`](crate::check()) says of the files, sooner where most of them are as they were the last time.
    pub fn check(&mut self, sources: SourceTree) -> (&Plan, Vec<Diagnostic>) {
        let mut compiled = compile(sources, self.last.take());
        let mut diagnostics = std::mem::take(&mut compiled.diagnostics);
        crate::add_findings(&compiled.plan, &mut diagnostics);
        (&self.last.insert(compiled).plan, diagnostics)
    }
}

pub(crate) fn compile(sources: SourceTree, last: Option<Compiled>) -> Compiled {
    let mut before = last.and_then(|last| Before::of(last, &sources));
    let known = before
        .as_mut()
        .map(|before| std::mem::take(&mut before.pipes));
    let loaded = crate::project::load_again(sources, known.unwrap_or_default());
    let Loaded {
        project,
        mut diagnostics,
        findings,
    } = loaded;
    let policies = Policies::of(&project.config);
    let reads = before
        .filter(|before| before.names == Names::of(&project))
        .map(|before| before.reads);
    let (graph, found) = graph::build_again(&project, &policies, reads.unwrap_or_default());
    diagnostics.extend(found);
    let (plan, found) = plan::plan(Arc::new(project), graph, policies);
    diagnostics.extend(found);
    Compiled {
        plan,
        diagnostics,
        findings,
    }
}

/// What is known of files that are as they were.
struct Before {
    names: Names,
    pipes: BTreeMap<pipewright_grammar::source::SourceId, Known>,
    /// Of the nodes of those pipes.
    reads: BTreeMap<graph::NodeId, graph::NodeReads>,
}

impl Before {
    /// `None` where someone else still holds the project.
    fn of(last: Compiled, sources: &SourceTree) -> Option<Self> {
        let project = Arc::try_unwrap(last.plan.project).ok()?;
        let names = Names::of(&project);
        let pipes = Known::of(project, last.findings, sources);
        let unchanged: BTreeSet<&ResourceName> =
            pipes.values().map(|known| &known.pipe.name).collect();
        let mut reads = last.plan.graph.reads;
        reads.retain(|id, _| unchanged.contains(&id.pipe));
        Some(Self {
            names,
            pipes,
            reads,
        })
    }
}
