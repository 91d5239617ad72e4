//! The codes of diagnostics that templates can have beyond those of the grammar.

use pipewright_grammar::diagnostic::Code;

/// A tag uses something that the language does not allow there.
pub const TEMPLATE_REFUSED: Code = Code::new("template-refused");
/// A parameter has a name that a request cannot give, or that has another meaning there.
pub const TEMPLATE_RESERVED_NAME: Code = Code::new("template-reserved-name");
/// A template cannot be rendered.
pub const TEMPLATE_RENDER: Code = Code::new("template-render");

/// Every code of this module.
pub const ALL: &[Code] = &[TEMPLATE_REFUSED, TEMPLATE_RESERVED_NAME, TEMPLATE_RENDER];
