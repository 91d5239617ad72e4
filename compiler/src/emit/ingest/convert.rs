//! How a value of the input becomes a value of a column's type.
//!
//! Everything is first read into a form in which a value that does not fit is NULL, because the engine's own readers either stop at the first such value
//! or wrap numbers around in silence. Conversions are exact: what does not fit is never cut.

mod typed;

pub(super) use typed::{from_typed, lost};

use super::endless;
use crate::sql::{quote_identifier, quote_literal};
use crate::types::{Argument, DataType};

/// What matters of a type for reading it.
enum Kind<'a> {
    Text,
    /// Real numbers of 32 bits.
    Single,
    /// Integers of up to 32 bits: every one is a double.
    NarrowInteger,
    WideInteger,
    Bool,
    /// Scalars that the JSON reader checks exactly.
    Scalar,
    /// The JSON reader stops at one that is too large.
    Decimal,
    /// Numbers that are rounded, of which the JSON reader knows nothing: a `BFloat16` comes as a `Float32`.
    Rounded,
    Enum,
    Moment(Moment),
    Array(&'a DataType),
    /// The types of its keys and its values.
    Map(&'a DataType, &'a DataType),
    Tuple,
    Nested,
    /// An object, whose reader leaves everything out that it does not understand unless it may say so.
    Json,
    /// Whatever the engine makes of it.
    Opaque,
}

/// A point in time: the function that makes it, what it can hold in milliseconds since 1970, digits of a second, and time zone.
struct Moment {
    function: &'static str,
    range: Option<(i64, i64)>,
    precision: u32,
    zone: Option<String>,
}

const DAY: i64 = 86_400_000;

fn kind(data_type: &DataType) -> Kind<'_> {
    let bare = data_type.bare();
    let zone = || {
        bare.arguments.iter().find_map(|argument| {
            if let Argument::Text(zone) = argument {
                Some(zone.clone())
            } else {
                None
            }
        })
    };
    let moment = |function, range| {
        Kind::Moment(Moment {
            function,
            range,
            precision: 3,
            zone: Some("UTC".to_owned()),
        })
    };
    match bare.family.as_str() {
        "String" => Kind::Text,
        "Int8" | "Int16" | "Int32" | "UInt8" | "UInt16" | "UInt32" => Kind::NarrowInteger,
        "Int64" | "Int128" | "Int256" | "UInt64" | "UInt128" | "UInt256" => Kind::WideInteger,
        "Bool" => Kind::Bool,
        "BFloat16" => Kind::Rounded,
        "Enum8" | "Enum16" => Kind::Enum,
        "Decimal" => Kind::Decimal,
        "Float32" => Kind::Single,
        "Float64" | "UUID" | "IPv4" | "IPv6" | "FixedString" => Kind::Scalar,
        "Date" => moment("toDate", Some((0, 65_536 * DAY - 1))),
        "Date32" => moment("toDate32", Some((-25_567 * DAY, 120_530 * DAY - 1))),
        "DateTime" => Kind::Moment(Moment {
            function: "toDateTime",
            range: Some((0, 4_294_967_295_999)),
            precision: 3,
            zone: zone(),
        }),
        "DateTime64" => {
            let digits = bare.arguments.iter().find_map(|argument| {
                if let Argument::Number(digits) = argument {
                    digits.parse().ok()
                } else {
                    None
                }
            });
            Kind::Moment(Moment {
                function: "",
                range: None,
                precision: digits.unwrap_or(3),
                zone: zone(),
            })
        }
        "Array" => bare.inner_types().next().map_or(Kind::Opaque, Kind::Array),
        "Map" => {
            let mut inner = bare.inner_types();
            match (inner.next(), inner.next()) {
                (Some(key), Some(value)) => Kind::Map(key, value),
                _ => Kind::Opaque,
            }
        }
        "Tuple" if !bare.arguments.is_empty() => Kind::Tuple,
        "Nested" => Kind::Nested,
        "JSON" => Kind::Json,
        _ => Kind::Opaque,
    }
}

