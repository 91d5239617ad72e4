//! What becomes of values that the engine converts from one type to another by itself, as it does with rows on their way into a table.
//!
//! It reads texts, cuts numbers to the bits that there are, and drops fractions, all without a word. Only what ordinary values suffer from counts: that a
//! float has fewer digits, or a date no time of day, is what such types are chosen for.

use super::{Argument, DataType};

/// What may be lost, or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Texts have to be read as values of that type; one that is none is refused.
    Text(DataType),
    /// Numbers that the type does not hold become others.
    Range,
    /// What stands behind the point is cut off.
    Fraction,
    /// These names of an `Enum` do not exist there; they are refused.
    Names(Vec<String>),
    /// The elements of the tuples have other names; values do not find their way.
    Elements,
}

impl DataType {
    /// What values may suffer on their way into a column of another type; nothing where that is not known.
    pub fn loss_in(&self, target: &Self) -> Option<Loss> {
        let (from, to) = (self.bare(), target.bare());
        if from == to {
            return None;
        }
        if is_text(from) {
            // What cannot be read becomes NULL where there may be one.
            let is_read = !target.is_nullable() && needs_reading(to);
            return is_read.then(|| Loss::Text(to.clone()));
        }
        // A number for a date or a time counts from 1970, and is one that is meant so.
        let room = whole(to).filter(|_| !to.is_date_or_time());
        if let (Some(have), Some(room)) = (whole(from), room) {
            return (!have.fits_in(room)).then_some(Loss::Range);
        }
        if has_fraction(from) && room.is_some() {
            return Some(Loss::Fraction);
        }
        match (from.family.as_str(), to.family.as_str()) {
            ("Decimal", "Decimal") => decimals(from, to),
            ("Enum8" | "Enum16", "Enum8" | "Enum16") => names(from, to),
            ("Array", "Array") | ("Map", "Map") => inner(from, to),
            ("Tuple", "Tuple") => tuples(from, to),
            _ => None,
        }
    }

