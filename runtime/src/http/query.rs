//! What endpoints and `/v0/sql` share: a query in which pipes and data sources are tables, checked against what the token may read.

use std::sync::Arc;

use axum::response::Response;
use pipewright_compiler::plan::{Meant, PipePlan, RequestContext};
use pipewright_compiler::template::{RenderContext, Values};

use super::access::{Access, is_service_table};
use super::error::ApiError;
use super::fence::{self, Fence};
use super::parameters::Parameters;
use super::record::Pending;
use super::run::{Format, run};
use super::{App, Served};

/// The context in which a request's templates are rendered.
pub(crate) fn request<'a>(
    values: &'a Values,
    now: &'a str,
    secrets: &'a [String],
) -> RequestContext<'a> {
    RequestContext {
        values,
        render: RenderContext {
            now,
            secrets,
            ..RenderContext::default()
        },
    }
}

/// The names of the secrets that templates may bind.
pub(crate) fn secret_names(served: &Served) -> Vec<String> {
    served.secrets.names().map(ToOwned::to_owned).collect()
}

/// The pipe of that name. Whether there is one is told only to those who may read it.
pub(crate) fn readable_pipe<'a>(
    served: &'a Served,
    access: &Access,
    name: &str,
) -> Result<&'a PipePlan, ApiError> {
    if !access.reads_pipe(name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not read pipe `{name}`"
        )));
    }
    served
        .plan
        .pipe(name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no pipe `{name}`")))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one request, each from another place"
)]
/// Compiles and runs a query. `underscore` is the pipe that `_` stands for.
pub(crate) async fn answer_query(
    app: &Arc<App>,
    served: &Served,
    access: &Access,
    text: &str,
    underscore: Option<&str>,
    parameters: Parameters,
    default: Format,
    pending: &mut Option<Pending>,
) -> Result<Response, ApiError> {
    let mut parameters = parameters;
    parameters.fix(&access.all_fixed()?);
    let settings = parameters.output_settings()?;
    let values = parameters.values();
    let (now, secrets) = (now(), secret_names(served));
    let named = app.catalog.current().with_names(text);
    let text = named.as_deref().unwrap_or(text);
    let asked = request(&values, &now, &secrets);
    authorize(served, access, text, underscore, asked)?;
    let compiled = served
        .plan
        .compile_query_for(text, underscore, asked, &access.filters)
        .map_err(|error| ApiError::query(&served.plan, error))?;
    let format = match &compiled.format {
        Some(name) => Format::named(name)
            .ok_or_else(|| ApiError::BadRequest(format!("`{name}` is no format of this API")))?,
        None => default,
    };
    let fence = if access.is_admin() {
        Fence::default()
    } else {
        fence::around(&served.plan, &compiled, &access.filters)
    };
    run(app, served, &compiled, format, settings, fence, pending).await
}

/// A token may run a query when it may read everything that the query names itself; what a pipe reads is the pipe's affair. What it may not read and what is not there
/// are one to it, and neither is looked at any further.
pub(super) fn authorize(
    served: &Served,
    access: &Access,
    text: &str,
    underscore: Option<&str>,
    request: RequestContext<'_>,
) -> Result<(), ApiError> {
    if access.is_admin() {
        return Ok(());
    }
    let named = served.plan.named_in_query(text, underscore, request);
    for named in named.map_err(|error| ApiError::query(&served.plan, error))? {
        let may_read = match &named.meant {
            Meant::Pipe(pipe) => access.reads_pipe(&pipe.to_string()),
            // Tables of the system database that the policy allows hold nothing of the project; of the service data sources, the row filters show what the token
            // may see.
            Meant::Table(table) => {
                table.starts_with("system.")
                    || is_service_table(table)
                    || access.reads_datasource(table)
            }
            Meant::Nothing => false,
        };
        if !may_read {
            return Err(ApiError::Forbidden(format!(
                "the token may not read `{}`, or there is nothing of that name",
                named.written
            )));
        }
    }
    Ok(())
}

/// The time as templates see it: `YYYY-MM-DD HH:MM:SS`, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}
