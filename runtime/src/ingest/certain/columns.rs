//! Rows as columns, in the bytes of the engine's format `Native`.
//!
//! What has been read once, to see that it fits, does not have to be read by the engine again: it takes columns in a small part of the time that it takes to read
//! the same rows as JSON.

use std::io::{self, Write};

/// Columns that grow row by row.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Columns {
    rows: u64,
    columns: Vec<Column>,
}

/// One column.
#[derive(Debug, Default)]
struct Column {
    /// For each row whether it has no value, where that may be.
    nulls: Option<Vec<u8>>,
    /// How many items there are up to the end of each row, where a row has several.
    ends: Option<Vec<u64>>,
    items: u64,
    values: Vec<u8>,
    /// What stands where there is no value.
    nothing: &'static [u8],
}

/// What a column is to the engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The bytes of a value; one that begins with its length has none of its own.
    pub(super) width: Option<usize>,
    pub(super) may_be_null: bool,
    pub(super) has_items: bool,
}

impl Columns {
    /// No rows yet.
    pub(super) fn new(shapes: impl Iterator<Item = Shape>) -> Self {
        let columns = shapes.map(|shape| Column {
            nulls: shape.may_be_null.then(Vec::new),
            ends: shape.has_items.then(Vec::new),
            // A text without bytes is its length.
            nothing: &[0; 8][..shape.width.unwrap_or(1)],
            ..Column::default()
        });
        Self {
            rows: 0,
            columns: columns.collect(),
        }
    }

    /// Adds the bytes of a value, or of one of several.
    pub(super) fn value(&mut self, at: usize, bytes: &[u8]) {
        let column = &mut self.columns[at];
        column.values.extend_from_slice(bytes);
        column.counted();
    }

    /// Adds a text, with its length before it.
    pub(super) fn text(&mut self, at: usize, text: &[u8]) {
        let column = &mut self.columns[at];
        push_length(&mut column.values, text.len() as u64);
        column.values.extend_from_slice(text);
        column.counted();
    }

    /// Ends the items of a row.
    pub(super) fn end_items(&mut self, at: usize) {
        let column = &mut self.columns[at];
        if let Some(ends) = &mut column.ends {
            ends.push(column.items);
        }
    }

    /// Adds that there is no value.
    pub(super) fn nothing(&mut self, at: usize) {
        let column = &mut self.columns[at];
        if let Some(ends) = &mut column.ends {
            return ends.push(column.items);
        }
        column.values.extend_from_slice(column.nothing);
        if let Some(nulls) = &mut column.nulls {
            nulls.push(1);
        }
    }

    /// Ends a row, of which every column has been given.
    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// How many bytes they take.
    pub(in crate::ingest) fn bytes(&self) -> u64 {
        let bytes = self.columns.iter().map(|column| {
            let marks = column.nulls.as_ref().map_or(0, Vec::len);
            let ends = column.ends.as_ref().map_or(0, Vec::len);
            column.values.len() + marks + 8 * ends
        });
        bytes.sum::<usize>() as u64
    }

    /// Adds further rows of the same columns.
    pub(in crate::ingest) fn append(&mut self, more: Self) {
        if self.rows == 0 {
            *self = more;
            return;
        }
        for (column, more) in self.columns.iter_mut().zip(more.columns) {
            if let (Some(nulls), Some(more)) = (&mut column.nulls, more.nulls) {
                nulls.extend(more);
            }
            if let (Some(ends), Some(more)) = (&mut column.ends, more.ends) {
                ends.extend(more.iter().map(|end| end + column.items));
            }
            column.items += more.items;
            column.values.extend(more.values);
        }
        self.rows += more.rows;
    }

    /// Writes one block of the format, under these names and types.
    pub(in crate::ingest) fn write(
        &self,
        types: &[(String, String)],
        to: &mut impl Write,
    ) -> io::Result<()> {
        let mut head = Vec::new();
        push_length(&mut head, self.columns.len() as u64);
        push_length(&mut head, self.rows);
        to.write_all(&head)?;
        for (column, (name, data_type)) in self.columns.iter().zip(types) {
            head.clear();
            for text in [name, data_type] {
                push_length(&mut head, text.len() as u64);
                head.extend_from_slice(text.as_bytes());
            }
            to.write_all(&head)?;
            to.write_all(column.nulls.as_deref().unwrap_or_default())?;
            head.clear();
            let ends = column.ends.iter().flatten();
            head.extend(ends.flat_map(|end| end.to_le_bytes()));
            to.write_all(&head)?;
            to.write_all(&column.values)?;
        }
        Ok(())
    }
}

impl Column {
    /// Notes that a value was added.
    fn counted(&mut self) {
        if self.ends.is_some() {
            self.items += 1;
        } else if let Some(nulls) = &mut self.nulls {
            nulls.push(0);
        }
    }
}

/// A number in groups of seven bits, the lowest first.
fn push_length(bytes: &mut Vec<u8>, mut length: u64) {
    while length >= 0x80 {
        bytes.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    bytes.push(length.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_put_together_are_those_that_were_read_at_once() {
        let shapes = [
            Shape {
                width: Some(1),
                may_be_null: false,
                has_items: false,
            },
            Shape {
                width: None,
                may_be_null: true,
                has_items: false,
            },
            Shape {
                width: Some(2),
                may_be_null: false,
                has_items: true,
            },
        ];
        let rows = |numbers: std::ops::Range<u8>, columns: &mut Columns| {
            for number in numbers {
                columns.value(0, &[number]);
                if number % 2 == 0 {
                    columns.nothing(1);
                } else {
                    columns.text(1, "x".repeat(number.into()).as_bytes());
                }
                (0..number).for_each(|item| columns.value(2, &[item, 0]));
                columns.end_items(2);
                columns.end_row();
            }
        };
        let types = ["a", "b", "c"].map(|name| (name.to_owned(), "T".to_owned()));
        let written = |columns: &Columns| {
            let mut bytes = Vec::new();
            columns.write(&types, &mut bytes).unwrap();
            bytes
        };
        let mut whole = Columns::new(shapes.into_iter());
        rows(0..200, &mut whole);
        let mut parts = Columns::new(shapes.into_iter());
        for part in [0..0, 0..1, 1..150, 150..200] {
            let mut columns = Columns::new(shapes.into_iter());
            rows(part, &mut columns);
            parts.append(columns);
        }
        assert_eq!(written(&whole), written(&parts));
        assert_eq!(whole.bytes(), parts.bytes());
        // Three columns, 200 rows, `a` of type `T`, and its first values.
        assert_eq!(written(&whole)[..9], [3, 200, 1, 1, b'a', 1, b'T', 0, 1]);
    }
}
