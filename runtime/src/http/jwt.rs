//! JWTs: tokens that carry their own scopes, signed (HS256) with the admin token's secret, so that a product's backend can make them without asking.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::{Access, JWT};
use super::scope::Scope;

/// What a JWT says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The workspace it is for.
    pub(crate) workspace_id: String,
    /// Its name, for statistics and rate limits.
    pub(crate) name: String,
    /// When it ends, in seconds since 1970.
    pub(crate) exp: u64,
    /// What it may read.
    pub(crate) scopes: Vec<ClaimedScope>,
    /// How much it may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<Limits>,
}

/// One scope of a JWT. A restriction that is not understood is no reason to give more than was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimedScope {
    /// `PIPES:READ` or `DATASOURCES:READ`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The pipe or data source.
    pub(crate) resource: String,
    /// Parameters of a pipe that the request cannot change.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) fixed_params: Map<String, Value>,
    /// The rows of a data source that are seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
}

/// The limits of a JWT. One that is not kept is not taken either.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Requests in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rps: Option<u32>,
}

/// Signs and verifies JWTs.
pub(crate) struct Signer {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Whether a secret has the three parts of a JWT.
pub(crate) fn looks_like_one(secret: &str) -> bool {
    secret.starts_with("ey") && secret.matches('.').count() == 2
}

impl Signer {
    /// Signs with the secret of the admin token.
    pub(crate) fn new(secret: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        Self {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
        }
    }

    /// The token with these claims.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
    }

    /// What a token may do, or why it is worth nothing. Who signs one elsewhere may name pipes and data sources by their `ids`.
    pub(crate) fn verify(
        &self,
        token: &str,
        workspace: &str,
        ids: &BTreeMap<String, String>,
    ) -> Result<Access, String> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
                    "the token has expired".to_owned()
                }
                jsonwebtoken::errors::ErrorKind::InvalidSignature => {
                    "the token is not signed with this workspace's admin token".to_owned()
                }
                jsonwebtoken::errors::ErrorKind::Json(error)
                    if error.to_string().starts_with("unknown field") =>
                {
                    format!("the token cannot be read: {error}")
                }
                _ => "the token is no valid JWT".to_owned(),
            })?;
        let claims = decoded.claims;
        if claims.workspace_id != workspace {
            return Err("the token is for another workspace".to_owned());
        }
        let mut scopes = Vec::new();
        let mut fixed: BTreeMap<String, _> = BTreeMap::new();
        for mut claimed in claims.scopes {
            if let Some(name) = ids.get(&claimed.resource) {
                claimed.resource.clone_from(name);
            }
            scopes.push(claimed.scope()?);
            // A pipe that is named twice has all that is fixed for it.
            if claimed.fixed_params.is_empty() {
                continue;
            }
            let known: &mut Map<_, _> = fixed.entry(claimed.resource).or_default();
            for (name, value) in claimed.fixed_params {
                if known.get(&name).is_some_and(|other| *other != value) {
                    return Err(format!("the token fixes `{name}` to two values"));
                }
                known.insert(name, value);
            }
        }
        let requests_per_second = claims.limits.and_then(|limits| limits.rps);
        let id = format!("{JWT}{}", claims.name);
        let mut access = Access::new(scopes).of(id, claims.name);
        access.fixed = fixed;
        access.requests_per_second = requests_per_second;
        access.expires = Some(claims.exp);
        Ok(access)
    }
}

