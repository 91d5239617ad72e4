//! Tables, subqueries and common tables as a `FROM` sees them.

use sqlparser::ast::{Cte, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor};

use super::scope::{Known, Link, Scope};
use super::{Analysis, Input, Inputs, Output, Outputs, start};

/// A column of a relation.
#[derive(Debug, Clone)]
pub(super) struct RelationColumn {
    pub(super) name: String,
    /// Whether the engine surely calls it that.
    pub(super) certain: bool,
    /// Whether `*` stands for it.
    pub(super) in_star: bool,
    pub(super) inputs: Inputs,
}

/// Something with columns in a `FROM`.
#[derive(Debug, Clone, Default)]
pub(super) struct Relation {
    /// The names that qualify its columns, the alias first.
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<RelationColumn>,
    /// Whether it may have other columns.
    pub(super) more: bool,
    /// What those may come from.
    pub(super) open: Inputs,
    /// The table that it is.
    pub(super) table: Option<usize>,
}

impl Relation {
    /// What a column comes from that is not among the known ones, if there may be one of that name.
    pub(super) fn other(&self, name: &str) -> Option<Inputs> {
        let uncertain = self.columns.iter().filter(|column| !column.certain);
        let mut inputs: Inputs = uncertain
            .clone()
            .flat_map(|column| column.inputs.clone())
            .collect();
        if !self.more {
            return uncertain.clone().next().map(|_| inputs);
        }
        match self.table {
            Some(table) => {
                inputs.insert(Input {
                    table,
                    column: Some(name.to_owned()),
                });
            }
            None => inputs.extend(self.open.iter().cloned()),
        }
        Some(inputs)
    }
}

/// The words of a name.
pub(super) fn words(name: &ObjectName) -> Vec<&str> {
    let idents = name.0.iter().filter_map(ObjectNamePart::as_ident);
    idents.map(|ident| ident.value.as_str()).collect()
}

impl Analysis<'_> {
    /// The relation of an element of `FROM`, without joins in brackets.
    pub(super) fn relation(&self, factor: &TableFactor, scope: &Scope<'_>) -> Relation {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => self.named(name, alias.as_ref(), scope),
            TableFactor::Table { name, alias, .. } => {
                let function = words(name).last().map(|name| name.to_ascii_lowercase());
                let numbers = ["numbers", "numbers_mt", "zeros", "zeros_mt"];
                let known = function
                    .as_deref()
                    .is_some_and(|name| numbers.contains(&name));
                let number = match function.as_deref() {
                    Some(name) if name.starts_with("zeros") => "zero",
                    _ => "number",
                };
                let column = known.then(|| Output {
                    name: number.to_owned(),
                    certain: true,
                    inputs: Inputs::new(),
                });
                let outputs = Outputs {
                    columns: column.into_iter().collect(),
                    more: !known,
                    open: Inputs::new(),
                };
                from_outputs(outputs, alias.as_ref())
            }
            TableFactor::Derived {
                subquery, alias, ..
            } => {
                let outputs = self.subquery(subquery, scope, Link::Table);
                from_outputs(outputs, alias.as_ref())
            }
            _ => {
                self.partial();
                Relation {
                    more: true,
                    ..Relation::default()
                }
            }
        }
    }

    fn named(&self, name: &ObjectName, alias: Option<&TableAlias>, scope: &Scope<'_>) -> Relation {
        let parts = words(name);
        let own = parts.last().copied().unwrap_or_default();
        let first = name.0.first().and_then(ObjectNamePart::as_ident);
        let place = first.and_then(|ident| start(ident.span));
        let table = place.and_then(|place| self.places.get(&place)).copied();
        let mut relation = match table {
            Some(table) => self.table(table),
            None => match scope.common_table(own) {
                Some((defined, cte)) => from_outputs(self.common(cte, defined), None),
                // The name of a recursive common table in itself: what it gives is what its other parts give.
                None => Relation {
                    more: true,
                    ..Relation::default()
                },
            },
        };
        relation.names = alias
            .map(|alias| alias.name.value.clone())
            .into_iter()
            .chain([own.to_owned()])
            .chain((parts.len() > 1).then(|| parts.join(".")))
            .collect();
        rename(&mut relation, alias);
        relation
    }

    fn table(&self, table: usize) -> Relation {
        let any = Input {
            table,
            column: None,
        };
        let known = self.tables.get(table).and_then(Option::as_ref);
        let columns = known.map_or(&[][..], |known| &known.columns);
        Relation {
            columns: columns
                .iter()
                .map(|(name, in_star)| RelationColumn {
                    name: name.clone(),
                    certain: true,
                    in_star: *in_star,
                    inputs: Inputs::from([Input {
                        table,
                        column: Some(name.clone()),
                    }]),
                })
                .collect(),
            more: known.is_none_or(|known| !known.complete),
            open: Inputs::from([any]),
            table: Some(table),
            names: Vec::new(),
        }
    }

    /// What a common table gives; it is looked at once, where it is first read.
    pub(super) fn common(&self, cte: &Cte, scope: &Scope<'_>) -> Outputs {
        let name = &cte.alias.name.value;
        if let Some(Known::As(outputs)) = scope.known_common.borrow().get(name) {
            return outputs.clone();
        }
        let mut known = scope.known_common.borrow_mut();
        known.insert(name.clone(), Known::UnderWay);
        drop(known);
        let mut outputs = self.subquery(&cte.query, scope, Link::Table);
        for (output, column) in outputs.columns.iter_mut().zip(&cte.alias.columns) {
            output.name.clone_from(&column.name.value);
            output.certain = true;
        }
        let mut known = scope.known_common.borrow_mut();
        known.insert(name.clone(), Known::As(outputs.clone()));
        outputs
    }

    /// What a query inside of another gives.
    pub(super) fn subquery(&self, query: &Query, scope: &Scope<'_>, link: Link) -> Outputs {
        self.deeper(|| self.query(query, Some((scope, link))))
    }
}

