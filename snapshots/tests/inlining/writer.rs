//! The statements of random projects, each written both ways: with bare names, and with every table qualified by a database of its own.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Meaning, Model, Node, quoted};
use crate::tape::Tape;

/// How many shapes of statements there are.
const SHAPES: usize = 36;

/// What stands after a statement. The first ones are the plainest, since shrinking goes there.
const ENDINGS: &[&str] = &[
    "",
    ";",
    " -- done",
    "\n    -- done",
    " /* done */",
    ";\n    -- done",
    " ; ;",
    " # done",
];

/// A name in scope with what it means.
pub(super) type Named = (String, Meaning);

/// Whether one of two tables of the same `FROM` could be meant by the other's name: the engine takes a table's own name beside its alias, so that what is said
/// of the other would be said of both. That is not what is tried here.
fn clash(one: &Named, other: &Named) -> bool {
    one.0 == other.0 || answers_to(one, &other.0) || answers_to(other, &one.0)
}

/// Whether the engine takes a name for that table, whatever its alias.
fn answers_to(table: &Named, name: &str) -> bool {
    table.1.own_name() == Some(name)
}

/// A table for the right side of an `IN` beside one in the `FROM`: what the engine would take for that one is that one.
fn set_beside(from: &Named, set: &Named) -> Named {
    let bare = !matches!(set.1, Meaning::Shared(_));
    if bare && answers_to(from, &set.0) {
        from.clone()
    } else {
        set.clone()
    }
}

/// One statement, written both ways at once.
#[derive(Default)]
pub(super) struct Writer {
    bare: String,
    qualified: String,
    reads: BTreeSet<Meaning>,
}

impl Writer {
    pub(super) fn node(
        model: &Model,
        pipe: &str,
        names: &[String],
        at: usize,
        endpoint: bool,
        tape: &mut Tape,
    ) -> Node {
        let name = names[at].clone();
        let scope = model.scope(pipe, names, &name);
        let mut writer = Self::default();
        writer.statement(&scope, model, tape);
        Node {
            pipe: pipe.to_owned(),
            name,
            bare: writer.bare,
            qualified: writer.qualified,
            ending: (*tape.one(ENDINGS)).to_owned(),
            endpoint,
            reads: writer.reads,
        }
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bare.push_str(text);
        self.qualified.push_str(text);
        self
    }

    /// A table after `FROM` or `JOIN`; its columns can be qualified by the alias or else by the name.
    fn table(&mut self, named: &Named, alias: Option<&str>) -> &mut Self {
        self.table_with(named, alias, "")
    }

    /// The same with `FINAL`. In the second text it is a query, so that the engine knows it by nothing but its alias.
    fn table_with(&mut self, named: &Named, alias: Option<&str>, modifier: &str) -> &mut Self {
        let alias_text = alias.map_or(String::new(), |alias| format!(" AS {alias}"));
        _ = write!(
            self.bare,
            "{}{alias_text}{modifier}",
            named.1.written(&named.0)
        );
        let alias = alias.map_or_else(|| quoted(&named.0), str::to_owned);
        _ = write!(
            self.qualified,
            "(SELECT * FROM {}{modifier}) AS {alias}",
            named.1.table()
        );
        self.reads.insert(named.1.clone());
        self
    }

