//! What a table computes of each row that it keeps, and that may throw on it: its keys, its indices, and when rows or values go; and what its engine asks of a row.
//!
//! The engine says keys by themselves, and times to live only in the statement that makes the table. Expressions that throw on no value of their columns are left out, as
//! most keys are of that kind. What an engine asks is seen when it merges the rows of an insert, and so by no table that keeps nothing: it is written out as an
//! expression that throws (the engine's `CollapsingSortedAlgorithm` and `ReplacingSortedAlgorithm`; a `VersionedCollapsingMergeTree` takes any sign).

use pipewright_compiler::sql::quote_literal;
use serde::Deserialize;

/// How the views begin that compute them.
pub(super) const KEYS: &str = "pw_keys_";

/// How the views begin that throw on rows which the engine of a table does not take.
pub(super) const ASKED: &str = "pw_asked_";

/// Functions that have a value for whatever their columns hold.
const TOTAL: &[&str] = &[
    "",
    "cityHash64",
    "intHash32",
    "intHash64",
    "lower",
    "sipHash64",
    "toDayOfMonth",
    "toDayOfWeek",
    "toHour",
    "toIntervalDay",
    "toIntervalHour",
    "toIntervalMinute",
    "toIntervalMonth",
    "toIntervalSecond",
    "toIntervalWeek",
    "toIntervalYear",
    "toMonday",
    "toMonth",
    "toStartOfDay",
    "toStartOfHour",
    "toStartOfMinute",
    "toStartOfMonth",
    "toStartOfWeek",
    "toStartOfYear",
    "toYYYYMM",
    "toYYYYMMDD",
    "toYear",
    "tuple",
    "upper",
    "xxHash32",
    "xxHash64",
];

/// What the engine says of a table.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kept {
    partition_key: String,
    sorting_key: String,
    sampling_key: String,
    engine_full: String,
    create_table_query: String,
    indices: Vec<String>,
}

/// What is tried of each row of a table, as expressions that may throw, each with how its view begins.
pub(super) fn tried(kept: &Kept) -> Vec<(&'static str, String)> {
    let keys = expressions(kept).into_iter().map(|key| (KEYS, key));
    keys.chain(asked(&kept.engine_full).map(|asked| (ASKED, asked)))
        .collect()
}

/// What the engine of a table asks of each row, as an expression that throws where it is not so.
fn asked(engine_full: &str) -> Option<String> {
    let (engine, rest) = engine_full.split_once('(')?;
    let arguments = parts(rest);
    let (column, directive, values) = match (engine, &arguments[..]) {
        ("CollapsingMergeTree", [sign]) => (sign.trim(), "ENGINE_SIGN", [1, -1]),
        ("ReplacingMergeTree", [_, gone]) => (gone.trim(), "ENGINE_IS_DELETED", [1, 0]),
        _ => return None,
    };
    let [one, other] = values;
    let said = quote_literal(&format!(
        "{directive} `{}` must be {one} or {other}",
        column.trim_matches('`')
    ));
    Some(format!("throwIf({column} NOT IN ({one}, {other}), {said})"))
}

/// What the engine computes of each row of a table and may throw on, as expressions.
fn expressions(kept: &Kept) -> Vec<String> {
    let keys = [&kept.partition_key, &kept.sorting_key, &kept.sampling_key];
    let keys = keys.into_iter().filter(|key| !key.is_empty());
    let indices = kept.indices.iter().filter(|index| !index.is_empty());
    let mut found: Vec<String> = keys
        .chain(indices)
        .map(|key| format!("tuple({key})"))
        .collect();
    found.extend(times_to_live(&kept.engine_full));
    found.extend(times_of_columns(&kept.create_table_query));
    found.retain(|expression| may_throw(expression));
    found.sort();
    found.dedup();
    found
}

/// The expressions of a table's time to live, with the conditions under which rows go.
fn times_to_live(engine_full: &str) -> Vec<String> {
    let Some(start) = place(engine_full, " TTL ") else {
        return Vec::new();
    };
    let clause = &engine_full[start + " TTL ".len()..];
    let clause = &clause[..place(clause, " SETTINGS ").unwrap_or(clause.len())];
    let mut found = Vec::new();
    for part in parts(clause) {
        let ends = [
            " DELETE",
            " WHERE ",
            " TO DISK ",
            " TO VOLUME ",
            " RECOMPRESS ",
            " GROUP BY ",
        ];
        let end = ends.iter().filter_map(|end| place(part, end)).min();
        found.push(part[..end.unwrap_or(part.len())].trim().to_owned());
        if let Some(condition) = place(part, " WHERE ") {
            found.push(part[condition + " WHERE ".len()..].trim().to_owned());
        }
        // What follows may be what groups have in place of their rows.
        if place(part, " GROUP BY ").is_some() {
            break;
        }
    }
    found
}

