//! Bodies that are needed twice, and files of other servers: kept in a file, which goes with its last user.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use pipewright_compiler::sql::quote_literal;
use tokio::runtime::Handle;

use super::{Format, Ingest, IngestError, on_disk, unique};
use crate::engine::{EngineError, Query};

/// How much of a file is read at a time.
const PIECE: usize = 1 << 20;

/// So many times a character of an address may be encoded.
const DECODINGS: usize = 3;

/// Gives the file to read on in. Blocks.
type Opening = Box<dyn FnOnce() -> io::Result<File> + Send>;

/// A file of rows that is removed when this is dropped.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let remove = move || {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "cannot remove a file of rows");
            }
        };
        // To give a large file back takes its time. What stays when the process ends goes when the next one begins.
        match Handle::try_current() {
            Ok(handle) => drop(handle.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

impl Kept {
    /// The bytes of the file.
    pub fn rows(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        pieces(self.path.clone())
    }
}

/// The bytes of a file, piece by piece.
pub(super) fn pieces(path: PathBuf) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let first: Opening = Box::new(move || File::open(path));
    futures::stream::unfold(Some(first), |opening| async {
        let piece = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let Some(opening) = opening else {
                return Ok(None);
            };
            let mut file = opening()?;
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece)?;
            piece.truncate(read);
            Ok((read > 0).then_some((Bytes::from(piece), file)))
        });
        match piece
            .await
            .map_err(io::Error::other)
            .and_then(|piece| piece)
        {
            Ok(None) => None,
            Ok(Some((piece, file))) => {
                let next: Opening = Box::new(move || Ok(file));
                Some((Ok(piece), Some(next)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Ingest {
    fn keep_at(&self) -> io::Result<Kept> {
        let path = self
            .folder
            .join("appends")
            .join(format!("{}.kept", unique()?));
        Ok(Kept { path })
    }

    /// Writes a body into a file.
    pub async fn keep(
        &self,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Kept, IngestError> {
        let kept = self.keep_at()?;
        let path = kept.path.clone();
        let mut file = on_disk(move || File::create(path)).await?;
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            file = on_disk(move || file.write_all(&chunk).map(|()| file)).await?;
        }
        Ok(kept)
    }

    /// Lets the engine read a file from another server into one here. The caller has made sure that the URL may be read.
    pub async fn fetch(&self, url: &str, format: Format) -> Result<Kept, IngestError> {
        let kept = self.keep_at()?;
        // Lines as they are: what is in them is looked at here, as with any other body.
        let (read, written) = match format {
            Format::Parquet => ("Parquet", "Parquet"),
            Format::Csv | Format::Ndjson => ("LineAsString", "TSVRaw"),
        };
        let path = kept.path.to_string_lossy().into_owned();
        let rows = format!("SELECT * FROM url({}, '{read}')", quote_literal(url));
        let query = if self.on_server {
            Query::new(rows, written)
        } else {
            let file = quote_literal(&path);
            let sql = format!("INSERT INTO FUNCTION file({file}, '{read}') {rows}");
            Query::new(sql, "Null")
        };
        let unreadable = |error: EngineError| match error {
            EngineError::Exception { message, name, .. } => IngestError::Unreadable(format!(
                "the URL cannot be read: {} ({name})",
                // The path is of this server, and what follows `?` may be a secret.
                without_page(&message)
                    .replace(&path, "the file")
                    .replace(url, without_query(url))
            )),
            other => IngestError::Engine(other),
        };
        // An allowed server must not lead to one that is not.
        let query = query.setting("max_http_get_redirects", "0");
        let mut answer = self.engine.query(query).await.map_err(unreadable)?;
        let mut file = on_disk({
            let path = kept.path.clone();
            move || File::options().create(true).append(true).open(path)
        })
        .await?;
        while let Some(chunk) = answer.next().await {
            let chunk = chunk.map_err(unreadable)?;
            file = on_disk(move || file.write_all(&chunk).map(|()| file)).await?;
        }
        Ok(kept)
    }
}

/// A URL as it may be shown.
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Whether one of the prefixes allows a URL.
///
/// A prefix has a scheme, a host and a path that ends in `/`; what it allows begins with it, and stays below it. Characters with a meaning to the engine
/// (`{a,b}` and `|` stand for several URLs) are in no URL that is allowed.
pub fn is_allowed(url: &str, prefixes: &[String]) -> bool {
    let is_plain = |character: char| {
        character.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()+,;=%".contains(character)
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let path = without_query(rest);
    if !matches!(scheme, "http" | "https")
        || !url.chars().all(is_plain)
        || climbs(path)
        || path.split('/').next().is_none_or(|host| host.contains('@'))
    {
        return false;
    }
    prefixes.iter().any(|prefix| {
        let is_whole = prefix
            .split_once("://")
            .is_some_and(|(_, rest)| rest.contains('/') && rest.ends_with('/'));
        is_whole && without_query(url).starts_with(prefix.as_str())
    })
}

/// Whether a path leads upwards for some server: there are those that take encoded dots and slashes for plain ones, or decode twice.
fn climbs(path: &str) -> bool {
    let mut decoded = path.to_ascii_lowercase();
    for _ in 0..DECODINGS {
        decoded = decoded.replace("%25", "%");
    }
    for (code, plain) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
        decoded = decoded.replace(code, plain);
    }
    decoded.contains("%25") || decoded.split('/').any(|segment| segment == "..")
}

/// What the engine says of a server that it could not read from, without the page that the server answered with.
fn without_page(message: &str) -> &str {
    let end = message.find(", body length:");
    end.map_or(message, |end| &message[..end])
}

#[cfg(test)]
mod tests {
    use super::{is_allowed, without_page};

    #[test]
    fn the_page_of_another_server_is_not_shown() {
        let message = "Received error from remote server http://a/b.csv. HTTP status code: 404 'Not Found', body length: 9 bytes, body: 'secret'";
        assert_eq!(
            without_page(message),
            "Received error from remote server http://a/b.csv. HTTP status code: 404 'Not Found'"
        );
        assert_eq!(without_page("no host"), "no host");
    }

    #[test]
    fn a_url_stays_below_a_prefix() {
        let prefixes = [
            "https://data.example/exports/".to_owned(),
            "https://whole.example".to_owned(),
        ];
        for good in [
            "https://data.example/exports/a.csv",
            "https://data.example/exports/a%2Fb/c%20d.csv",
            "https://data.example/exports/2026/a.ndjson.gz?signature=x%2Fy&to=../x",
        ] {
            assert!(is_allowed(good, &prefixes), "{good}");
        }
        for bad in [
            "",
            "https://data.example/other/a.csv",
            "http://data.example/exports/a.csv",
            "https://data.example/exports/../secret",
            "https://data.example/exports/%2E%2e/secret",
            "https://data.example/exports/..%2fsecret",
            "https://data.example/exports/x%2F..%2F..%2Fsecret",
            "https://data.example/exports/..%5Csecret",
            "https://data.example/exports/..%252fsecret",
            "https://data.example/exports/{a,b}.csv",
            "https://data.example/exports/a.csv|https://evil.example/",
            "https://data.example@evil.example/exports/",
            "https://evil.example/?https://data.example/exports/",
            "https://whole.example.evil.example/a.csv",
            "https://whole.example/a.csv",
            "file:///etc/passwd",
            "https://data.example/exports/a\nb",
        ] {
            assert!(!is_allowed(bad, &prefixes), "{bad}");
        }
    }
}
