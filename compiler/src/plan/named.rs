//! What the names of a statement mean: scan × project → [`Shape`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Plan;
use super::allowed::names_engine_table;
use super::columns::{Columns, column_or_node};
use super::compilation::Compilation;
use super::query::QueryError;
use super::shape::{self, Inline, Shape, TableUse};
use crate::graph::{NodeId, Scope, Target, resolve};
use crate::mapped_text::MappedText;
use crate::project::ResourceName;
use crate::sql::definitions;
use crate::sql::{self, Position, Scan, TableReference};

impl Compilation<'_> {
    /// Resolves the names of a statement. The flag says whether the result holds for other values of its literals.
    pub(super) fn shape(
        &self,
        text: &MappedText,
        scan: &Scan,
        scope: Scope<'_>,
    ) -> Result<(Shape, bool), QueryError> {
        let mut naming = Naming {
            plan: self.plan,
            text,
            scan,
            scope,
            shape: Shape::default(),
            cacheable: true,
            written_out: BTreeSet::new(),
            aliased: Vec::new(),
            columns: Columns::new(self.plan, scope, text.text(), scan),
        };
        let end = scan.trailing_semicolon.as_ref();
        naming.shape.end = naming.anchor(end.map_or(text.text().len(), |end| end.start));
        for table in &scan.tables {
            naming.table(table)?;
        }
        naming.rename();
        naming.doubt();
        let Naming {
            mut shape,
            cacheable,
            written_out,
            columns,
            ..
        } = naming;
        let named_sets = scan.named_sets.iter();
        shape.named_sets = named_sets
            .filter(|set| !written_out.contains(&set.span.start))
            .map(|set| set.name.clone())
            .collect();
        shape.inlines.sort_by_key(|inline| inline.start);
        shape.lambdas = scan.lambdas.iter().map(|(name, _)| name.clone()).collect();
        if !shape.inlines.is_empty() {
            shape.captors = Some(Arc::new(scan.captors().clone()));
        }
        shape.definitions = definitions::words(text.text(), scan);
        columns.tell_clock(&mut shape);
        Ok((shape, cacheable))
    }
}

/// A statement whose names are being resolved.
struct Naming<'a> {
    plan: &'a Plan,
    text: &'a MappedText,
    scan: &'a Scan,
    scope: Scope<'a>,
    shape: Shape,
    /// Whether the shape holds for other values of the literals.
    cacheable: bool,
    /// Names right of an `IN` in whose place the query is written that they stand for, by their place.
    written_out: BTreeSet<usize>,
    /// Nodes with an alias, and that.
    aliased: Vec<(&'a str, &'a str)>,
    /// What it may read.
    columns: Columns<'a>,
}

impl<'a> Naming<'a> {
    fn anchor(&mut self, offset: usize) -> shape::Anchor {
        shape::anchor(self.text, offset).unwrap_or_else(|| {
            self.cacheable = false;
            shape::Anchor::default()
        })
    }

