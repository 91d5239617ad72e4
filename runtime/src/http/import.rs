//! `POST /v0/datasources` with rows: into a data source that is there, or into one that is made for them; and `/v1/datasources/<name>/append` and `replace`, where the
//! name and the mode are in the path.
//!
//! The rows are the body, a part of a form, or what a URL has, when `[allow] urls` names it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, TryStreamExt as _};
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Plan, TablePlan};
use serde_json::{Value, json};

use super::access::Access;
use super::call::{Call, taken, valid_name};
use super::datasource_describe::{Sizes, body, with_size};
use super::datasources::{authenticated, named, table};
use super::error::ApiError;
use super::operations::Done;
use super::parameters::{Parameters, media_type};
use super::replace::with_what_follows;
use super::{App, Json, form_fields};
use crate::catalog::{Change, DatasourceParts, DatasourceText};
use crate::ingest::{
    Append, Appended, Format, Ingest, Kept, Replace, is_allowed, reader, without_query,
};

/// What becomes of the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Append,
    Replace,
}

impl Mode {
    fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        match parameters.given("mode").unwrap_or("create") {
            "create" => Ok(Self::Create),
            "append" => Ok(Self::Append),
            "replace" => Ok(Self::Replace),
            other => Err(ApiError::BadRequest(format!(
                "mode `{other}` is not known here; there are create, append and replace"
            ))),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Append => "append",
            Self::Replace => "replace",
        }
    }
}

/// Where rows go, and how.
struct Import {
    app: Arc<App>,
    access: Arc<Access>,
    parameters: Parameters,
    name: String,
    mode: Mode,
    /// Whether the client asks for a job afterwards, and waits for its end.
    is_watched: bool,
}

pub(super) async fn write(app: &Arc<App>, request: Request) -> Result<Response, ApiError> {
    let (_, access, parameters) = authenticated(app, request.uri(), request.headers())?;
    let name = parameters.given("name").ok_or_else(|| {
        ApiError::BadRequest("say which data source: `?name=<data source>`".to_owned())
    })?;
    let import = Import {
        app: Arc::clone(app),
        access,
        name: named(app, name.to_owned()),
        mode: Mode::of(&parameters)?,
        parameters,
        is_watched: false,
    };
    import.run(request).await
}

/// The same where the path says which data source, and how.
pub(super) async fn write_to(
    app: &Arc<App>,
    name: String,
    mode: Mode,
    request: Request,
) -> Result<Response, ApiError> {
    let request = form_fields::in_address(app, request).await?;
    let (_, access, parameters) = authenticated(app, request.uri(), request.headers())?;
    let import = Import {
        app: Arc::clone(app),
        access,
        name: named(app, name),
        mode,
        parameters,
        is_watched: true,
    };
    import.run(request).await
}

/// The kind of the jobs under which imports are found that a client watches.
const IMPORT: &str = "import";

impl Import {
    async fn run(self, request: Request) -> Result<Response, ApiError> {
        self.authorize()?;
        let headers = request.headers().clone();
        let place = self.ingest()?.place_for_append().await;
        // A client that leaves in the middle of its body leaves a body that fails, and nothing of it stays; one that leaves after it is served as if it were there.
        Call::finish(async move {
            let written = Box::pin(self.read(request, &headers)).await;
            drop(place);
            written
        })
        .await
    }

    /// Takes the rows from where the request says they are.
    async fn read(&self, request: Request, headers: &HeaderMap) -> Result<Response, ApiError> {
        if let Some(url) = self.parameters.given("url") {
            let format = self.format(Format::of_file(without_query(url)))?;
            let allowed = &self.app.served.load().plan.project.config.allow.urls;
            if !is_allowed(url, allowed) {
                return Err(ApiError::BadRequest(
                    "rows are read only from URLs that `[allow] urls` in pipewright.toml names"
                        .to_owned(),
                ));
            }
            let kept = self.ingest()?.fetch(url, format).await?;
            return self.take_kept(&kept, format).await;
        }
        if !is_form(headers) {
            let rows = request
                .into_body()
                .into_data_stream()
                .map_err(io::Error::other);
            return self.take(self.format(None)?, rows).await;
        }
        let bad = |error: axum::extract::multipart::MultipartError| {
            ApiError::BadRequest(error.body_text())
        };
        let mut form = Multipart::from_request(request, &self.app)
            .await
            .map_err(|error| ApiError::BadRequest(error.body_text()))?;
        let field = form
            .next_field()
            .await
            .map_err(bad)?
            .ok_or_else(|| ApiError::BadRequest("the form has no part with rows".to_owned()))?;
        let found = field
            .name()
            .and_then(Format::parse)
            .or_else(|| Format::of_file(field.file_name()?));
        let format = self.format(found)?;
        self.take(format, field.map_err(io::Error::other)).await
    }

    fn ingest(&self) -> Result<&Arc<Ingest>, ApiError> {
        Ok(&self.app.data()?.ingest)
    }

