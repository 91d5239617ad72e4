//! Questions to the engine whose answers are read here.

use super::{Engine, EngineError, Query};

/// The rows of a query, one value for each.
pub(crate) async fn rows<T: serde::de::DeserializeOwned>(
    engine: &dyn Engine,
    sql: &str,
) -> Result<Vec<T>, EngineError> {
    let query =
        Query::new(sql, "JSONEachRow").setting("output_format_json_quote_64bit_integers", "0");
    let bytes = engine.query(query).await?.bytes().await?;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()
        .map_err(std::io::Error::from)?)
}

/// The lines of a query's answer, its columns separated by tabs.
pub(crate) async fn lines(engine: &dyn Engine, sql: &str) -> Result<Vec<String>, EngineError> {
    let text = text(engine, sql).await?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// The answer of a query as text.
pub(crate) async fn text(engine: &dyn Engine, sql: &str) -> Result<String, EngineError> {
    let answer = engine.query(Query::new(sql, "TSVRaw")).await?;
    Ok(String::from_utf8_lossy(&answer.bytes().await?).into_owned())
}