/// The times to live of single columns.
fn times_of_columns(create_table_query: &str) -> Vec<String> {
    let Some((_, columns)) = create_table_query.split_once(" (") else {
        return Vec::new();
    };
    let columns = parts(columns).into_iter();
    let times = columns.filter_map(|column| {
        let (_, time) = column.split_at(place(column, " TTL ")?);
        Some(time[" TTL ".len()..].trim().to_owned())
    });
    times.collect()
}

/// Whether an expression may throw on a value. Of what is not known it may.
fn may_throw(expression: &str) -> bool {
    let mut word = String::new();
    for sign in expression.chars() {
        match sign {
            '(' if !TOTAL.contains(&word.as_str()) => return true,
            sign if sign.is_alphanumeric() || sign == '_' => {
                word.push(sign);
                continue;
            }
            '(' | ')' | ',' | ' ' | '.' | '`' | '+' | '-' => {}
            _ => return true,
        }
        word.clear();
    }
    false
}

/// The parts of a list between commas, until the bracket that closes it.
fn parts(list: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    let mut end = list.len();
    for (at, sign, depth) in outside_of_texts(list) {
        match (sign, depth) {
            (')', -1) => {
                end = at;
                break;
            }
            (',', 0) => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&list[start..end]);
    found
}

/// Where a word stands outside of brackets and texts.
fn place(text: &str, word: &str) -> Option<usize> {
    let mut signs = outside_of_texts(text);
    signs.find_map(|(at, _, depth)| (depth == 0 && text[at..].starts_with(word)).then_some(at))
}

/// The characters of a statement that are in no text and no quoted name, with their places and in how many brackets they are.
fn outside_of_texts(text: &str) -> impl Iterator<Item = (usize, char, i32)> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0);
    text.char_indices().filter_map(move |(at, sign)| {
        if let Some(end) = quote {
            match sign {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                sign if sign == end => quote = None,
                _ => {}
            }
            return None;
        }
        match sign {
            '\'' | '`' | '"' => {
                quote = Some(sign);
                return None;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        Some((at, sign, depth))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_throw_of_keys_and_times_is_found() {
        let kept = Kept {
            partition_key: "toYYYYMM(toDate(d))".into(),
            sorting_key: "id, cityHash64(d)".into(),
            engine_full: "MergeTree PARTITION BY toYYYYMM(toDate(d)) ORDER BY (id, cityHash64(d)) TTL toDate(d) + toIntervalYear(50) WHERE d != ' TTL ,', at + toIntervalDay(3), toDate(e) + toIntervalYear(6) RECOMPRESS CODEC(ZSTD(3)) SETTINGS index_granularity = 8192".into(),
            create_table_query: "CREATE TABLE base.s (`id` UInt64, `, TTL ` String DEFAULT ', TTL x', `e` String CODEC(ZSTD(1)) TTL toDateTime(e, 'UTC') + toIntervalYear(50)) ENGINE = MergeTree TTL no".into(),
            indices: vec!["id".into(), "id % d".into()],
            ..Kept::default()
        };
        insta::assert_snapshot!(expressions(&kept).join("\n"), @r"
        d != ' TTL ,'
        toDate(d) + toIntervalYear(50)
        toDate(e) + toIntervalYear(6)
        toDateTime(e, 'UTC') + toIntervalYear(50)
        tuple(id % d)
        tuple(toYYYYMM(toDate(d)))
        ");
    }

    #[test]
    fn what_an_engine_asks_of_rows_is_written_out() {
        let said = |engine_full| asked(engine_full).unwrap_or_default();
        insta::assert_snapshot!(said("CollapsingMergeTree(s) ORDER BY id SETTINGS index_granularity = 8192"), @"throwIf(s NOT IN (1, -1), 'ENGINE_SIGN `s` must be 1 or -1')");
        insta::assert_snapshot!(said("ReplacingMergeTree(ver, `is gone`) ORDER BY id"), @"throwIf(`is gone` NOT IN (1, 0), 'ENGINE_IS_DELETED `is gone` must be 1 or 0')");
        for other in [
            "ReplacingMergeTree(ver) ORDER BY id",
            "VersionedCollapsingMergeTree(s, v) ORDER BY f(id)",
            "MergeTree ORDER BY f(id)",
            "Null",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn what_groups_have_in_place_of_their_rows_is_no_time() {
        let found = times_to_live(
            "MergeTree ORDER BY k TTL at + toIntervalDay(toUInt8(k)) GROUP BY k SET v = max(v), w = min(w)",
        );
        assert_eq!(found, ["at + toIntervalDay(toUInt8(k))"]);
    }
}
