//! Diagnostics as plain data: no colours, no rendering, no dependency on how they are shown.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::source::Span;

/// The kebab-case name of a kind of finding, such as `unknown-resource`. Declared once, in [`crate::codes`]; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// Declares a code. Only the `codes` tables call this.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The kebab-case name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; never fails a check.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The project cannot be built as it stands.
    Error,
}

/// Text attached to a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is here; may be empty.
    pub text: Cow<'static, str>,
    /// The place the message is about; further labels give context and may lie in other files.
    pub primary: bool,
}

/// Whether a fix may be applied without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Applicability {
    /// Keeps the meaning; `check --fix` applies it.
    Safe,
    /// A guess: shown, never applied unasked.
    Unsafe,
}

/// Replaces the text of a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// What is replaced; an empty span inserts.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// A suggested change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// One line: what the change does.
    pub title: Cow<'static, str>,
    /// The edits, of one file each, not overlapping.
    pub edits: Vec<Edit>,
    /// Whether it may be applied unasked.
    pub applicability: Applicability,
}

/// A finding about the source text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// One lower-case line without full stop, understandable alone; names in backticks.
    pub message: Cow<'static, str>,
    /// The places, the primary one first.
    pub labels: Vec<Label>,
    /// Why it is so.
    pub notes: Vec<Cow<'static, str>>,
    /// What can be done.
    pub helps: Vec<Cow<'static, str>>,
    /// Suggested changes.
    pub fixes: Vec<Fix>,
}

/// Texts are no longer than this many bytes: they may quote what an author wrote, of any length.
const LONGEST: usize = 600;

/// What stands in place of the middle of a longer text.
const LEFT_OUT: &str = " … ";

/// A text that can be read, whatever it quotes: the beginning and the end of a long one.
fn readable(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= LONGEST {
        return text;
    }
    let beginning = text.floor_char_boundary(LONGEST * 2 / 3);
    let end = text.ceil_char_boundary(text.len() - LONGEST / 4);
    Cow::Owned([&text[..beginning], LEFT_OUT, &text[end..]].concat())
}

impl Diagnostic {
    /// A finding of the given severity without places yet.
    pub fn new(severity: Severity, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            severity,
            message: readable(message.into()),
            labels: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// An error.
    pub fn error(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Adds a place: the first one added is the primary one.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<Cow<'static, str>>) -> Self {
        let primary = self.labels.is_empty();
        self.labels.push(Label {
            span,
            text: readable(text.into()),
            primary,
        });
        self
    }

    /// Adds the reason.
    #[must_use]
    pub fn note(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.notes.push(readable(text.into()));
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.helps.push(readable(text.into()));
        self
    }

    /// Adds a suggested change.
    #[must_use]
    pub fn fix(
        mut self,
        title: impl Into<Cow<'static, str>>,
        applicability: Applicability,
        edits: Vec<Edit>,
    ) -> Self {
        self.fixes.push(Fix {
            title: title.into(),
            edits,
            applicability,
        });
        self
    }

    /// The place the message is about, if it has one.
    pub fn primary(&self) -> Option<Span> {
        self.labels
            .iter()
            .find(|label| label.primary)
            .map(|label| label.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_quotes_too_much_keeps_its_beginning_and_its_end() {
        let message = format!("there is no engine `{}`", "ü".repeat(100_000));
        let diagnostic = Diagnostic::error(Code::INVALID_SCHEMA, message).help("x".repeat(601));
        let (message, help) = (&diagnostic.message, &diagnostic.helps[0]);
        assert!(message.len() <= LONGEST && help.len() <= LONGEST);
        assert!(message.starts_with("there is no engine `ü"), "{message}");
        assert!(
            message.ends_with("ü`") && message.contains(LEFT_OUT),
            "{message}"
        );
    }
}
