//! Where files are: `s3://`, `gs://` and `https://` addresses as ClickHouse wants them.

/// An address of files, and how it is read.
pub(super) struct Location {
    /// The address as ClickHouse reads it.
    pub(super) url: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Gcs,
    Url,
}

impl Location {
    /// Reads a URI; an error says what is wrong with it.
    pub(super) fn of(uri: &str, region: Option<&str>) -> Result<Self, String> {
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| {
            format!("`{uri}` is no address of files: s3://, gs:// or https:// must begin it")
        })?;
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("`{uri}` names no bucket"));
        }
        if path.contains('[') {
            return Err(format!(
                "`{uri}`: ClickHouse has no `[…]` in the names of files; it has `*`, `**`, `?`, `{{a,b}}` and `{{1..9}}`"
            ));
        }
        let host = region.map_or("s3.amazonaws.com".to_owned(), |region| {
            format!("s3.{region}.amazonaws.com")
        });
        match scheme {
            // A certificate of `*.s3.…` does not hold for a bucket with dots.
            "s3" if bucket.contains('.') => Ok(Self {
                url: format!("https://{host}/{bucket}/{path}"),
                kind: Kind::S3,
            }),
            "s3" => Ok(Self {
                url: format!("https://{bucket}.{host}/{path}"),
                kind: Kind::S3,
            }),
            "gs" | "gcs" => Ok(Self {
                url: format!("https://storage.googleapis.com/{bucket}/{path}"),
                kind: Kind::Gcs,
            }),
            "http" | "https" => Ok(Self {
                url: uri.to_owned(),
                kind: Kind::Url,
            }),
            other => Err(format!(
                "`{other}://` is no address that ClickHouse reads files from"
            )),
        }
    }
}

/// The format and the compression that the name of a file says.
pub(super) fn format_of(uri: &str) -> Option<&'static str> {
    let name = uri.split(['?', '#']).next().unwrap_or(uri);
    let name = [".gz", ".zst", ".snappy", ".bz2", ".xz", ".lz4"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    match name.rsplit('.').next()? {
        "csv" => Some("csv"),
        "ndjson" | "jsonl" | "json" => Some("ndjson"),
        "parquet" => Some("parquet"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_services() {
        let url = |uri: &str, region| Location::of(uri, region).map(|found| found.url);
        assert_eq!(
            url("s3://b/x/*.csv", Some("eu-west-1")).unwrap(),
            "https://b.s3.eu-west-1.amazonaws.com/x/*.csv"
        );
        assert_eq!(
            url("s3://a.b/x", None).unwrap(),
            "https://s3.amazonaws.com/a.b/x"
        );
        assert_eq!(
            url("gs://b/x", None).unwrap(),
            "https://storage.googleapis.com/b/x"
        );
        assert!(url("s3://b/[ab].csv", None).is_err());
        assert!(url("ftp://b/a", None).is_err());
        assert!(url("nothing", None).is_err());
        assert_eq!(format_of("s3://b/x.ndjson.gz"), Some("ndjson"));
        assert_eq!(format_of("https://h/x.parquet?a=b.csv"), Some("parquet"));
        assert_eq!(format_of("s3://b/*"), None);
    }
}
