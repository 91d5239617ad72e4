//! JSON paths, and the one tuple type that reads all of them from a row in a single pass.

use indexmap::IndexMap;
use std::fmt::Write as _;

use super::convert;
use crate::sql::{quote_identifier, quote_literal};
use crate::types::DataType;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key of an object.
    Key(String),
    /// Every item of an array: `[:]`.
    Each,
    /// One item of an array, counted from zero.
    Item(usize),
}

/// Reads `$.a.b`, `$.a[:].b`, `$['a b']`, `$.a[0]`.
pub(super) fn parse(text: &str) -> Vec<Step> {
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some((key, after)) = quoted_key(rest) {
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (inner, after) = inside.split_once(']').unwrap_or((inside, ""));
            let inner = inner.trim();
            steps.push(match inner.parse() {
                Ok(index) => Step::Item(index),
                Err(_) if inner == ":" || inner == "*" => Step::Each,
                Err(_) => Step::Key(inner.trim_matches(['\'', '"']).to_owned()),
            });
            rest = after;
        } else {
            let named = rest.strip_prefix('.').unwrap_or(rest);
            let end = named.find(['.', '[']).unwrap_or(named.len());
            if end > 0 {
                steps.push(Step::Key(named[..end].to_owned()));
            }
            rest = &named[end..];
            if end == 0 && rest == named && !rest.starts_with('[') {
                rest = rest.strip_prefix('.').unwrap_or("");
            }
        }
    }
    steps
}

/// The key in `['…']` or `["…"]` at the start, and what is behind it.
fn quoted_key(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.strip_prefix('[')?;
    let end = match inside.chars().next()? {
        '\'' => "']",
        '"' => "\"]",
        _ => return None,
    };
    inside[1..].split_once(end)
}

/// The steps before the first `[:]`, as arguments of the engine's JSON functions over `line`.
pub(super) fn arguments(line: &str, steps: &[Step]) -> String {
    let mut arguments = line.to_owned();
    for step in steps {
        match step {
            Step::Key(key) => _ = write!(arguments, ", {}", quote_literal(key)),
            Step::Item(index) => _ = write!(arguments, ", {}", index + 1),
            Step::Each => break,
        }
    }
    arguments
}

/// The value of a path in a row that was read as the type of its tree.
pub(super) fn access(row: &str, steps: &[Step], depth: usize) -> String {
    match steps.split_first() {
        None => row.to_owned(),
        Some((Step::Key(key), rest)) => access(
            &format!("tupleElement({row}, {})", quote_literal(key)),
            rest,
            depth,
        ),
        Some((Step::Item(index), rest)) => {
            access(&format!("arrayElement({row}, {})", index + 1), rest, depth)
        }
        Some((Step::Each, rest)) => {
            let item = format!("path{depth}");
            match access(&item, rest, depth + 1) {
                same if same == item => row.to_owned(),
                inner => format!("arrayMap({item} -> {inner}, {row})"),
            }
        }
    }
}

/// What is read below a place of the row.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Leaf(String),
    Object(IndexMap<String, Tree>),
    Array(Box<Tree>),
}

impl Tree {
    /// A row of which nothing is read yet.
    pub(super) fn row() -> Self {
        Self::Object(IndexMap::new())
    }

    /// Adds a path with the type that its last place is read as; false where the tree reads that place as something else.
    pub(super) fn add(&mut self, steps: &[Step], leaf: &str) -> bool {
        match (self, steps.split_first()) {
            (Self::Leaf(known), None) => known == leaf,
            (Self::Object(keys), Some((Step::Key(key), rest))) => {
                if let Some(tree) = keys.get_mut(key) {
                    return tree.add(rest, leaf);
                }
                keys.insert(key.clone(), Self::new(rest, leaf));
                true
            }
            (Self::Array(items), Some((Step::Each | Step::Item(_), rest))) => items.add(rest, leaf),
            _ => false,
        }
    }

    fn new(steps: &[Step], leaf: &str) -> Self {
        match steps.split_first() {
            None => Self::Leaf(leaf.to_owned()),
            Some((Step::Key(key), rest)) => {
                Self::Object(IndexMap::from([(key.clone(), Self::new(rest, leaf))]))
            }
            Some((Step::Each | Step::Item(_), rest)) => {
                Self::Array(Box::new(Self::new(rest, leaf)))
            }
        }
    }

    /// The type to read it as.
    pub(super) fn data_type(&self) -> String {
        match self {
            Self::Leaf(data_type) => data_type.clone(),
            Self::Object(keys) => {
                let keys = keys
                    .iter()
                    .map(|(key, tree)| format!("{} {}", quote_identifier(key), tree.data_type()));
                format!("Tuple({})", keys.collect::<Vec<_>>().join(", "))
            }
            Self::Array(items) => format!("Array({})", items.data_type()),
        }
    }
}

/// The type of the last place of a path whose column has `data_type`: each `[:]` takes one array off. Nothing when there are too few arrays.
pub(super) fn leaf(data_type: &DataType, steps: &[Step]) -> Option<String> {
    let mut inner = data_type;
    for _ in steps.iter().filter(|step| **step == Step::Each) {
        inner = (inner.bare().family == "Array").then(|| inner.bare().inner_types().next())??;
    }
    Some(convert::json_type(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn paths_are_read_in_all_spellings() {
        assert_eq!(parse("$"), []);
        assert_eq!(parse("$.a.b"), [key("a"), key("b")]);
        assert_eq!(parse("$.a[:].b"), [key("a"), Step::Each, key("b")]);
        assert_eq!(parse("$['a.b'][0]"), [key("a.b"), Step::Item(0)]);
        assert_eq!(parse("$[\"it's\"][:]"), [key("it's"), Step::Each]);
        assert_eq!(parse("$['a[0]'].b"), [key("a[0]"), key("b")]);
        assert_eq!(parse("$..a."), [key("a")]);
        assert_eq!(parse("a"), [key("a")]);
        assert_eq!(parse("$[:]"), [Step::Each]);
        assert_eq!(parse("$.["), [key("")]);
    }

    #[test]
    fn one_tree_reads_paths_that_agree() {
        let mut tree = Tree::row();
        assert!(tree.add(&parse("$.m.a"), "Nullable(String)"));
        assert!(tree.add(&parse("$.m.list[:].x"), "Nullable(Float64)"));
        assert!(tree.add(&parse("$.m.list[:].y"), "Nullable(String)"));
        assert!(tree.add(&parse("$.m.a"), "Nullable(String)"));
        assert!(!tree.add(&parse("$.m"), "Nullable(String)"));
        assert!(!tree.add(&parse("$.m.a.b"), "Nullable(String)"));
        insta::assert_snapshot!(tree.data_type(), @"Tuple(m Tuple(a Nullable(String), list Array(Tuple(x Nullable(Float64), y Nullable(String)))))");
        insta::assert_snapshot!(access("row", &parse("$.m.list[:].x"), 0), @"arrayMap(path0 -> tupleElement(path0, 'x'), tupleElement(tupleElement(row, 'm'), 'list'))");
    }
}
