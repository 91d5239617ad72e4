//! ClickHouse-only forms: each function takes one out of the token list, or turns it into what it means in the SQL that `sqlparser` reads. None of
//! this ever reaches the engine; it only makes the tree possible, and honest: a form that `sqlparser` would misread silently (`FROM t FINAL` as an alias)
//! must be taken out even though it parses.

mod clauses;
mod expressions;
mod joins;
mod tables;
mod types;
mod unions;
mod with;

use sqlparser::tokenizer::Token;

use super::TakenOut;
use crate::sql::identifier::unquote;
use crate::sql::lexer::{self, Kind};
use crate::sql::scan::Scan;

/// A token on its way to the parser, with the bytes it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Which form was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormKind {
    /// `FINAL`.
    Final,
    /// `SAMPLE …`.
    Sample,
    /// `FORMAT name`.
    Format,
    /// `SETTINGS …`.
    Settings,
    /// `ARRAY JOIN …`: its expressions are not in the tree.
    ArrayJoin,
    /// `expression AS name` in `WITH`: shown as `name AS (SELECT expression)`.
    ScalarWith,
    /// `ANY`, `ALL`, `ASOF`, `SEMI`, `ANTI`, `GLOBAL`, `PASTE` before `JOIN`, `GLOBAL` before `IN`.
    Strictness,
    /// `AS name` inside of an expression.
    InnerAlias,
    /// `APPLY(…)`, or `EXCEPT`/`REPLACE` after `COLUMNS(…)`.
    ColumnTransformer,
    /// `LIMIT … BY …` before another `LIMIT` or with an offset.
    LimitBy,
    /// `WITH TIES`; `WITH TOTALS`, `WITH ROLLUP`, `WITH CUBE` without `GROUP BY`.
    WithModifier,
    /// `.:Type`, `.^` or `[]` of a JSON path.
    JsonPath,
    /// `view(SELECT …)`: shown as a subquery.
    View,
    /// What stands in the brackets of a type, after `::` or in `CAST`.
    TypeArguments,
    /// `ROWS BETWEEN …` of a window.
    WindowFrame,
    /// `COLLATE 'language'`.
    Collation,
    /// `STALENESS x` of `WITH FILL`.
    FillStaleness,
    /// `MATERIALIZED` before a common table expression's body.
    CommonTableModifier,
}

/// The tokens as `sqlparser` knows them, one for one.
pub(super) fn forms(sql: &str, tokens: &[lexer::Token]) -> Vec<Form> {
    tokens
        .iter()
        .filter(|token| token.kind != Kind::Semicolon)
        .map(|token| Form {
            token: translate(sql, *token),
            start: token.start as usize,
            end: token.end as usize,
        })
        .collect()
}

fn translate(sql: &str, token: lexer::Token) -> Token {
    let text = token.text(sql);
    match token.kind {
        Kind::Word => Token::make_word(text, None),
        Kind::QuotedName => Token::make_word(&unquote(text), Some('`')),
        Kind::Text => Token::SingleQuotedString(unquote(text)),
        Kind::Number => Token::Number(text.to_owned(), false),
        Kind::OpenRound => Token::LParen,
        Kind::CloseRound => Token::RParen,
        Kind::OpenSquare => Token::LBracket,
        Kind::CloseSquare => Token::RBracket,
        Kind::OpenCurly => Token::LBrace,
        Kind::CloseCurly => Token::RBrace,
        Kind::Comma => Token::Comma,
        Kind::Semicolon => Token::SemiColon,
        Kind::Dot => Token::Period,
        Kind::Asterisk => Token::Mul,
        Kind::Arrow => Token::Arrow,
        Kind::DoubleColon => Token::DoubleColon,
        Kind::Colon => Token::Colon,
        Kind::Equals => Token::Eq,
        Kind::Operator => operator(text),
    }
}

fn operator(text: &str) -> Token {
    match text {
        "+" => Token::Plus,
        "-" | "\u{2212}" => Token::Minus,
        "/" => Token::Div,
        "%" => Token::Mod,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" | "!=" => Token::Neq,
        "<=>" => Token::Spaceship,
        "||" => Token::StringConcat,
        "?" => Token::Question,
        "^" => Token::Caret,
        "|" => Token::Pipe,
        "@" => Token::AtSign,
        "@@" => Token::AtAt,
        other => Token::CustomBinaryOperator(other.to_owned()),
    }
}

