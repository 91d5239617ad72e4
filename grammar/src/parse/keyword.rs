//! The directives: which there are, in which kinds of file, and what their values look like. One table; parsing, suggestions and messages read it.

use super::Rule;

/// The kinds of datafile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pipe,
    Include,
    Datasource,
    Connection,
    Token,
}

impl Kind {
    fn bits(self) -> u8 {
        match self {
            Self::Pipe => PIPE,
            Self::Include => PIPE | DATASOURCE,
            Self::Datasource => DATASOURCE,
            Self::Connection => CONNECTION,
            Self::Token => TOKEN_FILE,
        }
    }

    /// The file ending, for messages.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Pipe => "`.pipe`",
            Self::Include => "`.incl`",
            Self::Datasource => "`.datasource`",
            Self::Connection => "`.connection`",
            Self::Token => "`.token`",
        }
    }
}

/// How a directive's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// On the line of the keyword.
    Line,
    /// On the line, or as a `>` block.
    LineOrBlock,
    /// As a `>` block of text lines.
    Block,
    /// As a `>` block of SQL.
    Sql,
}

/// What a directive is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The whole file, wherever it stands.
    File,
    /// The node above it.
    Node,
    /// The node above it, or the file when there is none.
    Either,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Keyword {
    /// In upper case.
    pub(crate) name: &'static str,
    kinds: u8,
    pub(crate) place: Place,
    pub(crate) form: Form,
    /// What the text after the keyword looks like when the keyword is in capitals and a block is open.
    pub(crate) loud: Rule,
    /// The same when it is not in capitals, and so could as well be a column name.
    pub(crate) quiet: Rule,
}

impl Keyword {
    /// Whether the directive belongs into files of that kind.
    pub(crate) fn belongs_to(&self, kind: Kind) -> bool {
        self.kinds & kind.bits() != 0
    }

    /// The kinds of file that it belongs to, for messages.
    pub(crate) fn endings(&self) -> String {
        let endings: Vec<&str> = [Kind::Pipe, Kind::Datasource, Kind::Connection, Kind::Token]
            .into_iter()
            .filter(|kind| self.belongs_to(*kind))
            .map(Kind::ending)
            .collect();
        endings.join(" and ")
    }
}

const PIPE: u8 = 1;
const DATASOURCE: u8 = 2;
const CONNECTION: u8 = 4;
const TOKEN_FILE: u8 = 8;
const RESOURCE: u8 = PIPE | DATASOURCE;
const EVERYWHERE: u8 = RESOURCE | CONNECTION | TOKEN_FILE;

const fn row(
    name: &'static str,
    kinds: u8,
    place: Place,
    form: Form,
    loud: Rule,
    quiet: Rule,
) -> Keyword {
    Keyword {
        name,
        kinds,
        place,
        form,
        loud,
        quiet,
    }
}

/// A setting of a node or data source whose value is any text.
const fn setting(name: &'static str, kinds: u8) -> Keyword {
    row(
        name,
        kinds,
        Place::Node,
        Form::LineOrBlock,
        Rule::shape_expression,
        Rule::shape_quoted,
    )
}

/// A setting whose value is one word.
const fn word(name: &'static str, kinds: u8) -> Keyword {
    row(
        name,
        kinds,
        Place::Node,
        Form::Line,
        Rule::shape_name,
        Rule::shape_name,
    )
}

/// A directive with a block, which never ends another block by an inline value.
const fn block(name: &'static str, kinds: u8, form: Form) -> Keyword {
    row(
        name,
        kinds,
        Place::Node,
        form,
        Rule::shape_never,
        Rule::shape_never,
    )
}

/// A directive that never ends a block, because its keyword is common in SQL and in prose.
const fn timid(name: &'static str, kinds: u8, place: Place) -> Keyword {
    row(
        name,
        kinds,
        place,
        Form::Line,
        Rule::shape_never,
        Rule::shape_never,
    )
}

