//! What the names of a statement mean: scan × project → [`Shape`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::query::{Compilation, QueryError, names_engine_table};
use super::shape::{self, Inline, Shape, TableUse};
use crate::graph::{NodeId, Scope, Target, resolve};
use crate::mapped_text::MappedText;
use crate::project::ResourceName;
use crate::sql::definitions;
use crate::sql::{self, Position, Scan};

impl Compilation<'_> {
    /// Resolves the names of a statement. The flag says whether the result holds for other values of its literals.
    pub(super) fn shape(
        &self,
        text: &MappedText,
        scan: &Scan,
        scope: Scope<'_>,
    ) -> Result<(Shape, bool), QueryError> {
        let plan = self.plan;
        let mut shape = Shape::default();
        let (mut cacheable, mut cacheable_names) = (true, true);
        let (mut written_out, mut aliased) = (BTreeSet::new(), Vec::new());
        let mut anchor = |offset: usize| {
            shape::anchor(text, offset).unwrap_or_else(|| {
                cacheable = false;
                shape::Anchor::default()
            })
        };
        shape.end = anchor(
            scan.trailing_semicolon
                .as_ref()
                .map_or(text.text().len(), |semicolon| semicolon.start),
        );
        for table in &scan.tables {
            let database = table.database.as_deref();
            let (start, end) = (anchor(table.span.start), anchor(table.span.end));
            // The name may be a value: another value may name another table.
            cacheable_names &= !matches!(table.position, Position::Dictionary | Position::JoinGet);
            match resolve(
                &plan.project,
                &plan.policies.common,
                scope,
                database,
                &table.name,
            ) {
                Some(Target::Node(pipe, node)) => {
                    if let Some(modifier) = table.needs_a_table() {
                        return Err(crate::graph::modifier_on_node(
                            &table.name,
                            text.locate_range(modifier),
                        )
                        .into());
                    }
                    let target = NodeId {
                        pipe: pipe.name.clone(),
                        node: node.name.value.clone(),
                    };
                    if let (Position::From, Some(alias)) = (table.position, &table.alias) {
                        aliased.push((table.name.as_str(), alias.as_str()));
                    }
                    let alias = (table.position == Position::From && table.alias.is_none())
                        .then(|| sql::quote_identifier(&table.name));
                    let inline = Inline {
                        start,
                        end,
                        target,
                        alias,
                        scope: table.scope,
                    };
                    // The engine fails where a name right of an `IN` stands for a query with that alias.
                    for set in scan.named_sets.iter().filter(|set| set.is_alias_of(table)) {
                        shape.inlines.push(Inline {
                            start: anchor(set.span.start),
                            end: anchor(set.span.end),
                            alias: None,
                            ..inline.clone()
                        });
                        written_out.insert(set.span.start);
                    }
                    shape.inlines.push(inline);
                }
                Some(target @ (Target::Datasource(_) | Target::Service)) => {
                    let mut modifiers: Vec<_> = table
                        .is_final
                        .iter()
                        .chain(&table.sample)
                        .map(|range| (anchor(range.start), anchor(range.end)))
                        .collect();
                    modifiers.sort();
                    let (aliased, position) = (table.alias.is_some(), table.position);
                    // `name__vN` stands for a table without a version in its name, and in the pipe of a workspace `name` for a table in its database.
                    let (database, own) = match target {
                        Target::Datasource(datasource) => {
                            let workspace = datasource.name.workspace.clone();
                            (table.database.clone().or(workspace), &datasource.name.name)
                        }
                        _ => (table.database.clone(), &table.name),
                    };
                    let is_another = *own != table.name || database != table.database;
                    shape.tables.push(TableUse {
                        database,
                        name: own.clone(),
                        written: is_another.then(|| table.name.clone()),
                        start,
                        end,
                        position,
                        aliased,
                        modifiers,
                    });
                }
                None if !crate::graph::must_resolve(table) && !names_engine_table(table) => {
                    shape.unknown_sets.insert(table.name.clone());
                }
                None => {
                    return Err(crate::graph::unknown(
                        &plan.project,
                        scope,
                        &table.name,
                        &table.display_name(),
                        text.locate_range(table.span.clone()),
                    )
                    .into());
                }
            }
        }
        let named_sets = scan.named_sets.iter();
        shape.named_sets = named_sets
            .filter(|set| !written_out.contains(&set.span.start))
            .map(|set| set.name.clone())
            .collect();
        shape.inlines.sort_by_key(|inline| inline.start);
        let renamed = renamed(scan, &aliased);
        if !renamed.is_empty() {
            for place in sql::qualifiers(text.text()) {
                let name = sql::unquote(&text.text()[place.clone()]);
                if let Some(alias) = renamed.get(name.as_str()) {
                    let alias = sql::quote_identifier(alias);
                    let (start, end) = (anchor(place.start), anchor(place.end));
                    shape.renamed.push((start, end, alias));
                }
            }
        }
        for table in &scan.doubtful_sets {
            let policy = &plan.policies.common;
            match resolve(&plan.project, policy, scope, None, &table.name) {
                Some(Target::Datasource(datasource)) => {
                    shape.doubtful.push(datasource.name.clone());
                }
                Some(Target::Service) => shape.doubtful.push(ResourceName::local(&table.name)),
                // The engine has no table of that name.
                Some(Target::Node(..)) => {}
                None => _ = shape.unknown_sets.insert(table.name.clone()),
            }
        }
        shape.lambdas = scan.lambdas.iter().map(|(name, _)| name.clone()).collect();
        if !shape.inlines.is_empty() {
            shape.captors = Some(Arc::new(scan.captors().clone()));
        }
        shape.definitions = definitions::words(text.text(), scan);
        Ok((shape, cacheable && cacheable_names))
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
