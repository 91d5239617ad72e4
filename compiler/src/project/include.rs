//! Classic `INCLUDE`: the text of a `.incl` file, with its arguments put in, parsed as a fragment and spliced into the pipe that includes it.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::parse_include;
use pipewright_grammar::source::SourceId;
use pipewright_grammar::syntax::{Include, PipeFile};

use super::SourceTree;
use crate::diagnostics::codes;

/// How deep includes may nest.
const MAX_DEPTH: usize = 16;

/// How many files one pipe may include, counted with those that they include.
const MAX_FILES: usize = 256;

/// Puts the included fragments into `pipe` at the places of their `INCLUDE` lines.
pub(super) fn expand(
    pipe: &mut PipeFile,
    from: SourceId,
    sources: &mut SourceTree,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let path = sources[from].name().to_owned();
    let mut expansion = Expansion {
        sources,
        diagnostics,
        open: vec![path],
        count: 0,
    };
    expansion.expand(pipe);
}

/// One pipe's includes on their way in.
struct Expansion<'a> {
    sources: &'a mut SourceTree,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The file whose lines are read, after those that include it.
    open: Vec<String>,
    /// Files put in so far.
    count: usize,
}

impl Expansion<'_> {
    fn expand(&mut self, pipe: &mut PipeFile) {
        let path = self.open.last().cloned().unwrap_or_default();
        // From the last to the first, so that the positions of the ones before stay right.
        for include in std::mem::take(&mut pipe.includes).into_iter().rev() {
            let target = join(&path, &include.path.value);
            let Some(text) = self.text(&include, &target) else {
                continue;
            };
            self.count += 1;
            let id = self
                .sources
                .push(target.clone(), substitute(&text, &include.arguments));
            let mut fragment = parse_include(&self.sources[id]);
            self.diagnostics.append(&mut fragment.diagnostics);
            self.open.push(target);
            self.expand(&mut fragment.tree);
            self.open.pop();
            splice(pipe, &include, fragment.tree);
        }
    }

    /// The text of the file that a line includes; a diagnostic where it cannot be put in.
    fn text(&mut self, include: &Include, target: &str) -> Option<String> {
        let written = &include.path.value;
        let diagnostic = |message: String, label: String| {
            Diagnostic::error(codes::MISSING_INCLUDE, message).label(include.path.span, label)
        };
        let refusal = if self.open.iter().any(|open| open == target) {
            diagnostic(
                format!("`{written}` includes itself"),
                format!("while `{target}` is read"),
            )
            .help("take one of the `INCLUDE` lines out")
        } else if self.open.len() > MAX_DEPTH {
            diagnostic(
                format!("`{written}` is included too deeply"),
                format!("more than {MAX_DEPTH} files include one another here"),
            )
        } else if self.count >= MAX_FILES {
            diagnostic(
                format!("`{written}` is one file too many"),
                format!("a pipe includes at most {MAX_FILES} files"),
            )
        } else if let Some(file) = self.sources.file(target) {
            return Some(file.text().to_owned());
        } else {
            diagnostic(
                format!("included file `{written}` does not exist"),
                format!("looked for `{target}`"),
            )
            .help("the path is relative to the folder of the including file")
        };
        self.diagnostics.push(refusal);
        None
    }
}

/// Puts a fragment's parts where the `INCLUDE` line stood.
fn splice(pipe: &mut PipeFile, include: &Include, fragment: PipeFile) {
    let open_node = include
        .node_index
        .checked_sub(1)
        .and_then(|index| pipe.nodes.get_mut(index));
    match open_node {
        Some(node) => {
            if let Some(sql) = fragment.sql {
                node.sql = Some(sql);
            }
            let at = include.directive_index.min(node.directives.len());
            node.directives.splice(at..at, fragment.directives);
            node.description = fragment.description.or(node.description.take());
        }
        None => {
            pipe.sql = fragment.sql.or(pipe.sql.take());
            let at = include.directive_index.min(pipe.directives.len());
            pipe.directives.splice(at..at, fragment.directives);
            pipe.description = fragment.description.or(pipe.description.take());
        }
    }
    pipe.tokens.extend(fragment.tokens);
    pipe.tags.extend(fragment.tags);
    let at = include.node_index.min(pipe.nodes.len());
    pipe.nodes.splice(at..at, fragment.nodes);
}

/// `$KEY` and `${KEY}` become the argument; `$$` becomes `$`; other names stay.
fn substitute(text: &str, arguments: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| {
            inner
                .find('}')
                .map(|end| (&inner[..end], &inner[end + 1..]))
        });
        let (name, tail) = braced.unwrap_or_else(|| {
            let end = after
                .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .unwrap_or(after.len());
            (&after[..end], &after[end..])
        });
        if let Some((_, value)) = arguments.iter().find(|(key, _)| key == name) {
            out.push_str(value);
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Resolves `relative` against the folder of `path`, with `.` and `..`.
fn join(path: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_replace_only_their_own_names() {
        let arguments = [
            ("A".to_owned(), "1".to_owned()),
            ("B_C".to_owned(), "2".to_owned()),
        ];
        assert_eq!(
            substitute("$A ${B_C} $AB $$ ${X} $", &arguments),
            "1 2 $AB $ ${X} $"
        );
    }

    #[test]
    fn include_paths_are_relative_to_the_including_file() {
        assert_eq!(
            join("pipes/a.pipe", "../includes/x.incl"),
            "includes/x.incl"
        );
        assert_eq!(join("a.pipe", "./x.incl"), "x.incl");
    }
}
