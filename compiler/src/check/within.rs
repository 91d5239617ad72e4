//! Which statements stand in others: an engine that has nothing against the whole has nothing against the part, and need not be asked about it.

use std::collections::HashMap;

use rayon::prelude::*;

use super::refused::Statement;
use crate::sql::derived::derived;

/// For each statement, the places of others in which it stands as a table, word for word, and means the same as by itself.
pub fn wholes(statements: &[Statement]) -> Vec<Vec<usize>> {
    let text = |at: usize| statements[at].compiled.sql.text();
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for at in 0..statements.len() {
        places.entry(text(at).trim()).or_default().push(at);
    }
    let parts: Vec<Vec<usize>> = (0..statements.len())
        .into_par_iter()
        .map(|whole| {
            let sql = text(whole);
            let Some(found) = derived(sql) else {
                return Vec::new();
            };
            let subqueries = found.subqueries.iter().map(|range| &sql[range.clone()]);
            subqueries
                .filter(|subquery| places.contains_key(subquery) && found.is_on_its_own(subquery))
                .flat_map(|subquery| places[subquery].iter().copied())
                .collect()
        })
        .collect();
    let mut wholes = vec![Vec::new(); statements.len()];
    for (whole, parts) in parts.into_iter().enumerate() {
        for part in parts {
            wholes[part].push(whole);
        }
    }
    wholes
}
