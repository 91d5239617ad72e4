//! Edits `.pipe` text: one node or the description is written anew, every other byte stays as its author wrote it.

use std::ops::Range;

use pipewright_compiler::diagnostics::render;
use pipewright_compiler::plan::needs_type;
use pipewright_compiler::project::prose::{with_marks, without_marks};
use pipewright_grammar::diagnostic::Severity;
use pipewright_grammar::parse_pipe;
use pipewright_grammar::source::{SourceFile, SourceId};
use pipewright_grammar::syntax::{NodeDecl, PipeFile};

use super::indent::{Text, dedent, indent};

/// A node as text parts, from which its block is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeText {
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The SQL, without the indentation of the file.
    pub sql: String,
    /// `TYPE`, in lower case; `None` for a standard node.
    pub kind: Option<String>,
    /// The other directives: keyword in upper case, value.
    pub directives: Vec<(String, String)>,
}

impl NodeText {
    /// The value of a directive.
    pub fn directive(&self, keyword: &str) -> Option<&str> {
        self.directives
            .iter()
            .rev()
            .find(|(name, _)| name == keyword)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a directive, or takes it away.
    pub fn set_directive(&mut self, keyword: &str, value: Option<String>) {
        let at = self.directives.iter().position(|(name, _)| name == keyword);
        self.directives.retain(|(name, _)| name != keyword);
        if let Some(value) = value {
            let at = at
                .unwrap_or(self.directives.len())
                .min(self.directives.len());
            self.directives.insert(at, (keyword.to_owned(), value));
        }
    }

    /// Makes the node a plain one: neither served, nor filling a data source.
    pub fn make_standard(&mut self) {
        self.kind = None;
        self.directives.retain(|(name, _)| !needs_type(name));
    }

    fn print(&self) -> String {
        let mut out = format!("NODE {}\n", self.name);
        if let Some(description) = self
            .description
            .as_deref()
            .filter(|text| !text.trim().is_empty())
        {
            out.push_str(&print_description(description));
        }
        out.push_str("SQL >\n");
        out.push_str(&indent(&self.sql, Text::Sql));
        out.push('\n');
        if self.kind.is_some() || !self.directives.is_empty() {
            out.push('\n');
        }
        if let Some(kind) = &self.kind {
            out.extend(["TYPE ", kind, "\n"]);
        }
        for (keyword, value) in &self.directives {
            if value.contains('\n') {
                out.extend([keyword, " >\n", &indent(value, Text::Prose), "\n"]);
            } else {
                out.extend([keyword, " ", value, "\n"]);
            }
        }
        out
    }
}

pub(super) fn print_description(text: &str) -> String {
    let text = with_marks(text.trim());
    format!("DESCRIPTION >\n{}\n", indent(&text, Text::Prose))
}

/// The description that stands at a place in a file.
pub(super) fn description_at(file: &str, place: Range<usize>) -> String {
    without_marks(&dedent(file, place, Text::Prose))
}

/// Why a text cannot be edited.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    /// There is no such node in the file itself.
    #[error(
        "node `{0}` is not in this file: it comes from a file that this one includes, and is edited there"
    )]
    NotInFile(String),
    /// What was asked for cannot be written in a datafile.
    #[error("this cannot be written into a datafile: {0}")]
    NotWritable(String),
}

/// The text of a `.pipe` file, to be edited.
#[derive(Debug)]
pub struct PipeText {
    text: String,
}

impl PipeText {
    /// Takes the text of a file.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// A file with these parts.
    pub fn create(description: Option<&str>, nodes: &[NodeText]) -> Result<Self, EditError> {
        let mut pipe = Self::new(
            description
                .filter(|text| !text.trim().is_empty())
                .map(print_description)
                .unwrap_or_default(),
        );
        for node in nodes {
            pipe.append(node)?;
        }
        Ok(pipe)
    }

    /// The text as it is now.
    pub fn into_text(self) -> String {
        self.text
    }

    fn file(&self) -> SourceFile {
        SourceFile::new(SourceId(0), "pipe.pipe".to_owned(), self.text.clone())
    }

    fn tree(&self) -> PipeFile {
        parse_pipe(&self.file()).tree
    }

    /// The parts of a node. A file that is nothing but SQL has one node, of any name.
    pub fn node(&self, name: &str) -> Result<NodeText, EditError> {
        let tree = self.tree();
        match tree.nodes.iter().find(|node| node.name.value == name) {
            Some(node) => Ok(self.parts(node)),
            None if tree.nodes.is_empty() && tree.sql.is_some() => Ok(self.sole_node(&tree, name)),
            None => Err(EditError::NotInFile(name.to_owned())),
        }
    }

    fn parts(&self, node: &NodeDecl) -> NodeText {
        let sql = node.sql.as_ref().map_or(String::new(), |sql| {
            dedent(&self.text, range(sql.span), Text::Sql)
        });
        NodeText {
            name: node.name.value.clone(),
            description: node
                .description
                .as_ref()
                .map(|text| description_at(&self.text, range(text.span))),
            sql,
            kind: node
                .kind
                .as_ref()
                .map(|kind| self.text[range(kind.span)].trim().to_lowercase())
                // A `TYPE` without a word has its own place for a value.
                .filter(|kind| kind != "type" && !kind.is_empty()),
            directives: node
                .directives
                .iter()
                .map(|directive| {
                    (
                        directive.keyword.value.clone(),
                        directive.value.value.clone(),
                    )
                })
                .collect(),
        }
    }