    fn authorize(&self) -> Result<(), ApiError> {
        let name = &self.name;
        if self.mode == Mode::Create {
            Call::require(self.access.creates_datasources(), "DATASOURCES:CREATE")?;
            valid_name(name)?;
            return if self.app.catalog.current().is_taken(name) {
                Err(taken(name))
            } else {
                Ok(())
            };
        }
        table(
            &self.app.served.load(),
            &self.access,
            name,
            Access::appends_to,
        )?;
        if self.mode == Mode::Replace
            && !self.access.is_admin()
            && !self.access.drops_datasource(name)
        {
            return Err(ApiError::Forbidden(format!(
                "replacing the rows of `{name}` needs the scope DATASOURCES:DROP:{name} beside DATASOURCES:APPEND:{name}"
            )));
        }
        Ok(())
    }

    /// The format that was asked for, or that the file's name says, or that the data source is made for.
    fn format(&self, found: Option<Format>) -> Result<Format, ApiError> {
        if let Some(name) = self.parameters.given("format") {
            return Format::parse(name).ok_or_else(|| {
                ApiError::BadRequest(format!(
                    "`{name}` is no format of rows; there are csv, ndjson and parquet"
                ))
            });
        }
        let served = self.app.served.load();
        let has_paths = served.plan.table(&self.name).is_some_and(|table| {
            let mut columns = table.columns.iter();
            columns.any(|column| column.json_path.is_some())
        });
        let usual = if has_paths {
            Format::Ndjson
        } else {
            Format::Csv
        };
        Ok(found.unwrap_or(usual))
    }

    async fn take(
        &self,
        format: Format,
        rows: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Response, ApiError> {
        if self.mode != Mode::Create {
            return self.insert(format, rows).await;
        }
        // Looked at first, and read again when there is a data source for them.
        let kept = self.ingest()?.keep(rows).await?;
        self.take_kept(&kept, format).await
    }

    async fn take_kept(&self, kept: &Kept, format: Format) -> Result<Response, ApiError> {
        if self.mode != Mode::Create {
            return Box::pin(self.insert(format, kept.rows())).await;
        }
        self.create(kept, format).await?;
        let inserted = Box::pin(self.insert(format, kept.rows())).await;
        // A file that is refused changes nothing.
        if let Err(error) = &inserted
            && error.status().is_client_error()
            && let Err(error) = self.take_back().await
        {
            tracing::warn!(
                datasource = self.name,
                error = error.message(),
                "a data source that was made for rows which were refused is still there"
            );
        }
        inserted
    }

    /// Takes the data source away that was made for rows which are none, unless others have put rows into it meanwhile, or have been told that theirs will be.
    async fn take_back(&self) -> Result<(), ApiError> {
        let (app, name) = (Arc::clone(&self.app), self.name.clone());
        Call::finish(async move {
            let writer = app.catalog.write().await;
            let current = writer.current();
            let is_read =
                |table| !super::datasource_describe::reader_pipes(&current, table).is_empty();
            let Some(table) = current.plan.table(&name).filter(|table| !is_read(table)) else {
                return Ok(());
            };
            let ingest = &app.data()?.ingest;
            // What is on its way stays on its way meanwhile.
            let _alone = ingest.alone(&table.name).await?;
            if ingest.is_awaited(&name) || ingest.has_rows(table).await? {
                return Ok(());
            }
            let change = Change::of_file(file_of(&name), None);
            let current = writer.commit(change, app.engine.as_ref()).await?;
            ingest.forget_gone(&name);
            app.serve_plan(&current.plan);
            Ok(())
        })
        .await
    }

    /// Makes a data source whose columns are those of the rows.
    async fn create(&self, kept: &Kept, format: Format) -> Result<(), ApiError> {
        let analysis = self
            .ingest()?
            .analyze(format, delimiter(&self.parameters)?, kept.rows())
            .await?;
        let schema = match self.parameters.given("schema") {
            Some(schema) => schema.to_owned(),
            None => analysis.schema(),
        };
        let parts = DatasourceParts {
            schema,
            ..super::datasource_create::parts(&self.parameters)
        };
        let text = DatasourceText::create(&parts)?.into_text();
        let (app, name) = (Arc::clone(&self.app), self.name.clone());
        Call::finish(async move {
            let writer = app.catalog.write().await;
            if writer.current().is_taken(&name) {
                return Err(taken(&name));
            }
            let change = Change {
                files: BTreeMap::from([(file_of(&name), Some(text))]),
                ..Change::default()
            };
            let current = writer.commit(change, app.engine.as_ref()).await?;
            app.serve_plan(&current.plan);
            Ok(())
        })
        .await
    }

    async fn insert(
        &self,
        format: Format,
        rows: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Response, ApiError> {
        let (app, ingest) = (&self.app, self.ingest()?);
        let append = Append {
            format,
            delimiter: delimiter(&self.parameters)?,
        };
        let served = app.served.load_full();
        let gone = || ApiError::NotFound(format!("there is no data source `{}`", self.name));
        let table = served.plan.table(&self.name).ok_or_else(gone)?;
        let started = Instant::now();
        let appended = if self.mode == Mode::Replace {
            self.replace(&served.plan, table, &append, rows).await
        } else {
            let appended = ingest.append(table, &append, rows).await;
            appended.map_err(ApiError::from)
        };
        let done = Done::new(self.mode.name(), &table.name.name).since(started);
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                Done {
                    error: Some(error.message()),
                    ..done
                }
                .record(app);
                return Err(error);
            }
        };
        let status = match &appended.waits {
            None => StatusCode::OK,
            Some(_) => StatusCode::ACCEPTED,
        };
        let done = Done {
            error: appended.waits.clone(),
            counts: appended.counts,
            import_id: Some(appended.import_id.clone()),
            ..done
        };
        if self.mode == Mode::Replace {
            done.record(app);
        } else {
            done.record_insert(app);
        }
        let mut answer = written(app, table, &appended).await;
        if self.is_watched {
            // The rows are in: who is told that something failed would send them again.
            if let Err(error) = self.note(&mut answer) {
                tracing::error!(error = error.message(), "an import is not noted as a job");
            }
            warn_in_place_of_error(&mut answer);
        }
        Ok((status, Json(answer)).into_response())
    }