/// Whether values of the type are single values, for which NULL says that there is none or that it does not fit.
pub(super) fn is_scalar(data_type: &DataType) -> bool {
    !matches!(
        kind(data_type),
        Kind::Array(_) | Kind::Map(..) | Kind::Tuple | Kind::Nested | Kind::Json | Kind::Opaque
    )
}

/// Whether it is a tuple with elements, which are missing with it, or an object.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    matches!(kind(data_type), Kind::Tuple | Kind::Json)
}

/// Whether values are names of an enumeration.
pub(super) fn is_enum(data_type: &DataType) -> bool {
    matches!(kind(data_type), Kind::Enum)
}

/// An expression as the value of a column of the type.
pub(super) fn as_column(expression: &str, data_type: &DataType) -> String {
    let name = value_type(data_type);
    format!("CAST({expression}, {})", quote_literal(&name))
}

/// What a column of the type holds where nothing was given.
pub(super) fn empty(data_type: &DataType) -> String {
    let name = value_type(data_type);
    format!("defaultValueOfTypeName({})", quote_literal(&name))
}

fn value_type(data_type: &DataType) -> String {
    let bare = data_type.bare();
    if data_type.is_nullable() && is_scalar(data_type) {
        format!("Nullable({bare})")
    } else {
        bare.to_string()
    }
}

/// The JSON types that a value of the type is written as, for types whose readers do not say when it is another.
pub(super) fn json_kinds(data_type: &DataType) -> Option<&'static str> {
    match kind(data_type) {
        Kind::Array(_) | Kind::Nested => Some("'Array'"),
        Kind::Map(..) | Kind::Json => Some("'Object'"),
        Kind::Tuple => Some("'Object', 'Array'"),
        _ => None,
    }
}

/// The elements of a tuple: how each is addressed, and its type.
pub(super) fn elements(data_type: &DataType) -> Vec<(Option<&str>, &DataType)> {
    let arguments = data_type.bare().arguments.iter();
    arguments
        .filter_map(|argument| match argument {
            Argument::Named(name, inner) => Some((Some(name.as_str()), inner)),
            Argument::Type(inner) => Some((None, inner)),
            _ => None,
        })
        .collect()
}

/// The type that `JSONExtract` is asked for.
pub(super) fn json_type(data_type: &DataType) -> String {
    match kind(data_type) {
        Kind::Text | Kind::WideInteger | Kind::Bool | Kind::Decimal | Kind::Moment(_) => {
            "Nullable(String)".to_owned()
        }
        Kind::NarrowInteger | Kind::Single => "Nullable(Float64)".to_owned(),
        Kind::Rounded => "Nullable(Float32)".to_owned(),
        Kind::Scalar | Kind::Enum | Kind::Json => format!("Nullable({})", data_type.bare()),
        Kind::Array(element) => format!("Array({})", json_type(element)),
        // Keys of JSON objects are strings.
        Kind::Map(_, value) => format!("Map(String, {})", json_type(value)),
        Kind::Tuple => tuple_type(data_type),
        Kind::Nested => format!("Array({})", tuple_type(data_type)),
        Kind::Opaque => data_type.to_string(),
    }
}

fn tuple_type(data_type: &DataType) -> String {
    let elements = elements(data_type)
        .into_iter()
        .map(|(name, inner)| match name {
            Some(name) => format!("{} {}", quote_identifier(name), json_type(inner)),
            None => json_type(inner),
        });
    format!("Tuple({})", elements.collect::<Vec<_>>().join(", "))
}

/// The value, read as [`json_type`], as a value of the type in which what does not fit is NULL.
pub(super) fn from_json(value: &str, data_type: &DataType) -> String {
    nested(value, data_type, 0)
}

