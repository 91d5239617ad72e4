//! What the names mean that the walk found, looked up after everything is read: an expression may use a name that is defined after it.

use std::collections::HashSet;
use std::ops::Range;

use super::walk::{Found, NamedRelation, Walk};
use super::{NamedSet, Scan, SetMeaning, given};
use crate::sql::identifier::unquote;
use crate::sql::reference::{Position, TableReference};

impl Walk<'_> {
    /// The scan, without the names that mean common table expressions.
    pub(super) fn finish(mut self) -> Scan {
        let found = std::mem::take(&mut self.found);
        let after_in = found
            .iter()
            .any(|found| found.reference.position == Position::In);
        let (columns, modifiers) = if after_in {
            let modifiers = found.iter().map(|found| modifiers(&found.reference));
            (self.aliases_by_name(), modifiers.collect())
        } else {
            (HashSet::new(), Vec::new())
        };
        for Found { reference, query } in found {
            let bare = reference.database.is_none() && !reference.parameter;
            let is_table = match reference.position {
                _ if !bare => true,
                Position::Dictionary | Position::JoinGet => true,
                Position::From | Position::Describe => {
                    !self.scopes.defines(reference.scope, &reference.name, false)
                }
                Position::In => {
                    let name = (query, reference.name.clone());
                    let set = self.named_set(&reference, query, &modifiers);
                    let is_set = set.is_some();
                    self.scan.named_sets.extend(set);
                    if is_set && columns.contains(&name) {
                        // Inside of what that name is given to, the engine takes a table.
                        self.scan.doubtful_sets.push(reference.clone());
                    }
                    let is_expression = !is_set
                        && (columns.contains(&name)
                            || self.scopes.defines(reference.scope, &name.1, true));
                    if is_expression {
                        self.scan.doubtful_sets.push(reference);
                        continue;
                    }
                    !is_set
                }
            };
            if is_table {
                self.scan.tables.push(reference);
            }
        }
        self.scan.doubtful_sets.append(&mut self.doubtful);
        self.doubt_renamed();
        self.scan.captors.scopes = self.scopes;
        self.scan.queries = self.queries;
        self.scan
    }

    /// A name right of an `IN` that is given to another name alone may mean the table of that other name, or of the one that this is given to. Each such table is told
    /// once, however many names lead to it.
    fn doubt_renamed(&mut self) {
        if self.scan.doubtful_sets.is_empty() {
            return;
        }
        let mut renamed = given::renamed(self.sql, self.tokens);
        let aliases = self.relation_aliases.keys().map(|(_, name)| name);
        let tables = self.scan.tables.iter().map(|table| &table.name);
        let common = self.scan.common_tables.iter().map(|common| &common.name);
        let relations: HashSet<&String> = aliases.chain(tables).chain(common).collect();
        let mut more: Vec<TableReference> = Vec::new();
        for set in &self.scan.doubtful_sets {
            let first = more.len();
            let mut waiting = renamed.remove(&set.name).into_iter().collect::<Vec<_>>();
            while let Some(names) = waiting.pop() {
                for (database, name) in names {
                    if database.is_none() {
                        waiting.extend(renamed.remove(&name));
                    }
                    // `t.a AS b` names a column of what is read.
                    let is_column = database
                        .as_ref()
                        .is_some_and(|database| relations.contains(database));
                    if !is_column {
                        more.push(TableReference {
                            database,
                            name,
                            ..set.clone()
                        });
                    }
                }
            }
            more[first..].sort_by(|one, other| {
                (&one.database, &one.name).cmp(&(&other.database, &other.name))
            });
        }
        self.scan.doubtful_sets.extend(more);
    }

    /// Every alias with the query it belongs to.
    fn aliases_by_name(&self) -> HashSet<(u32, String)> {
        self.aliases
            .iter()
            .map(|(query, at)| (*query, unquote(self.text(*at))))
            .collect()
    }

    /// What a name right of an `IN` means, if that is a query which the engine finds by its name. A table of the same `FROM` comes before a common table expression,
    /// and a named scalar before both.
    fn named_set(
        &self,
        reference: &TableReference,
        query: u32,
        modifiers: &[Vec<Range<usize>>],
    ) -> Option<NamedSet> {
        let (scope, name) = (reference.scope, &reference.name);
        if reference.database.is_some()
            || reference.parameter
            || self.scopes.defines_scalar(scope, name)
        {
            return None;
        }
        let meaning = match self.relation_aliases.get(&(query, name.clone())) {
            Some(NamedRelation { relation, table }) => {
                let start = self.tokens.get(relation.start)?.start as usize;
                let end = self.tokens.get(relation.end - 1)?.end as usize;
                let modifiers = table.and_then(|table| modifiers.get(table));
                SetMeaning::Relation {
                    relation: start..end,
                    modifiers: modifiers.cloned().unwrap_or_default(),
                }
            }
            None if self.scopes.defines(scope, name, false) => SetMeaning::CommonTable,
            None => return None,
        };
        Some(NamedSet {
            name: name.clone(),
            span: reference.span.clone(),
            meaning,
        })
    }
}

/// `FINAL` and `SAMPLE …` of a table.
fn modifiers(reference: &TableReference) -> Vec<Range<usize>> {
    let list = [&reference.is_final, &reference.sample];
    list.into_iter().flatten().cloned().collect()
}
