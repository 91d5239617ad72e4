//! The tree of a template: what stands where, with spans on everything and no meaning attached.

use serde::Serialize;

use crate::source::{Span, Spanned};

/// One template: an SQL body after its leading `%`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Template {
    /// Text and tags in order.
    pub items: Vec<Item>,
}

/// A piece of text, a tag, or a block with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Item {
    /// Text, copied byte for byte from its span (`{{!` gives the span of `{{`).
    Text(Span),
    /// `{{ expression }}`.
    Output {
        /// The whole tag with its braces.
        span: Span,
        /// The expression.
        value: Expr,
    },
    /// `{% if %}` with its `elif` branches, each with the span of its tag.
    If {
        /// The tag that opens the block.
        span: Span,
        /// Condition and body of `if` and each `elif`.
        branches: Vec<(Expr, Vec<Item>)>,
        /// The body of `else`.
        otherwise: Vec<Item>,
    },
    /// `{% for target in iterable %}`.
    For {
        /// The tag that opens the block.
        span: Span,
        /// What each element is bound to.
        target: Target,
        /// What is walked over.
        iterable: Expr,
        /// The body.
        body: Vec<Item>,
        /// The body of `else`: runs when no `break` left the loop.
        otherwise: Vec<Item>,
    },
    /// `{% while condition %}`.
    While {
        /// The tag that opens the block.
        span: Span,
        /// Tested before each round.
        condition: Expr,
        /// The body.
        body: Vec<Item>,
        /// The body of `else`: runs when no `break` left the loop.
        otherwise: Vec<Item>,
    },
    /// `{% try %}`.
    Try {
        /// The tag that opens the block.
        span: Span,
        /// The guarded body.
        body: Vec<Item>,
        /// The `except` clauses.
        handlers: Vec<Handler>,
        /// The body of `else`: runs when nothing was raised.
        otherwise: Vec<Item>,
        /// The body of `finally`.
        finally: Vec<Item>,
    },
    /// `{% set … %}`.
    Set {
        /// The whole tag.
        span: Span,
        /// What is done.
        statement: Statement,
    },
    /// `{% break %}`.
    Break(Span),
    /// `{% continue %}`.
    Continue(Span),
    /// `{% whitespace all|single|oneline %}`: how blanks of the text after it are kept.
    Whitespace(Span, Whitespace),
}

/// One `except` clause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Handler {
    /// The class that it catches; everything if absent.
    pub class: Option<Expr>,
    /// The name that the error is bound to.
    pub name: Option<Spanned<String>>,
    /// The body.
    pub body: Vec<Item>,
}

/// What `whitespace` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Whitespace {
    /// Every byte is kept; the rule unless a tag says otherwise.
    All,
    /// Runs of blanks become one blank, runs with a line break become one line break.
    Single,
    /// Every run of white space becomes one blank.
    Oneline,
}

/// What `{% set %}` does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Statement {
    /// `a = b = value`.
    Assign(Vec<Target>, Expr),
    /// `a += value`.
    Augment(Target, Operator, Expr),
    /// An expression for its effect, such as `xs.append(1)`.
    Evaluate(Expr),
}

/// What a value can be bound to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Target {
    /// A variable.
    Name(Spanned<String>),
    /// `a, b`.
    Tuple(Span, Vec<Target>),
    /// `a[key]`.
    Item(Expr),
}

/// An expression and its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expr {
    /// The bytes of the expression.
    pub span: Span,
    /// How many levels of expressions lie in it; bounded by [`super::MAX_HEIGHT`].
    #[serde(skip)]
    pub height: u16,
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of expressions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ExprKind {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An integer as decimal digits without sign, leading zeros or underscores.
    Int(String),
    /// A float.
    Float(f64),
    /// A string with its escapes resolved.
    Str(String),
    /// An f-string.
    Format(Vec<FormatPart>),
    /// `...`, bytes, complex numbers: read, so that they can be refused by name.
    Unsupported(&'static str),
    /// A variable.
    Name(String),
    /// `f(…)`.
    Call(Box<Expr>, Vec<Argument>),
    /// `a.b`.
    Attribute(Box<Expr>, Spanned<String>),
    /// `a[b]`.
    Index(Box<Expr>, Box<Expr>),
    /// `a:b:c` inside brackets.
    Slice(Option<Box<Expr>>, Option<Box<Expr>>, Option<Box<Expr>>),
    /// `-a`, `not a`, …
    Unary(Unary, Box<Expr>),
    /// `a + b`, …
    Binary(Box<Expr>, Operator, Box<Expr>),
    /// `a < b < c`.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `a and b`.
    And(Box<Expr>, Box<Expr>),
    /// `a or b`.
    Or(Box<Expr>, Box<Expr>),
    /// `then if condition else otherwise`.
    Conditional {
        /// The condition.
        condition: Box<Expr>,
        /// The value if it holds.
        then: Box<Expr>,
        /// The value if not.
        otherwise: Box<Expr>,
    },
    /// `(a, b)`.
    Tuple(Vec<Expr>),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{a, b}`.
    Set(Vec<Expr>),
    /// `{k: v}`; `**other` has no key.
    Dict(Vec<(Option<Expr>, Expr)>),
    /// `[e for t in i if c]` and its kin.
    Comprehension(Collector, Box<Expr>, Option<Box<Expr>>, Vec<Clause>),
    /// `lambda a: e`.
    Lambda(Vec<Spanned<String>>, Box<Expr>),
    /// `*a` in a display or call.
    Starred(Box<Expr>),
    /// `n := e`.
    Named(Spanned<String>, Box<Expr>),
    /// `await e`, `yield e`.
    Suspended(&'static str),
    /// `a = e` where an expression should stand.
    Assignment,
}

/// What a comprehension collects into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Collector {
    /// `[…]`.
    List,
    /// `{…}`.
    Set,
    /// `{k: v …}`.
    Dict,
    /// `(…)`: collected at once, like a list.
    Generator,
}

/// `for target in iterable if condition …` of a comprehension.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clause {
    /// What each element is bound to.
    pub target: Target,
    /// What is walked over.
    pub iterable: Expr,
    /// Elements for which one of these is false are left out.
    pub conditions: Vec<Expr>,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Argument {
    /// How it is passed.
    pub kind: ArgumentKind,
    /// The value.
    pub value: Expr,
}

/// How an argument is passed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ArgumentKind {
    /// By position.
    Positional,
    /// By name.
    Keyword(Spanned<String>),
    /// `*value`.
    Star,
    /// `**value`.
    DoubleStar,
}

/// A part of an f-string.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum FormatPart {
    /// Text between the braces.
    Text(String),
    /// `{value!conversion:specification}`.
    Value {
        /// The value.
        value: Expr,
        /// `r`, `s` or `a`.
        conversion: Option<char>,
        /// The format specification.
        specification: String,
    },
}

/// Operators before an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unary {
    /// `not`
    Not,
    /// `-`
    Minus,
    /// `+`
    Plus,
    /// `~`
    Invert,
}

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
    /// `**`
    Power,
    /// `@`
    MatrixMultiply,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `in`
    In,
    /// `not in`
    NotIn,
    /// `is`
    Is,
    /// `is not`
    IsNot,
}
