//! Secrets that must be shown again are kept encrypted. The key is in a file of its own beside the state file, so that a copy of the state file alone gives
//! nobody access.

use std::io;
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};

use super::random;

const NONCE_BYTES: usize = 12;

/// Encrypts and decrypts under the key of a workspace.
#[derive(Clone)]
pub(super) struct Sealer(ChaCha20Poly1305);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A key that is gone with the process.
    pub(super) fn random() -> io::Result<Self> {
        Ok(Self::new(random::bytes::<32>()?))
    }

    /// The key in a file, made with a random one if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            write_new(path, &random::bytes::<32>()?)?;
        }
        let key: [u8; 32] = std::fs::read(path)?.try_into().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{}` is damaged", path.display()),
            )
        })?;
        Ok(Self::new(key))
    }

    fn new(key: [u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(&key.into()))
    }

    /// Encrypts a secret; `owner` must be given again to decrypt it.
    pub(super) fn seal(&self, secret: &str, owner: &str) -> io::Result<Vec<u8>> {
        let nonce = random::bytes::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: owner.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| io::Error::other("a secret cannot be encrypted"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The secret; `None` if it was sealed under another key or for another owner.
    pub(super) fn unseal(&self, sealed: &[u8], owner: &str) -> Option<String> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload {
            msg: rest,
            aad: owner.as_bytes(),
        };
        let secret = self.0.decrypt(Nonce::from_slice(nonce), payload).ok()?;
        String::from_utf8(secret).ok()
    }
}

/// Writes a file whole or not at all, readable by its owner only. When two processes begin together, the first one's stays.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let suffix: [u8; 4] = random::bytes()?;
    let unfinished = path.with_extension(format!("{}.new", u32::from_le_bytes(suffix)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&unfinished, path);
    std::fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_the_owner_open_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.key");
        let sealed = Sealer::open(&path)
            .unwrap()
            .seal("p.secret", "owner")
            .unwrap();
        assert_eq!(
            Sealer::open(&path)
                .unwrap()
                .unseal(&sealed, "owner")
                .as_deref(),
            Some("p.secret")
        );
        assert_eq!(Sealer::open(&path).unwrap().unseal(&sealed, "other"), None);
        assert_eq!(Sealer::random().unwrap().unseal(&sealed, "owner"), None);
        assert_eq!(
            Sealer::open(&path).unwrap().unseal(&sealed[..5], "owner"),
            None
        );
        assert!(!sealed.windows(8).any(|window| window == b"p.secret"));
    }
}
