//! JSON text → its tokens, as far as they are plain. What is not plain is not read: the answer is then that nobody knows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A place in a line, which is UTF-8.
pub(in crate::ingest) struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::ingest) enum Number {
    /// Without sign, fraction and exponent.
    Natural(u64),
    /// With a sign, and neither fraction nor exponent.
    Negative(i64),
    /// With a fraction or an exponent.
    Real(f64),
}

impl<'a> Scanner<'a> {
    pub(in crate::ingest) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    /// The next byte that is no blank, which is not taken.
    pub(in crate::ingest) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.line.get(self.at)? {
                b' ' | b'\t' | b'\r' => self.at += 1,
                other => return Some(*other),
            }
        }
    }

    /// Takes a byte that has to be there.
    pub(in crate::ingest) fn take(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    /// Takes a byte if it is there.
    pub(in crate::ingest) fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Takes a text that begins here if it is there.
    pub(in crate::ingest) fn takes_text(&mut self, text: &[u8]) -> bool {
        let is_there = self.line[self.at..].starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    /// Whether nothing but blanks follows.
    pub(in crate::ingest) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes a string.
    pub(in crate::ingest) fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        self.take(b'"')?;
        let start = self.at;
        let line = self.line;
        let mut is_plain = true;
        loop {
            self.at += plain(line.get(self.at..)?);
            match *line.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    // Whatever it is, it does not end the string.
                    self.at += 2;
                }
                _ => return None,
            }
        }
        let end = self.at;
        self.at += 1;
        if is_plain {
            return Some(Cow::Borrowed(&line[start..end]));
        }
        let text: String = serde_json::from_slice(&line[start - 1..=end]).ok()?;
        Some(Cow::Owned(text.into_bytes()))
    }

    /// How many bytes of the line have been taken.
    pub(in crate::ingest) fn place(&self) -> usize {
        self.at
    }

    /// What has been taken from a place on.
    pub(in crate::ingest) fn since(&self, place: usize) -> &'a [u8] {
        &self.line[place..self.at]
    }

    /// Takes a number of any length; says whether it has neither fraction nor exponent.
    pub(in crate::ingest) fn any_number(&mut self) -> Option<bool> {
        self.takes(b'-');
        let start = self.at;
        self.digits()?;
        if self.line[start] == b'0' && self.at > start + 1 {
            return None;
        }
        self.fraction()
    }

    /// Takes the fraction and the exponent of a number; says whether there are none.
    fn fraction(&mut self) -> Option<bool> {
        let start = self.at;
        if self.line.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.line.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.line.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(self.at == start)
    }

    /// Takes a number.
    pub(in crate::ingest) fn number(&mut self) -> Option<Number> {
        let line = self.line;
        let is_negative = self.takes(b'-');
        let start = self.at;
        let mut whole: Option<u64> = Some(0);
        while let Some(digit) = line.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            let digit = u64::from(digit - b'0');
            whole = whole.and_then(|whole| whole.checked_mul(10)?.checked_add(digit));
            self.at += 1;
        }
        let digits = &line[start..self.at];
        if digits.is_empty() || digits.len() > 1 && digits[0] == b'0' {
            return None;
        }
        if self.fraction()? {
            return if is_negative {
                // A zero with a sign is one thing as a whole number and another as a real one.
                let number = 0i64.checked_sub_unsigned(whole?)?;
                (number != 0).then_some(Number::Negative(number))
            } else {
                Some(Number::Natural(whole?))
            };
        }
        let text = std::str::from_utf8(&line[start..self.at]).ok()?;
        let number: f64 = text.parse().ok()?;
        // Where numbers end, readers differ.
        if !(1e-300..1e300).contains(&number) && (number != 0.0 || text.contains(['e', 'E'])) {
            return None;
        }
        Some(Number::Real(if is_negative { -number } else { number }))
    }

    fn digits(&mut self) -> Option<()> {
        let rest = &self.line[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    /// Takes a value that nobody wants, if every reader reads it.
    pub(in crate::ingest) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.takes_text(b"true").then_some(()),
            b'f' => self.takes_text(b"false").then_some(()),
            b'n' => self.takes_text(b"null").then_some(()),
            _ => {
                let rest = serde_json::Deserializer::from_slice(&self.line[self.at..]);
                let mut values = rest.into_iter::<Plain>();
                values.next()?.ok()?;
                self.at += values.byte_offset();
                Some(())
            }
        }
    }
}

