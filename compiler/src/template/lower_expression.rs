//! Expressions → instructions: each pushes exactly one value.

use minijinja::Value;
use minijinja::machinery::Instruction;
use pipewright_grammar::source::Span;
use pipewright_grammar::template::{
    Argument, ArgumentKind, Clause, Collector, Comparison, Expr, ExprKind, FormatPart,
};

use super::error::{ErrorKind, TemplateError};
use super::functions::{Function, Helper};
use super::lower::Lowering;
use super::operation::{Action, DOUBLE_STAR, Part, Shape, function_value};
use super::scope::is_loop_attribute;
use super::value::{Thing, int, list, none, thing};

/// A jump that is not known yet.
const OPEN: u32 = u32::MAX;

/// Keyword arguments that document a parameter and change nothing else.
const DOCUMENTATION: &[&str] = &["description", "required", "example", "format"];

impl Lowering<'_> {
    /// Pushes a value; a variable is pushed as a reference that the operation reading it resolves.
    pub(super) fn expression(&mut self, expr: &Expr) {
        let span = expr.span;
        if let Some(value) = constant(expr) {
            self.constant(value);
            return;
        }
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, span),
            ExprKind::Format(parts) => self.format(parts, span),
            ExprKind::Call(callee, arguments) => self.call_expression(expr, callee, arguments),
            ExprKind::Attribute(value, name) => {
                self.operation(Action::Attribute(name.value.as_str().into()), span);
                if is_loop_attribute(expr) && self.in_for() && !self.scope.is_local("loop") {
                    self.add(Instruction::Lookup("loop"));
                } else {
                    self.expression(value);
                }
                self.invoke(1);
            }
            ExprKind::Index(value, key) => match &key.kind {
                ExprKind::Slice(start, stop, step) => {
                    self.operation(Action::Slice, span);
                    self.expression(value);
                    for bound in [start, stop, step] {
                        match bound {
                            Some(bound) => self.expression(bound),
                            None => self.constant(none()),
                        }
                    }
                    self.invoke(4);
                }
                _ => self.binary(Action::Index, span, value, key),
            },
            ExprKind::Unary(operator, value) => {
                self.operation(Action::Unary(*operator), span);
                self.expression(value);
                self.invoke(1);
            }
            ExprKind::Binary(left, operator, right) => {
                self.binary(Action::Binary(*operator), span, left, right);
            }
            ExprKind::Compare(first, rest) => self.compare(span, first, rest),
            ExprKind::And(left, right) => {
                self.shortcut(left, right, Instruction::JumpIfFalseOrPop(OPEN));
            }
            ExprKind::Or(left, right) => {
                self.shortcut(left, right, Instruction::JumpIfTrueOrPop(OPEN));
            }
            ExprKind::Conditional {
                condition,
                then,
                otherwise,
            } => {
                self.test(condition);
                let to_else = self.add(Instruction::JumpIfFalse(OPEN));
                self.expression(then);
                let to_end = self.add(Instruction::Jump(OPEN));
                self.land(to_else);
                self.expression(otherwise);
                self.land(to_end);
            }
            ExprKind::Tuple(items) => {
                let action = Action::Tuple(stars(items));
                self.display(action, span, items);
            }
            ExprKind::List(items) => {
                let action = Action::Display(Collector::List, stars(items));
                self.display(action, span, items);
            }
            ExprKind::Set(items) => {
                let action = Action::Display(Collector::Set, stars(items));
                self.display(action, span, items);
            }
            ExprKind::Dict(pairs) => self.dictionary(span, pairs),
            ExprKind::Comprehension(collector, element, value, clauses) => {
                self.comprehension(span, *collector, element, value.as_deref(), clauses);
            }
            ExprKind::Lambda(..) => self.constant(thing(Thing::Lambda)),
            ExprKind::Starred(value) => self.expression(value),
            ExprKind::Named(name, value) => {
                self.real(value);
                self.add(Instruction::DupTop);
                self.store(
                    &pipewright_grammar::template::Target::Name(name.clone()),
                    span,
                );
            }
            // Refused before; something must still be pushed.
            ExprKind::Slice(..)
            | ExprKind::Unsupported(_)
            | ExprKind::Suspended(_)
            | ExprKind::Assignment => {
                if matches!(expr.kind, ExprKind::Slice(..)) {
                    self.refuse(
                        TemplateError::new(
                            ErrorKind::PythonSyntax,
                            "a slice stands alone in an index",
                        )
                        .at(span),
                    );
                }
                self.constant(none());
            }
            ExprKind::None
            | ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_) => {
                self.constant(none());
            }
        }
    }

    /// Pushes a value that is no reference, so that it can be tested or kept.
    pub(super) fn real(&mut self, expr: &Expr) {
        let may_be_reference = matches!(
            expr.kind,
            ExprKind::Name(_)
                | ExprKind::Conditional { .. }
                | ExprKind::And(..)
                | ExprKind::Or(..)
                | ExprKind::Starred(_)
        );
        if may_be_reference {
            self.operation(Action::Resolve, expr.span);
            self.expression(expr);
            self.invoke(1);
        } else {
            self.expression(expr);
        }
    }

    fn name(&mut self, name: &str, span: Span) {
        match Function::by_name(name) {
            Some(function) if !self.scope.is_local(name) && !function.can_be_parameter() => {
                self.constant(function_value(function));
            }
            _ => {
                let slot = self.scope.slot(name);
                let variable = self.scope.variable(slot, span);
                self.constant(variable);
            }
        }
    }

    fn binary(&mut self, action: Action, span: Span, left: &Expr, right: &Expr) {
        self.operation(action, span);
        self.expression(left);
        self.expression(right);
        self.invoke(2);
    }

    fn shortcut(&mut self, left: &Expr, right: &Expr, jump: Instruction<'static>) {
        self.test(left);
        let jump = self.add(jump);
        self.test(right);
        self.land(jump);
    }

    /// `a < b < c` is `a < b and b < c`.
    fn compare(&mut self, span: Span, first: &Expr, rest: &[(Comparison, Expr)]) {
        let mut left = first;
        let mut jumps = Vec::new();
        for (at, (comparison, right)) in rest.iter().enumerate() {
            self.binary(Action::Compare(*comparison), span, left, right);
            if at + 1 < rest.len() {
                jumps.push(self.add(Instruction::JumpIfFalseOrPop(OPEN)));
            }
            left = right;
        }
        for jump in jumps {
            self.land(jump);
        }
    }

    fn display(&mut self, action: Action, span: Span, items: &[Expr]) {
        self.operation(action, span);
        for item in items {
            self.expression(item);
        }
        self.count(span, items.len());
        self.invoke(items.len());
    }

    /// A call has at most 65,535 operands.
    fn count(&mut self, span: Span, operands: usize) {
        if operands >= usize::from(u16::MAX) {
            self.refuse(
                TemplateError::new(ErrorKind::LimitExceeded, "too many elements in one tag")
                    .at(span),
            );
        }
    }

    fn dictionary(&mut self, span: Span, pairs: &[(Option<Expr>, Expr)]) {
        let stars = pairs.iter().map(|(key, _)| key.is_none()).collect();
        self.operation(Action::Dict(stars), span);
        for (key, value) in pairs {
            match key {
                Some(key) => self.expression(key),
                None => self.constant(none()),
            }
            self.expression(value);
        }
        self.count(span, pairs.len() * 2);
        self.invoke(pairs.len() * 2);
    }

    fn format(&mut self, parts: &[FormatPart], span: Span) {
        let plan = parts
            .iter()
            .map(|part| match part {
                FormatPart::Text(text) => Part::Text(text.as_str().into()),
                FormatPart::Value {
                    conversion,
                    specification,
                    ..
                } => Part::Value(*conversion, specification.as_str().into()),
            })
            .collect();
        self.operation(Action::Format(plan), span);
        let mut count = 0;
        for part in parts {
            if let FormatPart::Value { value, .. } = part {
                self.expression(value);
                count += 1;
            }
        }
        self.invoke(count);
    }

    fn comprehension(
        &mut self,
        span: Span,
        collector: Collector,
        element: &Expr,
        value: Option<&Expr>,
        clauses: &[Clause],
    ) {
        let slot = self.scope.hidden();
        self.fresh(collector, slot, span);
        let mut starts = Vec::new();
        // The first iterable is evaluated outside of the scope that the clauses open.
        let mut before = None;
        for (at, clause) in clauses.iter().enumerate() {
            self.operation(Action::Iterate, clause.iterable.span);
            self.expression(&clause.iterable);
            self.invoke(1);
            if at == 0 {
                before = Some(self.scope.open(clauses));
            }
            let start = self.open_clause(&clause.target, clause.iterable.span);
            for condition in &clause.conditions {
                self.real(condition);
                self.add(Instruction::JumpIfFalse(start));
            }
            starts.push(start);
        }
        self.operation(Action::Append(slot, collector), span);
        self.expression(element);
        if let Some(value) = value {
            self.expression(value);
        }
        self.invoke(1 + usize::from(value.is_some()));
        self.add(Instruction::DiscardTop);
        for start in starts.into_iter().rev() {
            self.close_clause(start);
        }
        if let Some(before) = before {
            self.scope.close(before);
        }
        let variable = self.scope.variable(slot, span);
        let action = match collector {
            Collector::Set => Action::Call(Function::Helper(Helper::Set), Shape::default()),
            _ => Action::Resolve,
        };
        self.operation(action, span);
        self.constant(variable);
        self.invoke(1);
    }

    fn call_expression(&mut self, expr: &Expr, callee: &Expr, arguments: &[Argument]) {
        let span = expr.span;
        match &callee.kind {
            ExprKind::Name(name) => match Function::by_name(name) {
                Some(function) if !self.scope.is_local(name) => {
                    if matches!(function, Function::Helper(Helper::TbSecret | Helper::TbVar)) {
                        self.uses_secrets = true;
                    }
                    if function.can_be_parameter() && !function.is_builtin() {
                        self.overridable.insert(name.clone());
                    }
                    let shape = self.shape(arguments, Some(function));
                    self.operation(Action::Call(function, shape), span);
                    let count = self.arguments(arguments, Some(function));
                    self.invoke(count);
                }
                _ if name == "length" && !self.scope.is_local(name) => {
                    self.refuse(
                        TemplateError::new(
                            ErrorKind::ReservedName,
                            "`length` is not a function of templates; use `len`",
                        )
                        .at(callee.span),
                    );
                    self.constant(none());
                }
                _ => {
                    self.operation(Action::CallValue(name.as_str().into()), span);
                    self.constant(none());
                    self.invoke(1);
                }
            },
            ExprKind::Attribute(value, method) => {
                let shape = self.shape(arguments, None);
                self.operation(Action::Method(method.value.as_str().into(), shape), span);
                self.expression(value);
                let count = self.arguments(arguments, None);
                self.invoke(count + 1);
            }
            _ => {
                if matches!(callee.kind, ExprKind::Lambda(..)) {
                    self.refuse_lambda(callee.span);
                }
                self.operation(Action::CallValue("".into()), span);
                self.expression(callee);
                self.invoke(1);
            }
        }
    }

    /// A lambda is only ever true or false: nothing here can call one, so that handing one over, or keeping one, is refused where it stands.
    pub(super) fn refuse_lambda(&mut self, span: Span) {
        self.refuse(
            TemplateError::new(
                ErrorKind::SecurityExpression,
                "a lambda cannot be called in a template; use a comprehension (`[f(x) for x in xs]`)",
            )
            .at(span),
        );
    }

    fn shape(&mut self, arguments: &[Argument], function: Option<Function>) -> Shape {
        let mut shape = Shape::default();
        let mut keywords: Vec<Box<str>> = Vec::new();
        let mut marks = Vec::new();
        for argument in arguments {
            match &argument.kind {
                ArgumentKind::Positional => marks.push(false),
                ArgumentKind::Star => marks.push(true),
                ArgumentKind::Keyword(name)
                    if is_documentation(function, &name.value, &argument.value) => {}
                ArgumentKind::Keyword(name) => {
                    if keywords.iter().any(|known| **known == *name.value) {
                        self.refuse(
                            TemplateError::new(
                                ErrorKind::PythonSyntax,
                                format!("the argument `{}` is given twice", name.value),
                            )
                            .at(name.span),
                        );
                    }
                    keywords.push(name.value.as_str().into());
                }
                ArgumentKind::DoubleStar => keywords.push(DOUBLE_STAR.into()),
            }
        }
        if marks.contains(&true) {
            shape.stars = marks.into();
        }
        shape.keywords = keywords.into();
        shape
    }

    fn arguments(&mut self, arguments: &[Argument], function: Option<Function>) -> usize {
        let mut count = 0;
        // Methods, and functions that call what they are given.
        let calls_back = matches!(
            function,
            None | Some(Function::Helper(
                Helper::Map2 | Helper::Filter | Helper::Sorted | Helper::Min | Helper::Max
            ))
        );
        for argument in arguments {
            if calls_back && matches!(argument.value.kind, ExprKind::Lambda(..)) {
                self.refuse_lambda(argument.value.span);
            }
        }
        let positional = |argument: &&Argument| {
            matches!(argument.kind, ArgumentKind::Positional | ArgumentKind::Star)
        };
        for argument in arguments.iter().filter(positional) {
            self.expression(&argument.value);
            count += 1;
        }
        for argument in arguments.iter().filter(|argument| !positional(argument)) {
            match &argument.kind {
                ArgumentKind::Keyword(name)
                    if is_documentation(function, &name.value, &argument.value) =>
                {
                    super::restrict::block(&argument.value)
                        .unwrap_or_else(|error| self.refuse(error));
                }
                ArgumentKind::Keyword(name)
                    if name.value == "enum" && constant_list(&argument.value).is_some() =>
                {
                    self.constant(constant_list(&argument.value).unwrap_or_else(none));
                    count += 1;
                }
                _ => {
                    self.expression(&argument.value);
                    count += 1;
                }
            }
        }
        if let Some(argument) = arguments.first() {
            self.count(argument.value.span, count);
        }
        count
    }
}

