//! `.connection` files.

use serde::Serialize;

use super::{Directive, last};
use crate::source::Spanned;

/// One `.connection` file. Values that hold credentials are kept as written (usually `{{ tb_secret("…") }}`) and never printed by later stages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionFile {
    /// The description.
    pub description: Option<Spanned<String>>,
    /// `TYPE` in lower case: kafka, s3, gcs, dynamodb, postgres, …
    pub kind: Option<Spanned<String>>,
    /// Every other directive in file order.
    pub directives: Vec<Directive>,
}

impl ConnectionFile {
    /// The value of a directive; the last one wins where it is repeated. `keyword` in upper case.
    pub fn directive(&self, keyword: &str) -> Option<&Directive> {
        last(&self.directives, keyword)
    }
}
