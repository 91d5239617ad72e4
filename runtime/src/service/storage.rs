//! How much each data source holds, asked of the engine now and then.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Row, Service};
use crate::catalog::{Catalog, now_micros};
use crate::engine::{Engine, EngineError, Query};

/// Time between two looks.
const EVERY: Duration = Duration::from_mins(1);

/// A row of `tinybird.datasources_storage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StorageRow {
    /// The data source's id.
    pub datasource_id: String,
    /// The data source's name.
    pub datasource_name: String,
    /// When it was looked at, in seconds since 1970.
    pub timestamp: i64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of rows that were set aside.
    pub bytes_quarantine: u64,
    /// Rows that were set aside.
    pub rows_quarantine: u64,
}

#[derive(Debug, Deserialize)]
struct Table {
    name: String,
    bytes: u64,
    rows: u64,
}

impl Service {
    /// Notes how much each data source holds, now and every minute, as long as the catalog is there.
    pub fn watch_storage(&self, catalog: &Arc<Catalog>, engine: &Arc<dyn Engine>) {
        let (service, catalog, engine) = (
            self.clone(),
            Arc::downgrade(catalog),
            Arc::downgrade(engine),
        );
        tokio::spawn(async move {
            loop {
                let (Some(catalog), Some(engine)) = (catalog.upgrade(), engine.upgrade()) else {
                    return;
                };
                match look(&catalog, engine.as_ref()).await {
                    Ok(rows) => rows
                        .into_iter()
                        .for_each(|row| service.record(Row::Storage(row))),
                    Err(error) => {
                        tracing::warn!(%error, "the engine does not say how much it holds");
                    }
                }
                drop((catalog, engine));
                tokio::time::sleep(EVERY).await;
            }
        });
    }
}

async fn look(catalog: &Catalog, engine: &dyn Engine) -> Result<Vec<StorageRow>, EngineError> {
    let current = catalog.current();
    let sql = "SELECT name, ifNull(total_bytes, 0) AS bytes, ifNull(total_rows, 0) AS rows FROM system.tables WHERE database = {database:String}";
    let query = Query::new(sql, "JSONEachRow")
        .text("database", &current.plan.database)
        .setting("output_format_json_quote_64bit_integers", "0");
    let bytes = engine.query(query).await?.bytes().await?;
    let tables: Vec<Table> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(std::io::Error::from))
        .collect::<Result<_, _>>()?;
    let find = |name: &str| tables.iter().find(|table| table.name == name);
    let datasources = current
        .plan
        .project
        .datasources
        .keys()
        .filter(|name| name.workspace.is_none());
    let rows = datasources.filter_map(|name| {
        let (table, quarantine) = (
            find(&name.name)?,
            find(&format!("{}_quarantine", name.name)),
        );
        Some(StorageRow {
            datasource_id: current.objects.datasource(&name.name)?.id.clone(),
            datasource_name: name.name.clone(),
            timestamp: now_micros() / 1_000_000,
            bytes: table.bytes,
            rows: table.rows,
            bytes_quarantine: quarantine.map_or(0, |table| table.bytes),
            rows_quarantine: quarantine.map_or(0, |table| table.rows),
        })
    });
    Ok(rows.collect())
}
