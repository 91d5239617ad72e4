//! The values that a request brings: from the query string, and for POST from a form of either kind, JSON or plain SQL body.

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use pipewright_compiler::template::{Values, exact_json};
use serde_json::Value;

use super::error::ApiError;

/// Values by name, in the order in which they came; a later one overwrites.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, Value)>,
    /// How many of them the address has brought.
    of_address: usize,
    /// The body, when it is neither a form nor JSON: an SQL query in plain text.
    pub(crate) text: Option<String>,
}

/// The most parameters that a request has.
pub(super) const MOST: usize = 5000;

/// The most values in a JSON body, with those in lists.
const MOST_VALUES: usize = 100_000;

/// Bodies up to this length are taken apart at once, longer ones where they hold up nobody.
const SHORT: usize = 64 * 1024;

/// What is said of too many parameters.
pub(super) fn too_many() -> ApiError {
    ApiError::BadRequest(format!("a request has at most {MOST} parameters"))
}

/// Names that steer the request and are no template parameters.
const CONTROL: &[&str] = &[
    "token",
    "q",
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_denormals",
    "output_format_parquet_string_as_string",
];

/// Settings of the engine that are off unless a request asks for them, as the API's document says; the engine has them on.
const UNLESS_ASKED: &[&str] = &[
    "output_format_json_quote_64bit_integers",
    "output_format_parquet_string_as_string",
];

impl Parameters {
    /// What the address brings.
    pub(crate) fn of_address(uri: &Uri) -> Self {
        let mut parameters = Self::default();
        parameters
            .pairs
            .extend(form_pairs(uri.query().unwrap_or("").as_bytes()).take(MOST));
        parameters.of_address = parameters.pairs.len();
        parameters
    }

