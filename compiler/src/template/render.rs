//! What one render needs and what it leaves: inputs, limits, and the state that the operations of a template share.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use super::error::{ErrorKind, Outcome, TemplateError};
use super::requests::Record;
use super::value::{Key, Variable, weight};
use crate::mapped_text::{MappedText, PieceKind};
use pipewright_grammar::source::Span;

/// How missing values are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Nothing is known of the values yet: parameters without one are placeholders.
    Check,
    /// A request: parameters without value are `None`.
    #[default]
    Call,
}

/// The values of a request, by parameter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(IndexMap<String, serde_json::Value>);

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value from a query string: always text.
    pub fn insert_text(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0
            .insert(name.into(), serde_json::Value::String(value.into()));
    }

    /// A value from a JSON body.
    pub fn insert(&mut self, name: impl Into<String>, value: serde_json::Value) {
        self.0.insert(name.into(), value);
    }

    /// Takes a value away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.shift_remove(name);
    }

    /// The values by their names, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &serde_json::Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.0.get(name)
    }
}

impl<N: Into<String>> FromIterator<(N, serde_json::Value)> for Values {
    fn from_iter<T: IntoIterator<Item = (N, serde_json::Value)>>(pairs: T) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }
}

/// What a render may look at beside the values, and how much it may use.
#[derive(Clone, Copy)]
pub struct RenderContext<'a> {
    /// Check or call.
    pub mode: Mode,
    /// The names that `table()` may give; without it, every name that needs no quotes.
    pub tables: Option<&'a dyn Fn(&str) -> bool>,
    /// The names of the secrets that exist. Their values are bound later and never come here.
    pub secrets: &'a [String],
    /// What `job_timestamp` is if no value is given: `YYYY-MM-DD HH:MM:SS`. The compiler reads no clock.
    pub now: &'a str,
    /// How much work a render may do; one step is about one operation or 64 bytes of a new value.
    pub steps: u64,
    /// How many bytes of SQL a render may make.
    pub output_limit: usize,
}

/// Enough for any template that is not a mistake, and well under a second.
pub const DEFAULT_STEPS: u64 = 2_000_000;

/// As much SQL as ClickHouse would accept by far.
pub const DEFAULT_OUTPUT_LIMIT: usize = 16 * 1024 * 1024;

impl Default for RenderContext<'_> {
    fn default() -> Self {
        Self {
            mode: Mode::Call,
            tables: None,
            secrets: &[],
            now: "1970-01-01 00:00:00",
            steps: DEFAULT_STEPS,
            output_limit: DEFAULT_OUTPUT_LIMIT,
        }
    }
}

impl RenderContext<'_> {
    /// A context for checking.
    pub fn check() -> Self {
        Self {
            mode: Mode::Check,
            ..Self::default()
        }
    }
}

/// What a template asked of the query beside its SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `max_threads(n)`; the last call wins.
    pub max_threads: Option<i64>,
    /// `cache_ttl('5s')`; the last call wins.
    pub cache_ttl: Option<String>,
    /// `backend_hint(hint)`; the last call wins.
    pub backend_hint: Option<String>,
    /// Whether `backend_hint` was called at all (`None` takes a hint back).
    pub backend_hint_given: bool,
    /// `activate(feature)`; all calls.
    pub activate: Vec<String>,
    /// `disable(feature)`; the last call wins.
    pub disable: Option<String>,
}

/// A rendered template.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// The SQL with its origin.
    pub sql: MappedText,
    /// What was asked beside it.
    pub settings: Settings,
    /// The secrets that the SQL reads as `{name: String}`, in order of first use.
    pub secrets: Vec<String>,
    /// The tables that `table()` gave, in order of use.
    pub tables: Vec<String>,
}

/// What is done with conditions beside testing them.
#[derive(Debug, Default)]
pub(super) struct Conditioned {
    /// Their truth, when branches are explored.
    pub(super) forced: Vec<bool>,
    /// Where their truth is noted, when requests are looked for.
    pub(super) record: Option<Arc<Record>>,
}

/// The state of one render.
#[derive(Debug)]
pub(super) struct Render {
    pub(super) mode: Mode,
    pub(super) slots: Vec<Option<Value>>,
    pub(super) out: MappedText,
    pub(super) settings: Settings,
    pub(super) secrets: Vec<String>,
    pub(super) tables: Vec<String>,
    pub(super) known_secrets: Vec<String>,
    pub(super) steps: u64,
    pub(super) output_limit: usize,
    /// How many `try` blocks are open.
    pub(super) guards: u32,
    /// An error inside of a `try` block on its way to the handler.
    pub(super) raised: Option<TemplateError>,
    pub(super) conditions: Conditioned,
    pub(super) scratch: String,
}

impl Render {
    /// Uses steps for making `bytes` bytes.
    pub(super) fn charge(&mut self, bytes: usize) -> Outcome<()> {
        let cost = 1 + u64::try_from(bytes / 64).unwrap_or(u64::MAX);
        match self.steps.checked_sub(cost) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(TemplateError::new(
                ErrorKind::LimitExceeded,
                "the template takes too many steps",
            )),
        }
    }

    /// Uses steps for going through all of a value, texts included.
    pub(super) fn walk(&mut self, value: &Value) -> Outcome<()> {
        let bytes = if let Some(text) = value.as_str() {
            text.len()
        } else {
            let limit = self.steps.saturating_mul(64);
            weight(value, usize::try_from(limit).unwrap_or(usize::MAX))
        };
        if bytes < 64 {
            Ok(())
        } else {
            self.charge(bytes)
        }
    }

    /// A value as a key.
    pub(super) fn key(&mut self, value: &Value) -> Outcome<Key> {
        self.walk(value)?;
        Key::of(value)
    }

    pub(super) fn push(&mut self, text: &str, kind: PieceKind, origin: Span) -> Outcome<()> {
        if self.out.text().len() + text.len() > self.output_limit {
            return Err(TemplateError::new(
                ErrorKind::LimitExceeded,
                format!("the SQL is longer than {} bytes", self.output_limit),
            ));
        }
        if text.starts_with('-') && self.out.text().ends_with('-') {
            // `5-{{ x }}` with a negative number would begin a comment.
            self.out.push(" ", PieceKind::Structural, Some(origin));
        }
        self.out.push(text, kind, Some(origin));
        Ok(())
    }

    /// The value of a variable.
    pub(super) fn read(&self, variable: &Variable) -> Outcome<Value> {
        self.slots
            .get(variable.slot)
            .and_then(Clone::clone)
            .ok_or_else(|| {
                TemplateError::new(
                    ErrorKind::UnboundVariable,
                    format!("`{}` is used before a value is set", variable.name),
                )
                .at(variable.span)
            })
    }

    pub(super) fn knows_secret(&self, name: &str) -> bool {
        self.known_secrets
            .iter()
            .any(|known| known == name || known.strip_prefix("tb_secret_") == Some(name))
    }
}

/// Carries the state of a render into the virtual machine: the first instruction takes it out.
#[derive(Debug)]
pub(super) struct Handoff(pub(super) Mutex<Option<Render>>);

/// The name under which the handoff is found.
pub(super) const HANDOFF: &str = "render";

impl Object for Handoff {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        (key == HANDOFF).then(|| Value::from_dyn_object(self.clone()))
    }
}

impl Handoff {
    pub(super) fn take(&self) -> Option<Render> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
