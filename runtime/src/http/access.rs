//! Who asks: a request's token and what it may do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, Uri, header};
use pipewright_compiler::plan::RowFilters;
use pipewright_compiler::sql::quote_literal;
use serde_json::{Map, Value};

pub use super::scope::Scope;

use super::error::ApiError;
use super::jwt;
use super::parameters::Parameters;
use crate::state::{ObjectKind, SecretHasher, State, StateError};

/// What one token may do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// The token's id; for a JWT its name.
    pub(crate) id: String,
    /// The token's name.
    pub(crate) name: String,
    scopes: BTreeSet<Scope>,
    /// Parameters that a JWT sets for a pipe, whatever the request says.
    pub(crate) fixed: BTreeMap<String, Map<String, Value>>,
    /// How many requests it may make in a second.
    pub(crate) requests_per_second: Option<u32>,
    /// The last second in which a JWT is worth something, counted from 1970.
    pub(crate) expires: Option<u64>,
    /// Which rows of which tables it sees.
    pub(crate) filters: RowFilters,
}

impl Access {
    /// Collects scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut access = Self {
            scopes: scopes.into_iter().collect(),
            ..Self::default()
        };
        access.filters = access.row_filters();
        access
    }

    /// Whether the token may do everything.
    pub fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    fn has(&self, scope: &Scope) -> bool {
        self.is_admin() || self.scopes.contains(scope)
    }

    /// Whether the token may read a pipe.
    pub fn reads_pipe(&self, name: &str) -> bool {
        self.has(&Scope::ReadPipe(name.to_owned()))
    }

    /// Whether the token may read a data source, or some of its rows.
    pub fn reads_datasource(&self, name: &str) -> bool {
        self.has(&Scope::ReadDatasource(name.to_owned()))
            || self
                .scopes
                .iter()
                .any(|scope| matches!(scope, Scope::ReadRows(table, _) if table == name))
    }

    /// Whether the token may create and change pipes.
    pub fn creates_pipes(&self) -> bool {
        self.has(&Scope::CreatePipes)
    }

    /// Whether the token may delete nodes.
    pub fn deletes_nodes(&self) -> bool {
        self.creates_pipes() || self.scopes.contains(&Scope::Import)
    }

    /// Whether the token may delete a pipe.
    pub fn drops_pipe(&self, name: &str) -> bool {
        self.has(&Scope::DropPipe(name.to_owned()))
    }

    /// Whether the token may create data sources.
    pub fn creates_datasources(&self) -> bool {
        self.has(&Scope::CreateDatasources) || self.scopes.contains(&Scope::Import)
    }

    /// Whether the token may add rows to a data source.
    pub fn appends_to(&self, name: &str) -> bool {
        self.has(&Scope::AppendDatasource(name.to_owned()))
    }

    /// Whether the token may delete a data source.
    pub fn drops_datasource(&self, name: &str) -> bool {
        self.has(&Scope::DropDatasource(name.to_owned()))
    }

    /// Whether the token may manage tokens.
    pub fn manages_tokens(&self) -> bool {
        self.has(&Scope::Tokens)
    }

    /// Gives what may be done to somebody.
    pub(super) fn of(mut self, id: String, name: String) -> Self {
        (self.id, self.name) = (id, name);
        self.filters = self.row_filters();
        self
    }

    /// A scope without a filter shows all rows. Of the service data sources everyone sees what is about resources that they may read; who may not read what others
    /// read there sees of requests only their own, and a JWT, whose name others may have, none.
    fn row_filters(&self) -> RowFilters {
        let mut filters = RowFilters::default();
        if self.is_admin() {
            return filters;
        }
        let shows_all = |table: &str| {
            self.scopes
                .contains(&Scope::ReadDatasource(table.to_owned()))
        };
        for scope in &self.scopes {
            if let Scope::ReadRows(table, filter) = scope
                && !shows_all(table)
            {
                filters.add(table, filter);
            }
        }
        let is_jwt = self.id.starts_with(JWT);
        let sees_some = is_jwt || !filters.is_empty();
        let nothing = || "0".to_owned();
        for (table, about) in SERVICE_TABLES.iter().filter(|(table, _)| !shows_all(table)) {
            let pipes = || named_in("pipe_name", &self.resources("PIPES:READ"));
            let filter = match about {
                About::Requests if is_jwt => nothing(),
                About::Requests if sees_some => {
                    format!("{} AND token = {}", pipes(), quote_literal(&self.id))
                }
                About::Pipes if sees_some => nothing(),
                About::Requests | About::Pipes => pipes(),
                About::Datasources => {
                    let mut readable = self.resources("DATASOURCES:READ");
                    readable.retain(|table| shows_all(table));
                    named_in("datasource_name", &readable)
                }
                About::Workspace => nothing(),
            };
            filters.add(table, &filter);
        }
        filters
    }

    /// The parameters that a JWT sets, for a query that may name any of its pipes.
    pub(crate) fn all_fixed(&self) -> Result<Map<String, Value>, ApiError> {
        self.fixed_for(|_| true)
    }

    /// The parameters that a JWT sets for those pipes.
    pub(crate) fn fixed_for(
        &self,
        is_read: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, ApiError> {
        let mut all = Map::new();
        let pipes = self.fixed.iter().filter(|(pipe, _)| is_read(pipe));
        for (name, value) in pipes.flat_map(|(_, fixed)| fixed) {
            if all.get(name).is_some_and(|other| other != value) {
                return Err(ApiError::Forbidden(format!(
                    "the token sets `{name}` differently for its pipes: call them one by one"
                )));
            }
            all.insert(name.clone(), value.clone());
        }
        Ok(all)
    }

    /// The names of the resources that scopes of that type are about.
    fn resources(&self, kind: &str) -> BTreeSet<&str> {
        let of_kind = self.scopes.iter().filter(|scope| scope.kind() == kind);
        of_kind.filter_map(Scope::resource).collect()
    }
}

