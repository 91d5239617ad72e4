//! The flat operands and operators of an operation → a tree by precedence.

use pest::iterators::Pair;

use super::MAX_HEIGHT;
use super::expression::{Builder, Built};
use super::grammar::Rule;
use super::tree::{Comparison, Expr, ExprKind, Operator, Unary};
use crate::diagnostic::{Code, Diagnostic};

/// Precedence climbing over the flat tokens of an operation.
pub(super) struct Operations<'b, 'a> {
    builder: &'b Builder,
    tokens: std::iter::Peekable<std::vec::IntoIter<Pair<'a, Rule>>>,
    nesting: u16,
}

/// Binding strengths, weakest first.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const UNARY: u8 = 11;
const POWER: u8 = 12;

fn strength(sign: &str) -> u8 {
    match sign {
        "or" => OR,
        "and" => AND,
        "|" => 5,
        "^" => 6,
        "&" => 7,
        "<<" | ">>" => 8,
        "+" | "-" => 9,
        "*" | "/" | "//" | "%" | "@" => 10,
        "**" => POWER,
        _ => COMPARISON,
    }
}

impl<'b, 'a> Operations<'b, 'a> {
    /// Over the tokens of one operation.
    pub(super) fn new(builder: &'b Builder, tokens: Vec<Pair<'a, Rule>>) -> Self {
        Self {
            builder,
            tokens: tokens.into_iter().peekable(),
            nesting: 0,
        }
    }

    /// Reads operators that bind at least as strongly as `floor`.
    pub(super) fn level(&mut self, floor: u8) -> Built<Expr> {
        let mut left = self.unary()?;
        while let Some(token) = self.tokens.peek() {
            let sign = token.as_str();
            let here = strength(sign);
            if here < floor.max(1) {
                break;
            }
            if here == COMPARISON {
                left = self.comparison(left)?;
                continue;
            }
            let sign = sign.to_owned();
            self.tokens.next();
            let right = self.deeper(if here == POWER { UNARY } else { here + 1 })?;
            let span = left.span.cover(right.span);
            let height = left.height.max(right.height) + 1;
            let (left_box, right_box) = (Box::new(left), Box::new(right));
            let kind = match sign.as_str() {
                "or" => ExprKind::Or(left_box, right_box),
                "and" => ExprKind::And(left_box, right_box),
                sign => ExprKind::Binary(
                    left_box,
                    operator(sign).expect("invariant: the grammar names operators"),
                    right_box,
                ),
            };
            left = Builder::make(span, kind, height)?;
        }
        Ok(left)
    }

    /// Recurses, counting, so that chains of prefixes and powers cannot exhaust the stack.
    fn deeper(&mut self, floor: u8) -> Built<Expr> {
        self.nesting += 1;
        if self.nesting > MAX_HEIGHT {
            let span = self.tokens.peek().map(|token| self.builder.span(token));
            let mut diagnostic = Diagnostic::error(
                Code::TEMPLATE_EXPRESSION,
                format!("the expression has more than {MAX_HEIGHT} levels"),
            );
            if let Some(span) = span {
                diagnostic = diagnostic.label(span, "");
            }
            return Err(Box::new(diagnostic));
        }
        let value = self.level(floor);
        self.nesting -= 1;
        value
    }

    fn unary(&mut self) -> Built<Expr> {
        let token = self.tokens.next().expect("invariant: an operand follows");
        if token.as_rule() != Rule::prefix {
            return self.builder.operand(token);
        }
        let start = self.builder.span(&token);
        let (unary, floor) = match token.as_str() {
            "not" => (Some(Unary::Not), NOT),
            "-" => (Some(Unary::Minus), UNARY),
            "+" => (Some(Unary::Plus), UNARY),
            "~" => (Some(Unary::Invert), UNARY),
            _ => (None, POWER),
        };
        let value = self.deeper(floor)?;
        let span = start.cover(value.span);
        let height = value.height + 1;
        let kind = match unary {
            Some(unary) => ExprKind::Unary(unary, Box::new(value)),
            None => ExprKind::Suspended("await"),
        };
        Builder::make(span, kind, height)
    }

    fn comparison(&mut self, first: Expr) -> Built<Expr> {
        let mut span = first.span;
        let mut height = first.height;
        let mut rest = Vec::new();
        while let Some(token) = self.tokens.peek() {
            if strength(token.as_str()) != COMPARISON {
                break;
            }
            let comparison = comparison(token.as_str());
            self.tokens.next();
            let right = self.deeper(COMPARISON + 1)?;
            span = span.cover(right.span);
            height = height.max(right.height);
            rest.push((comparison, right));
        }
        Builder::make(span, ExprKind::Compare(Box::new(first), rest), height + 1)
    }
}

fn comparison(sign: &str) -> Comparison {
    match sign {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterEqual,
        "in" => Comparison::In,
        "is" => Comparison::Is,
        sign if sign.starts_with("not") => Comparison::NotIn,
        _ => Comparison::IsNot,
    }
}

/// The arithmetic operator of a sign.
pub(super) fn operator(sign: &str) -> Option<Operator> {
    Some(match sign {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "//" => Operator::FloorDivide,
        "%" => Operator::Modulo,
        "**" => Operator::Power,
        "@" => Operator::MatrixMultiply,
        "<<" => Operator::ShiftLeft,
        ">>" => Operator::ShiftRight,
        "&" => Operator::BitAnd,
        "|" => Operator::BitOr,
        "^" => Operator::BitXor,
        _ => return None,
    })
}
