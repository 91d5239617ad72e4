//! `.token` files (Classic).

use serde::Serialize;

use crate::source::Spanned;

/// One `.token` file: a token and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TokenFile {
    /// The description.
    pub description: Option<Spanned<String>>,
    /// The scopes in file order.
    pub scopes: Vec<ScopeDecl>,
}

/// `SCOPE` with its `RESOURCE` and `FILTER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScopeDecl {
    /// The scope, such as `PIPES:READ`.
    pub scope: Spanned<String>,
    /// The resource that it is about.
    pub resource: Option<Spanned<String>>,
    /// An SQL row filter.
    pub filter: Option<Spanned<String>>,
}
