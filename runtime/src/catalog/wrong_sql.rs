//! Whether the engine can plan the nodes of a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipewright_compiler::diagnostics::render;
use pipewright_compiler::plan::Plan;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::ahead::Witness;
use super::{Change, ChangeError, Current, Question};
use crate::typing;

/// Refuses nodes that the engine would never answer: an unknown column or function, SQL that it cannot read.
pub(super) async fn refuse_wrong_sql(
    before: &Arc<Current>,
    plan: &Plan,
    change: &Change,
    witness: &Witness<'_>,
) -> Result<(), ChangeError> {
    let sources = &plan.project.sources;
    let is_changed = |pipe: &&pipewright_compiler::project::Pipe| {
        let path = sources[pipe.span.source].name();
        change.files.contains_key(path) && change.tolerated.as_deref() != Some(path)
    };
    let pipes = plan.project.pipes.values().filter(is_changed);
    let pipes: BTreeSet<_> = pipes.map(|pipe| pipe.name.clone()).collect();
    if pipes.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    for statement in typing::changed(&before.plan, plan, &pipes) {
        let limits = &plan.project.config.limits;
        let question = Question {
            query: typing::question(&statement, limits),
            reads: statement.compiled.datasources.clone(),
        };
        let said = witness.ask(question, before).await?;
        // What is not known yet is heard of before anything is made.
        if let Some(Err(error)) = said {
            found.extend(typing::refused(statement, error)?);
        }
    }
    let found = typing::findings(plan, &found);
    let errors: Vec<Diagnostic> = found
        .into_iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .take(3)
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    let text = render::concise(&errors, sources.files());
    Err(ChangeError::Invalid(text.trim_end().to_owned()))
}
