//! The parameters of a template, found in its tree without rendering: name, type, default and documentation, once each.

use indexmap::{IndexMap, IndexSet};
use pipewright_grammar::source::{Span, Spanned};
use pipewright_grammar::template::{Argument, ArgumentKind, Expr, ExprKind, Item, Operator, Unary};
use serde::Serialize;
use serde_json::Value as Json;

use super::functions::{Element, Function, Helper};
use super::scope::{Scope, is_loop_attribute};
use super::walk;

/// Where a parameter without a declared type is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsedIn {
    /// Only as an argument of a helper such as `defined` or `columns`.
    FunctionCall,
}

/// A parameter of a template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// The name that a request gives it by.
    pub name: String,
    /// Its type: `Int32`, `Array(String)`, …; `String` where none is declared.
    pub data_type: String,
    /// The default, if it is a literal.
    pub default: Option<Json>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether a value must be given, if declared.
    pub required: Option<bool>,
    /// Its format, such as `YYYY-MM-DD`.
    pub format: Option<String>,
    /// An example.
    pub example: Option<Json>,
    /// The values that it may have; empty if any.
    pub enumeration: Vec<Json>,
    /// Set if it is only used inside of helper functions.
    pub used_in: Option<UsedIn>,
    /// Whether a type is declared for it.
    pub typed: bool,
    /// `defined=False`: nothing is raised when it is missing.
    pub optional: bool,
    /// The first place that declares it.
    pub span: Span,
}

impl Parameter {
    fn new(name: &str, data_type: impl Into<String>, span: Span) -> Self {
        Self {
            name: name.to_owned(),
            data_type: data_type.into(),
            default: None,
            description: None,
            required: None,
            format: None,
            example: None,
            enumeration: Vec::new(),
            used_in: None,
            typed: false,
            optional: false,
            span,
        }
    }

    fn rank(&self) -> u8 {
        match (self.typed, self.used_in) {
            (true, _) => 2,
            (false, None) => 1,
            (false, Some(_)) => 0,
        }
    }
}

/// The parameters of several templates (the nodes of a pipe) as one list: the first typed declaration of a name wins, its gaps are filled from later ones.
pub fn merge_parameters<'a>(found: impl IntoIterator<Item = &'a Parameter>) -> Vec<Parameter> {
    let mut merged: IndexMap<&str, Parameter> = IndexMap::new();
    for parameter in found {
        match merged.get_mut(parameter.name.as_str()) {
            None => {
                merged.insert(&parameter.name, parameter.clone());
            }
            Some(known) if parameter.rank() > known.rank() => {
                let before = std::mem::replace(known, parameter.clone());
                fill(known, &before);
            }
            Some(known) => fill(known, parameter),
        }
    }
    merged.into_values().collect()
}

fn fill(known: &mut Parameter, other: &Parameter) {
    let same_type = known.data_type == other.data_type;
    if same_type && known.default.is_none() {
        known.default.clone_from(&other.default);
    }
    if known.description.is_none() {
        known.description.clone_from(&other.description);
    }
    known.required = known.required.or(other.required);
    if known.format.is_none() {
        known.format.clone_from(&other.format);
    }
    if known.example.is_none() {
        known.example.clone_from(&other.example);
    }
    if same_type && known.enumeration.is_empty() {
        known.enumeration.clone_from(&other.enumeration);
    }
}

/// What a template's tree tells.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) parameters: Vec<Parameter>,
    /// Declarations in what is printed that give a parameter another type than the first such. In a condition, a type only says how to compare.
    pub(super) redeclared: Vec<Parameter>,
    pub(super) tables: Vec<Spanned<String>>,
    /// Whether some name of a table is computed.
    pub(super) computes_tables: bool,
    /// The names of secrets that stand in the text, each once.
    pub(super) secrets: IndexSet<String>,
    /// The type of the first use of each name that counts as a declaration: typed, or bare in a block tag.
    first_types: IndexMap<String, String>,
    /// The type of the first declaration of each name in what is printed.
    printed_types: IndexMap<String, String>,
}

/// Finds parameters and tables; tells the scope which parameters are arrays.
pub(super) fn find(items: &[Item], scope: &mut Scope) -> Found {
    let mut finder = Finder {
        scope,
        found: Found::default(),
        bound: Vec::new(),
        in_block_tag: false,
    };
    finder.items(items);
    let mut found = finder.found;
    for (name, data_type) in &found.first_types {
        if let Some(element) = data_type
            .strip_prefix("Array(")
            .and_then(|rest| rest.strip_suffix(')'))
        {
            scope.declare(name, Some(Element::by_name(element)));
        }
    }
    found.parameters = merge_parameters(&found.parameters);
    found
}

struct Finder<'s> {
    scope: &'s Scope,
    found: Found,
    /// Names that comprehensions and lambdas bind.
    bound: Vec<String>,
    in_block_tag: bool,
}

