//! server
use super::*;
/// x
#[derive(Debug, Clone)]
pub struct Config {}
impl Config {
    /// x
    pub fn new(_url: &str) -> Self {
        Self {}
    }
}
/// x
#[derive(Debug)]
pub struct Server;
impl Server {
    /// x
    pub async fn open(_config: Config) -> Result<Self, EngineError> {
        Err(EngineError::Cancelled)
    }
}
#[async_trait]
impl Engine for Server {
    async fn query(&self, _: Query) -> Result<Answer, EngineError> {
        Err(EngineError::Cancelled)
    }
    async fn execute(&self, _: &str) -> Result<(), EngineError> {
        Err(EngineError::Cancelled)
    }
    async fn insert(&self, _: Insert, _: Rows) -> Result<Written, EngineError> {
        Err(EngineError::Cancelled)
    }
    fn version(&self) -> &str {
        ""
    }
    async fn shutdown(&self) {}
}
