//! Templates: typed parameters, functions, and rendering through minijinja.