impl ClaimedScope {
    /// The scope. A JWT reads and does nothing else.
    pub(crate) fn scope(&self) -> Result<Scope, String> {
        let entry = serde_json::json!({ "type": self.kind, "resource": self.resource, "filter": self.filter });
        match Scope::from_entry(&entry) {
            Some(scope @ (Scope::ReadPipe(_) | Scope::ReadDatasource(_))) => Ok(scope),
            Some(Scope::ReadRows(table, filter)) => {
                // The filter was not seen when the token was made elsewhere: it is judged here, before it is ever part of a statement.
                pipewright_compiler::plan::RowFilters::check(&filter)
                    .map_err(|error| error.to_string())?;
                Ok(Scope::ReadRows(table, filter))
            }
            None if !self.filter.as_deref().unwrap_or("").trim().is_empty() => Err(format!(
                "the scope `{}` cannot have a `filter`: only DATASOURCES:READ of a resource can",
                self.kind
            )),
            _ => Err(format!(
                "a JWT cannot have the scope `{}`: only PIPES:READ and DATASOURCES:READ of a resource",
                self.kind
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: u64) -> Claims {
        let scope = ClaimedScope {
            kind: "PIPES:READ".to_owned(),
            resource: "top".to_owned(),
            fixed_params: Map::from_iter([("org".to_owned(), 3.into())]),
            filter: None,
        };
        Claims {
            workspace_id: "w".to_owned(),
            name: "front".to_owned(),
            exp,
            scopes: vec![scope],
            limits: Some(Limits { rps: Some(10) }),
        }
    }

    #[test]
    fn only_a_token_signed_here_and_not_over_is_worth_something() {
        let signer = Signer::new("p.admin");
        let good = signer.sign(&claims(4_000_000_000)).unwrap();
        assert!(looks_like_one(&good));
        let access = signer.verify(&good, "w", &BTreeMap::new()).unwrap();
        assert!(access.reads_pipe("top") && !access.reads_pipe("other") && !access.is_admin());
        assert_eq!(
            (
                access.fixed["top"]["org"].clone(),
                access.requests_per_second
            ),
            (3.into(), Some(10))
        );
        assert_eq!(
            signer.verify(&good, "other", &BTreeMap::new()).unwrap_err(),
            "the token is for another workspace"
        );
        // Nor before it begins to hold.
        let mut early = serde_json::to_value(claims(4_000_000_000)).unwrap();
        for (nbf, holds) in [(1_000_000_000, true), (3_000_000_000_u64, false)] {
            early["nbf"] = nbf.into();
            let token =
                jsonwebtoken::encode(&Header::new(Algorithm::HS256), &early, &signer.encoding);
            let verified = signer.verify(&token.unwrap(), "w", &BTreeMap::new());
            assert_eq!(verified.is_ok(), holds, "{nbf}");
        }
        assert_eq!(
            Signer::new("x")
                .verify(&good, "w", &BTreeMap::new())
                .unwrap_err(),
            "the token is not signed with this workspace's admin token"
        );
        let old = signer.sign(&claims(1_000)).unwrap();
        assert_eq!(
            signer.verify(&old, "w", &BTreeMap::new()).unwrap_err(),
            "the token has expired"
        );
    }

    #[test]
    fn a_token_without_a_signature_is_worth_nothing() {
        let signer = Signer::new("p.admin");
        let good = signer.sign(&claims(4_000_000_000)).unwrap();
        let payload = good.split('.').nth(1).unwrap();
        // {"alg":"none"} and {"alg":"HS512"}
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzUxMiJ9"] {
            assert!(
                signer
                    .verify(&format!("{header}.{payload}."), "w", &BTreeMap::new())
                    .is_err()
            );
        }
    }

    #[test]
    fn a_filter_is_of_data_sources_alone() {
        let scope = |kind: &str, filter: &str| ClaimedScope {
            kind: kind.to_owned(),
            resource: "top".to_owned(),
            fixed_params: Map::new(),
            filter: Some(filter.to_owned()),
        };
        let refused = |kind: &str, filter: &str| scope(kind, filter).scope().unwrap_err();
        assert_eq!(
            refused("PIPES:READ", "org = 1"),
            "the scope `PIPES:READ` cannot have a `filter`: only DATASOURCES:READ of a resource can"
        );
        assert!(refused("DATASOURCES:READ", "1) OR (1").contains("is no row filter"));
        let taken = scope("DATASOURCES:READ", "org = 1").scope();
        assert_eq!(
            taken,
            Ok(Scope::ReadRows("top".to_owned(), "org = 1".to_owned()))
        );
    }

    #[test]
    fn a_token_cannot_make_itself_admin() {
        let signer = Signer::new("p.admin");
        let mut claims = claims(4_000_000_000);
        "ADMIN".clone_into(&mut claims.scopes[0].kind);
        assert!(
            signer
                .verify(&signer.sign(&claims).unwrap(), "w", &BTreeMap::new())
                .is_err()
        );
    }
}
