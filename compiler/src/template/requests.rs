//! Finds requests that lead into the branches of a template.
//!
//! What [`super::branches`] renders takes conditions both ways whether a request can or not, so that nothing that is read is overlooked; such a text may be one
//! that no request ever makes. Here values are looked for with which a condition comes out one way and the other: the texts that it is compared with, the
//! values that a parameter may have, and stand-ins of its type. What the template renders to with them is what a request gets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::{IndexMap, IndexSet};
use pipewright_grammar::source::Span;
use pipewright_grammar::template::{Argument, ArgumentKind, Expr, ExprKind, Item, Statement};
use serde_json::Value as Json;

use super::lower::{self, Conditions};
use super::render::{Conditioned, Mode, RenderContext, Rendered, Values};
use super::scope::Scope;
use super::{Parameter, Template, parameters, walk};

/// How many requests are given at most for one template.
const LIMIT: usize = 32;

/// How often a template is rendered at most, and how many conditions all these renders together may come to.
const TRIES: usize = 512;
const WORK: usize = 16 * 1024;

/// How many values of one parameter are tried together with those of another.
const PAIRED: usize = 6;

/// How many requests that come to a condition are varied, to turn it.
const STARTS: usize = 3;

/// Which conditions a render came to, by their number, and how they came out.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<BTreeSet<(usize, bool)>>);

impl Record {
    pub(super) fn note(&self, condition: usize, truth: bool) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert((condition, truth));
    }

    fn taken(&self) -> BTreeSet<(usize, bool)> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut taken)
    }
}

/// A condition: the parameters that it asks, and what it compares them with.
#[derive(Default)]
struct Condition<'t> {
    parameters: IndexSet<&'t str>,
    literals: IndexSet<String>,
    /// Numbers beside those that it compares with.
    near: IndexSet<String>,
    /// Whether nothing is chosen where it does not hold: a chain of values without an `else` leaves a gap for others, and a request that falls into it is wrong, not
    /// the template.
    leaves_gap: bool,
}

/// Where a request came by.
struct Visit {
    values: Values,
    taken: BTreeSet<(usize, bool)>,
    rendered: Option<Rendered>,
    /// Whether it came to something that those before it did not.
    is_new: bool,
}

/// Requests that together take each condition both ways, where such are found, and what each renders to. The request without values is not among them.
pub(super) fn find(template: &Template, context: &RenderContext<'_>) -> Vec<(Values, Rendered)> {
    let conditions = conditions(&template.items);
    if conditions.is_empty() || template.error.is_some() {
        return Vec::new();
    }
    let number = |span: Span| conditions.get_index_of(&span);
    let mut scope = Scope::of(&template.items);
    parameters::find(&template.items, &mut scope);
    let lowered = lower::lower(
        &template.items,
        &template.text,
        template.span.start as usize,
        template.span,
        scope,
        Conditions::Recorded(&number),
    );
    let meanings = meanings(&template.items);
    let subjects = conditions.values().map(|(condition, leaves_gap)| {
        let mut subject = Condition {
            leaves_gap: *leaves_gap,
            ..Condition::default()
        };
        subject.read(condition, template, &meanings, &mut IndexSet::new());
        subject
    });
    let mut search = Search {
        conditions: subjects.collect(),
        render: Box::new(move |values, record| {
            let context = RenderContext {
                mode: Mode::Check,
                ..*context
            };
            let code = &lowered.code;
            let slots = &lowered.scope.slots;
            let conditions = Conditioned {
                forced: Vec::new(),
                record: Some(Arc::clone(record)),
            };
            template.run(code, slots, values, &context, conditions).ok()
        }),
        template,
        visits: Vec::new(),
        reached: BTreeSet::new(),
        covered: BTreeSet::new(),
        tries: TRIES.min(WORK / conditions.len()),
    };
    search.run();
    let mut visits = search.visits.into_iter();
    let plain = visits.next().and_then(|visit| visit.rendered);
    let mut found: Vec<(Values, Rendered)> = Vec::new();
    for visit in visits {
        let Some(rendered) = visit.rendered.filter(|_| visit.is_new) else {
            continue;
        };
        let is_known = |other: &Rendered| other.sql.text() == rendered.sql.text();
        if !plain.iter().any(is_known) && !found.iter().any(|(_, other)| is_known(other)) {
            found.push((visit.values, rendered));
        }
    }
    found.truncate(LIMIT);
    found
}

/// The conditions of blocks and of `a if b else c`, by their places, outer ones before those inside of them, and whether each is the last of several in a block without `else`.
fn conditions(items: &[Item]) -> IndexMap<Span, (&Expr, bool)> {
    let mut found = IndexMap::new();
    let mut open: Vec<&Item> = items.iter().rev().collect();
    while let Some(item) = open.pop() {
        if let Item::If {
            branches,
            otherwise,
            ..
        } = item
        {
            for (at, (condition, _)) in branches.iter().enumerate() {
                let leaves_gap = otherwise.is_empty() && at > 0 && at + 1 == branches.len();
                found.insert(condition.span, (condition, leaves_gap));
            }
        }
        walk::of_item(item, &mut |expr| {
            walk::deep(expr, &mut |inner| {
                if let ExprKind::Conditional { condition, .. } = &inner.kind {
                    found.insert(condition.span, (&**condition, false));
                }
            });
        });
        for body in walk::bodies(item).into_iter().rev() {
            open.extend(body.iter().rev());
        }
    }
    found
}