impl Finder<'_> {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            for body in walk::bodies(item) {
                self.items(body);
            }
            self.in_block_tag = !matches!(item, Item::Output { .. });
            walk::of_item(item, &mut |expr| self.expression(expr));
        }
    }

    fn is_parameter(&self, name: &str) -> bool {
        !self.scope.is_local(name) && !self.bound.iter().any(|bound| bound == name)
    }

    fn add(&mut self, parameter: Parameter) {
        if self.is_parameter(&parameter.name) {
            if parameter.typed || (self.in_block_tag && parameter.used_in.is_none()) {
                self.found
                    .first_types
                    .entry(parameter.name.clone())
                    .or_insert_with(|| parameter.data_type.clone());
            }
            if parameter.typed && !self.in_block_tag {
                let types = &mut self.found.printed_types;
                let first = types
                    .entry(parameter.name.clone())
                    .or_insert_with(|| parameter.data_type.clone());
                if *first != parameter.data_type {
                    self.found.redeclared.push(parameter.clone());
                }
            }
            self.found.parameters.push(parameter);
        }
    }

    fn children(&mut self, expr: &Expr) {
        let mut children = Vec::new();
        walk::children(expr, &mut |child| children.push(child));
        for child in children {
            self.expression(child);
        }
    }

    fn expression(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => {
                if Function::by_name(name).is_none() {
                    self.add(Parameter::new(name, "String", expr.span));
                }
            }
            ExprKind::Call(callee, arguments) => match &callee.kind {
                ExprKind::Name(name) => match Function::by_name(name) {
                    Some(function) => self.call(function, arguments),
                    None => self.arguments(arguments),
                },
                ExprKind::Attribute(value, _) => {
                    self.expression(value);
                    self.arguments(arguments);
                }
                _ => self.children(expr),
            },
            ExprKind::Attribute(..) if is_loop_attribute(expr) => {}
            ExprKind::Comprehension(_, _, _, clauses) => {
                let before = self.bound.len();
                for clause in clauses {
                    let mut names = Vec::new();
                    clause.target.collect_names(&mut names);
                    self.bound.extend(names.into_iter().map(str::to_owned));
                }
                self.children(expr);
                self.bound.truncate(before);
            }
            ExprKind::Lambda(names, _) => {
                let before = self.bound.len();
                self.bound
                    .extend(names.iter().map(|name| name.value.clone()));
                self.children(expr);
                self.bound.truncate(before);
            }
            _ => self.children(expr),
        }
    }

    fn arguments(&mut self, arguments: &[Argument]) {
        for argument in arguments {
            self.expression(&argument.value);
        }
    }

    fn call(&mut self, function: Function, arguments: &[Argument]) {
        match function {
            Function::Scalar(scalar) => self.typed(scalar.name().to_owned(), 1, arguments),
            Function::Helper(Helper::Json) => self.typed("JSON".into(), 1, arguments),
            Function::Helper(Helper::Array) => {
                let element = argument(arguments, 1, "_type")
                    .and_then(name_or_text)
                    .unwrap_or_else(|| "String".into());
                self.typed(format!("Array({element})"), 2, arguments);
            }
            Function::Helper(Helper::Tuple) => {
                let types = argument(arguments, 1, "types")
                    .and_then(name_or_text)
                    .unwrap_or_default();
                self.typed(format!("Tuple({types})"), 2, arguments);
            }
            Function::Helper(Helper::Map) => {
                let part = |at, name| {
                    argument(arguments, at, name)
                        .and_then(name_or_text)
                        .unwrap_or_else(|| "String".into())
                };
                self.typed(
                    format!("Map({}, {})", part(1, "key"), part(2, "value")),
                    3,
                    arguments,
                );
            }
            Function::Helper(Helper::Table | Helper::TableUpper) => {
                let name = arguments.first().map(|name| &name.value);
                match name.and_then(|name| Some((constant_text(name)?, name.span))) {
                    Some((table, span)) => self.found.tables.push(Spanned::new(table, span)),
                    None => self.found.computes_tables = true,
                }
                self.helper(arguments);
            }
            Function::Helper(Helper::TbSecret | Helper::TbVar) => {
                self.found
                    .secrets
                    .extend(argument(arguments, 0, "secret_name").and_then(constant_text));
                self.helper(arguments);
            }
            // Its names are columns, its values ordinary expressions.
            Function::Helper(Helper::SqlAnd) => {
                for argument in arguments {
                    match argument.kind {
                        ArgumentKind::Positional => self.helper(std::slice::from_ref(argument)),
                        _ => self.expression(&argument.value),
                    }
                }
            }
            Function::Helper(_) => self.helper(arguments),
        }
    }

    /// The arguments of a helper: names in them are parameters that declare nothing.
    fn helper(&mut self, arguments: &[Argument]) {
        for argument in arguments {
            match (&argument.value.kind, &argument.kind) {
                (ExprKind::Name(name), ArgumentKind::Positional) => {
                    let mut parameter = Parameter::new(name, "String", argument.value.span);
                    parameter.used_in = Some(UsedIn::FunctionCall);
                    // Python's own functions given to `map` or `isinstance` are no parameters.
                    if Function::by_name(name).is_none_or(|function| {
                        function.can_be_parameter() && !function.is_builtin()
                    }) {
                        self.add(parameter);
                    }
                }
                _ => self.expression(&argument.value),
            }
        }
    }

    fn typed(&mut self, data_type: String, default_at: usize, arguments: &[Argument]) {
        let Some(subject) = argument(arguments, 0, "x") else {
            return;
        };
        let named = leftmost_name(subject);
        if let Some(name) = named {
            let mut parameter = Parameter::new(name, data_type, subject.span);
            parameter.typed = true;
            parameter.default = argument(arguments, default_at, "default").and_then(json);
            for argument in arguments {
                if let ArgumentKind::Keyword(keyword) = &argument.kind {
                    document(&mut parameter, &keyword.value, &argument.value);
                }
            }
            self.add(parameter);
        }
        for one in arguments {
            let is_type = matches!(&one.value.kind, ExprKind::Name(name) if Function::by_name(name).is_some());
            let is_subject = std::ptr::eq(&raw const one.value, subject);
            match &one.value.kind {
                ExprKind::Name(_) if is_subject || is_type => {}
                ExprKind::Binary(..) if is_subject && named.is_some() => {
                    self.but_leftmost(&one.value);
                }
                _ => self.expression(&one.value),
            }
        }
    }

    /// The parts of `a + b` except for the first name.
    fn but_leftmost(&mut self, expr: &Expr) {
        if let ExprKind::Binary(left, _, right) = &expr.kind {
            match &left.kind {
                ExprKind::Name(_) => {}
                ExprKind::Binary(..) => self.but_leftmost(left),
                _ => self.expression(left),
            }
            self.expression(right);
        }
    }
}

