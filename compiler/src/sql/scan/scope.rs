//! Which common table expressions a name can mean. Names are looked up after the whole statement is read, because an expression may use one that is
//! defined after it.

use std::collections::{HashMap, HashSet};

/// A scope in the arena.
pub(crate) type ScopeId = u32;

/// The scope outside of every `WITH`, and inside of `view(…)`.
pub(super) const ROOT: ScopeId = 0;

/// One `WITH` clause, or the body of one expression in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Scope {
    parent: ScopeId,
    tables: HashSet<String>,
    scalars: HashSet<String>,
    /// In the body of an expression that is not recursive: its own name, which does not mean itself there.
    own: Option<String>,
    /// For a later branch of a union: the scope of the leading `WITH` is the parent. Its named scalars are the branch's, its tables are not.
    merges_parent: bool,
}

/// All scopes of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scopes {
    arena: Vec<Scope>,
    /// How many scopes define a name: most names are defined by none, and need no walk.
    defined: HashMap<String, u32>,
}

impl Default for Scopes {
    fn default() -> Self {
        Self::new()
    }
}

impl Scopes {
    pub(super) fn new() -> Self {
        Self {
            arena: vec![Scope::default()],
            defined: HashMap::new(),
        }
    }

    pub(super) fn with_clause(&mut self, parent: ScopeId, merges_parent: bool) -> ScopeId {
        self.push(Scope {
            parent,
            merges_parent,
            ..Scope::default()
        })
    }

    pub(super) fn body(&mut self, parent: ScopeId, own: Option<String>) -> ScopeId {
        self.push(Scope {
            parent,
            own,
            ..Scope::default()
        })
    }

    /// What a `WITH` clause defines, with another scope around it.
    pub(super) fn moved(&mut self, clause: ScopeId, parent: ScopeId) -> ScopeId {
        let scope = Scope {
            parent,
            ..self.arena[clause as usize].clone()
        };
        self.push(scope)
    }

    fn push(&mut self, scope: Scope) -> ScopeId {
        self.arena.push(scope);
        ScopeId::try_from(self.arena.len() - 1).unwrap_or(ROOT)
    }

    pub(super) fn define(&mut self, scope: ScopeId, name: &str, is_table: bool) {
        let scope = &mut self.arena[scope as usize];
        let names = if is_table {
            &mut scope.tables
        } else {
            &mut scope.scalars
        };
        if names.insert(name.to_owned()) {
            *self.defined.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Whether a named scalar of that name can be seen from a place in `scope`.
    pub(super) fn defines_scalar(&self, mut at: ScopeId, name: &str) -> bool {
        if !self.defined.contains_key(name) {
            return false;
        }
        while at != ROOT {
            let scope = &self.arena[at as usize];
            if scope.scalars.contains(name) {
                return true;
            }
            at = scope.parent;
        }
        false
    }

    /// Whether a table's name at a place in `scope` means a common table expression (or, where `scalars` count too, a named scalar).
    pub(super) fn defines(&self, mut at: ScopeId, name: &str, scalars: bool) -> bool {
        if !self.defined.contains_key(name) {
            return false;
        }
        let (mut hidden, mut of_leading) = (false, false);
        while at != ROOT {
            let scope = &self.arena[at as usize];
            let defines = (!of_leading && scope.tables.contains(name))
                || (scalars && scope.scalars.contains(name));
            if defines && !hidden {
                return true;
            }
            of_leading = scope.merges_parent;
            // A definition that hides its own name hides it in the `WITH` it belongs to, not in those further out.
            hidden = match &scope.own {
                Some(own) => own == name,
                None => hidden && scope.merges_parent,
            };
            at = scope.parent;
        }
        false
    }

    /// Whether a table's name, in a text put at a place in `scope`, can come to mean one of the definitions of the statement. The engine looks a name up where the
    /// expression that it stands in is used and not where it is written: so every definition counts, wherever it is.
    pub(super) fn may_capture(&self, mut at: ScopeId, name: &str) -> bool {
        match self.defined.get(name) {
            None => return false,
            Some(1) => {}
            Some(_) => return true,
        }
        // Inside of its own definition, which is the only one of that name, it means a table.
        while at != ROOT {
            let scope = &self.arena[at as usize];
            if scope.own.as_deref() == Some(name) {
                return false;
            }
            at = scope.parent;
        }
        true
    }
}