/// Documentation of a typed parameter that is constant costs nothing at run time.
fn is_documentation(function: Option<Function>, name: &str, value: &Expr) -> bool {
    let typed = match function {
        Some(Function::Scalar(scalar)) => scalar.name() != "Boolean",
        Some(Function::Helper(helper)) => {
            matches!(helper, Helper::Array | Helper::Tuple | Helper::Map)
        }
        None => false,
    };
    typed
        && DOCUMENTATION.contains(&name)
        && (constant(value).is_some() || constant_list(value).is_some())
}

fn stars(items: &[Expr]) -> Box<[bool]> {
    if items
        .iter()
        .any(|item| matches!(item.kind, ExprKind::Starred(_)))
    {
        items
            .iter()
            .map(|item| matches!(item.kind, ExprKind::Starred(_)))
            .collect()
    } else {
        Box::new([])
    }
}

/// The value of a literal.
pub(super) fn constant(expr: &Expr) -> Option<Value> {
    Some(match &expr.kind {
        ExprKind::None => none(),
        ExprKind::Bool(value) => Value::from(*value),
        ExprKind::Int(digits) => digits
            .parse::<i128>()
            .map_or_else(|_| thing(Thing::Big(digits.clone())), int),
        ExprKind::Float(value) => Value::from(*value),
        ExprKind::Str(text) => Value::from(text.as_str()),
        ExprKind::Unary(pipewright_grammar::template::Unary::Minus, value) => match &value.kind {
            ExprKind::Int(digits) => int(format!("-{digits}").parse::<i128>().ok()?),
            ExprKind::Float(value) => Value::from(-value),
            _ => return None,
        },
        _ => return None,
    })
}

/// The value of a list of literals.
fn constant_list(expr: &Expr) -> Option<Value> {
    let (ExprKind::List(items) | ExprKind::Tuple(items)) = &expr.kind else {
        return None;
    };
    Some(list(
        items.iter().map(constant).collect::<Option<Vec<_>>>()?,
    ))
}
