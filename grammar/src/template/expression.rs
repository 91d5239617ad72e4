//! pest pairs → expressions. Bounded: brackets were counted before (`scan`), and the height of every tree is limited here.

use pest::Parser;
use pest::iterators::{Pair, Pairs};

use super::grammar::{Rule, TemplateGrammar};
use super::literal::{RawPart, push_part, split_format, unescape};
use super::scan::{Objection, scan};
use super::tree::{
    Argument, ArgumentKind, Clause, Collector, Comparison, Expr, ExprKind, FormatPart, Operator,
    Statement, Target, Unary,
};
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
    fn pairs<'a>(&self, rule: Rule, text: &'a str) -> Built<Pairs<'a, Rule>> {
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

    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        // Implicit white space at the end of a rule belongs to no one.
        let text = span.as_str().trim_end();
        Span::new(
            self.source,
            self.base + span.start(),
            self.base + span.start() + text.len(),
        )
    }

    fn make(span: Span, kind: ExprKind, height: u16) -> Built<Expr> {
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

    fn name(&self, pair: &Pair<'_, Rule>) -> Spanned<String> {
        Spanned::new(pair.as_str().to_owned(), self.span(pair))
    }

    fn target_list(&self, pair: Pair<'_, Rule>) -> Built<Target> {
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
    fn expression(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
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
    fn operation(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let tokens: Vec<Pair<'_, Rule>> = pair.into_inner().collect();
        let mut reader = Operations {
            builder: self,
            tokens: tokens.into_iter().peekable(),
            nesting: 0,
        };
        reader.level(0)
    }

    fn operand(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
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

    fn primary(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
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

    /// What stands between round or square brackets.
    fn contents(
        &self,
        span: Span,
        pair: Pair<'_, Rule>,
        collector: Option<Collector>,
    ) -> Built<Expr> {
        let mut items = Vec::new();
        let mut clauses = Vec::new();
        let mut comma = false;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::comma => comma = true,
                Rule::comprehension => clauses.push(self.clause(part)?),
                _ => items.push(self.expression(part)?),
            }
        }
        if !clauses.is_empty() {
            let collector = collector.unwrap_or(Collector::Generator);
            return Self::comprehension(span, collector, items.remove(0), None, clauses);
        }
        if collector.is_none() && items.len() == 1 && !comma {
            return Ok(items.remove(0));
        }
        let height = above(items.iter());
        let kind = match collector {
            Some(_) => ExprKind::List(items),
            None => ExprKind::Tuple(items),
        };
        Self::make(span, kind, height)
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

    /// A dictionary or a set.
    fn braces(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut entries: Vec<(Option<Expr>, Expr)> = Vec::new();
        let mut clauses = Vec::new();
        let mut is_set = false;
        for part in pair.into_inner() {
            if part.as_rule() == Rule::comprehension {
                clauses.push(self.clause(part)?);
                continue;
            }
            let mut parts = part.into_inner();
            let one = parts.next().expect("invariant: an entry has a part");
            if one.as_rule() == Rule::double_starred {
                entries.push((None, self.expression(first(one.into_inner()))?));
                continue;
            }
            let one = self.expression(one)?;
            if let Some(value) = parts.next() {
                entries.push((Some(one), self.expression(value)?));
            } else {
                is_set = true;
                entries.push((None, one));
            }
        }
        if is_set && entries.iter().any(|(key, _)| key.is_some()) {
            return Err(Box::new(
                Diagnostic::error(
                    Code::TEMPLATE_EXPRESSION,
                    "keys with and without values in one pair of braces",
                )
                .label(span, ""),
            ));
        }
        if !clauses.is_empty() && !entries.is_empty() {
            let (key, value) = entries.remove(0);
            return match key {
                Some(key) => Self::comprehension(span, Collector::Dict, key, Some(value), clauses),
                None => Self::comprehension(span, Collector::Set, value, None, clauses),
            };
        }
        let height = above(
            entries
                .iter()
                .flat_map(|(key, value)| key.iter().chain(std::iter::once(value))),
        );
        let kind = if is_set {
            ExprKind::Set(entries.into_iter().map(|(_, value)| value).collect())
        } else {
            ExprKind::Dict(entries)
        };
        Self::make(span, kind, height)
    }

    fn comprehension(
        span: Span,
        collector: Collector,
        element: Expr,
        value: Option<Expr>,
        clauses: Vec<Clause>,
    ) -> Built<Expr> {
        let height = above(
            [&element]
                .into_iter()
                .chain(&value)
                .chain(clauses.iter().flat_map(|clause: &Clause| {
                    std::iter::once(&clause.iterable).chain(&clause.conditions)
                })),
        );
        Self::make(
            span,
            ExprKind::Comprehension(collector, Box::new(element), value.map(Box::new), clauses),
            height,
        )
    }

    fn clause(&self, pair: Pair<'_, Rule>) -> Built<Clause> {
        let mut target = None;
        let mut iterable = None;
        let mut conditions = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::target_list => target = Some(self.target_list(part)?),
                Rule::operation => iterable = Some(self.operation(part)?),
                Rule::comprehension_if => {
                    let condition = part.into_inner().nth(1).expect("invariant: a condition");
                    conditions.push(self.expression(condition)?);
                }
                _ => {}
            }
        }
        Ok(Clause {
            target: target.expect("invariant: a clause has a target"),
            iterable: iterable.expect("invariant: a clause has an iterable"),
            conditions,
        })
    }

    fn strings(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut parts = Vec::new();
        let mut height = 0;
        let mut formatted = false;
        for string in pair.into_inner() {
            let mut pieces = string.into_inner();
            let prefix = pieces
                .next()
                .map(|prefix| prefix.as_str().to_ascii_lowercase())
                .unwrap_or_default();
            let quoted = first(pieces);
            let body = first(quoted.into_inner());
            if prefix.contains('b') {
                return Self::make(span, ExprKind::Unsupported("bytes"), 1);
            }
            let raw = prefix.contains('r');
            let text = |text: &str| {
                if raw {
                    Some(text.to_owned())
                } else {
                    unescape(text)
                }
            };
            let fault = || {
                Box::new(
                    Diagnostic::error(Code::TEMPLATE_EXPRESSION, "the string has a broken escape")
                        .label(span, ""),
                )
            };
            if prefix.contains('f') {
                formatted = true;
                let raw_parts = split_format(body.as_str()).ok_or_else(fault)?;
                let start = self.base + body.as_span().start();
                for part in raw_parts {
                    let part = match part {
                        RawPart::Text(part) => FormatPart::Text(text(&part).ok_or_else(fault)?),
                        RawPart::Value(expression, conversion, specification, offset) => {
                            let value = self.embedded(expression, start + offset, span)?;
                            height = height.max(value.height);
                            FormatPart::Value {
                                value,
                                conversion,
                                specification: specification.to_owned(),
                            }
                        }
                    };
                    push_part(&mut parts, part);
                }
            } else {
                let text = text(body.as_str()).ok_or_else(fault)?;
                push_part(&mut parts, FormatPart::Text(text));
            }
        }
        if formatted {
            return Self::make(span, ExprKind::Format(parts), height + 1);
        }
        let text = match parts.pop() {
            Some(FormatPart::Text(text)) => text,
            _ => String::new(),
        };
        Self::make(span, ExprKind::Str(text), 1)
    }

    /// The expression between the braces of an f-string.
    fn embedded(&self, text: &str, base: usize, span: Span) -> Built<Expr> {
        if self.depth >= 4 {
            return Err(Box::new(
                Diagnostic::error(Code::TEMPLATE_EXPRESSION, "f-strings nested too deeply")
                    .label(span, ""),
            ));
        }
        let lead = text.len() - text.trim_start().len();
        let builder = Builder {
            base: base + lead,
            depth: self.depth + 1,
            ..*self
        };
        builder.output(text.trim())
    }
}

/// Precedence climbing over the flat tokens of an operation.
struct Operations<'b, 'a> {
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

impl Operations<'_, '_> {
    fn level(&mut self, floor: u8) -> Built<Expr> {
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

fn operator(sign: &str) -> Option<Operator> {
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

fn number(text: &str) -> ExprKind {
    let clean: String = text.chars().filter(|character| *character != '_').collect();
    let lower = clean.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return u128::from_str_radix(digits, radix).map_or(
                ExprKind::Unsupported("an integer of more than 128 bits"),
                |value| ExprKind::Int(value.to_string()),
            );
        }
    }
    if lower.ends_with('j') {
        return ExprKind::Unsupported("a complex number");
    }
    if lower.contains(['.', 'e']) {
        return ExprKind::Float(lower.parse().unwrap_or(f64::INFINITY));
    }
    let digits = lower.trim_start_matches('0');
    if digits.len() < lower.len() && !digits.is_empty() {
        return ExprKind::Unsupported("a number with leading zeros");
    }
    ExprKind::Int(if digits.is_empty() { "0" } else { digits }.to_owned())
}

fn first(mut pairs: Pairs<'_, Rule>) -> Pair<'_, Rule> {
    pairs
        .next()
        .expect("invariant: the grammar puts a pair here")
}

fn above<'a>(children: impl Iterator<Item = &'a Expr>) -> u16 {
    children.map(|child| child.height).max().unwrap_or(0) + 1
}
