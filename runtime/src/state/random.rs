//! Secrets and ids from the system's random numbers.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes.
pub(super) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// A random UUID (version 4).
pub fn uuid() -> io::Result<String> {
    let uuid = uuid::Builder::from_random_bytes(bytes()?).into_uuid();
    Ok(uuid.hyphenated().to_string())
}

/// The secret of a new token: `p.` and 256 random bits, in letters that need no escaping in addresses.
pub(super) fn secret() -> io::Result<String> {
    Ok(format!("p.{}", URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_ids_have_their_shape_and_differ() {
        let secret = secret().unwrap();
        assert!(secret.starts_with("p.") && secret.len() == 45, "{secret}");
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
