//! Everything that a `.datasource` can say, once each: made by the engine as it says, or found by `check`. Nothing is left out in silence.

use std::fmt::Write as _;

use pipewright_compiler::deploy::desired;
use pipewright_compiler::diagnostics::render;

use super::*;

/// What becomes of a file.
enum Outcome<'a> {
    /// The engine describes the table with these words.
    Made(&'a [&'a str]),
    /// The same, and `check` has a finding of this code.
    Told(&'a str, &'a [&'a str]),
    /// `check` refuses it with this code.
    Refused(&'a str),
    /// `check` has no word for it, and the engine refuses to make the table: `check --types` and a deploy say so.
    Engine(&'a str),
}

use Outcome::{Engine as ByEngine, Made, Refused, Told};

fn column(text: &str) -> String {
    format!(
        "SCHEMA >\n    `key` UInt64,\n    {}\nENGINE MergeTree\nENGINE_SORTING_KEY key\n",
        text.replace('\n', "\n    ")
    )
}

fn with_keys(keys: &str) -> String {
    format!(
        "SCHEMA >\n    `key` UInt64,\n    `at` DateTime,\n    `n` Int64,\n    `sign` Int8,\n    `deleted` UInt8,\n    `text` String\n{keys}\n"
    )
}

/// Columns and what the engine makes of them.
const COLUMNS: &[(&str, Outcome<'_>)] = &[
    ("v Int8", Made(&["`v` Int8"])),
    ("v UInt256", Made(&["`v` UInt256"])),
    ("v Int128", Made(&["`v` Int128"])),
    ("v Float32", Made(&["`v` Float32"])),
    ("v BFloat16", Made(&["`v` BFloat16"])),
    ("v Decimal(10, 2)", Made(&["`v` Decimal(10, 2)"])),
    ("v Decimal64(3)", Made(&["`v` Decimal(18, 3)"])),
    ("v Bool", Made(&["`v` Bool"])),
    ("v Boolean", Made(&["`v` Bool"])),
    ("v INT", Made(&["`v` Int32"])),
    ("v VARCHAR", Made(&["`v` String"])),
    ("v TEXT", Made(&["`v` String"])),
    ("v BIGINT UNSIGNED", Made(&["`v` UInt64"])),
    ("v DOUBLE PRECISION", Made(&["`v` Float64"])),
    ("v FixedString(4)", Made(&["`v` FixedString(4)"])),
    ("v UUID", Made(&["`v` UUID"])),
    ("v IPv4", Made(&["`v` IPv4"])),
    ("v IPv6", Made(&["`v` IPv6"])),
    ("v Date", Made(&["`v` Date"])),
    ("v Date32", Made(&["`v` Date32"])),
    ("v DateTime", Made(&["`v` DateTime"])),
    (
        "v DateTime('Europe/Madrid')",
        Made(&["`v` DateTime('Europe/Madrid')"]),
    ),
    ("v DateTime64", Made(&["`v` DateTime64(3)"])),
    (
        "v DateTime64(6, 'UTC')",
        Made(&["`v` DateTime64(6, 'UTC')"]),
    ),
    (
        "v Enum8('a' = 1, 'b' = 2)",
        Made(&["`v` Enum8('a' = 1, 'b' = 2)"]),
    ),
    ("v Enum16('a' = 1000)", Made(&["`v` Enum16('a' = 1000)"])),
    ("v Enum('a', 'b')", Made(&["`v` Enum8('a' = 1, 'b' = 2)"])),
    (
        "v LowCardinality(String)",
        Made(&["`v` LowCardinality(String)"]),
    ),
    (
        "v LowCardinality(Nullable(String))",
        Made(&["`v` LowCardinality(Nullable(String))"]),
    ),
    ("v Nullable(Int32)", Made(&["`v` Nullable(Int32)"])),
    (
        "v Array(Array(Nullable(Int32)))",
        Made(&["`v` Array(Array(Nullable(Int32)))"]),
    ),
    (
        "v Map(LowCardinality(String), Array(Int32))",
        Made(&["`v` Map(LowCardinality(String), Array(Int32))"]),
    ),
    (
        "v Tuple(a Int32, b Tuple(String, Date))",
        Made(&["`v` Tuple(a Int32, b Tuple(String, Date))"]),
    ),
    (
        "v Nested(a Int32, b String)",
        Made(&["`v.a` Array(Int32)", "`v.b` Array(String)"]),
    ),
    ("v JSON", Made(&["`v` JSON"])),
    (
        "v JSON(max_dynamic_paths = 8, a.b UInt32, SKIP c)",
        Made(&["`v` JSON(max_dynamic_paths = 8, `a.b` UInt32, SKIP c)"]),
    ),
    (
        "v Variant(String, UInt64)",
        Made(&["`v` Variant(String, UInt64)"]),
    ),
    ("v Dynamic", Made(&["`v` Dynamic"])),
    ("v Point", Made(&["`v` Point"])),
    ("v MultiPolygon", Made(&["`v` MultiPolygon"])),
    (
        "v AggregateFunction(uniq, String)",
        Made(&["`v` AggregateFunction(uniq, String)"]),
    ),
    (
        "v AggregateFunction(quantiles(0.5, 0.9), Float64)",
        Made(&["`v` AggregateFunction(quantiles(0.5, 0.9), Float64)"]),
    ),
    (
        "v AggregateFunction(argMax, String, DateTime)",
        Made(&["`v` AggregateFunction(argMax, String, DateTime)"]),
    ),
    (
        "v SimpleAggregateFunction(sum, UInt64)",
        Made(&["`v` SimpleAggregateFunction(sum, UInt64)"]),
    ),
    ("v SimpleAggregateFunction(sum, Int32)", ByEngine("Int64")),
    (
        "v SimpleAggregateFunction(any, Nullable(String))",
        Made(&["`v` SimpleAggregateFunction(any, Nullable(String))"]),
    ),
    ("v Strin", Refused("bad-type")),
    ("v Array(", Refused("invalid-schema")),
    ("v UInt", Refused("bad-type")),
    ("v", Refused("missing-column-type")),
    ("`a b` String", Made(&["`a b` String"])),
    ("`ñ` String", Made(&["`ñ` String"])),
    ("v String,\nv Int8", Refused("duplicate-column")),
    ("v String DEFAULT 'x'", Made(&["`v` String DEFAULT 'x'"])),
    (
        "v String DEFAULT 'it\\'s, (not)'",
        Made(&["DEFAULT 'it\\'s, (not)'"]),
    ),
    (
        "v DateTime DEFAULT now()",
        Made(&["`v` DateTime DEFAULT now()"]),
    ),
    ("v DEFAULT 7", Made(&["`v` UInt8 DEFAULT 7"])),
    (
        "v Nullable(Int8) DEFAULT NULL",
        Made(&["`v` Nullable(Int8) DEFAULT NULL"]),
    ),
    ("v UInt64 DEFAULT key * 2", Made(&["DEFAULT key * 2"])),
    (
        "v UInt64 MATERIALIZED key * 2",
        Made(&["MATERIALIZED key * 2"]),
    ),
    ("v UInt64 ALIAS key * 2", Made(&["ALIAS key * 2"])),
    ("v UInt64 EPHEMERAL 3", Made(&["EPHEMERAL 3"])),
    ("v String CODEC(ZSTD(3))", Made(&["CODEC(ZSTD(3))"])),
    (
        "v UInt64 CODEC(Delta(8), LZ4)",
        Made(&["CODEC(Delta(8), LZ4)"]),
    ),
    (
        "v DateTime CODEC(DoubleDelta, ZSTD(1)) DEFAULT now()",
        Made(&["DEFAULT now() CODEC(DoubleDelta, ZSTD(1))"]),
    ),
    ("v Float64 CODEC(Gorilla)", Made(&["CODEC(Gorilla(8))"])),
    ("v String CODEC(NONE)", Made(&["CODEC(NONE)"])),
    ("v String CODEC(None)", ByEngine("None")),
    (
        "v DateTime TTL v + INTERVAL 1 DAY",
        Made(&["`v` DateTime TTL v + toIntervalDay(1)"]),
    ),
    ("v String NOT NULL", Refused("invalid-schema")),
    ("v String NULL", Refused("invalid-schema")),
    ("v String `json:$.a`", Made(&["`v` String"])),
    (
        "v String `json:$.a.b` DEFAULT 'x'",
        Made(&["`v` String DEFAULT 'x'"]),
    ),
    (
        "v Array(String) `json:$.a[:]`",
        Made(&["`v` Array(String)"]),
    ),
    (
        "v Array(Int32) `json:$.a[:].b`",
        Made(&["`v` Array(Int32)"]),
    ),
    ("v String `json:$`", Made(&["`v` String"])),
    ("v JSON `json:$`", Made(&["`v` JSON"])),
    ("v String json:$.a", Refused("invalid-schema")),
    ("v String,", Made(&["`v` String"])),
    ("v String -- a remark", Made(&["`v` String"])),
    (
        "v String,\nINDEX i v TYPE minmax",
        Told("misplaced-index", &["INDEX i v TYPE minmax"]),
    ),
];

/// Keys and what the engine makes of them.
const KEYS_OF_TABLES: &[(&str, Outcome<'_>)] = &[
    ("", Made(&["ENGINE = MergeTree", "ORDER BY tuple()"])),
    (
        "ENGINE mergetree\nENGINE_SORTING_KEY key, at",
        Made(&["ENGINE = MergeTree", "ORDER BY (key, at)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_PARTITION_KEY toYYYYMM(at)",
        Made(&["PARTITION BY (toYYYYMM(at))"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_PARTITION_KEY \"\"",
        Made(&["ENGINE = MergeTree ORDER BY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key, at\nENGINE_PRIMARY_KEY key",
        Made(&["PRIMARY KEY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key, intHash32(n)\nENGINE_SAMPLING_KEY intHash32(n)",
        Made(&["SAMPLE BY (intHash32(n))"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_TTL at + INTERVAL 30 DAY",
        Made(&["TTL at + toIntervalDay(30)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_TTL at + INTERVAL 30 DAY DELETE WHERE n = 0",
        Made(&["TTL at + toIntervalDay(30) WHERE n = 0"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_TTL at + INTERVAL 30 DAY GROUP BY key SET n = sum(n)",
        Made(&["GROUP BY key SET n = sum(n)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_TTL at + INTERVAL 30 DAY RECOMPRESS CODEC(ZSTD(9))",
        Made(&["RECOMPRESS CODEC(ZSTD(9))"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_TTL \"\"",
        Made(&["ORDER BY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1",
        Made(&["index_granularity = 1024", "ttl_only_drop_parts = 1"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_SETTINGS no_such_setting = 1",
        ByEngine("no_such_setting"),
    ),
    (
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY key",
        Made(&["ENGINE = ReplacingMergeTree"]),
    ),
    (
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY key\nENGINE_VER at",
        Made(&["ReplacingMergeTree(at)"]),
    ),
    (
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY key\nENGINE_VER at\nENGINE_IS_DELETED deleted",
        Made(&["ReplacingMergeTree(at, deleted)"]),
    ),
    (
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY key\nENGINE_IS_DELETED deleted",
        Refused("bad-engine"),
    ),
    (
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY key\nENGINE_VER nothing",
        Refused("bad-engine"),
    ),
    (
        "ENGINE SummingMergeTree\nENGINE_SORTING_KEY key",
        Made(&["ENGINE = SummingMergeTree"]),
    ),
    (
        "ENGINE SummingMergeTree\nENGINE_SORTING_KEY key\nENGINE_COLUMNS n, sign",
        Made(&["SummingMergeTree((n, sign))"]),
    ),
    (
        "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY key",
        Made(&["ENGINE = AggregatingMergeTree"]),
    ),
    (
        "ENGINE CollapsingMergeTree\nENGINE_SORTING_KEY key\nENGINE_SIGN sign",
        Made(&["CollapsingMergeTree(sign)"]),
    ),
    (
        "ENGINE CollapsingMergeTree\nENGINE_SORTING_KEY key",
        Refused("bad-engine"),
    ),
    (
        "ENGINE VersionedCollapsingMergeTree\nENGINE_SORTING_KEY key\nENGINE_SIGN sign\nENGINE_VERSION at",
        Made(&["VersionedCollapsingMergeTree(sign, at)"]),
    ),
    (
        "ENGINE VersionedCollapsingMergeTree\nENGINE_SORTING_KEY key\nENGINE_SIGN sign",
        Refused("bad-engine"),
    ),
    ("ENGINE Null", Made(&["ENGINE = `Null`"])),
    (
        "ENGINE Null\nENGINE_SORTING_KEY key",
        Told("ignored-key", &["ENGINE = `Null`"]),
    ),
    (
        "ENGINE Null\nINDEXES >\n    i n TYPE minmax",
        Told("ignored-key", &["ENGINE = `Null`"]),
    ),
    (
        "ENGINE ReplicatedMergeTree\nENGINE_SORTING_KEY key",
        Made(&["ENGINE = MergeTree"]),
    ),
    (
        "ENGINE SharedReplacingMergeTree\nENGINE_SORTING_KEY key\nENGINE_VER at",
        Made(&["ReplacingMergeTree(at)"]),
    ),
    ("ENGINE Log", Refused("bad-engine")),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_VER at",
        Told("ignored-key", &["ENGINE = MergeTree ORDER BY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_SIGN sign",
        Told("ignored-key", &["ENGINE = MergeTree ORDER BY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_COLUMNS n",
        Told("ignored-key", &["ENGINE = MergeTree ORDER BY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_VERSION n",
        Told("ignored-key", &["ENGINE = MergeTree ORDER BY (key)"]),
    ),
    (
        "ENGINE MergeTree\nENGINE_SORTING_KEY key\nENGINE_WHATEVER x",
        Refused("unknown-directive"),
    ),
    (
        "ENGINE MergeTree\nSETTINGS x = 1",
        Refused("unknown-directive"),
    ),
    (
        "SORTING_KEY key",
        Told("ignored-key", &["ORDER BY tuple()"]),
    ),
    (
        "PARTITION_KEY key\nPRIMARY_KEY key\nSAMPLING_KEY key\nTTL at",
        Told("ignored-key", &["ORDER BY tuple()"]),
    ),
    ("VERSION 3", Made(&["MergeTree"])),
    ("BACKFILL skip", Made(&["MergeTree"])),
    ("BACKFILL always", Told("ignored-key", &["MergeTree"])),
    (
        "TAGS a, b\nDESCRIPTION words\nTOKEN t READ\nSHARED_WITH other",
        Made(&["MergeTree"]),
    ),
    (
        "FORWARD_QUERY >\n    SELECT *, '' AS text FROM t",
        Made(&["MergeTree"]),
    ),
    ("FORWARD_QUERY >", Refused("empty-sql")),
    (
        "IMPORT_STRATEGY append",
        Told("ignored-key", &["MergeTree"]),
    ),
    (
        "KAFKA_TARGET_PARTITIONS auto\nKAFKA_STORE_BINARY_HEADERS True",
        Told("ignored-key", &["MergeTree"]),
    ),
    (
        "IMPORT_TABLE_ARN a\nIMPORT_EXPORT_BUCKET b\nENGINE ReplacingMergeTree\nENGINE_SORTING_KEY key\nENGINE_VER _timestamp\nENGINE_IS_DELETED _is_deleted",
        Told(
            "unsupported-connector",
            &[
                "`_record` String",
                "ReplacingMergeTree(_timestamp, _is_deleted)",
            ],
        ),
    ),
    (
        "IMPORT_SERVICE bigquery\nIMPORT_EXTERNAL_DATASOURCE x",
        Told("unsupported-connector", &["MergeTree"]),
    ),
    (
        "KAFKA_CONNECTION_NAME c\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g",
        Told(
            "needs-external-system",
            &["`__timestamp` DateTime", "`__key` String"],
        ),
    ),
    (
        "KAFKA_CONNECTION_NAME c\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_STORE_HEADERS yes\nENGINE MergeTree\nENGINE_SORTING_KEY __offset",
        Told(
            "needs-external-system",
            &["`__headers` Map(String, String)", "ORDER BY (__offset)"],
        ),
    ),
    (
        "IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://b/x.csv\nIMPORT_SCHEDULE @auto",
        Told("needs-external-system", &["MergeTree"]),
    ),
    (
        "PG_CONNECTION_NAME c\nPG_TABLE t",
        Told("needs-external-system", &["MergeTree"]),
    ),
    (
        "INDEXES >\n    a n TYPE minmax GRANULARITY 4",
        Made(&["INDEX a n TYPE minmax GRANULARITY 4"]),
    ),
    (
        "INDEXES >\n    INDEX b lower(text) TYPE bloom_filter(0.01)",
        Made(&["INDEX b lower(text) TYPE bloom_filter(0.01)"]),
    ),
    (
        "INDICES >\n    c text TYPE ngrambf_v1(3, 256, 2, 0) GRANULARITY 1,\n    d text TYPE tokenbf_v1(256, 2, 0)\n    Nice n TYPE set(100)",
        Made(&[
            "ngrambf_v1(3, 256, 2, 0)",
            "tokenbf_v1(256, 2, 0)",
            "INDEX Nice n TYPE set(100)",
        ]),
    ),
    ("INDEXES >\n    e n TYPE nothing", ByEngine("nothing")),
    ("INDEXES >\n    f n", Refused("invalid-index")),
    (
        "ENGINE MergeTree\nNODE n",
        Told("misplaced-directive", &["MergeTree"]),
    ),
    ("ENGINE MergeTree\nWHATEVER x", Refused("unknown-directive")),
];

impl Bench {
    /// The answer as it is, without escapes.
    async fn words(&self, sql: &str) -> String {
        let answer = self.engine.query(Query::new(sql, "TSVRaw")).await.unwrap();
        String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
    }

    /// What becomes of a file, in one line; nothing if it is what was said.
    async fn deviation(&self, file: &str, outcome: &Outcome<'_>) -> Option<String> {
        let tree = SourceTree::new([("t.datasource".to_owned(), file.to_owned())]);
        let (plan, diagnostics) = pipewright_compiler::check(tree);
        let is_error = |found: &&pipewright_grammar::diagnostic::Diagnostic| {
            found.severity == pipewright_grammar::diagnostic::Severity::Error
        };
        let found = render::concise(&diagnostics, plan.project.sources.files());
        let has = |code: &str| diagnostics.iter().any(|found| found.code.name() == code);
        if let Refused(code) = outcome {
            let refused = diagnostics.iter().filter(is_error);
            let refused = refused.into_iter().any(|found| found.code.name() == *code);
            return (!refused).then(|| format!("is not refused with {code}: {found}"));
        }
        if diagnostics.iter().any(|found| is_error(&found)) {
            return Some(format!("is refused: {found}"));
        }
        let words = match outcome {
            Told(code, words) => {
                if !has(code) {
                    return Some(format!("has no finding {code}: {found}"));
                }
                words
            }
            Made(words) => {
                if has("ignored-key") || has("unsupported-connector") {
                    return Some(format!("has a finding: {found}"));
                }
                words
            }
            _ => &&[][..],
        };
        let (steps, _) = desired(&plan);
        let mut refused = None;
        for step in &steps {
            if let Err(error) = self.engine.execute(&step.sql_with_comment()).await {
                refused = Some(error.to_string());
            }
        }
        let shown = self.words("SELECT formatQuerySingleLine(create_table_query) FROM system.tables WHERE name = 't' AND database = currentDatabase()").await;
        self.execute("DROP TABLE IF EXISTS t SYNC").await;
        match (outcome, refused) {
            (ByEngine(word), Some(error)) if error.contains(word) => None,
            (ByEngine(word), refused) => Some(format!(
                "is not refused by the engine with {word}: {refused:?}, {shown}"
            )),
            (_, Some(error)) => Some(format!("is refused by the engine: {error}")),
            (_, None) => {
                let missing: Vec<&&str> = words
                    .iter()
                    .filter(|word| !shown.contains(**word))
                    .collect();
                (!missing.is_empty()).then(|| format!("is made without {missing:?}: {shown}"))
            }
        }
    }
}

#[tokio::test]
async fn everything_that_a_data_source_can_say_is_made_or_told() {
    let bench = Bench::new().await;
    let mut wrong = String::new();
    let columns = COLUMNS
        .iter()
        .map(|(text, outcome)| (column(text), outcome));
    let keys = KEYS_OF_TABLES
        .iter()
        .map(|(text, outcome)| (with_keys(text), outcome));
    for (file, outcome) in columns.chain(keys) {
        if let Some(deviation) = bench.deviation(&file, outcome).await {
            writeln!(wrong, "{file}{deviation}\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
