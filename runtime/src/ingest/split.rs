//! Bytes → rows: where one row of a text format ends and the next begins.

use bytes::Bytes;

use super::IngestError;

/// Makes JSON lines of a body: one object in each line, no blank lines, and how many there are.
///
/// `whole` takes the body for JSON values of any layout, or one array of them, in place of lines. A body that is as it should be is returned as it is.
pub fn json_lines(body: Bytes, whole: bool) -> Result<(Bytes, u64), IngestError> {
    if whole {
        let (lines, rows) = json_values(&body)?;
        return Ok((lines.into(), rows));
    }
    if let Some(rows) = tidy_lines(&body) {
        return Ok((body, rows));
    }
    let mut lines = Vec::with_capacity(body.len() + 1);
    let (mut start, mut rows) = (0, 0);
    for end in memchr::memchr_iter(b'\n', &body).chain([body.len()]) {
        rows += u64::from(push_line(&mut lines, &body[start..end]));
        start = end + 1;
    }
    Ok((lines.into(), rows))
}

/// How many lines there are, if each has its end, begins and ends without blanks, and is not empty.
fn tidy_lines(body: &[u8]) -> Option<u64> {
    let (mut start, mut rows) = (0, 0);
    for end in memchr::memchr_iter(b'\n', body) {
        let (first, last) = (body[start..end].first()?, body[start..end].last()?);
        if first.is_ascii_whitespace() || last.is_ascii_whitespace() {
            return None;
        }
        rows += 1;
        start = end + 1;
    }
    (start == body.len()).then_some(rows)
}

/// Adds a line without the blanks around it; false when nothing is left.
pub(super) fn push_line(lines: &mut Vec<u8>, line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.is_empty() {
        return false;
    }
    lines.extend_from_slice(line);
    lines.push(b'\n');
    true
}

/// Objects of a JSON body, one in each line. What is between them must be blanks, commas and the brackets of one array; whether an object is sound is seen
/// when it is read.
fn json_values(body: &[u8]) -> Result<(Vec<u8>, u64), IngestError> {
    let unreadable = |what: &str| {
        Err(IngestError::Unreadable(format!(
            "the body is not valid JSON: {what}"
        )))
    };
    let (mut lines, mut rows) = (Vec::with_capacity(body.len() + 1), 0);
    let (mut depth, mut quoted, mut escaped, mut brackets) = (0u32, false, false, 0u32);
    for byte in body {
        if depth == 0 {
            match byte {
                b'{' => depth = 1,
                b'[' if brackets == 0 && rows == 0 => brackets = 1,
                b']' if brackets == 1 => brackets = 2,
                b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => return unreadable("it must hold objects, or one array of them"),
            }
            if depth == 0 {
                continue;
            }
            lines.push(b'{');
            continue;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth -= 1,
            _ => {}
        }
        // Strings of JSON have no line ends, so that those found are layout.
        lines.push(if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        });
        if depth == 0 {
            lines.push(b'\n');
            rows += 1;
        }
    }
    if depth > 0 || brackets == 1 {
        return unreadable("it ends too early");
    }
    Ok((lines, rows))
}

/// Finds the ends of CSV records: line ends outside of quotes.
#[derive(Debug, Default)]
pub(super) struct CsvSplitter {
    quoted: bool,
}

impl CsvSplitter {
    /// The number of records that end in `bytes`, and the place behind the last end.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (u64, Option<usize>) {
        let (mut records, mut last) = (0, None);
        for at in memchr::memchr2_iter(b'"', b'\n', bytes) {
            if bytes[at] == b'"' {
                self.quoted = !self.quoted;
            } else if !self.quoted {
                records += 1;
                last = Some(at + 1);
            }
        }
        (records, last)
    }
}

/// What separates the fields of a file whose first record this is: what there are most fields by.
pub(super) fn likely_delimiter(record: &str) -> char {
    let count = |delimiter: &char| csv_fields(record, *delimiter).len();
    [',', ';', '\t', '|']
        .into_iter()
        .rev()
        .max_by_key(count)
        .unwrap_or(',')
}

/// The fields of one CSV record, without their quotes.
pub(super) fn csv_fields(record: &str, delimiter: char) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = record.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            _ if character == delimiter && !quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(character),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_are_trimmed_and_counted() {
        let tidy = Bytes::from_static(b"{\"a\":1}\n{\"a\":2}\n");
        for body in [
            &b"{\"a\":1}\r\n\n  {\"a\":2}"[..],
            b"{\"a\":1}\n{\"a\":2}",
            b"{\"a\":1}\n\n{\"a\":2}\n",
            b"{\"a\":1}\n{\"a\":2} \n",
            &tidy,
        ] {
            let lines = json_lines(Bytes::copy_from_slice(body), false).unwrap();
            assert_eq!(lines, (tidy.clone(), 2), "{body:?}");
        }
        // As it came, without a copy.
        let (lines, _) = json_lines(tidy.clone(), false).unwrap();
        assert_eq!(lines.as_ptr(), tidy.as_ptr());
        assert_eq!(
            json_lines(Bytes::from_static(b"\n \n"), false).unwrap().1,
            0
        );
    }

    #[test]
    fn json_of_any_layout_becomes_lines() {
        let (lines, rows) = json_lines(
            Bytes::from_static(b"[{\"a\":\n 1}, {\"b\": \"x\\ny\"}]\n{}"),
            true,
        )
        .unwrap();
        assert_eq!(
            (std::str::from_utf8(&lines).unwrap(), rows),
            ("{\"a\":  1}\n{\"b\": \"x\\ny\"}\n{}\n", 3)
        );
        for body in [&b"{\"a\":"[..], b"[{}", b"5", b"{}]"] {
            assert!(
                matches!(
                    json_lines(Bytes::from_static(body), true),
                    Err(IngestError::Unreadable(_))
                ),
                "{body:?}"
            );
        }
    }

    #[test]
    fn a_csv_record_may_go_over_lines() {
        let mut splitter = CsvSplitter::default();
        assert_eq!(splitter.scan(b"1,\"a\nb"), (0, None));
        assert_eq!(splitter.scan(b"\"\"c\"\n2,d"), (1, Some(5)));
        assert_eq!(
            csv_fields("a;\"b;\"\"c\"\"\";\r\n", ';'),
            ["a", "b;\"c\"", ""]
        );
    }
}