/// Every directive of both dialects.
pub(crate) static KEYWORDS: &[Keyword] = &[
    row(
        "DESCRIPTION",
        EVERYWHERE,
        Place::Either,
        Form::LineOrBlock,
        Rule::shape_prose,
        Rule::shape_never,
    ),
    row(
        "TOKEN",
        RESOURCE,
        Place::File,
        Form::Line,
        Rule::shape_token,
        Rule::shape_token,
    ),
    row(
        "TAGS",
        RESOURCE,
        Place::File,
        Form::Line,
        Rule::shape_expression,
        Rule::shape_quoted,
    ),
    row(
        "VERSION",
        RESOURCE,
        Place::File,
        Form::Line,
        Rule::shape_number,
        Rule::shape_number,
    ),
    row(
        "INCLUDE",
        RESOURCE,
        Place::File,
        Form::Line,
        Rule::shape_include,
        Rule::shape_include,
    ),
    row(
        "MAINTAINER",
        EVERYWHERE,
        Place::File,
        Form::Line,
        Rule::shape_name,
        Rule::shape_quoted,
    ),
    row(
        "SOURCE",
        EVERYWHERE,
        Place::File,
        Form::Line,
        Rule::shape_quoted,
        Rule::shape_never,
    ),
    timid("FROM", RESOURCE, Place::File),
    row(
        "NODE",
        PIPE,
        Place::Node,
        Form::Line,
        Rule::shape_names,
        Rule::shape_name,
    ),
    block("SQL", PIPE, Form::Sql),
    row(
        "TYPE",
        PIPE | CONNECTION,
        Place::Node,
        Form::Line,
        Rule::shape_word,
        Rule::shape_node_type,
    ),
    word("DATASOURCE", PIPE),
    word("TARGET_DATASOURCE", PIPE),
    word("DEPLOYMENT_METHOD", PIPE),
    setting("COPY_SCHEDULE", PIPE),
    word("COPY_MODE", PIPE),
    word("ON_DEMAND_COMPUTE", PIPE),
    setting("EXPORT_SERVICE", PIPE),
    setting("EXPORT_CONNECTION_NAME", PIPE),
    setting("EXPORT_SCHEDULE", PIPE),
    setting("EXPORT_KAFKA_TOPIC", PIPE),
    setting("EXPORT_BUCKET_URI", PIPE),
    setting("EXPORT_FILE_TEMPLATE", PIPE),
    setting("EXPORT_FORMAT", PIPE),
    setting("EXPORT_COMPRESSION", PIPE),
    setting("EXPORT_WRITE_STRATEGY", PIPE),
    setting("EXPORT_STRATEGY", PIPE),
    timid("FILTER", PIPE | TOKEN_FILE, Place::Node),
    timid("RESOURCE", PIPE | TOKEN_FILE, Place::Node),
    row(
        "SCOPE",
        PIPE | TOKEN_FILE,
        Place::Node,
        Form::Line,
        Rule::shape_never,
        Rule::shape_never,
    ),
    row(
        "ENGINE",
        RESOURCE,
        Place::Node,
        Form::LineOrBlock,
        Rule::shape_engine,
        Rule::shape_quoted,
    ),
    setting("ENGINE_PARTITION_KEY", RESOURCE),
    setting("ENGINE_SORTING_KEY", RESOURCE),
    setting("ENGINE_PRIMARY_KEY", RESOURCE),
    setting("ENGINE_SAMPLING_KEY", RESOURCE),
    setting("ENGINE_TTL", RESOURCE),
    setting("ENGINE_SETTINGS", RESOURCE),
    setting("ENGINE_VER", RESOURCE),
    setting("ENGINE_IS_DELETED", RESOURCE),
    setting("ENGINE_COLUMNS", RESOURCE),
    setting("ENGINE_SIGN", RESOURCE),
    setting("ENGINE_VERSION", RESOURCE),
    setting("PARTITION_KEY", DATASOURCE),
    setting("SORTING_KEY", DATASOURCE),
    setting("PRIMARY_KEY", DATASOURCE),
    setting("SAMPLING_KEY", DATASOURCE),
    row(
        "TTL",
        DATASOURCE,
        Place::Node,
        Form::LineOrBlock,
        Rule::shape_quoted,
        Rule::shape_never,
    ),
    block("SCHEMA", DATASOURCE, Form::Block),
    block("INDEXES", DATASOURCE, Form::Block),
    setting("SHARED_WITH", DATASOURCE),
    block("FORWARD_QUERY", DATASOURCE, Form::Sql),
    word("BACKFILL", DATASOURCE),
    setting("KAFKA_CONNECTION_NAME", DATASOURCE),
    setting("KAFKA_TOPIC", DATASOURCE),
    setting("KAFKA_GROUP_ID", DATASOURCE),
    setting("KAFKA_AUTO_OFFSET_RESET", DATASOURCE),
    setting("KAFKA_STORE_RAW_VALUE", DATASOURCE),
    setting("KAFKA_STORE_HEADERS", DATASOURCE),
    setting("KAFKA_STORE_BINARY_HEADERS", DATASOURCE),
    setting("KAFKA_KEY_FORMAT", DATASOURCE),
    setting("KAFKA_VALUE_FORMAT", DATASOURCE),
    setting("KAFKA_TARGET_PARTITIONS", DATASOURCE),
    setting("KAFKA_KEY_AVRO_DESERIALIZATION", DATASOURCE | CONNECTION),
    setting("IMPORT_SERVICE", DATASOURCE),
    setting("IMPORT_CONNECTION_NAME", DATASOURCE),
    setting("IMPORT_BUCKET_URI", DATASOURCE),
    setting("IMPORT_SCHEDULE", DATASOURCE),
    setting("IMPORT_STRATEGY", DATASOURCE),
    setting("IMPORT_FROM_TIMESTAMP", DATASOURCE),
    setting("IMPORT_FORMAT", DATASOURCE),
    setting("IMPORT_QUERY", DATASOURCE),
    setting("IMPORT_EXTERNAL_DATASOURCE", DATASOURCE),
    setting("IMPORT_TABLE_ARN", DATASOURCE),
    setting("IMPORT_EXPORT_BUCKET", DATASOURCE),
    setting("PG_CONNECTION_NAME", DATASOURCE),
    setting("PG_TABLE", DATASOURCE),
    setting("KAFKA_BOOTSTRAP_SERVERS", DATASOURCE | CONNECTION),
    setting("KAFKA_KEY", DATASOURCE | CONNECTION),
    setting("KAFKA_SECRET", DATASOURCE | CONNECTION),
    setting("KAFKA_SECURITY_PROTOCOL", DATASOURCE | CONNECTION),
    setting("KAFKA_SASL_MECHANISM", DATASOURCE | CONNECTION),
    setting("KAFKA_SASL_OAUTHBEARER_METHOD", DATASOURCE | CONNECTION),
    setting("KAFKA_SASL_OAUTHBEARER_AWS_REGION", DATASOURCE | CONNECTION),
    setting(
        "KAFKA_SASL_OAUTHBEARER_AWS_ROLE_ARN",
        DATASOURCE | CONNECTION,
    ),
    setting(
        "KAFKA_SASL_OAUTHBEARER_AWS_EXTERNAL_ID",
        DATASOURCE | CONNECTION,
    ),
    setting("KAFKA_SCHEMA_REGISTRY_URL", DATASOURCE | CONNECTION),
    setting("KAFKA_SSL_CA_PEM", DATASOURCE | CONNECTION),
    setting("S3_REGION", CONNECTION),
    setting("S3_ARN", CONNECTION),
    setting("S3_ACCESS_KEY", CONNECTION),
    setting("S3_SECRET", CONNECTION),
    setting("DYNAMODB_ARN", CONNECTION),
    setting("DYNAMODB_REGION", CONNECTION),
    setting("GCS_SERVICE_ACCOUNT_CREDENTIALS_JSON", CONNECTION),
    setting("GCS_HMAC_ACCESS_ID", CONNECTION),
    setting("GCS_HMAC_SECRET", CONNECTION),
    setting("PG_HOST", CONNECTION),
    setting("PG_PORT", CONNECTION),
    setting("PG_DATABASE", CONNECTION),
    setting("PG_USER", CONNECTION),
    setting("PG_PASSWORD", CONNECTION),
    setting("PG_SSL_MODE", CONNECTION),
];

