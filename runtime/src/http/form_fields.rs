//! Parameters of an import that come as the fields of a form: `curl -d url=…` in place of `?url=…`. What such a form has is put into the address of the request,
//! where the parameters of all imports are. Rows that are sent under the same media type, which is that of all that `curl -d` sends, stay rows.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header, uri};
use form_urlencoded::{Serializer, parse};

use super::App;
use super::error::ApiError;
use super::extract::in_time;
use super::parameters::{Parameters, media_type};
use super::staged;

/// The longest form of parameters: an address is no longer than 64 KiB, and every byte of a value may become three of it.
const LONGEST: usize = 16 * 1024;

/// The request with the fields of its form in its address, when they name a URL to read rows from.
pub(super) async fn in_address(app: &Arc<App>, request: Request) -> Result<Request, ApiError> {
    let is_url_elsewhere = Parameters::of_address(request.uri()).given("url").is_some();
    if is_url_elsewhere || !is_short_form(request.headers()) {
        return Ok(request);
    }
    let (mut head, body) = request.into_parts();
    let body = in_time(app, to_bytes(body, LONGEST)).await?.map_err(|_| {
        let message = format!("the body is longer than {LONGEST} bytes");
        ApiError::Body(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    if !names_url(&body) {
        return Ok(Request::from_parts(head, Body::from(body)));
    }
    // Of two values of a name the last counts: that of the address.
    let own = head.uri.query().unwrap_or("").as_bytes();
    let query = Serializer::new(String::new())
        .extend_pairs(parse(&body).chain(parse(own)))
        .finish();
    head.uri = with_query(&head.uri, &query)
        .ok_or_else(|| ApiError::BadRequest("the parameters are too long".to_owned()))?;
    staged::refuse_changes(&head.method, &head.uri, false)?;
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Request::from_parts(head, Body::empty()))
}

fn is_short_form(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    media_type(headers) == "application/x-www-form-urlencoded"
        && length.is_some_and(|length| length > 0 && length <= LONGEST)
}

/// Whether a body is fields with names such as parameters have, and one of them is a URL.
fn names_url(body: &[u8]) -> bool {
    let is_line = !body.trim_ascii_end().contains(&b'\n');
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_url = |name: &str, value: &str| {
        name == "url"
            && ["http://", "https://"]
                .iter()
                .any(|scheme| value.starts_with(scheme))
    };
    is_line
        && parse(body).all(|(name, _)| is_name(&name))
        && parse(body).any(|(name, value)| is_url(&name, &value))
}

fn with_query(address: &Uri, query: &str) -> Option<Uri> {
    let mut parts: uri::Parts = address.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", address.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::names_url;

    #[test]
    fn rows_are_no_fields() {
        for fields in [
            "url=http%3A%2F%2Fa%2Fb.csv",
            "name=x&mode=append&url=https://a/b.csv?x=y\n",
        ] {
            assert!(names_url(fields.as_bytes()), "{fields}");
        }
        for rows in [
            "",
            "name=x",
            "url=here",
            "a,url=http://a/b",
            "url=http://a/b,1\nurl=http://a/c,2\n",
            "{\"url\":\"http://a/b\"}&url=http://a/b",
        ] {
            assert!(!names_url(rows.as_bytes()), "{rows}");
        }
    }
}
