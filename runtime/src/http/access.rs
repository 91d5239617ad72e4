//! Tokens: who may read what.

use std::collections::{BTreeSet, HashMap};

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::state::{SecretHasher, State, StateError};

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Read a published pipe.
    ReadPipe(String),
    /// Read a data source.
    ReadDatasource(String),
    /// Add rows to a data source.
    AppendDatasource(String),
    /// Delete a data source, or rows of it.
    DropDatasource(String),
}

impl Scope {
    /// Reads the scopes of a stored token: a list of `{"type": …, "resource": …}`. What this version does not know gives nothing.
    pub fn from_json(scopes: &Value) -> Vec<Self> {
        let entries = scopes.as_array().map_or(&[][..], Vec::as_slice);
        entries.iter().filter_map(Self::from_entry).collect()
    }

    fn from_entry(entry: &Value) -> Option<Self> {
        let resource = || entry["resource"].as_str().map(ToOwned::to_owned);
        match entry["type"].as_str()? {
            "ADMIN" => Some(Self::Admin),
            "PIPES:READ" => resource().map(Self::ReadPipe),
            "DATASOURCES:READ" => resource().map(Self::ReadDatasource),
            "DATASOURCES:APPEND" => resource().map(Self::AppendDatasource),
            "DATASOURCES:DROP" => resource().map(Self::DropDatasource),
            _ => None,
        }
    }

    /// The scope as it is stored.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Admin => json!({ "type": "ADMIN" }),
            Self::ReadPipe(name) => json!({ "type": "PIPES:READ", "resource": name }),
            Self::ReadDatasource(name) => json!({ "type": "DATASOURCES:READ", "resource": name }),
            Self::AppendDatasource(name) => {
                json!({ "type": "DATASOURCES:APPEND", "resource": name })
            }
            Self::DropDatasource(name) => json!({ "type": "DATASOURCES:DROP", "resource": name }),
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

    /// Whether the token may add rows to a data source.
    pub fn appends_to(&self, name: &str) -> bool {
        self.is_admin() || self.0.contains(&Scope::AppendDatasource(name.to_owned()))
    }

    /// Whether the token may delete a data source, or rows of it.
    pub fn drops_datasource(&self, name: &str) -> bool {
        self.is_admin() || self.0.contains(&Scope::DropDatasource(name.to_owned()))
    }
}

/// The tokens by the hash of their secret. No secret is kept; a request's secret is hashed under the workspace's key before it is compared, so that the
/// time of a look-up says nothing of the secrets.
#[derive(Debug)]
pub struct TokenTable {
    hasher: SecretHasher,
    tokens: HashMap<[u8; 32], Access>,
}

impl TokenTable {
    /// The tokens of a workspace.
    pub fn load(state: &State) -> Result<Self, StateError> {
        let tokens = state.tokens().hashed()?;
        let tokens = tokens
            .into_iter()
            .map(|(hash, token)| (hash, Access::new(Scope::from_json(&token.scopes))));
        Ok(Self {
            hasher: state.tokens().hasher(),
            tokens: tokens.collect(),
        })
    }

    /// The access of the request: from `Authorization: Bearer`, else from `?token=`.
    pub(crate) fn access(
        &self,
        headers: &HeaderMap,
        token_parameter: Option<&str>,
    ) -> Result<&Access, ApiError> {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        let Some(secret) = bearer.or(token_parameter) else {
            return Err(ApiError::Forbidden(
                "no token: send `Authorization: Bearer <token>` or add `?token=<token>`; `pipewright serve` prints the admin token at its first start".to_owned(),
            ));
        };
        self.tokens
            .get(&self.hasher.hash(secret))
            .ok_or_else(|| ApiError::Forbidden("the token is not known".to_owned()))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
