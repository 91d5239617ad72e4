//! The codes that parsing can report. `pipewright-compiler` declares its own in its `diagnostics::codes`.

use crate::diagnostic::Code;

/// Declares codes as associated constants of [`Code`] and lists them in [`ALL`].
macro_rules! declare_codes {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $constant: Self = Self::new($name);)*
        }

        /// Every code that this crate can report, in order of declaration.
        pub const ALL: &[Code] = &[$(Code::$constant),*];
    };
}

declare_codes! {
    /// The bytes of a file are not UTF-8.
    INVALID_UTF8 = "invalid-utf8";
    /// A tag of a template is unknown, forbidden, misplaced, empty or not closed.
    TEMPLATE_TAG = "template-tag";
    /// A block of a template has no `{% end %}`.
    TEMPLATE_UNCLOSED = "template-unclosed-block";
    /// The expression in a tag of a template cannot be read.
    TEMPLATE_EXPRESSION = "template-expression";
    /// A block tag of a template holds more than its condition.
    TEMPLATE_CONTROL = "template-control-block";
    /// `{% set %}` holds something else than one assignment or expression.
    TEMPLATE_SET = "template-set";
}
