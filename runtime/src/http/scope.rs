//! What a token may do, in the spellings of the API.

use serde_json::{Map, Value, json};

/// One thing that a token may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Manage tokens.
    Tokens,
    /// Create and change pipes.
    CreatePipes,
    /// Read a pipe.
    ReadPipe(String),
    /// Delete a pipe.
    DropPipe(String),
    /// Create data sources.
    CreateDatasources,
    /// Read a data source.
    ReadDatasource(String),
    /// Read the rows of a data source that an SQL filter lets through.
    ReadRows(String, String),
    /// Add rows to a data source.
    AppendDatasource(String),
    /// Delete a data source.
    DropDatasource(String),
    /// The older name of [`Scope::CreateDatasources`], which deletes nodes as well.
    Import,
}

impl Scope {
    /// Reads a scope as requests write it, `TYPE` or `TYPE:resource`, also in the API document's spellings. `DROP:name` drops whatever has that name.
    pub fn parse(text: &str) -> Option<Vec<Self>> {
        let mut parts = text.splitn(3, ':');
        let kind = parts.next().unwrap_or("").trim().to_ascii_uppercase();
        let (second, rest) = (parts.next().map(str::trim), parts.next());
        let filter = || {
            rest.and_then(|rest| rest.split_once(':'))
                .map(|(_, filter)| filter.to_owned())
                .filter(|filter| !filter.trim().is_empty())
        };
        let resource = || {
            rest.map(|rest| rest.split(':').next().unwrap_or("").trim().to_owned())
                .filter(|name| !name.is_empty())
        };
        match (
            kind.as_str(),
            second.map(str::to_ascii_uppercase).as_deref(),
        ) {
            ("DROP", Some(_)) => second
                .filter(|name| !name.is_empty() && rest.is_none())
                .map(|name| {
                    vec![
                        Self::DropPipe(name.to_owned()),
                        Self::DropDatasource(name.to_owned()),
                    ]
                }),
            ("PIPE" | "PIPES", Some(action)) => {
                Self::new(&format!("PIPES:{action}"), resource(), filter()).map(|scope| vec![scope])
            }
            ("DATASOURCE" | "DATASOURCES", Some(action)) => {
                Self::new(&format!("DATASOURCES:{action}"), resource(), filter())
                    .map(|scope| vec![scope])
            }
            (kind, None) => Self::new(kind, None, None).map(|scope| vec![scope]),
            _ => None,
        }
    }

    fn new(kind: &str, resource: Option<String>, filter: Option<String>) -> Option<Self> {
        Some(match (kind, resource, filter) {
            ("ADMIN", None, None) => Self::Admin,
            ("TOKENS", None, None) => Self::Tokens,
            ("IMPORT", None, None) => Self::Import,
            ("PIPES:CREATE", None, None) => Self::CreatePipes,
            ("PIPES:READ", Some(name), None) => Self::ReadPipe(name),
            ("PIPES:DROP", Some(name), None) => Self::DropPipe(name),
            ("DATASOURCES:CREATE", None, None) => Self::CreateDatasources,
            ("DATASOURCES:READ", Some(name), None) => Self::ReadDatasource(name),
            ("DATASOURCES:READ", Some(name), Some(filter)) => Self::ReadRows(name, filter),
            ("DATASOURCES:APPEND", Some(name), None) => Self::AppendDatasource(name),
            ("DATASOURCES:DROP", Some(name), None) => Self::DropDatasource(name),
            _ => return None,
        })
    }

    /// Reads the scopes of a stored token: a list of `{"type": …, "resource": …, "filter": …}`. What this version does not know gives nothing.
    pub fn from_json(scopes: &Value) -> Vec<Self> {
        scopes
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(Self::from_entry)
            .collect()
    }

    /// Reads one entry of a request. A restriction that is not understood is no reason to give more than was asked for.
    pub(crate) fn asked(entry: &Value) -> Result<Self, String> {
        let no_scope = || format!("`{entry}` is no scope");
        let members = entry.as_object().ok_or_else(no_scope)?;
        for (name, value) in members {
            match (name.as_str(), value) {
                ("type" | "resource", Value::String(_)) | ("resource" | "filter", Value::Null) => {}
                ("filter", Value::String(filter)) if !filter.trim().is_empty() => {}
                ("filter", _) => {
                    return Err("`filter` is a condition over the columns, as text".to_owned());
                }
                ("fixed_params", _) => {
                    return Err(
                        "`fixed_params` are for tokens with an `expiration_time`".to_owned()
                    );
                }
                _ => return Err(format!("`{name}` of a scope is not understood")),
            }
        }
        Self::from_entry(entry).ok_or_else(no_scope)
    }