fn from_outputs(outputs: Outputs, alias: Option<&TableAlias>) -> Relation {
    let columns = outputs.columns.into_iter().map(|output| RelationColumn {
        name: output.name,
        certain: output.certain,
        in_star: true,
        inputs: output.inputs,
    });
    let mut relation = Relation {
        names: alias
            .map(|alias| alias.name.value.clone())
            .into_iter()
            .collect(),
        columns: columns.collect(),
        more: outputs.more,
        open: outputs.open,
        table: None,
    };
    rename(&mut relation, alias);
    relation
}

/// `AS t(a, b)`.
fn rename(relation: &mut Relation, alias: Option<&TableAlias>) {
    let names = alias.map_or(&[][..], |alias| &alias.columns);
    for (column, name) in relation.columns.iter_mut().zip(names) {
        column.name.clone_from(&name.name.value);
        column.certain = true;
    }
}

/// The table whose name a name of several parts begins with, by its place, and how many parts that are: as many as possible.
pub(super) fn qualifier(relations: &[Relation], parts: &[&str]) -> Option<(usize, usize)> {
    let before_the_last = parts.split_last()?.1;
    let named = relations.iter().enumerate().flat_map(|(at, relation)| {
        let names = relation.names.iter();
        names.filter_map(move |name| Some((at, leading_parts(name, before_the_last)?)))
    });
    longest(named)
}

/// How many of the first parts are that name, joined by dots. In one go, since a name may have thousands of parts.
pub(super) fn leading_parts(name: &str, parts: &[&str]) -> Option<usize> {
    let mut rest = name;
    for (at, part) in parts.iter().enumerate() {
        rest = rest.strip_prefix(part)?;
        if rest.is_empty() {
            return Some(at + 1);
        }
        rest = rest.strip_prefix('.')?;
    }
    None
}

/// The first of those with the greatest number.
pub(super) fn longest<T>(found: impl Iterator<Item = (T, usize)>) -> Option<(T, usize)> {
    found.reduce(|best, next| if next.1 > best.1 { next } else { best })
}
