//! The types of single values: `String(x)`, `Int32(x, 0)`, `Date(x)`, … They check the text of a value and print one literal.

use std::net::{Ipv4Addr, Ipv6Addr};

use minijinja::Value;

use super::Arguments;
use super::numbers::{fits, float, integer};
use crate::template::error::{ErrorKind, Outcome, TemplateError};
use crate::template::render::Render;
use crate::template::value::{
    NO_VALUE, Thing, View, elements, float_text, int, none, repr, thing, to_text, view,
};

/// A type of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Scalar {
    String,
    Boolean,
    Date,
    DateTime,
    DateTime64,
    Float(u16),
    Int {
        bits: u16,
        signed: bool,
    },
    /// An `Int32` that prints as a bare number.
    Plain(&'static str),
    Decimal(u16),
    Uuid,
    Ipv4,
    Ipv6,
    Enum(&'static str),
}

const fn signed(bits: u16) -> Scalar {
    Scalar::Int { bits, signed: true }
}

const fn unsigned(bits: u16) -> Scalar {
    Scalar::Int {
        bits,
        signed: false,
    }
}

/// Name, type, and the cast that it prints.
const SCALARS: &[(&str, Scalar, &str)] = &[
    ("String", Scalar::String, ""),
    ("Boolean", Scalar::Boolean, ""),
    ("Date", Scalar::Date, ""),
    ("DateTime", Scalar::DateTime, ""),
    ("DateTime64", Scalar::DateTime64, ""),
    ("Float32", Scalar::Float(32), "toFloat32"),
    ("Float64", Scalar::Float(64), "toFloat64"),
    ("Int", Scalar::Plain("Int"), ""),
    ("Integer", Scalar::Plain("Integer"), ""),
    ("Int8", signed(8), "toInt8"),
    ("Int16", signed(16), "toInt16"),
    ("Int32", signed(32), "toInt32"),
    ("Int64", signed(64), "toInt64"),
    ("Int128", signed(128), "toInt128"),
    ("Int256", signed(256), "toInt256"),
    ("UInt8", unsigned(8), "toUInt8"),
    ("UInt16", unsigned(16), "toUInt16"),
    ("UInt32", unsigned(32), "toUInt32"),
    ("UInt64", unsigned(64), "toUInt64"),
    ("UInt128", unsigned(128), "toUInt128"),
    ("UInt256", unsigned(256), "toUInt256"),
    ("Decimal32", Scalar::Decimal(32), "toDecimal32"),
    ("Decimal64", Scalar::Decimal(64), "toDecimal64"),
    ("Decimal128", Scalar::Decimal(128), "toDecimal128"),
    ("Decimal256", Scalar::Decimal(256), "toDecimal256"),
    ("UUID", Scalar::Uuid, "toUUID"),
    ("IPv4", Scalar::Ipv4, "toIPv4"),
    ("IPv6", Scalar::Ipv6, "toIPv6"),
    ("Enum", Scalar::Enum("Enum"), ""),
    ("Enum8", Scalar::Enum("Enum8"), ""),
    ("Enum16", Scalar::Enum("Enum16"), ""),
];

const ARGUMENTS: &[&str] = &[
    "x",
    "default",
    "defined",
    "required",
    "description",
    "enum",
    "example",
    "format",
];

impl Scalar {
    pub(super) fn all() -> impl Iterator<Item = (&'static str, Self)> {
        SCALARS.iter().map(|(name, scalar, _)| (*name, *scalar))
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        SCALARS.iter().map(|(name, ..)| *name)
    }

    fn row(self) -> (&'static str, &'static str) {
        SCALARS
            .iter()
            .find(|(_, scalar, _)| *scalar == self)
            .map_or(("", ""), |(name, _, cast)| (name, cast))
    }

    /// The name of the type.
    pub(in crate::template) fn name(self) -> &'static str {
        self.row().0
    }

    /// `Int32(x, default, …)`.
    pub(super) fn call(self, render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
        if self == Self::Boolean {
            arguments.only(&["x", "default"])?;
            return Ok(boolean_argument(
                arguments.required(0, "x")?,
                arguments.get(1, "default"),
            ));
        }
        if let Self::Decimal(_) = self {
            let mut names = ARGUMENTS.to_vec();
            names.push("scale");
            arguments.only(&names)?;
        } else {
            arguments.only(ARGUMENTS)?;
        }
        let value = arguments.required(0, "x")?;
        let about = |error: TemplateError| error.about(arguments.subject);
        let default = arguments
            .get(1, "default")
            .filter(|value| !matches!(view(value), View::None));
        let chosen = match view(value) {
            View::None => match default {
                Some(default) => default,
                None => return self.missing(arguments).map_err(about),
            },
            View::Thing(Thing::Placeholder) => match default {
                Some(default) if default.is_true() => default,
                _ => return Ok(self.placeholder()),
            },
            _ => {
                self.check_enum(value, arguments).map_err(about)?;
                value
            }
        };
        if matches!(view(chosen), View::Thing(Thing::Placeholder)) {
            return Ok(self.placeholder());
        }
        render.charge(16)?;
        self.convert(chosen, arguments).map_err(about)
    }

    fn missing(self, arguments: &Arguments<'_>) -> Outcome<Value> {
        match arguments.get(2, "defined") {
            Some(defined) if !defined.is_true() => Ok(none()),
            _ => Err(TemplateError::new(
                ErrorKind::MissingRequired,
                format!("a value of type {} is required", self.name()),
            )),
        }
    }

    fn check_enum(self, value: &Value, arguments: &Arguments<'_>) -> Outcome<()> {
        let Some(allowed) = arguments.get(5, "enum") else {
            return match self {
                Self::Enum(name) => Err(TemplateError::new(
                    ErrorKind::MissingArgument,
                    format!("{name}() needs `enum=[…]`"),
                )),
                _ => Ok(()),
            };
        };
        let allowed = elements(allowed).unwrap_or_default();
        let text = to_text(value);
        if allowed.is_empty() || allowed.iter().any(|one| to_text(one) == text) {
            return Ok(());
        }
        let names: Vec<String> = allowed.iter().map(repr).collect();
        Err(TemplateError::new(
            ErrorKind::NotInEnum,
            format!("{} is not one of {}", shown(value), names.join(", ")),
        ))
    }

    /// The value that stands in for one that is not known yet.
    fn placeholder(self) -> Value {
        match self {
            Self::String | Self::Enum(_) => Value::from(NO_VALUE),
            Self::Boolean | Self::Plain(_) => Value::from(0),
            Self::Date => "2019-01-01".into(),
            Self::DateTime => "2019-01-01 00:00:00".into(),
            Self::DateTime64 => "2019-01-01 00:00:00.000".into(),
            Self::Float(_) => self.typed("0.0".into(), Value::from(0.0)),
            Self::Int { .. } => self.typed("0".into(), Value::from(0)),
            Self::Decimal(bits) => self
                .decimal(&Value::from("0"), bits, None)
                .unwrap_or_else(|_| Value::from(0)),
            Self::Uuid => self.typed("00000000-0000-0000-0000-000000000000".into(), none()),
            Self::Ipv4 => self.typed("0.0.0.0".into(), none()),
            Self::Ipv6 => self.typed("::".into(), none()),
        }
    }

    fn typed(self, text: String, number: Value) -> Value {
        let cast = self.row().1;
        let number = if matches!(view(&number), View::None) {
            Value::from(text.as_str())
        } else {
            number
        };
        thing(Thing::Typed { cast, text, number })
    }

    fn convert(self, value: &Value, arguments: &Arguments<'_>) -> Outcome<Value> {
        let wrong = || self.wrong(value);
        if let Self::Decimal(bits) = self {
            let scale = arguments.keyword("scale");
            return self.decimal(value, bits, scale);
        }
        self.read(value).ok_or_else(wrong)
    }

    /// The error for a value that is not of the type.
    pub(super) fn wrong(self, value: &Value) -> TemplateError {
        let article = if self.name().starts_with(['I', 'U', 'E', 'A']) {
            "an"
        } else {
            "a"
        };
        TemplateError::new(
            ErrorKind::WrongType,
            format!("{} is not {article} {}", shown(value), self.name()),
        )
    }

    /// Reads a value that is there. `None` if it is not of the type.
    pub(super) fn read(self, value: &Value) -> Option<Value> {
        let text = to_text(value);
        Some(match self {
            Self::String | Self::Enum(_) => match value.as_str() {
                Some(_) => value.clone(),
                None => Value::from(text),
            },
            Self::Boolean => Value::from(i64::from(truth(value))),
            Self::Date => is_date(&text).then(|| Value::from(text))?,
            Self::DateTime => starts_with_time(&text, false).then(|| Value::from(text))?,
            Self::DateTime64 => starts_with_time(&text, true).then(|| Value::from(text))?,
            Self::Float(_) => {
                let number = float(&text)?;
                self.typed(float_text(number), Value::from(number))
            }
            Self::Int { bits, signed } => {
                let digits = integer(&text, signed || bits > 64)?;
                if !fits(&digits, bits, signed) {
                    return None;
                }
                let number = number_of(&digits);
                self.typed(digits, number)
            }
            Self::Plain(_) => {
                let digits = integer(&text, true)?;
                fits(&digits, 32, true).then(|| number_of(&digits))?
            }
            Self::Decimal(_) => return None,
            Self::Uuid => self.typed(uuid(&text)?, none()),
            Self::Ipv4 => self.typed(text.parse::<Ipv4Addr>().ok()?.to_string(), none()),
            Self::Ipv6 => self.typed(text.parse::<Ipv6Addr>().ok()?.to_string(), none()),
        })
    }

    /// `CAST('1.50', 'Decimal(18, 2)')`; the scale is that of the text unless it is given. The engine takes no quoted scale in `toDecimal64`.
    fn decimal(self, value: &Value, bits: u16, scale: Option<&Value>) -> Outcome<Value> {
        let text = to_text(value);
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return Err(self.wrong(value));
        }
        let precision: usize = match bits {
            32 => 9,
            64 => 18,
            128 => 38,
            _ => 76,
        };
        let scale = match scale.map(view) {
            Some(View::Int(scale)) => usize::try_from(scale)
                .ok()
                .filter(|scale| *scale <= precision),
            _ => Some(fraction.len()).filter(|scale| *scale <= precision),
        };
        let whole_digits = whole.trim_start_matches('0').len();
        match scale {
            Some(scale) if whole_digits + scale <= precision && fraction.len() <= precision => {
                let text = text.trim_start_matches('+');
                Ok(thing(Thing::Typed {
                    cast: "CAST",
                    text: format!("{text}', 'Decimal({precision}, {scale})"),
                    number: Value::from(float(text).unwrap_or_default()),
                }))
            }
            _ => Err(self.wrong(value)),
        }
    }
}