    /// Reads one entry.
    pub fn from_entry(entry: &Value) -> Option<Self> {
        let text = |key: &str| {
            entry[key]
                .as_str()
                .map(ToOwned::to_owned)
                .filter(|text| !text.trim().is_empty())
        };
        let kind = entry["type"]
            .as_str()?
            .to_ascii_uppercase()
            .replace("PIPE:", "PIPES:")
            .replace("DATASOURCE:", "DATASOURCES:");
        Self::new(&kind, text("resource"), text("filter"))
    }

    /// The scope's type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Tokens => "TOKENS",
            Self::Import => "IMPORT",
            Self::CreatePipes => "PIPES:CREATE",
            Self::ReadPipe(_) => "PIPES:READ",
            Self::DropPipe(_) => "PIPES:DROP",
            Self::CreateDatasources => "DATASOURCES:CREATE",
            Self::ReadDatasource(_) | Self::ReadRows(..) => "DATASOURCES:READ",
            Self::AppendDatasource(_) => "DATASOURCES:APPEND",
            Self::DropDatasource(_) => "DATASOURCES:DROP",
        }
    }

    /// What it is about, where it is about one resource.
    pub fn resource(&self) -> Option<&str> {
        match self {
            Self::ReadPipe(name)
            | Self::DropPipe(name)
            | Self::ReadDatasource(name)
            | Self::ReadRows(name, _)
            | Self::AppendDatasource(name)
            | Self::DropDatasource(name) => Some(name),
            Self::Admin
            | Self::Tokens
            | Self::Import
            | Self::CreatePipes
            | Self::CreateDatasources => None,
        }
    }

    /// The scope as it is stored and shown.
    pub fn to_json(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("type".to_owned(), self.kind().into());
        if let Some(resource) = self.resource() {
            entry.insert("resource".to_owned(), resource.into());
        }
        if let Self::ReadRows(_, filter) = self {
            entry.insert("filter".to_owned(), json!(filter));
        }
        entry.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Scope {
        let mut scopes = Scope::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(scopes.len(), 1);
        scopes.remove(0)
    }

    #[test]
    fn every_spelling_is_read() {
        assert_eq!(one("ADMIN"), Scope::Admin);
        assert_eq!(
            (one("PIPE:CREATE"), one("PIPES:CREATE")),
            (Scope::CreatePipes, Scope::CreatePipes)
        );
        assert_eq!(
            (one("PIPE:READ:a"), one("PIPES:DROP:a")),
            (
                Scope::ReadPipe("a".to_owned()),
                Scope::DropPipe("a".to_owned())
            )
        );
        assert_eq!(
            Scope::parse("DROP:a").unwrap(),
            [
                Scope::DropPipe("a".to_owned()),
                Scope::DropDatasource("a".to_owned())
            ]
        );
        assert_eq!(one("IMPORT"), Scope::Import);
        assert_eq!(
            one("DATASOURCES:READ:t:a = 'x:y'"),
            Scope::ReadRows("t".to_owned(), "a = 'x:y'".to_owned())
        );
        assert_eq!(
            one("DATASOURCE:APPEND:t"),
            Scope::AppendDatasource("t".to_owned())
        );
        for bad in [
            "",
            "PIPES",
            "PIPES:READ",
            "PIPES:CREATE:a",
            "PIPES:READ:a:1=1",
            "ADMIN:x",
            "DROP",
            "DROP:",
            "OTHER:READ:x",
        ] {
            assert_eq!(Scope::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn scopes_come_back_from_the_store() {
        for text in [
            "ADMIN",
            "TOKENS",
            "IMPORT",
            "PIPES:CREATE",
            "PIPES:READ:a",
            "PIPES:DROP:a",
            "DATASOURCES:CREATE",
            "DATASOURCES:READ:t",
            "DATASOURCES:READ:t:x = 1",
            "DATASOURCES:APPEND:t",
            "DATASOURCES:DROP:t",
        ] {
            assert_eq!(
                Scope::from_entry(&one(text).to_json()),
                Some(one(text)),
                "{text}"
            );
        }
    }
}
