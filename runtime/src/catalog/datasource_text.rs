//! The text of a `.datasource` file, made from what a request says or edited where a request asks for it. What is written is read again before it is taken:
//! a value that would read as other lines of the file is refused.

use std::ops::Range;

use pipewright_grammar::parse_datasource;
use pipewright_grammar::source::{SourceFile, SourceId, Span};
use pipewright_grammar::syntax::DatasourceFile;

use super::EditError;
use super::datafile::{description_at, print_description};
use super::indent::{Text, indent};

/// What a new data source is made of.
#[derive(Debug, Clone, Default)]
pub struct DatasourceParts {
    /// What it is for.
    pub description: Option<String>,
    /// The columns, as between the parentheses of a `CREATE TABLE`, with JSON paths.
    pub schema: String,
    /// Skip indexes, one a line.
    pub indexes: Option<String>,
    /// `ENGINE` and its keys, in upper case.
    pub engine: Vec<(String, String)>,
}

/// The text of a `.datasource` file.
#[derive(Debug)]
pub struct DatasourceText {
    text: String,
}

/// A column's name as it stands in a schema, whatever it is.
pub fn quoted_column(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('`', "\\`");
    let name = name.replace('\n', "\\n").replace('\r', "\\r");
    format!("`{name}`")
}

fn not_writable(message: &str) -> EditError {
    EditError::NotWritable(message.to_owned())
}

impl DatasourceText {
    /// Takes the text of a file.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// A file with these parts.
    pub fn create(parts: &DatasourceParts) -> Result<Self, EditError> {
        let mut text = format!("SCHEMA >\n{}\n", columns(&parts.schema)?);
        if let Some(indexes) = parts.indexes.as_deref().map(str::trim)
            && !indexes.is_empty()
        {
            let lines: Vec<&str> = indexes
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            text.extend(["\nINDEXES >\n", &indent(&lines.join("\n"), Text::Sql), "\n"]);
        }
        if !parts.engine.is_empty() {
            text.push('\n');
        }
        for (keyword, value) in &parts.engine {
            if value.contains(['\n', '\r', '"']) || !is_keyword(keyword) {
                return Err(not_writable(&format!(
                    "the value of `{keyword}` has quotes or several lines"
                )));
            }
            text.extend([keyword, " \"", value.trim(), "\"\n"]);
        }
        let made = Self::new(text);
        let tree = made.tree();
        let keys = tree.directives.len() + usize::from(tree.engine.is_some());
        let others = [
            tree.tokens.len(),
            tree.tags.len(),
            tree.shared_with.len(),
            tree.includes.len(),
            usize::from(tree.description.is_some() || tree.forward_query.is_some()),
        ];
        if keys != parts.engine.len() || others != [0; 5] || tree.columns.is_empty() {
            return Err(not_writable(
                "the columns or indexes read like other lines of a datafile",
            ));
        }
        let mut made = made;
        if let Some(description) = &parts.description {
            made.describe(description)?;
        }
        Ok(made)
    }

    /// The text as it is now.
    pub fn into_text(self) -> String {
        self.text
    }

    fn tree(&self) -> DatasourceFile {
        let name = "datasource.datasource".to_owned();
        parse_datasource(&SourceFile::new(SourceId(0), name, self.text.clone())).tree
    }

    /// Sets the description.
    pub fn describe(&mut self, description: &str) -> Result<(), EditError> {
        let description = description.trim();
        let tree = self.tree();
        let printed = if description.is_empty() {
            String::new()
        } else {
            print_description(description)
        };
        let text = match &tree.description {
            Some(old) => self.replaced(old.span, "DESCRIPTION", &printed),
            None if printed.is_empty() => return Ok(()),
            None => format!("{printed}\n{}", self.text),
        };
        let changed = Self::new(text);
        let after = changed.tree();
        let found = after
            .description
            .as_ref()
            .map(|text| description_at(&changed.text, range(text.span)));
        if found.as_deref().unwrap_or("") != description
            || after.columns.len() != tree.columns.len()
            || after.directives.len() != tree.directives.len()
        {
            return Err(not_writable(
                "the description reads like the lines of a datafile",
            ));
        }
        *self = changed;
        Ok(())
    }

