//! Access tokens.
//!
//! A token is found by the hash of its secret under a key of this workspace. The secret itself is kept encrypted under a
//! key that is not in the state file, so that the file alone gives nobody access, and nobody can look a hash up in a table
//! made elsewhere.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{State, StateError, now, random};

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The token's id, a UUID.
    pub id: String,
    /// The token's name, unique in the workspace.
    pub name: String,
    /// What it may do, in the shape the HTTP layer gave it.
    pub scopes: Value,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// What it is for.
    pub description: String,
}

/// A token just made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// Its secret.
    pub secret: String,
}

/// The admin token of the workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminToken {
    /// The token.
    pub token: Token,
    /// The secret, if the token was made just now.
    pub secret: Option<String>,
}

/// The name of the token that may do everything.
const ADMIN: &str = "admin token";

/// The access tokens of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'state> {
    state: &'state State,
}

impl<'state> Tokens<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// Makes a token with a random secret.
    pub fn create(&self, name: &str, scopes: &Value) -> Result<NewToken, StateError> {
        let secret = random::secret()?;
        let token = self.insert(name, &secret, scopes)?;
        Ok(NewToken { token, secret })
    }

    /// All tokens, by name.
    pub fn list(&self) -> Result<Vec<Token>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(
            "SELECT id, name, scopes, created_at, description FROM tokens ORDER BY name",
        )?;
        let rows = statement.query_map([], stored)?;
        rows.map(|row| row.map_err(StateError::from).and_then(token))
            .collect()
    }

    /// The token with this secret.
    pub fn find_by_secret(&self, secret: &str) -> Result<Option<Token>, StateError> {
        let hash = self.hash(secret);
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(
            "SELECT id, name, scopes, created_at, description, secret_hash FROM tokens WHERE secret_hash = ?1",
        )?;
        let found = statement
            .query_row([hash.as_slice()], |row| {
                Ok((stored(row)?, row.get::<_, Vec<u8>>(5)?))
            })
            .optional()?;
        match found {
            Some((found, kept)) if equal(&kept, &hash) => token(found).map(Some),
            _ => Ok(None),
        }
    }

    /// All tokens with the hashes of their secrets, for a look-up in memory on the way of each request.
    pub fn hashed(&self) -> Result<Vec<([u8; 32], Token)>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(
            "SELECT id, name, scopes, created_at, description, secret_hash FROM tokens ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| Ok((stored(row)?, row.get::<_, [u8; 32]>(5)?)))?;
        rows.map(|row| {
            let (found, hash) = row?;
            Ok((hash, token(found)?))
        })
        .collect()
    }

    /// How secrets of this workspace are hashed.
    pub fn hasher(&self) -> SecretHasher {
        SecretHasher(self.state.key)
    }

    /// Sees to it that there is a token of this name with these scopes; a new one comes with its secret.
    pub fn ensure(&self, name: &str, scopes: &Value) -> Result<Option<NewToken>, StateError> {
        let updated = self.state.connection().execute(
            "UPDATE tokens SET scopes = ?1 WHERE name = ?2",
            params![scopes.to_string(), name],
        )?;
        if updated > 0 {
            return Ok(None);
        }
        self.create(name, scopes).map(Some)
    }

    /// The token with this name.
    pub fn find(&self, name: &str) -> Result<Option<Token>, StateError> {
        Ok(self.list()?.into_iter().find(|token| token.name == name))
    }

    /// The secret of the token with this id, if it was kept and can be read.
    pub fn secret(&self, id: &str) -> Result<Option<String>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached("SELECT sealed FROM tokens WHERE id = ?1")?;
        let sealed = statement
            .query_row([id], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()?
            .flatten();
        Ok(sealed.and_then(|sealed| self.state.sealer.unseal(&sealed, id)))
    }

    /// The secret of the admin token, under which JWTs are signed.
    pub fn admin_secret(&self) -> Result<Option<String>, StateError> {
        match self.find(ADMIN)? {
            Some(token) => self.secret(&token.id),
            None => Ok(None),
        }
    }

    /// Whether this is the workspace's own admin token.
    pub fn is_admin(self, token: &Token) -> bool {
        token.name == ADMIN
    }

    /// Gives a token another secret; the one before is worth nothing from now on.
    pub fn refresh(&self, token: &Token) -> Result<String, StateError> {
        let secret = random::secret()?;
        self.set_secret(&token.id, &secret)?;
        Ok(secret)
    }

    /// Changes what a token may do and what it is for.
    pub fn update(&self, id: &str, scopes: &Value, description: &str) -> Result<(), StateError> {
        self.state.connection().execute(
            "UPDATE tokens SET scopes = ?1, description = ?2 WHERE id = ?3",
            params![scopes.to_string(), description, id],
        )?;
        Ok(())
    }

    /// Changes the scopes of every token at once; `change` says which are changed.
    pub fn change_scopes(&self, change: impl Fn(&mut Value) -> bool) -> Result<(), StateError> {
        let tokens = self.list()?;
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        for mut token in tokens {
            if change(&mut token.scopes) {
                transaction.execute(
                    "UPDATE tokens SET scopes = ?1 WHERE id = ?2",
                    params![token.scopes.to_string(), token.id],
                )?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn set_secret(self, id: &str, secret: &str) -> Result<(), StateError> {
        let (hash, sealed) = (self.hash(secret), self.state.sealer.seal(secret, id)?);
        self.state.connection().execute(
            "UPDATE tokens SET secret_hash = ?1, sealed = ?2 WHERE id = ?3",
            params![hash.as_slice(), sealed, id],
        )?;
        Ok(())
    }

    /// Deletes the token with this name; false if there is none.
    pub fn delete(&self, name: &str) -> Result<bool, StateError> {
        let deleted = self
            .state
            .connection()
            .execute("DELETE FROM tokens WHERE name = ?1", [name])?;
        Ok(deleted > 0)
    }

    /// Sees to it that there is an admin token: with the secret `given`, or with a random one made the first time.
    pub fn ensure_admin(&self, given: Option<&str>) -> Result<AdminToken, StateError> {
        let existing = self.list()?.into_iter().find(|token| token.name == ADMIN);
        match (existing, given) {
            (Some(token), None) => Ok(AdminToken {
                token,
                secret: None,
            }),
            (Some(token), Some(secret)) => {
                self.set_secret(&token.id, secret)?;
                Ok(AdminToken {
                    token,
                    secret: None,
                })
            }
            (None, given) => {
                let secret = given.map_or_else(random::secret, |given| Ok(given.to_owned()))?;
                let token = self.insert(ADMIN, &secret, &serde_json::json!([{"type": "ADMIN"}]))?;
                Ok(AdminToken {
                    token,
                    secret: Some(secret),
                })
            }
        }
    }

    fn insert(self, name: &str, secret: &str, scopes: &Value) -> Result<Token, StateError> {
        let token = Token {
            id: random::uuid()?,
            name: name.to_owned(),
            scopes: scopes.clone(),
            created_at: now(),
            description: String::new(),
        };
        let (hash, sealed) = (
            self.hash(secret),
            self.state.sealer.seal(secret, &token.id)?,
        );
        let inserted = self.state.connection().execute(
            "INSERT INTO tokens (id, name, secret_hash, scopes, created_at, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO NOTHING",
            params![token.id, token.name, hash.as_slice(), scopes.to_string(), token.created_at, sealed],
        )?;
        if inserted == 0 {
            return Err(StateError::TokenExists(name.to_owned()));
        }
        Ok(token)
    }

    fn hash(self, secret: &str) -> [u8; 32] {
        self.hasher().hash(secret)
    }
}

/// Hashes secrets under the key of a workspace.
#[derive(Clone)]
pub struct SecretHasher([u8; 32]);

impl SecretHasher {
    /// The hash under which a token with this secret is kept.
    pub fn hash(&self, secret: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(secret.as_bytes());
        hash.finalize().into()
    }
}

impl std::fmt::Debug for SecretHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHasher")
    }
}

