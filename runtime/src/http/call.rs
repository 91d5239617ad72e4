//! What the management routes share: a request with its token, and changes that finish even when the client goes away.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use pipewright_compiler::project::{Node, PASSING, Pipe, is_valid_name};
use serde_json::Value;

use super::App;
use super::access::Access;
use super::error::ApiError;
use super::extract::Whole;
use super::filtered::{refuse_foreign_targets, refuse_hidden_rows};
use super::operations;
use super::parameters::Parameters;
use super::staged;
use crate::catalog::{Ahead, Change, Current, Prepared, Writer};

/// A request whose token is known.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) access: Arc<Access>,
    pub(crate) parameters: Parameters,
    /// Where the request was sent to, as scheme and host, for addresses in answers.
    pub(crate) host: String,
}

impl FromRequest<Arc<App>> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = request.headers().clone();
        let Whole(body) = Whole::from_request(request, app).await?;
        let call = Self::new(app, &uri, &headers, &body).await?;
        staged::refuse_changes_of(&method, &call.parameters)?;
        Ok(call)
    }
}

impl Call {
    pub(crate) async fn new(
        app: &Arc<App>,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, ApiError> {
        let parameters = Parameters::read(uri, headers, body).await?;
        let access = app
            .served
            .load()
            .tokens
            .access(headers, parameters.text_of("token"))?;
        app.rates.take(&access).map_err(ApiError::Limited)?;
        let host = origin(headers);
        Ok(Self {
            app: Arc::clone(app),
            access,
            parameters,
            host,
        })
    }

    /// What is in force now.
    pub(crate) fn current(&self) -> Arc<Current> {
        self.app.catalog.current()
    }

    pub(crate) fn require(allowed: bool, needed: &str) -> Result<(), ApiError> {
        if allowed {
            Ok(())
        } else {
            Err(ApiError::Forbidden(format!(
                "the token may not do this: it needs ADMIN or {needed}"
            )))
        }
    }

    /// What only admins may do; `what` begins the sentence that says so.
    pub(crate) fn require_admin(&self, what: &str) -> Result<(), ApiError> {
        if self.access.is_admin() {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!("{what} an admin token")))
    }

    /// The right to change pipes.
    pub(crate) fn require_create_pipes(&self) -> Result<(), ApiError> {
        Self::require(self.access.creates_pipes(), "PIPES:CREATE")
    }

    /// Finishes a change, and the answer to it, also when the client does not wait for it.
    pub(crate) async fn finish<F, T>(work: F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
        T: Send + 'static,
    {
        tokio::spawn(work).await.map_err(|error| {
            tracing::error!(%error, "a change was cut off");
            ApiError::Internal("the change was cut off; the log says why".to_owned())
        })?
    }

    /// Makes a change of the catalog that may need the engine's word on statements: it is asked while others may change the catalog, and the change is made anew then.
    pub(crate) async fn change<F, A, T>(self, asked: A, change: F) -> Result<T, ApiError>
    where
        F: for<'a> Fn(&'a Self, &'a Writer<'a>, &'a A) -> BoxFuture<'a, Result<T, ApiError>>
            + Send
            + Sync
            + 'static,
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        Self::finish(async move {
            let (catalog, engine) = (&self.app.catalog, self.app.engine.as_ref());
            let ahead = Ahead::default();
            loop {
                let writer = catalog.write_after(&ahead).await;
                let made = change(&self, &writer, &asked).await;
                drop(writer);
                if made.is_ok() || !ahead.ask(catalog, engine).await? {
                    return made;
                }
            }
        })
        .await
    }

    /// Makes a change and serves it.
    pub(crate) async fn commit(
        &self,
        writer: &Writer<'_>,
        change: Change,
    ) -> Result<Arc<Current>, ApiError> {
        let prepared = self.prepare(writer, change).await?;
        let views = prepared.views().clone();
        let prepared = self.mark_partial(prepared, &views).await?;
        self.commit_prepared(prepared).await
    }

