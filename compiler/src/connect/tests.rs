use std::fmt::Write as _;

use insta::assert_snapshot;

use super::*;
use crate::diagnostics::render;
use crate::project::SourceTree;

/// The findings of a project about its connectors, and what is written of them.
fn connected(files: &[(&str, &str)]) -> String {
    let tree = SourceTree::new(
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
    );
    let (plan, _) = crate::check(tree);
    let (connectors, diagnostics) = connectors(&plan);
    let mut text = render::concise(&diagnostics, plan.project.sources.files());
    for connector in connectors {
        _ = write!(text, "\n{}", connector.text());
    }
    text
}

const KAFKA: &str = "TYPE kafka\nKAFKA_BOOTSTRAP_SERVERS broker:9092\nKAFKA_KEY {{ tb_secret(\"user\") }}\nKAFKA_SECRET {{ tb_secret(\"hush\", \"none\") }}\n";
const S3: &str = "TYPE s3\nS3_REGION eu-west-1\nS3_ACCESS_KEY {{ tb_secret(\"id\") }}\nS3_SECRET {{ tb_secret(\"key\") }}\n";

#[test]
fn kafka_is_a_table_whose_messages_take_the_way_of_all_rows() {
    let source = "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `__topic` LowCardinality(String)\nENGINE MergeTree\nENGINE_SORTING_KEY __timestamp\nKAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC clicks\nKAFKA_GROUP_ID g\nKAFKA_STORE_RAW_VALUE True\nKAFKA_STORE_HEADERS True\n";
    assert_snapshot!(connected(&[
        ("clicks.datasource", source),
        ("broker.connection", KAFKA)
    ]));
}

#[test]
fn avro_comes_through_its_registry_and_raw_messages_may_be_anything() {
    let registry = format!("{KAFKA}KAFKA_SCHEMA_REGISTRY_URL https://user:pass@registry\n");
    let avro = "SCHEMA >\n    `id` UInt32 `json:$.number`\nKAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_VALUE_FORMAT avro\n";
    let raw = "SCHEMA >\n    `__value` String\nKAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_STORE_RAW_VALUE True\n";
    assert_snapshot!(connected(&[
        ("avro.datasource", avro),
        ("raw.datasource", raw),
        ("broker.connection", &registry)
    ]));
}

#[test]
fn files_come_as_they_are_written_or_on_demand() {
    let keys = "IMPORT_CONNECTION_NAME store\nIMPORT_BUCKET_URI s3://b/rows/*.csv\nIMPORT_SCHEDULE";
    let csv = format!(
        "SCHEMA >\n    `id` UInt32,\n    `name` String\n{keys} @auto\nIMPORT_FROM_TIMESTAMP 2026-01-01T00:00:00Z\n"
    );
    let parquet = format!("SCHEMA >\n    `id` UInt32\n{keys} @on-demand\nIMPORT_FORMAT parquet\n");
    assert_snapshot!(connected(&[
        ("csv.datasource", &csv),
        ("parquet.datasource", &parquet),
        ("store.connection", S3)
    ]));
}

#[test]
fn other_stores_are_read_on_demand() {
    let gcs = "TYPE gcs\nGCS_HMAC_ACCESS_ID {{ tb_secret(\"id\") }}\nGCS_HMAC_SECRET {{ tb_secret(\"key\") }}\n";
    let postgres = "TYPE postgres\nPG_HOST db\nPG_PORT 5433\nPG_DATABASE shop\nPG_USER me\nPG_PASSWORD {{ tb_secret(\"pw\") }}\n";
    let source = |keys: &str| format!("SCHEMA >\n    `id` UInt32 `json:$.id`\n{keys}\n");
    assert_snapshot!(connected(&[
        (
            "a.datasource",
            &source(
                "IMPORT_CONNECTION_NAME g\nIMPORT_BUCKET_URI gs://b/x.ndjson\nIMPORT_SCHEDULE @once"
            )
        ),
        (
            "b.datasource",
            &source("PG_CONNECTION_NAME p\nPG_TABLE public.users")
        ),
        (
            "c.datasource",
            &source("IMPORT_BUCKET_URI https://host/x.ndjson.gz\nIMPORT_SCHEDULE @on-demand")
        ),
        (
            "d.datasource",
            &source(
                "IMPORT_CONNECTION_NAME s\nIMPORT_BUCKET_URI s3://lake/table\nIMPORT_FORMAT iceberg\nIMPORT_SCHEDULE @on-demand"
            )
        ),
        ("g.connection", gcs),
        ("p.connection", postgres),
        (
            "s.connection",
            "TYPE s3\nS3_REGION eu-west-1\nS3_ARN arn:aws:iam::1:role/r\n"
        ),
    ]));
}

