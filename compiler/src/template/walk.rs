//! Walks over the trees of templates.

use pipewright_grammar::template::{
    Argument, Clause, Expr, ExprKind, FormatPart, Item, Statement, Target,
};

/// Calls `visit` with each expression directly inside of another one, in the order of the text.
pub(super) fn children<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    match &expr.kind {
        ExprKind::None
        | ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_)
        | ExprKind::Unsupported(_)
        | ExprKind::Name(_)
        | ExprKind::Suspended(_)
        | ExprKind::Assignment => {}
        ExprKind::Format(parts) => {
            for part in parts {
                if let FormatPart::Value { value, .. } = part {
                    visit(value);
                }
            }
        }
        ExprKind::Call(callee, arguments) => {
            visit(callee);
            for Argument { value, .. } in arguments {
                visit(value);
            }
        }
        ExprKind::Attribute(value, _)
        | ExprKind::Unary(_, value)
        | ExprKind::Lambda(_, value)
        | ExprKind::Starred(value)
        | ExprKind::Named(_, value) => visit(value),
        ExprKind::Index(left, right)
        | ExprKind::Binary(left, _, right)
        | ExprKind::And(left, right)
        | ExprKind::Or(left, right) => {
            visit(left);
            visit(right);
        }
        ExprKind::Slice(start, stop, step) => {
            for bound in [start, stop, step].into_iter().flatten() {
                visit(bound);
            }
        }
        ExprKind::Compare(first, rest) => {
            visit(first);
            for (_, right) in rest {
                visit(right);
            }
        }
        ExprKind::Conditional {
            condition,
            then,
            otherwise,
        } => {
            visit(then);
            visit(condition);
            visit(otherwise);
        }
        ExprKind::Tuple(items) | ExprKind::List(items) | ExprKind::Set(items) => {
            items.iter().for_each(visit);
        }
        ExprKind::Dict(pairs) => {
            for (key, value) in pairs {
                if let Some(key) = key {
                    visit(key);
                }
                visit(value);
            }
        }
        ExprKind::Comprehension(_, element, value, clauses) => {
            for Clause {
                target,
                iterable,
                conditions,
            } in clauses
            {
                of_target(target, visit);
                visit(iterable);
                conditions.iter().for_each(&mut *visit);
            }
            visit(element);
            if let Some(value) = value {
                visit(value);
            }
        }
    }
}

/// The expressions inside of a target.
pub(super) fn of_target<'a>(target: &'a Target, visit: &mut dyn FnMut(&'a Expr)) {
    match target {
        Target::Name(_) => {}
        Target::Tuple(_, parts) => parts.iter().for_each(|part| of_target(part, visit)),
        Target::Item(expr) => visit(expr),
    }
}

/// The expressions directly inside of an item; of blocks, those of their tags.
pub(super) fn of_item<'a>(item: &'a Item, visit: &mut dyn FnMut(&'a Expr)) {
    match item {
        Item::Text(_) | Item::Break(_) | Item::Continue(_) | Item::Whitespace(..) => {}
        Item::Output { value, .. } => visit(value),
        Item::If { branches, .. } => branches.iter().for_each(|(condition, _)| visit(condition)),
        Item::For {
            target, iterable, ..
        } => {
            of_target(target, visit);
            visit(iterable);
        }
        Item::While { condition, .. } => visit(condition),
        Item::Try { handlers, .. } => handlers
            .iter()
            .filter_map(|handler| handler.class.as_ref())
            .for_each(visit),
        Item::Set { statement, .. } => match statement {
            Statement::Assign(targets, value) => {
                for target in targets {
                    of_target(target, visit);
                }
                visit(value);
            }
            Statement::Augment(target, _, value) => {
                of_target(target, visit);
                visit(value);
            }
            Statement::Evaluate(value) => visit(value),
        },
    }
}

/// The lists of items inside of an item.
pub(super) fn bodies(item: &Item) -> Vec<&[Item]> {
    match item {
        Item::Text(_)
        | Item::Output { .. }
        | Item::Set { .. }
        | Item::Break(_)
        | Item::Continue(_)
        | Item::Whitespace(..) => Vec::new(),
        Item::If {
            branches,
            otherwise,
            ..
        } => branches
            .iter()
            .map(|(_, body)| body.as_slice())
            .chain([otherwise.as_slice()])
            .collect(),
        Item::For {
            body, otherwise, ..
        }
        | Item::While {
            body, otherwise, ..
        } => vec![body, otherwise],
        Item::Try {
            body,
            handlers,
            otherwise,
            finally,
            ..
        } => std::iter::once(body.as_slice())
            .chain(handlers.iter().map(|handler| handler.body.as_slice()))
            .chain([otherwise.as_slice(), finally.as_slice()])
            .collect(),
    }
}

/// Calls `visit` with every expression of the items, outer ones first, bodies before the tags of their blocks.
pub(super) fn every<'a>(items: &'a [Item], visit: &mut dyn FnMut(&'a Expr)) {
    for item in items {
        for body in bodies(item) {
            every(body, visit);
        }
        of_item(item, &mut |expr| deep(expr, visit));
    }
}

/// Calls `visit` with an expression and every one inside of it.
pub(super) fn deep<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    visit(expr);
    children(expr, &mut |child| deep(child, visit));
}