fn nested(value: &str, data_type: &DataType, depth: usize) -> String {
    let item = format!("item{depth}");
    match kind(data_type) {
        Kind::Text | Kind::Scalar | Kind::Enum | Kind::Json | Kind::Opaque => value.to_owned(),
        Kind::NarrowInteger | Kind::Bool => exact(value, data_type),
        Kind::Decimal => decimal(value, data_type, true),
        Kind::Rounded => rounded(value, data_type),
        Kind::Single => {
            let single = rounded(value, data_type);
            format!("if(isInfinite({single}) AND isFinite({value}), NULL, {single})")
        }
        Kind::WideInteger => {
            // Digits nearly always; `1.0`, `1e3` and `true` are whole numbers as well.
            let double = format!("accurateCastOrNull({value}, 'Float64')");
            // A double has too few digits: what lies beyond the last number of the type would become that one.
            let double = exact(
                &format!("if(match({value}, {DIGITS}), NULL, {double})"),
                data_type,
            );
            let flag = format!("multiIf({value} = 'true', 1, {value} = 'false', 0, NULL)");
            let digits = digits(value, data_type);
            format!(
                "if(isNull({digits}) AND isNotNull({value}), ifNull({double}, {}), {digits})",
                exact(&flag, data_type)
            )
        }
        Kind::Moment(moment) => moment.read(value),
        Kind::Array(element) => match nested(&item, element, depth + 1) {
            same if same == item => value.to_owned(),
            converted => format!("arrayMap({item} -> {converted}, {value})"),
        },
        Kind::Map(key, inner) => {
            let name = format!("key{depth}");
            let converted = (map_key(&name, key), nested(&item, inner, depth + 1));
            if converted.0 == name && converted.1 == item {
                return value.to_owned();
            }
            format!(
                "mapApply(({name}, {item}) -> ({}, {}), {value})",
                converted.0, converted.1
            )
        }
        Kind::Tuple => tuple(value, data_type, depth),
        Kind::Nested => format!(
            "arrayMap({item} -> {}, {value})",
            tuple(&item, data_type, depth + 1)
        ),
    }
}

/// A map's key, a text, as the text that the cast to the type of the keys takes; one that does not fit as [`no_key`], because keys cannot be NULL.
fn map_key(key: &str, data_type: &DataType) -> String {
    match no_key(data_type) {
        Some(none) => format!(
            "ifNull(toString({}), {})",
            from_text(key, data_type),
            quote_literal(&none)
        ),
        None => key.to_owned(),
    }
}

/// What stands for a key that does not fit: a text that no key of the type has. Nothing where every text is a key.
fn no_key(data_type: &DataType) -> Option<String> {
    match kind(data_type) {
        Kind::Text | Kind::Json | Kind::Opaque => None,
        _ => {
            // Texts made from values do not end so.
            let mut none = "\0".to_owned();
            while names(data_type).any(|name| name == none) {
                none.push('\0');
            }
            Some(none)
        }
    }
}

fn tuple(value: &str, data_type: &DataType, depth: usize) -> String {
    let parts = elements(data_type).into_iter().enumerate();
    let parts = parts.map(|(at, (_, inner))| {
        nested(&format!("tupleElement({value}, {})", at + 1), inner, depth)
    });
    format!("tuple({})", parts.collect::<Vec<_>>().join(", "))
}

/// The value of a text column (`Nullable(String)`), read as the type; what does not fit is NULL.
pub(super) fn from_text(value: &str, data_type: &DataType) -> String {
    match kind(data_type) {
        Kind::Text => value.to_owned(),
        Kind::NarrowInteger | Kind::Bool | Kind::Scalar | Kind::Rounded | Kind::Single => {
            endless::finite(&exact(value, data_type), value, data_type)
        }
        Kind::Decimal => decimal(value, data_type, true),
        Kind::WideInteger => digits(value, data_type),
        // The exact cast stops at a name that it does not know.
        Kind::Enum => exact(
            &format!("if({value} IN ({}), {value}, NULL)", enum_names(data_type)),
            data_type,
        ),
        Kind::Moment(moment) => moment.read(value),
        Kind::Opaque => format!(
            "CAST(ifNull({value}, ''), {})",
            quote_literal(&data_type.to_string())
        ),
        _ => {
            // Arrays in CSV come as JSON or with single quotes, as the engine writes them.
            let text = format!("ifNull({value}, '')");
            let json =
                format!("if(position({text}, '\"') = 0, replaceAll({text}, '\\'', '\"'), {text})");
            from_json(
                &format!(
                    "JSONExtract({json}, {})",
                    quote_literal(&json_type(data_type))
                ),
                data_type,
            )
        }
    }
}

