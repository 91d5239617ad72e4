//! From the statement of a node to the one that is sent: the rules of the optimizer, once for each shape of statement.

use std::sync::Arc;

use pipewright_grammar::syntax::DefaultKind;

use super::{Column, Compiled, Plan, Role, shape};
use crate::graph::NodeId;
use crate::optimize::{self, Context, TableColumns};
use crate::project::ResourceName;

impl Plan {
    /// Optimizes the statement of a node that answers requests. What fills tables stays as its author wrote it: the statement of a view is compared with
    /// that of the engine, and a copy is not waited for.
    pub(super) fn optimize(&self, id: &NodeId, compiled: &mut Compiled) {
        let node = self
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node));
        let Some(node) = node.filter(|node| matches!(node.role, Role::Standard | Role::Endpoint))
        else {
            return;
        };
        if self.rules.is_empty() || compiled.settings.disable.is_some() {
            return;
        }
        let key = shape::key(&compiled.sql);
        let recipe = node.recipes.find(&key).unwrap_or_else(|| {
            let table = |database: Option<&str>, name: &str| self.table_columns(database, name);
            let recipe = optimize::run(&compiled.sql, &self.rules, &Context { table: &table });
            let recipe = Arc::new(recipe);
            node.recipes.keep(key, Arc::clone(&recipe));
            recipe
        });
        if let Some(recipe) = recipe.as_ref() {
            compiled.sql = recipe.follow(&compiled.sql);
            compiled.rewrites = Arc::clone(recipe.rewrites());
        }
    }

    /// The columns of a table of the project.
    fn table_columns(&self, database: Option<&str>, name: &str) -> Option<TableColumns> {
        let database = database.filter(|database| *database != self.database);
        let table = self.tables.get(&ResourceName {
            workspace: database.map(ToOwned::to_owned),
            name: name.to_owned(),
        })?;
        let computed = |column: &&Column| {
            let kind = column.default.as_ref().map(|(kind, _)| *kind);
            !matches!(kind, None | Some(DefaultKind::Default))
        };
        let (hidden, shown): (Vec<_>, Vec<_>) = table.columns.iter().partition(computed);
        let names = |columns: Vec<&Column>| {
            columns
                .into_iter()
                .map(|column| column.name.clone())
                .collect()
        };
        Some(TableColumns {
            shown: names(shown),
            hidden: names(hidden),
        })
    }
}
