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
}
