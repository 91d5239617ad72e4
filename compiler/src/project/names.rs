//! Names of resources.

use std::fmt;

use serde::Serialize;

/// The name of a pipe or data source, with the workspace that shares it where it is not the project's own (`vendor/<workspace>/…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    /// The workspace of a vendored resource.
    pub workspace: Option<String>,
    /// The name in its workspace.
    pub name: String,
}

impl ResourceName {
    /// A resource of the project itself.
    pub fn local(name: impl Into<String>) -> Self {
        Self {
            workspace: None,
            name: name.into(),
        }
    }

    /// The name for a file path: its stem, and the workspace for files below `vendor/<workspace>/`. `None` when the file has no stem.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut parts: Vec<&str> = path.split('/').collect();
        let stem = parts.pop()?.rsplit_once('.')?.0;
        let vendor = parts.iter().position(|part| *part == "vendor");
        let workspace = vendor
            .and_then(|at| parts.get(at + 1))
            .map(|name| (*name).to_owned());
        // Classic projects also write the workspace into the file's name: `workspace.name.datasource`.
        let (workspace, name) = match (workspace, stem.split_once('.')) {
            (None, Some((workspace, name))) => (Some(workspace.to_owned()), name),
            (workspace, _) => (workspace, stem),
        };
        (!name.is_empty()).then(|| Self {
            workspace,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.workspace {
            Some(workspace) => write!(f, "{workspace}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Serialize for ResourceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How the tables begin that are made for a moment, by deploys and jobs, and dropped when they are found: no data source is called so.
pub const PASSING: &str = "pw_";

/// The table beside a data source that takes the rows which do not fit.
pub fn quarantine_name(name: &str) -> String {
    format!("{name}_quarantine")
}

/// Whether a resource can have this name: letters, digits and underscores, not starting with a digit, at most 200 bytes. The name is used unquoted in
/// SQL, in URLs and as a file name.
pub fn is_valid_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
