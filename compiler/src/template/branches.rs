//! Explores the branches of a template: each condition is taken both ways, so that `check` sees every piece of SQL and every table that a request can reach.
//!
//! Conditions are split into atoms (`defined(a) and not b` has two); atoms of the same text have the same truth everywhere in one exploration, so that
//! combinations that cannot happen are not rendered. Which combinations are rendered is bounded by coverage, not by the number of all.

use std::cell::Cell;
use std::rc::Rc;

use indexmap::{IndexMap, IndexSet};
use pipewright_grammar::source::Span;
use pipewright_grammar::template::{Expr, ExprKind, Item, Target, Unary};

use super::error::TemplateError;
use super::lower::{self, Conditions};
use super::render::{Conditioned, Mode, RenderContext, Rendered, Values};
use super::scope::Scope;
use super::{Template, parameters, walk};

/// How many combinations are rendered at most.
const LIMIT: usize = 64;

/// How many truth assignments are tried for reaching one place.
const TRIES: usize = 4096;

/// How many truths of atoms are looked at for one template.
const WORK: usize = 1 << 20;

/// The truth of a condition in terms of atoms.
enum Formula {
    Atom(usize),
    Not(Box<Formula>),
    And(Box<Formula>, Box<Formula>),
    Or(Box<Formula>, Box<Formula>),
}

impl Formula {
    fn holds(&self, atoms: &[bool]) -> bool {
        match self {
            Self::Atom(at) => atoms.get(*at).copied().unwrap_or(false),
            Self::Not(inner) => !inner.holds(atoms),
            Self::And(left, right) => left.holds(atoms) && right.holds(atoms),
            Self::Or(left, right) => left.holds(atoms) || right.holds(atoms),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Atom(_) => 1,
            Self::Not(inner) => inner.size(),
            Self::And(left, right) | Self::Or(left, right) => left.size() + right.size(),
        }
    }

    /// Sets the atoms that must be so for it to have this truth; false if one of them is otherwise already.
    fn force(&self, truth: bool, atoms: &mut [Option<bool>]) -> bool {
        match self {
            Self::Atom(at) => atoms
                .get_mut(*at)
                .is_some_and(|atom| *atom.get_or_insert(truth) == truth),
            Self::Not(inner) => inner.force(!truth, atoms),
            Self::And(left, right) if truth => left.force(true, atoms) && right.force(true, atoms),
            Self::Or(left, right) if !truth => {
                left.force(false, atoms) && right.force(false, atoms)
            }
            Self::And(..) | Self::Or(..) => true,
        }
    }

    /// Whether it has this truth as soon as the atoms are set that [`Self::force`] sets.
    fn is_forced(&self, truth: bool) -> bool {
        match self {
            Self::Atom(_) => true,
            Self::Not(inner) => inner.is_forced(!truth),
            Self::And(left, right) => truth && left.is_forced(true) && right.is_forced(true),
            Self::Or(left, right) => !truth && left.is_forced(false) && right.is_forced(false),
        }
    }

    fn atoms(&self, out: &mut IndexSet<usize>) {
        match self {
            Self::Atom(at) => {
                out.insert(*at);
            }
            Self::Not(inner) => inner.atoms(out),
            Self::And(left, right) | Self::Or(left, right) => {
                left.atoms(out);
                right.atoms(out);
            }
        }
    }
}

/// A place that is reached when all conditions have these truths: the last one, and those before it, which many places share.
type Path = Option<Rc<Step>>;

struct Step {
    condition: usize,
    truth: bool,
    before: Path,
}

impl Step {
    /// The path that goes on with this truth of a condition.
    fn behind(path: &Path, condition: usize, truth: bool) -> Rc<Self> {
        let before = path.clone();
        Rc::new(Self {
            condition,
            truth,
            before,
        })
    }
}

fn steps(path: &Path) -> impl Iterator<Item = &Step> {
    std::iter::successors(path.as_deref(), |step| step.before.as_deref())
}

/// Frees a path without recursing: a template can have as many conditions in a row as it likes.
impl Drop for Step {
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(mut step) = before.and_then(Rc::into_inner) {
            before = step.before.take();
        }
    }
}

#[derive(Default)]
struct Explorer<'t> {
    text: &'t str,
    base: usize,
    atoms: IndexMap<&'t str, usize>,
    /// The atoms that ask whether a parameter is given.
    presence: IndexMap<String, IndexSet<usize>>,
    conditions: Vec<Formula>,
    /// How many atoms there are in each condition.
    sizes: Vec<usize>,
    /// The number of the condition at a place.
    numbers: IndexMap<Span, usize>,
    paths: Vec<Path>,
    /// The variables of the loops around the place.
    turns: Vec<String>,
    /// How many truths of atoms have been looked at.
    work: Cell<usize>,
}

