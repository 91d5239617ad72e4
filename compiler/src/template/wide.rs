//! JSON → values, with the numbers that JSON readers round or refuse.
//!
//! A reader makes floats of integers beyond 64 bits, which are other numbers. Here they keep their digits: they are marked in the text before it is read.
//! `NaN`, `Infinity` and numbers beyond a float's range, which the reference reads and the standard refuses, are marked in the same way.

use minijinja::Value;
use serde_json::Value as Json;

use super::value::{Thing, View, from_json, int, locked, view};

/// Marks a string that stands for a number which JSON cannot hold.
const MARK: &str = "\\u0000wide:";

/// The mark once it is read.
const WIDE: &str = "\u{0}wide:";

/// Reads a document whose integers beyond 64 bits become texts of their digits.
pub fn exact_json(text: &str) -> serde_json::Result<Json> {
    let read = serde_json::from_str(text)?;
    if has_wide_integers(text) {
        return serde_json::from_str(&marked(text, "", is_wide_integer));
    }
    Ok(read)
}

/// The value of a document: integers of up to 128 bits are numbers, greater ones texts of their digits.
pub(super) fn parsed(text: &str) -> Option<Value> {
    let read = |text: &str| serde_json::from_str::<Json>(text).ok();
    let json = match read(text) {
        Some(json) if !has_wide_integers(text) => return Some(from_json(&json)),
        Some(_) => read(&marked(text, MARK, is_wide_integer))?,
        None => read(&marked(text, MARK, is_no_json))?,
    };
    Some(wide_numbers(from_json(&json)))
}

/// Whether there may be integers beyond 64 bits in a text.
fn has_wide_integers(text: &str) -> bool {
    let mut digits = text.split(|character: char| !character.is_ascii_digit());
    digits.any(|digits| digits.len() >= 19)
}

fn is_wide_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
        && token.parse::<u64>().is_err()
        && token.parse::<i64>().is_err()
}

fn is_no_json(token: &str) -> bool {
    matches!(token, "NaN" | "Infinity" | "-Infinity")
        || token.ends_with(|last: char| last.is_ascii_digit())
            && token.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The text with some of its numbers as strings that begin with a mark.
fn marked(text: &str, mark: &str, is_wide: fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if character == '"' {
            let mut escaped = false;
            let end = rest[1..]
                .find(|character: char| {
                    let closes = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    closes
                })
                .map_or(rest.len(), |at| at + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let end = rest
            .find(|character: char| {
                !(character.is_ascii_alphanumeric() || "+-.".contains(character))
            })
            .unwrap_or(rest.len());
        let token = &rest[..end];
        if !token.is_empty() && is_wide(token) {
            for part in ["\"", mark, token, "\""] {
                out.push_str(part);
            }
            rest = &rest[end..];
        } else {
            let end = end.max(character.len_utf8());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out
}

fn wide_numbers(value: Value) -> Value {
    match view(&value) {
        View::Str(text) => match text.strip_prefix(WIDE) {
            Some(number) => wide_number(number),
            None => value,
        },
        View::Thing(Thing::List(items)) => {
            for item in locked(items).iter_mut() {
                *item = wide_numbers(std::mem::take(item));
            }
            value
        }
        View::Thing(Thing::Dict(items)) => {
            for item in locked(items).values_mut() {
                *item = wide_numbers(std::mem::take(item));
            }
            value
        }
        _ => value,
    }
}

fn wide_number(token: &str) -> Value {
    match token.parse::<i128>() {
        Ok(number) => int(number),
        Err(_) if is_wide_integer(token) => Value::from(token),
        Err(_) => Value::from(token.parse::<f64>().unwrap_or(f64::NAN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn integers_keep_their_digits_wherever_they_stand() {
        let exact = |text: &str| {
            exact_json(text).map_or_else(|error| error.to_string(), |json| json.to_string())
        };
        assert_snapshot!(
            exact(r#"{"a": 57896044618658097711785492504343953926634992332820282019728792003956564819971, "b": [-9223372036854775809, {"c": 18446744073709551616}]}"#),
            @r#"{"a":"57896044618658097711785492504343953926634992332820282019728792003956564819971","b":["-9223372036854775809",{"c":"18446744073709551616"}]}"#
        );
        // What 64 bits hold, floats, and digits in texts are what they were.
        assert_snapshot!(
            exact(r#"[-9223372036854775808, 18446744073709551615, 0.12345678901234567890123, 1e30, "\" 18446744073709551616", {"18446744073709551616": 1}]"#),
            @r#"[-9223372036854775808,18446744073709551615,0.12345678901234568,1e+30,"\" 18446744073709551616",{"18446744073709551616":1}]"#
        );
        for wrong in [
            "{18446744073709551616: 1}",
            "[018446744073709551616]",
            "[1844674407370955161a6]",
            "18446744073709551616 1",
        ] {
            assert!(exact_json(wrong).is_err(), "{wrong}");
            assert!(parsed(wrong).is_none(), "{wrong}");
        }
    }
}
