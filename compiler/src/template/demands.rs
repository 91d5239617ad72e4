//! What a template demands of a request: the parameters without which it gives an error, found in its tree without rendering.
//!
//! A parameter is demanded where its value is used, has no default, and no condition on the way there fails when it is not given; and where `error()` is called
//! because it is not given. Conditions are judged by what is known when a parameter is missing: `defined(x)` and `x == 'a'` are false, and of anything else
//! nothing is known.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use pipewright_grammar::template::{
    Argument, ArgumentKind, Comparison, Expr, ExprKind, Item, Unary,
};

use super::functions::{Function, Helper, Scalar};
use super::parameters::argument;
use super::walk;

/// Requests that give none of some parameters get an error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    /// The parameters, one of which must be given.
    pub any_of: BTreeSet<String>,
    /// Without one of these the demand does not stand.
    pub unless_missing: BTreeSet<String>,
}

impl Demand {
    /// Whether requests that meet this demand meet the other one too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.any_of.is_subset(&other.any_of) && self.unless_missing.is_subset(&other.unless_missing)
    }
}

/// A condition on the way to a place, with the truth that leads there.
struct Step<'t> {
    condition: &'t Expr,
    truth: bool,
    /// Found out once, when it is first asked for.
    facts: OnceCell<Facts<'t>>,
}

/// What a condition says of parameters.
#[derive(Default)]
struct Facts<'t> {
    /// The parameters in it.
    asked: BTreeSet<&'t str>,
    /// Those of them without which it keeps requests away.
    needs: BTreeSet<&'t str>,
    /// Those of them with which it does.
    refuses: BTreeSet<&'t str>,
    /// Whether it keeps every request away.
    is_closed: bool,
}

impl<'t> Step<'t> {
    fn new(condition: &'t Expr, truth: bool) -> Self {
        Self {
            condition,
            truth,
            facts: OnceCell::new(),
        }
    }

    fn facts(&self, is_parameter: &dyn Fn(&str) -> bool) -> &Facts<'t> {
        self.facts.get_or_init(|| {
            let mut facts = Facts::default();
            walk::deep(self.condition, &mut |expr| {
                if let ExprKind::Name(name) = &expr.kind
                    && !facts.asked.contains(name.as_str())
                    && is_parameter(name)
                {
                    facts.asked.insert(name);
                }
            });
            let excludes =
                |name: &str, given: bool| known(self.condition, name, given) == Some(!self.truth);
            let asked = || facts.asked.iter().copied();
            facts.needs = asked().filter(|name| excludes(name, false)).collect();
            facts.refuses = asked().filter(|name| excludes(name, true)).collect();
            // What it says where no parameter has that name.
            facts.is_closed = excludes("", false);
            facts
        })
    }
}

/// The demands of a template, whose parameters these are.
pub(super) fn find(items: &[Item], is_parameter: &dyn Fn(&str) -> bool) -> BTreeSet<Demand> {
    let mut finder = Finder {
        is_parameter,
        path: Vec::new(),
        found: BTreeSet::new(),
    };
    finder.items(items);
    finder.found
}

struct Finder<'t, 'p> {
    is_parameter: &'p dyn Fn(&str) -> bool,
    path: Vec<Step<'t>>,
    found: BTreeSet<Demand>,
}

