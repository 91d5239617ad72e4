//! The variables of a template: a template is one function, so a name that is bound anywhere in it is local everywhere, and every other name is a parameter.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use pipewright_grammar::source::Span;
use pipewright_grammar::template::{Clause, Expr, ExprKind, Item};

use super::functions::{Element, Function};
use super::value::{Thing, Variable, thing};
use super::walk;
use minijinja::Value;

/// Where the first value of a slot comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The request. A parameter that is declared as an array is read as a list everywhere.
    Parameter(Option<Element>),
    /// A `set`, a loop, a comprehension: nothing until then.
    Local,
}

/// A variable's place.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) source: Source,
    /// The function that the name stands for when no value is given.
    pub(super) function: Option<Function>,
}

/// The variables of one template.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) slots: Vec<Slot>,
    by_name: IndexMap<Arc<str>, usize>,
    /// Names that comprehensions bind, innermost last.
    inner: Vec<(Arc<str>, usize)>,
    locals: IndexSet<String>,
}

impl Scope {
    /// Finds the names that the template binds.
    pub(super) fn of(items: &[Item]) -> Self {
        let mut scope = Self::default();
        scope.collect(items);
        walk::every(items, &mut |expr| {
            if let ExprKind::Named(name, _) = &expr.kind {
                scope.locals.insert(name.value.clone());
            }
        });
        scope
    }

    fn collect(&mut self, items: &[Item]) {
        let mut names = Vec::new();
        for item in items {
            match item {
                Item::Set { statement, .. } => names.extend(statement.bound_names()),
                Item::For { target, .. } => target.collect_names(&mut names),
                Item::Try { handlers, .. } => {
                    names.extend(
                        handlers
                            .iter()
                            .filter_map(|handler| handler.name.as_ref())
                            .map(|name| name.value.as_str()),
                    );
                }
                _ => {}
            }
            for body in walk::bodies(item) {
                self.collect(body);
            }
        }
        self.locals.extend(names.into_iter().map(str::to_owned));
    }

    /// Whether the template binds the name.
    pub(super) fn is_local(&self, name: &str) -> bool {
        self.locals.contains(name) || self.inner.iter().any(|(inner, _)| &**inner == name)
    }

    /// The slot of a name.
    pub(super) fn slot(&mut self, name: &str) -> usize {
        if let Some((_, slot)) = self.inner.iter().rev().find(|(inner, _)| &**inner == name) {
            return *slot;
        }
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let name: Arc<str> = name.into();
        let source = if self.locals.contains(&*name) {
            Source::Local
        } else {
            Source::Parameter(None)
        };
        let function = Function::by_name(&name).filter(|function| function.is_builtin());
        self.slots.push(Slot {
            name: name.clone(),
            source,
            function,
        });
        self.by_name.insert(name, self.slots.len() - 1);
        self.slots.len() - 1
    }

    /// A slot without name.
    pub(super) fn hidden(&mut self) -> usize {
        self.slots.push(Slot {
            name: "".into(),
            source: Source::Local,
            function: None,
        });
        self.slots.len() - 1
    }

    /// Opens the scope of a comprehension; gives what `close` needs.
    pub(super) fn open(&mut self, clauses: &[Clause]) -> usize {
        let before = self.inner.len();
        for clause in clauses {
            let mut names = Vec::new();
            clause.target.collect_names(&mut names);
            for name in names {
                let slot = self.hidden();
                self.slots[slot].name = name.into();
                self.inner.push((name.into(), slot));
            }
        }
        before
    }

    /// Closes the scope of a comprehension.
    pub(super) fn close(&mut self, before: usize) {
        self.inner.truncate(before);
    }

    /// The operand that reads a slot.
    pub(super) fn variable(&self, slot: usize, span: Span) -> Value {
        let Slot { name, source, .. } = &self.slots[slot];
        thing(Thing::Variable(Variable {
            slot,
            name: name.clone(),
            is_parameter: matches!(source, Source::Parameter(_)),
            span,
        }))
    }

    /// Says that a parameter is declared as an array: the first declaration counts.
    pub(super) fn declare(&mut self, name: &str, element: Option<Element>) {
        if self.is_local(name) {
            return;
        }
        let slot = self.slot(name);
        if let Source::Parameter(declared @ None) = &mut self.slots[slot].source {
            *declared = element;
        }
    }
}

/// Whether the expression is `loop.something`.
pub(super) fn is_loop_attribute(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Attribute(value, _) if matches!(&value.kind, ExprKind::Name(name) if name == "loop"))
}
