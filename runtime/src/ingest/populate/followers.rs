//! What follows from the data source that a populate fills: what the views that read it fill, and the views that read that.
//!
//! Such a populate goes through those views: what it has made is inserted under the job's token, which the engine knows in each table that the rows reach, so that a
//! later process may insert them again. Where the target is emptied before, all that follows is emptied in the same moment, and each row that comes afterwards, of the
//! populate or not, is counted everywhere once.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::plan::{Plan, TablePlan};
use pipewright_compiler::project::ResourceName;
use serde::Deserialize;

use super::Ingest;
use crate::engine::{EngineError, ask};
use crate::ingest::Mark;

/// What follows from a data source, as the engine has it.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// Whether a view follows its inserts.
    pub(super) is_followed: bool,
    /// What the views fill.
    pub(super) tables: BTreeSet<String>,
    /// A view that fills one of these otherwise, with what it fills.
    elsewhere: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Table {
    name: String,
    /// The views that follow its inserts.
    followed_by: Vec<String>,
    /// The statement that makes it, if it is a view.
    made_by: String,
    database: String,
}

impl Table {
    /// What it fills, if it is a view.
    fn fills(&self) -> Option<&str> {
        let (_, rest) = self.made_by.split_once(" TO ")?;
        let name = rest.split([' ', '\n', '(']).next()?;
        let own = name.strip_prefix(&self.database);
        let bare = own.and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
        Some(bare.trim_matches('`'))
    }
}

impl Ingest {
    /// What follows from a data source now.
    pub(super) async fn followers(&self, target: &str) -> Result<Followers, EngineError> {
        let sql = "SELECT name, dependencies_table AS followed_by, if(engine = 'MaterializedView', create_table_query, '') AS made_by, database FROM system.tables WHERE database = currentDatabase()";
        let found: Vec<Table> = ask::rows(self.engine(), sql).await?;
        let fills: BTreeMap<&str, &str> = found
            .iter()
            .filter_map(|table| Some((table.name.as_str(), table.fills()?)))
            .collect();
        let (mut followers, mut views) = (Followers::default(), BTreeSet::new());
        let mut waiting = vec![target.to_owned()];
        while let Some(name) = waiting.pop() {
            let table = found.iter().find(|table| table.name == name);
            for view in table.map_or(&[][..], |table| &table.followed_by) {
                let Some(into) = fills.get(view.as_str()) else {
                    continue;
                };
                views.insert(view.as_str());
                if *into != target && followers.tables.insert((*into).to_owned()) {
                    waiting.push((*into).to_owned());
                }
            }
        }
        followers.is_followed = !views.is_empty();
        let mut others = fills
            .iter()
            .filter(|(view, into)| !views.contains(**view) && followers.tables.contains(**into));
        followers.elsewhere = others
            .next()
            .map(|(view, into)| ((*view).to_owned(), (*into).to_owned()));
        Ok(followers)
    }
}

impl Followers {
    /// Why a data source with these followers cannot be populated; nothing when it can.
    pub(super) fn reason_against(
        &self,
        ingest: &Ingest,
        plan: &Plan,
        target: &ResourceName,
        truncate: bool,
    ) -> Option<String> {
        if !self.is_followed {
            return None;
        }
        let heeds = |name: &str| {
            let table = plan.tables.get(&ResourceName::local(name));
            table.is_some_and(TablePlan::heeds_order)
        };
        let target = target.to_string();
        let mut all = std::iter::once(&target).chain(&self.tables);
        if let Some(name) = all.find(|name| heeds(name)) {
            return Some(format!(
                "`{name}` shows of rows with the same key one by the order in which they came, and views follow `{target}`: rows of before would come to them after later ones"
            ));
        }
        if truncate {
            self.reason_against_emptying(ingest, &target)
        } else {
            None
        }
    }

    /// Why what follows from a data source cannot be emptied with it; nothing when it can. Rows that come directly are seen from the moment on in which they are
    /// on their way: it holds for as long as one has the data sources alone.
    pub(super) fn reason_against_emptying(&self, ingest: &Ingest, target: &str) -> Option<String> {
        if let Some((view, into)) = &self.elsewhere {
            return Some(format!(
                "`{into}` follows from `{target}` and would be emptied with it, and what the view `{view}` has put there would be gone: populate without `truncate`, or take that view away first"
            ));
        }
        let mut tables = self.tables.iter();
        let direct = tables.find(|name| ingest.marked(Mark::Direct, name).is_some())?;
        Some(format!(
            "`{direct}` follows from `{target}` and would be emptied with it, and rows have come to `{direct}` otherwise than through views: they would be gone"
        ))
    }
}
