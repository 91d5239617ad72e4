//! What a tag may hold. `{{ }}` has a short list of allowed forms, block tags a short list of refused ones; both are those of the reference, so that a
//! project stays portable both ways. Everything here is refused when the template is compiled, with the place and the reason.

use pipewright_grammar::source::Span;
use pipewright_grammar::template::{
    Argument, ArgumentKind, Expr, ExprKind, FormatPart, Operator, Statement, Target, Unary,
};

use super::error::{ErrorKind, Outcome, TemplateError};
use super::functions::Function;

/// Methods that `{{ }}` may call.
const OUTPUT_METHODS: &[&str] = &["split", "get", "join", "replace"];

/// Functions that block tags refuse by name.
const REFUSED_FUNCTIONS: &[&str] = &[
    "eval",
    "exec",
    "compile",
    "getattr",
    "setattr",
    "delattr",
    "globals",
    "locals",
    "vars",
    "dir",
    "breakpoint",
    "help",
    "memoryview",
    "type",
    "object",
    "super",
    "classmethod",
    "staticmethod",
    "property",
    "exit",
    "quit",
    "__import__",
];

/// Attributes that block tags refuse by name.
const REFUSED_ATTRIBUTES: &[&str] = &[
    "format",
    "format_map",
    "mro",
    "gi_frame",
    "gi_code",
    "gi_yieldfrom",
    "cr_frame",
    "cr_code",
    "cr_await",
    "cr_origin",
    "ag_frame",
    "ag_code",
    "ag_await",
    "f_back",
    "f_builtins",
    "f_code",
    "f_globals",
    "f_locals",
    "f_trace",
    "tb_frame",
    "tb_next",
    "co_code",
    "func_globals",
    "func_code",
];

fn refuse<T>(kind: ErrorKind, span: Span, message: impl Into<String>) -> Outcome<T> {
    Err(TemplateError::new(kind, message).at(span))
}

fn name(text: &str, span: Span) -> Outcome<()> {
    if text.starts_with("__") && text.ends_with("__") {
        return refuse(
            ErrorKind::SecurityName,
            span,
            format!("the name `{text}` is not allowed"),
        );
    }
    Ok(())
}

/// Checks the expression of `{{ }}`.
pub(super) fn output(expr: &Expr) -> Outcome<()> {
    let unsupported = |what: &str| {
        refuse(
            ErrorKind::SecurityExpression,
            expr.span,
            format!(
                "{what} is not allowed in `{{{{ }}}}`; use it in a `{{% set %}}` or `{{% if %}}`"
            ),
        )
    };
    match &expr.kind {
        ExprKind::None
        | ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_) => Ok(()),
        ExprKind::Unsupported(what) => refuse(
            ErrorKind::SecurityConstant,
            expr.span,
            format!("{what} is not a constant of the language"),
        ),
        ExprKind::Name(text) => name(text, expr.span),
        ExprKind::Format(parts) => parts.iter().try_for_each(|part| match part {
            FormatPart::Text(_) => Ok(()),
            FormatPart::Value { value, .. } => output(value),
        }),
        ExprKind::Call(callee, arguments) => call(callee, arguments),
        ExprKind::Index(value, key) => {
            output(value)?;
            index_key(key)
        }
        ExprKind::Unary(Unary::Minus | Unary::Not, value) => output(value),
        ExprKind::Binary(left, Operator::Add | Operator::Subtract | Operator::Multiply, right) => {
            output(left)?;
            output(right)
        }
        ExprKind::Unary(..) | ExprKind::Binary(..) => unsupported("this operator"),
        ExprKind::Conditional {
            condition,
            then,
            otherwise,
        } => [condition, then, otherwise]
            .into_iter()
            .try_for_each(|part| output(part)),
        ExprKind::Tuple(items) | ExprKind::List(items) | ExprKind::Set(items) => {
            items.iter().try_for_each(output)
        }
        ExprKind::Dict(pairs) => pairs.iter().try_for_each(|(key, value)| {
            key.iter().try_for_each(output)?;
            output(value)
        }),
        ExprKind::Attribute(..) => unsupported("an attribute"),
        ExprKind::Slice(..) => unsupported("a slice"),
        ExprKind::Compare(..) => unsupported("a comparison"),
        ExprKind::And(..) | ExprKind::Or(..) => unsupported("`and` or `or`"),
        ExprKind::Comprehension(..) => unsupported("a comprehension"),
        ExprKind::Lambda(..) => unsupported("a lambda"),
        ExprKind::Starred(_) => unsupported("`*`"),
        ExprKind::Named(..) | ExprKind::Assignment => unsupported("an assignment"),
        ExprKind::Suspended(what) => unsupported(what),
    }
}

