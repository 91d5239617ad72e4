//! Lines → sections: each directive with its value, be it on its line or in the block below.
//!
//! Nothing is lost and nothing fails: what belongs to no directive is reported and left out. One pass over the lines, whatever they hold.

use std::ops::Range;

use super::body::Scanner;
use super::keyword::{Form, Keyword, Kind, find, is_loud, nearest};
use super::lines::{Content, Line, lines};
use super::shape::{Context, ends_block, is, is_node_like_sql, is_swallowed};
use super::value::Words;
use super::{Rule, finding};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceFile, SourceId, Span};

/// One directive of a file.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) keyword: &'static Keyword,
    /// The keyword as it stands in the file.
    pub(super) place: Span,
    pub(super) value: Value<'a>,
}

/// The value of a directive.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// On the line of the keyword.
    Line(Words<'a>),
    /// In a block.
    Block(Block),
}

/// The text of a block, from its first to its last byte that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) range: Range<usize>,
    /// Of the same length as the range; `#` lines are blank.
    pub(super) text: String,
}

impl Section<'_> {
    /// From the keyword to the end of the value.
    pub(super) fn span(&self) -> Span {
        let end = match &self.value {
            Value::Line(words) => words.range().end,
            Value::Block(block) => block.range.end,
        };
        Span::new(
            self.place.source,
            self.place.start as usize,
            end.max(self.place.end as usize),
        )
    }
}

/// Reads the sections of a file of that kind, in file order.
pub(super) fn sections(file: &SourceFile, kind: Kind) -> (Vec<Section<'_>>, Vec<Diagnostic>) {
    let mut assembler = Assembler {
        text: file.text(),
        source: file.id(),
        kind,
        sections: Vec::new(),
        diagnostics: Vec::new(),
        open: None,
        in_junk: false,
    };
    for line in lines(file.text()) {
        assembler.line(&line);
    }
    assembler.close();
    (assembler.sections, assembler.diagnostics)
}

/// A block that may go on.
struct Open {
    /// What it is the value of; `None` if nobody knows, and then it is dropped.
    keyword: Option<&'static Keyword>,
    place: Span,
    context: Context,
    marked: bool,
    indented: bool,
    start: usize,
    end: usize,
    comments: Vec<Range<usize>>,
    scanner: Scanner,
}

struct Assembler<'a> {
    text: &'a str,
    source: SourceId,
    kind: Kind,
    sections: Vec<Section<'a>>,
    diagnostics: Vec<Diagnostic>,
    open: Option<Open>,
    /// Whether the lines before were reported as belonging to no directive.
    in_junk: bool,
}