/// The value in a message: quoted, cut after 40 characters.
fn shown(value: &Value) -> String {
    let text = to_text(value);
    let mut cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("'{}'", cut.escape_debug())
}

fn number_of(digits: &str) -> Value {
    digits
        .parse()
        .map_or_else(|_| thing(Thing::Big(digits.to_owned())), int)
}

/// `Boolean(value, default)`.
fn boolean_argument(value: &Value, default: Option<&Value>) -> Value {
    let value = match view(value) {
        View::None | View::Thing(Thing::Placeholder) => match default {
            Some(default) => default,
            None => return Value::from(0),
        },
        _ => value,
    };
    Value::from(i64::from(truth(value)))
}

/// `'0'`, `'false'` in any case and the empty string are false; every other string is true.
pub(super) fn truth(value: &Value) -> bool {
    match view(value) {
        View::Str(text) => !(text.is_empty() || text == "0" || text.eq_ignore_ascii_case("false")),
        View::Thing(Thing::Placeholder) => false,
        _ => value.is_true(),
    }
}

/// `dddd-dd-dd`, no calendar.
fn is_date(text: &str) -> bool {
    let text = text.strip_suffix('\n').unwrap_or(text);
    matches(text, "dddd-dd-dd").is_some_and(str::is_empty)
}