    /// Notes what views of a change have not seen and are not to be filled with.
    pub(crate) async fn mark_partial<'a>(
        &self,
        prepared: Prepared<'a>,
        views: &BTreeSet<String>,
    ) -> Result<Prepared<'a>, ApiError> {
        // Where no rows come, nothing is replaced.
        let Ok(data) = self.app.data() else {
            return Ok(prepared);
        };
        let plan = &prepared.current().plan;
        match data.ingest.mark_partial(plan, views).await {
            Ok(()) => Ok(prepared),
            Err(error) => {
                prepared.take_back().await;
                Err(error.into())
            }
        }
    }

    /// Makes the tables and views of a change, which is committed or taken back next.
    pub(crate) async fn prepare<'a>(
        &'a self,
        writer: &'a Writer<'_>,
        change: Change,
    ) -> Result<Prepared<'a>, ApiError> {
        if !self.access.is_admin() {
            let after = writer.compile(change.clone()).await?;
            let before = writer.current();
            refuse_hidden_rows(&self.access, &before.plan, &after)?;
            // Who makes a data source anew was asked for the right to take it away.
            refuse_foreign_targets(&self.access, &before.plan, &after, change.anew.as_deref())?;
        }
        Ok(writer.prepare(change, self.app.engine.as_ref()).await?)
    }

    /// Commits a change and serves it.
    pub(crate) async fn commit_prepared(
        &self,
        prepared: Prepared<'_>,
    ) -> Result<Arc<Current>, ApiError> {
        let before = Arc::clone(prepared.before());
        let gone = prepared.gone().to_vec();
        let current = prepared.commit().await?;
        if let Ok(data) = self.app.data() {
            // Another of that name must not get what is on its way to it.
            for name in &gone {
                data.ingest.forget_gone(name);
            }
        }
        self.app.serve_plan(&current.plan);
        operations::created(&self.app, &before, &current);
        Ok(current)
    }
}

/// Where the client has sent the request: what answers give as an address has to be one that it reaches. There is no TLS here, so that who speaks it is a proxy,
/// and says so.
pub(crate) fn origin(headers: &HeaderMap) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text(HeaderName::from_static("x-forwarded-proto"));
    let scheme = match forwarded.and_then(|schemes| schemes.split(',').next()) {
        Some(scheme) if scheme.trim().eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{}", text(header::HOST).unwrap_or("localhost"))
}

/// The pipe that a reference means.
pub(crate) fn find_pipe<'a>(current: &'a Current, reference: &str) -> Result<&'a Pipe, ApiError> {
    let name = current.objects.pipe_name(reference).unwrap_or(reference);
    current
        .plan
        .project
        .pipe(name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no pipe `{reference}`")))
}

/// The node of a pipe that a reference means.
pub(crate) fn find_node<'a>(
    current: &'a Current,
    pipe: &'a Pipe,
    reference: &str,
) -> Result<&'a Node, ApiError> {
    let name = current.objects.node_name(&pipe.name.name, reference);
    pipe.node(name.unwrap_or(reference))
        .ok_or_else(|| ApiError::NotFound(format!("there is no node `{reference}` in this pipe")))
}

/// A name that a resource can have.
pub(crate) fn valid_name(name: &str) -> Result<(), ApiError> {
    let digits = name.strip_prefix("t_").filter(|digits| digits.len() == 32);
    if digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
        return Err(ApiError::BadRequest(format!(
            "`{name}` cannot be a name: it reads like an id"
        )));
    }
    if name.starts_with(PASSING) {
        return Err(ApiError::BadRequest(format!(
            "`{name}` cannot be a name: `{PASSING}` begins the names of tables that are made for a moment"
        )));
    }
    if is_valid_name(name) {
        return Ok(());
    }
    Err(ApiError::BadRequest(format!(
        "`{name}` cannot be a name: use letters, digits and underscores, not starting with a digit"
    )))
}

pub(crate) fn taken(name: &str) -> ApiError {
    ApiError::Conflict(format!(
        "there is another resource with the name `{name}`: names must be unique"
    ))
}

pub(crate) fn json_response(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
