//! What can go wrong in a template, as data: the kind decides the HTTP status and the code, the span the place in the file.

use std::fmt;

use pipewright_grammar::diagnostic::{Code, Diagnostic};
use pipewright_grammar::source::Span;
use serde::Serialize;

use crate::diagnostics::codes;

/// The kinds of template errors. Names are those that the reference's answers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the names say all; book/src/templates.md explains each"
)]
pub enum ErrorKind {
    MissingRequired,
    NullExpression,
    WrongType,
    NotInEnum,
    MissingColumnDefault,
    ColumnsNotString,
    UnknownTable,
    UnknownAggregate,
    BadArray,
    BadJson,
    MissingKey,
    IndexOutOfRange,
    Attribute,
    BadSplit,
    BadOperator,
    BadDateDiff,
    BadCacheTtl,
    BadActivate,
    BadDisable,
    SecretNotFound,
    ReservedName,
    SecurityFunction,
    SecurityMethod,
    SecurityExpression,
    SecuritySlice,
    SecurityConstant,
    SecurityName,
    SecurityAttribute,
    SecurityControlBlock,
    SecuritySet,
    NotAFunction,
    NameNotDefined,
    UnboundVariable,
    MissingArgument,
    UnknownKeyword,
    DuplicateArgument,
    TypeError,
    ValueError,
    TemplateParse,
    UnclosedBlock,
    PythonSyntax,
    CustomError,
    LimitExceeded,
}

impl ErrorKind {
    /// The snake-case name.
    pub fn name(self) -> String {
        let mut name = String::new();
        for character in format!("{self:?}").chars() {
            if character.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(character.to_ascii_lowercase());
        }
        name
    }

    fn code(self) -> Code {
        match self {
            Self::TemplateParse => Code::TEMPLATE_TAG,
            Self::UnclosedBlock => Code::TEMPLATE_UNCLOSED,
            Self::PythonSyntax => Code::TEMPLATE_EXPRESSION,
            Self::SecurityControlBlock => Code::TEMPLATE_CONTROL,
            Self::SecuritySet => Code::TEMPLATE_SET,
            Self::SecurityFunction
            | Self::SecurityMethod
            | Self::SecurityExpression
            | Self::SecuritySlice
            | Self::SecurityConstant
            | Self::SecurityName
            | Self::SecurityAttribute => codes::TEMPLATE_REFUSED,
            Self::ReservedName => codes::TEMPLATE_RESERVED_NAME,
            _ => codes::TEMPLATE_RENDER,
        }
    }

    /// The kind that a diagnostic of the grammar stands for.
    pub(super) fn of(code: Code) -> Self {
        [
            Self::TemplateParse,
            Self::UnclosedBlock,
            Self::PythonSyntax,
            Self::SecurityControlBlock,
            Self::SecuritySet,
        ]
        .into_iter()
        .find(|kind| kind.code() == code)
        .unwrap_or(Self::TemplateParse)
    }
}

/// Why a template cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateError {
    /// What kind of error.
    pub kind: ErrorKind,
    /// One line for the author or the caller.
    pub message: String,
    /// The place in the file.
    pub span: Option<Span>,
    /// The parameter that it is about.
    pub parameter: Option<String>,
    /// The author's own words to callers: they are told these and nothing else.
    pub is_authors: bool,
    /// The HTTP status that `custom_error` asked for.
    pub status: Option<u16>,
    /// The HTTP body that `custom_error` asked for.
    pub body: Option<Box<serde_json::Value>>,
    /// Whether the message says already what it is about.
    pub(super) is_named: bool,
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    /// A parameter of the request, not a variable of the template itself.
    pub(super) is_parameter: bool,
}

impl TemplateError {
    /// The finding, at `fallback` where the error has no place of its own.
    pub fn to_diagnostic_at(&self, fallback: Span) -> Diagnostic {
        let diagnostic = self.to_diagnostic();
        if diagnostic.labels.is_empty() {
            diagnostic.label(fallback, "")
        } else {
            diagnostic
        }
    }

    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            span: None,
            parameter: None,
            is_authors: false,
            status: None,
            body: None,
            is_named: false,
        }
    }

    /// The same error at a place, unless it already has one.
    #[must_use]
    pub(super) fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// The same error about a parameter or variable: its name leads the message.
    #[must_use]
    pub(super) fn about(mut self, subject: Option<Subject<'_>>) -> Self {
        let Some(Subject { name, is_parameter }) = subject.filter(|_| !self.is_named) else {
            return self;
        };
        let what = if is_parameter {
            "parameter"
        } else {
            "variable"
        };
        self.message = format!("{what} {name}: {}", self.message);
        self.parameter = is_parameter.then(|| name.to_owned());
        self.is_named = true;
        self
    }

    /// The HTTP status of a response that reports this error.
    pub fn http_status(&self) -> u16 {
        self.status.unwrap_or(400)
    }

    /// The error as a diagnostic of the project.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.kind.code(), self.message.clone());
        if let Some(span) = self.span {
            diagnostic = diagnostic.label(span, "");
        }
        diagnostic
    }
}

impl From<TemplateError> for Diagnostic {
    fn from(error: TemplateError) -> Self {
        error.to_diagnostic()
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

impl From<TemplateError> for minijinja::Error {
    fn from(error: TemplateError) -> Self {
        Self::new(minijinja::ErrorKind::InvalidOperation, "template").with_source(error)
    }
}

/// Shorthand for the results inside of this module.
pub(super) type Outcome<T> = Result<T, TemplateError>;

/// A type error in the sense of the language.
pub(super) fn type_error<T>(message: impl Into<String>) -> Outcome<T> {
    Err(TemplateError::new(ErrorKind::TypeError, message))
}

/// A value error in the sense of the language.
pub(super) fn value_error<T>(message: impl Into<String>) -> Outcome<T> {
    Err(TemplateError::new(ErrorKind::ValueError, message))
}
