//! ClickHouse SQL text, understood as far as it has to be: the only place that knows `sqlparser`.
//!
//! Two readings of one text, because they fail differently. The [scan](scan()) works on tokens alone, never gives up on text that the engine would accept, and is
//! what reference resolution and the [guard](guard()) stand on: which tables, functions, table functions and settings a statement names, each with its
//! byte range. The parsed tree ([`parse`]) serves lineage, checks and optimization; SQL that `sqlparser` cannot read is *opaque* to those, never an error.
//!
//! Text goes in, byte ranges into that same text come out. Nothing here prints a user's SQL: it is edited by splicing.

pub(crate) mod blocks;
mod calls;
pub(crate) mod clauses;
pub(crate) mod clock;
mod closed;
pub(crate) mod columns;
mod debug;
pub(crate) mod definitions;
pub(crate) mod derived;
pub(crate) mod divisions;
mod front;
mod guard;
mod identifier;
pub(crate) mod lexer;
pub(crate) mod memberships;
pub(crate) mod outline;
mod parse;
mod reference;
mod references;
mod scan;
pub(crate) mod states;

pub use calls::{canonical_calls, canonical_key};
pub(crate) use calls::{is_of_windows, without_over};
pub use closed::is_closed;
pub use debug::debug_tokens;
pub use front::{first_word, with_tables};
pub use guard::{Policy, Refused, Use, Violation, guard, unbound};
pub use identifier::{is_plain_identifier, quote_identifier, quote_literal, unquote};
pub use lexer::places_of_name;
pub(crate) use lexer::qualifiers;
pub use parse::{FormKind, Opaque, Parsed, TakenOut, Tree, parse};
pub use reference::{Called, Parameter, Position, Setting, TableReference};
pub use references::references;
pub use scan::{
    Captors, Clause, CommonTable, NamedSet, Scan, SetMeaning, SqlError, StatementKind, scan,
};
pub(crate) use scan::{ScopeId, aliases, called_for, is_behind_signs};

#[cfg(test)]
mod tests;