    /// The names of an `Enum`.
    pub fn enum_names(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().filter_map(|argument| match argument {
            Argument::EnumValue(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    fn numbers(&self) -> Vec<u32> {
        let arguments = self.arguments.iter();
        let numbers = arguments.filter_map(|argument| match argument {
            Argument::Number(number) => number.parse().ok(),
            _ => None,
        });
        numbers.collect()
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type.family.as_str(), "String" | "FixedString")
}

/// Whether texts are read into values of this type, and not kept.
fn needs_reading(data_type: &DataType) -> bool {
    data_type.is_number()
        || data_type.is_date_or_time()
        || matches!(
            data_type.family.as_str(),
            "Bool" | "Enum8" | "Enum16" | "UUID" | "IPv4" | "IPv6" | "Array" | "Map" | "Tuple"
        )
}

/// Whole numbers, also those that dates and times are.
#[derive(Clone, Copy)]
struct Whole {
    bits: u32,
    signed: bool,
}

impl Whole {
    fn fits_in(self, room: Self) -> bool {
        match (self.signed, room.signed) {
            (true, false) => false,
            (false, true) => self.bits < room.bits,
            _ => self.bits <= room.bits,
        }
    }
}

fn whole(data_type: &DataType) -> Option<Whole> {
    let family = data_type.family.as_str();
    let of = |bits, signed| Some(Whole { bits, signed });
    match family {
        // In seconds, a time of this century has 32 bits.
        "Date" => return of(16, false),
        "DateTime" | "DateTime64" => return of(32, false),
        "Date32" => return of(32, true),
        _ => {}
    }
    if let Some(bits) = family.strip_prefix("UInt") {
        return of(bits.parse().ok()?, false);
    }
    of(family.strip_prefix("Int")?.parse().ok()?, true)
}

fn has_fraction(data_type: &DataType) -> bool {
    match data_type.family.as_str() {
        "Float32" | "Float64" | "BFloat16" => true,
        "Decimal" => data_type.numbers().get(1).is_some_and(|scale| *scale > 0),
        _ => false,
    }
}

fn decimals(from: &DataType, to: &DataType) -> Option<Loss> {
    let (&[precision, scale], &[room, kept]) = (&from.numbers()[..], &to.numbers()[..]) else {
        return None;
    };
    if scale > kept {
        return Some(Loss::Fraction);
    }
    // Every sum has 38 digits and more: what does not fit into the 64 bits of 10 digits, hardly anyone has.
    let digits = precision.saturating_sub(scale) + kept;
    (room < 10 && digits > 9).then_some(Loss::Range)
}

fn names(from: &DataType, to: &DataType) -> Option<Loss> {
    let missing: Vec<String> = from
        .enum_names()
        .filter(|name| !to.enum_names().any(|known| known == *name))
        .map(str::to_owned)
        .collect();
    (!missing.is_empty()).then_some(Loss::Names(missing))
}

fn inner(from: &DataType, to: &DataType) -> Option<Loss> {
    let mut pairs = from.inner_types().zip(to.inner_types());
    pairs.find_map(|(from, to)| from.loss_in(to))
}

fn tuples(from: &DataType, to: &DataType) -> Option<Loss> {
    if from.arguments.len() != to.arguments.len() {
        return None;
    }
    let (have, want) = (element_names(from), element_names(to));
    if have.is_empty() || want.is_empty() {
        return inner(from, to);
    }
    if want.iter().any(|name| !have.contains(name)) {
        return Some(Loss::Elements);
    }
    let by_name = |wanted: &str| {
        from.arguments
            .iter()
            .find_map(|argument| element(argument, wanted))
    };
    to.arguments.iter().find_map(|argument| match argument {
        Argument::Named(name, to) => by_name(name)?.loss_in(to),
        _ => None,
    })
}

fn element<'a>(argument: &'a Argument, wanted: &str) -> Option<&'a DataType> {
    match argument {
        Argument::Named(name, inner) if name == wanted => Some(inner),
        _ => None,
    }
}

fn element_names(data_type: &DataType) -> Vec<&str> {
    let arguments = data_type.arguments.iter();
    let names = arguments.filter_map(|argument| match argument {
        Argument::Named(name, _) => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::parse;

    fn loss(from: &str, to: &str) -> Option<Loss> {
        let parse = |text: &str| parse(text).expect("a type");
        parse(from).loss_in(&parse(to))
    }

    #[test]
    fn conversions_that_always_hold_lose_nothing() {
        for (from, to) in [
            ("UInt8", "UInt64"),
            ("UInt8", "Int16"),
            ("Int32", "Int64"),
            ("Int64", "Float64"),
            ("UInt64", "Float32"),
            ("Float64", "Float32"),
            ("Bool", "UInt8"),
            ("UInt8", "Bool"),
            ("String", "LowCardinality(String)"),
            ("LowCardinality(Nullable(String))", "String"),
            ("String", "Nullable(String)"),
            ("String", "FixedString(3)"),
            ("FixedString(3)", "String"),
            ("String", "Nullable(UInt64)"),
            ("String", "JSON"),
            ("Enum8('a' = 1)", "String"),
            ("Enum8('a' = 1)", "Enum16('a' = 1, 'b' = 2)"),
            ("Enum8('a' = 1)", "Int8"),
            ("Date", "DateTime"),
            ("DateTime", "Date"),
            ("DateTime64(3)", "DateTime"),
            ("DateTime64(3)", "UInt32"),
            ("UInt64", "DateTime"),
            ("Int64", "Date"),
            ("UUID", "String"),
            ("Float64", "Decimal(18, 2)"),
            ("Decimal(38, 2)", "Decimal(18, 2)"),
            ("Decimal(9, 0)", "Int32"),
            ("SimpleAggregateFunction(sum, UInt64)", "UInt64"),
            (
                "AggregateFunction(sum, UInt32)",
                "AggregateFunction(sum, UInt64)",
            ),
            ("Array(UInt8)", "Array(UInt64)"),
            ("Tuple(a UInt8, b String)", "Tuple(b String, a UInt16)"),
            ("Array(String)", "String"),
        ] {
            assert_eq!(loss(from, to), None, "{from} {to}");
        }
    }

    #[test]
    fn what_values_suffer_is_said() {
        let text = |data_type: &str| Loss::Text(parse(data_type).expect("a type"));
        for (from, to, expected) in [
            ("String", "UInt64", text("UInt64")),
            ("LowCardinality(String)", "Date", text("Date")),
            ("Nullable(String)", "UUID", text("UUID")),
            ("Array(String)", "Array(UInt64)", text("UInt64")),
            ("Map(String, String)", "Map(String, UInt8)", text("UInt8")),
            ("Int32", "UInt8", Loss::Range),
            ("Int32", "UInt64", Loss::Range),
            ("UInt32", "Int32", Loss::Range),
            ("UInt64", "UInt32", Loss::Range),
            ("Array(Int32)", "Array(UInt8)", Loss::Range),
            ("Date", "UInt8", Loss::Range),
            ("Float64", "UInt64", Loss::Fraction),
            ("Decimal(10, 2)", "Int64", Loss::Fraction),
            ("Decimal(10, 3)", "Decimal(10, 2)", Loss::Fraction),
            ("Decimal(18, 2)", "Decimal(4, 2)", Loss::Range),
            (
                "Enum8('a' = 1, 'b' = 2)",
                "Enum8('a' = 1)",
                Loss::Names(vec!["b".to_owned()]),
            ),
            ("Tuple(a UInt8)", "Tuple(b UInt8)", Loss::Elements),
        ] {
            assert_eq!(loss(from, to), Some(expected), "{from} {to}");
        }
    }
}
