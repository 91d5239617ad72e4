//! `.connection` and `.token` files.

use insta::assert_snapshot;

use super::{file, show_directives, show_findings};
use crate::parse::{parse_connection, parse_token};
use crate::source::Spanned;

fn connection(text: &str) -> String {
    let file = file(text);
    let parsed = parse_connection(&file);
    let kind = parsed.tree.kind.as_ref().map(|kind| kind.value.clone());
    let mut out = format!("{kind:?}\n");
    show_directives(&mut out, "", &parsed.tree.directives);
    show_findings(&mut out, &file, &parsed.diagnostics);
    out
}

#[test]
fn connections_keep_their_secrets_as_text() {
    assert_snapshot!(connection("TYPE Kafka\nKAFKA_BOOTSTRAP_SERVERS host:9092\nKAFKA_KEY {{ tb_secret(\"key\") }}\nKAFKA_SSL_CA_PEM >\n    -----BEGIN CERTIFICATE-----\n    MIIB\n    -----END CERTIFICATE-----\nGCS_SECRET 'x'\n"), @r#"
    Some("kafka")
    KAFKA_BOOTSTRAP_SERVERS "host:9092"
    KAFKA_KEY "{{ tb_secret(\"key\") }}"
    KAFKA_SSL_CA_PEM > "-----BEGIN CERTIFICATE-----\n    MIIB\n    -----END CERTIFICATE-----"
    GCS_HMAC_SECRET "x"
    "#);
    assert_snapshot!(connection("TYPE s3\nS3_RGION eu\nNODE a\n"), @r#"
    Some("s3")
    S3_REGION "eu"
    NODE "a"
    ! Error[unknown-directive] unknown directive `S3_RGION` at 2:1 "S3_RGION"
      fix (Unsafe): write `S3_REGION` Some("S3_REGION")
    ! Warning[misplaced-directive] `NODE` has no effect in a `.connection` file at 3:1 "NODE"
    "#);
}

#[test]
fn tokens_list_their_scopes() {
    let file = file(
        "DESCRIPTION For the dashboard\nRESOURCE early\nSCOPE PIPES:READ\nRESOURCE top_pages\nFILTER org = 'a b'\nSCOPE DATASOURCES:APPEND\nRESOURCE hits\n",
    );
    let parsed = parse_token(&file);
    let scopes: Vec<_> = parsed
        .tree
        .scopes
        .iter()
        .map(|scope| {
            (
                scope.scope.as_str(),
                scope.resource.as_ref().map(Spanned::as_str),
                scope.filter.as_ref().map(Spanned::as_str),
            )
        })
        .collect();
    let mut out = format!("{scopes:?}\n");
    show_findings(&mut out, &file, &parsed.diagnostics);
    assert_snapshot!(out, @r#"
    [("PIPES:READ", Some("top_pages"), Some("org = 'a b'")), ("DATASOURCES:APPEND", Some("hits"), None)]
    ! Error[directive-outside-scope] `RESOURCE` stands before the first `SCOPE` at 2:1 "RESOURCE"
    "#);
}
