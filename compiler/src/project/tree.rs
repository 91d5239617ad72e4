//! The files of a project as values: what the *read* stage hands over.

use std::ops::Index;

use pipewright_grammar::source::{SourceFile, SourceId, Span};

/// What a file is, from its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// `.pipe`
    Pipe,
    /// `.datasource`
    Datasource,
    /// `.incl`
    Include,
    /// `.connection`
    Connection,
    /// `.token`
    Token,
    /// `pipewright.toml`
    Config,
}

impl FileKind {
    /// The kind of the file at a path with `/`; `None` for files that are not part of a project.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name == "pipewright.toml" {
            return Some(Self::Config);
        }
        match name.rsplit_once('.')?.1 {
            "pipe" => Some(Self::Pipe),
            "datasource" => Some(Self::Datasource),
            "incl" => Some(Self::Include),
            "connection" => Some(Self::Connection),
            "token" => Some(Self::Token),
            _ => None,
        }
    }
}

/// The text of a project's files, each under its path relative to the project, with `/`.
#[derive(Debug, Clone, Default)]
pub struct SourceTree {
    files: Vec<SourceFile>,
}

impl SourceTree {
    /// Takes (path, text) pairs in any order; the tree is sorted by path, so that the same folder gives the same ids.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort();
        let mut tree = Self::default();
        for (path, text) in files {
            tree.push(path, text);
        }
        tree
    }

    /// Adds a file after the others and returns its id.
    pub fn push(&mut self, path: String, text: String) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile::new(id, path, text));
        id
    }

    /// The files, sorted by path; files made from includes come last.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file with that path.
    pub fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name() == path)
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        self.files
            .get(span.source.0 as usize)
            .map_or("", |file| file.slice(span))
    }
}

impl Index<SourceId> for SourceTree {
    type Output = SourceFile;

    fn index(&self, id: SourceId) -> &SourceFile {
        &self.files[id.0 as usize]
    }
}
