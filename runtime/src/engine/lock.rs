//! One process for each state folder: the embedded engine has its data there, and rows on their way to a server wait there.
//!
//! The lock is the operating system's, on a file in the state folder: it vanishes with the process, however that ends.
//! The file holds the owner's process id, so that a second process can say whom to stop.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::EngineError;

/// The lock of a state folder, held until dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `state`, or says who holds it.
    pub(super) fn take(state: &Path) -> Result<Self, EngineError> {
        let path = state.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())?;
                file.flush()?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner)?;
                Err(EngineError::Busy {
                    folder: state.to_owned(),
                    owner: owner.trim().parse().ok(),
                })
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_learns_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        match &refused {
            EngineError::Busy { owner, .. } => assert_eq!(*owner, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        FolderLock::take(folder.path()).unwrap();
    }
}
