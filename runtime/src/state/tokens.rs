//! Access tokens.
//!
//! A token is found by the hash of its secret under a key of this workspace. The secret itself is kept encrypted under a
//! key that is not in the state file, so that the file alone gives nobody access, and nobody can look a hash up in a table
//! made elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, params};
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::{State, StateError, aside, now, random};

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
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// Its secret.
    pub secret: SecretString,
}

/// What became of the tokens that files declare.
#[derive(Debug, Default)]
pub struct Declared {
    /// Those that were not there.
    pub made: Vec<NewToken>,
    /// Whether others may do something else now.
    pub changed: bool,
}

/// The admin token of the workspace.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// The token.
    pub token: Token,
    /// The secret, if the token was made just now.
    pub secret: Option<SecretString>,
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
        Ok(NewToken {
            token,
            secret: secret.into(),
        })
    }

    /// Makes a token that goes with [`Tokens::forget_guests`].
    pub fn create_guest(&self, name: &str, scopes: &Value) -> Result<NewToken, StateError> {
        let made = self.create(name, scopes)?;
        self.state.execute(
            "UPDATE tokens SET guest = 1 WHERE id = ?1",
            [&made.token.id],
        )?;
        Ok(made)
    }

    /// Deletes the tokens that were made for guests.
    pub fn forget_guests(&self) -> Result<(), StateError> {
        self.state
            .execute("DELETE FROM tokens WHERE guest = 1", [])?;
        Ok(())
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

    /// How many there are.
    pub fn count(&self) -> Result<usize, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached("SELECT count(*) FROM tokens")?;
        let count: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
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
            Some((found, kept)) if kept.as_slice().ct_eq(&hash).into() => token(found).map(Some),
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
        self.state.hasher.clone()
    }

    /// Gives tokens the scopes that the files of the project declare for them, by name, and takes back what files declared before and no longer do. What a
    /// token may do beside is left alone. Of the admin token nothing is changed: files cannot name it.
    pub fn declare(&self, declared: &BTreeMap<String, Vec<Value>>) -> Result<Declared, StateError> {
        let mut known = BTreeSet::new();
        let mut changed = false;
        {
            let mut connection = self.state.connection();
            let transaction = connection.transaction()?;
            for (id, name, scopes, before) in declarations(&transaction)? {
                let wanted = match declared.get(&name) {
                    Some(wanted) if name != ADMIN => wanted.as_slice(),
                    _ => &[],
                };
                known.insert(name);
                if before == wanted {
                    continue;
                }
                let mut scopes: Vec<Value> = scopes
                    .into_iter()
                    .filter(|scope| !before.contains(scope) && !wanted.contains(scope))
                    .collect();
                scopes.extend_from_slice(wanted);
                transaction.execute(
                    "UPDATE tokens SET scopes = ?1, declared = ?2 WHERE id = ?3",
                    params![
                        Value::from(scopes).to_string(),
                        Value::from(wanted).to_string(),
                        id
                    ],
                )?;
                changed = true;
            }
            aside(|| transaction.commit())?;
        }
        let mut made = Vec::new();
        for (name, scopes) in declared
            .iter()
            .filter(|(name, _)| !known.contains(*name) && *name != ADMIN)
        {
            let scopes = Value::from(scopes.as_slice());
            let new = self.create(name, &scopes)?;
            self.state.execute(
                "UPDATE tokens SET declared = ?1 WHERE id = ?2",
                params![scopes.to_string(), new.token.id],
            )?;
            made.push(new);
        }
        Ok(Declared { made, changed })
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

    /// Changes what a token may do, and what it is for; what is not given stays as it is, also as somebody else changes it just now.
    pub fn update(
        &self,
        id: &str,
        scopes: Option<&Value>,
        description: Option<&str>,
    ) -> Result<(), StateError> {
        self.state.execute(
            "UPDATE tokens SET scopes = coalesce(?1, scopes), description = coalesce(?2, description) WHERE id = ?3",
            params![scopes.map(Value::to_string), description, id],
        )?;
        Ok(())
    }

    fn set_secret(self, id: &str, secret: &str) -> Result<(), StateError> {
        let (hash, sealed) = (self.hash(secret), self.state.sealer.seal(secret, id)?);
        self.state.execute(
            "UPDATE tokens SET secret_hash = ?1, sealed = ?2 WHERE id = ?3",
            params![hash.as_slice(), sealed, id],
        )?;
        Ok(())
    }

    /// Deletes the token with this name; false if there is none.
    pub fn delete(&self, name: &str) -> Result<bool, StateError> {
        let deleted = self
            .state
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
                    secret: Some(secret.into()),
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
        let inserted = self.state.execute(
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
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

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

pub(super) type Declaration = (String, String, Vec<Value>, Vec<Value>);

/// Id, name, scopes and declared scopes of every token.
pub(super) fn declarations(
    connection: &rusqlite::Connection,
) -> Result<Vec<Declaration>, StateError> {
    let mut statement =
        connection.prepare_cached("SELECT id, name, scopes, declared FROM tokens")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
        ))
    })?;
    rows.map(|row| {
        let (id, name, scopes, declared) = row?;
        Ok((
            id,
            name,
            serde_json::from_str(&scopes)?,
            serde_json::from_str(&declared)?,
        ))
    })
    .collect()
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_files_declare_comes_and_goes_and_the_rest_stays() {
        let state = State::in_memory().unwrap();
        let tokens = state.tokens();
        tokens.ensure_admin(Some("secret")).unwrap();
        let read = |pipe: &str| json!({"type": "PIPES:READ", "resource": pipe});
        tokens.create("own", &json!([read("a")])).unwrap();
        let declare = |all: &[(&str, &[Value])]| {
            let all = all
                .iter()
                .map(|(name, scopes)| ((*name).to_owned(), scopes.to_vec()));
            tokens.declare(&all.collect()).unwrap()
        };
        let scopes = |name: &str| tokens.find(name).unwrap().unwrap().scopes;

        let first = declare(&[
            ("own", &[read("b")]),
            ("new", &[read("b")]),
            ("admin token", &[read("b")]),
        ]);
        assert!(first.changed);
        assert_eq!(first.made.len(), 1);
        assert_eq!(scopes("own"), json!([read("a"), read("b")]));
        assert_eq!(scopes("new"), json!([read("b")]));
        assert_eq!(scopes("admin token"), json!([{"type": "ADMIN"}]));

        let again = declare(&[("own", &[read("b")]), ("new", &[read("b")])]);
        assert!(!again.changed && again.made.is_empty());

        assert!(declare(&[("new", &[read("c")])]).changed);
        assert_eq!(scopes("own"), json!([read("a")]));
        assert_eq!(scopes("new"), json!([read("c")]));
        assert!(declare(&[]).changed);
        assert_eq!(scopes("new"), json!([]));
    }

    #[test]
    fn a_token_is_found_by_its_secret_alone() {
        let state = State::in_memory().unwrap();
        let scopes = json!([{"type": "PIPES:READ", "resource": "top_pages"}]);
        let made = state.tokens().create("dashboard", &scopes).unwrap();
        let secret = made.secret.expose_secret();
        assert_eq!(
            state.tokens().find_by_secret(secret).unwrap(),
            Some(made.token.clone())
        );
        assert_eq!(made.token.scopes, scopes);
        for wrong in ["", "p.", &secret[..44], &made.token.id] {
            assert_eq!(
                state.tokens().find_by_secret(wrong).unwrap(),
                None,
                "{wrong}"
            );
        }
        assert!(state.tokens().delete("dashboard").unwrap());
        assert_eq!(state.tokens().find_by_secret(secret).unwrap(), None);
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
        assert!(second.token == first.token && second.secret.is_none());
        assert_eq!(
            state
                .tokens()
                .find_by_secret(secret.expose_secret())
                .unwrap(),
            Some(first.token)
        );
    }

    #[test]
    fn a_given_admin_token_replaces_the_one_before() {
        let state = State::in_memory().unwrap();
        let before = state.tokens().ensure_admin(None).unwrap().secret.unwrap();
        state.tokens().ensure_admin(Some("mine")).unwrap();
        assert!(state.tokens().find_by_secret("mine").unwrap().is_some());
        assert_eq!(
            state
                .tokens()
                .find_by_secret(before.expose_secret())
                .unwrap(),
            None
        );
    }

    #[test]
    fn secrets_are_nowhere_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        let secret = state.tokens().create("a", &json!([])).unwrap().secret;
        let secret = secret.expose_secret();
        drop(state);
        let bytes = std::fs::read(&path).unwrap();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        );
    }
}
