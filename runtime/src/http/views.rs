//! What runs with an insert: a row of `tinybird.datasources_ops_log` for each materialized view that rows of a data source reach, under the operation that wrote
//! them. The engine knows which views there are; it does not tell how many rows each of them wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use pipewright_compiler::deploy::view_name;
use pipewright_compiler::plan::Role;
use tokio::sync::Mutex;

use super::App;
use crate::catalog::Current;
use crate::engine::{Engine, EngineError, Query};
use crate::service::{Operation, Row};

/// A view as the log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    pipe: String,
    target: String,
}

/// The views of each data source, with the version of the project for which they were asked.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    of: Weak<Current>,
    views: Arc<BTreeMap<String, Vec<View>>>,
}

impl Views {
    async fn of(&self, app: &App) -> Result<Arc<BTreeMap<String, Vec<View>>>, EngineError> {
        let current = app.catalog.current();
        let mut known = self.0.lock().await;
        if let Some(known) = known.as_ref()
            && Weak::ptr_eq(&known.of, &Arc::downgrade(&current))
        {
            return Ok(Arc::clone(&known.views));
        }
        let views = Arc::new(found(app.engine.as_ref(), &current).await?);
        *known = Some(Known {
            of: Arc::downgrade(&current),
            views: Arc::clone(&views),
        });
        Ok(views)
    }
}

/// Asks the engine which views follow inserts into which tables.
async fn found(
    engine: &dyn Engine,
    current: &Current,
) -> Result<BTreeMap<String, Vec<View>>, EngineError> {
    let mut by_name = BTreeMap::new();
    for node in current.plan.pipes.values().flat_map(|pipe| &pipe.nodes) {
        if let Role::Materialized { target } = &node.role {
            let view = View {
                pipe: node.id.pipe.to_string(),
                target: target.to_string(),
            };
            by_name.insert(view_name(&node.id.pipe, &node.id.node), view);
        }
    }
    if by_name.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT name, arrayJoin(dependencies_table) FROM system.tables WHERE database = currentDatabase() AND notEmpty(dependencies_table) ORDER BY 1, 2";
    let answer = engine.query(Query::new(sql, "TSV")).await?;
    let text = answer.bytes().await?;
    let mut views: BTreeMap<String, Vec<View>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let (source, view) = line.split_once('\t').unwrap_or_default();
        if let Some(view) = by_name.get(view) {
            let of_source = views.entry(source.to_owned()).or_default();
            of_source.push(view.clone());
        }
    }
    Ok(views)
}

/// Those that rows of a data source reach, one after the other; each once.
fn reached<'a>(views: &'a BTreeMap<String, Vec<View>>, source: &str) -> Vec<&'a View> {
    let mut seen = BTreeSet::from([source.to_owned()]);
    let mut waiting = vec![source.to_owned()];
    let mut out = Vec::new();
    while let Some(source) = waiting.pop() {
        for view in views.get(&source).into_iter().flatten() {
            out.push(view);
            if seen.insert(view.target.clone()) {
                waiting.push(view.target.clone());
            }
        }
    }
    out
}

/// Writes down what an insert that succeeded brought with it.
pub(super) fn follow(app: &Arc<App>, insert: &Operation) {
    if insert.error.is_some() || insert.written_rows == 0 {
        return;
    }
    let (app, insert) = (Arc::clone(app), insert.clone());
    tokio::spawn(async move {
        let views = match app.views.of(&app).await {
            Ok(views) => views,
            Err(error) => {
                tracing::warn!(%error, "which views rows have reached is not written down");
                return;
            }
        };
        let current = app.catalog.current();
        for view in reached(&views, &insert.datasource_name) {
            let pipe = current.objects.pipe(&view.pipe);
            let target = current.objects.datasource(&view.target);
            app.service.record(Row::Operation(Operation {
                datasource_id: target.map(|object| object.id.clone()).unwrap_or_default(),
                datasource_name: view.target.clone(),
                pipe_id: pipe.map(|object| object.id.clone()).unwrap_or_default(),
                pipe_name: view.pipe.clone(),
                import_id: None,
                rows: None,
                rows_quarantine: None,
                read_rows: 0,
                read_bytes: 0,
                written_rows: 0,
                written_bytes: 0,
                written_rows_quarantine: 0,
                ..insert.clone()
            }));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(target: &str) -> View {
        View {
            pipe: format!("to_{target}"),
            target: target.to_owned(),
        }
    }

    #[test]
    fn rows_reach_views_of_views_and_no_view_for_ever() {
        let views = BTreeMap::from([
            ("a".to_owned(), vec![view("b"), view("c")]),
            ("b".to_owned(), vec![view("c")]),
            ("c".to_owned(), vec![view("a")]),
        ]);
        let targets: Vec<&str> = reached(&views, "a")
            .iter()
            .map(|view| view.target.as_str())
            .collect();
        assert_eq!(targets, ["b", "c", "a", "c"]);
        assert!(reached(&views, "d").is_empty());
    }
}
