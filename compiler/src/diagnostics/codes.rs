//! The codes that the compiler can report, beside those of parsing (`pipewright_grammar::codes`).

use pipewright_grammar::diagnostic::Code;

macro_rules! declare_codes {
    ($($(#[doc = $doc:literal])* $constant:ident = $name:literal;)*) => {
        $($(#[doc = $doc])* pub const $constant: Code = Code::new($name);)*

        /// Every code of the compiler, in order of declaration.
        pub const ALL: &[Code] = &[$($constant),*];

        /// What each of them means, in Markdown.
        pub const MEANINGS: &[(Code, &str)] = &[$(($constant, concat!($($doc, "\n"),*))),*];
    };
}

declare_codes! {
    /// `pipewright.toml` is not valid TOML or has an unknown key.
    BAD_CONFIG = "bad-config";
    /// `[lints]` in `pipewright.toml` names no code, or gives it no severity.
    UNKNOWN_LINT = "unknown-lint";
    /// The file named by `INCLUDE` is not in the project.
    MISSING_INCLUDE = "missing-include";
    /// A file name that SQL and URLs cannot carry.
    BAD_RESOURCE_NAME = "bad-resource-name";
    /// Two files claim one name.
    DUPLICATE_RESOURCE = "duplicate-resource";
    /// A table name in SQL that is no node, pipe, data source, service data source or allowed system table.
    UNKNOWN_RESOURCE = "unknown-resource";
    /// Nodes or pipes that read one another in a circle.
    DEPENDENCY_CYCLE = "dependency-cycle";
    /// The text cannot be one SQL statement: an unclosed quote or bracket, or several statements.
    SQL_SYNTAX = "sql-syntax";
    /// SQL that would reach outside of the project: a statement, function, table function or setting that is not allowed.
    SQL_NOT_ALLOWED = "sql-not-allowed";
    /// A chain of nodes that is longer than the engine nests subqueries.
    SQL_TOO_DEEP = "sql-too-deep";
    /// `FINAL` or `SAMPLE` on a node or pipe, which is a subquery and not a table.
    MODIFIER_ON_NODE = "modifier-on-node";
    /// A tag uses something that the language does not allow there.
    TEMPLATE_REFUSED = "template-refused";
    /// A parameter has a name that a request cannot give, or that has another meaning there.
    TEMPLATE_RESERVED_NAME = "template-reserved-name";
    /// A template cannot be rendered.
    TEMPLATE_RENDER = "template-render";
    /// A template cannot be rendered, where no place in a file is known.
    TEMPLATE_ERROR = "template-error";
    /// `DATASOURCE` or `TARGET_DATASOURCE` is missing or names nothing.
    BAD_TARGET = "bad-target";
    /// An engine, engine key or column that ClickHouse could not create a table from.
    BAD_ENGINE = "bad-engine";
    /// A column type that ClickHouse does not have.
    BAD_TYPE = "bad-type";
    /// The schedule of a copy node is neither `@on-demand` nor five cron fields.
    BAD_SCHEDULE = "bad-schedule";
    /// A materialized view with `UNION`, `EXCEPT` or `INTERSECT`.
    VIEW_WITH_UNION = "view-with-union";
    /// A function in a materialized view that gives the time of each insert.
    CLOCK_IN_VIEW = "clock-in-view";
    /// A function in a materialized view that gives another value at each insert.
    NONDETERMINISTIC_VIEW = "nondeterministic-view";
    /// A node that may have other rows each time, and that one statement reads twice.
    COMPUTED_TWICE = "computed-twice";
    /// `ORDER BY` without `LIMIT` in a node that others read.
    USELESS_ORDER = "useless-order";
    /// One parameter with two types in a pipe.
    PARAMETER_TYPES = "parameter-types";
    /// A parameter without a default in a node that runs by itself.
    REQUIRED_PARAMETER = "required-parameter";
    /// A data source that nothing reads, fills or grants.
    UNUSED_DATASOURCE = "unused-datasource";
    /// A column of the sorting key that may be NULL.
    NULLABLE_KEY = "nullable-key";
    /// A column of an `AggregatingMergeTree` that is neither key nor state.
    PLAIN_COLUMN = "plain-column";
    /// A materialized node that gives a plain value for a state column of its target.
    MISSING_STATE = "missing-state";
    /// A state column that is aggregated without `-Merge`.
    MISSING_MERGE = "missing-merge";
    /// A window function that is called without `OVER`.
    MISSING_OVER = "missing-over";
    /// Tags of the template language in SQL that does not begin with `%`.
    MISSING_PERCENT = "missing-percent";
    /// An `IN` whose sides have different numbers of columns.
    SET_COLUMNS = "set-columns";
    /// A name right of an `IN` that is a node, and maybe a column.
    SET_NAME = "set-name";
    /// Columns of a materialized node that its target does not have.
    TARGET_COLUMNS = "target-columns";
    /// A join with a data source on its right and a small result on its left.
    JOIN_ORDER = "join-order";
    /// A replacing or collapsing data source read without `FINAL`.
    MISSING_FINAL = "missing-final";
    /// `SELECT *` from a data source in an endpoint.
    STAR_ENDPOINT = "star-endpoint";
    /// A division by something that may be zero.
    UNGUARDED_DIVISION = "unguarded-division";
    /// A filter that can use neither the sorting key nor the partitions of a data source.
    UNKEYED_FILTER = "unkeyed-filter";
    /// An endpoint that gives rows of a data source without `LIMIT`.
    UNLIMITED_ENDPOINT = "unlimited-endpoint";
    /// A node of a published pipe that nothing reads.
    UNUSED_NODE = "unused-node";
    /// A pipe that publishes nothing and that no other reads.
    UNUSED_PIPE = "unused-pipe";
    /// A parameter of a node that the endpoint does not read.
    UNUSED_PARAMETER = "unused-parameter";
    /// `FINAL` on a data source whose engine does not merge rows.
    USELESS_FINAL = "useless-final";
    /// `GROUP BY` of a materialized node that is not the sorting key of its target.
    VIEW_GROUP_KEY = "view-group-key";
    /// A data source right of a `JOIN` in a materialized view, whose inserts do not reach the view.
    VIEW_TRIGGER = "view-trigger";
    /// Inserts into a data source that its views refuse, as the engine says.
    BREAKS_INSERTS = "breaks-inserts";
    /// A column that a node's tables do not have, as the engine says.
    UNKNOWN_COLUMN = "unknown-column";
    /// A function that the engine does not have.
    UNKNOWN_FUNCTION = "unknown-function";
    /// Types, or numbers of arguments, that do not go together, as the engine says.
    WRONG_TYPES = "wrong-types";
    /// A statement that the engine refuses at every call, whatever the data and the values of requests.
    ///
    /// `check --types` has the engine plan every statement over empty tables. What it says against one that no value of a request has a part in comes from the
    /// statement itself: an argument that a function does not take, two meanings of one name, a place in a list that is not there.
    REFUSED_STATEMENT = "refused-statement";
    /// A column of a materialized or copy node whose values its target does not take, or not as they are, as the engine describes it.
    ///
    /// The engine converts what a node gives to the type of the target's column by itself, for each row: a text that is no number ends the insert, a number that is
    /// too large becomes another, and a fraction is cut off.
    ///
    /// ```text
    /// SELECT day, shop AS hits FROM sale   -- shop String, and hits UInt64 in the target
    /// ```
    ///
    /// Write the conversion that is meant (`toUInt64OrZero(shop) AS hits`), or give the column of the target the type of the values. An error where
    /// texts of a data source have to be read as something else; a warning where numbers may not fit or texts are computed.
    TARGET_TYPES = "target-types";
    /// A table or view that the engine does not make.
    NOT_CREATED = "not-created";
    /// An endpoint that reads more granules than `[budget]` in `pipewright.toml` lets it.
    OVER_BUDGET = "over-budget";
    /// The mode of a copy node is neither `append` nor `replace`.
    BAD_COPY_MODE = "bad-copy-mode";
    /// A key of a data source that nothing acts on.
    IGNORED_KEY = "ignored-key";
    /// A key of a node whose `TYPE` is another one, or is missing.
    MISPLACED_KEY = "misplaced-key";
    /// Pipes without a `TYPE` whose last node is served, as a Classic push does it.
    PUBLISHED_BY_DEFAULT = "published-by-default";
    /// Running this needs a system outside of Pipewright (Kafka, S3, a database, …).
    NEEDS_EXTERNAL_SYSTEM = "needs-external-system";
    /// A connector that lacks a key, or has a value that means nothing.
    BAD_CONNECTOR = "bad-connector";
    /// A connector, or a part of one, that ClickHouse has nothing for.
    UNSUPPORTED_CONNECTOR = "unsupported-connector";
    /// A credential that stands in a datafile as it is.
    PLAIN_CREDENTIAL = "plain-credential";
}