/// Takes out every form, and says what was taken out.
pub(super) fn take_out(forms: &mut Vec<Form>, scan: &Scan) -> Vec<TakenOut> {
    let mut list = List {
        forms: std::mem::take(forms),
        taken_out: Vec::new(),
    };
    tables::endings(&mut list, scan);
    tables::modifiers(&mut list, scan);
    tables::settings(&mut list);
    tables::views(&mut list, scan);
    expressions::parameters(&mut list);
    expressions::json_paths(&mut list);
    expressions::tuple_elements(&mut list);
    expressions::column_transformers(&mut list);
    expressions::empty_tuples(&mut list);
    clauses::frames(&mut list);
    clauses::collations(&mut list);
    clauses::staleness(&mut list);
    expressions::names_like_keywords(&mut list);
    expressions::interval_strings(&mut list);
    types::types(&mut list);
    expressions::word_operators(&mut list);
    joins::array_joins(&mut list);
    joins::strictness(&mut list);
    joins::using_lists(&mut list);
    with::scalars(&mut list);
    with::modifiers(&mut list);
    expressions::trailing_commas(&mut list);
    expressions::inner_aliases(&mut list);
    expressions::limit_by(&mut list);
    unions::branches(&mut list);
    list.taken_out.sort_by_key(|taken| taken.span.start);
    *forms = list.forms;
    list.taken_out
}

/// The tokens that are worked on.
pub(super) struct List {
    forms: Vec<Form>,
    taken_out: Vec<TakenOut>,
}

impl List {
    fn token(&self, at: usize) -> Option<&Token> {
        self.forms.get(at).map(|form| &form.token)
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.token(at) == Some(token)
    }

    /// Whether an unquoted word stands at a place, in any letter case.
    fn is_word(&self, at: usize, word: &str) -> bool {
        matches!(self.token(at), Some(Token::Word(found)) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(at, word))
    }

    fn before_is_any(&self, at: usize, words: &[&str]) -> bool {
        at.checked_sub(1)
            .is_some_and(|before| self.is_any(before, words))
    }

    fn before_is(&self, at: usize, token: &Token) -> bool {
        at.checked_sub(1)
            .is_some_and(|before| self.is(before, token))
    }

    fn is_name(&self, at: usize) -> bool {
        matches!(self.token(at), Some(Token::Word(_)))
    }

    /// Whether an operand ends at a place.
    fn ends_operand(&self, at: usize) -> bool {
        match self.token(at) {
            Some(Token::Word(word)) => word.quote_style.is_some() || !is_prefix_word(&word.value),
            Some(
                Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::Placeholder(_)
                | Token::RParen
                | Token::RBracket
                | Token::RBrace,
            ) => true,
            _ => false,
        }
    }

    /// The place after the bracket that closes the one at `at`.
    fn after_bracket(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        let mut next = at;
        while let Some(token) = self.token(next) {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return next + 1;
                    }
                }
                _ => {}
            }
            next += 1;
        }
        next
    }

    /// The first place at or after `at`, at the same depth, where `stop` holds; the closing bracket or the end otherwise.
    fn find(&self, at: usize, stop: impl Fn(&Self, usize) -> bool) -> usize {
        let mut next = at;
        while let Some(token) = self.token(next) {
            match token {
                Token::RParen | Token::RBracket | Token::RBrace => return next,
                _ if stop(self, next) => return next,
                Token::LParen | Token::LBracket | Token::LBrace => next = self.after_bracket(next),
                _ => next += 1,
            }
        }
        next
    }

    fn note(&mut self, form: FormKind, from: usize, to: usize) {
        if let (Some(first), Some(last)) =
            (self.forms.get(from), self.forms.get(to.saturating_sub(1)))
        {
            let span = first.start..last.end;
            self.taken_out.push(TakenOut { form, span });
        }
    }

    /// Marks tokens to be dropped by [`List::sweep`].
    fn drop(&mut self, form: FormKind, from: usize, to: usize) {
        self.note(form, from, to);
        for form in &mut self.forms[from..to] {
            form.token = Token::EOF;
        }
    }

    /// Removes what was dropped.
    fn sweep(&mut self) {
        self.forms.retain(|form| form.token != Token::EOF);
    }

    /// Puts a token before the one at `at`, without bytes of its own.
    fn insert(&mut self, at: usize, token: Token) {
        let place = match self.forms.get(at) {
            Some(form) => form.start,
            None => self.forms.last().map_or(0, |form| form.end),
        };
        self.forms.insert(
            at,
            Form {
                token,
                start: place,
                end: place,
            },
        );
    }
}

/// Words after which an operand comes, so that they do not end one.
fn is_prefix_word(word: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "select", "distinct", "and", "or", "not", "in", "between", "like", "ilike", "by", "when",
        "then", "else", "case", "where", "prewhere", "having", "qualify", "on", "using", "with",
        "from", "join", "limit", "offset", "interval", "as", "is",
    ];
    PREFIXES
        .iter()
        .any(|prefix| word.eq_ignore_ascii_case(prefix))
}
