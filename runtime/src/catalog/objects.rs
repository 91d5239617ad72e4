//! Ids and times of pipes, nodes and data sources: given when a resource is first seen, kept when it is renamed.

use std::collections::{BTreeMap, HashMap};

use base16ct::lower::encode_string;
use pipewright_compiler::project::{Pipe, Project};
use sha2::{Digest, Sha256};

use super::time::{format_micros, now_micros};
use crate::state::{ObjectKind, StoredObject};

/// A resource's place: its kind, the name of its pipe where it is a node, and its name.
pub(super) type Key = (ObjectKind, String, String);

/// A resource's id and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `t_` and 32 hexadecimal digits.
    pub id: String,
    digest: String,
    created_at: i64,
    updated_at: i64,
}

impl Object {
    /// When it was first seen.
    pub fn created_at(&self) -> String {
        format_micros(self.created_at)
    }

    /// When its definition last changed.
    pub fn updated_at(&self) -> String {
        format_micros(self.updated_at)
    }
}

/// The ids of everything in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    by_key: BTreeMap<Key, Object>,
    by_id: HashMap<String, Key>,
    /// Names with a `VERSION`, which a Classic push gives, and the names here.
    versioned: BTreeMap<(ObjectKind, String), String>,
}

/// A resource that is renamed and stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    /// A pipe.
    Pipe {
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
    /// A node of a pipe, by the pipe's name after the change.
    Node {
        /// The pipe.
        pipe: String,
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
    /// A data source.
    Datasource {
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
}

impl Objects {
    /// The pipe of that name.
    pub fn pipe(&self, name: &str) -> Option<&Object> {
        self.object(ObjectKind::Pipe, "", name)
    }

    /// The data source of that name.
    pub fn datasource(&self, name: &str) -> Option<&Object> {
        self.object(ObjectKind::Datasource, "", name)
    }

    /// The node of that name in that pipe.
    pub fn node(&self, pipe: &str, name: &str) -> Option<&Object> {
        self.object(ObjectKind::Node, pipe, name)
    }

    fn object(&self, kind: ObjectKind, parent: &str, name: &str) -> Option<&Object> {
        self.by_key.get(&(kind, parent.to_owned(), name.to_owned()))
    }

    /// The name of the pipe that a reference means: a name, an id, or an id with a telling prefix (`t_orders.<32 digits>`).
    pub fn pipe_name<'a>(&'a self, reference: &'a str) -> Option<&'a str> {
        self.name_of(ObjectKind::Pipe, "", reference)
    }

    /// The name of the data source that a reference means.
    pub fn datasource_name<'a>(&'a self, reference: &'a str) -> Option<&'a str> {
        self.name_of(ObjectKind::Datasource, "", reference)
    }

    /// The name of the node of a pipe that a reference means.
    pub fn node_name<'a>(&'a self, pipe: &str, reference: &'a str) -> Option<&'a str> {
        self.name_of(ObjectKind::Node, pipe, reference)
    }

    fn name_of<'a>(
        &'a self,
        kind: ObjectKind,
        parent: &str,
        reference: &'a str,
    ) -> Option<&'a str> {
        if self.object(kind, parent, reference).is_some() {
            return Some(reference);
        }
        if parent.is_empty()
            && let Some(name) = self.versioned.get(&(kind, reference.to_owned()))
        {
            return Some(name);
        }
        let id = match reference.rsplit_once('.') {
            Some((_, digits)) if digits.starts_with("t_") => digits.to_owned(),
            Some((_, digits)) => format!("t_{digits}"),
            None => reference.to_owned(),
        };
        let (found, found_parent, name) = self.by_id.get(&id)?;
        (*found == kind && found_parent == parent).then_some(name.as_str())
    }

    /// What was kept of an earlier run.
    pub(super) fn restore(stored: Vec<StoredObject>) -> Self {
        let pipes: HashMap<String, String> = stored
            .iter()
            .filter(|object| object.kind == ObjectKind::Pipe)
            .map(|object| (object.id.clone(), object.name.clone()))
            .collect();
        let mut objects = Self::default();
        for object in stored {
            let parent = if object.kind == ObjectKind::Node {
                let Some(pipe) = pipes.get(&object.parent) else {
                    continue;
                };
                pipe.clone()
            } else {
                String::new()
            };
            let kept = Object {
                id: object.id,
                digest: object.digest,
                created_at: object.created_at,
                updated_at: object.updated_at,
            };
            objects.put((object.kind, parent, object.name), kept);
        }
        objects
    }

    fn put(&mut self, key: Key, object: Object) {
        self.by_id.insert(object.id.clone(), key.clone());
        self.by_key.insert(key, object);
    }

    /// The same resources under their new names.
    fn renamed(&self, renames: &[Rename]) -> Self {
        let mut out = Self::default();
        for (key, object) in &self.by_key {
            let (kind, mut parent, mut name) = key.clone();
            for rename in renames {
                match (rename, kind) {
                    (Rename::Pipe { from, to }, ObjectKind::Pipe)
                    | (Rename::Datasource { from, to }, ObjectKind::Datasource)
                        if *from == name =>
                    {
                        name.clone_from(to);
                    }
                    (Rename::Pipe { from, to }, ObjectKind::Node) if *from == parent => {
                        parent.clone_from(to);
                    }
                    (Rename::Node { pipe, from, to }, ObjectKind::Node)
                        if *pipe == parent && *from == name =>
                    {
                        name.clone_from(to);
                    }
                    _ => {}
                }
            }
            out.put((kind, parent, name), object.clone());
        }
        out
    }

    /// The objects of a project: known ones keep their ids, new ones get one, changed ones a new time.
    pub(super) fn of_project(
        &self,
        project: &Project,
        renames: &[Rename],
    ) -> std::io::Result<Self> {
        let (known, now) = (self.renamed(renames), now_micros());
        let mut out = Self::default();
        let mut versioned = BTreeMap::new();
        let mut take = |key: Key, digest: String| -> std::io::Result<()> {
            let object = match known.by_key.get(&key) {
                Some(object) if object.digest == digest && self.by_key.contains_key(&key) => {
                    object.clone()
                }
                Some(object) => Object {
                    digest,
                    updated_at: now.max(object.updated_at + 1),
                    ..object.clone()
                },
                None => Object {
                    id: new_id()?,
                    digest,
                    created_at: now,
                    updated_at: now,
                },
            };
            out.put(key, object);
            Ok(())
        };
        for pipe in project
            .pipes
            .values()
            .filter(|pipe| pipe.name.workspace.is_none())
        {
            let name = pipe.name.name.clone();
            if let Some(version) = pipe.version {
                let key = (ObjectKind::Pipe, format!("{name}__v{version}"));
                versioned.insert(key, name.clone());
            }
            take(
                (ObjectKind::Pipe, String::new(), name.clone()),
                pipe_digest(project, pipe),
            )?;
            for node in &pipe.nodes {
                take(
                    (ObjectKind::Node, name.clone(), node.name.value.clone()),
                    digest([
                        project.sources.slice(node.span),
                        project.sources.slice(node.body.span),
                    ]),
                )?;
            }
        }
        for datasource in project
            .datasources
            .values()
            .filter(|datasource| datasource.name.workspace.is_none())
        {
            let text = project.sources[datasource.span.source].text();
            if let Some(version) = datasource.version() {
                let name = datasource.name.name.clone();
                let key = (ObjectKind::Datasource, format!("{name}__v{version}"));
                versioned.insert(key, name);
            }
            take(
                (
                    ObjectKind::Datasource,
                    String::new(),
                    datasource.name.name.clone(),
                ),
                digest([text]),
            )?;
        }
        out.versioned = versioned;
        Ok(out)
    }

    /// What has to be written so that `before` becomes this: (new or changed, gone).
    pub(super) fn difference(&self, before: &Self) -> (Vec<StoredObject>, Vec<String>) {
        let changed = self
            .by_key
            .iter()
            .filter(|(key, object)| before.by_key.get(*key) != Some(*object));
        let stored = changed.map(|((kind, parent, name), object)| StoredObject {
            id: object.id.clone(),
            kind: *kind,
            // A node is kept under its pipe's id, which a rename does not change.
            parent: if parent.is_empty() {
                String::new()
            } else {
                self.pipe(parent)
                    .map_or_else(String::new, |pipe| pipe.id.clone())
            },
            name: name.clone(),
            digest: object.digest.clone(),
            created_at: object.created_at,
            updated_at: object.updated_at,
        });
        let mut removed: Vec<String> = before
            .by_id
            .keys()
            .filter(|id| !self.by_id.contains_key(*id))
            .cloned()
            .collect();
        removed.sort();
        (stored.collect(), removed)
    }
}

