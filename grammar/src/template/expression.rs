//! pest pairs → expressions. Bounded: brackets were counted before (`scan`), and the height of every tree is limited here.

use pest::Parser;
use pest::iterators::{Pair, Pairs};

use super::constants::number;
use super::grammar::{Rule, TemplateGrammar};
use super::operations::{Operations, operator};
use super::scan::{Objection, scan};
use super::tree::{Argument, ArgumentKind, Collector, Expr, ExprKind, Statement, Target};
use super::{MAX_DEPTH, MAX_HEIGHT};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceId, Span, Spanned};

/// A tree or what is wrong with the text.
pub(super) type Built<T> = Result<T, Box<Diagnostic>>;

/// Builds trees from the text of one tag.
#[derive(Clone, Copy)]
pub(super) struct Builder {
    /// The file.
    pub(super) source: SourceId,
    /// Where the text of the tag starts in the file.
    pub(super) base: usize,
    /// How deep this text lies in f-strings.
    pub(super) depth: usize,
}

impl Builder {
    /// Parses the whole text by one of the `*_only` rules and gives the pairs inside.
    pub(super) fn pairs<'a>(&self, rule: Rule, text: &'a str) -> Built<Pairs<'a, Rule>> {
        let blame = |offset: usize, message: String| {
            let start = self.base + offset;
            let end = start + text[offset..].chars().next().map_or(0, char::len_utf8);
            Err(Box::new(
                Diagnostic::error(Code::TEMPLATE_EXPRESSION, message)
                    .label(Span::new(self.source, start, end), ""),
            ))
        };
        match scan(text, MAX_DEPTH) {
            Some(Objection::TooDeep(at)) => {
                return blame(
                    at,
                    format!("more than {MAX_DEPTH} brackets inside each other"),
                );
            }
            Some(Objection::LineBreak(at)) => {
                return blame(at, "a line break is only allowed inside of brackets".into());
            }
            Some(Objection::Semicolon(at)) => {
                return blame(at, "a tag holds one expression; `;` is not allowed".into());
            }
            Some(Objection::Comment(at)) => {
                return blame(at, "`#` is not allowed in a tag; write `{# … #}`".into());
            }
            None => {}
        }
        match TemplateGrammar::parse(rule, text) {
            Ok(mut pairs) => Ok(pairs
                .next()
                .expect("invariant: a rule gives its own pair")
                .into_inner()),
            Err(error) => {
                let offset = match error.location {
                    pest::error::InputLocation::Pos(at) => at,
                    pest::error::InputLocation::Span((start, _)) => start,
                };
                let rest: String = text[offset..].chars().take(20).collect();
                blame(
                    offset,
                    if rest.is_empty() {
                        "the expression ends too early".into()
                    } else {
                        format!("cannot read the expression at `{rest}`")
                    },
                )
            }
        }
    }

    pub(super) fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        // Implicit white space at the end of a rule belongs to no one.
        let text = span.as_str().trim_end();
        Span::new(
            self.source,
            self.base + span.start(),
            self.base + span.start() + text.len(),
        )
    }

    pub(super) fn make(span: Span, kind: ExprKind, height: u16) -> Built<Expr> {
        if height > MAX_HEIGHT {
            return Err(Box::new(
                Diagnostic::error(
                    Code::TEMPLATE_EXPRESSION,
                    format!("the expression has more than {MAX_HEIGHT} levels"),
                )
                .label(span, ""),
            ));
        }
        Ok(Expr { span, height, kind })
    }

    /// The expression of `{{ }}`.
    pub(super) fn output(&self, text: &str) -> Built<Expr> {
        let pair = first(self.pairs(Rule::output_only, text)?);
        if pair.as_rule() == Rule::assignment {
            return Self::make(self.span(&pair), ExprKind::Assignment, 1);
        }
        self.expression_list(pair)
    }

    /// The condition of `if`, `elif` and `while`.
    pub(super) fn condition(&self, text: &str) -> Built<Expr> {
        self.expression(first(self.pairs(Rule::condition_only, text)?))
    }

    /// `target in iterable`.
    pub(super) fn for_header(&self, text: &str) -> Built<(Target, Expr)> {
        let mut pairs = self.pairs(Rule::for_only, text)?;
        let target = self.target_list(pairs.next().expect("invariant: for has a target"))?;
        let iterable = pairs
            .find(|pair| pair.as_rule() == Rule::expression_list)
            .expect("invariant: for has an iterable");
        Ok((target, self.expression_list(iterable)?))
    }

    /// What follows `except`.
    pub(super) fn handler(&self, text: &str) -> Built<(Option<Expr>, Option<Spanned<String>>)> {
        let mut class = None;
        let mut name = None;
        for pair in self.pairs(Rule::except_only, text)? {
            match pair.as_rule() {
                Rule::expression => class = Some(self.expression(pair)?),
                Rule::identifier => name = Some(self.name(&pair)),
                _ => {}
            }
        }
        Ok((class, name))
    }

    /// What follows `set`.
    pub(super) fn statement(&self, text: &str) -> Built<Statement> {
        let pair = first(self.pairs(Rule::set_only, text)?);
        match pair.as_rule() {
            Rule::assignment => {
                let mut targets = Vec::new();
                let mut value = None;
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::target_list => targets.push(self.target_list(part)?),
                        Rule::expression_list => value = Some(self.expression_list(part)?),
                        _ => {}
                    }
                }
                let value = value.expect("invariant: an assignment has a value");
                Ok(Statement::Assign(targets, value))
            }
            Rule::augmented => {
                let mut parts = pair.into_inner();
                let target = self.target(parts.next().expect("invariant: target"))?;
                let sign = parts.next().expect("invariant: operator");
                let operator = operator(sign.as_str().trim_end_matches('='))
                    .expect("invariant: the grammar names operators");
                let value = self.expression_list(parts.next().expect("invariant: value"))?;
                Ok(Statement::Augment(target, operator, value))
            }
            _ => Ok(Statement::Evaluate(self.expression_list(pair)?)),
        }
    }

    pub(super) fn name(&self, pair: &Pair<'_, Rule>) -> Spanned<String> {
        Spanned::new(pair.as_str().to_owned(), self.span(pair))
    }

    pub(super) fn target_list(&self, pair: Pair<'_, Rule>) -> Built<Target> {
        let span = self.span(&pair);
        let mut targets = Vec::new();
        let mut tuple = false;
        for part in pair.into_inner() {
            if part.as_rule() == Rule::comma {
                tuple = true;
            } else {
                targets.push(self.target(part)?);
            }
        }
        if targets.len() == 1 && !tuple {
            return Ok(targets.remove(0));
        }
        Ok(Target::Tuple(span, targets))
    }

    fn target(&self, pair: Pair<'_, Rule>) -> Built<Target> {
        let inner = first(pair.into_inner());
        if inner.as_rule() == Rule::bracketed_target {
            return self.target_list(first(inner.into_inner()));
        }
        let span = self.span(&inner);
        let expr = self.operand(inner)?;
        match expr.kind {
            ExprKind::Name(name) => Ok(Target::Name(Spanned::new(name, span))),
            ExprKind::Index(..) => Ok(Target::Item(expr)),
            _ => Err(Box::new(
                Diagnostic::error(
                    Code::TEMPLATE_EXPRESSION,
                    "only a variable, a list of variables or an item can be assigned to",
                )
                .label(span, ""),
            )),
        }
    }

    fn expression_list(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let (mut items, tuple) = self.items(pair.into_inner())?;
        if items.len() == 1 && !tuple {
            return Ok(items.remove(0));
        }
        let height = above(items.iter());
        Self::make(span, ExprKind::Tuple(items), height)
    }

    fn items(&self, pairs: Pairs<'_, Rule>) -> Built<(Vec<Expr>, bool)> {
        let mut items = Vec::new();
        let mut comma = false;
        for pair in pairs {
            if pair.as_rule() == Rule::comma {
                comma = true;
            } else {
                items.push(self.expression(pair)?);
            }
        }
        Ok((items, comma))
    }

    /// Any pair that stands for one expression.
    pub(super) fn expression(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::expression => {
                let parts: Vec<_> = pair
                    .into_inner()
                    .filter(|part| !matches!(part.as_rule(), Rule::if_word | Rule::else_word))
                    .collect();
                self.conditional(span, parts)
            }
            Rule::operation => self.operation(pair),
            Rule::operand => self.operand(pair),
            Rule::lambda => self.lambda(pair),
            Rule::starred => {
                let value = self.expression(first(pair.into_inner()))?;
                let height = value.height + 1;
                Self::make(span, ExprKind::Starred(Box::new(value)), height)
            }
            Rule::named => {
                let mut parts = pair.into_inner();
                let name = self.name(&parts.next().expect("invariant: name"));
                let value = self.expression(parts.next().expect("invariant: value"))?;
                let height = value.height + 1;
                Self::make(span, ExprKind::Named(name, Box::new(value)), height)
            }
            _ => self.primary(pair),
        }
    }

    fn conditional(&self, span: Span, mut parts: Vec<Pair<'_, Rule>>) -> Built<Expr> {
        let last = parts
            .pop()
            .expect("invariant: an expression has an operation");
        let mut value = self.expression(last)?;
        while let (Some(condition), Some(then)) = (parts.pop(), parts.pop()) {
            let (condition, then) = (self.expression(condition)?, self.expression(then)?);
            let height = above([&condition, &then, &value].into_iter());
            let span = Span {
                start: then.span.start,
                ..span
            };
            value = Self::make(
                span,
                ExprKind::Conditional {
                    condition: Box::new(condition),
                    then: Box::new(then),
                    otherwise: Box::new(value),
                },
                height,
            )?;
        }
        Ok(value)
    }

    fn lambda(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut names = Vec::new();
        let mut body = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::identifier => names.push(self.name(&part)),
                Rule::lambda_word => {}
                _ => body = Some(self.expression(part)?),
            }
        }
        let body = body.expect("invariant: a lambda has a body");
        let height = body.height + 1;
        Self::make(span, ExprKind::Lambda(names, Box::new(body)), height)
    }

    /// A flat sequence of operands and operators → a tree by precedence.
    pub(super) fn operation(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        Operations::new(self, pair.into_inner().collect()).level(0)
    }

    pub(super) fn operand(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let start = self.span(&pair);
        let mut parts = pair.into_inner();
        let mut value = self.primary(parts.next().expect("invariant: an operand has a primary"))?;
        for trailer in parts {
            let end = self.span(&trailer);
            let span = start.cover(end);
            let span = Span {
                end: end.end,
                ..span
            };
            value = match trailer.as_rule() {
                Rule::call => {
                    let mut arguments = Vec::new();
                    for argument in trailer.into_inner() {
                        let span = self.span(&argument);
                        arguments.push(self.argument(argument.into_inner(), span)?);
                    }
                    let height = above(
                        std::iter::once(&value).chain(arguments.iter().map(|one| &one.value)),
                    );
                    Self::make(span, ExprKind::Call(Box::new(value), arguments), height)?
                }
                Rule::subscript => {
                    let (mut keys, comma) = self.keys(trailer.into_inner())?;
                    let key = if keys.len() == 1 && !comma {
                        keys.remove(0)
                    } else {
                        let height = above(keys.iter());
                        Self::make(end, ExprKind::Tuple(keys), height)?
                    };
                    let height = value.height.max(key.height) + 1;
                    Self::make(
                        span,
                        ExprKind::Index(Box::new(value), Box::new(key)),
                        height,
                    )?
                }
                _ => {
                    let name = self.name(&first(trailer.into_inner()));
                    let height = value.height + 1;
                    Self::make(span, ExprKind::Attribute(Box::new(value), name), height)?
                }
            };
        }
        Ok(value)
    }

    fn argument(&self, mut parts: Pairs<'_, Rule>, span: Span) -> Built<Argument> {
        let pair = parts.next().expect("invariant: an argument has a value");
        match pair.as_rule() {
            Rule::keyword_argument => {
                let mut parts = pair.into_inner();
                let name = self.name(&parts.next().expect("invariant: name"));
                let value = self.expression(parts.nth(1).expect("invariant: value"))?;
                Ok(Argument {
                    kind: ArgumentKind::Keyword(name),
                    value,
                })
            }
            Rule::starred | Rule::double_starred => {
                let kind = if pair.as_rule() == Rule::starred {
                    ArgumentKind::Star
                } else {
                    ArgumentKind::DoubleStar
                };
                let value = self.expression(first(pair.into_inner()))?;
                Ok(Argument { kind, value })
            }
            _ => {
                let element = self.expression(pair)?;
                let clauses = parts
                    .map(|clause| self.clause(clause))
                    .collect::<Built<Vec<_>>>()?;
                let value = if clauses.is_empty() {
                    element
                } else {
                    Self::comprehension(span, Collector::Generator, element, None, clauses)?
                };
                Ok(Argument {
                    kind: ArgumentKind::Positional,
                    value,
                })
            }
        }
    }

    pub(super) fn primary(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let leaf = |kind| Self::make(span, kind, 1);
        match pair.as_rule() {
            Rule::identifier => leaf(ExprKind::Name(pair.as_str().to_owned())),
            Rule::constant => leaf(match pair.as_str() {
                "True" => ExprKind::Bool(true),
                "False" => ExprKind::Bool(false),
                _ => ExprKind::None,
            }),
            Rule::ellipsis => leaf(ExprKind::Unsupported("...")),
            Rule::number => leaf(number(pair.as_str())),
            Rule::strings => self.strings(pair),
            Rule::yielded => leaf(ExprKind::Suspended("yield")),
            Rule::parenthesis => match pair.into_inner().next() {
                None => leaf(ExprKind::Tuple(Vec::new())),
                Some(inner) if inner.as_rule() == Rule::contents => {
                    self.contents(span, inner, None)
                }
                Some(inner) => self.primary(inner),
            },
            Rule::list => match pair.into_inner().next() {
                Some(inner) => self.contents(span, inner, Some(Collector::List)),
                None => leaf(ExprKind::List(Vec::new())),
            },
            Rule::braces => self.braces(pair),
            _ => self.expression(pair),
        }
    }

    /// The keys of a subscript.
    fn keys(&self, pairs: Pairs<'_, Rule>) -> Built<(Vec<Expr>, bool)> {
        let mut keys = Vec::new();
        let mut comma = false;
        for pair in pairs {
            if pair.as_rule() == Rule::comma {
                comma = true;
            } else {
                keys.push(self.key(pair)?);
            }
        }
        Ok((keys, comma))
    }

    fn key(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut bounds = [None, None, None];
        let mut at = 0;
        let mut colons = 0;
        for part in pair.into_inner() {
            if part.as_rule() == Rule::slice_colon {
                at += 1;
                colons += 1;
            } else {
                bounds[at] = Some(Box::new(self.expression(part)?));
            }
        }
        let height = above(bounds.iter().flatten().map(|bound| &**bound));
        let [start, stop, step] = bounds;
        match (colons, start) {
            (0, Some(key)) => Ok(*key),
            (_, start) => Self::make(span, ExprKind::Slice(start, stop, step), height),
        }
    }
}

pub(super) fn first(mut pairs: Pairs<'_, Rule>) -> Pair<'_, Rule> {
    pairs
        .next()
        .expect("invariant: the grammar puts a pair here")
}

pub(super) fn above<'a>(children: impl Iterator<Item = &'a Expr>) -> u16 {
    children.map(|child| child.height).max().unwrap_or(0) + 1
}