/// How many bytes there are before one that has a meaning in a string: its end, an escape, a control character.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        // The high bit of a byte that is zero after this; of higher bytes too, but the lowest one is right.
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c)) | control;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter();
    at + rest
        .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
        .count()
}

/// A value that every reader reads.
struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plain value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self, E> {
        // Whole numbers that are too long come as reals as well.
        if number.abs() < 1e18 {
            Ok(self)
        } else {
            Err(E::custom("a large number"))
        }
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<Number> {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.number().filter(|_| scanner.is_at_end())
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        use Number::{Natural, Negative, Real};
        for (text, expected) in [
            ("0", Some(Natural(0))),
            ("18446744073709551615", Some(Natural(u64::MAX))),
            ("18446744073709551616", None),
            ("-9223372036854775808", Some(Negative(i64::MIN))),
            ("-9223372036854775809", None),
            ("-0", None),
            ("-0.0", Some(Real(-0.0))),
            ("1.0", Some(Real(1.0))),
            ("-1.5e+3", Some(Real(-1500.0))),
            ("0.30000000000000004", Some(Real(0.300_000_000_000_000_04))),
            ("1E2", Some(Real(100.0))),
            ("1e400", None),
            ("1e-400", None),
            ("0e5", None),
            ("01", None),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("1e", None),
            ("-", None),
            ("", None),
            ("1x", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn strings_are_read_without_their_escapes() {
        let string = |text: &str| {
            let mut scanner = Scanner::new(text.as_bytes());
            let found = scanner.string()?;
            let text = String::from_utf8(found.into_owned()).unwrap();
            scanner.is_at_end().then_some(text)
        };
        for (text, expected) in [
            (r#""""#, Some("")),
            (
                r#""plain text of some length""#,
                Some("plain text of some length"),
            ),
            (r#""é中 and more, longer""#, Some("é中 and more, longer")),
            (r#""seven77\"\\""#, Some("seven77\"\\")),
            (r#""\u0041\ud83d\ude00\n""#, Some("A😀\n")),
            (r#""\ud800""#, None),
            (r#""\x""#, None),
            ("\"tab\tin it, and so on\"", None),
            ("\"12345678\u{1f}\"", None),
            ("\"12345678\u{7f}\"", Some("12345678\u{7f}")),
            (r#""open"#, None),
            (r#""open\"#, None),
            (r#""open\""#, None),
        ] {
            assert_eq!(string(text).as_deref(), expected, "{text}");
        }
    }

    proptest::proptest! {
        /// The end of what is plain is where a look at each byte finds it.
        #[test]
        fn the_first_byte_with_a_meaning_is_found(bytes in proptest::collection::vec(0x1eu8..0xff, 0..40)) {
            let expected = bytes
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .unwrap_or(bytes.len());
            assert_eq!(plain(&bytes), expected);
        }

        /// What is skipped is what JSON is, and nothing beyond it.
        #[test]
        fn a_value_is_skipped_up_to_its_end(text in r#"(\[|\{"a":)?("[a-z]{0,9}"|[0-9]{1,3}(\.[0-9])?|true|null|[a-z])(\]|\})?"#) {
            let mut scanner = Scanner::new(text.as_bytes());
            let skipped = scanner.skip().is_some() && scanner.is_at_end();
            let plain = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(skipped, plain, "{text}");
        }
    }
}
