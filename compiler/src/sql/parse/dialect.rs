//! ClickHouse as `sqlparser` is to see it: its own dialect, with a few switches set and the ternary operator added.

use std::any::TypeId;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{AccessExpr, CaseWhen, Expr, Subscript};
use sqlparser::dialect::{ClickHouseDialect, Dialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// The dialect of nodes. It says of itself that it is `ClickHouseDialect`, because the parser asks for that in places.
#[derive(Debug, Default)]
pub(super) struct NodeDialect {
    base: ClickHouseDialect,
}

/// Binds looser than `OR` and tighter than an alias.
const TERNARY_PRECEDENCE: u8 = 3;

macro_rules! as_base {
    ($($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool {
            self.base.$method()
        })*
    };
}

impl Dialect for NodeDialect {
    fn dialect(&self) -> TypeId {
        self.base.dialect()
    }

    fn is_identifier_start(&self, character: char) -> bool {
        self.base.is_identifier_start(character)
    }

    fn is_identifier_part(&self, character: char) -> bool {
        self.base.is_identifier_part(character)
    }

    as_base!(
        supports_string_literal_backslash_escape,
        supports_select_wildcard_except,
        supports_limit_comma,
        supports_insert_table_function,
        supports_insert_format,
        supports_numeric_literal_underscores,
        supports_partition_by_after_order_by,
        supports_array_join_syntax,
        supports_dictionary_syntax,
        supports_in_unparenthesized_expr,
        supports_lambda_functions,
        supports_from_first_select,
        supports_order_by_all,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_nested_comments,
        supports_optimize_table,
        supports_prewhere,
        supports_with_fill,
        supports_limit_by,
        supports_interpolate,
        supports_settings,
        supports_select_format,
        supports_select_wildcard_replace,
        supports_comma_separated_trim,
    );

    fn describe_requires_table_keyword(&self) -> bool {
        false
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_subquery_as_function_arg(&self) -> bool {
        true
    }

    fn supports_select_expr_star(&self) -> bool {
        true
    }

    fn supports_eq_alias_assignment(&self) -> bool {
        false
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        match parser.peek_token_ref().token {
            Token::Question => Some(Ok(TERNARY_PRECEDENCE)),
            // Ends the middle of a ternary; elsewhere `sqlparser` would read a path into a variant.
            Token::Colon => Some(Ok(self.prec_unknown())),
            _ => None,
        }
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        condition: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if parser.peek_token_ref().token == Token::LBracket {
            parser.advance_token();
            return Some(element(parser, condition));
        }
        if parser.peek_token_ref().token != Token::Question || precedence != TERNARY_PRECEDENCE {
            return None;
        }
        parser.advance_token();
        Some(ternary(parser, condition))
    }
}

/// `a::T[1]`; directly after a name `sqlparser` reads the brackets itself.
fn element(parser: &mut Parser<'_>, whole: &Expr) -> Result<Expr, ParserError> {
    let index = parser.parse_expr()?;
    parser.expect_token(&Token::RBracket)?;
    Ok(Expr::CompoundFieldAccess {
        root: Box::new(whole.clone()),
        access_chain: vec![AccessExpr::Subscript(Subscript::Index { index })],
    })
}

/// `condition ? a : b`, as the `CASE` that it means.
fn ternary(parser: &mut Parser<'_>, condition: &Expr) -> Result<Expr, ParserError> {
    let result = parser.parse_expr()?;
    parser.expect_token(&Token::Colon)?;
    let otherwise = parser.parse_subexpr(TERNARY_PRECEDENCE - 1)?;
    Ok(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: condition.clone(),
            result,
        }],
        else_result: Some(Box::new(otherwise)),
    })
}
