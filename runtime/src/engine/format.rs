//! Which output formats may leave in chunks.
//!
//! The embedded engine formats each chunk of a streamed result as a document of its own. For formats that are only
//! rows, one after another, the chunks joined are the document; those with a header line repeat it, and the repetition
//! can be cut off. Formats with a frame around the rows (JSON, Parquet, XML) cannot be joined and leave whole.

/// How the chunks of a format join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One document: cannot be cut into chunks.
    Document,
    /// Rows only.
    Rows,
    /// Each chunk begins with this many lines of header; quotes may hide line ends in them.
    Header {
        /// Number of header lines.
        lines: usize,
        /// Whether `"` quotes a field.
        quoted: bool,
    },
}

impl Framing {
    /// How `format` frames its rows. A format not known here is taken for a document.
    pub(super) fn of(format: &str) -> Self {
        match format {
            "CSV"
            | "TSV"
            | "TabSeparated"
            | "TSVRaw"
            | "TabSeparatedRaw"
            | "Raw"
            | "JSONEachRow"
            | "JSONLines"
            | "NDJSON"
            | "JSONStringsEachRow"
            | "JSONCompactEachRow"
            | "JSONCompactStringsEachRow"
            | "RowBinary"
            | "TSKV"
            | "LineAsString"
            | "RawBLOB" => Self::Rows,
            "CSVWithNames" => Self::header(1, true),
            "CSVWithNamesAndTypes" => Self::header(2, true),
            "TSVWithNames"
            | "TabSeparatedWithNames"
            | "TSVRawWithNames"
            | "TabSeparatedRawWithNames"
            | "JSONCompactEachRowWithNames" => Self::header(1, false),
            "TSVWithNamesAndTypes"
            | "TabSeparatedWithNamesAndTypes"
            | "TSVRawWithNamesAndTypes"
            | "TabSeparatedRawWithNamesAndTypes"
            | "JSONCompactEachRowWithNamesAndTypes" => Self::header(2, false),
            _ => Self::Document,
        }
    }

    const fn header(lines: usize, quoted: bool) -> Self {
        Self::Header { lines, quoted }
    }

    /// How many bytes at the start of a chunk that is not the first repeat the header.
    pub(super) fn repeated(self, chunk: &[u8]) -> usize {
        let Self::Header { lines, quoted } = self else {
            return 0;
        };
        let mut inside = false;
        let mut left = lines;
        for (index, byte) in chunk.iter().enumerate() {
            match byte {
                b'"' if quoted => inside = !inside,
                b'\n' if !inside => {
                    left -= 1;
                    if left == 0 {
                        return index + 1;
                    }
                }
                _ => {}
            }
        }
        chunk.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_may_hide_a_line_end_in_quotes() {
        let chunk = b"\"a\n\"\"b\",\"c\"\n1,2\n";
        assert_eq!(Framing::of("CSVWithNames").repeated(chunk), 12);
        assert_eq!(Framing::of("TSVWithNames").repeated(b"a\tb\n1\t2\n"), 4);
        assert_eq!(
            Framing::of("TSVWithNamesAndTypes").repeated(b"a\nInt8\n1\n"),
            7
        );
    }

    #[test]
    fn rows_repeat_nothing_and_documents_are_not_cut() {
        assert_eq!(Framing::of("CSV").repeated(b"1\n"), 0);
        assert_eq!(Framing::of("JSON"), Framing::Document);
        assert_eq!(Framing::of("Parquet"), Framing::Document);
    }
}
