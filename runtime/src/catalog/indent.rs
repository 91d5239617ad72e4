//! The indentation of blocks: added when a text goes into a datafile, taken off when it is read. Lines that begin inside a string stay as they are,
//! because their blanks are part of a value.

use std::ops::Range;

const INDENT: &str = "    ";

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// SQL, in which quotes mean something.
    Sql,
    /// Prose, in which an apostrophe is a letter.
    Prose,
}

/// The lines of a text, indented as the block of a datafile.
pub(super) fn indent(text: &str, kind: Text) -> String {
    let text = text.trim();
    let inside = begins_inside(text, kind);
    let lines = text.split('\n').zip(inside).map(|(line, inside)| {
        if inside || line.trim().is_empty() {
            line.to_owned()
        } else {
            format!("{INDENT}{line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The text of a block without the indentation that its lines share. `block` begins at its first byte that is not blank.
pub(super) fn dedent(file: &str, block: Range<usize>, kind: Text) -> String {
    let text = &file[block.clone()];
    let line_start = file[..block.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let first = &file[line_start..block.start];
    // A value on the line of its keyword has no indentation of its own.
    let first = if first.trim().is_empty() {
        Some(first.len())
    } else {
        None
    };
    let inside = begins_inside(text, kind);
    let of_line = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let rest = text
        .split('\n')
        .zip(&inside)
        .skip(1)
        .filter(|(line, inside)| !**inside && !line.trim().is_empty())
        .map(|(line, _)| of_line(line));
    let shared = rest.chain(first).min().unwrap_or(0);
    let lines = text
        .split('\n')
        .zip(&inside)
        .enumerate()
        .map(|(index, (line, inside))| match () {
            () if index == 0 => format!(
                "{}{line}",
                " ".repeat(first.unwrap_or(shared).saturating_sub(shared))
            ),
            () if *inside => line.to_owned(),
            () => line
                .get(shared.min(of_line(line))..)
                .unwrap_or("")
                .to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// For each line, whether it begins inside a quoted string or name.
fn begins_inside(text: &str, kind: Text) -> Vec<bool> {
    let mut lines = vec![false];
    let (mut quote, mut comment) = (None, None);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match (quote, comment) {
            (Some(_), _) if byte == b'\\' => {
                at += usize::from(bytes.get(at + 1).is_some_and(|next| *next != b'\n'));
            }
            (Some(open), _) if byte == open => quote = None,
            (None, Some(b'-')) if byte == b'\n' => comment = None,
            (None, Some(b'*')) if bytes[at..].starts_with(b"*/") => comment = None,
            (Some(_), _) | (None, Some(_)) => {}
            _ if kind == Text::Prose => {}
            (None, None) if bytes[at..].starts_with(b"--") || byte == b'#' => comment = Some(b'-'),
            (None, None) if bytes[at..].starts_with(b"/*") => comment = Some(b'*'),
            (None, None) if matches!(byte, b'\'' | b'"' | b'`') => quote = Some(byte),
            (None, None) => {}
        }
        if byte == b'\n' {
            lines.push(quote.is_some());
        }
        at += 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_went_in() {
        for text in [
            "SELECT 1",
            "SELECT\n    a,\n  b\nFROM t",
            "%\nSELECT {{Int32(x)}}\n\n-- it's fine\nFROM t",
            "SELECT 'a\n  b',\n 2 /* it's\n fine */, 3",
            "SELECT 'a\\'\n  b'",
        ] {
            let file = format!("SQL >\n{}\n", indent(text, Text::Sql));
            let start = file
                .find(|character: char| !character.is_whitespace())
                .map_or(0, |_| file[5..].len() - file[5..].trim_start().len() + 5);
            assert_eq!(dedent(&file, start..file.trim_end().len(), Text::Sql), text);
        }
    }
}