fn pipe_digest(project: &Project, pipe: &Pipe) -> String {
    let file = project.sources[pipe.span.source].text();
    digest(
        std::iter::once(file).chain(
            pipe.nodes
                .iter()
                .map(|node| project.sources.slice(node.body.span)),
        ),
    )
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    encode_string(&hash.finalize()[..16])
}

/// A random id.
fn new_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(format!("t_{}", encode_string(&bytes)))
}

#[cfg(test)]
mod tests {
    use pipewright_compiler::project::{SourceTree, load};

    use super::*;

    fn project(files: &[(&str, &str)]) -> Project {
        load(SourceTree::new(files.iter().map(|(path, text)| {
            ((*path).to_owned(), (*text).to_owned())
        })))
        .0
    }

    #[test]
    fn ids_survive_a_rename_and_an_edit() {
        let before = project(&[("a.pipe", "NODE one\nSQL >\n    SELECT 1\n")]);
        let first = Objects::default().of_project(&before, &[]).unwrap();
        let (pipe, node) = (
            first.pipe("a").unwrap().id.clone(),
            first.node("a", "one").unwrap().id.clone(),
        );
        let after = project(&[("b.pipe", "NODE two\nSQL >\n    SELECT 2\n")]);
        let renames = [
            Rename::Pipe {
                from: "a".to_owned(),
                to: "b".to_owned(),
            },
            Rename::Node {
                pipe: "b".to_owned(),
                from: "one".to_owned(),
                to: "two".to_owned(),
            },
        ];
        let second = first.of_project(&after, &renames).unwrap();
        assert_eq!(
            (
                &second.pipe("b").unwrap().id,
                &second.node("b", "two").unwrap().id
            ),
            (&pipe, &node)
        );
        assert!(second.pipe("b").unwrap().updated_at > first.pipe("a").unwrap().updated_at);
        let (stored, removed) = second.difference(&first);
        assert_eq!((stored.len(), removed.len()), (2, 0));
        assert_eq!(Objects::restore(stored), second);
    }

    #[test]
    fn a_reference_is_a_name_an_id_or_an_id_with_a_prefix() {
        let objects = Objects::default()
            .of_project(
                &project(&[("a.pipe", "NODE one\nSQL >\n    SELECT 1\n")]),
                &[],
            )
            .unwrap();
        let id = objects.pipe("a").unwrap().id.clone();
        assert!(
            id.len() == 34
                && id.starts_with("t_")
                && id[2..].bytes().all(|byte| byte.is_ascii_hexdigit())
        );
        for reference in [
            "a",
            &id,
            &format!("t_my_pipe.{}", &id[2..]),
            &format!("my.{id}"),
        ] {
            assert_eq!(objects.pipe_name(reference), Some("a"), "{reference}");
        }
        assert_eq!(
            objects.pipe_name(&objects.node("a", "one").unwrap().id.clone()),
            None
        );
        assert_eq!(
            objects.pipe_name("t_00000000000000000000000000000000"),
            None
        );
    }
}
