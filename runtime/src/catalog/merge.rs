//! A version of the project that was planned on files which have changed since: what it changes, put over what is there now.
//!
//! In: the files that the version was planned on, its own, and those of now. Out: the files of now with the version's changes, as if it had come into force
//! before the others; or the paths of files that both have changed, each in its own way.

use std::collections::{BTreeMap, BTreeSet};

type Files = BTreeMap<String, String>;

/// The changes from `planned_on` to `wanted`, made to `now`. The error names files that were changed otherwise meanwhile.
pub fn merge(planned_on: &Files, wanted: &Files, now: &Files) -> Result<Files, Vec<String>> {
    let (mut merged, mut both) = (now.clone(), Vec::new());
    let paths: BTreeSet<&String> = planned_on.keys().chain(wanted.keys()).collect();
    for path in paths {
        let (base, own, other) = (planned_on.get(path), wanted.get(path), now.get(path));
        if own == base || own == other {
            continue;
        }
        if other != base {
            both.push(path.clone());
            continue;
        }
        match own {
            Some(text) => _ = merged.insert(path.clone(), text.clone()),
            None => _ = merged.remove(path),
        }
    }
    if both.is_empty() {
        Ok(merged)
    } else {
        Err(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Files {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        of.iter().map(owned).collect()
    }

    #[test]
    fn what_others_changed_meanwhile_stays() {
        let base = files(&[
            ("changed", "1"),
            ("deleted", "1"),
            ("same", "1"),
            ("other", "1"),
            ("gone", "1"),
        ]);
        let wanted = files(&[
            ("changed", "2"),
            ("same", "1"),
            ("other", "1"),
            ("gone", "1"),
            ("new", "2"),
        ]);
        let now = files(&[
            ("changed", "1"),
            ("deleted", "1"),
            ("same", "1"),
            ("other", "3"),
            ("came", "3"),
        ]);
        let merged = merge(&base, &wanted, &now);
        assert_eq!(
            merged.unwrap(),
            files(&[
                ("changed", "2"),
                ("same", "1"),
                ("other", "3"),
                ("new", "2"),
                ("came", "3")
            ])
        );
        assert_eq!(merge(&base, &wanted, &base).unwrap(), wanted);
    }

    #[test]
    fn what_both_changed_in_the_same_way_is_no_matter() {
        let base = files(&[("a", "1"), ("b", "1")]);
        let wanted = files(&[("a", "2"), ("c", "2")]);
        assert_eq!(merge(&base, &wanted, &wanted).unwrap(), wanted);
    }

    #[test]
    fn what_both_changed_otherwise_is_named() {
        let base = files(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let wanted = files(&[("a", "2"), ("c", "2"), ("d", "2")]);
        let now = files(&[("a", "3"), ("b", "3"), ("d", "3")]);
        assert_eq!(
            merge(&base, &wanted, &now).unwrap_err(),
            ["a", "b", "c", "d"]
        );
    }
}
