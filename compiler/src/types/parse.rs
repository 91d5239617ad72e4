//! Text → [`DataType`]: reads the forms people write and settles on the engine's own.

use std::ops::Range;

use super::{Argument, DataType, TypeError, family};
use crate::sql::lexer::{self, Kind, Token};
use crate::sql::{quote_identifier, unquote};

/// Types nested deeper than this are refused.
const DEPTH_LIMIT: usize = 64;

/// Parses a type.
///
/// ```
/// # use pipewright_compiler::types::parse;
/// let states = parse("AggregateFunction( quantiles(0.5,0.9) ,Nullable( varchar(20) ) )").unwrap();
/// assert_eq!(states.to_string(), "AggregateFunction(quantiles(0.5, 0.9), Nullable(String))");
/// assert!(states.is_aggregate_state());
/// ```
pub fn parse(text: &str) -> Result<DataType, TypeError> {
    let tokens = lexer::tokenize(text).map_err(|error| TypeError {
        message: error.message,
        span: error.span,
        help: None,
    })?;
    let mut parser = Parser {
        text,
        tokens: &tokens.list,
        at: 0,
        depth: 0,
    };
    let parsed = parser.data_type()?;
    match parser.peek() {
        None => Ok(parsed),
        Some(token) => Err(error(
            format!("`{}` is not part of the type", token.text(text)),
            token.range(),
        )),
    }
}