    /// Writes other columns in place of those that are there.
    pub fn set_schema(&mut self, schema: &str) -> Result<(), EditError> {
        let tree = self.tree();
        let Some(old) = tree.schema else {
            return Err(not_writable("the data source has no schema of its own"));
        };
        let changed =
            Self::new(self.replaced(old, "SCHEMA", &format!("SCHEMA >\n{}\n", columns(schema)?)));
        if changed.tree().directives.len() != tree.directives.len() {
            return Err(not_writable(
                "the columns read like other lines of a datafile",
            ));
        }
        *self = changed;
        Ok(())
    }

    /// Lets rows live as long as an expression says; without one, for ever.
    pub fn set_ttl(&mut self, ttl: Option<&str>) -> Result<(), EditError> {
        let tree = self.tree();
        let old = tree.directive("ENGINE_TTL");
        if ttl.is_some() && tree.engine.is_none() {
            return Err(not_writable(
                "the data source has no `ENGINE`, whose rows could have a time to live",
            ));
        }
        if ttl.is_some_and(|ttl| ttl.contains(['\n', '\r', '"'])) {
            return Err(not_writable(
                "the value of `ttl` has quotes or several lines",
            ));
        }
        let line = ttl.map_or_else(String::new, |ttl| format!("ENGINE_TTL \"{ttl}\"\n"));
        let text = if let Some(old) = old {
            self.replaced(old.value.span, "ENGINE_TTL", &line)
        } else {
            let keys = tree.directives.iter();
            let keys = keys.filter(|key| key.keyword.value.starts_with("ENGINE_"));
            let ends = keys.map(|key| key.value.span.end);
            let engine = tree.engine.as_ref().map(|engine| engine.span.end);
            self.with_line_behind(ends.chain(engine).max(), &line)
        };
        let changed = Self::new(text);
        let after = changed.tree();
        let found = after.directive("ENGINE_TTL").map(|key| &*key.value.value);
        let added = usize::from(ttl.is_some());
        let others = tree.directives.len() - usize::from(old.is_some());
        if found != ttl || after.directives.len() != others + added {
            return Err(not_writable("the value of `ttl` cannot be written"));
        }
        *self = changed;
        Ok(())
    }

    /// Writes other skip indexes, one a line, in place of those that are there.
    pub fn set_indexes(&mut self, indexes: &[&str]) -> Result<(), EditError> {
        let tree = self.tree();
        let block = if indexes.is_empty() {
            String::new()
        } else {
            format!("INDEXES >\n{}\n", indent(&indexes.join("\n"), Text::Sql))
        };
        let text = match (tree.indexes.first(), tree.indexes.last()) {
            (Some(first), Some(last)) => {
                let old = Span {
                    end: last.span.end,
                    ..first.span
                };
                let keyword = if self.names_indices(old) {
                    "INDICES"
                } else {
                    "INDEXES"
                };
                self.replaced(old, keyword, &block)
            }
            _ => self.with_line_behind(tree.schema.map(|schema| schema.end), &format!("\n{block}")),
        };
        let changed = Self::new(text);
        let after = changed.tree();
        if after.indexes.len() != indexes.len()
            || after.columns.len() != tree.columns.len()
            || after.directives.len() != tree.directives.len()
            || after.tokens.len() != tree.tokens.len()
        {
            return Err(not_writable(
                "`indexes` takes `INDEX <name> <expression> TYPE <type>`, one a line",
            ));
        }
        *self = changed;
        Ok(())
    }

    /// Whether the block that a span is in has the other spelling of its keyword.
    fn names_indices(&self, span: Span) -> bool {
        let before = self.text[..range(span).start].to_ascii_uppercase();
        before.rfind("INDICES") > before.rfind("INDEXES")
    }

    /// The text with lines behind the one of a place; at the end without a place.
    fn with_line_behind(&self, place: Option<u32>, line: &str) -> String {
        let place = place.map_or(self.text.len(), |place| place as usize);
        let end = self.text[place..].find('\n');
        let end = end.map_or(self.text.len(), |newline| place + newline + 1);
        let (before, after) = self.text.split_at(end);
        let newline = if before.ends_with('\n') { "" } else { "\n" };
        format!("{before}{newline}{line}{after}")
    }

