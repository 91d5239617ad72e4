//! How much there is to walk through in a value: lists can share their elements, so that a few steps make a value which no time is enough to print.

use minijinja::Value;

use super::{Key, MAX_DEPTH, Thing, View, locked, snapshot, view};

/// What one value inside of another counts, in bytes.
const ITEM: usize = 16;

/// The bytes of a collection as whoever prints or compares it meets them: what is in it twice counts twice. Zero for what is no collection. Counting ends soon after
/// `limit`.
pub(in crate::template) fn weight(value: &Value, limit: usize) -> usize {
    let mut counted = Counted { bytes: 0, limit };
    if matches!(
        view(value),
        View::Thing(Thing::List(_) | Thing::Dict(_) | Thing::Tuple(_) | Thing::Set(_))
    ) {
        counted.value(value, 0);
    }
    counted.bytes
}

struct Counted {
    bytes: usize,
    limit: usize,
}

impl Counted {
    fn add(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= self.limit
    }

    fn value(&mut self, value: &Value, depth: usize) {
        // Printing and comparing stop here as well.
        if depth > MAX_DEPTH {
            return;
        }
        match view(value) {
            View::Str(text) => {
                self.add(text.len());
            }
            View::Thing(Thing::Sql { text } | Thing::Big(text)) => {
                self.add(text.len());
            }
            View::Thing(Thing::Unescaped { value, .. }) => {
                self.add(value.len());
            }
            View::Thing(Thing::List(items)) => {
                let count = locked(items).len();
                if self.add(count.saturating_mul(ITEM)) {
                    self.values(&snapshot(items), depth);
                }
            }
            View::Thing(Thing::Tuple(items)) if self.add(items.len().saturating_mul(ITEM)) => {
                self.values(items, depth);
            }
            View::Thing(Thing::Set(items)) if self.add(items.len().saturating_mul(ITEM)) => {
                self.values(items.values(), depth);
            }
            View::Thing(Thing::Dict(items)) => {
                let count = locked(items).len();
                if self.add(count.saturating_mul(2 * ITEM)) {
                    let items = snapshot(items);
                    for key in items.keys() {
                        self.key(key);
                    }
                    self.values(items.values(), depth);
                }
            }
            _ => {}
        }
    }

    fn values<'v>(&mut self, values: impl IntoIterator<Item = &'v Value>, depth: usize) {
        for value in values {
            if self.bytes > self.limit {
                return;
            }
            self.value(value, depth + 1);
        }
    }

    /// A key holds nothing that is shared, and is nested no deeper than the value that it was made from.
    fn key(&mut self, key: &Key) {
        match key {
            Key::Str(text) => {
                self.add(text.len());
            }
            Key::Tuple(items) => {
                if self.add(items.len().saturating_mul(ITEM)) {
                    for item in items {
                        self.key(item);
                    }
                }
            }
            Key::None | Key::Int(_) | Key::Float(_) => {}
        }
    }
}
