//! Values of connections: text with references to secrets.

use pipewright_grammar::source::Spanned;

/// Text of which parts are known only when it is deployed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Part {
    Plain(String),
    /// `{{ tb_secret("name", "default") }}`
    Secret {
        name: String,
        default: Option<String>,
    },
    /// A credential that stands in the file. It is never shown.
    Credential {
        key: String,
        value: String,
    },
}

/// What is shown in place of a part.
impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Secret { name, .. } => write!(f, "{{{{ tb_secret(\"{name}\") }}}}"),
            Self::Credential { key, .. } => write!(f, "{{{{ {key} }}}}"),
        }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.parts).finish()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self {
            parts: vec![Part::Plain(text.to_owned())],
        }
    }
}

impl Text {
    /// Reads a value; an error says what is wrong with a reference in it.
    pub(super) fn read(value: &Spanned<String>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = value.value.trim();
        while let Some(start) = rest.find("{{") {
            if start > 0 {
                parts.push(Part::Plain(rest[..start].to_owned()));
            }
            let Some(end) = rest[start..].find("}}") else {
                return Err("`{{` is not closed".to_owned());
            };
            parts.push(secret(rest[start + 2..start + end].trim())?);
            rest = &rest[start + end + 2..];
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Plain(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The same for a value that must not be shown, whatever it is.
    pub(super) fn hidden(self, key: &str) -> Self {
        let hide = |part| match part {
            Part::Plain(value) if !value.is_empty() => Part::Credential {
                key: key.to_owned(),
                value,
            },
            other => other,
        };
        Self {
            parts: self.parts.into_iter().map(hide).collect(),
        }
    }

    /// The text, where nothing in it is a secret.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn has_credential(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Credential { .. }))
    }
}

/// `tb_secret("name")` or `tb_secret("name", "default")`
fn secret(call: &str) -> Result<Part, String> {
    let wrong = || format!("`{{{{ {call} }}}}` is no `tb_secret(\"name\")`");
    let arguments = call
        .strip_prefix("tb_secret")
        .and_then(|rest| rest.trim().strip_prefix('(')?.strip_suffix(')'))
        .ok_or_else(wrong)?;
    let mut rest = arguments.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let quote = rest
            .chars()
            .next()
            .filter(|sign| ['"', '\''].contains(sign));
        let quote = quote.ok_or_else(wrong)?;
        let end = rest[1..].find(quote).ok_or_else(wrong)? + 1;
        found.push(rest[1..end].to_owned());
        rest = rest[end + 1..].trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').ok_or_else(wrong)?.trim_start();
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next(), found.next()) {
        (Some(name), default, None)
            if !name.is_empty()
                && name
                    .chars()
                    .all(|sign| sign == '_' || sign.is_ascii_alphanumeric()) =>
        {
            Ok(Part::Secret { name, default })
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use pipewright_grammar::source::{SourceId, Span};

    use super::*;

    fn read(text: &str) -> Result<Text, String> {
        Text::read(&Spanned::new(text.to_owned(), Span::new(SourceId(0), 0, 0)))
    }

    #[test]
    fn secrets_are_named_and_credentials_are_not_shown() {
        let text = read("a-{{ tb_secret('k', \"d\") }}/{{tb_secret(\"m\")}}").unwrap();
        assert_eq!(
            format!("{text:?}"),
            r#"["a-", "{{ tb_secret(\"k\") }}", "/", "{{ tb_secret(\"m\") }}"]"#
        );
        let hidden = read("hush").unwrap().hidden("KAFKA_SECRET");
        assert_eq!(format!("{hidden:?}"), r#"["{{ KAFKA_SECRET }}"]"#);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "{{ tb_secret(k) }}",
            "{{ x }}",
            "{{ tb_secret(\"a\" ",
            "{{ tb_secret(\"a\", \"b\", \"c\") }}",
            "{{ tb_secret(\"a b\") }}",
            "{{ tb_secret(\"a\" \"b\") }}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
