//! What a token is asked to be is understood as a whole, or refused.

use serde_json::json;

use crate::guarded::started;
use crate::harness::ADMIN;

#[test]
fn nothing_that_a_token_is_asked_to_be_is_left_out() {
    let (_project, server) = started();
    let soon = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_secs()
        + 3600;
    let scope = json!([{ "type": "PIPES:READ", "resource": "by_org" }]);
    let misspelt =
        json!([{ "type": "PIPES:READ", "resource": "by_org", "fixed_param": { "below": 1 } }]);
    let jwt = format!("expiration_time={soon}");
    for (address, body) in [
        ("", json!({ "scopes": scope, "limits": { "rps": 2 } })),
        ("limits=2", json!({ "scopes": scope })),
        (jwt.as_str(), json!({ "scopes": misspelt })),
        (
            &jwt,
            json!({ "scopes": scope, "limits": { "concurrency": 2 } }),
        ),
        (
            &jwt,
            json!({ "scopes": scope, "limits": { "rps": 2, "rpm": 60 } }),
        ),
        (&jwt, json!({ "scopes": scope, "limit": { "rps": 2 } })),
        ("", json!({ "scopes": scope, "expiration": soon })),
    ] {
        let path = format!("/v0/tokens/?name=x{}&{address}", body.to_string().len());
        let answer = server.ask(ADMIN, "POST", &path, &body.to_string());
        assert_eq!(answer.status, 400, "{address} {body}: {}", answer.text());
    }
    // The same, understood.
    let whole = json!({ "scopes": [{ "type": "PIPES:READ", "resource": "by_org", "fixed_params": { "below": 1 }, "filter": null }], "limits": { "rps": 200 } });
    let path = format!("/v0/tokens/?name=whole&{jwt}");
    let answer = server.ask(ADMIN, "POST", &path, &whole.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A token is not renamed, and that is said.
    let renamed = server.ask(ADMIN, "PUT", "/v0/tokens/admin%20token?name=other", "");
    assert_eq!(renamed.status, 400, "{}", renamed.text());
}

#[test]
fn what_others_have_signed_names_by_id_and_is_understood_as_a_whole() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let (_project, server) = started();
    let workspace = server.get("/v0/workspace").json()["id"].clone();
    let id = server.get("/v0/pipes/by_org").json()["id"].clone();
    let table = server.get("/v0/datasources/other").json()["id"].clone();
    let sign = |scope: serde_json::Value, limits: serde_json::Value| {
        let claims = json!({ "workspace_id": workspace, "name": "front", "exp": 4_000_000_000_u64, "iat": 1, "scopes": [scope], "limits": limits });
        let key = EncodingKey::from_secret(ADMIN.as_bytes());
        encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a JWT")
    };
    let fixed = json!({ "type": "PIPES:READ", "resource": id, "fixed_params": { "below": 2 } });
    let jwt = sign(fixed, json!({ "rps": 100 }));
    let rows = server.ask(&jwt, "GET", "/v0/pipes/by_org.json?below=10", "");
    assert_eq!(rows.status, 200, "{}", rows.text());
    assert_eq!(rows.json()["rows"], 2);
    let jwt = sign(
        json!({ "type": "DATASOURCES:READ", "resource": table }),
        json!(null),
    );
    let sql = "SELECT count() FROM other FORMAT TSV";
    assert_eq!(server.ask(&jwt, "POST", "/v0/sql", sql).text(), "4\n");
    let misspelt =
        json!({ "type": "PIPES:READ", "resource": "by_org", "fixed_param": { "below": 2 } });
    let plain = json!({ "type": "PIPES:READ", "resource": "by_org" });
    for jwt in [
        sign(misspelt, json!(null)),
        sign(plain, json!({ "concurrency": 1 })),
    ] {
        let answer = server.ask(&jwt, "GET", "/v0/pipes/by_org.json", "");
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
}
