//! One file of rows → one insert.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use pipewright_compiler::emit::{BAD_ROW, Ingestion, Input};
use pipewright_compiler::plan::TablePlan;

use super::given::Contents;
use super::refused::{is_of_values, refused_path};
use super::{Ingest, IngestError, on_disk};
use crate::engine::{EngineError, Query};

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Rows that are in the data source.
    #[serde(rename = "successful_rows")]
    pub successful: u64,
    /// Rows that are in its quarantine.
    #[serde(rename = "quarantined_rows")]
    pub quarantined: u64,
}

impl Counts {
    /// Adds another count.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            successful: self.successful + other.successful,
            quarantined: self.quarantined + other.quarantined,
        }
    }
}

/// Which views of a data source must get rows that go into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Views {
    /// All of them, or the insert fails.
    All,
    /// Those that do not throw on them.
    ThatCan,
}

/// Settings of a statement whose rows go in once, under a token.
pub(super) type Settings = fn(&str, Views) -> Vec<(&'static str, String)>;

/// Settings under which a statement makes one block of its rows, known by its token wherever it goes.
fn once(token: &str, views: Views) -> Vec<(&'static str, String)> {
    let ignores = matches!(views, Views::ThatCan);
    vec![
        (
            "materialized_views_ignore_errors",
            u8::from(ignores).to_string(),
        ),
        (
            "insert_deduplicate",
            u8::from(!token.is_empty()).to_string(),
        ),
        ("insert_deduplication_token", token.to_owned()),
        (
            "deduplicate_blocks_in_dependent_materialized_views",
            "1".to_owned(),
        ),
        ("max_insert_threads", "1".to_owned()),
        // With it the rows of a block no longer come to a view, or to what it follows, in their order.
        ("parallel_view_processing", "0".to_owned()),
        ("min_insert_block_size_rows", "1000000000".to_owned()),
        ("min_insert_block_size_bytes", "1000000000000".to_owned()),
        ("max_partitions_per_insert_block", "0".to_owned()),
    ]
}

/// Settings under which a statement makes the same blocks each time it runs, however many rows there are.
pub(super) fn once_in_blocks(token: &str, views: Views) -> Vec<(&'static str, String)> {
    let mut settings = once(token, views);
    settings.retain(|(name, _)| !name.starts_with("min_insert_block_size"));
    settings.push(("max_threads", "1".to_owned()));
    settings.push(("input_format_parquet_preserve_order", "1".to_owned()));
    settings
}

/// The same with the rows in the order of their file, for tables in which a later row takes the place of an earlier one. What converts rows is one thread then;
/// what reads a file goes on beside it, and what reads the table that a server was sent rows into does not, as it has parts of that table read at the same time.
fn in_order(
    mut settings: Vec<(&'static str, String)>,
    on_server: bool,
) -> Vec<(&'static str, String)> {
    let ordered: &[_] = if on_server {
        &[("max_threads", "1")]
    } else {
        &[
            ("parallelize_output_from_storages", "0"),
            ("input_format_parquet_preserve_order", "1"),
        ]
    };
    for (name, value) in ordered {
        if settings.iter().all(|(known, _)| known != name) {
            settings.push((name, (*value).to_owned()));
        }
    }
    settings
}

/// A file of rows.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) input: Input<'a>,
    pub(super) path: &'a Path,
    pub(super) rows: u64,
    /// What the engine knows its rows by.
    pub(super) token: &'a str,
    /// The number of the first row of each request, as far as that is known: a file that an earlier process left is as one request.
    pub(super) requests: &'a [u64],
    /// How long refused rows are looked for.
    pub(super) patience: Duration,
}

/// How long refused rows are looked for in a batch of events: further ones wait meanwhile.
pub(super) const WHILE_OTHERS_WAIT: Duration = Duration::from_secs(10);

/// The same for a file, which nobody waits for but who sent it.
pub(super) const WHILE_NOBODY_WAITS: Duration = Duration::from_mins(1);

impl Batch<'_> {
    /// The rows of each request, of this many rows.
    pub(super) fn requests(&self, rows: u64) -> Vec<Range<u64>> {
        let starts = self.requests.iter().copied().filter(|start| *start < rows);
        let mut starts: Vec<u64> = std::iter::once(0).chain(starts).collect();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([rows]);
        starts
            .iter()
            .zip(ends)
            .map(|(start, end)| *start..end)
            .collect()
    }
}

/// Why an insert failed.
struct Failure {
    error: EngineError,
    /// Whether rows were only tried.
    is_tried: bool,
}

