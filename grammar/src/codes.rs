//! The codes that parsing can report. `pipewright-compiler` declares its own in its `diagnostics::codes`.

use crate::diagnostic::Code;

/// Declares codes as associated constants of [`Code`] and lists them in [`ALL`].
macro_rules! declare_codes {
    ($($(#[doc = $doc:literal])* $constant:ident = $name:literal;)*) => {
        impl Code {
            $($(#[doc = $doc])* pub const $constant: Self = Self::new($name);)*
        }

        /// Every code that this crate can report, in order of declaration.
        pub const ALL: &[Code] = &[$(Code::$constant),*];

        /// What each of them means, in Markdown.
        pub const MEANINGS: &[(Code, &str)] = &[$((Code::$constant, concat!($($doc, "\n"),*))),*];
    };
}

declare_codes! {
    /// The bytes of a file are not UTF-8.
    INVALID_UTF8 = "invalid-utf8";

    /// Text that belongs to no directive.
    ///
    /// Outside of a block, each line of a datafile is a directive, a `#` comment or blank. Anything else is not read by anything, which is rarely meant.
    ///
    /// ```text
    /// DESCRIPTION Visits per day
    /// and per page
    /// ```
    ///
    /// Write several lines as a block:
    ///
    /// ```text
    /// DESCRIPTION >
    ///     Visits per day
    ///     and per page
    /// ```
    STRAY_TEXT = "stray-text";

    /// A directive that does not exist.
    ///
    /// The word at the start of a line is none of the directives of either dialect, so the line has no effect; most often it is misspelt.
    ///
    /// ```text
    /// ENGINE_SORTINGKEY "day"
    /// ```
    ///
    /// Write `ENGINE_SORTING_KEY "day"`. Engine settings are written as `ENGINE_SETTINGS`, not `SETTINGS`.
    UNKNOWN_DIRECTIVE = "unknown-directive";

    /// A directive that has no effect in this kind of file.
    ///
    /// The directive exists, but for another kind of file: a `SCHEMA` says nothing in a `.pipe`, for example. Move it to where it belongs or remove it.
    MISPLACED_DIRECTIVE = "misplaced-directive";

    /// An indented directive below a block.
    ///
    /// Indented lines below `SQL >` belong to the SQL. A line that can only be a directive is read as one here, but other readers of the format take it
    /// for SQL.
    ///
    /// ```text
    /// SQL >
    ///     SELECT 1
    ///     TYPE endpoint
    /// ```
    ///
    /// Start the directive at the first column.
    INDENTED_DIRECTIVE = "indented-directive";

    /// A block without its `>`.
    ///
    /// The lines below a keyword are its value only if the keyword is followed by `>`: write `SQL >`, not `SQL`.
    MISSING_BLOCK_MARKER = "missing-block-marker";

    /// Text on the line that opens a block.
    ///
    /// Other readers of the format lose what stands after `>`; here it is the first line of the block.
    ///
    /// ```text
    /// SQL > SELECT 1
    /// ```
    ///
    /// Write the text on a line of its own below `SQL >`.
    TEXT_AFTER_BLOCK_MARKER = "text-after-block-marker";

    /// SQL on the line of its keyword.
    ///
    /// SQL is written as a block. Write `SQL >` and the query on the lines below it, not `SQL SELECT 1`.
    INLINE_SQL = "inline-sql";

    /// A block where a value on the same line is expected.
    ///
    /// Directives such as `TYPE` or `NODE` take one short value on their line. Write `TYPE endpoint` without `>`.
    UNEXPECTED_BLOCK = "unexpected-block";

    /// A directive that is given twice.
    ///
    /// The last one counts, so the earlier one has no effect. Remove one of the two. `TOKEN`, `TAGS`, `SHARED_WITH` and `INCLUDE` may be repeated.
    DUPLICATE_DIRECTIVE = "duplicate-directive";

    /// A directive without a value where it needs one.
    ///
    /// Write the value after the keyword, or remove the line.
    MISSING_VALUE = "missing-value";

    /// A `NODE` without a name.
    ///
    /// Other nodes refer to a node by its name. Write `NODE name`.
    MISSING_NODE_NAME = "missing-node-name";

    /// Two nodes of one pipe with the same name.
    ///
    /// A reference to that name would be ambiguous. Rename one of the two.
    DUPLICATE_NODE = "duplicate-node";

    /// A pipe without nodes.
    ///
    /// Such a pipe defines nothing. Write `NODE name`, and below it `SQL >` with a query.
    MISSING_NODE = "missing-node";

    /// A directive of a node before the first `NODE`.
    ///
    /// `SQL`, `TYPE` and the like belong to the node above them.
    ///
    /// ```text
    /// SQL >
    ///     SELECT 1
    /// ```
    ///
    /// Write a line `NODE name` above.
    DIRECTIVE_OUTSIDE_NODE = "directive-outside-node";

    /// A `TYPE` that does not exist.
    ///
    /// A node is an `endpoint`, `materialized`, `copy`, `sink` or `standard` (the same as no `TYPE` at all).
    INVALID_NODE_TYPE = "invalid-node-type";

    /// More than one node of a pipe that publishes something.
    ///
    /// A pipe is one endpoint, one copy or one sink, and reads like a function with one result. Make the second node a pipe of its own. Several
    /// materialized nodes in one pipe are fine.
    SEVERAL_TYPED_NODES = "several-typed-nodes";

    /// A node or block without SQL, or one whose template renders to nothing.
    ///
    /// There is nothing to select. Write a query below `SQL >`.
    EMPTY_SQL = "empty-sql";

    /// A `TOKEN` line that cannot be read.
    ///
    /// It takes a name, in quotes if it has blanks, and `READ` or `APPEND`: `TOKEN "dashboard" READ`.
    INVALID_TOKEN = "invalid-token";

    /// An argument of an `INCLUDE` that is not of the form `KEY=value`.
    ///
    /// Arguments replace `$KEY` in the included text: `INCLUDE "shared.incl" "KEY=value"`.
    INVALID_INCLUDE_ARGUMENT = "invalid-include-argument";

    /// A data source without a `SCHEMA`.
    ///
    /// Its columns are not known, so nothing can be created from it. Write `SCHEMA >` and one column per line below it.
    MISSING_SCHEMA = "missing-schema";

    /// A column of a `SCHEMA` that cannot be read.
    ///
    /// A column is `name Type`, then optionally `DEFAULT expression`, `CODEC(…)` and a JSON path in back-quotes. The other columns are not affected.
    ///
    /// ```text
    /// SCHEMA >
    ///     tags Array(String `json:$.tags[:]`
    /// ```
    ///
    /// Here the parenthesis of the type is not closed.
    INVALID_SCHEMA = "invalid-schema";

    /// Two columns without a comma between them.
    ///
    /// Columns of a `SCHEMA` are separated by commas, also when each stands on a line of its own.
    MISSING_COMMA = "missing-comma";

    /// A column without type and default.
    ///
    /// Write `name Type`, or `name DEFAULT expression`, whose type follows from the expression.
    MISSING_COLUMN_TYPE = "missing-column-type";

    /// Two columns with the same name.
    ///
    /// A table cannot have both. Rename one of the two, or remove it.
    DUPLICATE_COLUMN = "duplicate-column";

    /// An index among the columns of a `SCHEMA`.
    ///
    /// It is read as if it stood below `INDEXES >`; other readers of the format ignore or refuse it. Move it there.
    MISPLACED_INDEX = "misplaced-index";

    /// An entry of `INDEXES` that cannot be read.
    ///
    /// Write `name expression TYPE kind GRANULARITY n`, for example `by_user user_id TYPE bloom_filter(0.01) GRANULARITY 4`.
    INVALID_INDEX = "invalid-index";

    /// `RESOURCE` or `FILTER` of a `.token` file before the first `SCOPE`.
    ///
    /// Both belong to the scope above them. Write a line such as `SCOPE PIPES:READ` first.
    DIRECTIVE_OUTSIDE_SCOPE = "directive-outside-scope";
    /// A tag of a template is unknown, forbidden, misplaced, empty or not closed.
    TEMPLATE_TAG = "template-tag";
    /// A block of a template has no `{% end %}`.
    TEMPLATE_UNCLOSED = "template-unclosed-block";
    /// The expression in a tag of a template cannot be read.
    TEMPLATE_EXPRESSION = "template-expression";
    /// A block tag of a template holds more than its condition.
    TEMPLATE_CONTROL = "template-control-block";
    /// `{% set %}` holds something else than one assignment or expression.
    TEMPLATE_SET = "template-set";
}