    fn replaced(&self, value: Span, keyword: &str, with: &str) -> String {
        let value = range(value);
        let line_start = |at: usize| self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let mut start = line_start(value.start);
        while start > 0
            && !self.text[start..]
                .trim_start()
                .get(..keyword.len())
                .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
        {
            start = line_start(start - 1);
        }
        let end = self.text[value.end..]
            .find('\n')
            .map_or(self.text.len(), |newline| value.end + newline + 1);
        format!("{}{with}{}", &self.text[..start], &self.text[end..])
    }
}

/// The columns of a schema, one a line.
fn columns(schema: &str) -> Result<String, EditError> {
    // Blanks inside of a line may be those of a text.
    let lines: Vec<&str> = schema.lines().map(str::trim).collect();
    let one_line = lines.join(" ");
    let probe = DatasourceText::new(format!("SCHEMA >\n    {one_line}\n"));
    let tree = probe.tree();
    let end = tree.schema.map(range).map_or(0, |schema| schema.end);
    if tree.columns.is_empty() || probe.text[end..].trim() != "" {
        return Err(not_writable("the schema has no columns"));
    }
    let columns = tree
        .columns
        .iter()
        .map(|column| format!("    {}", probe.text[range(column.span)].trim()));
    Ok(columns.collect::<Vec<_>>().join(",\n"))
}

fn is_keyword(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn range(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn parts() -> DatasourceParts {
        DatasourceParts {
            description: Some("What happened".to_owned()),
            schema: "`at` DateTime `json:$.at`, `kind` LowCardinality(String) `json:$.a.b` DEFAULT 'x, y'".to_owned(),
            indexes: Some("INDEX one kind TYPE set(10) GRANULARITY 1".to_owned()),
            engine: vec![
                ("ENGINE".to_owned(), "MergeTree".to_owned()),
                ("ENGINE_SORTING_KEY".to_owned(), "at, kind".to_owned()),
            ],
        }
    }

    #[test]
    fn a_file_is_made_of_its_parts() {
        let text = DatasourceText::create(&parts()).unwrap().into_text();
        assert_snapshot!(text, @r#"
        DESCRIPTION >
            What happened

        SCHEMA >
            `at` DateTime `json:$.at`,
            `kind` LowCardinality(String) `json:$.a.b` DEFAULT 'x, y'

        INDEXES >
            INDEX one kind TYPE set(10) GRANULARITY 1

        ENGINE "MergeTree"
        ENGINE_SORTING_KEY "at, kind"
        "#);
    }

    #[test]
    fn what_stands_in_quotes_stays_as_it_is() {
        let schema = "a Enum8('one  two' = 1),\n  b String DEFAULT 'x\t y'";
        let parts = DatasourceParts {
            schema: schema.to_owned(),
            ..DatasourceParts::default()
        };
        let text = DatasourceText::create(&parts).unwrap().into_text();
        assert_eq!(
            text,
            "SCHEMA >\n    a Enum8('one  two' = 1),\n    b String DEFAULT 'x\t y'\n"
        );
    }

    #[test]
    fn what_would_read_as_other_lines_is_refused() {
        let mut quoted = parts();
        quoted.engine[1].1 = "a\"\nTOKEN \"x\" READ".to_owned();
        assert!(DatasourceText::create(&quoted).is_err());
        let mut empty = parts();
        empty.schema = " \n ".to_owned();
        assert!(DatasourceText::create(&empty).is_err());
        let mut indexes = parts();
        indexes.indexes = Some("INDEX one kind TYPE set(10)\nENGINE_TTL \"at\"".to_owned());
        let made = DatasourceText::create(&indexes).map(DatasourceText::into_text);
        assert!(
            made.as_ref()
                .map_or(true, |text| text.contains("    ENGINE_TTL")),
            "{made:?}"
        );
    }

    #[test]
    fn a_description_and_a_schema_take_the_place_of_the_old_ones() {
        let mut text = DatasourceText::create(&parts()).unwrap();
        text.describe("Another\nthing").unwrap();
        text.set_schema("a Int32, b String").unwrap();
        assert_snapshot!(text.into_text(), @r#"
        DESCRIPTION >
            Another
            thing

        SCHEMA >
            a Int32,
            b String

        INDEXES >
            INDEX one kind TYPE set(10) GRANULARITY 1

        ENGINE "MergeTree"
        ENGINE_SORTING_KEY "at, kind"
        "#);
    }
}