fn error(message: String, span: Range<usize>) -> TypeError {
    TypeError {
        message,
        span,
        help: None,
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn kind(&self, ahead: usize) -> Option<Kind> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    fn is_name(&self, ahead: usize) -> bool {
        matches!(self.kind(ahead), Some(Kind::Word | Kind::QuotedName))
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| {
            token.kind == Kind::Word && token.text(self.text).eq_ignore_ascii_case(word)
        })
    }

    fn expected(&self, what: &str) -> TypeError {
        match self.peek() {
            Some(token) => error(
                format!("expected {what}, found `{}`", token.text(self.text)),
                token.range(),
            ),
            None => error(
                format!("expected {what} at the end of the type"),
                self.text.len()..self.text.len(),
            ),
        }
    }

    fn take(&mut self, kind: Kind, what: &str) -> Result<Token, TypeError> {
        match self.peek() {
            Some(token) if token.kind == kind => {
                self.at += 1;
                Ok(token)
            }
            _ => Err(self.expected(what)),
        }
    }

    fn name(&mut self, what: &str) -> Result<String, TypeError> {
        if !self.is_name(0) {
            return Err(self.expected(what));
        }
        let name = self.peek().map(|token| unquote(token.text(self.text)));
        self.at += 1;
        Ok(name.unwrap_or_default())
    }

    fn data_type(&mut self) -> Result<DataType, TypeError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            let span = self.peek().map_or(0..0, Token::range);
            return Err(error("the type is nested too deeply".to_owned(), span));
        }
        let parsed = self.one_type();
        self.depth -= 1;
        parsed
    }

    fn one_type(&mut self) -> Result<DataType, TypeError> {
        let first = self.take(Kind::Word, "a type")?;
        let mut words = first.text(self.text).to_owned();
        while self.kind(0) == Some(Kind::Word) && family::continues(&words) {
            words.push(' ');
            words.push_str(self.tokens[self.at].text(self.text));
            self.at += 1;
        }
        let name_end = self.tokens[self.at - 1].end as usize;
        let mut arguments = Vec::new();
        let numbered = decimal_of_bits(&words);
        let known = match &words {
            _ if numbered.is_some() => Some(("Decimal", false)),
            words if words.eq_ignore_ascii_case("DateTime32") => Some(("DateTime", false)),
            words if words.eq_ignore_ascii_case("Enum") => Some(("Enum8", false)),
            words => family::find(words),
        };
        let Some((name, is_alias)) = known else {
            return Err(TypeError {
                message: format!("unknown type `{words}`"),
                span: first.start as usize..name_end,
                help: family::nearest(&words).map(|near| format!("did you mean `{near}`?")),
            });
        };
        if self.kind(0) == Some(Kind::OpenRound) {
            self.at += 1;
            while self.kind(0) != Some(Kind::CloseRound) {
                let argument = self.argument(name, &arguments)?;
                arguments.push(argument);
                if self.kind(0) == Some(Kind::Comma) {
                    self.at += 1;
                } else if self.kind(0) != Some(Kind::CloseRound) {
                    return Err(self.expected("`,` or `)`"));
                }
            }
            self.at += 1;
            // `INT(11)`, `VARCHAR(20) BINARY`: lengths that mean nothing.
            while self.is_word("signed") || self.is_word("unsigned") {
                words.push(' ');
                words.push_str(self.tokens[self.at].text(self.text));
                self.at += 1;
            }
        }
        let name = family::find(&words).map_or(name, |(name, _)| name);
        let name = if numbered.is_some() { "Decimal" } else { name };
        let name = if words.eq_ignore_ascii_case("enum") {
            "Enum8"
        } else {
            name
        };
        let span = first.start as usize..name_end;
        let length_matters = matches!(name, "FixedString" | "Decimal" | "DateTime" | "Enum8");
        if is_alias && !length_matters {
            arguments.clear();
        }
        settle(name, arguments, numbered, &span)
    }

    fn argument(&mut self, name: &str, before: &[Argument]) -> Result<Argument, TypeError> {
        match name {
            "AggregateFunction" | "SimpleAggregateFunction" => self.aggregate_argument(before),
            "Enum8" | "Enum16" => self.enum_value(before),
            "Tuple" | "Nested" => self.element(name == "Nested"),
            "JSON" | "Dynamic" => self.json_argument(),
            _ => match self.kind(0) {
                Some(Kind::Number) => {
                    let token = self.take(Kind::Number, "a number")?;
                    Ok(Argument::Number(token.text(self.text).to_owned()))
                }
                Some(Kind::Text) => {
                    let token = self.take(Kind::Text, "a string")?;
                    Ok(Argument::Text(unquote(token.text(self.text))))
                }
                _ => Ok(Argument::Type(self.data_type()?)),
            },
        }
    }

    /// An element of a tuple: with a name if two words stand where a type needs one, as the engine reads it.
    fn element(&mut self, named: bool) -> Result<Argument, TypeError> {
        let has_name = named
            || self.kind(0) == Some(Kind::QuotedName)
            || (self.is_name(0) && self.kind(1) == Some(Kind::Word));
        if !has_name {
            return Ok(Argument::Type(self.data_type()?));
        }
        let name = self.path()?;
        Ok(Argument::Named(name, self.data_type()?))
    }

    /// Names with dots between them.
    fn path(&mut self) -> Result<String, TypeError> {
        let mut name = self.name("a name")?;
        while self.kind(0) == Some(Kind::Dot) {
            self.at += 1;
            name.push('.');
            name.push_str(&self.name("a name")?);
        }
        Ok(name)
    }

    fn aggregate_argument(&mut self, before: &[Argument]) -> Result<Argument, TypeError> {
        if before.is_empty()
            && self.kind(0) == Some(Kind::Number)
            && self.kind(1) == Some(Kind::Comma)
        {
            // The version of a state's format.
            let token = self.take(Kind::Number, "a number")?;
            return Ok(Argument::Number(token.text(self.text).to_owned()));
        }
        // The function comes first, or after a version.
        if matches!(before, [] | [Argument::Number(_)]) {
            return self.aggregate_function();
        }
        Ok(Argument::Type(self.data_type()?))
    }

    fn aggregate_function(&mut self) -> Result<Argument, TypeError> {
        let name = self.name("an aggregate function")?;
        let mut parameters = Vec::new();
        if self.kind(0) == Some(Kind::OpenRound) {
            self.at += 1;
            while self.kind(0) != Some(Kind::CloseRound) {
                parameters.push(self.parameter()?);
                if self.kind(0) == Some(Kind::Comma) {
                    self.at += 1;
                }
            }
            self.at += 1;
        }
        Ok(Argument::Function(name, parameters))
    }

    /// A parameter of an aggregate function, as text: everything to the next comma outside of brackets.
    fn parameter(&mut self) -> Result<String, TypeError> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token.kind {
                Kind::OpenRound | Kind::OpenSquare => depth += 1,
                Kind::CloseRound | Kind::CloseSquare if depth > 0 => depth -= 1,
                Kind::CloseRound | Kind::CloseSquare | Kind::Comma if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.at == start || self.peek().is_none() {
            return Err(self.expected("a parameter"));
        }
        let span = self.tokens[start].start as usize..self.tokens[self.at - 1].end as usize;
        Ok(self.text[span].to_owned())
    }

    /// A name with its value: without one, it is the value before and one more.
    fn enum_value(&mut self, before: &[Argument]) -> Result<Argument, TypeError> {
        let token = self.take(Kind::Text, "a string")?;
        let name = unquote(token.text(self.text));
        if self.kind(0) != Some(Kind::Equals) {
            let value = match before.last() {
                Some(Argument::EnumValue(_, value)) => value.checked_add(1),
                _ => Some(1),
            };
            let value = value
                .ok_or_else(|| error("the enum has too many values".to_owned(), token.range()))?;
            return Ok(Argument::EnumValue(name, value));
        }
        self.at += 1;
        let negative = self.peek().is_some_and(|sign| sign.text(self.text) == "-");
        self.at += usize::from(negative);
        let number = self.take(Kind::Number, "a number")?;
        let digits = number.text(self.text);
        let value = if negative {
            format!("-{digits}").parse()
        } else {
            digits.parse()
        };
        let value = value.map_err(|_| {
            error(
                format!("`{digits}` is not a number between -32768 and 32767"),
                number.range(),
            )
        })?;
        Ok(Argument::EnumValue(name, value))
    }

    fn json_argument(&mut self) -> Result<Argument, TypeError> {
        if self.is_name(0) && self.kind(1) == Some(Kind::Equals) {
            let name = self.name("a name")?;
            self.at += 1;
            let value = self.parameter()?;
            return Ok(Argument::Setting(name, value));
        }
        if self.is_word("skip") && self.kind(1) != Some(Kind::Dot) {
            self.at += 1;
            if self.is_word("regexp") {
                return Ok(Argument::Skip(self.parameter()?));
            }
            return Ok(Argument::Skip(quote_identifier(&self.path()?)));
        }
        self.element(true)
    }
}

