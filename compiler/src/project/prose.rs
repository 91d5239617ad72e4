//! Descriptions in datafiles. In a block, a line that begins with `#` is a comment of the file and not a heading in Markdown: a heading is written `\# …` there.

/// The text of a description as people are to read it: without the indentation that its lines share, its headings as Markdown has them.
pub fn described(block: &str) -> String {
    without_marks(&dedent(block))
}

/// A description as it stands in a block.
pub fn with_marks(text: &str) -> String {
    each_line(text, |line| {
        let behind = line.trim_start_matches([' ', '\t']);
        let blanks = &line[..line.len() - behind.len()];
        is_marked(behind, 0).then(|| format!("{blanks}\\{behind}"))
    })
}

/// The text of a block without what [`with_marks`] has added.
pub fn without_marks(text: &str) -> String {
    each_line(text, |line| {
        let behind = line.trim_start_matches([' ', '\t']);
        let blanks = &line[..line.len() - behind.len()];
        is_marked(behind, 1).then(|| format!("{blanks}{}", &behind[1..]))
    })
}

/// Whether a `#` stands first, or behind so many backslashes or more and nothing else.
fn is_marked(line: &str, least: usize) -> bool {
    let rest = line.trim_start_matches('\\');
    rest.starts_with('#') && line.len() - rest.len() >= least
}

fn each_line(text: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let lines = text
        .split('\n')
        .map(|line| change(line).unwrap_or_else(|| line.to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}

/// Takes the common indentation off a block of prose.
fn dedent(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let rest = || lines.iter().skip(1).filter(|line| !line.trim().is_empty());
    let indent = rest()
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut out = String::with_capacity(text.len());
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(if index == 0 {
            line.trim()
        } else {
            line.get(indent..).unwrap_or("").trim_end()
        });
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_comes_back_and_a_comment_does_not() {
        for text in ["# a", "a\n## b\n  # c", "\\# a", "a \\# b", "\\\\# a", "#"] {
            let written = with_marks(text);
            assert!(
                written
                    .lines()
                    .all(|line| !line.trim_start().starts_with('#')),
                "{written}"
            );
            assert_eq!(without_marks(&written), text);
        }
        assert_eq!(described("One.\n    \\# Two"), "One.\n# Two");
    }
}
