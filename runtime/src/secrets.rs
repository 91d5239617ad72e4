//! Values that templates and connections may bind, and that nothing may show: printed for debugging, there are only their names.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

/// The values of secrets by name.
#[derive(Debug, Clone, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// The value of a secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        Some(self.0.get(name)?.expose_secret())
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// These, and of others what these do not have.
    #[must_use]
    pub fn or(&self, others: Self) -> Self {
        let mut all = others.0;
        all.extend(self.0.clone());
        Self(all)
    }
}

impl FromIterator<(String, String)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name, SecretString::from(value)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(pairs: &[(&str, &str)]) -> Secrets {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_first_ones_win() {
        let all = secrets(&[("a", "1"), ("b", "2")]).or(secrets(&[("b", "3"), ("c", "4")]));
        let values = ["a", "b", "c", "d"].map(|name| all.get(name));
        assert_eq!(values, [Some("1"), Some("2"), Some("4"), None]);
        assert_eq!(all.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn no_value_is_printed() {
        let printed = format!("{:?}", secrets(&[("name", "hush")]));
        assert!(
            printed.contains("name") && !printed.contains("hush"),
            "{printed}"
        );
    }
}
