//! Deploys into a real engine, in this process and by real servers that serve and are killed. These tests fail when libchdb is not installed.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it calls too"
)]

mod altered;
mod anew;
mod changes;
mod command_line;
mod connect;
mod copied;
mod datafiles;
mod drift;
mod endpoints;
mod gone;
mod inferred;
mod journal;
mod kills;
mod large;
mod losses;
mod meanwhile;
#[path = "../ingest/opened.rs"]
mod opened;
mod ordered;
mod populated;
mod recovered;
mod replaced;
mod said;
mod served;
#[path = "../ingest/server.rs"]
mod server;
mod standing;
mod tls;
mod views;
mod waiting;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use opened::{checked, opened, text};
use pipewright::deploy::{self, DeployError, DeployPlan, Nobody, Progress, Run};
use pipewright::engine::{Engine, Query};
use pipewright::ingest::Ingest;
use pipewright::state::{DeploymentKind, NewDeployment, State};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;
use tokio::sync::{Mutex, MutexGuard};

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

/// An empty engine, for one test at a time: a deploy takes away what its project does not name.
struct Bench {
    engine: Arc<dyn Engine>,
    ingest: Arc<Ingest>,
    state: State,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    async fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let (engine, folder) = opened("deploy-tests");
        let engine = Arc::clone(engine);
        for (kind, pattern) in [("VIEW", "MaterializedView"), ("TABLE", "%")] {
            let sql = format!(
                "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '{pattern}'"
            );
            for name in text(engine.as_ref(), &sql).await.lines() {
                let drop = format!("DROP {kind} IF EXISTS `{name}` SYNC");
                engine.execute(&drop).await.unwrap();
            }
        }
        let collections = "SELECT name FROM system.named_collections";
        for name in text(engine.as_ref(), collections).await.lines() {
            let drop = format!("DROP NAMED COLLECTION `{name}`");
            engine.execute(&drop).await.unwrap();
        }
        _ = std::fs::remove_dir_all(folder.join("ingest"));
        Self {
            ingest: Ingest::open(Arc::clone(&engine), folder).unwrap(),
            engine,
            state: State::in_memory().unwrap(),
            _alone: alone,
        }
    }

    async fn execute(&self, sql: &str) {
        let done = self.engine.execute(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn tsv(&self, sql: &str) -> String {
        text(self.engine.as_ref(), sql).await
    }

    async fn plan(&self, plan: &Plan, before: Option<&Plan>) -> DeployPlan {
        deploy::plan(plan, before, &self.ingest).await.unwrap()
    }

    async fn run(
        &self,
        plan: &Plan,
        before: Option<&Plan>,
        planned: &DeployPlan,
    ) -> Result<i64, DeployError> {
        let new = NewDeployment {
            artifact_hash: "",
            kind: DeploymentKind::Deploy,
            files: &BTreeMap::new(),
            before: None,
            steps: &serde_json::to_string(&planned.steps).unwrap(),
        };
        let id = self.state.deployments().start(new).unwrap();
        let run = Run {
            ingest: &self.ingest,
            state: &self.state,
            id,
            wanted: plan,
            before,
            catalog: None,
            undoes: None,
            audience: &Nobody,
            progress: &Silent,
        };
        run.run(planned).await.map(|()| id)
    }

    /// Brings a project into force; the plan for it. Nothing is left to do afterwards, and nothing lies around.
    async fn deploy(&self, files: &[(&str, &str)], before: Option<&Plan>) -> (Plan, String) {
        let plan = checked(files);
        let planned = self.plan(&plan, before).await;
        self.run(&plan, before, &planned).await.unwrap();
        let again = self.plan(&plan, Some(&plan)).await;
        assert!(again.is_empty(), "{}", shown(&again));
        assert_eq!(self.passing().await, "");
        (plan, shown(&planned))
    }

    /// Tables that are there for a moment only.
    async fn passing(&self) -> String {
        self.tsv("SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'pw_')")
            .await
    }
}

fn shown(planned: &DeployPlan) -> String {
    let mut text = String::new();
    for step in &planned.steps {
        writeln!(
            text,
            "{} {} {:?}, reads {}, destroys {}: {}",
            step.action.words(),
            step.name,
            step.effect,
            step.estimate.reads.rows,
            step.estimate.destroys.rows,
            step.what.join(", ")
        )
        .unwrap();
        for sql in &step.sql {
            writeln!(text, "  {}", sql.replace('\n', " ")).unwrap();
        }
    }
    text
}

fn datasource(columns: &str, rest: &str) -> String {
    format!(
        "SCHEMA >\n    {}\n\n{rest}",
        columns.replace('\n', "\n    ")
    )
}

fn view(query: &str, target: &str) -> String {
    format!(
        "NODE n\nSQL >\n    {}\n\nTYPE materialized\nDATASOURCE {target}\n",
        query.replace('\n', "\n    ")
    )
}

const KEYS: &str = "ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
