//! The queries of common table expressions, and which of them the engine may take for one another.
//!
//! While the engine resolves such a query, it passes over every definition of the same name and words: that is how it knows that a definition does not read itself.
//! Where a node with a definition is put into a reader that has the same words under the same name, it passes over the wrong one.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

use super::identifier::unquote;
use super::lexer::{Kind, Token, tokenize};
use super::scan::{CommonTable, Scan};

/// How many definitions that lie in each other are read; those deeper inside are passed over.
const DEPTH: usize = 16;

/// What two definitions have in common that the engine may take for one another: the name, and the words in short. Values count as one, so that this does not
/// depend on what a request brings; brackets and `AS` do not count, which need not be there.
pub(crate) type Words = (String, u64);

/// The query of a common table expression.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) words: Words,
    /// The query without its brackets.
    pub(crate) body: Range<usize>,
}

/// A definition whose bracket has not closed yet.
struct Open<'a> {
    common: &'a CommonTable,
    start: usize,
    depth: usize,
    hasher: DefaultHasher,
    reads_itself: bool,
}

/// The definitions of a statement; without those that read themselves.
pub(crate) fn definitions(sql: &str, scan: &Scan) -> Vec<Definition> {
    let tables = scan.common_tables.iter();
    let brackets: BTreeMap<usize, &CommonTable> = tables
        .filter_map(|common| Some((common.bracket?, common)))
        .collect();
    if brackets.is_empty() {
        return Vec::new();
    }
    let Ok(tokens) = tokenize(sql) else {
        return Vec::new();
    };
    let (mut found, mut open): (Vec<Definition>, Vec<Open<'_>>) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for token in &tokens.list {
        match token.kind {
            Kind::OpenRound => {
                depth += 1;
                let common = brackets.get(&(token.start as usize));
                if let Some(common) = common.filter(|_| open.len() < DEPTH) {
                    open.push(Open {
                        common,
                        start: token.end as usize,
                        depth,
                        hasher: DefaultHasher::new(),
                        reads_itself: false,
                    });
                }
            }
            Kind::CloseRound => {
                if let Some(closed) = open.pop_if(|last| last.depth == depth) {
                    found.extend(closed.definition(token.start as usize));
                }
                depth = depth.saturating_sub(1);
            }
            _ => open.iter_mut().for_each(|open| open.take(sql, token)),
        }
    }
    found
}

/// What is known of the definitions of a statement to tell them from those of a reader.
pub(crate) fn words(sql: &str, scan: &Scan) -> BTreeSet<Words> {
    let definitions = definitions(sql, scan).into_iter();
    definitions.map(|definition| definition.words).collect()
}

impl Open<'_> {
    fn take(&mut self, sql: &str, token: &Token) {
        let text = token.text(sql);
        match token.kind {
            Kind::Text | Kind::Number => "?".hash(&mut self.hasher),
            Kind::Word if text.eq_ignore_ascii_case("AS") => {}
            Kind::Word | Kind::QuotedName => {
                let name = unquote(text);
                self.reads_itself |= name == self.common.name;
                name.to_ascii_lowercase().hash(&mut self.hasher);
            }
            _ => text.hash(&mut self.hasher),
        }
    }

    fn definition(self, end: usize) -> Option<Definition> {
        (!self.common.recursive || !self.reads_itself).then(|| Definition {
            words: (self.common.name.clone(), self.hasher.finish()),
            body: self.start..end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    #[test]
    fn definitions_of_the_same_words_are_known_whatever_their_values() {
        let of = |sql: &str| words(sql, &scan(sql).unwrap());
        let one = "WITH a AS (SELECT k + 1 AS k FROM t WHERE s = 'x') SELECT * FROM a";
        for same in [
            "with `a` as MATERIALIZED ((select K + 2 k /* t */ from `t` where s = 'y')) SELECT 1",
            "SELECT * FROM (WITH RECURSIVE a AS (SELECT k + 1 AS k FROM t WHERE s = 'x') SELECT 1)",
        ] {
            assert_eq!(of(one), of(same), "{same}");
        }
        for other in [
            one.replace("a AS", "b AS"),
            one.replace("k + 1", "k - 1"),
            "WITH RECURSIVE a AS (SELECT 1 AS k UNION ALL SELECT k + 1 FROM a) SELECT * FROM a"
                .to_owned(),
            "WITH (SELECT 1) AS a, 3 AS b SELECT a, b".to_owned(),
        ] {
            assert!(of(one).is_disjoint(&of(&other)), "{other}");
        }
        let nested =
            "WITH a AS (SELECT * FROM (WITH b AS (SELECT 1) SELECT * FROM b)) SELECT * FROM a";
        let found = definitions(nested, &scan(nested).unwrap());
        let bodies: Vec<&str> = found
            .iter()
            .map(|found| &nested[found.body.clone()])
            .collect();
        assert_eq!(
            bodies,
            [
                "SELECT 1",
                "SELECT * FROM (WITH b AS (SELECT 1) SELECT * FROM b)"
            ]
        );
    }

    #[test]
    fn hundreds_of_definitions_inside_each_other_take_no_time() {
        let mut sql = "SELECT 1".to_owned();
        for at in 0..900 {
            sql = format!("WITH a{at} AS ({sql}) SELECT 1");
        }
        let scanned = scan(&sql).expect("it is no deeper than brackets may be");
        assert!(definitions(&sql, &scanned).len() <= DEPTH);
    }
}