/// The names that a target binds.
fn names_of(target: &Target, names: &mut Vec<String>) {
    match target {
        Target::Name(name) => names.push(name.value.clone()),
        Target::Tuple(_, targets) => targets.iter().for_each(|target| names_of(target, names)),
        Target::Item(_) => {}
    }
}

/// The parameter that a condition asks for.
fn asked_for(condition: &Expr) -> Option<&str> {
    let ExprKind::Call(function, arguments) = &condition.kind else {
        return None;
    };
    if !matches!(&function.kind, ExprKind::Name(name) if name == "defined") {
        return None;
    }
    match &arguments.first()?.value.kind {
        ExprKind::Name(name) => Some(name),
        _ => None,
    }
}

pub(super) fn render(
    template: &Template,
    context: &RenderContext<'_>,
) -> Vec<Result<Rendered, TemplateError>> {
    let context = RenderContext {
        mode: Mode::Check,
        ..*context
    };
    let values = Values::new();
    let mut outcomes = vec![template.render(&values, &context)];
    if template.is_static() || template.error.is_some() {
        return outcomes;
    }
    let mut explorer = Explorer {
        text: &template.text,
        base: template.span.start as usize,
        ..Explorer::default()
    };
    explorer.items(&template.items, &None);
    let numbers = std::mem::take(&mut explorer.numbers);
    let number = |span: Span| numbers.get(&span).copied();
    let mut scope = Scope::of(&template.items);
    parameters::find(&template.items, &mut scope);
    let lowered = lower::lower(
        &template.items,
        &template.text,
        explorer.base,
        template.span,
        scope,
        Conditions::Forced(&number),
    );
    for atoms in explorer.assignments() {
        let forced = explorer
            .conditions
            .iter()
            .map(|condition| condition.holds(&atoms))
            .collect();
        let outcome = template.run(
            &lowered.code,
            &lowered.scope.slots,
            &values,
            &context,
            Conditioned {
                forced,
                record: None,
            },
        );
        if !outcomes.contains(&outcome) {
            outcomes.push(outcome);
        }
    }
    outcomes
}

