//! The book and the README: each datafile in them parses, and each link leads somewhere.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pipewright_compiler::check::RULES;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::optimize;
use pipewright_compiler::project::Config;
use pipewright_grammar::diagnostic::Severity;
use pipewright_grammar::source::{SourceFile, SourceId};
use pipewright_grammar::{parse_datasource, parse_pipe};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages that a reader sees, with their paths from the root.
fn pages() -> Vec<(String, String)> {
    let mut names: Vec<String> = ["README.md", "CONTRIBUTING.md", "COMPATIBILITY.md"]
        .map(str::to_owned)
        .to_vec();
    let examples = std::fs::read_dir(root().join("examples")).expect("the folder can be read");
    let examples = examples
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| format!("examples/{name}"))
        .filter(|folder| root().join(folder).is_dir());
    for folder in std::iter::once("book/src".to_owned()).chain(examples) {
        let entries = std::fs::read_dir(root().join(&folder)).expect("the folder can be read");
        names.extend(entries.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let is_page = Path::new(&name)
                .extension()
                .is_some_and(|ending| ending == "md");
            is_page.then(|| format!("{folder}/{name}"))
        }));
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(root().join(&name)).expect("pages are text");
            (name, text)
        })
        .collect()
}

/// The fenced blocks of a page: the words after the fence, the line it stands on, and the text.
fn blocks(page: &str) -> Vec<(&str, usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, String)> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(words)) => open = Some((words, at + 1, String::new())),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some((_, _, text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn datafiles_in_the_documentation_parse() {
    let mut found = 0;
    let mut wrong = String::new();
    for (page, text) in pages() {
        for (words, line, body) in blocks(&text) {
            let mut words = words.split([' ', ',']);
            let language = words.next().unwrap_or_default();
            if words.any(|word| word == "error") {
                continue;
            }
            let file = SourceFile::new(SourceId(0), format!("{page}, block in line {line}"), body);
            let diagnostics = match language {
                "pipe" => parse_pipe(&file).diagnostics,
                "datasource" => parse_datasource(&file).diagnostics,
                _ => continue,
            };
            found += 1;
            let errors: Vec<_> = diagnostics
                .into_iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .collect();
            wrong.push_str(&render::concise(&errors, std::slice::from_ref(&file)));
        }
    }
    assert!(found > 5, "only {found} datafiles were found");
    assert_eq!(wrong, "");
}

#[test]
fn settings_in_the_documentation_are_read_and_those_shown_first_are_the_defaults() {
    let pages = pages();
    let (_, page) = pages
        .iter()
        .find(|(name, _)| name == "book/src/configuration.md")
        .expect("the book has a page on settings");
    let settings: Vec<Config> = blocks(page)
        .into_iter()
        .filter(|(words, ..)| *words == "toml")
        .map(|(_, line, body)| {
            let file = SourceFile::new(SourceId(0), format!("block in line {line}"), body);
            let (config, diagnostics) = Config::parse(&file);
            assert_eq!(render::concise(&diagnostics, &file), "");
            config
        })
        .collect();
    assert_eq!(settings.first(), Some(&Config::default()));
    assert!(settings.len() > 1);
}

/// The page of the rules, made from what the rules say of themselves.
fn rules() -> String {
    let mut page = String::from(
        "# Rules\n\n<!-- Made from the rules themselves: `UPDATE=1 cargo test -p pipewright-snapshots --test book` writes it anew. -->\n\n\
         What `pipewright check` finds beyond what keeps a project from running. Each rule has a code; `pipewright rule CODE` shows its page. Where the text of a\n\
         project leaves a doubt, a rule is silent.\n\n\
         | rule | level | finds |\n|---|---|---|\n",
    );
    for rule in RULES {
        let (code, level) = (rule.code, rule.severity_name());
        _ = writeln!(page, "| [`{code}`](#{code}) | {level} | {} |", rule.summary);
    }
    for rule in RULES {
        page.push('\n');
        let mut after_heading = false;
        for line in rule.markdown().lines() {
            // One level down, with a blank line below each heading.
            let is_heading = line.starts_with('#');
            let blank = if after_heading && !line.is_empty() {
                "\n"
            } else {
                ""
            };
            _ = writeln!(page, "{blank}{}{line}", if is_heading { "#" } else { "" });
            after_heading = is_heading;
        }
    }
    page
}

#[test]
fn the_page_of_the_rules_is_what_the_rules_say() {
    let path = root().join("book/src/rules.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, rules()).expect("the page is written");
    }
    let written = std::fs::read_to_string(&path).expect("the page is there");
    similar_asserts::assert_eq!(written, rules(), "UPDATE=1 rewrites the page");
}

/// The page of the optimizer, made from what its rules say of themselves.
fn optimizer() -> String {
    let mut page = String::from(
        "# Optimizer\n\n<!-- Made from the rules themselves: `UPDATE=1 cargo test -p pipewright-snapshots --test book` writes it anew. -->\n\n\
         Before the SQL of an endpoint reaches the engine, rules make it cheaper without changing its columns or rows. They edit the text and leave alone what they do not\n\
         understand; `pipewright explain PIPE` shows what each did, [`[optimize]`](configuration.md#optimize), `--without-rule` and `--no-optimize` turn them off.\n\
         [Performance](performance.md#optimizing-a-statement) has the measurements, also of what has no rule because the engine does it by itself.\n\n\
         Nodes that fill tables (materialized, copy) and queries of callers (`/v0/sql`, `q`) are left as they are, and so is a statement with a `SETTINGS` clause. How a statement is\n\
         optimized is found out once for each shape of it, not for each request.\n",
    );
    for rule in optimize::RULES {
        _ = write!(page, "\n#{}", rule.page.replace("\n## ", "\n### "));
    }
    page
}

#[test]
fn the_page_of_the_optimizer_is_what_its_rules_say() {
    let path = root().join("book/src/optimizer.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, optimizer()).expect("the page is written");
    }
    let written = std::fs::read_to_string(&path).expect("the page is there");
    similar_asserts::assert_eq!(written, optimizer(), "UPDATE=1 rewrites the page");
}

/// The targets of the links of a page, outside of its blocks.
fn links(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut links = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        let starts = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
        links.extend(starts.filter_map(|rest| rest.split_once(')').map(|(target, _)| target)));
    }
    links
}

/// A heading as the part of an address after `#`.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            _ if character.is_alphanumeric() || matches!(character, '-' | '_') => Some(character),
            _ => None,
        })
        .collect()
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        let folder = Path::new(&page).parent().unwrap_or(Path::new(""));
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                root().join(&page)
            } else {
                root().join(folder).join(path)
            };
            let reached = if heading.is_empty() {
                target.exists()
            } else {
                std::fs::read_to_string(&target).is_ok_and(|text| {
                    text.lines()
                        .any(|line| line.starts_with('#') && anchor(line) == heading)
                })
            };
            if !reached {
                wrong.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let pages = pages();
    let summary = pages
        .iter()
        .find_map(|(name, text)| (name == "book/src/SUMMARY.md").then(|| links(text)))
        .expect("the book has a summary");
    let missing: Vec<&str> = pages
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("book/src/"))
        .filter(|name| *name != "SUMMARY.md" && !summary.contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}
