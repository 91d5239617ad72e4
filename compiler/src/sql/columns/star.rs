//! `*`, `t.*` and `COLUMNS(…)`: the columns that they stand for.

use std::collections::BTreeMap;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
    WildcardAdditionalOptions,
};

use super::name::qualified;
use super::relation::Relation;
use super::scope::Scope;
use super::{Analysis, Inputs, Output, Outputs, start};

impl Analysis<'_> {
    /// What `*` gives, or `table.*`.
    pub(super) fn star(&self, table: Option<&str>, scope: &Scope<'_>) -> Outputs {
        let relations = scope.relations.borrow();
        let using = scope.using.borrow();
        let mut outputs = Outputs::default();
        let is_meant = |relation: &Relation| {
            table.is_none_or(|table| relation.names.iter().any(|name| name == table))
        };
        if let Some(table) = table
            && !relations.iter().any(is_meant)
        {
            self.unresolved(format!("{table}.*"));
        }
        // With `USING`, the keys come first and once.
        let mut given: Vec<&str> = Vec::new();
        for (at, relation) in relations.iter().enumerate() {
            if !is_meant(relation) {
                continue;
            }
            for column in relation.columns.iter().filter(|column| column.in_star) {
                let key = using.get(&column.name).filter(|_| table.is_none());
                if key.is_some() && given.contains(&column.name.as_str()) {
                    continue;
                }
                given.push(&column.name);
                let (name, certain) = match key {
                    Some(_) => (column.name.clone(), true),
                    None => qualified(&relations, at, &column.name, &scope.aliases),
                };
                outputs.columns.push(Output {
                    name,
                    certain: certain && column.certain,
                    inputs: key.unwrap_or(&column.inputs).clone(),
                });
            }
            if relation.more {
                outputs.more = true;
                outputs.open.extend(relation.open.iter().cloned());
            }
        }
        outputs
    }

    /// What is left of a `*` by its `EXCEPT` and `REPLACE`.
    pub(super) fn transformed(
        &self,
        mut outputs: Outputs,
        options: &WildcardAdditionalOptions,
        scope: &Scope<'_>,
    ) -> Outputs {
        if let Some(except) = &options.opt_except {
            let names = std::iter::once(&except.first_element).chain(&except.additional_elements);
            let names: Vec<&str> = names.map(|name| name.value.as_str()).collect();
            outputs
                .columns
                .retain(|output| !names.contains(&output.name.as_str()));
        }
        if let Some(replace) = &options.opt_replace {
            let replaced: BTreeMap<&str, Inputs> = replace
                .items
                .iter()
                .map(|item| {
                    let inputs = self.expression(&item.expr, scope);
                    (item.column_name.value.as_str(), inputs)
                })
                .collect();
            for output in &mut outputs.columns {
                if let Some(inputs) = replaced.get(output.name.as_str()) {
                    output.inputs.clone_from(inputs);
                }
            }
        }
        let unknown = options.opt_ilike.is_some()
            || options.opt_exclude.is_some()
            || options.opt_rename.is_some();
        let from = start(options.wildcard_token.0.span);
        // What stands behind the star is not in the tree: which columns are left, or what they are called, is open.
        if unknown || self.is_transformed(from) {
            return open(&outputs);
        }
        outputs
    }

    /// Whether a transformer that the tree does not show may belong to a `*` or `COLUMNS(…)` that starts at a place.
    fn is_transformed(&self, from: Option<usize>) -> bool {
        let from = from.unwrap_or(0);
        self.transformers.iter().any(|place| *place > from)
    }

    /// What `COLUMNS('pattern')` or `COLUMNS(a, b)` gives.
    pub(super) fn matched(
        &self,
        function: &Function,
        table: Option<&str>,
        scope: &Scope<'_>,
    ) -> Outputs {
        let all = self.star(table, scope);
        let FunctionArguments::List(list) = &function.args else {
            return open(&all);
        };
        let mut outputs = Outputs::default();
        for argument in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
                return open(&all);
            };
            match expr {
                Expr::Value(value) => {
                    let Value::SingleQuotedString(pattern) = &value.value else {
                        return open(&all);
                    };
                    let Some(pattern) = Pattern::read(pattern).filter(|_| !all.more) else {
                        return open(&all);
                    };
                    let matched = all.columns.iter();
                    outputs.columns.extend(
                        matched
                            .filter(|output| pattern.matches(&output.name))
                            .cloned(),
                    );
                }
                Expr::Identifier(name) => outputs.columns.push(Output {
                    name: name.value.clone(),
                    certain: true,
                    inputs: self.expression(expr, scope),
                }),
                _ => return open(&all),
            }
        }
        let from = function
            .name
            .0
            .first()
            .and_then(|part| start(part.as_ident()?.span));
        if self.is_transformed(from) {
            return open(&outputs);
        }
        outputs
    }
}

/// Some of these columns, under names that are not known.
fn open(outputs: &Outputs) -> Outputs {
    Outputs {
        open: outputs.all_inputs(),
        more: true,
        columns: Vec::new(),
    }
}

/// A pattern of `COLUMNS` that needs no engine of regular expressions: words, with anchors and alternatives.
struct Pattern {
    alternatives: Vec<(bool, String, bool)>,
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        let inner = |text: &str| {
            let inner = text.strip_prefix("^(")?.strip_suffix(")$")?;
            (!inner.contains(['(', ')'])).then(|| inner.to_owned())
        };
        let (whole, text) = match inner(text) {
            Some(inner) => (true, inner),
            None => (false, text.to_owned()),
        };
        let alternatives = text.split('|').map(|alternative| {
            let begins = alternative.strip_prefix('^');
            let text = begins.unwrap_or(alternative);
            let ends = text.strip_suffix('$');
            let text = ends.unwrap_or(text);
            let is_word = text
                .chars()
                .all(|character| character.is_alphanumeric() || character == '_');
            let anchored = (whole || begins.is_some(), whole || ends.is_some());
            is_word.then(|| (anchored.0, text.to_owned(), anchored.1))
        });
        Some(Self {
            alternatives: alternatives.collect::<Option<_>>()?,
        })
    }

    fn matches(&self, name: &str) -> bool {
        self.alternatives
            .iter()
            .any(|(begins, text, ends)| match (begins, ends) {
                (true, true) => name == text,
                (true, false) => name.starts_with(text.as_str()),
                (false, true) => name.ends_with(text.as_str()),
                (false, false) => name.contains(text.as_str()),
            })
    }
}
