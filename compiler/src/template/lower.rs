//! Tree → minijinja bytecode, once per template.
//!
//! minijinja's instructions do the control flow, the loops and the calls; each Python operation is a callable object with its span (`operation`). A call is
//! `LoadConst(operation)`, its operands, `CallObject`. Nothing recurses at run time.

use indexmap::IndexSet;
use minijinja::Value;
use minijinja::machinery::{Instruction, Instructions};
use pipewright_grammar::source::Span;
use pipewright_grammar::template::{
    Collector, Expr, ExprKind, Handler, Item, Statement, Target, Whitespace,
};

use super::error::{ErrorKind, TemplateError};
use super::operation::{Action, Chunk, Destination, Operation};
use super::pattern;
use super::restrict;
use super::scope::Scope;

/// The loop variable is available.
const WITH_LOOP: u8 = 1;

/// A jump that is not known yet.
const OPEN: u32 = u32::MAX;

/// What lowering leaves.
pub(super) struct Lowered {
    pub(super) code: Instructions<'static>,
    pub(super) scope: Scope,
    pub(super) errors: Vec<TemplateError>,
    pub(super) uses_secrets: bool,
    /// Functions that are called and that a request parameter of the same name hides.
    pub(super) overridable: IndexSet<String>,
}

struct Loop {
    start: u32,
    breaks: Vec<u32>,
    /// Whether minijinja keeps a frame for it.
    framed: bool,
    /// How many `try` blocks were open around it.
    tries: usize,
}

struct Try {
    jumps: Vec<u32>,
    /// How many loops were open around it.
    loops: usize,
}

/// The number of the condition at a place.
type Numbers<'f> = &'f dyn Fn(Span) -> Option<usize>;

/// What becomes of the conditions.
#[derive(Clone, Copy)]
pub(super) enum Conditions<'f> {
    /// They are tested.
    Tested,
    /// Those that have a number have a truth that is given, when branches are explored.
    Forced(Numbers<'f>),
    /// They are tested, and what those come out as that have a number is noted.
    Recorded(Numbers<'f>),
}

pub(super) struct Lowering<'t> {
    text: &'t str,
    /// The offset of the text in the file.
    base: usize,
    pub(super) code: Instructions<'static>,
    pub(super) scope: Scope,
    errors: Vec<TemplateError>,
    loops: Vec<Loop>,
    tries: Vec<Try>,
    whitespace: Whitespace,
    conditions: Conditions<'t>,
    pub(super) uses_secrets: bool,
    pub(super) overridable: IndexSet<String>,
    /// How many instructions there are.
    length: u32,
}

/// Lowers the items of a template.
pub(super) fn lower<'t>(
    items: &[Item],
    text: &'t str,
    base: usize,
    whole: Span,
    scope: Scope,
    conditions: Conditions<'t>,
) -> Lowered {
    let mut lowering = Lowering {
        text,
        base,
        code: Instructions::new("template", ""),
        scope,
        errors: Vec::new(),
        loops: Vec::new(),
        tries: Vec::new(),
        whitespace: Whitespace::All,
        conditions,
        uses_secrets: false,
        overridable: IndexSet::new(),
        length: 0,
    };
    lowering.call(Action::Begin, whole, 0);
    lowering.add(Instruction::DiscardTop);
    lowering.items(items);
    Lowered {
        code: lowering.code,
        scope: lowering.scope,
        errors: lowering.errors,
        uses_secrets: lowering.uses_secrets,
        overridable: lowering.overridable,
    }
}