/// Whether a name stands only in the conditions of blocks.
pub(super) fn only_asks_for(items: &[Item], name: &str) -> bool {
    let mut open: Vec<&Item> = items.iter().collect();
    while let Some(item) = open.pop() {
        let mut is_elsewhere = false;
        let is_name = |expr: &Expr| matches!(&expr.kind, ExprKind::Name(found) if found == name);
        if !matches!(item, Item::If { .. }) {
            walk::of_item(item, &mut |expr| {
                walk::deep(expr, &mut |inner| is_elsewhere |= is_name(inner));
            });
        }
        if is_elsewhere {
            return false;
        }
        for body in walk::bodies(item) {
            open.extend(body);
        }
    }
    true
}

/// What the names that a template binds are made of.
fn meanings(items: &[Item]) -> IndexMap<&str, Vec<&Expr>> {
    let mut found: IndexMap<&str, Vec<&Expr>> = IndexMap::new();
    let mut open: Vec<&Item> = items.iter().collect();
    while let Some(item) = open.pop() {
        let mut names = Vec::new();
        let value = match item {
            Item::Set { statement, .. } => {
                names.extend(statement.bound_names());
                match statement {
                    Statement::Assign(_, value) | Statement::Augment(_, _, value) => Some(value),
                    Statement::Evaluate(_) => None,
                }
            }
            Item::For {
                target, iterable, ..
            } => {
                target.collect_names(&mut names);
                Some(iterable)
            }
            _ => None,
        };
        for name in names {
            found.entry(name).or_default().extend(value);
        }
        for body in walk::bodies(item) {
            open.extend(body);
        }
    }
    walk::every(items, &mut |expr| {
        if let ExprKind::Named(name, value) = &expr.kind {
            found.entry(&name.value).or_default().push(value);
        }
    });
    found
}

impl<'t> Condition<'t> {
    /// Takes in an expression, with what the names in it are made of.
    fn read(
        &mut self,
        expr: &'t Expr,
        template: &'t Template,
        meanings: &IndexMap<&'t str, Vec<&'t Expr>>,
        seen: &mut IndexSet<&'t str>,
    ) {
        match &expr.kind {
            ExprKind::Name(name) => {
                if let Some(values) = meanings.get(name.as_str()) {
                    if seen.insert(name) {
                        for value in values {
                            self.read(value, template, meanings, seen);
                        }
                    }
                } else if template.parameters.iter().any(|one| one.name == *name) {
                    self.parameters.insert(name);
                }
            }
            ExprKind::Str(text) => _ = self.literals.insert(text.clone()),
            ExprKind::Int(digits) => {
                if let Ok(number) = digits.parse::<i64>() {
                    self.literals.insert(number.to_string());
                    let near = [number.checked_add(1), number.checked_sub(1)];
                    let near = near.into_iter().flatten();
                    self.near.extend(near.map(|number| number.to_string()));
                }
            }
            ExprKind::Float(number) => {
                self.literals.insert(number.to_string());
                let near = [number + 1.0, number - 1.0];
                self.near.extend(near.map(|number| number.to_string()));
            }
            ExprKind::Call(callee, arguments) => {
                self.read(callee, template, meanings, seen);
                // What it says of the parameter itself is nothing to compare with.
                let said = |argument: &&Argument| matches!(&argument.kind, ArgumentKind::Keyword(name) if name.value != "default");
                for argument in arguments.iter().filter(|argument| !said(argument)) {
                    self.read(&argument.value, template, meanings, seen);
                }
            }
            _ => walk::children(expr, &mut |child| {
                self.read(child, template, meanings, seen);
            }),
        }
    }
}

/// Renders with some values; notes what conditions came out as.
type Render<'t> = Box<dyn Fn(&Values, &Arc<Record>) -> Option<Rendered> + 't>;

struct Search<'t> {
    template: &'t Template,
    conditions: Vec<Condition<'t>>,
    render: Render<'t>,
    visits: Vec<Visit>,
    /// The conditions that some request came to.
    reached: BTreeSet<usize>,
    covered: BTreeSet<(usize, bool)>,
    /// How many renders are left.
    tries: usize,
}

