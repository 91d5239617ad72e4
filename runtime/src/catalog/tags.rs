//! The `TAGS` line of a datafile, written anew.

use pipewright_grammar::source::{SourceFile, SourceId, Span, Spanned};
use pipewright_grammar::{parse_datasource, parse_pipe};

use super::EditError;

/// The line for these tags; nothing if there are none.
pub(crate) fn line(tags: &[String]) -> String {
    if tags.is_empty() {
        return String::new();
    }
    format!("TAGS \"{}\"\n", tags.join(", "))
}

/// The text of the file at `path` with these tags in the place of those that it has.
pub(crate) fn with_tags(path: &str, text: &str, tags: &[String]) -> Result<String, EditError> {
    let read = |text: &str| -> Vec<Spanned<String>> {
        let file = SourceFile::new(SourceId(0), path.to_owned(), text.to_owned());
        if path
            .rsplit_once('.')
            .is_some_and(|(_, ending)| ending == "pipe")
        {
            parse_pipe(&file).tree.tags
        } else {
            parse_datasource(&file).tree.tags
        }
    };
    let old: Vec<Span> = read(text).iter().map(|tag| tag.span).collect();
    let mut rest = String::with_capacity(text.len());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let has_tag = |span: &Span| (start..end).contains(&(span.start as usize));
        if !old.iter().any(has_tag) {
            rest.push_str(line);
        }
        start = end;
    }
    let new = match line(tags) {
        head if head.is_empty() => rest.trim_start_matches('\n').to_owned(),
        head => format!("{head}\n{}", rest.trim_start_matches('\n')),
    };
    let found: Vec<String> = read(&new).into_iter().map(|tag| tag.value).collect();
    let is_word = |tag: &String| {
        !tag.is_empty() && tag.trim() == tag && !tag.contains(['"', '\'', ',', '\n', '\r'])
    };
    if found == tags && tags.iter().all(is_word) {
        Ok(new)
    } else {
        Err(EditError::NotWritable(
            "a tag is a word without quotes and commas".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_change_and_go_and_nothing_else_does() {
        let owned = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        let plain = "DESCRIPTION A pipe\nNODE n\nSQL >\n    SELECT 1\n";
        let tagged = with_tags("a.pipe", plain, &owned(&["web", "sales"])).unwrap();
        assert_eq!(tagged, format!("TAGS \"web, sales\"\n\n{plain}"));
        let other = with_tags("a.pipe", &tagged, &owned(&["web"])).unwrap();
        assert_eq!(other, format!("TAGS \"web\"\n\n{plain}"));
        assert_eq!(with_tags("a.pipe", &other, &[]).unwrap(), plain);
        let table = "SCHEMA >\n    `a` Int32\nTAGS \"x\"\nENGINE \"MergeTree\"\n";
        assert_eq!(
            with_tags("a.datasource", table, &owned(&["x", "y"])).unwrap(),
            "TAGS \"x, y\"\n\nSCHEMA >\n    `a` Int32\nENGINE \"MergeTree\"\n"
        );
        for bad in ["a\"b", "a\nNODE b", "a,b", ""] {
            assert!(
                with_tags("a.pipe", plain, &owned(&[bad])).is_err(),
                "{bad:?}"
            );
        }
    }
}