    fn sole_node(&self, tree: &PipeFile, name: &str) -> NodeText {
        let sql = tree.sql.as_ref().map_or(String::new(), |sql| {
            dedent(&self.text, range(sql.span), Text::Sql)
        });
        NodeText {
            name: name.to_owned(),
            sql,
            ..NodeText::default()
        }
    }

    /// Adds a node after the others.
    pub fn append(&mut self, node: &NodeText) -> Result<(), EditError> {
        let tree = self.tree();
        if tree.nodes.is_empty() && tree.sql.is_some() {
            return Err(EditError::NotWritable(
                "the pipe is written without NODE lines; give its node a name first".to_owned(),
            ));
        }
        let mut text = self.text.trim_end().to_owned();
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&node.print());
        self.accept(text, node)
    }

    /// Writes a node anew.
    pub fn replace(&mut self, name: &str, node: &NodeText) -> Result<(), EditError> {
        let tree = self.tree();
        if tree.nodes.is_empty() && tree.sql.is_some() {
            let place = tree
                .sql
                .as_ref()
                .map_or(0..0, |sql| self.section_of(range(sql.span), "SQL"));
            let text = format!(
                "{}{}{}",
                &self.text[..place.start],
                node.print(),
                &self.text[place.end..]
            );
            return self.accept(text, node);
        }
        let place = self.place(&tree, name)?;
        let text = format!(
            "{}{}{}",
            &self.text[..place.start],
            node.print(),
            &self.text[place.end..]
        );
        self.accept(text, node)
    }

    /// Takes a node away.
    pub fn remove(&mut self, name: &str) -> Result<(), EditError> {
        let tree = self.tree();
        let place = self.place(&tree, name)?;
        let (before, after) = (
            self.text[..place.start].trim_end(),
            self.text[place.end..].trim_start_matches(['\n', '\r']),
        );
        self.text = match (before.is_empty(), after.trim().is_empty()) {
            (true, _) => after.to_owned(),
            (false, true) => format!("{before}\n"),
            (false, false) => format!("{before}\n\n{after}"),
        };
        Ok(())
    }

    /// Sets the pipe's own description.
    pub fn describe(&mut self, description: &str) -> Result<(), EditError> {
        let tree = self.tree();
        let printed = if description.trim().is_empty() {
            String::new()
        } else {
            print_description(description)
        };
        let text = match &tree.description {
            Some(old) => {
                let place = self.section_of(range(old.span), "DESCRIPTION");
                format!(
                    "{}{printed}{}",
                    &self.text[..place.start],
                    &self.text[place.end..]
                )
            }
            None if printed.is_empty() => return Ok(()),
            None => format!("{printed}\n{}", self.text),
        };
        let changed = Self::new(text);
        let found = changed
            .tree()
            .description
            .map(|text| description_at(&changed.text, range(text.span)));
        if found.as_deref().unwrap_or("") != description.trim()
            || changed.tree().nodes.len() != tree.nodes.len()
        {
            return Err(EditError::NotWritable(
                "the description reads like the lines of a datafile".to_owned(),
            ));
        }
        *self = changed;
        Ok(())
    }

    /// Where a node's lines stand: from its `NODE` to the end of its last line.
    fn place(&self, tree: &PipeFile, name: &str) -> Result<Range<usize>, EditError> {
        let not_in_file = || EditError::NotInFile(name.to_owned());
        let node = tree
            .nodes
            .iter()
            .find(|node| node.name.value == name)
            .ok_or_else(not_in_file)?;
        let span = range(node.span);
        if tree
            .includes
            .iter()
            .any(|include| span.contains(&(include.path.span.start as usize)))
        {
            return Err(not_in_file());
        }
        Ok(self.line_start(span.start)..self.line_end(span.end))
    }

    /// The lines of a directive from its keyword to the end of its value.
    fn section_of(&self, value: Range<usize>, keyword: &str) -> Range<usize> {
        let mut start = self.line_start(value.start);
        while start > 0
            && !self.text[start..]
                .trim_start()
                .get(..keyword.len())
                .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
        {
            start = self.line_start(start - 1);
        }
        start..self.line_end(value.end)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..]
            .find('\n')
            .map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// Takes a text over, if its node reads as it was meant.
    fn accept(&mut self, text: String, node: &NodeText) -> Result<(), EditError> {
        let before = errors(&self.file()).len();
        let changed = Self::new(text);
        let found = errors(&changed.file());
        if found.len() > before {
            return Err(EditError::NotWritable(
                found.last().cloned().unwrap_or_default(),
            ));
        }
        let read = changed.node(&node.name)?;
        let meant = NodeText {
            sql: node.sql.trim().to_owned(),
            description: node
                .description
                .as_ref()
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty()),
            ..node.clone()
        };
        if read != meant {
            return Err(EditError::NotWritable(format!(
                "node `{}` would read differently from what was sent",
                node.name
            )));
        }
        *self = changed;
        Ok(())
    }
}

