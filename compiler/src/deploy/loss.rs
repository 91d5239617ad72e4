//! Which rows go when a table gets another engine or another key: engines that merge rows keep one of those with the same key.

/// What rows another engine, its arguments or its sorting key may take away; `None` if none.
pub(super) fn of_engine(old: &Description<'_>, new: &Description<'_>) -> Option<String> {
    if new.name() == "Null" {
        return (old.name() != "Null")
            .then(|| "all rows go: the engine Null keeps none".to_owned());
    }
    if !merges_rows(new.name()) {
        return None;
    }
    let same_engine = old.engine() == new.engine();
    if same_engine && is_refined(old.sorting_key, new.sorting_key) {
        // Rows of different partitions are not merged.
        let (before, after) = (old.partition(), new.partition());
        if before.is_empty() || is_refined(before, after) {
            return None;
        }
        return Some(format!(
            "rows with the same {} that lie in partitions of their own may become one: {} merges them",
            new.sorting_key,
            new.name()
        ));
    }
    Some(format!(
        "rows with the same {} become one: {} merges them",
        new.sorting_key,
        new.name()
    ))
}

/// The description of a table by its engine.
pub(super) struct Description<'a> {
    /// The engine, its arguments and what follows them.
    pub(super) body: &'a str,
    pub(super) sorting_key: &'a str,
}

/// What may follow an engine's arguments, in its order.
const CLAUSES: [&str; 4] = [
    " PARTITION BY ",
    " PRIMARY KEY ",
    " ORDER BY ",
    " SAMPLE BY ",
];

/// What stands before the first of these clauses.
fn before_clause<'a>(text: &'a str, clauses: &[&str]) -> &'a str {
    let end = clauses.iter().filter_map(|clause| text.find(clause)).min();
    text[..end.unwrap_or(text.len())].trim()
}

impl Description<'_> {
    /// The engine with its arguments.
    fn engine(&self) -> &str {
        before_clause(self.body, &CLAUSES)
    }

    /// The partition key, or nothing.
    fn partition(&self) -> &str {
        let clause = self.body.split_once(CLAUSES[0]);
        clause.map_or("", |(_, rest)| before_clause(rest, &CLAUSES[1..]))
    }

    fn name(&self) -> &str {
        let engine = self.engine();
        let name = engine.split('(').next().unwrap_or(engine);
        // `Null` is a word of the language and comes in quotes.
        name.trim().trim_matches('`')
    }
}

fn merges_rows(engine: &str) -> bool {
    engine != "MergeTree" && engine.ends_with("MergeTree")
}

/// Whether a key only adds columns to another, so that rows that were kept apart still are.
fn is_refined(old: &str, new: &str) -> bool {
    let (old, new) = (listed(old), listed(new));
    old == new
        || new
            .strip_prefix(old)
            .is_some_and(|rest| rest.starts_with(','))
}

/// The columns of a key without parentheses around all of them.
fn listed(key: &str) -> &str {
    let key = key.trim();
    let inner = key
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    match inner {
        Some(inner) if !inner.contains(['(', ')']) => inner.trim(),
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(old: (&str, &str), new: (&str, &str)) -> bool {
        let of = |(body, sorting_key)| Description { body, sorting_key };
        of_engine(&of(old), &of(new)).is_some()
    }

    #[test]
    fn engines_that_merge_or_keep_nothing_take_rows_away() {
        let plain = ("MergeTree PARTITION BY toYYYYMM(t) ORDER BY id", "id");
        let replacing = ("ReplacingMergeTree(ver) ORDER BY (id, v)", "id, v");
        assert!(lost(plain, ("`Null`", "")));
        assert!(lost(plain, ("SummingMergeTree ORDER BY id", "id")));
        assert!(lost(
            replacing,
            ("ReplacingMergeTree(ver) ORDER BY id", "id")
        ));
        assert!(lost(
            replacing,
            ("ReplacingMergeTree(other) ORDER BY (id, v)", "id, v")
        ));
        assert!(!lost(
            replacing,
            ("ReplacingMergeTree(ver) ORDER BY (id, v, w)", "id, v, w")
        ));
        assert!(!lost(
            replacing,
            (
                "ReplacingMergeTree(ver) PARTITION BY v ORDER BY (id, v)",
                "id, v"
            )
        ));
        let parted =
            |key: &str| format!("ReplacingMergeTree(ver) PARTITION BY {key} ORDER BY (id, v)");
        assert!(lost((&parted("v"), "id, v"), replacing));
        assert!(lost((&parted("v"), "id, v"), (&parted("id"), "id, v")));
        assert!(!lost(
            (&parted("v"), "id, v"),
            (&parted("(v, id)"), "id, v")
        ));
        assert!(!lost(replacing, plain));
        assert!(!lost(plain, ("MergeTree ORDER BY v", "v")));
        assert!(!lost(("`Null`", ""), ("`Null`", "")));
    }
}