impl Explorer<'_> {
    fn items(&mut self, items: &[Item], path: &Path) {
        for item in items {
            if let Item::If {
                branches,
                otherwise,
                ..
            } = item
            {
                // What depends on a loop's variable has the truth of each turn, which no one truth for all turns can stand for: only its other parts are
                // taken both ways.
                if branches
                    .iter()
                    .any(|(condition, _)| self.is_of_a_turn(condition))
                {
                    for (condition, body) in branches {
                        self.parts(condition, path);
                        self.items(body, path);
                    }
                    self.items(otherwise, path);
                    continue;
                }
                let mut rest = path.clone();
                for (condition, body) in branches {
                    let number = self.condition(condition);
                    let taken = Some(Step::behind(&rest, number, true));
                    self.paths.push(taken.clone());
                    self.items(body, &taken);
                    rest = Some(Step::behind(&rest, number, false));
                }
                self.paths.push(rest.clone());
                self.items(otherwise, &rest);
                continue;
            }
            walk::of_item(item, &mut |expr| self.ternaries(expr, path));
            let outer = self.turns.len();
            if let Item::For { target, .. } = item {
                names_of(target, &mut self.turns);
            }
            for body in walk::bodies(item) {
                self.items(body, path);
            }
            self.turns.truncate(outer);
        }
    }

    fn ternaries(&mut self, expr: &Expr, path: &Path) {
        let mut conditions = Vec::new();
        walk::deep(expr, &mut |inner| {
            if let ExprKind::Conditional { condition, .. } = &inner.kind {
                conditions.push(&**condition);
            }
        });
        conditions.retain(|condition| !self.is_of_a_turn(condition));
        for condition in conditions {
            let number = self.condition(condition);
            for truth in [true, false] {
                self.paths.push(Some(Step::behind(path, number, truth)));
            }
        }
    }

    /// Takes the parts of a condition both ways that do not depend on a loop's variable.
    fn parts(&mut self, condition: &Expr, path: &Path) {
        if !self.is_of_a_turn(condition) {
            let number = self.condition(condition);
            for truth in [true, false] {
                self.paths.push(Some(Step::behind(path, number, truth)));
            }
        } else if let ExprKind::And(left, right) | ExprKind::Or(left, right) = &condition.kind {
            self.parts(left, path);
            self.parts(right, path);
        }
    }

    /// Whether a condition reads the variable of a loop around it.
    fn is_of_a_turn(&self, condition: &Expr) -> bool {
        let mut found = false;
        walk::deep(condition, &mut |expr| {
            if let ExprKind::Name(name) = &expr.kind {
                found |= name == "loop" || self.turns.contains(name);
            }
        });
        found
    }

    fn condition(&mut self, expr: &Expr) -> usize {
        let formula = self.formula(expr);
        self.sizes.push(formula.size());
        self.conditions.push(formula);
        let number = self.conditions.len() - 1;
        self.numbers.insert(expr.span, number);
        number
    }

    fn formula(&mut self, expr: &Expr) -> Formula {
        match &expr.kind {
            ExprKind::Unary(Unary::Not, inner) => Formula::Not(Box::new(self.formula(inner))),
            ExprKind::And(left, right) => {
                Formula::And(Box::new(self.formula(left)), Box::new(self.formula(right)))
            }
            ExprKind::Or(left, right) => {
                Formula::Or(Box::new(self.formula(left)), Box::new(self.formula(right)))
            }
            _ => {
                let start = (expr.span.start as usize).saturating_sub(self.base);
                let text = self
                    .text
                    .get(start..start + expr.span.len())
                    .unwrap_or("")
                    .trim();
                let next = self.atoms.len();
                let atom = *self.atoms.entry(text).or_insert(next);
                if let Some(parameter) = asked_for(expr) {
                    let atoms = self.presence.entry(parameter.to_owned()).or_default();
                    atoms.insert(atom);
                }
                Formula::Atom(atom)
            }
        }
    }

    /// Truths of the atoms that together reach every place that can be reached, and those of requests with one parameter alone: where one brings `WHERE` and
    /// another `AND`, all and none of them make a statement.
    fn assignments(&self) -> IndexSet<Vec<bool>> {
        let count = self.atoms.len();
        let mut chosen = IndexSet::new();
        if count == 0 {
            return chosen;
        }
        chosen.insert(vec![false; count]);
        chosen.insert(vec![true; count]);
        for path in &self.paths {
            let reached = chosen.iter().any(|atoms| self.reaches(path, atoms));
            if !reached && let Some(atoms) = self.solve(path, count) {
                chosen.insert(atoms);
            }
            if chosen.len() >= LIMIT || self.work.get() > WORK {
                break;
            }
        }
        for given in self.presence.values() {
            if chosen.len() >= LIMIT {
                break;
            }
            chosen.insert((0..count).map(|atom| given.contains(&atom)).collect());
        }
        chosen
    }

    /// Whether a condition has a truth.
    fn has(&self, condition: usize, truth: bool, atoms: &[bool]) -> bool {
        self.work.set(self.work.get() + self.sizes[condition]);
        self.conditions[condition].holds(atoms) == truth
    }

    fn reaches(&self, path: &Path, atoms: &[bool]) -> bool {
        steps(path).all(|step| self.has(step.condition, step.truth, atoms))
    }

    /// Finds truths for a path: those that its conditions force, and for the conditions that can come true in several ways by counting through their other atoms.
    fn solve(&self, path: &Path, count: usize) -> Option<Vec<bool>> {
        let mut forced = vec![None; count];
        let mut open = Vec::new();
        for step in steps(path) {
            self.work.set(self.work.get() + self.sizes[step.condition]);
            let formula = &self.conditions[step.condition];
            if !formula.force(step.truth, &mut forced) {
                return None;
            }
            if !formula.is_forced(step.truth) {
                open.push(step);
            }
        }
        let mut involved = IndexSet::new();
        for step in &open {
            self.conditions[step.condition].atoms(&mut involved);
        }
        involved.retain(|atom| forced[*atom].is_none());
        let combinations = u32::try_from(involved.len())
            .ok()
            .and_then(|atoms| 1usize.checked_shl(atoms))
            .unwrap_or(TRIES);
        let mut atoms: Vec<bool> = forced.iter().map(|truth| truth.unwrap_or(false)).collect();
        for bits in 0..combinations.min(TRIES) {
            for (bit, atom) in involved.iter().enumerate() {
                atoms[*atom] = bit < 63 && bits >> bit & 1 == 1;
            }
            if open
                .iter()
                .all(|step| self.has(step.condition, step.truth, &atoms))
            {
                return Some(atoms);
            }
            if self.work.get() > WORK {
                break;
            }
        }
        None
    }
}
