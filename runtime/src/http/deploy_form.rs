//! The files of a deploy: out of a form, as command lines send it, or out of JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::HeaderMap;
use pipewright_compiler::project::FileKind;

use super::App;
use super::error::ApiError;
use super::extract::Whole;
use super::parameters::media_type;
use crate::workspace::SETTINGS;

/// How Forward's clients name the parts of a form that are files of the project, and those that tell of the client.
const PROJECT_PARTS: &str = "data_project";
const CONTEXT_PARTS: &str = "context://";

/// A version as it was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The texts by path.
    pub(super) files: BTreeMap<String, String>,
    /// Whether a client for Forward sent it: it knows nothing of settings here, and says when a version is to be in force.
    pub(super) is_of_forward: bool,
}

/// Reads what a request sends.
pub(super) async fn read(
    app: &Arc<App>,
    request: Request,
    headers: &HeaderMap,
) -> Result<Sent, ApiError> {
    if !media_type(headers).starts_with("multipart/") {
        #[derive(serde::Deserialize)]
        struct Body {
            files: BTreeMap<String, String>,
        }
        let Whole(bytes) = Whole::from_request(request, app).await?;
        let body: Body = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::BadRequest(format!(
                "send the files as a form, or as JSON, {{\"files\": {{path: text}}}}: {error}"
            ))
        })?;
        return Ok(Sent {
            files: body.files,
            is_of_forward: false,
        });
    }
    let bad =
        |error: axum::extract::multipart::MultipartError| ApiError::BadRequest(error.body_text());
    let mut form = Multipart::from_request(request, app)
        .await
        .map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let mut sent = Sent::default();
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let part = field.name().unwrap_or_default();
        if part.starts_with(CONTEXT_PARTS) {
            continue;
        }
        sent.is_of_forward |= part.starts_with(PROJECT_PARTS);
        // What is left out counts as deleted.
        let Some(path) = field.file_name().map(ToOwned::to_owned) else {
            return Err(ApiError::BadRequest(format!(
                "the part `{part}` of the form has no file name, so that it is not known which file it is"
            )));
        };
        let text = field.text().await.map_err(bad)?;
        if sent.files.contains_key(&path) {
            return Err(ApiError::BadRequest(format!("`{path}` is sent twice")));
        }
        sent.files.insert(path, text);
    }
    Ok(sent)
}

/// The files as they would be in force: only datafiles, at places inside the project, and with the server's own settings, which are in `own`.
pub(super) fn checked(
    sent: Sent,
    own: Option<&String>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut kept = BTreeMap::new();
    for (path, text) in sent.files {
        let inside = std::path::Path::new(&path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside || path.contains('\\') {
            return Err(ApiError::BadRequest(format!(
                "`{path}` is no path inside a project"
            )));
        }
        if FileKind::of(&path).is_none() {
            return Err(ApiError::BadRequest(format!("`{path}` is no datafile")));
        }
        kept.insert(path, text);
    }
    if kept.is_empty() {
        return Err(ApiError::BadRequest("there is no datafile".to_owned()));
    }
    let settings = match kept.remove(SETTINGS) {
        None if sent.is_of_forward => own.cloned(),
        text => settings(text.as_deref(), own.map(String::as_str))?,
    };
    if let Some(text) = settings {
        kept.insert(SETTINGS.to_owned(), text);
    }
    Ok(kept)
}

/// The settings of a version with the server's own about itself.
fn settings(sent: Option<&str>, own: Option<&str>) -> Result<Option<String>, ApiError> {
    let read = |text: Option<&str>| -> Result<toml::Table, ApiError> {
        text.unwrap_or("")
            .parse()
            .map_err(|error| ApiError::BadRequest(format!("{SETTINGS}: {error}")))
    };
    let (mut wanted, own_table) = (read(sent)?, read(own)?);
    wanted.remove("server");
    if let Some(server) = own_table.get("server") {
        wanted.insert("server".to_owned(), server.clone());
    }
    if wanted == own_table {
        return Ok(own.map(ToOwned::to_owned));
    }
    if sent.is_none() && wanted.is_empty() {
        return Ok(None);
    }
    Ok(Some(wanted.to_string()))
}
