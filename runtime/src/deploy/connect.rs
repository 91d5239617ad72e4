//! Connectors on a ClickHouse server: tables that stand for other systems, and the views through which their rows come.
//!
//! They have no rows of their own, so that nothing is lost when they are made anew: Kafka knows how far its group has read, the server which files it has. The
//! view that begins to read is made last and goes first. None of this runs on the embedded engine.

use std::collections::BTreeMap;

use pipewright_compiler::connect::{Connector, Statement, StatementKind, connectors};
use pipewright_compiler::deploy::Effect;
use pipewright_compiler::emit;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::plan::{Action, DeployStep, Estimate};
use super::{DeployError, Progress};
use crate::engine::ask::lines;
use crate::engine::{Engine, EngineError};
use crate::secrets::Secrets;

/// How the comments of these tables and views begin.
const MARK: &str = "pipewright-connector ";

/// Makes the connectors of a project what its files say. Returns the names of those that were made anew.
pub async fn connect(
    plan: &Plan,
    engine: &dyn Engine,
    secrets: &Secrets,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    let wanted = connectors(plan).0;
    let there = Present::ask(engine).await?;
    there.drop_strangers(&wanted, engine).await?;
    let run = Connecting {
        plan,
        engine,
        secrets,
    };
    let mut made = Vec::new();
    for connector in &wanted {
        run.collection(connector).await?;
        run.quarantine(connector).await?;
        if there.has(connector) {
            continue;
        }
        progress.say(&format!("connecting {}", connector.owner));
        run.make(connector, &there).await?;
        made.push(connector.owner.clone());
    }
    Ok(made)
}

/// Stops rows from coming by themselves, until [`connect`] is called.
pub async fn disconnect(engine: &dyn Engine) -> Result<(), DeployError> {
    let there = Present::ask(engine).await?;
    for name in there.0.keys().filter(|name| name.ends_with("__feed")) {
        drop_object(engine, name).await?;
    }
    Ok(())
}

/// What [`connect`] would make, as steps to be read.
pub async fn pending(plan: &Plan, engine: &dyn Engine) -> Result<Vec<DeployStep>, DeployError> {
    let there = Present::ask(engine).await?;
    let wanted = connectors(plan).0;
    let missing = wanted.iter().filter(|connector| !there.has(connector));
    Ok(missing.map(step).collect())
}

/// The connectors of a project that an embedded engine does not start.
pub fn left_out(plan: &Plan) -> Vec<String> {
    let owners = connectors(plan).0.into_iter();
    owners.map(|connector| connector.owner).collect()
}

fn step(connector: &Connector) -> DeployStep {
    let statements = connector.statements.iter();
    DeployStep {
        action: Action::Connect,
        name: connector.owner.clone(),
        from: None,
        what: vec![format!(
            "rows {} {}",
            if connector.is_sink() {
                "can be written to"
            } else {
                "come from"
            },
            connector.system.words()
        )],
        effect: Effect::Nothing,
        estimate: Estimate::default(),
        sql: statements
            .filter(|statement| statement.kind != StatementKind::Run)
            .map(|statement| statement.sql.text())
            .collect(),
    }
}

/// Whether an object of the engine is this module's.
pub(super) fn is_connector(comment: &str) -> bool {
    comment.starts_with(MARK)
}

fn comment(statement: &Statement) -> String {
    format!("{MARK}{}", statement.fingerprint())
}

/// The connectors' tables and views that are there, by name, with their comments.
struct Present(BTreeMap<String, String>);

impl Present {
    async fn ask(engine: &dyn Engine) -> Result<Self, DeployError> {
        let sql = format!(
            "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND startsWith(comment, {})",
            quote_literal(MARK)
        );
        let found = lines(engine, &sql)
            .await
            .map_err(|source| DeployError::Introspect { source })?;
        let pairs = found.iter().filter_map(|line| line.split_once('\t'));
        let pairs = pairs.map(|(name, comment)| (name.to_owned(), comment.to_owned()));
        Ok(Self(pairs.collect()))
    }

    fn is_there(&self, statement: &Statement) -> bool {
        self.0.get(&statement.name) == Some(&comment(statement))
    }

    fn has(&self, connector: &Connector) -> bool {
        let mut own = connector
            .statements
            .iter()
            .filter(|statement| is_own(statement));
        own.all(|statement| self.is_there(statement))
    }