/// The tokens by the hash of their secret. There are no secrets here (the state keeps them encrypted, for `/v0/tokens` to show); a request's secret is hashed
/// under the workspace's key before it is compared, so that the time of a look-up says nothing of the secrets.
#[derive(Debug)]
pub struct TokenTable {
    hasher: SecretHasher,
    tokens: HashMap<[u8; 32], Arc<Access>>,
    signer: Option<jwt::Signer>,
    verified: Mutex<HashMap<[u8; 32], Arc<Access>>>,
    workspace: String,
    /// The names of pipes and data sources by id.
    ids: BTreeMap<String, String>,
}

impl TokenTable {
    /// The tokens of a workspace.
    pub fn load(state: &State) -> Result<Self, StateError> {
        let tokens = state.tokens().hashed()?;
        let tokens = tokens.into_iter().map(|(hash, token)| {
            let access = Access::new(Scope::from_json(&token.scopes));
            (hash, Arc::new(access.of(token.id, token.name)))
        });
        let tokens = tokens.collect();
        let signer = state
            .tokens()
            .admin_secret()?
            .map(|secret| jwt::Signer::new(&secret));
        let objects = state.catalog().objects()?.into_iter();
        let objects = objects.filter(|object| object.kind != ObjectKind::Node);
        Ok(Self {
            hasher: state.tokens().hasher(),
            ids: objects.map(|object| (object.id, object.name)).collect(),
            tokens,
            signer,
            verified: Mutex::default(),
            workspace: state.workspace_id().to_owned(),
        })
    }

    /// The access of the request: from `Authorization: Bearer`, else from `?token=`.
    pub(crate) fn access(
        &self,
        headers: &HeaderMap,
        token_parameter: Option<&str>,
    ) -> Result<Arc<Access>, ApiError> {
        let Some(secret) = bearer_of(headers).or(token_parameter) else {
            return Err(ApiError::Forbidden(
                "no token: send `Authorization: Bearer <token>` or add `?token=<token>`; `pipewright serve` prints the admin token at its first start".to_owned(),
            ));
        };
        let hash = self.hasher.hash(secret);
        if let Some(access) = self.tokens.get(&hash) {
            return Ok(Arc::clone(access));
        }
        if let Some(access) = self.verified_before(&hash) {
            return Ok(access);
        }
        let verified = self
            .signer
            .as_ref()
            .filter(|_| jwt::looks_like_one(secret))
            .map(|signer| signer.verify(secret, &self.workspace, &self.ids));
        match verified {
            Some(Ok(access)) => Ok(self.remember(hash, access)),
            Some(Err(message)) => Err(ApiError::Forbidden(message)),
            None => Err(ApiError::Forbidden("the token is not known".to_owned())),
        }
    }

    /// A JWT that has been verified and has not expired since. A request with a body is asked for its token twice, and most clients send one JWT many times. What a
    /// JWT means changes only with the tokens, and with them this table.
    fn verified_before(&self, hash: &[u8; 32]) -> Option<Arc<Access>> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let access = verified.get(hash)?;
        access
            .expires
            .is_some_and(|expires| seconds_now() <= expires)
            .then(|| Arc::clone(access))
    }

    fn remember(&self, hash: [u8; 32], access: Access) -> Arc<Access> {
        let access = Arc::new(access);
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED {
            verified.clear();
        }
        verified.insert(hash, Arc::clone(&access));
        access
    }

    /// The access of a request that needs none, if it brings a token all the same.
    pub(crate) fn access_if_any(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Option<Arc<Access>>, ApiError> {
        let parameters = Parameters::of_address(uri);
        let given = parameters.text_of("token");
        if given.is_none() && !headers.contains_key(header::AUTHORIZATION) {
            return Ok(None);
        }
        self.access(headers, given).map(Some)
    }

    /// Signs a JWT.
    pub(crate) fn sign(&self, claims: &jwt::Claims) -> Result<String, ApiError> {
        let signer = self
            .signer
            .as_ref()
            .ok_or_else(|| ApiError::Internal("there is no admin token to sign with".to_owned()))?;
        signer
            .sign(claims)
            .map_err(|error| ApiError::Internal(error.to_string()))
    }
}

/// JWTs that are remembered.
const VERIFIED: usize = 1024;

fn seconds_now() -> u64 {
    let now = jiff::Timestamp::now().as_second();
    u64::try_from(now).unwrap_or_default()
}