fn index_key(key: &Expr) -> Outcome<()> {
    match &key.kind {
        ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::None
        | ExprKind::Bool(_)
        | ExprKind::Float(_) => Ok(()),
        ExprKind::Slice(start, stop, step) => [start, stop, step]
            .into_iter()
            .flatten()
            .try_for_each(|bound| output(bound)),
        ExprKind::Index(..) => output(key),
        _ => refuse(
            ErrorKind::SecuritySlice,
            key.span,
            "an index in `{{ }}` must be a constant or a slice; compute it in a `{% set %}`",
        ),
    }
}

fn call(callee: &Expr, arguments: &[Argument]) -> Outcome<()> {
    match &callee.kind {
        ExprKind::Name(text) => {
            name(text, callee.span)?;
            if !Function::by_name(text).is_some_and(Function::in_output) {
                let mut message = format!("`{text}` is not a function of `{{{{ }}}}`");
                if let Some(close) = closest(text) {
                    message = format!("{message}; did you mean `{close}`?");
                }
                return refuse(ErrorKind::SecurityFunction, callee.span, message);
            }
        }
        ExprKind::Attribute(value, method) => {
            if !OUTPUT_METHODS.contains(&method.value.as_str()) {
                return refuse(
                    ErrorKind::SecurityMethod,
                    method.span,
                    format!(
                        "`.{}()` is not a method of `{{{{ }}}}`: {}",
                        method.value,
                        OUTPUT_METHODS.join(", ")
                    ),
                );
            }
            output(value)?;
        }
        _ => output(callee)?,
    }
    arguments
        .iter()
        .try_for_each(|argument| match &argument.kind {
            ArgumentKind::Positional => output(&argument.value),
            ArgumentKind::Keyword(_) | ArgumentKind::DoubleStar => block(&argument.value),
            ArgumentKind::Star => refuse(
                ErrorKind::SecurityExpression,
                argument.value.span,
                "`*` is not allowed in `{{ }}`",
            ),
        })
}

/// The known function whose name is most like the text.
fn closest(text: &str) -> Option<&'static str> {
    Function::output_names()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&known.to_lowercase(), &text.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= 2 && *known != text)
        .min()
        .map(|(_, known)| known)
}

/// Checks an expression of a block tag.
pub(super) fn block(expr: &Expr) -> Outcome<()> {
    match &expr.kind {
        ExprKind::Name(text) => return name(text, expr.span),
        ExprKind::Attribute(_, attribute)
            if attribute.value.starts_with('_')
                || REFUSED_ATTRIBUTES.contains(&attribute.value.as_str()) =>
        {
            return refuse(
                ErrorKind::SecurityAttribute,
                attribute.span,
                format!("the attribute `{}` is not allowed", attribute.value),
            );
        }
        ExprKind::Call(callee, _) => {
            if let ExprKind::Name(text) = &callee.kind
                && REFUSED_FUNCTIONS.contains(&text.as_str())
            {
                return refuse(
                    ErrorKind::SecurityFunction,
                    callee.span,
                    format!("the function `{text}` is not allowed"),
                );
            }
        }
        ExprKind::Suspended(what) => {
            return refuse(
                ErrorKind::SecurityExpression,
                expr.span,
                format!("`{what}` is not allowed"),
            );
        }
        ExprKind::Unsupported(what) => {
            return refuse(
                ErrorKind::SecurityConstant,
                expr.span,
                format!("{what} is not a constant of the language"),
            );
        }
        _ => {}
    }
    let mut outcome = Ok(());
    super::walk::children(expr, &mut |child| {
        if outcome.is_ok() {
            outcome = block(child);
        }
    });
    outcome
}

/// Checks what `{% set %}` does.
pub(super) fn statement(statement: &Statement) -> Outcome<()> {
    match statement {
        Statement::Assign(targets, value) => {
            targets.iter().try_for_each(target)?;
            block(value)
        }
        Statement::Augment(place, _, value) => {
            target(place)?;
            block(value)
        }
        Statement::Evaluate(value) => block(value),
    }
}

/// Checks what a value is bound to.
pub(super) fn target(place: &Target) -> Outcome<()> {
    match place {
        Target::Name(text) => name(&text.value, text.span),
        Target::Tuple(_, parts) => parts.iter().try_for_each(target),
        Target::Item(expr) => block(expr),
    }
}