type Stored = (String, String, String, i64, String);

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
    ))
}

fn token((id, name, scopes, created_at, description): Stored) -> Result<Token, StateError> {
    Ok(Token {
        id,
        name,
        scopes: serde_json::from_str(&scopes)?,
        created_at,
        description,
    })
}

/// Compares in a time that depends on the lengths alone.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_found_by_its_secret_alone() {
        let state = State::in_memory().unwrap();
        let scopes = json!([{"type": "PIPES:READ", "resource": "top_pages"}]);
        let made = state.tokens().create("dashboard", &scopes).unwrap();
        assert_eq!(
            state.tokens().find_by_secret(&made.secret).unwrap(),
            Some(made.token.clone())
        );
        assert_eq!(made.token.scopes, scopes);
        for wrong in ["", "p.", &made.secret[..44], &made.token.id] {
            assert_eq!(
                state.tokens().find_by_secret(wrong).unwrap(),
                None,
                "{wrong}"
            );
        }
        assert!(state.tokens().delete("dashboard").unwrap());
        assert_eq!(state.tokens().find_by_secret(&made.secret).unwrap(), None);
    }

    #[test]
    fn names_are_unique() {
        let state = State::in_memory().unwrap();
        state.tokens().create("b", &json!([])).unwrap();
        state.tokens().create("a", &json!([])).unwrap();
        let error = state.tokens().create("a", &json!([])).unwrap_err();
        assert_eq!(error.to_string(), "there is a token named `a` already");
        let names: Vec<String> = state
            .tokens()
            .list()
            .unwrap()
            .into_iter()
            .map(|token| token.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn the_admin_token_is_made_once_and_shown_once() {
        let state = State::in_memory().unwrap();
        let first = state.tokens().ensure_admin(None).unwrap();
        let secret = first.secret.expect("a new token shows its secret");
        let second = state.tokens().ensure_admin(None).unwrap();
        assert_eq!((second.token, second.secret), (first.token.clone(), None));
        assert_eq!(
            state.tokens().find_by_secret(&secret).unwrap(),
            Some(first.token)
        );
    }

    #[test]
    fn a_given_admin_token_replaces_the_one_before() {
        let state = State::in_memory().unwrap();
        let before = state.tokens().ensure_admin(None).unwrap().secret.unwrap();
        state.tokens().ensure_admin(Some("mine")).unwrap();
        assert!(state.tokens().find_by_secret("mine").unwrap().is_some());
        assert_eq!(state.tokens().find_by_secret(&before).unwrap(), None);
    }

    #[test]
    fn secrets_are_nowhere_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        let secret = state.tokens().create("a", &json!([])).unwrap().secret;
        drop(state);
        let bytes = std::fs::read(&path).unwrap();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        );
    }
}
