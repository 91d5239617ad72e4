//! Keeps a change through the API from publishing or unpublishing anything by the way.
//!
//! In a Classic project the last node of a pipe without a `TYPE` is served, and whether a project is Classic follows from its files. So what the API writes says more than
//! files need to: `TYPE standard` in a pipe that is not to be served, and `[project] kind` where the change would make the project look like the other kind.

use std::collections::BTreeMap;

use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::{Edition, Pipe};

use super::{Change, Current, EditError, PipeText, Rename};
use crate::workspace::SETTINGS;

/// Adds to a change what it must say besides; whether anything was added. `files` and `plan` are what it would make of the project.
pub(super) fn amend(
    before: &Current,
    change: &mut Change,
    files: &BTreeMap<String, String>,
    plan: &Plan,
) -> Result<bool, EditError> {
    let edition = before.plan.project.edition;
    if plan.project.edition != edition {
        let settings = files.get(SETTINGS).map_or("", String::as_str);
        let settings = with_edition(settings, edition);
        change.files.insert(SETTINGS.to_owned(), Some(settings));
        return Ok(true);
    }
    let mut amended = false;
    for pipe in plan.project.pipes.values() {
        let path = plan.project.sources[pipe.span.source].name();
        let Some(Some(text)) = change.files.get(path) else {
            continue;
        };
        if !pipe.published_by_default || was_published_by_default(before, change, pipe) {
            continue;
        }
        let Some(last) = pipe.nodes.last() else {
            continue;
        };
        let mut text = PipeText::new(text.clone());
        let mut parts = text.node(&last.name.value)?;
        parts.kind = Some("standard".to_owned());
        text.replace(&last.name.value, &parts)?;
        change.files.insert(path.to_owned(), Some(text.into_text()));
        amended = true;
    }
    Ok(amended)
}

fn was_published_by_default(before: &Current, change: &Change, pipe: &Pipe) -> bool {
    let name = pipe.name.name.as_str();
    let earlier = change.renames.iter().find_map(|rename| match rename {
        Rename::Pipe { from, to } if to == name => Some(from.as_str()),
        _ => None,
    });
    let earlier = before.plan.project.pipe(earlier.unwrap_or(name));
    earlier.is_some_and(|pipe| pipe.published_by_default)
}

/// The settings with the kind of project written out; every other byte stays.
fn with_edition(settings: &str, edition: Edition) -> String {
    let line = format!("kind = \"{}\"\n", edition.name());
    let mut out = String::with_capacity(settings.len() + 32);
    let mut written = false;
    for text in settings.split_inclusive('\n') {
        out.push_str(text);
        if !text.ends_with('\n') {
            out.push('\n');
        }
        if !written && text.trim() == "[project]" {
            out.push_str(&line);
            written = true;
        }
    }
    if !written {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str("[project]\n");
        out.push_str(&line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_project_is_added_to_the_settings() {
        let written = |settings: &str| with_edition(settings, Edition::Classic);
        assert_eq!(written(""), "[project]\nkind = \"classic\"\n");
        assert_eq!(
            written("[limits]\ncopies = 1"),
            "[limits]\ncopies = 1\n\n[project]\nkind = \"classic\"\n"
        );
        assert_eq!(
            written("[project]\n\n[limits]\ncopies = 1\n"),
            "[project]\nkind = \"classic\"\n\n[limits]\ncopies = 1\n"
        );
    }
}