    /// Takes away what no connector makes any more, feeds first.
    async fn drop_strangers(
        &self,
        wanted: &[Connector],
        engine: &dyn Engine,
    ) -> Result<(), DeployError> {
        let is_wanted = |name: &str| {
            let mut statements = wanted.iter().flat_map(|connector| &connector.statements);
            statements.any(|statement| is_own(statement) && statement.name == name)
        };
        let mut strangers: Vec<&String> = self.0.keys().filter(|name| !is_wanted(name)).collect();
        strangers.sort_by_key(|name| rank(name));
        for name in strangers {
            drop_object(engine, name).await?;
        }
        Ok(())
    }
}

/// Feeds go before the views that they reach, and those before their tables.
fn rank(name: &str) -> u8 {
    if name.ends_with("__feed") {
        0
    } else if name.ends_with("__good") || name.ends_with("__bad") {
        1
    } else {
        2
    }
}

/// Whether a statement makes a table or view that carries the mark.
fn is_own(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        StatementKind::Table | StatementKind::View | StatementKind::Feed
    )
}

async fn drop_object(engine: &dyn Engine, name: &str) -> Result<(), DeployError> {
    let sql = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(name));
    let dropped = engine.execute(&sql).await;
    dropped.map_err(|source| DeployError::Statement { sql, source })
}

struct Connecting<'a> {
    plan: &'a Plan,
    engine: &'a dyn Engine,
    secrets: &'a Secrets,
}

impl Connecting<'_> {
    /// The collection with the values of now.
    async fn collection(&self, connector: &Connector) -> Result<(), DeployError> {
        let of_kind = |statement: &&Statement| statement.kind == StatementKind::Collection;
        for statement in connector.statements.iter().filter(of_kind) {
            let made = self.filled(statement)?;
            self.execute(statement, &made).await?;
            self.execute(
                statement,
                &made
                    .replacen(" IF NOT EXISTS", "", 1)
                    .replacen("CREATE", "ALTER", 1)
                    .replacen(" AS\n", " SET\n", 1),
            )
            .await?;
        }
        Ok(())
    }

    async fn quarantine(&self, connector: &Connector) -> Result<(), DeployError> {
        let Some(table) = self.plan.table(&connector.owner) else {
            return Ok(());
        };
        let of_kind = |statement: &&Statement| statement.kind == StatementKind::Quarantine;
        for statement in connector.statements.iter().filter(of_kind) {
            self.execute(statement, &statement.sql.text()).await?;
            if emit::given_columns(table).next().is_some() {
                self.execute(statement, &emit::extend_quarantine(table))
                    .await?;
            }
        }
        Ok(())
    }

    /// Makes what is missing or differs; the way of the rows is closed meanwhile.
    async fn make(&self, connector: &Connector, there: &Present) -> Result<(), DeployError> {
        let own: Vec<&Statement> = connector
            .statements
            .iter()
            .filter(|statement| is_own(statement))
            .collect();
        for statement in own.iter().rev() {
            let stays = statement.kind == StatementKind::Table && there.is_there(statement);
            if there.0.contains_key(&statement.name) && !stays {
                drop_object(self.engine, &statement.name).await?;
            }
        }
        for statement in own {
            let sql = self.filled(statement)?;
            let mark = quote_literal(&comment(statement));
            let sql = if statement.kind == StatementKind::Table {
                format!("{sql}\nCOMMENT {mark}")
            } else {
                sql.replacen(" AS\n", &format!("\nCOMMENT {mark} AS\n"), 1)
            };
            self.execute(statement, &sql).await?;
        }
        Ok(())
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.secrets.get(name).map(ToOwned::to_owned)
    }

    fn filled(&self, statement: &Statement) -> Result<String, DeployError> {
        let filled = statement.sql.filled(|name| self.secret(name));
        filled.map_err(|source| DeployError::Secret {
            name: statement.name.clone(),
            source,
        })
    }

    async fn execute(&self, statement: &Statement, sql: &str) -> Result<(), DeployError> {
        let Err(error) = self.engine.execute(sql).await else {
            return Ok(());
        };
        // The engine may repeat the statement, with what is secret in it.
        let said = statement
            .sql
            .redacted(&error.to_string(), |name| self.secret(name));
        Err(DeployError::Step {
            what: "connector",
            name: statement.name.clone(),
            source: EngineError::Unavailable(said),
        })
    }
}
