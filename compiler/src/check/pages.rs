//! A page for people about each code that a check can print.

use pipewright_grammar::diagnostic::Code;

use super::rule;
use crate::diagnostics::codes;

/// Every code of every stage.
pub fn codes() -> impl Iterator<Item = Code> {
    let stages = [pipewright_grammar::codes::ALL, codes::ALL];
    stages.into_iter().flatten().copied()
}

/// What is said about a code: of a rule its page; of what cannot be read, resolved or made, what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// One sentence.
    pub summary: String,
    /// All of it, in Markdown.
    pub markdown: String,
}

/// The page of a code; `None` for what is none.
pub fn page(code: &str) -> Option<Page> {
    if let Some(rule) = rule(code) {
        return Some(Page {
            summary: rule.summary.to_owned(),
            markdown: rule.markdown(),
        });
    }
    let stages = [pipewright_grammar::codes::MEANINGS, codes::MEANINGS];
    let mut meanings = stages.into_iter().flatten();
    let (_, meaning) = meanings.find(|(known, _)| known.name() == code)?;
    // Each line begins with the space behind `///`.
    let lines = meaning.lines();
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let meaning = lines.join("\n");
    let first = lines.split(|line| line.is_empty()).next();
    Some(Page {
        summary: first.unwrap_or_default().join(" "),
        markdown: format!(
            "# {code}\n\n{}\n\nIt is found wherever it is: no rule has to be on. `[lints]` in `pipewright.toml` changes its level.\n",
            meaning.trim()
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_is_declared_in_one_stage_only() {
        let mut seen = BTreeSet::new();
        let twice: Vec<Code> = codes().filter(|code| !seen.insert(*code)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn every_code_has_a_page() {
        for code in codes() {
            let page = page(code.name()).unwrap_or_else(|| panic!("{code} has no page"));
            let title = format!("# {code}\n\n");
            assert!(
                page.markdown.starts_with(&title),
                "{code}: {}",
                page.markdown
            );
            assert!(page.summary.len() > 20, "{code}: {}", page.summary);
        }
        assert_eq!(page("no-such-code"), None);
    }

    #[test]
    fn a_page_keeps_its_paragraphs_and_examples() {
        let page = page("stray-text").expect("a page");
        assert_eq!(page.summary, "Text that belongs to no directive.");
        assert!(
            page.markdown
                .contains("meant.\n\n```text\nDESCRIPTION Visits per day\n"),
            "{}",
            page.markdown
        );
    }
}
