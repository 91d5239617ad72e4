//! Rows that connectors bring to a ClickHouse server, while tables change places there: they know nothing of the locks of this process, and are kept away meanwhile.

use std::sync::Arc;

use super::App;
use crate::deploy::{self, DeployError, Progress};

impl App {
    fn is_on_server(&self) -> bool {
        let current = self.catalog.current();
        current.plan.project.config.server.clickhouse_url.is_some()
    }

    /// Does what changes tables while no connector brings rows, and connects afterwards what is in force by then; how each went. A process that dies in between
    /// leaves that to the next one.
    pub(super) async fn while_disconnected(
        &self,
        progress: &dyn Progress,
        work: impl Future<Output = Result<(), DeployError>> + Send,
    ) -> (Result<(), DeployError>, Result<(), DeployError>) {
        if !self.is_on_server() {
            return (work.await, Ok(()));
        }
        let done = match deploy::disconnect(self.engine.as_ref()).await {
            Ok(()) => work.await,
            Err(error) => Err(error),
        };
        (done, self.connect(progress).await)
    }

    async fn connect(&self, progress: &dyn Progress) -> Result<(), DeployError> {
        let stored = self.catalog.state().variables().values();
        let secrets = self.environment.or(stored?);
        let plan = Arc::clone(&self.catalog.current().plan);
        deploy::connect(&plan, self.engine.as_ref(), &secrets, progress).await?;
        Ok(())
    }
}
