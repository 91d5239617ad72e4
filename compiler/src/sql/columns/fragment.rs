//! What was taken out of the text before parsing and yet names columns: `ARRAY JOIN` lists, aliases inside of expressions, a first `LIMIT … BY`. Each is parsed
//! on its own, behind blanks, so that its places are those of the statement.

use std::ops::Range;

use sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Statement};

use super::within;
use crate::sql::identifier::unquote;
use crate::sql::lexer::{self, Kind, Token};
use crate::sql::parse::{FormKind, Parsed, Tree, parse};
use crate::sql::scan::scan;

/// Blanks put before fragments of one statement, in bytes. Past that the statement is a generated one, and its fragments stay unknown.
const LIMIT: usize = 32 << 20;

/// A part of a statement that its tree does not show.
#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) form: FormKind,
    /// The bytes of the expressions.
    pub(super) span: Range<usize>,
    /// Where the `SELECT` that it belongs to starts.
    pub(super) select: Option<usize>,
    /// The alias that it gives a name to.
    pub(super) alias: Option<String>,
    tree: Option<Box<Tree>>,
}

impl Fragment {
    /// The elements of the list; `None` if it cannot be read.
    pub(super) fn items(&self) -> Option<&[SelectItem]> {
        let Statement::Query(query) = &self.tree.as_ref()?.statement else {
            return None;
        };
        projection(query)
    }
}

/// The elements of the only `SELECT` of a query.
pub(super) fn projection(query: &Query) -> Option<&[SelectItem]> {
    match &*query.body {
        SetExpr::Select(select) => Some(&select.projection),
        _ => None,
    }
}

/// The expression of an element.
pub(super) fn expression(item: &SelectItem) -> Option<(&Expr, Option<&str>)> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some((expr, None)),
        SelectItem::ExprWithAlias { expr, alias } => Some((expr, Some(&alias.value))),
        _ => None,
    }
}

/// The fragments of a statement.
pub(super) fn fragments(sql: &str, tree: &Tree) -> Vec<Fragment> {
    let wanted = [FormKind::ArrayJoin, FormKind::InnerAlias, FormKind::LimitBy];
    let mut taken_out = tree
        .taken_out()
        .iter()
        .filter(|taken| wanted.contains(&taken.form))
        .peekable();
    if taken_out.peek().is_none() {
        return Vec::new();
    }
    let Ok(tokens) = lexer::tokenize(sql) else {
        return Vec::new();
    };
    let tokens = &tokens.list;
    let mut budget = LIMIT;
    let mut fragments = Vec::new();
    for taken in taken_out {
        let at = tokens.partition_point(|token| (token.start as usize) < taken.span.start);
        let end = tokens.partition_point(|token| (token.start as usize) < taken.span.end);
        let inside = &tokens[at..end];
        let word = |token: &Token, word: &str| {
            token.kind == Kind::Word && token.text(sql).eq_ignore_ascii_case(word)
        };
        let (span, alias) = match taken.form {
            FormKind::InnerAlias => {
                let from = before(sql, tokens, at);
                let alias = inside.last().map(|token| unquote(token.text(sql)));
                (from..taken.span.start, alias)
            }
            form => {
                let keyword = if form == FormKind::LimitBy {
                    "by"
                } else {
                    "join"
                };
                let Some(keyword) = inside.iter().find(|token| word(token, keyword)) else {
                    continue;
                };
                (keyword.range().end..taken.span.end, None)
            }
        };
        let is_affordable = budget >= sql.len();
        budget = budget.saturating_sub(sql.len());
        fragments.push(Fragment {
            form: taken.form,
            select: select_of(sql, tokens, at),
            tree: is_affordable.then(|| read(sql, &span)).flatten(),
            span,
            alias,
        });
    }
    fragments
}

/// Parses a list of expressions at its own place.
fn read(sql: &str, span: &Range<usize>) -> Option<Box<Tree>> {
    const SELECT: &str = "SELECT ";
    let blanks = span.start.checked_sub(SELECT.len())?;
    let text = format!("{:blanks$}{SELECT}{}", "", sql.get(span.clone())?);
    let scanned = scan(&text).ok()?;
    match parse(&text, &scanned) {
        Parsed::Tree(tree) => Some(tree),
        Parsed::Opaque(_) => None,
    }
}

/// Where the expression starts that ends before a token: behind the comma, bracket or keyword before it.
fn before(sql: &str, tokens: &[Token], at: usize) -> usize {
    const KEYWORDS: &[&str] = &[
        "select", "distinct", "where", "prewhere", "having", "qualify", "by", "on", "when", "then",
        "else", "case", "and", "or", "not", "from", "join", "as", "interval",
    ];
    let mut depth = 0_usize;
    for token in tokens[..at].iter().rev() {
        match token.kind {
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => depth += 1,
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly if depth == 0 => {
                return token.range().end;
            }
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => depth -= 1,
            Kind::Comma | Kind::Arrow if depth == 0 => return token.range().end,
            Kind::Word if depth == 0 => {
                let text = token.text(sql);
                if KEYWORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
                    return token.range().end;
                }
            }
            _ => {}
        }
    }
    0
}

/// The `SELECT` in whose brackets a token stands.
fn select_of(sql: &str, tokens: &[Token], at: usize) -> Option<usize> {
    let is_select =
        |token: &Token| token.kind == Kind::Word && token.text(sql).eq_ignore_ascii_case("select");
    let mut depth = 0_usize;
    for token in tokens[..at].iter().rev() {
        match token.kind {
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => depth += 1,
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => {
                depth = depth.saturating_sub(1);
            }
            // A bracket around a part of an expression is left, one around a query is not: there the `SELECT` comes first.
            _ if depth == 0 && is_select(token) => return Some(token.start as usize),
            _ => {}
        }
    }
    // `FROM t ARRAY JOIN a SELECT b`
    let mut depth = 0_usize;
    for token in &tokens[at..] {
        match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => depth += 1,
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
                depth = depth.checked_sub(1)?;
            }
            _ if depth == 0 && is_select(token) => return Some(token.start as usize),
            _ => {}
        }
    }
    None
}

/// Fragments of one form that belong to a `SELECT`.
pub(super) fn of_select(
    fragments: &[Fragment],
    form: FormKind,
    select: Option<usize>,
) -> impl Iterator<Item = &Fragment> {
    fragments.iter().filter(move |fragment| {
        fragment.form == form && select.is_some() && fragment.select == select
    })
}

/// Whether an alias is given inside of another fragment's expressions.
pub(super) fn is_inside(inner: &Fragment, outer: &Fragment) -> bool {
    !std::ptr::eq(inner, outer) && within(&inner.span, &outer.span)
}