/// Second names of directives.
static ALIASES: &[(&str, &str)] = &[
    ("INDICES", "INDEXES"),
    ("MODE", "COPY_MODE"),
    ("GCS_ACCESS_ID", "GCS_HMAC_ACCESS_ID"),
    ("GCS_SECRET", "GCS_HMAC_SECRET"),
];

/// The longest word that can be a directive; longer ones are not looked up.
const LONGEST: usize = 40;

/// Finds a directive by its name or alias, in any case.
pub(crate) fn find(written: &str) -> Option<&'static Keyword> {
    if written.len() > LONGEST {
        return None;
    }
    let name = ALIASES
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(written))
        .map_or(written, |(_, name)| *name);
    KEYWORDS
        .iter()
        .find(|keyword| keyword.name.eq_ignore_ascii_case(name))
}

/// The directive of that kind of file whose name is most like `written`, if one is near enough to be meant.
pub(crate) fn nearest(written: &str, kind: Kind) -> Option<&'static Keyword> {
    if written.len() > LONGEST {
        return None;
    }
    let written = written.to_ascii_uppercase();
    let allowed = (written.len() / 4).clamp(1, 3);
    KEYWORDS
        .iter()
        .filter(|keyword| {
            keyword.belongs_to(kind) && keyword.name.len().abs_diff(written.len()) <= allowed
        })
        .map(|keyword| (strsim::damerau_levenshtein(&written, keyword.name), keyword))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, keyword)| keyword)
}

/// Whether a word is written in capitals.
pub(crate) fn is_loud(written: &str) -> bool {
    !written.bytes().any(|byte| byte.is_ascii_lowercase())
}
