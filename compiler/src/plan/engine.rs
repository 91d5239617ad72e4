//! The engine that a file writes, and whether what it says of it can be.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{SourceId, Span, Spanned};
use pipewright_grammar::syntax::DatasourceFile;

use super::table::Engine;
use crate::diagnostics::codes;
use crate::graph::similar_names;

/// An engine argument: the key that gives it, and whether the engine works without.
struct Argument {
    key: &'static str,
    required: bool,
}

const fn optional(key: &'static str) -> Argument {
    Argument {
        key,
        required: false,
    }
}

const fn required(key: &'static str) -> Argument {
    Argument {
        key,
        required: true,
    }
}

/// The engines of the reference, with the arguments that each takes in order.
const ENGINES: &[(&str, &[Argument])] = &[
    ("MergeTree", &[]),
    (
        "ReplacingMergeTree",
        &[optional("ENGINE_VER"), optional("ENGINE_IS_DELETED")],
    ),
    ("SummingMergeTree", &[optional("ENGINE_COLUMNS")]),
    ("AggregatingMergeTree", &[]),
    ("CollapsingMergeTree", &[required("ENGINE_SIGN")]),
    (
        "VersionedCollapsingMergeTree",
        &[required("ENGINE_SIGN"), required("ENGINE_VERSION")],
    ),
    ("Null", &[]),
];

/// The engine with its keys; a plain `MergeTree` where the one that is written is not known.
pub(super) fn engine(syntax: &DatasourceFile, diagnostics: &mut Vec<Diagnostic>) -> Engine {
    let Some((name, arguments)) = engine_name(syntax, diagnostics) else {
        return Engine {
            name: "MergeTree",
            sorting_key: Some("tuple()".to_owned()),
            ..Engine::default()
        };
    };
    let value = |keyword: &str| {
        syntax
            .directive(keyword)
            .map(|directive| directive.value.value.trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    let merge_tree = name.ends_with("MergeTree");
    Engine {
        name,
        arguments: engine_arguments(syntax, name, arguments, diagnostics),
        partition_key: value("ENGINE_PARTITION_KEY").filter(|_| merge_tree),
        sorting_key: merge_tree
            .then(|| value("ENGINE_SORTING_KEY").unwrap_or_else(|| "tuple()".to_owned())),
        primary_key: value("ENGINE_PRIMARY_KEY").filter(|_| merge_tree),
        sampling_key: value("ENGINE_SAMPLING_KEY").filter(|_| merge_tree),
        ttl: value("ENGINE_TTL").filter(|_| merge_tree),
        settings: value("ENGINE_SETTINGS").filter(|_| merge_tree),
    }
}

/// The engine by its name in any case, with or without arguments in parentheses and the prefixes of replicated servers.
fn engine_name(
    syntax: &DatasourceFile,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(&'static str, &'static [Argument])> {
    let Some(written) = &syntax.engine else {
        return Some((ENGINES[0].0, ENGINES[0].1));
    };
    let bare = written.value.split('(').next().unwrap_or("").trim();
    let bare = ["Replicated", "Shared"]
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix))
        .unwrap_or(bare);
    let known = ENGINES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(bare));
    if let Some((name, arguments)) = known {
        check_written_arguments(syntax, written, arguments, diagnostics);
        return Some((name, arguments));
    }
    let mut diagnostic = Diagnostic::error(
        codes::BAD_ENGINE,
        format!("there is no engine `{bare}` for data sources"),
    )
    .label(written.span, "");
    diagnostic =
        match similar_names(bare, ENGINES.iter().map(|(name, _)| (*name).to_owned())).first() {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None => diagnostic.help("use MergeTree or one of its family, or Null"),
        };
    diagnostics.push(diagnostic);
    None
}

/// Reports arguments behind an engine's name that its own keys do not give as well: they would be lost. What replicated servers have in front of them, texts, is nothing
/// that one server needs.
fn check_written_arguments(
    syntax: &DatasourceFile,
    written: &Spanned<String>,
    arguments: &[Argument],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some((_, inside)) = written.value.split_once('(') else {
        return;
    };
    let names = |text: &str| -> Vec<String> {
        let words = text.split(|letter: char| {
            matches!(letter, '(' | ')' | ',' | '`') || letter.is_whitespace()
        });
        words
            .filter(|word| !word.is_empty() && !word.starts_with('\''))
            .map(str::to_owned)
            .collect()
    };
    let written_names = names(inside);
    let keys = arguments
        .iter()
        .filter_map(|argument| syntax.directive(argument.key));
    let given: Vec<String> = keys.flat_map(|key| names(&key.value.value)).collect();
    if written_names.is_empty() || written_names == given {
        return;
    }
    let keys: Vec<String> = arguments
        .iter()
        .map(|argument| format!("`{}`", argument.key))
        .collect();
    let diagnostic = Diagnostic::error(
        codes::BAD_ENGINE,
        format!("the arguments of `{}` are not read", written.value),
    )
    .label(written.span, "");
    diagnostics.push(if keys.is_empty() {
        diagnostic.help("take them out: this engine has none")
    } else {
        diagnostic.help(format!("write them as {}", keys.join(" and ")))
    });
}

fn engine_arguments(
    syntax: &DatasourceFile,
    engine: &str,
    arguments: &[Argument],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut given: Vec<String> = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        let directive = syntax
            .directive(argument.key)
            .filter(|directive| !directive.value.value.trim().is_empty());
        let Some(directive) = directive else {
            if argument.required {
                let place = syntax
                    .engine
                    .as_ref()
                    .map_or(Span::new(SourceId(0), 0, 0), |engine| engine.span);
                diagnostics.push(
                    Diagnostic::error(
                        codes::BAD_ENGINE,
                        format!("{engine} needs `{}`", argument.key),
                    )
                    .label(place, ""),
                );
            }
            continue;
        };
        if given.len() < at {
            diagnostics.push(
                Diagnostic::error(
                    codes::BAD_ENGINE,
                    format!(
                        "`{}` needs `{}` as well",
                        argument.key,
                        arguments[at - 1].key
                    ),
                )
                .label(directive.keyword.span, ""),
            );
            continue;
        }
        for name in directive.value.value.trim_matches(['(', ')']).split(',') {
            check_column(
                syntax,
                name.trim().trim_matches('`'),
                directive.value.span,
                diagnostics,
            );
        }
        let text = directive.value.value.trim().to_owned();
        let several =
            argument.key == "ENGINE_COLUMNS" && text.contains(',') && !text.starts_with('(');
        given.push(if several { format!("({text})") } else { text });
    }
    given
}

fn check_column(
    syntax: &DatasourceFile,
    name: &str,
    span: Span,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let added = crate::connect::implied_columns(syntax)
        .iter()
        .any(|column| column.name == name);
    // The columns of a data source that a node makes are not written anywhere.
    let unwritten = syntax.schema.is_none();
    if name.is_empty()
        || added
        || unwritten
        || syntax
            .columns
            .iter()
            .any(|column| column.name.value == name)
    {
        return;
    }
    let mut diagnostic = Diagnostic::error(
        codes::BAD_ENGINE,
        format!("`{name}` is no column of this data source"),
    )
    .label(span, "");
    if let Some(similar) = similar_names(
        name,
        syntax
            .columns
            .iter()
            .map(|column| column.name.value.clone()),
    )
    .first()
    {
        diagnostic = diagnostic.help(format!("did you mean `{similar}`?"));
    }
    diagnostics.push(diagnostic);
}