#[test]
fn sinks_write_to_topics_and_files() {
    let node = "NODE n\nSQL >\n    SELECT 1 AS id, now() AS at\nTYPE sink\n";
    let topic = format!(
        "{node}EXPORT_CONNECTION_NAME broker\nEXPORT_KAFKA_TOPIC out\nEXPORT_SCHEDULE @on-demand\n"
    );
    let files = format!(
        "{node}EXPORT_CONNECTION_NAME store\nEXPORT_BUCKET_URI s3://b/out/\nEXPORT_FILE_TEMPLATE day={{at, '%Y-%m-%d'}}/part_{{id}}_x\nEXPORT_FORMAT ndjson\nEXPORT_COMPRESSION gz\nEXPORT_WRITE_STRATEGY truncate\n"
    );
    assert_snapshot!(connected(&[
        ("topic.pipe", &topic),
        ("files.pipe", &files),
        ("broker.connection", KAFKA),
        ("store.connection", S3)
    ]));
}

#[test]
fn what_is_wrong_or_not_possible_is_said() {
    let source = |keys: &str| format!("SCHEMA >\n    `id` UInt32 `json:$.a.b`\n{keys}\n");
    let stores = "IMPORT_CONNECTION_NAME store\nIMPORT_SCHEDULE @auto\nIMPORT_BUCKET_URI";
    let kafka = "KAFKA_CONNECTION_NAME broker\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\n";
    assert_snapshot!(connected(&[
        (
            "a.datasource",
            &source("IMPORT_TABLE_ARN arn\nIMPORT_EXPORT_BUCKET b")
        ),
        (
            "b.datasource",
            &source("IMPORT_SERVICE bigquery\nIMPORT_EXTERNAL_DATASOURCE x")
        ),
        ("c.datasource", &source("KAFKA_CONNECTION_NAME broker")),
        (
            "d.datasource",
            &source("KAFKA_CONNECTION_NAME nowhere\nKAFKA_TOPIC t\nKAFKA_AUTO_OFFSET_RESET latest")
        ),
        (
            "e.datasource",
            &source("KAFKA_CONNECTION_NAME store\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g")
        ),
        (
            "f.datasource",
            &source(&format!("{kafka}KAFKA_VALUE_FORMAT protobuf"))
        ),
        (
            "g.datasource",
            &source(&format!("{kafka}KAFKA_VALUE_FORMAT avro"))
        ),
        (
            "h.datasource",
            &source(&format!("{stores} s3://b/[ab].csv"))
        ),
        (
            "i.datasource",
            &source(&format!("{stores} s3://b/x.avro\nIMPORT_FORMAT avro"))
        ),
        (
            "j.datasource",
            &source(
                "IMPORT_CONNECTION_NAME store\nIMPORT_BUCKET_URI s3://b/x.csv\nIMPORT_SCHEDULE 0 7 * * *"
            )
        ),
        (
            "k.datasource",
            &source(
                "IMPORT_CONNECTION_NAME account\nIMPORT_BUCKET_URI gs://b/x.csv\nIMPORT_SCHEDULE @auto"
            )
        ),
        (
            "l.datasource",
            &source("IMPORT_BUCKET_URI s3://b/x.csv\nIMPORT_SCHEDULE @auto")
        ),
        ("m.datasource", &source("IMPORT_CONNECTION_NAME store")),
        ("n.datasource", &source("PG_TABLE t")),
        (
            "broker.connection",
            "TYPE kafka\nKAFKA_BOOTSTRAP_SERVERS b:1\nKAFKA_SECRET plain\nKAFKA_KEY {{ other }}\nKAFKA_SCHEMA_REGISTRY_URL r\n"
        ),
        ("store.connection", "TYPE s3\nS3_ACCESS_KEY x\n"),
        (
            "account.connection",
            "TYPE gcs\nGCS_SERVICE_ACCOUNT_CREDENTIALS_JSON {}\n"
        ),
    ]));
}

#[test]
fn a_credential_is_filled_in_and_never_shown() {
    let source = "SCHEMA >\n    `id` UInt32 `json:$.id`\nKAFKA_TOPIC t\nKAFKA_GROUP_ID g\nKAFKA_BOOTSTRAP_SERVERS b:1\nKAFKA_KEY {{ tb_secret(\"user\") }}\nKAFKA_SECRET it's\n";
    let tree = SourceTree::new([("t.datasource".to_owned(), source.to_owned())]);
    let (plan, _) = crate::check(tree);
    let (connectors, _) = connectors(&plan);
    let sql = &connectors[0].statements[0].sql;
    assert!(
        !sql.text().contains("it's") && !format!("{sql:?}").contains("it's"),
        "{sql:?}"
    );
    assert_eq!(sql.secrets().into_iter().collect::<Vec<_>>(), ["user"]);
    assert_eq!(sql.filled(|_| None), Err(MissingSecret("user".to_owned())));
    let filled = sql.filled(|_| Some("a'b".to_owned())).unwrap();
    assert!(
        filled.contains(r"'a\'b'") && filled.contains(r"'it\'s'"),
        "{filled}"
    );
}