impl Search<'_> {
    fn run(&mut self) {
        self.visit(Values::new());
        // What is found for one condition may be the first to come to another one.
        loop {
            let before = self.covered.len();
            for condition in 0..self.conditions.len() {
                for truth in [true, false] {
                    self.turn(condition, truth);
                }
            }
            if self.covered.len() == before || self.tries == 0 {
                return;
            }
        }
    }

    /// Renders; whether a condition came out in a way that it had not before.
    fn visit(&mut self, values: Values) -> bool {
        self.tries = self.tries.saturating_sub(1);
        let record = Arc::new(Record::default());
        let rendered = (self.render)(&values, &record);
        let taken = record.taken();
        // Only what comes to its end is a statement; what does not is still on the way to others.
        let is_new = rendered.is_some() && !taken.is_subset(&self.covered);
        let before = self.reached.len();
        self.reached
            .extend(taken.iter().map(|(condition, _)| condition));
        let leads_on = self.reached.len() > before;
        if is_new {
            self.covered.extend(&taken);
        }
        if is_new || leads_on || self.visits.is_empty() {
            self.visits.push(Visit {
                values,
                taken,
                rendered,
                is_new,
            });
        }
        is_new
    }

    /// Looks for a request with which a condition comes out like this, by changing those that come to it.
    fn turn(&mut self, condition: usize, truth: bool) {
        let wanted = (condition, truth);
        let starts = self.visits.iter().filter(|visit| {
            let mut taken = visit.taken.iter();
            taken.any(|(other, _)| *other == condition)
        });
        let starts: Vec<Values> = starts
            .map(|visit| visit.values.clone())
            .take(STARTS)
            .collect();
        let names: Vec<String> = {
            let names = self.conditions[condition].parameters.iter();
            names.map(|name| (*name).to_owned()).collect()
        };
        let candidates: Vec<Vec<Option<Json>>> = names
            .iter()
            .map(|name| self.candidates(wanted, name))
            .collect();
        for start in &starts {
            for (name, candidates) in names.iter().zip(&candidates) {
                for value in candidates {
                    if self.is_done(wanted) {
                        return;
                    }
                    self.visit(changed(start, name, value.as_ref()));
                }
            }
            for (at, name) in names.iter().enumerate() {
                for (other, others) in names.iter().zip(&candidates).skip(at + 1) {
                    for value in candidates[at].iter().take(PAIRED) {
                        for second in others.iter().take(PAIRED) {
                            if self.is_done(wanted) {
                                return;
                            }
                            let values = changed(start, name, value.as_ref());
                            self.visit(changed(&values, other, second.as_ref()));
                        }
                    }
                }
            }
        }
    }

    fn is_done(&self, wanted: (usize, bool)) -> bool {
        self.covered.contains(&wanted) || self.tries == 0
    }

    /// Values of a parameter that may give a condition a truth; `None` is a request without it.
    fn candidates(&self, wanted: (usize, bool), name: &str) -> Vec<Option<Json>> {
        let condition = &self.conditions[wanted.0];
        let mut parameters = self.template.parameters.iter();
        let parameter = parameters.find(|parameter| parameter.name == name);
        let mut found: IndexSet<Option<String>> =
            condition.literals.iter().cloned().map(Some).collect();
        found.insert(None);
        // What others compare the parameter with, and what it may have by its declaration, is what a request may bring.
        let others = self.conditions.iter();
        let others = others.filter(|other| other.parameters.contains(name));
        found.extend(others.flat_map(|other| other.literals.iter().cloned().map(Some)));
        let declared = parameter.into_iter().flat_map(|one| &one.enumeration);
        found.extend(declared.map(|value| {
            let text = value.as_str().map(str::to_owned);
            Some(text.unwrap_or_else(|| value.to_string()))
        }));
        if !(condition.leaves_gap && !wanted.1 && !condition.literals.is_empty()) {
            found.extend(condition.near.iter().cloned().map(Some));
            let stand_in = parameter.map(stand_in).map(|text| match text {
                SOME_VALUE if !condition.literals.is_empty() => UNEXPECTED_VALUE,
                other => other,
            });
            let rest = stand_in.into_iter().chain(["", "0"]);
            found.extend(rest.map(|text| Some(text.to_owned())));
        }
        found
            .into_iter()
            .map(|text| text.map(Json::String))
            .collect()
    }
}

fn changed(values: &Values, name: &str, value: Option<&Json>) -> Values {
    let mut changed = values.clone();
    match value {
        Some(value) => changed.insert(name, value.clone()),
        None => changed.remove(name),
    }
    changed
}

/// A text that nobody compares with, and that is no name.
const SOME_VALUE: &str = "some_value";

/// The same for a parameter that is compared with other texts: a request that brings it may be one that the author does not expect.
pub const UNEXPECTED_VALUE: &str = "unexpected_value";

/// A value of a parameter's type.
fn stand_in(parameter: &Parameter) -> &'static str {
    let data_type = parameter.data_type.as_str();
    let element = data_type.strip_prefix("Array(").unwrap_or(data_type);
    if element.starts_with("DateTime64") {
        "2020-01-01 00:00:00.000"
    } else if element.starts_with("DateTime") {
        "2020-01-01 00:00:00"
    } else if element.starts_with("Date") {
        "2020-01-01"
    } else if ["String", "FixedString", "Symbol", "Tuple", "Map"]
        .iter()
        .any(|text| element.starts_with(text))
    {
        SOME_VALUE
    } else if element.starts_with("JSON") {
        "{}"
    } else {
        "1"
    }
}
