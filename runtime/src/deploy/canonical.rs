//! Queries of views in a form in which two spellings of one query are the same text.
//!
//! The engine keeps a view's query as it understood it: with functions by the names that it gives them, whatever they were called, and without layout and comments.
//! So a query is compared as the engine would keep it, and a view that carries the mark of the wanted text is not looked at at all.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::deploy::Step;
use pipewright_compiler::sql::{canonical_calls, quote_identifier, quote_literal};

use super::names;
use super::planner::Planner;
use crate::engine::ask::text;
use crate::engine::{Engine, EngineError, Query};

impl Planner<'_> {
    /// The query of a wanted view.
    pub(super) async fn canonical(&self, step: &Step, query: &str) -> Result<String, EngineError> {
        let kept = match self.actual.table(&step.name) {
            Some(there) if there.comment() == step.comment() => {
                return self.canonical_of_present(&there.as_select).await;
            }
            _ => kept_by_engine(self.engine, &step.name, query).await,
        };
        match kept {
            Ok(kept) => self.unqualified(&kept).await,
            // The engine will say so when the view is made.
            Err(EngineError::Exception { .. }) => formatted(self.engine, query).await,
            Err(error) => Err(error),
        }
    }

    /// The query of a view that is there, with the new names of what has been renamed.
    async fn canonical_of_present(&self, kept: &str) -> Result<String, EngineError> {
        let mut query = self.unqualified(kept).await?;
        for (from, to) in &self.planned.blueprint.renames {
            query = replace_word(&query, from, to);
        }
        Ok(query)
    }

    /// A query that the engine has kept, with the names of the project's tables as the project has them.
    async fn unqualified(&self, kept: &str) -> Result<String, EngineError> {
        let query = kept.replace(&format!("{}.", self.wanted.database), "");
        formatted(self.engine, &query).await
    }

    /// The present queries of all views in canonical form.
    pub(super) async fn read_present_queries(&mut self) -> Result<(), EngineError> {
        let targets: BTreeSet<String> = self.views.iter().map(|view| view.target.clone()).collect();
        for target in targets {
            let mut queries = Vec::new();
            for (name, query) in self.present_queries(&target) {
                queries.push((name, self.canonical_of_present(&query).await?));
            }
            self.present_canonical.insert(target, queries);
        }
        Ok(())
    }

    /// The queries, as the engine keeps them, of the views that fill a table now.
    fn present_queries(&self, target: &str) -> BTreeMap<String, String> {
        let views = self.actual.views_into(&self.present(target));
        views
            .into_iter()
            .filter(|(name, _)| !names::is_passing(name))
            .map(|(name, view)| (name.to_owned(), view.as_select.clone()))
            .collect()
    }
}

/// What the engine makes of the text of a view. With its columns given, a view may read what is not there yet; and it is one that no rows come to.
async fn kept_by_engine(
    engine: &dyn Engine,
    view: &str,
    query: &str,
) -> Result<String, EngineError> {
    let name = names::probe(view);
    let probe = quote_identifier(&name);
    let drop = format!("DROP VIEW IF EXISTS {probe} SYNC");
    engine.execute(&drop).await?;
    let create = format!("CREATE VIEW {probe} (`any` UInt8) AS\n{query}");
    engine.execute(&create).await?;
    let sql = format!(
        "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {}",
        quote_literal(&name)
    );
    let kept = text(engine, &sql).await;
    engine.execute(&drop).await?;
    kept
}

/// A query without layout and comments, and with one spelling of each call.
async fn formatted(engine: &dyn Engine, query: &str) -> Result<String, EngineError> {
    let ask = Query::new(
        "SELECT formatQuerySingleLineOrNull({query:String})",
        "TSVRaw",
    )
    .text("query", query);
    let bytes = engine.query(ask).await?.bytes().await?;
    Ok(canonical_calls(String::from_utf8_lossy(&bytes).trim()))
}

/// Replaces a name where it stands as a whole word.
fn replace_word(text: &str, from: &str, to: &str) -> String {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let before = rest[..at].chars().next_back().or(out.chars().next_back());
        let after = rest[at + from.len()..].chars().next();
        out.push_str(&rest[..at]);
        let whole = !before.is_some_and(is_name) && !after.is_some_and(is_name);
        out.push_str(if whole { to } else { from });
        rest = &rest[at + from.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::replace_word;

    #[test]
    fn only_whole_names_are_replaced() {
        assert_eq!(
            replace_word("SELECT a.x, aa FROM a, ba", "a", "new"),
            "SELECT new.x, aa FROM new, ba"
        );
    }
}