/// A date and time at the start; any character may stand between the numbers of the date, and anything may follow.
fn starts_with_time(text: &str, with_fraction: bool) -> bool {
    let year_first = ["dddd?dd?dd dd:dd:dd", "dddd?dd?ddTdd:dd:dd"]
        .iter()
        .find_map(|pattern| matches(text, pattern));
    let day_first = || {
        let rest = matches(text, "dd?dd?dddd?")?;
        let rest = one_or_two_digits(rest)?.strip_prefix(':')?;
        let rest = one_or_two_digits(rest)?.strip_prefix(':')?;
        one_or_two_digits(rest)
    };
    match year_first.or_else(day_first) {
        Some(rest) if with_fraction => matches(rest, "?ddd").is_some(),
        Some(_) => true,
        None => false,
    }
}

fn one_or_two_digits(text: &str) -> Option<&str> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| &text[count..])
}

/// Takes a pattern off the start: `d` is a digit, `?` any character but a line break, others stand for themselves.
fn matches<'a>(text: &'a str, pattern: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in pattern.chars() {
        let character = rest.next()?;
        let fits = match wanted {
            'd' => super::ascii_digits(character.encode_utf8(&mut [0; 4]))
                .bytes()
                .all(|byte| byte.is_ascii_digit()),
            '?' => character != '\n',
            wanted => character == wanted,
        };
        if !fits {
            return None;
        }
    }
    Some(rest.as_str())
}

fn uuid(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    (lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit())))
    .then(|| text.to_ascii_lowercase())
}