impl Lowering<'_> {
    pub(super) fn add(&mut self, instruction: Instruction<'static>) -> u32 {
        self.length += 1;
        self.code.add(instruction)
    }

    pub(super) fn constant(&mut self, value: Value) {
        self.add(Instruction::LoadConst(value));
    }

    /// Pushes an operation; its operands follow, then [`Self::invoke`].
    pub(super) fn operation(&mut self, action: Action, span: Span) {
        self.constant(Value::from_object(Operation { span, action }));
    }

    pub(super) fn invoke(&mut self, operands: usize) {
        let count = u16::try_from(operands + 1).unwrap_or(u16::MAX);
        self.add(Instruction::CallObject(Some(count)));
    }

    /// An operation whose operands are already known to be none.
    fn call(&mut self, action: Action, span: Span, operands: usize) {
        self.operation(action, span);
        self.invoke(operands);
    }

    fn next(&self) -> u32 {
        self.length
    }

    /// Points a jump at the next instruction.
    pub(super) fn land(&mut self, jump: u32) {
        let target = self.next();
        if let Some(
            Instruction::Jump(place)
            | Instruction::JumpIfFalse(place)
            | Instruction::JumpIfFalseOrPop(place)
            | Instruction::JumpIfTrueOrPop(place)
            | Instruction::Iterate(place),
        ) = self.code.get_mut(jump)
        {
            *place = target;
        }
    }

    pub(super) fn refuse(&mut self, error: TemplateError) {
        self.errors.push(error);
    }

    fn accept(&mut self, outcome: Result<(), TemplateError>) {
        if let Err(error) = outcome {
            self.errors.push(error);
        }
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Text(span) => self.chunk(*span),
            Item::Output { span, value } => {
                self.accept(restrict::output(value));
                let start = span.start as usize - self.base;
                let in_pattern = pattern::ends_in_like(&self.text[..start]);
                self.operation(Action::Print(in_pattern), *span);
                self.expression(value);
                self.invoke(1);
                self.add(Instruction::DiscardTop);
                self.check();
            }
            Item::If {
                branches,
                otherwise,
                ..
            } => self.conditional(branches, otherwise),
            Item::For {
                target,
                iterable,
                body,
                otherwise,
                ..
            } => self.for_loop(target, iterable, body, otherwise),
            Item::While {
                condition,
                body,
                otherwise,
                ..
            } => self.while_loop(condition, body, otherwise),
            Item::Try {
                span,
                body,
                handlers,
                otherwise,
                finally,
            } => self.guarded(*span, body, handlers, otherwise, finally),
            Item::Set { span, statement } => self.statement(*span, statement),
            Item::Break(_) => self.leave(true),
            Item::Continue(_) => self.leave(false),
            Item::Whitespace(_, mode) => self.whitespace = *mode,
        }
    }

    fn chunk(&mut self, span: Span) {
        let start = span.start as usize - self.base;
        let text = &self.text[start..start + span.len()];
        let text = match self.whitespace {
            Whitespace::All => std::borrow::Cow::Borrowed(text),
            mode => pattern::squeeze(text, mode == Whitespace::Oneline).into(),
        };
        let verbatim = matches!(text, std::borrow::Cow::Borrowed(_));
        self.constant(Value::from_object(Chunk {
            text: text.into(),
            span,
            verbatim,
        }));
        self.add(Instruction::Emit);
    }

    /// A condition of a block tag: pushes a value that can be tested.
    fn condition(&mut self, condition: &Expr) {
        self.accept(restrict::block(condition));
        self.test(condition);
        self.check();
    }

    /// Pushes the truth of an expression, or the forced one.
    pub(super) fn test(&mut self, condition: &Expr) {
        let span = condition.span;
        match self.conditions {
            Conditions::Forced(numbers) if let Some(number) = numbers(span) => {
                self.call(Action::Forced(number), span, 0);
            }
            Conditions::Recorded(numbers) if let Some(number) = numbers(span) => {
                self.operation(Action::Recorded(number), span);
                self.real(condition);
                self.invoke(1);
            }
            _ => self.real(condition),
        }
    }

    fn conditional(&mut self, branches: &[(Expr, Vec<Item>)], otherwise: &[Item]) {
        let mut ends = Vec::new();
        for (condition, body) in branches {
            self.condition(condition);
            let next = self.add(Instruction::JumpIfFalse(OPEN));
            self.items(body);
            ends.push(self.add(Instruction::Jump(OPEN)));
            self.land(next);
        }
        self.items(otherwise);
        for end in ends {
            self.land(end);
        }
    }

    fn for_loop(&mut self, target: &Target, iterable: &Expr, body: &[Item], otherwise: &[Item]) {
        self.accept(restrict::block(iterable));
        self.accept(restrict::target(target));
        self.operation(Action::Iterate, iterable.span);
        self.expression(iterable);
        self.invoke(1);
        self.check();
        self.add(Instruction::PushLoop(WITH_LOOP));
        let start = self.add(Instruction::Iterate(OPEN));
        self.loops.push(Loop {
            start,
            breaks: Vec::new(),
            framed: true,
            tries: self.tries.len(),
        });
        self.store(target, iterable.span);
        self.check();
        self.items(body);
        self.add(Instruction::Jump(start));
        self.land(start);
        self.add(Instruction::PopLoopFrame);
        let closed = self.loops.pop();
        self.items(otherwise);
        let breaks = closed.map(|closed| closed.breaks).unwrap_or_default();
        if !breaks.is_empty() {
            let done = self.add(Instruction::Jump(OPEN));
            for jump in breaks {
                self.land(jump);
            }
            self.add(Instruction::PopLoopFrame);
            self.land(done);
        }
    }

    fn while_loop(&mut self, condition: &Expr, body: &[Item], otherwise: &[Item]) {
        let start = self.next();
        self.accept(restrict::block(condition));
        // An operation even for a constant: only operations use steps, and steps end the loop.
        self.operation(Action::Resolve, condition.span);
        self.expression(condition);
        self.invoke(1);
        self.check();
        let exit = self.add(Instruction::JumpIfFalse(OPEN));
        self.loops.push(Loop {
            start,
            breaks: Vec::new(),
            framed: false,
            tries: self.tries.len(),
        });
        self.items(body);
        self.add(Instruction::Jump(start));
        self.land(exit);
        let closed = self.loops.pop();
        self.items(otherwise);
        for jump in closed.map(|closed| closed.breaks).unwrap_or_default() {
            self.land(jump);
        }
    }

    /// `break` and `continue`: closes the `try` blocks inside of the loop, then jumps.
    fn leave(&mut self, out: bool) {
        let Some((start, tries)) = self.loops.last().map(|open| (open.start, open.tries)) else {
            return;
        };
        let span = Span::new(pipewright_grammar::source::SourceId(0), 0, 0);
        for _ in tries..self.tries.len() {
            self.call(Action::Release, span, 0);
            self.add(Instruction::DiscardTop);
        }
        if out {
            let jump = self.add(Instruction::Jump(OPEN));
            if let Some(open) = self.loops.last_mut() {
                open.breaks.push(jump);
            }
        } else {
            self.add(Instruction::Jump(start));
        }
    }

    /// Inside of a `try` block: jumps to its handlers if something was raised.
    fn check(&mut self) {
        let Some(open) = self.tries.last() else {
            return;
        };
        let loops = open.loops;
        let span = Span::new(pipewright_grammar::source::SourceId(0), 0, 0);
        self.call(Action::Raised, span, 0);
        let fine = self.add(Instruction::JumpIfFalse(OPEN));
        let frames = self.loops[loops.min(self.loops.len())..]
            .iter()
            .filter(|open| open.framed)
            .count();
        for _ in 0..frames {
            self.add(Instruction::PopLoopFrame);
        }
        let jump = self.add(Instruction::Jump(OPEN));
        if let Some(open) = self.tries.last_mut() {
            open.jumps.push(jump);
        }
        self.land(fine);
    }

    fn effect(&mut self, action: Action, span: Span) {
        self.call(action, span, 0);
        self.add(Instruction::DiscardTop);
    }

    fn guarded(
        &mut self,
        span: Span,
        body: &[Item],
        handlers: &[Handler],
        otherwise: &[Item],
        finally: &[Item],
    ) {
        self.effect(Action::Guard, span);
        self.tries.push(Try {
            jumps: Vec::new(),
            loops: self.loops.len(),
        });
        self.items(body);
        let jumps = self.tries.pop().map(|open| open.jumps).unwrap_or_default();
        self.effect(Action::Release, span);
        self.items(otherwise);
        let mut ends = vec![self.add(Instruction::Jump(OPEN))];
        for jump in jumps {
            self.land(jump);
        }
        self.effect(Action::Release, span);
        for handler in handlers {
            let slot = handler
                .name
                .as_ref()
                .map(|name| self.scope.slot(&name.value));
            self.operation(Action::Catch(slot), span);
            if let Some(class) = &handler.class {
                self.accept(restrict::block(class));
                self.expression(class);
            }
            self.invoke(usize::from(handler.class.is_some()));
            let next = self.add(Instruction::JumpIfFalse(OPEN));
            self.items(&handler.body);
            ends.push(self.add(Instruction::Jump(OPEN)));
            self.land(next);
        }
        self.effect(Action::Rethrow, span);
        self.check();
        for end in ends {
            self.land(end);
        }
        self.items(finally);
    }

    fn statement(&mut self, span: Span, statement: &Statement) {
        self.accept(restrict::statement(statement));
        match statement {
            Statement::Assign(targets, value) => {
                if matches!(value.kind, ExprKind::Lambda(..)) {
                    self.refuse_lambda(value.span);
                }
                self.real(value);
                for target in targets {
                    self.add(Instruction::DupTop);
                    self.store(target, span);
                }
                self.add(Instruction::DiscardTop);
            }
            Statement::Augment(target, operator, value) => {
                self.operation(Action::Binary(*operator), span);
                match target {
                    Target::Name(name) => {
                        let slot = self.scope.slot(&name.value);
                        let variable = self.scope.variable(slot, name.span);
                        self.constant(variable);
                    }
                    Target::Item(expr) => self.expression(expr),
                    Target::Tuple(place, _) => self.refuse(
                        TemplateError::new(
                            ErrorKind::PythonSyntax,
                            "a list of variables cannot be augmented",
                        )
                        .at(*place),
                    ),
                }
                self.expression(value);
                self.invoke(2);
                self.store(target, span);
            }
            Statement::Evaluate(value) => {
                self.real(value);
                self.add(Instruction::DiscardTop);
            }
        }
        self.check();
    }

    /// Binds the value on the stack, and takes it off.
    pub(super) fn store(&mut self, target: &Target, span: Span) {
        if let Target::Item(expr) = target {
            if let ExprKind::Index(object, key) = &expr.kind {
                self.operation(Action::StoreItem, expr.span);
                self.add(Instruction::Swap);
                self.expression(object);
                self.expression(key);
                self.invoke(3);
            }
            self.add(Instruction::DiscardTop);
            return;
        }
        let destination = self.destination(target);
        self.operation(Action::Store(destination), span);
        self.add(Instruction::Swap);
        self.invoke(1);
        self.add(Instruction::DiscardTop);
    }

    fn destination(&mut self, target: &Target) -> Destination {
        match target {
            Target::Name(name) => Destination::Slot(self.scope.slot(&name.value)),
            Target::Tuple(_, parts) => {
                Destination::Tuple(parts.iter().map(|part| self.destination(part)).collect())
            }
            Target::Item(expr) => {
                self.refuse(
                    TemplateError::new(
                        ErrorKind::PythonSyntax,
                        "an item cannot stand in a list of variables",
                    )
                    .at(expr.span),
                );
                Destination::Tuple(Vec::new())
            }
        }
    }

    /// Whether the place is inside of a `for` block, where `loop` has a meaning.
    pub(super) fn in_for(&self) -> bool {
        self.loops.iter().any(|open| open.framed)
    }

    /// Opens the loop of a comprehension's clause over the value on the stack; gives the place of its `Iterate`.
    pub(super) fn open_clause(&mut self, target: &Target, span: Span) -> u32 {
        self.add(Instruction::PushLoop(0));
        let start = self.add(Instruction::Iterate(OPEN));
        self.store(target, span);
        start
    }

    /// Closes the loop of a comprehension's clause.
    pub(super) fn close_clause(&mut self, start: u32) {
        self.add(Instruction::Jump(start));
        self.land(start);
        self.add(Instruction::PopLoopFrame);
    }

    /// The empty collection that a comprehension fills.
    pub(super) fn fresh(&mut self, collector: Collector, slot: usize, span: Span) {
        self.operation(Action::Store(Destination::Slot(slot)), span);
        let dict = collector == Collector::Dict;
        let action = if dict {
            Action::Dict(Box::new([]))
        } else {
            Action::Display(Collector::List, Box::new([]))
        };
        self.call(action, span, 0);
        self.invoke(1);
        self.add(Instruction::DiscardTop);
    }
}