/// What the ids of JWTs begin with.
pub(super) const JWT: &str = "jwt:";

/// What the rows of a service data source are about.
#[derive(Debug, Clone, Copy)]
enum About {
    /// Each by itself, with the token that made it.
    Requests,
    Pipes,
    Datasources,
    Workspace,
}

/// The service data sources that everyone may read, with what decides which rows are seen.
const SERVICE_TABLES: &[(&str, About)] = &[
    ("tinybird.pipe_stats_rt", About::Requests),
    ("tinybird.pipe_stats", About::Pipes),
    ("tinybird.endpoint_errors", About::Pipes),
    ("tinybird.datasources_ops_log", About::Datasources),
    ("tinybird.datasources_storage", About::Datasources),
    ("tinybird.jobs_log", About::Workspace),
];

/// Whether a table is a service data source that everyone may read in part.
pub(crate) fn is_service_table(name: &str) -> bool {
    SERVICE_TABLES.iter().any(|(table, _)| *table == name)
}

fn named_in(column: &str, names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return "0".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| quote_literal(name)).collect();
    format!("{column} IN ({})", names.join(", "))
}

/// The token that stands in the head of a request.
pub(super) fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// How many requests each limited token has made of late. A token that has been quiet for a second may make a full second's requests at once.
#[derive(Debug, Default)]
pub(crate) struct RateLimits {
    /// The share of a token that has none of its own.
    common: Option<u32>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Buckets kept; past that the ones that are full again are forgotten.
const BUCKETS: usize = 10_000;

impl RateLimits {
    /// With a share for tokens that have none of their own; 0 for no limit.
    pub(crate) fn new(common: u32) -> Self {
        Self {
            common: (common > 0).then_some(common),
            buckets: Mutex::default(),
        }
    }

    /// Takes one request from the token's share, or says after how many seconds there will be one.
    pub(crate) fn take(&self, access: &Access) -> Result<(), u64> {
        let common = self.common.filter(|_| !access.is_admin());
        let Some(rate) = access.requests_per_second.or(common).map(f64::from) else {
            return Ok(());
        };
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS {
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs_f64() < 1.0);
        }
        let bucket = buckets.entry(access.id.clone()).or_insert(Bucket {
            left: rate,
            at: now,
        });
        bucket.left = (bucket.left + now.duration_since(bucket.at).as_secs_f64() * rate).min(rate);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(1);
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_gives_one_thing_and_no_other() {
        let access = |text: &str| Access::new(Scope::parse(text).unwrap());
        let all = |access: &Access| {
            let held = [
                ("read pipe", access.reads_pipe("a")),
                ("drop pipe", access.drops_pipe("a")),
                ("create pipes", access.creates_pipes()),
                ("read rows", access.reads_datasource("a")),
                ("append", access.appends_to("a")),
                ("drop datasource", access.drops_datasource("a")),
                ("create datasources", access.creates_datasources()),
                ("tokens", access.manages_tokens()),
                ("delete nodes", access.deletes_nodes()),
            ];
            held.into_iter()
                .filter(|(_, held)| *held)
                .map(|(what, _)| what)
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&access("ADMIN")).len(), 9);
        assert_eq!(all(&access("PIPES:READ:a")), ["read pipe"]);
        assert_eq!(all(&access("PIPES:READ:b")), [] as [&str; 0]);
        assert_eq!(
            all(&access("PIPES:CREATE")),
            ["create pipes", "delete nodes"]
        );
        assert_eq!(all(&access("DROP:a")), ["drop pipe", "drop datasource"]);
        assert_eq!(all(&access("DATASOURCES:READ:a:x = 1")), ["read rows"]);
        assert_eq!(all(&access("DATASOURCES:APPEND:a")), ["append"]);
        assert_eq!(
            all(&access("IMPORT")),
            ["create datasources", "delete nodes"]
        );
        assert_eq!(all(&access("TOKENS")), ["tokens"]);
    }

    #[test]
    fn a_scope_without_a_filter_shows_all_rows() {
        let mut scopes = Scope::parse("DATASOURCES:READ:t:x = 1").unwrap();
        let filtered = Access::new(scopes.clone()).filters;
        scopes.extend(Scope::parse("DATASOURCES:READ:t").unwrap());
        let open = Access::new(scopes).filters;
        assert_ne!(filtered, open);
        assert_eq!(
            open,
            Access::new(Scope::parse("DATASOURCES:READ:t").unwrap()).filters
        );
        assert!(Access::new([Scope::Admin]).filters.is_empty());
    }

    #[test]
    fn a_limited_token_has_its_share_and_no_more() {
        let limits = RateLimits::default();
        let access = Access {
            id: "a".to_owned(),
            requests_per_second: Some(2),
            ..Access::default()
        };
        assert_eq!(
            [
                limits.take(&access),
                limits.take(&access),
                limits.take(&access)
            ],
            [Ok(()), Ok(()), Err(1)]
        );
        let other = Access {
            id: "b".to_owned(),
            ..access
        };
        assert_eq!(limits.take(&other), Ok(()));
    }
}