impl Failure {
    /// Whether rows are refused for their values. Not where it is a view that rows have reached which are in the data source.
    fn may_be_of_rows(&self) -> bool {
        is_of_values(&self.error) && (self.is_tried || !is_of_view(&self.error))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self {
            error,
            is_tried: false,
        }
    }
}

impl Ingest {
    /// Inserts the rows of one file of at most some hundred thousand rows. Running it again with the same token changes nothing. For one who shares the data
    /// source, and so can say that the rows are in before anything else happens to it.
    pub(super) async fn load_within(
        &self,
        table: &TablePlan,
        batch: &Batch<'_>,
        views: Views,
    ) -> Result<Counts, IngestError> {
        Box::pin(self.load(table, batch, views, (once, false))).await
    }

    /// Inserts the rows of one file of any size, whose blocks are the same each time it is read. For one who shares the data source.
    pub(super) async fn load_large(
        &self,
        table: &TablePlan,
        batch: &Batch<'_>,
        views: Views,
    ) -> Result<Counts, IngestError> {
        // Blocks are written as they come, so that bad rows must be known before.
        Box::pin(self.load(table, batch, views, (once_in_blocks, true))).await
    }

    async fn load(
        &self,
        table: &TablePlan,
        batch: &Batch<'_>,
        views: Views,
        (settings, sorts): (Settings, bool),
    ) -> Result<Counts, IngestError> {
        let (table, ingestion) = self.planned(table, &batch.input).await?;
        let refused = refused_path(batch.path);
        if !on_disk(move || Ok(refused.exists())).await? {
            let offered = self.offer(&table, &ingestion, batch, views, (settings, sorts));
            match offered.await {
                Err(failure) if failure.may_be_of_rows() => {
                    if !self.find_refused(&table, batch).await? {
                        let again =
                            self.once_more(&table, &ingestion, batch, views, (settings, sorts));
                        if let Some(counts) = again.await? {
                            return Ok(counts);
                        }
                    }
                }
                offered => return Ok(offered.map_err(|failure| failure.error)?),
            }
        }
        self.load_without_refused(&table, &ingestion, batch, views, settings)
            .await
    }

    /// Offers a batch again that was refused for values, and of which no row is refused alone: it may have been of the moment, as views read other tables, too.
    /// If it was not, all its rows are refused, and what is returned is nothing; but not where some of them may be in.
    async fn once_more(
        &self,
        table: &TablePlan,
        ingestion: &Ingestion,
        batch: &Batch<'_>,
        views: Views,
        (settings, sorts): (Settings, bool),
    ) -> Result<Option<Counts>, IngestError> {
        let offered = self.offer(table, ingestion, batch, views, (settings, sorts));
        let failure = match offered.await {
            Ok(counts) => return Ok(Some(counts)),
            Err(failure) => failure,
        };
        // An insert comes to partitions one after the other.
        let is_whole = failure.is_tried || !sorts && table.engine.partition_key.is_none();
        if failure.may_be_of_rows()
            && is_whole
            && self
                .refuse_all(table, ingestion, batch, &failure.error)
                .await?
        {
            return Ok(None);
        }
        Err(failure.error.into())
    }

    /// Inserts the rows that fit, and puts the others aside.
    async fn offer(
        &self,
        table: &TablePlan,
        ingestion: &Ingestion,
        batch: &Batch<'_>,
        views: Views,
        (settings, sorts): (Settings, bool),
    ) -> Result<Counts, Failure> {
        let once = || settings(batch.token, views);
        if !sorts {
            let all = self.insert(table, ingestion, (views, once()), Ingestion::insert_all);
            match all.await {
                Err(failure) if is_bad_row(&failure.error) => {}
                done => {
                    return done.map(|()| Counts {
                        successful: batch.rows,
                        quarantined: 0,
                    });
                }
            }
        }
        let bad = self.count(&ingestion.count_bad()).await?;
        if bad > 0 {
            self.set_aside(table, ingestion, batch.token, settings)
                .await?;
        }
        self.insert(table, ingestion, (views, once()), Ingestion::insert_good)
            .await?;
        Ok(Counts {
            successful: batch.rows.saturating_sub(bad),
            quarantined: bad,
        })
    }