impl<'t> Finder<'t, '_> {
    fn items(&mut self, items: &'t [Item]) {
        for item in items {
            match item {
                Item::If {
                    branches,
                    otherwise,
                    ..
                } => {
                    let outer = self.path.len();
                    for (condition, body) in branches {
                        self.expression(condition);
                        self.under((condition, true), |finder| finder.items(body));
                        self.path.push(Step::new(condition, false));
                    }
                    self.items(otherwise);
                    self.path.truncate(outer);
                }
                // An error of the body is what the block waits for.
                Item::Try {
                    otherwise, finally, ..
                } => {
                    self.items(otherwise);
                    self.items(finally);
                }
                _ => {
                    match item {
                        Item::Output { value, .. } => self.value(value),
                        Item::For { iterable, .. } => self.value(iterable),
                        _ => {}
                    }
                    walk::of_item(item, &mut |expr| self.expression(expr));
                    for body in walk::bodies(item) {
                        self.items(body);
                    }
                }
            }
        }
    }

    fn under(&mut self, (condition, truth): (&'t Expr, bool), visit: impl FnOnce(&mut Self)) {
        self.path.push(Step::new(condition, truth));
        visit(self);
        self.path.pop();
    }

    fn expression(&mut self, expr: &'t Expr) {
        match &expr.kind {
            ExprKind::And(left, right) => {
                self.expression(left);
                self.under((left, true), |finder| finder.expression(right));
                return;
            }
            ExprKind::Or(left, right) => {
                self.expression(left);
                self.under((left, false), |finder| finder.expression(right));
                return;
            }
            ExprKind::Conditional {
                condition,
                then,
                otherwise,
            } => {
                self.expression(condition);
                self.under((condition, true), |finder| finder.expression(then));
                self.under((condition, false), |finder| finder.expression(otherwise));
                return;
            }
            // Their variables are not the template's.
            ExprKind::Comprehension(..) | ExprKind::Lambda(..) => return,
            ExprKind::Call(callee, arguments) => self.call(callee, arguments),
            ExprKind::Binary(left, _, right) => {
                self.value(left);
                self.value(right);
            }
            ExprKind::Attribute(value, _)
            | ExprKind::Index(value, _)
            | ExprKind::Unary(Unary::Minus | Unary::Plus, value) => self.value(value),
            ExprKind::Compare(first, rest) => self.comparison(first, rest),
            _ => {}
        }
        walk::children(expr, &mut |child| self.expression(child));
    }

    fn comparison(&mut self, first: &'t Expr, rest: &'t [(Comparison, Expr)]) {
        let mut left = first;
        for (how, right) in rest {
            match how {
                Comparison::Less
                | Comparison::LessEqual
                | Comparison::Greater
                | Comparison::GreaterEqual => {
                    self.value(left);
                    self.value(right);
                }
                Comparison::In | Comparison::NotIn => self.value(right),
                Comparison::Equal | Comparison::NotEqual | Comparison::Is | Comparison::IsNot => {}
            }
            left = right;
        }
    }

    fn call(&mut self, callee: &Expr, arguments: &'t [Argument]) {
        let ExprKind::Name(name) = &callee.kind else {
            return;
        };
        let default_at = match Function::by_name(name) {
            Some(Function::Scalar(scalar)) if scalar != Scalar::Boolean => 1,
            Some(Function::Helper(Helper::Array | Helper::Tuple)) => 2,
            Some(Function::Helper(Helper::Map)) => 3,
            Some(Function::Helper(Helper::Column | Helper::Columns)) => 1,
            Some(Function::Helper(Helper::Error | Helper::CustomError)) => {
                self.refusal();
                return;
            }
            Some(Function::Helper(helper)) if needs_values(helper) => {
                let given = arguments.iter();
                let given = given.filter(|argument| argument.kind == ArgumentKind::Positional);
                given.for_each(|argument| self.value(&argument.value));
                return;
            }
            _ => return,
        };
        let has_default = argument(arguments, default_at, "default")
            .is_some_and(|default| default.kind != ExprKind::None);
        let may_be_missing = argument(arguments, default_at + 1, "defined")
            .is_some_and(|defined| defined.kind == ExprKind::Bool(false));
        if !has_default
            && !may_be_missing
            && let Some(value) = argument(arguments, 0, "x")
        {
            self.value(value);
        }
    }

    /// A value that must be there.
    fn value(&mut self, expr: &Expr) {
        if let ExprKind::Name(name) = &expr.kind
            && (self.is_parameter)(name)
        {
            let unless_missing = self.unless_missing();
            if !unless_missing.contains(name) {
                self.found.insert(Demand {
                    any_of: BTreeSet::from([name.clone()]),
                    unless_missing,
                });
            }
        }
    }

    /// `error()`, where it is only called if a parameter is missing.
    fn refusal(&mut self) {
        let any_of = self.on_the_way(|facts| &facts.refuses);
        if !any_of.is_empty() {
            let unless_missing = self.unless_missing();
            self.found.insert(Demand {
                any_of,
                unless_missing,
            });
        }
    }

    /// The parameters without which this place is not reached.
    fn unless_missing(&self) -> BTreeSet<String> {
        self.on_the_way(|facts| &facts.needs)
    }

    /// The parameters in the conditions on the way here that keep a request away in this manner; all of them, where no request comes here.
    fn on_the_way<'s>(
        &'s self,
        which: impl Fn(&'s Facts<'t>) -> &'s BTreeSet<&'t str>,
    ) -> BTreeSet<String> {
        let facts = || self.path.iter().map(|step| step.facts(self.is_parameter));
        let names: BTreeSet<&str> = if facts().any(|facts| facts.is_closed) {
            facts().flat_map(|facts| &facts.asked).copied().collect()
        } else {
            facts().flat_map(which).copied().collect()
        };
        names.into_iter().map(str::to_owned).collect()
    }
}

/// Whether a helper fails for a value that is missing.
fn needs_values(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::Symbol
            | Helper::Table
            | Helper::TableUpper
            | Helper::SqlUnescape
            | Helper::EnumerateWithLast
            | Helper::DayDiff
            | Helper::DiffSeconds
            | Helper::DiffMinutes
            | Helper::DiffHours
            | Helper::DiffDays
            | Helper::Len
            | Helper::List
            | Helper::Min
            | Helper::Max
            | Helper::ToInt
            | Helper::ToFloat
    )
}

/// The truth of a condition, as far as it follows from a parameter being given or not.
fn known(condition: &Expr, name: &str, given: bool) -> Option<bool> {
    let is_it = |expr: &Expr| matches!(&expr.kind, ExprKind::Name(other) if other == name);
    match &condition.kind {
        ExprKind::Bool(truth) => Some(*truth),
        ExprKind::Name(_) if is_it(condition) && !given => Some(false),
        ExprKind::Call(callee, arguments) => {
            let asks = matches!(&callee.kind, ExprKind::Name(function) if function == "defined");
            let asked = arguments.first()?;
            (asks && is_it(&asked.value)).then_some(given)
        }
        ExprKind::Compare(first, rest) => {
            let [(how, other)] = rest.as_slice() else {
                return None;
            };
            let is_none = other.kind == ExprKind::None;
            let is_text = matches!(other.kind, ExprKind::Str(_) | ExprKind::Int(_));
            let truth = match how {
                Comparison::Is | Comparison::Equal => true,
                Comparison::IsNot | Comparison::NotEqual => false,
                _ => return None,
            };
            match (given, is_none, is_text) {
                _ if !is_it(first) => None,
                (false, true, _) => Some(truth),
                (true, true, _) | (false, _, true) => Some(!truth),
                _ => None,
            }
        }
        ExprKind::Unary(Unary::Not, inner) => known(inner, name, given).map(|truth| !truth),
        ExprKind::And(left, right) => match (known(left, name, given), known(right, name, given)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        ExprKind::Or(left, right) => match (known(left, name, given), known(right, name, given)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        _ => None,
    }
}
