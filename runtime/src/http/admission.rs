//! How many queries are let in. A burst may wait for the engine; what comes faster than the engine can answer, and for longer than a burst, is turned away at
//! once, so that those who are let in do not wait for long.
//!
//! There is no queue here: the engine has one. Each query that waits for or uses the engine holds a [`Place`]. As long as no more are inside than the engine
//! works on side by side, all is well, up to a fixed number for a burst. When more have been inside without a break for [`BURST`], the server is *overrun*:
//! from then on only one for two processors is let in, until nobody has been turned away for [`CALM`]. A query that runs for longer than [`SHORT`] is not one of
//! those: it would keep all others out until its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long more queries than the engine works on at once may be inside before they are no burst.
const BURST: Duration = Duration::from_secs(1);

/// How long nobody may have been turned away before all are let in again.
const CALM: Duration = Duration::from_secs(1);

/// How long a query keeps others out while the server is overrun.
const SHORT: Duration = Duration::from_millis(250);

/// Queries for each processor that are no sign of too many.
const BUSY: usize = 8;

/// Counts the queries inside.
#[derive(Debug)]
pub(crate) struct Admission {
    /// When those came that are inside, in milliseconds since the beginning.
    entered: Mutex<Vec<u64>>,
    /// The most inside, ever.
    most: usize,
    /// More than this for long is too many.
    busy: usize,
    /// The most inside for a short time while the server is overrun.
    overrun: usize,
    began: Instant,
    /// Milliseconds since the beginning when `busy` was exceeded without a break since; 0 if it is not.
    crowded_since: AtomicU64,
    /// Milliseconds since the beginning until which the server is overrun.
    overrun_until: AtomicU64,
}

/// A place among the queries, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    entered: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut entered = self.admission.entered();
        let before = entered.len();
        if let Some(at) = entered.iter().position(|entered| *entered == self.entered) {
            entered.swap_remove(at);
        }
        drop(entered);
        if before <= self.admission.busy + 1 {
            self.admission.crowded_since.store(0, Ordering::Release);
        }
    }
}

impl Admission {
    /// For an engine in this process; `most` are let in whatever happens.
    pub(crate) fn embedded(most: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // A short query keeps two processors busy, one for itself and one for its way in and out.
        Self::new(most, processors * BUSY, processors.div_ceil(2))
    }

    /// For an engine elsewhere, which knows itself what it can do.
    pub(crate) fn remote(most: usize) -> Self {
        Self::new(most, most, most)
    }

    fn new(most: usize, busy: usize, overrun: usize) -> Self {
        Self {
            entered: Mutex::default(),
            most,
            busy: busy.min(most),
            overrun: overrun.clamp(1, most.max(1)),
            began: Instant::now(),
            crowded_since: AtomicU64::new(0),
            overrun_until: AtomicU64::new(0),
        }
    }

    fn entered(&self) -> MutexGuard<'_, Vec<u64>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if there is one now.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        self.enter_at(self.began.elapsed())
    }

    fn enter_at(self: &Arc<Self>, now: Duration) -> Option<Place> {
        // One more, so that 0 stays free for "not".
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let is_overrun = now < self.overrun_until.load(Ordering::Acquire);
        let mut places = self.entered();
        let is_short = |entered: &&u64| now.saturating_sub(**entered) < millis(SHORT);
        let has_room = !is_overrun || places.iter().filter(is_short).count() < self.overrun;
        let inside = places.len();
        let is_let_in = has_room && inside < self.most;
        if is_let_in {
            places.push(now);
        }
        drop(places);
        if !is_let_in {
            if is_overrun {
                self.overrun_until
                    .store(now + millis(CALM), Ordering::Release);
            }
            return None;
        }
        if inside >= self.busy && self.busy < self.most {
            let first =
                self.crowded_since
                    .compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
            if first.is_err_and(|since| now.saturating_sub(since) >= millis(BURST)) {
                self.overrun_until
                    .store(now + millis(CALM), Ordering::Release);
            }
        }
        Some(Place {
            admission: Arc::clone(self),
            entered: now,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Arc<Admission> {
        Arc::new(Admission::new(10, 4, 2))
    }

    const AT: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_burst_is_let_in_up_to_the_most() {
        let admission = admission();
        let inside: Vec<_> = (0..12).filter_map(|_| admission.enter_at(AT(0))).collect();
        assert_eq!(inside.len(), 10);
        drop(inside);
        assert!(admission.enter_at(AT(1)).is_some());
    }

    #[test]
    fn who_comes_too_fast_for_too_long_is_turned_away_until_it_is_calm() {
        let admission = admission();
        let mut inside: Vec<_> = (0..6).filter_map(|_| admission.enter_at(AT(0))).collect();
        inside.extend(admission.enter_at(AT(999)));
        inside.extend(admission.enter_at(AT(1001)));
        assert_eq!(inside.len(), 8, "the one who finds it out is let in");
        assert!(admission.enter_at(AT(1002)).is_none());
        inside.drain(..6);
        assert!(admission.enter_at(AT(1200)).is_none(), "two are inside");
        inside.truncate(1);
        let late = admission.enter_at(AT(1210));
        assert!(late.is_some(), "one is inside");
        assert!(admission.enter_at(AT(1220)).is_none());
        drop((late, inside));
        assert!(admission.enter_at(AT(2300)).is_some(), "it is calm again");
        let many: Vec<_> = (0..5)
            .filter_map(|_| admission.enter_at(AT(3000)))
            .collect();
        assert_eq!(many.len(), 5);
    }

    #[test]
    fn long_queries_keep_no_short_ones_out() {
        let admission = admission();
        let inside: Vec<_> = (0..6)
            .filter_map(|_| admission.enter_at(AT(0)))
            .chain(admission.enter_at(AT(1001)))
            .collect();
        assert_eq!(inside.len(), 7);
        let next = admission.enter_at(AT(1002));
        assert!(next.is_some(), "six of them are long");
        assert!(admission.enter_at(AT(1003)).is_none());
        drop(next);
        assert!(admission.enter_at(AT(1260)).is_some());
    }

    #[test]
    fn a_crowd_that_breaks_up_in_between_is_no_crowd() {
        let admission = admission();
        for start in 0..10 {
            let at = AT(start * 500);
            let inside: Vec<_> = (0..8).filter_map(|_| admission.enter_at(at)).collect();
            assert_eq!(inside.len(), 8);
        }
    }

    #[test]
    fn an_engine_elsewhere_is_only_kept_from_the_most() {
        let admission = Arc::new(Admission::remote(3));
        let mut inside: Vec<_> = (0..3).filter_map(|_| admission.enter_at(AT(0))).collect();
        for second in 1..5 {
            assert!(admission.enter_at(AT(second * 1000)).is_none());
            inside.pop();
            inside.extend(admission.enter_at(AT(second * 1000)));
            assert_eq!(inside.len(), 3);
        }
    }
}