    /// Runs an insert, first where nothing comes of it if views follow the data source.
    async fn insert(
        &self,
        table: &TablePlan,
        ingestion: &Ingestion,
        (views, settings): (Views, Vec<(&'static str, String)>),
        statement: fn(&Ingestion, &[(&str, String)]) -> String,
    ) -> Result<(), Failure> {
        if views == Views::All
            && let Some(trial) = self.rehearsal(table).await
        {
            let tried = ingestion.clone().into_table(&trial.table);
            match self.engine.execute(&statement(&tried, &[])).await {
                Ok(()) => {}
                Err(error) if is_bad_row(&error) || is_of_values(&error) => {
                    return Err(Failure {
                        error,
                        is_tried: true,
                    });
                }
                // Whatever else it is, it is for the insert to say so.
                Err(error) => {
                    tracing::debug!(datasource = %table.name, %error, "rows could not be tried");
                }
            }
        }
        let settings = if table.heeds_order() {
            in_order(settings, self.on_server)
        } else {
            settings
        };
        Ok(self
            .engine
            .execute(&statement(ingestion, &settings))
            .await?)
    }

    /// Inserts rows of which it is certain that they fit, from a file that has them as columns of these names and types. What has the same token as in
    /// [`Self::load_within`] is the same rows. Returns whether it did: not if the table is another one by now. For one who shares the data source.
    pub(super) async fn load_read(
        &self,
        table: &TablePlan,
        path: &Path,
        types: &[(String, String)],
        token: &str,
    ) -> Result<bool, IngestError> {
        let given = self.give(path, Contents::Columns(types)).await?;
        let input = Input::Typed(&given.rows, types);
        let (newest, ingestion) = self.planned(table, &input).await?;
        if newest.name != table.name || newest.columns != table.columns {
            return Ok(false);
        }
        let once = once(token, Views::All);
        let inserted = self.insert(
            &newest,
            &ingestion,
            (Views::All, once),
            Ingestion::insert_all,
        );
        inserted.await.map_err(|failure| failure.error)?;
        Ok(true)
    }

    /// The table as it is now, ready for rows, and how they go in.
    async fn planned<'a>(
        &self,
        table: &'a TablePlan,
        input: &Input<'_>,
    ) -> Result<(Cow<'a, TablePlan>, Ingestion), IngestError> {
        let table = self.as_it_is(table).await?;
        self.arriving(&table).await?;
        self.prepare(&table).await?;
        let ingestion = Ingestion::new(&table, input);
        Ok((table, ingestion))
    }

    /// Notes that rows come to a data source otherwise than through a view.
    async fn arriving(&self, table: &TablePlan) -> Result<(), IngestError> {
        let name = table.name.to_string();
        Ok(self.mark(super::Mark::Direct, &name).await?)
    }

    pub(super) async fn set_aside(
        &self,
        table: &TablePlan,
        ingestion: &Ingestion,
        token: &str,
        settings: Settings,
    ) -> Result<(), EngineError> {
        self.prepare_quarantine(table).await?;
        let settings = settings(&format!("{token}:quarantine"), Views::All);
        self.engine
            .execute(&ingestion.insert_quarantine(token, &settings))
            .await?;
        Ok(())
    }

    /// The numbers of the rows in a file of JSON lines that do not fit.
    pub(super) async fn bad_rows(
        &self,
        table: &TablePlan,
        path: &Path,
    ) -> Result<Vec<u64>, IngestError> {
        let given = self.give(path, Contents::Lines).await?;
        let ingestion = Ingestion::new(table, &Input::Json(&given.rows));
        // Counting takes all processors and any order, and finds nothing as a rule.
        if self.count(&ingestion.count_bad()).await? == 0 {
            return Ok(Vec::new());
        }
        let sql = ingestion.bad_rows();
        let bytes = self
            .engine
            .query(Query::new(sql, "TSV"))
            .await?
            .bytes()
            .await?;
        Ok(String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect())
    }

    pub(super) async fn count(&self, sql: &str) -> Result<u64, EngineError> {
        self.number(Query::new(sql, "TSV")).await
    }

    /// The number that is all of an answer.
    pub(super) async fn number(&self, query: Query) -> Result<u64, EngineError> {
        let bytes = self.engine.query(query).await?.bytes().await?;
        let text = String::from_utf8_lossy(&bytes);
        text.trim()
            .parse()
            .map_err(|_| EngineError::Unavailable(format!("the engine counted `{}`", text.trim())))
    }
}

/// Whether a view threw on rows that an insert has put into the table that it follows.
pub(super) fn is_of_view(error: &EngineError) -> bool {
    matches!(error, EngineError::Exception { message, .. } if message.contains("while pushing to view"))
}

fn is_bad_row(error: &EngineError) -> bool {
    matches!(error, EngineError::Exception { message, .. } if message.contains(BAD_ROW))
}
