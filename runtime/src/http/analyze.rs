//! `POST /v0/analyze`: which columns and types a file has.

use std::io::Read;
use std::sync::Arc;

use axum::extract::{Request, State};
use bytes::BytesMut;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::error::ApiError;
use super::parameters::Parameters;
use super::{App, Json};
use crate::ingest::{Format, IngestError};

/// How much is looked at to find the format, where the request does not say it.
const START: usize = 4096;

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Json, ApiError> {
    let parameters = Parameters::of_address(request.uri());
    let served = app.served.load_full();
    let access = served
        .tokens
        .access(request.headers(), parameters.text_of("token"))?;
    if !access.is_admin() {
        return Err(ApiError::Forbidden(
            "analysing a file needs an admin token".to_owned(),
        ));
    }
    let asked = parameters.given("format").map(|format| {
        Format::parse(format).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "`{format}` is no format of rows; there are csv, ndjson and parquet"
            ))
        })
    });
    let delimiter = super::import::delimiter(&parameters)?;
    let mut body = request
        .into_body()
        .into_data_stream()
        .map_err(std::io::Error::other);
    let mut start = BytesMut::new();
    while start.len() < START
        && let Some(piece) = body.try_next().await.map_err(IngestError::from)?
    {
        start.extend_from_slice(&piece);
    }
    let start = start.freeze();
    let format = asked.transpose()?.unwrap_or_else(|| looks_like(&start));
    let body = stream::once(async { Ok(start) }).chain(body);
    let analysis = app.data()?.ingest.analyze(format, delimiter, body).await?;
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

/// The format of rows that begin so, packed or not.
fn looks_like(start: &[u8]) -> Format {
    let mut unpacked = [0; 1024];
    let reader: Option<Box<dyn Read + '_>> = match start {
        [0x1f, 0x8b, ..] => Some(Box::new(flate2::read::MultiGzDecoder::new(start))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::stream::read::Decoder::new(start)
            .ok()
            .map(|decoder| Box::new(decoder) as Box<dyn Read>),
        _ => None,
    };
    let start = match reader {
        Some(mut reader) => {
            // The beginning of what is packed may end anywhere.
            let read = reader.read(&mut unpacked).unwrap_or(0);
            &unpacked[..read]
        }
        None => start,
    };
    match start.trim_ascii_start() {
        [b'{' | b'[', ..] => Format::Ndjson,
        [b'P', b'A', b'R', b'1', ..] => Format::Parquet,
        _ => Format::Csv,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_format_is_known_by_how_it_begins() {
        let gzip = |text: &[u8]| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(text).unwrap();
            packed.finish().unwrap()
        };
        for (start, format) in [
            (b"at,page\n1,/".to_vec(), Format::Csv),
            (b" \n{\"a\": 1}".to_vec(), Format::Ndjson),
            (b"[{\"a\": 1}]".to_vec(), Format::Ndjson),
            (b"PAR1\x15".to_vec(), Format::Parquet),
            (gzip(b"{\"a\": 1}"), Format::Ndjson),
            (gzip(b"a,b")[..8].to_vec(), Format::Csv),
            (
                zstd::encode_all(&b"{\"a\": 1}"[..], 1).unwrap(),
                Format::Ndjson,
            ),
            (Vec::new(), Format::Csv),
        ] {
            assert_eq!(looks_like(&start), format, "{start:?}");
        }
    }
}
