//! Classic `INCLUDE`: the text of a `.incl` file, with its arguments put in, stands in place of the line that names it.
//!
//! The text is spliced before it is parsed, so that a directive after the line belongs to what the fragment ended with, as if all of it were written in
//! one file. Places in a file with includes are places in the spliced text.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::parse_include;
use pipewright_grammar::source::{SourceFile, SourceId};
use pipewright_grammar::syntax::Include;

use super::SourceTree;
use crate::diagnostics::codes;

/// How deep includes may nest.
const MAX_DEPTH: usize = 16;

/// The most text that a file may become.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most includes that one file may cause, through other files too.
const MAX_INCLUDES: usize = 1000;

/// One file's includes on their way into it.
struct Expansion<'a> {
    sources: &'a SourceTree,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The file whose lines are read, after those that include it.
    open: Vec<String>,
    left: usize,
}

/// The file with its includes put in, as a further file of the tree; `None` where it has none.
pub(super) fn expand(
    id: SourceId,
    includes: &[Include],
    sources: &mut SourceTree,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<SourceId> {
    if includes.is_empty() {
        return None;
    }
    let file = &sources[id];
    let name = file.name().to_owned();
    let mut expansion = Expansion {
        sources,
        diagnostics,
        open: vec![name.clone()],
        left: MAX_INCLUDES,
    };
    let text = expansion.splice(file.text(), includes);
    Some(sources.push(name, text))
}

impl Expansion<'_> {
    /// The text with each `INCLUDE` line replaced by what it names; a line that cannot be replaced goes, and a diagnostic says why.
    fn splice(&mut self, text: &str, includes: &[Include]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for include in includes {
            let place = include.path.span.range();
            let line_start = text[..place.start].rfind('\n').map_or(0, |end| end + 1);
            let line_end = text[place.end..]
                .find('\n')
                .map_or(text.len(), |end| place.end + end);
            out.push_str(text.get(at..line_start).unwrap_or(""));
            match self.fragment(include) {
                Ok(fragment) if out.len() + fragment.len() <= MAX_BYTES => out.push_str(&fragment),
                Ok(_) => self.diagnostics.push(problem(
                    include,
                    "is included too often",
                    "the file grows past 16 MiB here",
                )),
                Err(diagnostic) => self.diagnostics.push(*diagnostic),
            }
            at = line_end;
        }
        out.push_str(text.get(at..).unwrap_or(""));
        out
    }

    /// The text of an included file, with its own includes put in.
    fn fragment(&mut self, include: &Include) -> Result<String, Box<Diagnostic>> {
        let path = self.open.last().map_or("", String::as_str);
        let target = join(path, &include.path.value);
        if self.open.contains(&target) {
            return Err(Box::new(
                problem(
                    include,
                    "includes itself",
                    format!("while `{target}` is read"),
                )
                .help("take one of the `INCLUDE` lines out"),
            ));
        }
        let Some(file) = self.sources.file(&target) else {
            return Err(Box::new(
                problem(include, "does not exist", format!("looked for `{target}`"))
                    .help("the path is relative to the folder of the including file"),
            ));
        };
        if self.open.len() > MAX_DEPTH || self.left == 0 {
            return Err(Box::new(problem(
                include,
                "is included too deeply",
                format!("more than {MAX_DEPTH} files inside one another, or {MAX_INCLUDES} in all"),
            )));
        }
        self.left -= 1;
        let text = substitute(file.text(), &include.arguments);
        let inner = parse_include(&SourceFile::new(file.id(), target.clone(), text.clone()))
            .tree
            .includes;
        self.open.push(target);
        let text = self.splice(&text, &inner);
        self.open.pop();
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn problem(
    include: &Include,
    what: &str,
    label: impl Into<std::borrow::Cow<'static, str>>,
) -> Diagnostic {
    Diagnostic::error(
        codes::MISSING_INCLUDE,
        format!("included file `{}` {what}", include.path.value),
    )
    .label(include.path.span, label)
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
