//! Classic `INCLUDE`: the text of a `.incl` file, with its arguments put in, parsed as a fragment and spliced into the pipe that includes it.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::parse_include;
use pipewright_grammar::source::SourceId;
use pipewright_grammar::syntax::{Include, PipeFile};

use super::SourceTree;
use crate::diagnostics::codes;

/// How deep includes may nest; deeper is taken for a cycle.
const MAX_DEPTH: usize = 16;

/// Puts the included fragments into `pipe` at the places of their `INCLUDE` lines.
pub(super) fn expand(
    pipe: &mut PipeFile,
    from: SourceId,
    sources: &mut SourceTree,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let path = sources[from].name().to_owned();
    expand_at(pipe, &path, sources, diagnostics, 0);
}

fn expand_at(
    pipe: &mut PipeFile,
    path: &str,
    sources: &mut SourceTree,
    diagnostics: &mut Vec<Diagnostic>,
    depth: usize,
) {
    // From the last to the first, so that the positions of the ones before stay right.
    for include in std::mem::take(&mut pipe.includes).into_iter().rev() {
        let target = join(path, &include.path.value);
        let Some(text) = sources.file(&target).map(|file| file.text().to_owned()) else {
            diagnostics.push(
                Diagnostic::error(
                    codes::MISSING_INCLUDE,
                    format!("included file `{}` does not exist", include.path.value),
                )
                .label(include.path.span, format!("looked for `{target}`"))
                .help("the path is relative to the folder of the including file"),
            );
            continue;
        };
        if depth >= MAX_DEPTH {
            diagnostics.push(
                Diagnostic::error(
                    codes::MISSING_INCLUDE,
                    format!("`{}` is included too deeply", include.path.value),
                )
                .label(
                    include.path.span,
                    format!("more than {MAX_DEPTH} files include one another here"),
                ),
            );
            continue;
        }
        let id = sources.push(target.clone(), substitute(&text, &include.arguments));
        let mut fragment = parse_include(&sources[id]);
        diagnostics.append(&mut fragment.diagnostics);
        expand_at(&mut fragment.tree, &target, sources, diagnostics, depth + 1);
        splice(pipe, &include, fragment.tree);
    }
}

/// Puts a fragment's parts where the `INCLUDE` line stood.
fn splice(pipe: &mut PipeFile, include: &Include, fragment: PipeFile) {
    let open_node = include
        .node_index
        .checked_sub(1)
        .and_then(|index| pipe.nodes.get_mut(index));
    if let Some(node) = open_node {
        if let Some(sql) = fragment.sql {
            node.sql = Some(sql);
        }
        let at = include.directive_index.min(node.directives.len());
        node.directives.splice(at..at, fragment.directives);
        node.description = fragment.description.or(node.description.take());
    } else {
        pipe.sql = fragment.sql.or(pipe.sql.take());
        let at = include.directive_index.min(pipe.directives.len());
        pipe.directives.splice(at..at, fragment.directives);
        pipe.description = fragment.description.or(pipe.description.take());
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
