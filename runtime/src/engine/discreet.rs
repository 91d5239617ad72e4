//! An engine whose errors do not show the secrets that a statement was given.
//!
//! ClickHouse quotes what it could not read. Who binds a secret says so once ([`Query::secret`]), and whoever reads the error cannot forget to hide it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Answer, Engine, EngineError, Insert, Query, Rows, Written};

#[derive(Debug)]
pub(super) struct Discreet(pub(super) Arc<dyn Engine>);

#[async_trait]
impl Engine for Discreet {
    async fn query(&self, mut query: Query) -> Result<Answer, EngineError> {
        let secrets = std::mem::take(&mut query.secrets);
        if secrets.is_empty() {
            return self.0.query(query).await;
        }
        match self.0.query(query).await {
            Ok(answer) => Ok(answer.without(secrets)),
            Err(error) => Err(error.without(&secrets)),
        }
    }

    async fn execute(&self, sql: &str) -> Result<(), EngineError> {
        self.0.execute(sql).await
    }

    async fn insert(&self, insert: Insert, rows: Rows) -> Result<Written, EngineError> {
        self.0.insert(insert, rows).await
    }

    fn version(&self) -> &str {
        self.0.version()
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}