fn enum_names(data_type: &DataType) -> String {
    names(data_type)
        .map(quote_literal)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The names of an enumeration.
fn names(data_type: &DataType) -> impl Iterator<Item = &str> {
    let arguments = data_type.bare().arguments.iter();
    arguments.filter_map(|argument| match argument {
        Argument::EnumValue(name, _) => Some(name.as_str()),
        _ => None,
    })
}

/// A number as the nearest one that the type has.
fn rounded(value: &str, data_type: &DataType) -> String {
    let nullable = format!("Nullable({})", data_type.bare());
    format!("CAST({value}, {})", quote_literal(&nullable))
}

/// Whether the engine reads numbers of the type without looking whether they fit.
fn is_beyond_64_bits(data_type: &DataType) -> bool {
    let family = &data_type.bare().family;
    family.ends_with("128") || family.ends_with("256")
}

/// A text that is a whole number, as a pattern.
const DIGITS: &str = "'^[+-]?[0-9]+$'";

/// A text of digits as an integer. Those that are so long that the engine could wrap them around must be the number's own.
fn digits(value: &str, data_type: &DataType) -> String {
    let read = exact(value, data_type);
    if !is_beyond_64_bits(data_type) {
        return read;
    }
    let short = if data_type.bare().family.ends_with("128") {
        38
    } else {
        76
    };
    let own = format!("replaceRegexpOne({value}, '^([+]|(-))?0*([0-9])', '\\\\2\\\\3')");
    format!("if(length({value}) <= {short} OR toString({read}) = {own}, {read}, NULL)")
}

/// A number, or a text if it is one, as a decimal: its type may have room for more digits than it allows, and the engine looks at the room.
fn decimal(value: &str, data_type: &DataType, is_text: bool) -> String {
    let read = exact(value, data_type);
    let mut numbers = data_type.bare().arguments.iter().map(|argument| {
        if let Argument::Number(number) = argument {
            number.parse().ok()
        } else {
            None
        }
    });
    let precision: u32 = numbers.next().flatten().unwrap_or(10);
    let scale = numbers.next().flatten().unwrap_or(0);
    // Of texts it looks at the digits that the widest decimal of that room has.
    if is_text && matches!(precision, 9 | 18 | 38 | 76) {
        return read;
    }
    let before_the_point = match precision.saturating_sub(scale) {
        0 => "0".to_owned(),
        digits => format!("[0-9]{{1,{digits}}}"),
    };
    format!("if(match(toString({read}), '^-?{before_the_point}([.]|$)'), {read}, NULL)")
}

fn exact(value: &str, data_type: &DataType) -> String {
    format!(
        "accurateCastOrNull({value}, {})",
        quote_literal(&data_type.bare().to_string())
    )
}

/// What begins so has no date: the engine would take the current year, or the first of something.
const NO_DATE: &str = "'^(0000|[0-9]{4}[-/](00|[0-9]{1,2}[-/]00)|[0-9]{1,2}:)'";

impl Moment {
    /// Dates in the many spellings of the world, and seconds since 1970 with their fractions.
    fn read(&self, value: &str) -> String {
        let zone = self
            .zone
            .as_ref()
            .map_or_else(String::new, |zone| format!(", {}", quote_literal(zone)));
        // Below three digits the function returns another type.
        let digits = self.precision.max(3);
        let parsed = format!(
            "if(match({value}, {NO_DATE}), NULL, parseDateTime64BestEffortOrNull({value}, {digits}{zone}))"
        );
        // Short numbers would be taken for a day of the current month.
        let seconds = format!("toDateTime64(accurateCastOrNull({value}, 'Int64'), {digits}{zone})");
        self.within(&format!("if(length({value}) < 8, {seconds}, {parsed})"))
    }

    /// The moment as its own type, NULL outside of what that can hold.
    fn within(&self, value: &str) -> String {
        let Some((from, to)) = self.range else {
            return value.to_owned();
        };
        let milliseconds = format!("toUnixTimestamp64Milli(toDateTime64({value}, 3))");
        let zone = self
            .zone
            .as_ref()
            .filter(|_| self.function == "toDateTime")
            .map_or_else(String::new, |zone| format!(", {}", quote_literal(zone)));
        format!(
            "if({milliseconds} BETWEEN {from} AND {to}, {}({value}{zone}), NULL)",
            self.function
        )
    }
}

/// Where a converted value has NULL in a place that may not be NULL; nothing when it cannot.
pub(super) fn misfit(value: &str, data_type: &DataType) -> Option<String> {
    misfit_at(value, data_type, 0)
}

fn misfit_at(value: &str, data_type: &DataType, depth: usize) -> Option<String> {
    let item = format!("item{depth}");
    match kind(data_type) {
        Kind::Opaque => None,
        Kind::Array(element) => misfit_at(&item, element, depth + 1)
            .map(|bad| format!("arrayExists({item} -> {bad}, {value})")),
        Kind::Map(key, inner) => {
            let key =
                no_key(key).map(|none| format!("has(mapKeys({value}), {})", quote_literal(&none)));
            let inner = misfit_at(&item, inner, depth + 1)
                .map(|bad| format!("arrayExists({item} -> {bad}, mapValues({value}))"));
            match (key, inner) {
                (Some(key), Some(inner)) => Some(format!("({key} OR {inner})")),
                (key, inner) => key.or(inner),
            }
        }
        Kind::Tuple => misfit_in_tuple(value, data_type, depth),
        Kind::Nested => misfit_in_tuple(&item, data_type, depth + 1)
            .map(|bad| format!("arrayExists({item} -> {bad}, {value})")),
        Kind::Json => Some(format!("isNull({value})")),
        _ if data_type.is_nullable() => None,
        _ => Some(format!("isNull({value})")),
    }
}

fn misfit_in_tuple(value: &str, data_type: &DataType, depth: usize) -> Option<String> {
    let parts = elements(data_type).into_iter().enumerate();
    let parts: Vec<String> = parts
        .filter_map(|(at, (_, inner))| {
            misfit_at(&format!("tupleElement({value}, {})", at + 1), inner, depth)
        })
        .collect();
    (!parts.is_empty()).then(|| format!("({})", parts.join(" OR ")))
}

/// A value that fits, as what is inserted: one expression, or one for each column of a `Nested`.
pub(super) fn finished(value: &str, data_type: &DataType) -> Vec<String> {
    let cast =
        |value: &str, data_type: &str| format!("CAST({value}, {})", quote_literal(data_type));
    match kind(data_type) {
        Kind::Opaque => vec![value.to_owned()],
        Kind::Json => vec![format!("assumeNotNull({value})")],
        Kind::Array(_) | Kind::Map(..) | Kind::Tuple => {
            vec![cast(value, &data_type.bare().to_string())]
        }
        Kind::Nested => {
            let parts = elements(data_type).into_iter().enumerate();
            parts
                .map(|(at, (_, inner))| {
                    cast(
                        &format!("arrayMap(item -> tupleElement(item, {}), {value})", at + 1),
                        &format!("Array({inner})"),
                    )
                })
                .collect()
        }
        _ if data_type.is_nullable() => vec![value.to_owned()],
        _ => vec![format!("assumeNotNull({value})")],
    }
}
