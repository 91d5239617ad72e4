//! The queries of a statement, and which of them another one reads.

/// A number for each query, and for each branch of a union; the statement around them has the number 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Queries(Vec<Place>);

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    around: u32,
    /// Whether the one around it reads it as a table, or gives it a name by which it may.
    is_read: bool,
}

impl Queries {
    /// The number of a query in another.
    pub(super) fn open(&mut self, around: u32, is_read: bool) -> u32 {
        self.push(Place { around, is_read })
    }

    /// The number of the next branch beside a query.
    pub(super) fn unite(&mut self, branch: u32) -> u32 {
        let place = self.place(branch);
        self.push(place)
    }

    fn push(&mut self, place: Place) -> u32 {
        self.0.push(place);
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn place(&self, query: u32) -> Place {
        let at = usize::try_from(query).unwrap_or(0).checked_sub(1);
        let statement = Place {
            around: 0,
            is_read: false,
        };
        at.and_then(|at| self.0.get(at))
            .copied()
            .unwrap_or(statement)
    }

    /// Whether the columns of what `inner` reads may be columns of what `outer` reads.
    pub(super) fn may_feed(&self, mut inner: u32, outer: u32) -> bool {
        loop {
            if inner == outer {
                return true;
            }
            let place = self.place(inner);
            if !place.is_read || place.around >= inner {
                return false;
            }
            inner = place.around;
        }
    }
}