    /// A table after `IN`.
    fn set(&mut self, named: &Named) -> &mut Self {
        self.bare.push_str(&named.1.written(&named.0));
        self.qualified.push_str(&named.1.table());
        self.reads.insert(named.1.clone());
        self
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each shape of statement")]
    fn statement(&mut self, scope: &[Named], model: &Model, tape: &mut Tape) {
        if scope.is_empty() {
            // Every name is that of a node which is not there yet.
            self.text("SELECT toInt64(number) AS k, k + 1 AS v, 'x' AS s FROM numbers(3)");
            return;
        }
        let a = tape.one(scope).clone();
        let b = tape.one(scope).clone();
        let c = tape.one(scope).clone();
        let other: Vec<Named> = scope
            .iter()
            .filter(|named| !clash(named, &a))
            .cloned()
            .collect();
        let set = set_beside(&a, &b);
        // A name for a common table expression: of a resource, so that it hides it.
        let hidden = tape.one(scope).0.clone();
        let name = quoted(&hidden);
        let visible: Vec<Named> = scope
            .iter()
            .filter(|named| named.0 != hidden)
            .cloned()
            .collect();
        let shown = if visible.is_empty() {
            None
        } else {
            Some(tape.one(&visible).clone())
        };
        let qa = quoted(&a.0);
        let number = tape.below(5);
        match tape.below(SHAPES) {
            0 => _ = self.text("SELECT k, v, s FROM ").table(&a, None),
            1 => _ = self.text("SELECT * FROM ").table(&a, None),
            2 => {
                self.text(&format!("SELECT {qa}.k, {qa}.v, {qa}.s FROM "))
                    .table(&a, None);
                self.text(&format!(" WHERE {qa}.v > {number}"));
            }
            3 => {
                self.text(&format!(
                    "SELECT k, sum({qa}.v) AS v, max({qa}.s) AS s FROM "
                ));
                self.table(&a, None).text(" GROUP BY k");
            }
            4 if !other.is_empty() => {
                let b = tape.one(&other).clone();
                let qb = quoted(&b.0);
                let joins = [
                    " JOIN ",
                    " INNER JOIN ",
                    " LEFT JOIN ",
                    " GLOBAL ALL INNER JOIN ",
                ];
                self.text(&format!(
                    "SELECT {qa}.k AS k, sum({qa}.v + {qb}.v) AS v, max({qb}.s) AS s FROM "
                ));
                self.table(&a, None)
                    .text(joins[tape.below(joins.len())])
                    .table(&b, None);
                self.text(&format!(" ON {qa}.k = {qb}.k GROUP BY {qa}.k"));
            }
            5 => {
                let taken = [&a, &b]
                    .iter()
                    .any(|table| table.0 == hidden || answers_to(table, &hidden));
                let alias = if taken { "y".to_owned() } else { name.clone() };
                self.text(&format!(
                    "SELECT zz.k AS k, sum(zz.v + {alias}.v) AS v, max({alias}.s) AS s FROM "
                ));
                self.table(&a, Some("zz"))
                    .text(" JOIN ")
                    .table(&b, Some(&alias));
                self.text(&format!(" ON zz.k = {alias}.k GROUP BY zz.k"));
            }
            6 => {
                self.text("SELECT k, v, s FROM ").table(&a, None);
                self.text(" UNION ALL SELECT * FROM ").table(&b, None);
            }
            7 => {
                self.text(&format!(
                    "SELECT {qa}.k AS k, {qa}.v + toInt64((SELECT count() FROM "
                ));
                self.table(&b, None)
                    .text(&format!(")) AS v, {qa}.s AS s FROM "))
                    .table(&a, None);
            }
            8 => {
                let operator = *tape.one(&["IN", "NOT IN", "GLOBAL IN"]);
                self.text("SELECT k, v, s FROM ").table(&a, None);
                self.text(&format!(" WHERE (k, v, s) {operator} "))
                    .set(&set);
            }
            9 => {
                self.text("SELECT k, v, s FROM ").table(&a, None);
                self.text(" WHERE k IN (SELECT k FROM ")
                    .table(&b, None)
                    .text(")");
            }
            10 => {
                // Inside of its own definition, the name still means the resource.
                self.text(&format!("WITH {name} AS (SELECT k, v + 1 AS v, s FROM "));
                self.table(&a, Some("inner_one"));
                self.text(&format!(") SELECT k, v, s FROM {name}"));
                if let Some(shown) = &shown {
                    self.text(" UNION ALL SELECT k, v, s FROM ")
                        .table(shown, None);
                }
            }
            11 => {
                let clear = |shown: &&Named| !answers_to(shown, &hidden);
                let Some(shown) = shown.as_ref().filter(clear) else {
                    _ = self.text("SELECT * FROM ").table(&a, None);
                    return;
                };
                let left = quoted(&shown.0);
                self.text(&format!("WITH {name} AS (SELECT * FROM "))
                    .table(&b, None);
                self.text(&format!(
                    ") SELECT {left}.k AS k, sum({left}.v + {name}.v) AS v, max({name}.s) AS s FROM "
                ));
                self.table(shown, None);
                self.text(&format!(
                    " JOIN {name} ON {left}.k = {name}.k GROUP BY {left}.k"
                ));
            }
            12 => {
                self.text(&format!(
                    "WITH nested AS (WITH {name} AS (SELECT k, v * 2 AS v, s FROM "
                ));
                self.table(&b, Some("t"));
                self.text(&format!(
                    ") SELECT k, v, s FROM {name}) SELECT k, v, s FROM nested UNION ALL SELECT * FROM "
                ));
                self.table(&a, None);
            }
            13 => {
                // A name that the nodes it reads may give to a common table expression. One of its own tables would be hidden by it.
                let taken = [&a, &b]
                    .iter()
                    .any(|table| table.0 == hidden || answers_to(table, &hidden));
                let scalar = if taken { "rows_of_it".to_owned() } else { name };
                self.text("WITH (SELECT count() FROM ").table(&b, None);
                self.text(&format!(
                    ") AS {scalar} SELECT {qa}.k AS k, {qa}.v + toInt64({scalar}) AS v, {qa}.s AS s FROM "
                ));
                self.table(&a, None);
            }
            14 => {
                let tables: Vec<&Named> = scope
                    .iter()
                    .filter(|named| named.1.own_name().is_some())
                    .collect();
                match tables.first() {
                    Some(table) => {
                        let alias = tape.below(2) == 1;
                        let table = (*table).clone();
                        self.text("SELECT k, v, s FROM ");
                        self.table_with(&table, alias.then_some("t"), " FINAL");
                    }
                    None => _ = self.text("SELECT * FROM ").table(&a, None),
                }
            }
            15 => {
                let alias = *tape.one(&["", " AS q", " q"]);
                self.text("SELECT k, v, s FROM (SELECT * FROM ")
                    .table(&a, None);
                self.text(&format!("){alias} WHERE v != {number}"));
            }
            16 => {
                self.text("SELECT l.k AS k, sum(l.v * r.v) AS v, min(r.s) AS s FROM ");
                self.table(&a, Some("l")).text(", ").table(&b, Some("r"));
                self.text(" WHERE l.k = r.k GROUP BY l.k");
            }
            17 => {
                self.text("SELECT DISTINCT k, v, s FROM ").table(&a, None);
                self.text(" ORDER BY k, v, s LIMIT 4");
            }
            18 => {
                self.text(&format!(
                    "SELECT k, v, s FROM (WITH {name} AS (SELECT * FROM "
                ));
                self.table(&b, None)
                    .text(&format!(") SELECT * FROM {name}) WHERE (k, v, s) IN "));
                self.set(&c);
            }
            19 => {
                let operator = *tape.one(&["EXCEPT", "INTERSECT", "UNION DISTINCT"]);
                self.text("(SELECT k, v, s FROM ").table(&a, None);
                self.text(&format!(") {operator} (SELECT k, v, s FROM "))
                    .table(&b, None)
                    .text(")");
            }
            20 => {
                self.text("FROM ").table(&a, None);
                self.text(&format!(" SELECT k, v, s WHERE k >= {number}"));
            }
            21 => {
                self.text("SELECT k, v + q AS v, s FROM ")
                    .table(&a, Some("t"));
                self.text(" ARRAY JOIN [1, 2] AS q");
            }
            22 => {
                self.text(&format!("WITH {name} AS (SELECT * FROM "))
                    .table(&b, None);
                let shown = shown.filter(|shown| !answers_to(shown, &hidden));
                let from = shown.as_ref().unwrap_or(&a);
                if shown.is_some() {
                    self.text(") SELECT k, v, s FROM ").table(from, None);
                } else {
                    self.text(&format!(") SELECT k, v, s FROM {name}"));
                }
                self.text(&format!(" WHERE (k, v, s) IN {name}"));
            }
            23 => self.set_of_the_same_from(&a, &name, tape),
            24 => {
                // The alias of a table comes before a common table expression right of an `IN`.
                let reads_it = a.0 == hidden && !matches!(a.1, Meaning::Shared(_));
                let name = if reads_it {
                    "other_one".to_owned()
                } else {
                    name
                };
                self.text(&format!(
                    "WITH {name} AS (SELECT toInt64(1) AS k, toInt64(2) AS v, 'y' AS s) "
                ));
                self.set_of_the_same_from(&a, &name, tape);
            }
            25 => {
                self.text(&format!("WITH RECURSIVE {name} AS (SELECT toInt64({number}) AS k, toInt64(1) AS v, 'r' AS s UNION ALL SELECT k + 1, v + 1, s FROM {name} WHERE v < 3) "));
                self.text(&format!("SELECT k, v, s FROM {name}"));
                if let Some(shown) = &shown {
                    self.text(" UNION ALL SELECT k, v, s FROM ")
                        .table(shown, None);
                }
            }
            26 => {
                // In the inner definition the name means the outer one.
                self.text(&format!("WITH {name} AS (SELECT * FROM "))
                    .table(&b, Some("outer_one"));
                self.text(&format!(
                    ") SELECT k, v, s FROM (WITH {name} AS (SELECT k, v + 1 AS v, s FROM {name}) SELECT * FROM {name}) UNION ALL SELECT k, v, s FROM {name}"
                ));
            }
            27 => {
                self.text(&format!("SELECT k, v + {name} AS v, s FROM "))
                    .table(&a, Some("t"));
                self.text(&format!(" ARRAY JOIN [1, 2] AS {name}"));
            }
            28 => {
                self.text(&format!(
                    "SELECT k, v + arraySum({name} -> {name} * 2, arrayFilter({name} -> {name} IN (1, {number}), [1, 2, {number}])) AS v, s FROM "
                ))
                .table(&a, None);
            }
            29 => {
                self.text("SELECT k, v, s FROM ").table(&a, None);
                let form = *tape.one(&[
                    (" WHERE (k, v, s) IN (", ")"),
                    (" WHERE in((k, v, s), ", ")"),
                    (" WHERE (k, v, s) NOT IN ((", "))"),
                ]);
                self.text(form.0).set(&set).text(form.1);
            }
            30 => {
                let taken = [&a, &b]
                    .iter()
                    .any(|table| table.0 == hidden || answers_to(table, &hidden));
                let scalar = if taken {
                    "some_number".to_owned()
                } else {
                    name
                };
                self.text(&format!(
                    "WITH toInt64({number}) AS {scalar} SELECT {qa}.k AS k, {qa}.v + {scalar} AS v, {qa}.s AS s FROM "
                ))
                .table(&a, None);
                self.text(" WHERE (k, v, s) NOT IN ").set(&set);
            }
            31 => {
                // Nodes that read one another have the same words for different things.
                self.text("WITH raw AS (SELECT k, v, s FROM ")
                    .table(&b, None);
                self.text(") , more AS (SELECT k, v + 1 AS v, s FROM raw) SELECT k, v, s FROM more WHERE k IN (SELECT k FROM raw)");
            }
            shape @ (32 | 33) => self.defined_far_away(shown.as_ref(), &name, shape == 32),
            _ if !other.is_empty() => {
                let b = tape.one(&other).clone();
                self.text(&format!(
                    "SELECT {qa}.k AS k, {qa}.v AS v, {qa}.s AS s FROM "
                ));
                self.table(&a, None)
                    .text(" LEFT SEMI JOIN ")
                    .table(&b, None)
                    .text(" USING k");
            }
            _ => {
                self.text("SELECT t.* FROM ").table(&a, Some("t"));
                self.text(&format!(
                    " WHERE t.k < {}",
                    model.datasources.len() + number
                ));
            }
        }
    }

    /// What is read far from where it is defined, with another definition around that place. The engine looks the names of a definition up where it is used.
    fn defined_far_away(&mut self, read: Option<&Named>, name: &str, is_table: bool) {
        let another =
            format!("(WITH {name} AS (SELECT toInt64(1) AS k, toInt64(2) AS v, 'y' AS s) SELECT");
        let Some(read) = read else {
            _ = self.text(&format!("SELECT * FROM {another} k, v, s FROM {name})"));
            return;
        };
        if is_table {
            self.text("WITH defined AS (SELECT k, v, s FROM ")
                .table(read, Some("far_one"));
            self.text(&format!(
                ") SELECT k, v, s FROM {another} d.k AS k, d.v AS v, d.s AS s FROM defined AS d UNION ALL SELECT k, v, s FROM {name})"
            ));
        } else {
            self.text("WITH (SELECT sum(far_one.v) FROM ")
                .table(read, Some("far_one"));
            self.text(&format!(
                ") AS defined SELECT k, v, s FROM {another} k, toInt64(defined) AS v, s FROM {name})"
            ));
        }
    }

    /// `FROM a AS x WHERE … IN x`: the set is that table, which the second text says in so many words.
    fn set_of_the_same_from(&mut self, a: &Named, alias: &str, tape: &mut Tape) {
        let modifier = match a.1.own_name() {
            Some(_) if tape.below(2) == 1 => " FINAL",
            _ => "",
        };
        self.text("SELECT k, v, s FROM ");
        self.table_with(a, Some(alias), modifier);
        self.text(" WHERE (k, v, s) IN ");
        self.bare.push_str(alias);
        _ = write!(self.qualified, "(SELECT * FROM {}{modifier})", a.1.table());
        self.text(" AND v != 1");
    }
}
