//! What the engine says of statements, found out before the writer is there.
//!
//! A subquery that stands for a value is run where its statement is described, so that a description may take as long as a query. Others change the catalog
//! meanwhile: a change that comes upon a question whose answer takes longer than a moment gives the writer back, asks, and begins anew. An answer holds as long as what
//! the statement reads is what it was.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use pipewright_compiler::plan::{Compiled, Plan, TablePlan};
use pipewright_compiler::project::ResourceName;

use super::{Catalog, ChangeError, Current};
use crate::engine::{Engine, EngineError, Query};

/// So long others wait for the answers to all questions of a change: most statements are described in milliseconds, and need not be compiled twice.
const MOMENT: Duration = Duration::from_millis(200);

/// How often a change asks before it takes the writer; what others have changed by then is asked about while they wait.
const ROUNDS: usize = 4;

/// How many questions the engine is asked at once.
const AT_ONCE: usize = 2;

/// A question to the engine about a statement.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The engine is asked this.
    pub(crate) query: Query,
    /// The data sources that the statement reads.
    pub(crate) reads: BTreeSet<ResourceName>,
}

impl Question {
    /// Which columns a statement has, whatever its secrets are.
    pub(crate) fn describing(plan: &Plan, compiled: &Compiled) -> Self {
        let limits = &plan.project.config.limits;
        let mut query = Query::describing(compiled.sql.text(), limits.memory_bytes)
            .timeout(Duration::from_millis(limits.query_timeout_ms));
        for name in &compiled.secrets {
            query = query.text(name.clone(), "");
        }
        Self {
            query,
            reads: compiled.datasources.clone(),
        }
    }
}

/// What the engine says to a question: the bytes of its answer, or what it has against the statement.
pub(crate) type Said = Result<Bytes, EngineError>;

/// The questions of one change, and their answers.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    open: Mutex<Vec<Question>>,
    known: Mutex<Vec<Known>>,
    rounds: AtomicUsize,
    /// When the first question came up.
    since: OnceLock<Instant>,
}

#[derive(Debug)]
struct Known {
    question: Question,
    said: Said,
    /// What was in force when it was asked.
    of: Arc<Current>,
}

impl Ahead {
    /// What is known of a question.
    fn known(&self, question: &Question, now: &Arc<Current>) -> Option<Said> {
        let known = locked(&self.known);
        let mut known = known.iter().rev();
        let known = known.find(|known| known.question.query.sql == question.query.sql)?;
        if !still_holds(&known.of, now, &question.reads) {
            return None;
        }
        again(&known.said)
    }

    /// What the engine says within the moment that others wait for it. A question that takes longer is kept, to be asked.
    async fn heard_at_once(
        &self,
        engine: &dyn Engine,
        question: Question,
        now: &Arc<Current>,
    ) -> Result<Option<Said>, EngineError> {
        let since = self.since.get_or_init(Instant::now);
        let left = MOMENT.saturating_sub(since.elapsed());
        let asked = async {
            if left.is_zero() {
                return None;
            }
            // Dropped, it is stopped.
            let asked = tokio::time::timeout(left, said(engine, question.query.clone()));
            asked.await.ok()
        };
        let Some(said) = asked.await.transpose()? else {
            locked(&self.open).push(question);
            return Ok(None);
        };
        let answer = again(&said);
        let of = Arc::clone(now);
        locked(&self.known).push(Known { question, said, of });
        Ok(answer)
    }

    fn has_open(&self) -> bool {
        !locked(&self.open).is_empty()
    }

    fn is_patient(&self) -> bool {
        self.rounds.load(Ordering::Relaxed) < ROUNDS
    }

    /// Asks the questions that a change came upon; whether there were any.
    pub(crate) async fn ask(
        &self,
        catalog: &Catalog,
        engine: &dyn Engine,
    ) -> Result<bool, ChangeError> {
        let open = std::mem::take(&mut *locked(&self.open));
        if open.is_empty() {
            return Ok(false);
        }
        self.rounds.fetch_add(1, Ordering::Relaxed);
        let of = catalog.current();
        let asked = futures::stream::iter(open).map(|question| async {
            let said = said(engine, question.query.clone()).await?;
            Ok::<_, EngineError>(Known {
                question,
                said,
                of: Arc::clone(&of),
            })
        });
        let mut asked = asked.buffered(AT_ONCE);
        while let Some(known) = asked.next().await {
            locked(&self.known).push(known?);
        }
        Ok(true)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the engine; an error where it does not say anything of the statement.
async fn said(engine: &dyn Engine, query: Query) -> Result<Said, EngineError> {
    let said = match engine.query(query).await {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    match said {
        Err(error) if error.of_statement().is_none() => Err(error),
        said => Ok(said),
    }
}

/// The same once more.
fn again(said: &Said) -> Option<Said> {
    match said {
        Ok(bytes) => Some(Ok(bytes.clone())),
        Err(error) => error.of_statement().map(Err),
    }
}

/// Whether the tables of these data sources are what they were.
fn still_holds(of: &Arc<Current>, now: &Arc<Current>, reads: &BTreeSet<ResourceName>) -> bool {
    let same = |name| match (of.plan.tables.get(name), now.plan.tables.get(name)) {
        (Some(old), Some(new)) => has_same_columns(old, new),
        (None, None) => true,
        _ => false,
    };
    Arc::ptr_eq(of, now) || of.deploys == now.deploys && reads.iter().all(same)
}

/// The columns of a table that no file declares are those of whatever its node reads.
fn has_same_columns(old: &TablePlan, new: &TablePlan) -> bool {
    old.made_by.is_none() && new.made_by.is_none() && old.columns == new.columns
}

/// Whom the changes of a catalog ask about statements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Witness<'a> {
    pub(super) ahead: Option<&'a Ahead>,
    pub(super) engine: &'a dyn Engine,
}

impl Witness<'_> {
    /// What the engine says; nothing if that is to be asked before the change is made ([`Witness::heard`]).
    pub(crate) async fn ask(
        &self,
        question: Question,
        now: &Arc<Current>,
    ) -> Result<Option<Said>, EngineError> {
        let known = self.ahead.and_then(|ahead| ahead.known(&question, now));
        match self.ahead.filter(|ahead| ahead.is_patient()) {
            _ if known.is_some() => Ok(known),
            Some(ahead) => ahead.heard_at_once(self.engine, question, now).await,
            None => said(self.engine, question.query).await.map(Some),
        }
    }

    /// Refuses to go on without the answers to all questions.
    pub(crate) fn heard(&self) -> Result<(), ChangeError> {
        match self.ahead {
            Some(ahead) if ahead.has_open() => Err(ChangeError::Unasked),
            _ => Ok(()),
        }
    }
}
