//! The places of a statement at which a rule may apply, from the outermost query inwards.

use crate::sql::blocks::{ClauseKind, Nested, Place, Query, Select, Statement};

/// A `SELECT` in its surroundings.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// The queries around it, from the outermost; the last is the one that it is a branch of.
    pub(super) around: &'a [Around<'a>],
    /// The query of which it is a branch.
    pub(super) query: &'a Query,
    /// Which branch.
    pub(super) branch: usize,
    pub(super) select: &'a Select,
}

/// A `SELECT` and the query in it that leads on to a site.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) select: &'a Select,
    pub(super) nested: &'a Nested,
}

impl Site<'_> {
    /// Whether other queries stand beside this one that see what its `WITH` defines: the other branches of a union, and what a query in brackets is united with.
    pub(super) fn has_others_beside(&self, statement: &Statement<'_>) -> bool {
        self.query.branches.len() > 1 || self.is_united_in_brackets(statement)
    }

    /// Whether it is in brackets that stand in a union. The engine leaves such brackets out: a `WITH` in the first of them goes to what is united with it.
    pub(super) fn is_united_in_brackets(&self, statement: &Statement<'_>) -> bool {
        self.around.last().is_some_and(|around| {
            !around.select.understood || statement.is_united(around.nested.open)
        })
    }

    /// Whether a bare table name may mean a common table expression here, of this `SELECT` or of one around it.
    pub(super) fn may_be_common_table(&self, statement: &Statement<'_>, name: &str) -> bool {
        let defines = |select: &Select| {
            let named = |with: &crate::sql::blocks::With| {
                with.names.iter().any(|(defined, _)| defined == name)
            };
            if select.understood {
                select.with.as_ref().is_some_and(named)
            } else {
                // What it defines is not known.
                statement.has_word(&select.run, "WITH")
            }
        };
        // The leading `WITH` of a union covers every branch; one in brackets is not looked for.
        let first = self.query.branches.first();
        let of_brackets = self.is_united_in_brackets(statement)
            && statement.has_word(&statement.query.run, "WITH");
        of_brackets
            || defines(self.select)
            || first.is_some_and(defines)
            || self.around.iter().any(|around| defines(around.select))
    }
}

/// The first answer of `rule`, asked at every `SELECT` from the outermost inwards.
pub(super) fn find<T>(query: &Query, rule: &mut dyn FnMut(Site<'_>) -> Option<T>) -> Option<T> {
    within(query, &[], rule)
}

/// The first answer of `rule` about a node that stands as a source or a set in its reader, and whose rows no `LIMIT` counts: asked with the reader, the node's place
/// in it, and the node.
pub(super) fn find_unlimited_node<T>(
    query: &Query,
    rule: &mut dyn FnMut(&Select, &Nested, &Select) -> Option<T>,
) -> Option<T> {
    find(query, &mut |site| {
        if !site.select.understood {
            return None;
        }
        site.select.nested.iter().find_map(|nested| {
            let node = nested.query.single()?;
            let limited = [ClauseKind::Limit, ClauseKind::Offset]
                .iter()
                .any(|kind| node.clause(*kind).is_some());
            if limited || nested.place == Place::Other {
                return None;
            }
            rule(site.select, nested, node)
        })
    })
}

fn within<T>(
    query: &Query,
    around: &[Around<'_>],
    rule: &mut dyn FnMut(Site<'_>) -> Option<T>,
) -> Option<T> {
    for (branch, select) in query.branches.iter().enumerate() {
        let site = Site {
            around,
            query,
            branch,
            select,
        };
        if let Some(found) = rule(site) {
            return Some(found);
        }
        for nested in &select.nested {
            let mut deeper = around.to_vec();
            deeper.push(Around { select, nested });
            if let Some(found) = within(&nested.query, &deeper, rule) {
                return Some(found);
            }
        }
    }
    None
}