fn document(parameter: &mut Parameter, keyword: &str, value: &Expr) {
    let text = || match json(value) {
        Some(Json::String(text)) => Some(text),
        other => other.map(|other| other.to_string()),
    };
    match keyword {
        "description" => parameter.description = text(),
        "format" => parameter.format = text(),
        "example" => parameter.example = json(value),
        "required" => parameter.required = json(value).and_then(|value| value.as_bool()),
        "defined" => parameter.optional = json(value) == Some(Json::Bool(false)),
        "enum" => {
            if let Some(Json::Array(items)) = json(value) {
                parameter.enumeration = items;
            }
        }
        _ => {}
    }
}

pub(super) fn argument<'a>(arguments: &'a [Argument], at: usize, name: &str) -> Option<&'a Expr> {
    let keyword = arguments
        .iter()
        .find(|argument| matches!(&argument.kind, ArgumentKind::Keyword(keyword) if keyword.value == name));
    let position = || {
        arguments
            .iter()
            .filter(|argument| argument.kind == ArgumentKind::Positional)
            .nth(at)
    };
    keyword.or_else(position).map(|argument| &argument.value)
}

fn leftmost_name(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Binary(left, ..) => leftmost_name(left),
        _ => None,
    }
}

fn name_or_text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Name(text) | ExprKind::Str(text) => Some(text.clone()),
        _ => None,
    }
}

/// A text that is known without rendering: a literal or a sum of literals.
fn constant_text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Str(text) => Some(text.clone()),
        ExprKind::Binary(left, Operator::Add, right) => {
            Some(constant_text(left)? + &constant_text(right)?)
        }
        _ => None,
    }
}

/// Integers beyond this are given as text: JSON readers would round them.
const MAX_SAFE: i128 = (1 << 53) - 1;

/// The JSON of a literal.
fn json(expr: &Expr) -> Option<Json> {
    Some(match &expr.kind {
        ExprKind::None => Json::Null,
        ExprKind::Bool(value) => (*value).into(),
        ExprKind::Int(digits) => number(digits, ""),
        ExprKind::Float(value) => (*value).into(),
        ExprKind::Str(text) => text.as_str().into(),
        ExprKind::Unary(Unary::Minus, value) => match &value.kind {
            ExprKind::Int(digits) => number(digits, "-"),
            ExprKind::Float(value) => (-value).into(),
            _ => return None,
        },
        ExprKind::List(items) | ExprKind::Tuple(items) => {
            Json::Array(items.iter().map(json).collect::<Option<_>>()?)
        }
        ExprKind::Dict(pairs) => {
            let mut object = serde_json::Map::new();
            for (key, value) in pairs {
                object.insert(constant_text(key.as_ref()?)?, json(value)?);
            }
            Json::Object(object)
        }
        _ => return None,
    })
}

fn number(digits: &str, sign: &str) -> Json {
    match digits.parse::<i128>() {
        Ok(value) if value <= MAX_SAFE => i64::try_from(value).map_or(Json::Null, |value| {
            if sign.is_empty() { value } else { -value }.into()
        }),
        _ => format!("{sign}{digits}").into(),
    }
}
