//! One row of JSON → a value for each column, as long as everything in it is plain.

use std::borrow::Cow;

use super::columns::Columns;
use super::kind::Kind;
use super::moment;
use super::scan::{Number, Scanner};
use super::{Field, Object};

/// A row while it is read.
pub(super) struct Reading<'a, 'b> {
    pub(super) scanner: Scanner<'a>,
    pub(super) columns: &'b mut Columns,
    /// The columns that had a value, and the objects that were there: a key that comes twice is one value to some readers and another to others.
    pub(super) seen: u128,
    pub(super) objects: u128,
}

/// A key: the place of its field, if it has one.
enum Key {
    Known(usize),
    Unknown,
}

impl<'a> Reading<'a, '_> {
    pub(super) fn object(&mut self, object: &Object) -> Option<()> {
        self.scanner.take(b'{')?;
        if self.scanner.takes(b'}') {
            return Some(());
        }
        // Rows have their keys mostly in one order: the key behind the last one is looked at first.
        let mut next = 0;
        loop {
            let key = self.key(object, next)?;
            self.scanner.take(b':')?;
            match key {
                Key::Unknown => self.scanner.skip()?,
                Key::Known(at) => {
                    next = at + 1;
                    self.field(&object.fields[at].field)?;
                }
            }
            if !self.scanner.takes(b',') {
                return self.scanner.take(b'}');
            }
        }
    }

    /// Takes a key.
    fn key(&mut self, object: &Object, next: usize) -> Option<Key> {
        self.scanner.peek()?;
        if let Some(named) = object.fields.get(next)
            && self.scanner.takes_text(&named.quoted)
        {
            return Some(Key::Known(next));
        }
        let key = self.scanner.string()?;
        Some(object.position(&key).map_or(Key::Unknown, Key::Known))
    }

    fn field(&mut self, field: &Field) -> Option<()> {
        match field {
            Field::Object { number, object } => {
                let bit = 1 << number;
                (self.objects & bit == 0).then_some(())?;
                self.objects |= bit;
                self.object(object)
            }
            Field::Value { at, kind, null } => {
                let bit = 1 << at;
                (self.seen & bit == 0).then_some(())?;
                self.seen |= bit;
                if *null && self.scanner.peek()? == b'n' {
                    self.columns.nothing(*at);
                    return self.scanner.takes_text(b"null").then_some(());
                }
                match kind {
                    Kind::Items(item) => self.items(*at, item),
                    kind => self.value(*at, kind),
                }
            }
        }
    }

    /// The items of an array.
    pub(super) fn items(&mut self, at: usize, kind: &Kind) -> Option<()> {
        self.scanner.take(b'[')?;
        if !self.scanner.takes(b']') {
            loop {
                self.value(at, kind)?;
                if !self.scanner.takes(b',') {
                    break self.scanner.take(b']')?;
                }
            }
        }
        self.columns.end_items(at);
        Some(())
    }

    fn value(&mut self, at: usize, kind: &Kind) -> Option<()> {
        match kind {
            Kind::Integer { .. } | Kind::Float => {
                let number = self.plain_number()?;
                self.columns.number(at, kind, number)?;
            }
            Kind::Truth => {
                let is_true = self.scanner.peek()? == b't';
                let text: &[u8] = if is_true { b"true" } else { b"false" };
                self.scanner.takes_text(text).then_some(())?;
                self.columns.value(at, &[is_true.into()]);
            }
            Kind::Text => {
                let text = self.text()?;
                self.columns.text(at, &text);
            }
            Kind::Day | Kind::Second { .. } => {
                let text: Cow<'_, [u8]> = self.scanner.string()?;
                self.columns.moment(at, kind, &text)?;
            }
            Kind::Items(_) => return None,
        }
        Some(())
    }

    /// A text, or what is one when a text is wanted.
    fn text(&mut self) -> Option<Cow<'a, [u8]>> {
        let first = self.scanner.peek()?;
        if first == b'"' {
            return self.scanner.string();
        }
        let start = self.scanner.place();
        match first {
            b't' => self.scanner.takes_text(b"true").then_some(())?,
            b'f' => self.scanner.takes_text(b"false").then_some(())?,
            _ => {
                let number = self.scanner.number()?;
                // The engine writes others in its own way.
                if matches!(number, Number::Real(_)) {
                    return None;
                }
            }
        }
        Some(Cow::Borrowed(self.scanner.since(start)))
    }

    fn plain_number(&mut self) -> Option<Number> {
        self.scanner.peek()?;
        self.scanner.number()
    }
}

impl Columns {
    /// Adds a number, if the column takes it as it is.
    #[expect(
        clippy::cast_precision_loss,
        reason = "whole numbers are taken for real ones only where they are exact"
    )]
    pub(super) fn number(&mut self, at: usize, kind: &Kind, number: Number) -> Option<()> {
        match kind {
            Kind::Integer { least, most, width } => {
                let bytes = match number {
                    Number::Natural(number) if number <= *most => number.to_le_bytes(),
                    Number::Negative(number) if number >= *least => number.to_le_bytes(),
                    _ => return None,
                };
                self.value(at, &bytes[..*width]);
            }
            Kind::Float => {
                let number = match number {
                    Number::Real(number) => number,
                    // Larger ones are not kept to the digit.
                    Number::Natural(number) if number < 1 << 53 => number as f64,
                    Number::Negative(number) if number > -(1 << 53) => number as f64,
                    _ => return None,
                };
                self.value(at, &number.to_le_bytes());
            }
            _ => return None,
        }
        Some(())
    }

    /// Adds a day or a second, if it is written as they are nearly always.
    pub(super) fn moment(&mut self, at: usize, kind: &Kind, text: &[u8]) -> Option<()> {
        match kind {
            Kind::Day => self.value(at, &moment::day(text)?.to_le_bytes()),
            Kind::Second { is_utc } => {
                let second = moment::second(text)?;
                if *is_utc {
                    self.value(at, &second.to_le_bytes());
                } else {
                    self.text(at, text);
                }
            }
            _ => return None,
        }
        Some(())
    }
}