    /// What the address and the body bring.
    pub(crate) async fn read(
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, ApiError> {
        if body.len() <= SHORT {
            return Self::parsed(uri, headers, body).await;
        }
        let (uri, headers, body) = (uri.clone(), headers.clone(), body.clone());
        let runtime = tokio::runtime::Handle::current();
        let parsed =
            move || runtime.block_on(async move { Self::parsed(&uri, &headers, &body).await });
        tokio::task::spawn_blocking(parsed).await.map_err(|error| {
            tracing::error!(%error, "a body was not taken apart");
            ApiError::Internal("the body could not be taken apart; the log says why".to_owned())
        })?
    }

    async fn parsed(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Self, ApiError> {
        let mut parameters = Self::of_address(uri);
        if body.is_empty() {
            return Ok(parameters);
        }
        let content_type = headers.get(header::CONTENT_TYPE);
        match (media_type(headers).as_str(), content_type) {
            ("application/json", _) => parameters.add_json(body)?,
            ("multipart/form-data", Some(content_type)) => {
                parameters.add_parts(content_type, body).await?;
            }
            // curl's -d sends this type for any text: a form has `=` after its first name, and SQL has a blank before any.
            ("application/x-www-form-urlencoded", _) if is_form(body) => {
                parameters.add_form(body)?;
            }
            _ => match std::str::from_utf8(body) {
                Ok(text) => parameters.text = Some(text.to_owned()),
                Err(_) => {
                    return Err(ApiError::Body(
                        StatusCode::BAD_REQUEST,
                        "the body is not UTF-8".to_owned(),
                    ));
                }
            },
        }
        parameters.read_json_text()?;
        Ok(parameters)
    }

    fn add(&mut self, name: String, value: Value) -> Result<(), ApiError> {
        if self.pairs.len() >= MOST {
            return Err(too_many());
        }
        self.pairs.push((name, value));
        Ok(())
    }

    fn add_form(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        form_pairs(bytes).try_for_each(|(name, value)| self.add(name, value))
    }

    /// Adds the fields of a form in parts. The body is here already, and no longer than bodies may be. A file among them is refused: as a parameter it would be
    /// left out.
    async fn add_parts(
        &mut self,
        content_type: &HeaderValue,
        body: &Bytes,
    ) -> Result<(), ApiError> {
        let bad = |message: String| ApiError::Body(StatusCode::BAD_REQUEST, message);
        let mut request = Request::new(Body::from(body.clone()));
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type.clone());
        DefaultBodyLimit::disable().apply(&mut request);
        let mut form = Multipart::from_request(request, &())
            .await
            .map_err(|error| bad(error.body_text()))?;
        while let Some(field) = form
            .next_field()
            .await
            .map_err(|error| bad(error.body_text()))?
        {
            let name = field.name().unwrap_or_default().to_owned();
            if name.is_empty() || field.file_name().is_some() {
                let message = format!("the part `{name}` of the form is no field with a value");
                return Err(bad(message));
            }
            let value = field
                .bytes()
                .await
                .map_err(|error| bad(error.body_text()))?;
            let value = String::from_utf8(value.into())
                .map_err(|_| bad(format!("the part `{name}` of the form is not UTF-8")))?;
            self.add(name, Value::String(value))?;
        }
        Ok(())
    }

    /// Takes a body that is JSON, but was not said to be, as the parameters that it holds.
    fn read_json_text(&mut self) -> Result<(), ApiError> {
        if self.text.as_ref().is_some_and(|text| {
            text.trim_start().starts_with('{')
                && values_in(text.as_bytes()) <= MOST_VALUES
                && serde_json::from_str::<serde_json::Map<String, Value>>(text).is_ok()
        }) {
            let text = self.text.take().unwrap_or_default();
            self.add_json(text.as_bytes())?;
        }
        Ok(())
    }

    /// Refuses a body that is no parameters, whatever was said to be in it. What cannot be read is refused: a filter that is left out without a word shows too many rows.
    pub(crate) fn require_no_text(&self) -> Result<(), ApiError> {
        match &self.text {
            Some(text) if !text.trim().is_empty() => Err(ApiError::Body(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body holds no parameters: send them as a form (application/x-www-form-urlencoded or multipart/form-data) or as JSON (application/json)"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn add_json(&mut self, body: &[u8]) -> Result<(), ApiError> {
        let bad = |message: String| ApiError::Body(StatusCode::BAD_REQUEST, message);
        if values_in(body) > MOST_VALUES {
            return Err(bad(format!("the body has more than {MOST_VALUES} values")));
        }
        let text =
            std::str::from_utf8(body).map_err(|_| bad("the body is not UTF-8".to_owned()))?;
        let value = exact_json(text)
            .map_err(|error| bad(format!("the body is not valid JSON: {error}")))?;
        let Value::Object(map) = value else {
            return Err(bad(
                "the body must be a JSON object of parameters".to_owned()
            ));
        };
        map.into_iter()
            .try_for_each(|(name, value)| self.add(name, value))
    }

    /// The value of a name as text; the last one wins.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.as_str())
    }

    /// The value of a name as JSON; the last one wins.
    pub(crate) fn value_of(&self, name: &str) -> Option<&Value> {
        self.pairs
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The value of a name that is not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.text_of(name)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    }

    /// The words of a list with commas.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        let text = self.given(name).unwrap_or("");
        let words = text.split(',').map(str::trim);
        words
            .filter(|word| !word.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// All values of a name as text, in order.
    pub(crate) fn all_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .filter_map(|(_, value)| value.as_str())
    }

    /// A yes or no; no when it is not given.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.value_of(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") || text == "1" => {
                Ok(true)
            }
            Some(Value::String(text))
                if text.eq_ignore_ascii_case("false") || text == "0" || text.is_empty() =>
            {
                Ok(false)
            }
            Some(_) => Err(ApiError::BadRequest(format!(
                "parameter `{name}` takes true or false"
            ))),
        }
    }