impl Assembler<'_> {
    fn line(&mut self, line: &Line) {
        if let Some(open) = &mut self.open {
            match ends(self.text, self.kind, open, line) {
                Ending::None => {
                    open.take(self.text, line);
                    return;
                }
                Ending::Directive => {}
                Ending::Swallowed(keyword) => {
                    let indentation = indentation(self.text, self.source, line.start);
                    self.diagnostics
                        .push(finding::indented_directive(keyword, indentation));
                }
            }
            self.close();
        }
        match &line.content {
            Content::Comment => {}
            Content::Text => self.junk(line),
            Content::Word { keyword } => self.word(line, keyword),
        }
    }

    /// A line outside of any block that belongs to no directive.
    fn junk(&mut self, line: &Line) {
        if !self.in_junk {
            let text = &self.text[line.range()];
            self.diagnostics
                .push(finding::stray_text(text, self.span(line.range())));
        }
        self.in_junk = true;
    }

    fn word(&mut self, line: &Line, written: &Range<usize>) {
        let name = &self.text[written.clone()];
        let tail = &self.text[written.end..line.end];
        let Some(keyword) = find(name) else {
            return self.unknown(line, written);
        };
        self.in_junk = false;
        let place = self.span(written.clone());
        if !keyword.belongs_to(self.kind) {
            self.diagnostics
                .push(finding::misplaced_directive(keyword, self.kind, place));
        }
        self.directive(keyword, place, tail, line);
    }

    fn unknown(&mut self, line: &Line, written: &Range<usize>) {
        let name = &self.text[written.clone()];
        let tail = &self.text[written.end..line.end];
        let opens = is(Rule::shape_block, tail);
        // Suggestions cost a look at every directive: lines that go on where others belonged to nothing are not worth it.
        let worth = is_loud(name) || opens || !self.in_junk;
        let near = worth.then(|| nearest(name, self.kind)).flatten();
        if near.is_none() && !opens && !(is_loud(name) && name.len() > 2) {
            return self.junk(line);
        }
        let place = self.span(written.clone());
        self.diagnostics
            .push(finding::unknown_directive(name, near, self.kind, place));
        self.in_junk = near.is_none();
        match near {
            Some(keyword) => self.directive(keyword, place, tail, line),
            None if opens => self.open = Some(Open::new(None, place, line, line.end)),
            None => {}
        }
    }

    /// Starts a directive whose keyword is read.
    fn directive(&mut self, keyword: &'static Keyword, place: Span, tail: &str, line: &Line) {
        let at = line.end - tail.len();
        let value = tail.trim_start_matches([' ', '\t']);
        let start = line.end - value.len();
        let is_block_form = matches!(keyword.form, Form::Sql | Form::Block);
        if let Some(after) = value
            .strip_prefix('>')
            .filter(|after| !after.starts_with('='))
        {
            let after = after.trim_start_matches([' ', '\t']);
            let mut from = line.end - after.len();
            if after.trim_end().is_empty() || after.starts_with('#') {
                from = line.end;
            } else {
                let span = self.span(from..line.end);
                self.diagnostics
                    .push(finding::text_after_marker(keyword, span));
            }
            if keyword.form == Form::Line {
                self.diagnostics
                    .push(finding::unexpected_block(keyword, place));
            }
            self.open(Open::new(Some(keyword), place, line, from));
        } else if is_block_form && !value.trim_end().is_empty() && !value.starts_with('#') {
            if keyword.form == Form::Sql {
                let blanks = self.span(at..start);
                self.diagnostics
                    .push(finding::inline_sql(keyword, place, blanks));
            }
            self.open(Open::new(Some(keyword), place, line, start));
        } else if (is_block_form || keyword.name == "DESCRIPTION")
            && Words::split(tail, at).is_empty()
        {
            let mut open = Open::new(Some(keyword), place, line, line.end);
            open.marked = false;
            self.open(open);
        } else {
            // The words borrow from the file, not from `tail`, whose lifetime ends here.
            let words = Words::split(&self.text[at..line.end], at);
            self.sections.push(Section {
                keyword,
                place,
                value: Value::Line(words),
            });
        }
    }

    fn open(&mut self, mut open: Open) {
        open.scanner.feed(&self.text[open.start..open.end]);
        self.open = Some(open);
    }

    /// Ends the open block.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let Some(keyword) = open.keyword else { return };
        let block = self.block(&open);
        let is_block_form = matches!(keyword.form, Form::Sql | Form::Block);
        if !open.marked && (is_block_form || !block.text.is_empty()) {
            self.diagnostics
                .push(finding::missing_marker(keyword, open.place));
        }
        let value = if !open.marked && block.text.is_empty() {
            Value::Line(Words::split("", open.start))
        } else {
            Value::Block(block)
        };
        self.sections.push(Section {
            keyword,
            place: open.place,
            value,
        });
    }

    fn block(&self, open: &Open) -> Block {
        let whole = &self.text[open.start..open.end];
        let mut bytes = whole.as_bytes().to_vec();
        for comment in &open.comments {
            bytes[comment.start - open.start..comment.end - open.start].fill(b' ');
        }
        let text = String::from_utf8(bytes).unwrap_or_else(|_| whole.to_owned());
        let trimmed = text.trim_ascii_start();
        let start = open.start + text.len() - trimmed.len();
        let trimmed = trimmed.trim_ascii_end();
        Block {
            range: start..start + trimmed.len(),
            text: trimmed.to_owned(),
        }
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source, range.start, range.end)
    }
}

impl Open {
    fn new(keyword: Option<&'static Keyword>, place: Span, line: &Line, start: usize) -> Self {
        Self {
            keyword,
            place,
            context: keyword.map_or(Context::Text, Context::of),
            marked: true,
            indented: line.indented,
            start,
            end: line.end,
            comments: Vec::new(),
            scanner: Scanner::new(),
        }
    }

    /// Takes a line into the block.
    fn take(&mut self, text: &str, line: &Line) {
        let in_comment = line.content == Content::Comment
            && (self.context != Context::Sql || self.scanner.takes_comment());
        if in_comment {
            self.comments.push(line.range());
        } else {
            self.scanner.feed(&text[line.range()]);
        }
        self.end = line.end;
    }
}

enum Ending {
    None,
    Directive,
    /// An indented directive, which the reference would take for a part of the block.
    Swallowed(&'static Keyword),
}

fn ends(text: &str, kind: Kind, open: &Open, line: &Line) -> Ending {
    let Content::Word { keyword: written } = &line.content else {
        return Ending::None;
    };
    let name = &text[written.clone()];
    let tail = &text[written.end..line.end];
    // A block that was never marked as one holds what no directive claims, and a file that is indented as a whole has no column 0.
    let lenient = !open.marked && open.context == Context::Text;
    if !line.indented || lenient || open.keyword.is_none() && is_loud(name) {
        let ends = ends_block(name, tail, kind, open.context)
            || is_node_like_sql(name, tail, kind, open.context, &open.scanner);
        return if ends {
            Ending::Directive
        } else {
            Ending::None
        };
    }
    match find(name) {
        Some(keyword) if is_swallowed(name, tail, kind, open.context, &open.scanner) => {
            Ending::Swallowed(keyword)
        }
        Some(keyword)
            if open.indented
                && open.context == Context::Text
                && is_loud(name)
                && keyword.form != Form::Line
                && is(Rule::shape_block, tail)
                && depth(text, line.start) <= depth(text, open.place.start as usize) =>
        {
            Ending::Swallowed(keyword)
        }
        _ => Ending::None,
    }
}

/// How many bytes of blanks stand before a place.
fn depth(text: &str, at: usize) -> usize {
    let before = &text[..at];
    before.len() - before.trim_end_matches([' ', '\t']).len()
}

fn indentation(text: &str, source: SourceId, at: usize) -> Span {
    Span::new(source, at - depth(text, at), at)
}