    fn resolve(&self, database: Option<&str>, name: &str) -> Option<Target<'a>> {
        let policy = &self.plan.policies.common;
        resolve(&self.plan.project, policy, self.scope, database, name)
    }

    /// Whether a name with a point right of an `IN` is an array of a table of the statement, and not a table of a database.
    fn is_column(&self, table: &TableReference) -> bool {
        let Some(relation) = table.database.as_deref() else {
            return false;
        };
        let databases = [
            self.plan.database.as_str(),
            "default",
            "system",
            "information_schema",
        ];
        let is_database = |name: &&str| name.eq_ignore_ascii_case(relation);
        let mut others = self.scan.tables.iter();
        !databases.iter().any(is_database)
            && others.any(|other| {
                other.position == Position::From
                    && other.query == table.query
                    && other.alias.as_deref().unwrap_or(&other.name) == relation
            })
    }

    fn table(&mut self, table: &'a TableReference) -> Result<(), QueryError> {
        // The name may be a value: another value may name another table.
        self.cacheable &= !matches!(table.position, Position::Dictionary | Position::JoinGet);
        match self.resolve(table.database.as_deref(), &table.name) {
            Some(Target::Node(pipe, node)) => self.node(table, NodeId::of(pipe, node)),
            Some(Target::Datasource(datasource)) => {
                self.own_table(table, Some(&datasource.name));
                Ok(())
            }
            Some(Target::Service) => {
                self.own_table(table, None);
                Ok(())
            }
            None if !crate::graph::must_resolve(table)
                && (!names_engine_table(table) || self.is_column(table)) =>
            {
                self.shape.unknown_sets.insert(table.name.clone());
                Ok(())
            }
            None => Err(crate::graph::unknown(
                &self.plan.project,
                self.scope,
                &table.name,
                &table.display_name(),
                self.text.locate_range(table.span.clone()),
            )
            .into()),
        }
    }

    /// A name of a node, whose text goes in its place.
    fn node(&mut self, table: &'a TableReference, target: NodeId) -> Result<(), QueryError> {
        if let Some(modifier) = table.needs_a_table() {
            let place = self.text.locate_range(modifier);
            return Err(crate::graph::modifier_on_node(&table.name, place).into());
        }
        if self.columns.has_set(table) {
            let place = self.text.locate_range(table.span.clone());
            return Err(column_or_node(&table.name, place).into());
        }
        if let (Position::From, Some(alias)) = (table.position, &table.alias) {
            self.aliased.push((table.name.as_str(), alias.as_str()));
        }
        let takes_alias = table.position == Position::From && table.alias.is_none();
        let is_named = takes_alias && !self.names_an_expression(table) && !self.is_again(table);
        let alias = is_named.then(|| sql::quote_identifier(&table.name));
        let inline = Inline {
            start: self.anchor(table.span.start),
            end: self.anchor(table.span.end),
            target,
            alias,
            scope: table.scope,
        };
        // The engine fails where a name right of an `IN` stands for a query with that alias.
        let sets = self.scan.named_sets.iter();
        for set in sets.filter(|set| set.is_alias_of(table)) {
            let written_out = Inline {
                start: self.anchor(set.span.start),
                end: self.anchor(set.span.end),
                alias: None,
                ..inline.clone()
            };
            self.shape.inlines.push(written_out);
            self.written_out.insert(set.span.start);
        }
        self.shape.inlines.push(inline);
        Ok(())
    }

    /// Whether a query reads a node once more, under the same name: for a table the engine takes the first one for that name, and of two queries it refuses the second.
    fn is_again(&self, table: &TableReference) -> bool {
        self.scan.tables.iter().any(|other| {
            other.position == Position::From
                && other.query == table.query
                && other.span.start < table.span.start
                && other.name == table.name
                && other.alias.is_none()
        })
    }

    /// Whether an expression has the name of a node that is all that a query reads, and nothing is named with it before a dot: the engine takes one of the two for a
    /// name, and needs none for what stands alone.
    fn names_an_expression(&self, table: &TableReference) -> bool {
        let is_beside = |other: &&TableReference| {
            other.position == Position::From && other.query == table.query
        };
        // Most names stand in a text once.
        let is_repeated = self.text.text().matches(&*table.name).nth(1).is_some();
        is_repeated
            && self.columns.given().contains(&table.name)
            && !self.columns.is_qualifier(&table.name)
            && self.scan.tables.iter().filter(is_beside).count() == 1
    }

    /// A name of a table, which stays or gives way to the table's own name: `name__vN` stands for a table without a version in its name, and in the pipe of a workspace
    /// `name` for a table in its database.
    fn own_table(&mut self, table: &TableReference, datasource: Option<&ResourceName>) {
        let (start, end) = (self.anchor(table.span.start), self.anchor(table.span.end));
        let modifiers = table.is_final.iter().chain(&table.sample);
        let mut modifiers: Vec<_> = modifiers
            .map(|range| (self.anchor(range.start), self.anchor(range.end)))
            .collect();
        modifiers.sort();
        let workspace = datasource.and_then(|name| name.workspace.clone());
        let database = table.database.clone().or(workspace);
        let own = datasource.map_or(&table.name, |name| &name.name);
        let is_another = *own != table.name || database != table.database;
        self.shape.tables.push(TableUse {
            database,
            name: own.clone(),
            written: is_another.then(|| table.name.clone()),
            start,
            end,
            position: table.position,
            aliased: table.alias.is_some(),
            modifiers,
        });
    }

    /// Finds the names of nodes before their columns where the nodes have an alias.
    fn rename(&mut self) {
        let mut renamed = renamed(self.scan, &self.aliased);
        renamed.retain(|name, _| self.means_only_the_node(name));
        if renamed.is_empty() {
            return;
        }
        let text = self.text.text();
        for place in sql::qualifiers(text) {
            let name = sql::unquote(&text[place.clone()]);
            if let Some(alias) = renamed.get(name.as_str()) {
                let alias = sql::quote_identifier(alias);
                let (start, end) = (self.anchor(place.start), self.anchor(place.end));
                self.shape.renamed.push((start, end, alias));
            }
        }
    }

    /// Finds the tables that a name right of an `IN` may mean beside an expression.
    fn doubt(&mut self) {
        for table in &self.scan.doubtful_sets {
            match self.resolve(None, &table.name) {
                Some(Target::Datasource(datasource)) => {
                    self.shape.doubtful.push(datasource.name.clone());
                }
                Some(Target::Service) => {
                    self.shape.doubtful.push(ResourceName::local(&table.name));
                }
                // The engine has no table of that name.
                Some(Target::Node(..)) => {}
                None => _ = self.shape.unknown_sets.insert(table.name.clone()),
            }
        }
    }

    /// Whether a node's name is nothing else in the statement: it stands there as the table and before columns alone, and no column has it. Another query of the
    /// statement may give it to something of its own, and a lambda or a tuple may have it.
    fn means_only_the_node(&self, name: &str) -> bool {
        let text = self.text.text();
        let columns = self.plan.tables.values().flat_map(|table| &table.columns);
        let of_node = match self.resolve(None, name) {
            Some(Target::Node(pipe, node)) => {
                let id = NodeId::of(pipe, node);
                self.plan.may_give_column(&id, name, &mut BTreeSet::new())
            }
            _ => false,
        };
        if of_node || columns.into_iter().any(|column| column.name == name) {
            return false;
        }
        let tables = self.scan.tables.iter().map(|table| table.span.start);
        let qualifiers = sql::qualifiers(text);
        let mut known: BTreeSet<usize> = qualifiers.iter().map(|place| place.start).collect();
        known.extend(tables);
        let places = sql::places_of_name(text, name);
        places.iter().all(|place| known.contains(place))
    }
}

/// The nodes that have another name in a statement than their own, with that name. A name that something else has, or a node that has two, is left alone.
fn renamed<'a>(scan: &'a Scan, aliased: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
    let relations: BTreeSet<&str> = scan
        .tables
        .iter()
        .filter(|table| table.position == Position::From)
        .map(|table| table.alias.as_ref().unwrap_or(&table.name).as_str())
        .chain(scan.common_tables.iter().map(|common| common.name.as_str()))
        .collect();
    let mut renamed: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for (name, alias) in aliased.iter().filter(|(name, _)| !relations.contains(name)) {
        let known = renamed.entry(*name).or_insert(Some(*alias));
        if *known != Some(*alias) {
            *known = None;
        }
    }
    let one = renamed.into_iter();
    one.filter_map(|(name, alias)| Some((name, alias?)))
        .collect()
}
