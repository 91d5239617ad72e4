//! Several projects in one folder: a repository with a project in each of its sub-folders.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::project::{FileKind, ResourceName, SourceTree};

/// Folders that divide a project by kind: the project is what contains them.
pub const KINDS: &[&str] = &[
    "connections",
    "copies",
    "datasources",
    "endpoints",
    "includes",
    "materializations",
    "pipes",
    "sinks",
    "tokens",
    "vendor",
];

/// Splits a tree into its projects. A tree is one project unless two files of different sub-folders claim one name: then each folder with data sources of
/// its own is a project, and folders without belong to the project around them.
pub fn projects(sources: &SourceTree) -> Vec<SourceTree> {
    let mut roots: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in sources.files() {
        roots
            .entry(root_of(file.name()))
            .or_default()
            .push(file.name());
    }
    let with_datasources: BTreeSet<&str> = roots
        .iter()
        .filter(|(_, files)| {
            files
                .iter()
                .any(|name| FileKind::of(name) == Some(FileKind::Datasource))
        })
        .map(|(root, _)| *root)
        .collect();
    let mut claims: BTreeMap<(Option<FileKind>, ResourceName), &str> = BTreeMap::new();
    let mut groups: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut clash = false;
    for file in sources.files() {
        let own = root_of(file.name());
        let root = ancestors(own)
            .find(|folder| with_datasources.contains(folder))
            .unwrap_or(own);
        groups
            .entry(root)
            .or_default()
            .push((file.name().to_owned(), file.text().to_owned()));
        let space = match FileKind::of(file.name()) {
            // They share one name space.
            Some(FileKind::Pipe | FileKind::Datasource) => None,
            Some(kind @ (FileKind::Connection | FileKind::Token)) => Some(kind),
            _ => continue,
        };
        if let Some(name) = ResourceName::of_path(file.name()) {
            clash |= *claims.entry((space, name)).or_insert(root) != root;
        }
    }
    if !clash {
        return vec![sources.clone()];
    }
    groups.into_values().map(SourceTree::new).collect()
}

/// The folder that holds all files of a project, as the folder around all projects names it.
pub fn folder_of(project: &SourceTree) -> &str {
    let roots = project.files().iter().map(|file| root_of(file.name()));
    roots.min_by_key(|root| root.len()).unwrap_or_default()
}

/// The folder of the project that a file belongs to: what contains the first folder that is named for a kind, else the file's own folder.
fn root_of(path: &str) -> &str {
    let mut at = 0;
    for part in path.split('/') {
        if KINDS.contains(&part) {
            return path[..at].trim_end_matches('/');
        }
        at += part.len() + 1;
    }
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A folder and the folders around it, inside out.
fn ancestors(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |folder| {
        (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(outer, _)| outer))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(paths: &[&str]) -> Vec<Vec<String>> {
        let tree = SourceTree::new(paths.iter().map(|path| ((*path).to_owned(), String::new())));
        let names = |tree: &SourceTree| {
            tree.files()
                .iter()
                .map(|file| file.name().to_owned())
                .collect()
        };
        projects(&tree).iter().map(names).collect()
    }

    #[test]
    fn folders_without_a_clash_are_one_project() {
        let paths = [
            "a/datasources/x.datasource",
            "b/datasources/y.datasource",
            "b/web/endpoints/z.pipe",
        ];
        assert_eq!(split(&paths), [paths.map(ToOwned::to_owned).to_vec()]);
    }

    #[test]
    fn folders_that_claim_one_name_are_projects_of_their_own() {
        let paths = [
            "a/datasources/x.datasource",
            "a/web/endpoints/e.pipe",
            "b/datasources/x.datasource",
            "b/pipes/p.pipe",
        ];
        assert_eq!(split(&paths), [paths[..2].to_vec(), paths[2..].to_vec()]);
        let paths = [
            "a/connections/kafka.connection",
            "a/datasources/x.datasource",
            "b/connections/kafka.connection",
            "b/datasources/y.datasource",
        ];
        assert_eq!(split(&paths), [paths[..2].to_vec(), paths[2..].to_vec()]);
    }

    #[test]
    fn two_files_of_one_name_in_one_project_stay_together() {
        let paths = ["datasources/x.datasource", "pipes/x.pipe"];
        assert_eq!(split(&paths).len(), 1);
    }
}
