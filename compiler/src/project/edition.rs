//! Which of the two ways a project is meant, where it makes a difference: in Classic, a push publishes the last node of each pipe without a `TYPE`; in Forward, nothing is
//! served that does not say `TYPE endpoint`.
//!
//! Files do not say which they are for, so that it follows from what only one of the two would take: [`Edition::of`]. `[project] kind` in `pipewright.toml` says it outright.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::syntax::NodeKind;
use serde::Deserialize;

use super::{Pipe, Project};
use crate::diagnostics::codes;

/// For which of the two a project is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// The last node of a pipe without any `TYPE` is its endpoint.
    Classic,
    /// Only `TYPE endpoint` publishes.
    #[default]
    Forward,
}

impl Edition {
    /// The name, as `[project] kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Forward => "forward",
        }
    }

    /// What the settings say, else what the files show: Forward refuses includes, `.token` files and engines in nodes; a project in which anything says `TYPE endpoint`
    /// publishes by that alone; one that has pipes without a `TYPE` and no endpoint is Classic, for in Forward they would serve nothing.
    pub(super) fn of(project: &Project, has_includes: bool) -> Self {
        if let Some(kind) = project.config.project.kind {
            return kind;
        }
        let own = || project.pipes.values().filter(|pipe| is_own(pipe));
        let nodes = || own().flat_map(|pipe| &pipe.nodes);
        if has_includes
            || !project.tokens.is_empty()
            || nodes().any(|node| node.directive("ENGINE").is_some())
        {
            return Self::Classic;
        }
        let is_forward = nodes().any(|node| {
            node.kind == NodeKind::Endpoint || node.directive("DEPLOYMENT_METHOD").is_some()
        }) || project
            .datasources
            .values()
            .any(|datasource| datasource.syntax.forward_query.is_some());
        if is_forward || own().all(|pipe| !is_untyped(pipe)) {
            Self::Forward
        } else {
            Self::Classic
        }
    }
}

/// Publishes what a Classic push would; says which pipes once for the whole project.
pub(super) fn publish(project: &mut Project, diagnostics: &mut Vec<Diagnostic>) {
    if project.edition == Edition::Forward {
        return;
    }
    let mut published = Vec::new();
    for pipe in project
        .pipes
        .values_mut()
        .filter(|pipe| is_own(pipe) && is_untyped(pipe))
    {
        if let Some(last) = pipe.nodes.last_mut() {
            last.kind = NodeKind::Endpoint;
            published.push((pipe.name.to_string(), last.name.clone()));
            pipe.published_by_default = true;
        }
    }
    let Some((name, node)) = published.first() else {
        return;
    };
    let message = match published.len() {
        1 => format!(
            "pipe `{name}` has no `TYPE`: its last node is its endpoint, as in a Classic push"
        ),
        count => format!(
            "{count} pipes, such as `{name}`, have no `TYPE`: the last node of each is its endpoint, as in a Classic push"
        ),
    };
    diagnostics.push(
        Diagnostic::new(Severity::Note, codes::PUBLISHED_BY_DEFAULT, message)
            .label(node.span, "served")
            .help("write `TYPE endpoint` where it is meant and `TYPE standard` where it is not, or `kind = \"forward\"` under `[project]` in `pipewright.toml` to serve only the former"),
    );
}

/// What another workspace shares is published there.
fn is_own(pipe: &Pipe) -> bool {
    pipe.name.workspace.is_none()
}

/// Whether no node says what it is for.
fn is_untyped(pipe: &Pipe) -> bool {
    !pipe.says_standard
        && pipe
            .nodes
            .iter()
            .all(|node| node.kind == NodeKind::Standard)
}

#[cfg(test)]
mod tests {
    use crate::project::{SourceTree, load};

    const UNTYPED: &str =
        "NODE first\nSQL >\n    SELECT 1 AS a\n\nNODE endpoint\nSQL >\n    SELECT a FROM first\n";

    /// The endpoints of a project, with what is said of them.
    fn endpoints(files: &[(&str, &str)]) -> String {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let (project, diagnostics) = load(SourceTree::new(files));
        let served = project.pipes.values().filter_map(|pipe| {
            let node = &pipe.endpoint()?.name.value;
            let why = if pipe.published_by_default {
                " by default"
            } else {
                ""
            };
            Some(format!("{}.{node}{why}", pipe.name))
        });
        let served: Vec<String> = served.collect();
        let said: Vec<&str> = diagnostics.iter().map(|found| found.code.name()).collect();
        format!("{} {} {said:?}", project.edition.name(), served.join(" "))
    }

    #[test]
    fn a_classic_pipe_without_a_type_serves_its_last_node() {
        let view = format!("{UNTYPED}\nTYPE materialized\nDATASOURCE d\n");
        assert_eq!(
            endpoints(&[("a.pipe", UNTYPED), ("b.pipe", UNTYPED), ("v.pipe", &view)]),
            "classic a.endpoint by default b.endpoint by default [\"published-by-default\"]"
        );
        let kept = format!("{UNTYPED}\nTYPE standard\n");
        assert_eq!(endpoints(&[("a.pipe", &kept)]), "forward  []");
        let empty = format!("{UNTYPED}\nTYPE\n");
        assert_eq!(
            endpoints(&[("a.pipe", &empty), ("b.pipe", &kept)]),
            "classic a.endpoint by default [\"published-by-default\"]"
        );
        assert_eq!(
            endpoints(&[("vendor/w/pipes/a.pipe", UNTYPED)]),
            "forward  []"
        );
    }

    #[test]
    fn a_forward_project_serves_what_says_so() {
        let served = UNTYPED.replace("NODE endpoint", "TYPE endpoint\n\nNODE last");
        assert_eq!(
            endpoints(&[("a.pipe", UNTYPED), ("b.pipe", &served)]),
            "forward b.first []"
        );
        let query = "SCHEMA >\n    `a` Int32\n\nFORWARD_QUERY >\n    SELECT a FROM d\n";
        assert_eq!(
            endpoints(&[("a.pipe", UNTYPED), ("d.datasource", query)]),
            "forward  []"
        );
        assert_eq!(endpoints(&[]), "forward  []");
    }

    #[test]
    fn what_forward_refuses_is_classic_beside_endpoints_too() {
        let served = UNTYPED.replace("NODE endpoint", "TYPE endpoint\n\nNODE last");
        let token = ("t.token", "SCOPE PIPES:READ\nRESOURCE a\n");
        assert_eq!(
            endpoints(&[("a.pipe", UNTYPED), ("b.pipe", &served), token]),
            "classic a.endpoint by default b.first [\"published-by-default\"]"
        );
    }

    #[test]
    fn the_settings_decide() {
        let settings = |kind: &str| format!("[project]\nkind = \"{kind}\"\n");
        assert_eq!(
            endpoints(&[
                ("a.pipe", UNTYPED),
                ("pipewright.toml", &settings("forward"))
            ]),
            "forward  []"
        );
        let served = format!("{UNTYPED}\nTYPE endpoint\n");
        assert_eq!(
            endpoints(&[
                ("a.pipe", UNTYPED),
                ("b.pipe", &served),
                ("pipewright.toml", &settings("classic"))
            ]),
            "classic a.endpoint by default b.endpoint [\"published-by-default\"]"
        );
        assert_eq!(
            endpoints(&[("pipewright.toml", &settings("modern"))]),
            "forward  [\"bad-config\"]"
        );
    }
}