fn range(span: pipewright_grammar::source::Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

fn errors(file: &SourceFile) -> Vec<String> {
    let found = parse_pipe(file).diagnostics;
    let errors = found
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors
        .map(|diagnostic| {
            render::concise(std::slice::from_ref(diagnostic), std::slice::from_ref(file))
                .trim()
                .to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    const FILE: &str = "\
# by hand
DESCRIPTION What it is.
TOKEN \"dashboard\" READ

NODE   first     # odd blanks
SQL >
\tSELECT 1   AS a

NODE second
DESCRIPTION >
    Two lines
    of text.
SQL >
    %
    SELECT *
    FROM first
    WHERE a = {{Int32(x, 1)}}
TYPE endpoint
";

    #[test]
    fn an_edit_leaves_every_other_byte() {
        let mut pipe = PipeText::new(FILE);
        let mut node = pipe.node("second").unwrap();
        assert_eq!(
            node.sql,
            "%\nSELECT *\nFROM first\nWHERE a = {{Int32(x, 1)}}"
        );
        assert_eq!(
            (node.kind.as_deref(), node.description.as_deref()),
            (Some("endpoint"), Some("Two lines\nof text."))
        );
        "SELECT\n  a\nFROM first".clone_into(&mut node.sql);
        node.kind = None;
        pipe.replace("second", &node).unwrap();
        assert_snapshot!(pipe.into_text(), @r#"
        # by hand
        DESCRIPTION What it is.
        TOKEN "dashboard" READ

        NODE   first     # odd blanks
        SQL >
        	SELECT 1   AS a

        NODE second
        DESCRIPTION >
            Two lines
            of text.
        SQL >
            SELECT
              a
            FROM first
        "#);
    }

    #[test]
    fn a_plain_node_keeps_no_key_of_its_type() {
        let mut pipe = PipeText::new(
            "NODE n\nSQL >\n    SELECT 1\nTYPE copy\nTARGET_DATASOURCE t\nCOPY_SCHEDULE 0 * * * *\nMODE replace\nON_DEMAND_COMPUTE true\n\nNODE m\nSQL >\n    SELECT 1\nTYPE materialized\nDATASOURCE t\nDEPLOYMENT_METHOD alter\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"a\"\n\nNODE s\nSQL >\n    SELECT 1\nTYPE sink\nEXPORT_CONNECTION_NAME c\nEXPORT_KAFKA_TOPIC t\n",
        );
        for name in ["n", "m", "s"] {
            let mut node = pipe.node(name).unwrap();
            node.make_standard();
            assert_eq!(
                (node.kind.as_ref(), node.directives.as_slice()),
                (None, &[][..])
            );
            pipe.replace(name, &node).unwrap();
        }
        assert!(!pipe.into_text().contains("TYPE"));
    }

    #[test]
    fn nodes_are_added_and_taken_away() {
        let mut pipe = PipeText::create(Some("A pipe"), &[]).unwrap();
        let node = |name: &str, sql: &str| NodeText {
            name: name.to_owned(),
            sql: sql.to_owned(),
            ..NodeText::default()
        };
        pipe.append(&node("one", "SELECT 1 AS a")).unwrap();
        pipe.append(&node("two", "SELECT *\nFROM one\nWHERE b = 'two\nlines'"))
            .unwrap();
        pipe.append(&node("three", "SELECT 3")).unwrap();
        pipe.remove("one").unwrap();
        pipe.describe("Another\ntext").unwrap();
        assert_eq!(
            pipe.node("two").unwrap().sql,
            "SELECT *\nFROM one\nWHERE b = 'two\nlines'"
        );
        assert_snapshot!(pipe.into_text(), @r"
        DESCRIPTION >
            Another
            text

        NODE two
        SQL >
            SELECT *
            FROM one
            WHERE b = 'two
        lines'

        NODE three
        SQL >
            SELECT 3
        ");
    }

    #[test]
    fn what_would_read_differently_is_refused() {
        let mut pipe = PipeText::new(FILE);
        let node = NodeText {
            name: "third".to_owned(),
            sql: "SELECT 1\nNODE hidden\nSQL >\n SELECT 2".to_owned(),
            ..NodeText::default()
        };
        assert!(matches!(pipe.append(&node), Err(EditError::NotWritable(_))));
        assert_eq!(pipe.tree().nodes.len(), 2);
        let node = NodeText {
            name: "two words".to_owned(),
            sql: "SELECT 1".to_owned(),
            ..NodeText::default()
        };
        assert!(matches!(
            pipe.append(&node),
            Err(EditError::NotWritable(_) | EditError::NotInFile(_))
        ));
        let node = NodeText {
            name: "x".to_owned(),
            sql: String::new(),
            ..NodeText::default()
        };
        assert!(pipe.append(&node).is_err());
    }
}