/// `Decimal64` and its kin: the precision that the bits stand for.
fn decimal_of_bits(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix("decimal")? {
        "32" => Some("9"),
        "64" => Some("18"),
        "128" => Some("38"),
        "256" => Some("76"),
        _ => None,
    }
}

/// Puts in what the engine puts in when it is left out, and checks how many arguments there are.
fn settle(
    name: &str,
    mut arguments: Vec<Argument>,
    numbered: Option<&'static str>,
    span: &Range<usize>,
) -> Result<DataType, TypeError> {
    let number = |number: &str| Argument::Number(number.to_owned());
    let mut name = name;
    match name {
        "Decimal" => {
            if let Some(precision) = numbered {
                arguments.insert(0, number(precision));
            }
            if arguments.is_empty() {
                arguments.push(number("10"));
            }
            if arguments.len() == 1 {
                arguments.push(number("0"));
            }
        }
        "DateTime64" | "Time64" if arguments.is_empty() => arguments.push(number("3")),
        "Enum8" => {
            let wide = arguments.iter().any(|argument| {
                matches!(argument, Argument::EnumValue(_, value) if i8::try_from(*value).is_err())
            });
            if wide {
                name = "Enum16";
            }
        }
        "Variant" => arguments.sort_by_key(ToString::to_string),
        _ => {}
    }
    let wanted = match name {
        "Nullable" | "LowCardinality" | "Array" | "FixedString" => Some(1),
        "Map" | "Decimal" | "QBit" => Some(2),
        _ => None,
    };
    if let Some(wanted) = wanted
        && arguments.len() != wanted
    {
        let plural = if wanted == 1 { "" } else { "s" };
        return Err(error(
            format!(
                "`{name}` takes {wanted} argument{plural}, not {}",
                arguments.len()
            ),
            span.clone(),
        ));
    }
    let needs_types = matches!(name, "Nullable" | "LowCardinality" | "Array" | "Map");
    if needs_types
        && !arguments
            .iter()
            .all(|argument| matches!(argument, Argument::Type(_)))
    {
        return Err(error(format!("`{name}` takes types"), span.clone()));
    }
    Ok(DataType {
        family: name.to_owned(),
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        match parse(text) {
            Ok(parsed) => {
                let printed = parsed.to_string();
                assert_eq!(parse(&printed).as_ref(), Ok(&parsed), "{printed}");
                printed
            }
            Err(error) => format!("{} {:?} {:?}", error.message, error.span, error.help),
        }
    }

    #[test]
    fn types_are_printed_as_the_engine_prints_them() {
        for (written, printed) in [
            (
                "LowCardinality( Nullable(String))",
                "LowCardinality(Nullable(String))",
            ),
            ("decimal(18,2)", "Decimal(18, 2)"),
            ("Decimal64(2)", "Decimal(18, 2)"),
            ("Decimal", "Decimal(10, 0)"),
            ("DateTime64", "DateTime64(3)"),
            (
                "DateTime64(6, 'Europe/Madrid')",
                "DateTime64(6, 'Europe/Madrid')",
            ),
            ("DateTime32", "DateTime"),
            ("Enum('a','b'=4)", "Enum8('a' = 1, 'b' = 4)"),
            (
                "Enum8('a' = 5, 'b', 'c')",
                "Enum8('a' = 5, 'b' = 6, 'c' = 7)",
            ),
            (
                "Enum('a' = -1, 'it\\'s' = 1000)",
                "Enum16('a' = -1, 'it\\'s' = 1000)",
            ),
            (
                "Tuple(a UInt8, `b c` String)",
                "Tuple(a UInt8, `b c` String)",
            ),
            ("Tuple(UInt8,Array(String))", "Tuple(UInt8, Array(String))"),
            (
                "Map(DOUBLE PRECISION, BIGINT UNSIGNED)",
                "Map(Float64, UInt64)",
            ),
            (
                "Nested(id UInt8, tags Array(String))",
                "Nested(id UInt8, tags Array(String))",
            ),
            (
                "AggregateFunction(1, sumMap, Array(UInt8))",
                "AggregateFunction(1, sumMap, Array(UInt8))",
            ),
            (
                "AggregateFunction(topK(10, 3), String)",
                "AggregateFunction(topK(10, 3), String)",
            ),
            (
                "SimpleAggregateFunction(any, Nullable(String))",
                "SimpleAggregateFunction(any, Nullable(String))",
            ),
            (
                "JSON(max_dynamic_paths=8, a.b UInt32, SKIP c.d)",
                "JSON(max_dynamic_paths=8, `a.b` UInt32, SKIP `c.d`)",
            ),
            ("Variant(UInt8, String)", "Variant(String, UInt8)"),
            ("VARCHAR(255)", "String"),
            ("INT(11) UNSIGNED", "UInt32"),
            ("BINARY(4)", "FixedString(4)"),
            ("boolean", "Bool"),
            (
                "Map(String, Map(String, UInt8))",
                "Map(String, Map(String, UInt8))",
            ),
        ] {
            assert_eq!(canonical(written), printed, "{written}");
        }
    }

    #[test]
    fn mistakes_get_their_place_and_a_suggestion() {
        for (written, message) in [
            (
                "Strng",
                "unknown type `Strng` 0..5 Some(\"did you mean `String`?\")",
            ),
            (
                "Array(Uint64)",
                "unknown type `Uint64` 6..12 Some(\"did you mean `UInt64`?\")",
            ),
            (
                "Array(String",
                "expected `,` or `)` at the end of the type 12..12 None",
            ),
            ("Array", "`Array` takes 1 argument, not 0 0..5 None"),
            ("String)", "`)` is not part of the type 6..7 None"),
            ("", "expected a type at the end of the type 0..0 None"),
            (
                "Enum16('a' = 32767, 'b')",
                "the enum has too many values 20..23 None",
            ),
            (
                "Enum8('a' = 99999)",
                "`99999` is not a number between -32768 and 32767 12..17 None",
            ),
        ] {
            assert_eq!(canonical(written), message, "{written}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let deep = format!("{}String{}", "Array(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(
            parse(&deep).map_err(|error| error.message),
            Err("the type is nested too deeply".to_owned())
        );
    }

    #[test]
    fn types_answer_questions() {
        let state = parse("AggregateFunction(quantile(0.9), UInt64)").unwrap();
        assert_eq!(
            state.aggregate_function(),
            Some(("quantile", &["0.9".to_owned()][..]))
        );
        assert!(state.is_aggregate_state() && !state.is_nullable());
        let text = parse("LowCardinality(Nullable(String))").unwrap();
        assert!(text.is_nullable() && text.is_low_cardinality());
        assert_eq!(text.bare().family, "String");
        assert!(
            parse("SimpleAggregateFunction(sum, UInt64)")
                .unwrap()
                .is_number()
        );
        assert!(parse("Nullable(DateTime64(3))").unwrap().is_date_or_time());
    }
}
