//! `POST /v0/analyze`: which columns and types a file has.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::error::ApiError;
use super::parameters::Parameters;
use super::{App, Json};
use crate::ingest::Format;

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Json, ApiError> {
    let parameters = Parameters::read(request.uri(), request.headers(), &Bytes::new())?;
    let served = app.served.load_full();
    let access = served
        .tokens
        .access(request.headers(), parameters.text_of("token"))?;
    if !access.is_admin() {
        return Err(ApiError::Forbidden(
            "analysing a file needs an admin token".to_owned(),
        ));
    }
    let format = parameters.text_of("format").unwrap_or("ndjson");
    let format = Format::parse(format).ok_or_else(|| {
        ApiError::BadRequest(format!(
            "`{format}` is no format of rows; there are csv, ndjson and parquet"
        ))
    })?;
    let body = request
        .into_body()
        .into_data_stream()
        .map_err(std::io::Error::other);
    let analysis = app.data()?.ingest.analyze(format, body).await?;
    let columns: Vec<Value> = analysis
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "path": column.path, "recommended_type": column.data_type, "present_pct": column.present }))
        .collect();
    let preview: Value = serde_json::from_slice(&analysis.preview).unwrap_or(Value::Null);
    Ok(Json(
        json!({ "analysis": { "columns": columns, "schema": analysis.schema() }, "preview": preview }),
    ))
}
