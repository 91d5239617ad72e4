//! Tokens: who may read what.

use std::collections::{BTreeSet, HashMap};

use axum::http::{HeaderMap, header};

use super::error::ApiError;

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Read a published pipe.
    ReadPipe(String),
    /// Read a data source.
    ReadDatasource(String),
}

impl Scope {
    /// The scope as it is written: `ADMIN`, `PIPES:READ:<pipe>`, `DATASOURCES:READ:<data source>`. Other scopes are no scopes of this version.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "ADMIN" {
            return Some(Self::Admin);
        }
        text.strip_prefix("PIPES:READ:")
            .map(|name| Self::ReadPipe(name.to_owned()))
            .or_else(|| text.strip_prefix("DATASOURCES:READ:").map(|name| Self::ReadDatasource(name.to_owned())))
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Admin => f.write_str("ADMIN"),
            Self::ReadPipe(name) => write!(f, "PIPES:READ:{name}"),
            Self::ReadDatasource(name) => write!(f, "DATASOURCES:READ:{name}"),
        }
    }
}

/// The scopes of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access(BTreeSet<Scope>);

impl Access {
    /// Collects scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// Whether the token may do everything.
    pub fn is_admin(&self) -> bool {
        self.0.contains(&Scope::Admin)
    }

    /// Whether the token may read a pipe.
    pub fn reads_pipe(&self, name: &str) -> bool {
        self.is_admin() || self.0.contains(&Scope::ReadPipe(name.to_owned()))
    }

    /// Whether the token may read a data source.
    pub fn reads_datasource(&self, name: &str) -> bool {
        self.is_admin() || self.0.contains(&Scope::ReadDatasource(name.to_owned()))
    }
}

/// A hash of a token's secret under the workspace's key. Secrets are compared by their hashes only, so that the time of a look-up says nothing of them.
pub type SecretHash = [u8; 32];

/// The tokens by the hash of their secret. No secret is kept.
pub struct TokenTable {
    hash: Box<dyn Fn(&str) -> SecretHash + Send + Sync>,
    tokens: HashMap<SecretHash, Access>,
}

impl std::fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenTable").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

impl TokenTable {
    /// Tokens under a keyed hash function.
    pub fn new(hash: impl Fn(&str) -> SecretHash + Send + Sync + 'static, tokens: impl IntoIterator<Item = (SecretHash, Access)>) -> Self {
        Self { hash: Box::new(hash), tokens: tokens.into_iter().collect() }
    }

    /// The access of the request: from `Authorization: Bearer`, else from `?token=`.
    pub(crate) fn access(&self, headers: &HeaderMap, token_parameter: Option<&str>) -> Result<&Access, ApiError> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let Some(secret) = bearer.or(token_parameter) else {
            return Err(ApiError::Forbidden(
                "no token: send `Authorization: Bearer <token>` or add `?token=<token>`; `pipewright serve` prints the admin token at its first start".to_owned(),
            ));
        };
        self.tokens.get(&(self.hash)(secret)).ok_or_else(|| ApiError::Forbidden("the token is not known".to_owned()))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
