//! Where renderers find the text that a span points at.

use pipewright_grammar::source::{SourceFile, SourceId};

/// The files that diagnostics point into.
pub trait Sources {
    /// The file of that number.
    fn file(&self, id: SourceId) -> Option<&SourceFile>;
}

impl Sources for [SourceFile] {
    fn file(&self, id: SourceId) -> Option<&SourceFile> {
        let index = usize::try_from(id.0).ok()?;
        self.get(index)
            .filter(|file| file.id() == id)
            .or_else(|| self.iter().find(|file| file.id() == id))
    }
}

impl Sources for Vec<SourceFile> {
    fn file(&self, id: SourceId) -> Option<&SourceFile> {
        self.as_slice().file(id)
    }
}

impl Sources for SourceFile {
    fn file(&self, id: SourceId) -> Option<&SourceFile> {
        Some(self).filter(|file| file.id() == id)
    }
}
