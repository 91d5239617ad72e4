//! The names that statements bind.

use super::tree::{Statement, Target};

impl Statement {
    /// The names that the statement binds.
    pub fn bound_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        match self {
            Self::Assign(targets, _) => {
                for one in targets {
                    one.collect_names(&mut names);
                }
            }
            Self::Augment(target, ..) => target.collect_names(&mut names),
            Self::Evaluate(_) => {}
        }
        names
    }
}

impl Target {
    /// Adds the names that the target binds.
    pub fn collect_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Name(name) => names.push(&name.value),
            Self::Tuple(_, targets) => {
                for one in targets {
                    one.collect_names(names);
                }
            }
            Self::Item(_) => {}
        }
    }
}