    /// Refuses what the body brings beside these names: what is not understood is not left out. Addresses also hold what clients say of themselves.
    pub(crate) fn refuse_others(&self, known: &[&str]) -> Result<(), ApiError> {
        let brought = self.pairs.get(self.of_address..).unwrap_or_default();
        match brought
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::BadRequest(format!(
                "`{name}` is not understood; there are {}",
                known.join(", ")
            ))),
        }
    }

    /// The pairs in order.
    pub(crate) fn pairs(&self) -> &[(String, Value)] {
        &self.pairs
    }

    /// Sets values that the request cannot change.
    pub(crate) fn fix(&mut self, fixed: &serde_json::Map<String, Value>) {
        self.pairs.retain(|(name, _)| !fixed.contains_key(name));
        self.pairs.extend(
            fixed
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }

    /// The settings of the engine that a request may choose, each 0 or 1.
    pub(crate) fn output_settings(&self) -> Result<Vec<(String, String)>, ApiError> {
        let mut settings: Vec<(String, String)> = UNLESS_ASKED
            .iter()
            .map(|name| ((*name).to_owned(), "0".to_owned()))
            .collect();
        for name in CONTROL
            .iter()
            .filter(|name| name.starts_with("output_format_"))
        {
            let Some((_, value)) = self.pairs.iter().rev().find(|(key, _)| key == name) else {
                continue;
            };
            let flag = match value {
                Value::String(text) => text.as_str(),
                Value::Number(number) if number.as_u64() == Some(1) => "1",
                Value::Number(number) if number.as_u64() == Some(0) => "0",
                _ => "",
            };
            if flag != "0" && flag != "1" {
                return Err(ApiError::BadRequest(format!(
                    "parameter `{name}` takes 0 or 1"
                )));
            }
            settings.retain(|(key, _)| key != name);
            settings.push(((*name).to_owned(), flag.to_owned()));
        }
        Ok(settings)
    }

    /// The template parameters.
    pub(crate) fn values(self) -> Values {
        self.pairs
            .into_iter()
            .filter(|(name, _)| !CONTROL.contains(&name.as_str()))
            .collect()
    }
}

/// The type of a body, in small letters and without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = text.split(';').next().unwrap_or("");
    media_type.trim().to_ascii_lowercase()
}

fn form_pairs(bytes: &[u8]) -> impl Iterator<Item = (String, Value)> {
    form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
}

/// About how many values a JSON text has: what is in memory of each is many times its length in the text.
fn values_in(json: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

fn is_form(body: &[u8]) -> bool {
    let name_end = body.iter().position(|byte| *byte == b'=');
    name_end.is_some_and(|end| {
        body[..end].iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'%' | b'+')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(body: &[u8]) -> Result<Vec<(String, Value)>, String> {
        let mut parameters = Parameters::default();
        match parameters.add_json(body) {
            Ok(()) => Ok(parameters.pairs),
            Err(ApiError::Body(status, message)) => Err(format!("{status}: {message}")),
            Err(_) => Err("another error".to_owned()),
        }
    }

    #[test]
    fn numbers_of_a_body_are_not_rounded() {
        let body = br#"{"a": 18446744073709551615, "b": 18446744073709551616, "c": [0.5]}"#;
        let value = |name: &str, value| (name.to_owned(), value);
        assert_eq!(
            of(body),
            Ok(vec![
                value("a", json!(u64::MAX)),
                value("b", json!("18446744073709551616")),
                value("c", json!([0.5])),
            ])
        );
    }

    #[test]
    fn a_body_that_is_nested_too_deeply_is_refused() {
        for (depth, why) in [(10_000, "recursion limit"), (1_000_000, "more than")] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                for body in [format!("{{\"a\":{inner}}}"), format!("{{\"a\":{inner}")] {
                    let refused = of(body.as_bytes()).unwrap_err();
                    assert!(refused.starts_with("400 "), "{refused}");
                    assert!(
                        refused.contains(why) || refused.contains("recursion limit"),
                        "{refused}"
                    );
                }
            }
        }
    }
}