    /// Notes an import that is done as a job, for clients that look for one.
    fn note(&self, answer: &mut Value) -> Result<(), ApiError> {
        let datasource = &answer["datasource"];
        let request = json!({
            "datasource": { "id": datasource["id"], "name": self.name },
            "mode": self.mode.name(),
            "import_id": answer["import_id"],
        });
        let result = json!({
            "successful_rows": answer["successful_rows"],
            "quarantined_rows": answer["quarantined_rows"],
        });
        let request = super::jobs::by(&self.access, request);
        let jobs = self.app.catalog.state().jobs();
        let job = jobs.add_done(IMPORT, &request, &result)?;
        answer["id"] = job.id.clone().into();
        answer["job_id"] = job.id.into();
        Ok(())
    }
}

/// To clients that watch, a field `error` says that nothing was written.
fn warn_in_place_of_error(answer: &mut Value) {
    if let Some(fields) = answer.as_object_mut()
        && let Some(Value::String(said)) = fields.remove("error")
    {
        fields.insert("warning".to_owned(), said.into());
    }
}

impl Import {
    async fn replace(
        &self,
        plan: &Plan,
        table: &TablePlan,
        append: &Append,
        rows: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Appended, ApiError> {
        let ingest = self.ingest()?;
        let replace = Replace {
            condition: self.parameters.given("replace_condition"),
            may_empty: self.parameters.flag("replace_truncate_when_empty")?,
        };
        if reader(plan, &table.name).is_none() {
            let replaced = ingest.replace(plan, table, append, replace, rows).await;
            return Ok(replaced?);
        }
        let staged = ingest.stage(plan, table, append, replace, rows).await?;
        with_what_follows(&self.app, table, staged).await
    }
}

/// What is answered when rows are in, whatever cannot be said of them now.
async fn written(app: &App, table: &TablePlan, appended: &Appended) -> Value {
    let datasource = body(app, table).await.unwrap_or_else(|error| {
        tracing::warn!(
            error = error.message(),
            "it cannot be told how large a data source is"
        );
        with_size(app, table, &Sizes::default())
    });
    let counts = appended.counts;
    let quarantined = (counts.quarantined > 0).then(|| {
        format!(
            "{} rows do not fit and are in `{}`, with the reasons",
            counts.quarantined,
            emit::quarantine_name(&table.name)
        )
    });
    let waits = appended.waits.as_ref().map(|why| {
        format!(
            "{} rows are in; the others are kept and written later, so do not send them again: {why}",
            counts.successful
        )
    });
    let errors: Vec<String> = waits.into_iter().chain(quarantined).collect();
    let error = (!errors.is_empty()).then(|| errors.join("; "));
    json!({
        "import_id": appended.import_id,
        "id": appended.import_id,
        "datasource": datasource,
        "quarantine_rows": counts.quarantined,
        "invalid_lines": counts.quarantined,
        "successful_rows": counts.successful,
        "quarantined_rows": counts.quarantined,
        "error": error.map_or(Value::Bool(false), Value::String),
    })
}

/// The file of a data source that is made here.
fn file_of(name: &str) -> String {
    format!("datasources/{name}.datasource")
}

fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == "multipart/form-data"
}

pub(super) fn delimiter(parameters: &Parameters) -> Result<Option<char>, ApiError> {
    // As it is: a tab must not be trimmed away.
    let Some(text) = parameters.text_of("dialect_delimiter") else {
        return Ok(None);
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(delimiter), None) if delimiter.is_ascii() && delimiter != '"' => Ok(Some(delimiter)),
        _ => Err(ApiError::BadRequest(
            "`dialect_delimiter` takes one ASCII character".to_owned(),
        )),
    }
}
