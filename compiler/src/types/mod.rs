//! ClickHouse types: text → tree → canonical text.
//!
//! Used where types must be compared or asked about (a target's columns against a query's, whether a column holds an aggregate state). The canonical text
//! settles on one of the forms that the engine accepts, mostly the one it prints, so that `Decimal64(2)`, `decimal(18, 2)` and `Decimal(18,2)` are equal.

mod family;
mod loss;
mod parse;

use std::fmt;
use std::ops::Range;

use crate::sql::{quote_identifier, quote_literal};

pub use loss::Loss;
pub use parse::parse;

/// A type: its family and what stands in its parentheses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataType {
    /// The family's canonical name: `UInt8`, `Nullable`, `AggregateFunction`.
    pub family: String,
    /// The arguments, in order.
    pub arguments: Vec<Argument>,
}

/// One argument of a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Argument {
    /// A type: of an element, a key, an argument of an aggregate function.
    Type(DataType),
    /// A named element of a `Tuple` or `Nested`, or a typed path of `JSON`.
    Named(String, DataType),
    /// A number: precision, scale, length.
    Number(String),
    /// A string: a time zone.
    Text(String),
    /// A value of an `Enum`.
    EnumValue(String, i16),
    /// The function of an aggregate state with its parameters, as text.
    Function(String, Vec<String>),
    /// `name = value`, of `JSON` and `Dynamic`.
    Setting(String, String),
    /// `SKIP path` or `SKIP REGEXP 'text'` of `JSON`, by what follows `SKIP`.
    Skip(String),
}

/// Why a text is no type, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    /// One lower-case line.
    pub message: String,
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What might have been meant.
    pub help: Option<String>,
}

impl DataType {
    /// Whether a value may be NULL: `Nullable(…)`, also inside `LowCardinality` and simple aggregates, and the types that hold NULL of themselves.
    pub fn is_nullable(&self) -> bool {
        match self.family.as_str() {
            "Nullable" | "Variant" | "Dynamic" => true,
            "LowCardinality" | "SimpleAggregateFunction" => {
                self.inner().is_some_and(Self::is_nullable)
            }
            _ => false,
        }
    }

    /// Whether it is `LowCardinality(…)`.
    pub fn is_low_cardinality(&self) -> bool {
        self.family == "LowCardinality"
    }

    /// Whether values are the intermediate states of an aggregate function, to be read with `-Merge`.
    pub fn is_aggregate_state(&self) -> bool {
        self.family == "AggregateFunction"
    }

    /// Whether it is `SimpleAggregateFunction(…)`: values look like those of its type.
    pub fn is_simple_aggregate(&self) -> bool {
        self.family == "SimpleAggregateFunction"
    }

    /// The aggregate function of a state or a simple aggregate, with its parameters as text.
    pub fn aggregate_function(&self) -> Option<(&str, &[String])> {
        self.arguments.iter().find_map(|argument| match argument {
            Argument::Function(name, parameters) => Some((name.as_str(), parameters.as_slice())),
            _ => None,
        })
    }

    /// The types among the arguments, in order.
    pub fn inner_types(&self) -> impl Iterator<Item = &Self> {
        self.arguments.iter().filter_map(|argument| match argument {
            Argument::Type(inner) | Argument::Named(_, inner) => Some(inner),
            _ => None,
        })
    }

    fn inner(&self) -> Option<&Self> {
        self.inner_types().next()
    }

    /// The type without `Nullable` and `LowCardinality` around it, and a simple aggregate's values' type.
    pub fn bare(&self) -> &Self {
        let mut bare = self;
        while matches!(
            bare.family.as_str(),
            "Nullable" | "LowCardinality" | "SimpleAggregateFunction"
        ) {
            match bare.inner() {
                Some(inner) => bare = inner,
                None => break,
            }
        }
        bare
    }

    /// Whether values are numbers.
    pub fn is_number(&self) -> bool {
        let family = self.bare().family.as_str();
        ["Int", "UInt", "Float", "Decimal", "BFloat"]
            .iter()
            .any(|prefix| {
                family
                    .strip_prefix(prefix)
                    .is_some_and(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()))
            })
    }

    /// Whether values are dates or times of day on a calendar.
    pub fn is_date_or_time(&self) -> bool {
        matches!(
            self.bare().family.as_str(),
            "Date" | "Date32" | "DateTime" | "DateTime64"
        )
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.family)?;
        if self.arguments.is_empty() {
            return if matches!(self.family.as_str(), "Tuple" | "Nested") {
                formatter.write_str("()")
            } else {
                Ok(())
            };
        }
        for (index, argument) in self.arguments.iter().enumerate() {
            formatter.write_str(if index == 0 { "(" } else { ", " })?;
            argument.fmt(formatter)?;
        }
        formatter.write_str(")")
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(inner) => inner.fmt(formatter),
            Self::Named(name, inner) => write!(formatter, "{} {inner}", quote_identifier(name)),
            Self::Number(number) => formatter.write_str(number),
            Self::Text(text) => formatter.write_str(&quote_literal(text)),
            Self::EnumValue(name, value) => write!(formatter, "{} = {value}", quote_literal(name)),
            Self::Function(name, parameters) if parameters.is_empty() => formatter.write_str(name),
            Self::Function(name, parameters) => {
                write!(formatter, "{name}({})", parameters.join(", "))
            }
            Self::Setting(name, value) => write!(formatter, "{name}={value}"),
            Self::Skip(what) => write!(formatter, "SKIP {what}"),
        }
    }
}
