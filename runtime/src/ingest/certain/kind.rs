//! Types of columns whose plain values are known to fit, and how the engine keeps those.

use pipewright_compiler::types::DataType;

use super::columns::Shape;

/// Which JSON values a column takes as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Integer { least: i64, most: u64, width: usize },
    Float,
    Text,
    Truth,
    Day,
    Second { is_utc: bool },
    Items(Box<Kind>),
}

impl Kind {
    pub(super) fn of(data_type: &DataType, is_utc: bool) -> Option<Self> {
        let inner = data_type.bare();
        let integer = |least, most, width| Some(Self::Integer { least, most, width });
        match inner.family.as_str() {
            "UInt8" => integer(0, u8::MAX.into(), 1),
            "UInt16" => integer(0, u16::MAX.into(), 2),
            "UInt32" => integer(0, u32::MAX.into(), 4),
            "UInt64" => integer(0, u64::MAX, 8),
            "Int8" => integer(i8::MIN.into(), i8::MAX as u64, 1),
            "Int16" => integer(i16::MIN.into(), i16::MAX as u64, 2),
            "Int32" => integer(i32::MIN.into(), i32::MAX as u64, 4),
            "Int64" => integer(i64::MIN, i64::MAX as u64, 8),
            "Float64" => Some(Self::Float),
            "String" => Some(Self::Text),
            "Bool" => Some(Self::Truth),
            "Date" if inner.arguments.is_empty() => Some(Self::Day),
            "DateTime" if inner.arguments.is_empty() => Some(Self::Second { is_utc }),
            "Array" => {
                let item = Self::of(inner.inner_types().next()?, is_utc)?;
                let is_plain =
                    !matches!(item, Self::Items(_)) && !inner.inner_types().next()?.is_nullable();
                is_plain.then(|| Self::Items(Box::new(item)))
            }
            _ => None,
        }
    }

    pub(super) fn shape(&self, is_optional: bool) -> Shape {
        let (inner, has_items) = match self {
            Self::Items(item) => (item.as_ref(), true),
            other => (other, false),
        };
        Shape {
            width: match inner {
                Self::Integer { width, .. } => Some(*width),
                Self::Float => Some(8),
                Self::Truth => Some(1),
                Self::Day => Some(2),
                Self::Second { is_utc: true } => Some(4),
                Self::Text | Self::Second { .. } | Self::Items(_) => None,
            },
            may_be_null: is_optional && !has_items,
            has_items,
        }
    }

    /// The type of the column as it is kept.
    pub(super) fn column_type(&self, may_be_null: bool) -> String {
        let name = self.type_name();
        if may_be_null {
            format!("Nullable({name})")
        } else {
            name
        }
    }

    /// The type whose bytes are kept. Moments in another time zone are left to the engine as text.
    fn type_name(&self) -> String {
        match self {
            Self::Integer { least, width, .. } => {
                let sign = if *least < 0 { "" } else { "U" };
                format!("{sign}Int{}", 8 * width)
            }
            Self::Float => "Float64".to_owned(),
            Self::Truth => "Bool".to_owned(),
            Self::Day => "Date".to_owned(),
            Self::Second { is_utc: true } => "DateTime".to_owned(),
            Self::Text | Self::Second { .. } => "String".to_owned(),
            Self::Items(item) => format!("Array({})", item.type_name()),
        }
    }
}
