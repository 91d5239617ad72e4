//! Which rows of a batch are refused: ranges of them are tried until the rows are found, for a time.
//!
//! A batch of events has rows of many requests. Requests are told apart first, and then the rows of those in which there are refused ones, small requests before large ones,
//! each for its share of the time. Inside of a request rows are looked at from the first on, in ranges about as wide as the last rows without a refused one were, so that
//! neither few refused rows nor many cost more than they must. What has not been looked at when a request's time is up is tried once more as a whole, and is refused as a whole if it is
//! refused: so who sends more refused rows than can be told apart pays for it with rows of the same request.
//!
//! A batch may have more requests than there is time for a try of each. When all time is up, those that are left are tried as a whole, in halves, in quarters, for
//! another second, and what is refused of that goes as a whole: others who wait for the data source pay with no more than the time.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How rows are tried.
pub(super) trait Trying: Sync {
    /// What says nothing about rows.
    type Error: Send;

    /// Tries the rows of these numbers: why they are refused, or nothing if all of them are taken.
    fn attempt(
        &self,
        rows: Range<u64>,
    ) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send;
}

/// The rows of a file, by their numbers, and how long to look for those that are refused.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// The rows of each request.
    pub(super) requests: Vec<Range<u64>>,
    pub(super) patience: Duration,
}

/// How long requests are tried together for which no time is left.
const LAST_TRIES: Duration = Duration::from_secs(1);

/// Refused rows.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rows: Range<u64>,
    pub(super) why: String,
    /// Whether each of them is refused, and not only some of them.
    pub(super) is_certain: bool,
}

impl Search {
    /// The refused rows in their order.
    pub(super) async fn run<T: Trying>(&self, trying: &T) -> Result<Vec<Found>, T::Error> {
        let begun = Instant::now();
        let (half, end) = (begun + self.patience / 2, begun + self.patience);
        let mut suspects = self.suspects(half, trying).await?;
        suspects.sort_by_key(|rows| rows.end - rows.start);
        let mut suspects = VecDeque::from(suspects);
        let mut found = Vec::new();
        while let Some(rows) = suspects.pop_front() {
            let now = Instant::now();
            if now >= end && !suspects.is_empty() {
                suspects.push_front(rows);
                together(suspects.into(), now + LAST_TRIES, trying, &mut found).await?;
                break;
            }
            let left = u32::try_from(suspects.len() + 1).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(now) / left;
            rows_of(rows, now + share, trying, &mut found).await?;
        }
        found.sort_by_key(|found| found.rows.start);
        Ok(found)
    }

    /// The requests that may have refused rows.
    async fn suspects<T: Trying>(
        &self,
        until: Instant,
        trying: &T,
    ) -> Result<Vec<Range<u64>>, T::Error> {
        let requests = &self.requests;
        let mut groups = VecDeque::new();
        groups.push_back(0..requests.len());
        let mut suspects = Vec::new();
        while let Some(group) = groups.pop_front() {
            let [first, .., last] = &requests[group.clone()] else {
                suspects.extend_from_slice(&requests[group]);
                continue;
            };
            if Instant::now() >= until {
                suspects.extend_from_slice(&requests[group]);
            } else if trying.attempt(first.start..last.end).await?.is_some() {
                let middle = group.start + group.len() / 2;
                groups.extend([group.start..middle, middle..group.end]);
            }
        }
        Ok(suspects)
    }
}

/// Requests for which no time is left: those of which nothing is refused, and the others as a whole.
async fn together<T: Trying>(
    mut requests: Vec<Range<u64>>,
    until: Instant,
    trying: &T,
    found: &mut Vec<Found>,
) -> Result<(), T::Error> {
    requests.sort_by_key(|rows| rows.start);
    // What has been looked at lies between them, with rows that are refused.
    let neighbours = requests.chunk_by(|one, next| one.end == next.start);
    let mut groups: VecDeque<_> = neighbours.map(|group| (group, None)).collect();
    while let Some((group, why)) = groups.pop_front() {
        let [first, ..] = group else { continue };
        let rows = first.start..group.last().map_or(first.end, |last| last.end);
        let is_over = Instant::now() >= until;
        let error = if is_over {
            why.unwrap_or_else(|| "nobody had the time to try them".to_owned())
        } else {
            match trying.attempt(rows.clone()).await? {
                None => continue,
                Some(error) => error,
            }
        };
        if !is_over && group.len() > 1 {
            let (one, other) = group.split_at(group.len() / 2);
            groups.extend([one, other].map(|half| (half, Some(error.clone()))));
            continue;
        }
        found.push(Found {
            why: format!(
                "this row or one of {} others, of {} requests, which were not told apart in time: {error}",
                rows.end - rows.start - 1,
                group.len()
            ),
            rows,
            is_certain: false,
        });
    }
    Ok(())
}

/// The refused rows of a request.
async fn rows_of<T: Trying>(
    rows: Range<u64>,
    until: Instant,
    trying: &T,
    found: &mut Vec<Found>,
) -> Result<(), T::Error> {
    let mut next = rows.start;
    let mut width = rows.end - rows.start;
    // Where the last refused row was, and where a range ends that is known to have one.
    let (mut since, mut failing, mut has_passed) = (next, None::<u64>, false);
    while next < rows.end {
        if Instant::now() >= until {
            let rest = next..rows.end;
            if let Some(error) = trying.attempt(rest.clone()).await? {
                let why = match rest.end - rest.start {
                    1 => error,
                    many => format!(
                        "this row or one of {} others of its request, which were not told apart in time: {error}",
                        many - 1
                    ),
                };
                found.push(Found {
                    is_certain: rest.end - rest.start == 1,
                    rows: rest,
                    why,
                });
            }
            return Ok(());
        }
        let end = match failing {
            Some(end) => next + ((end - next) / 2).max(1),
            None => rows.end.min(next.saturating_add(width)),
        };
        match trying.attempt(next..end).await? {
            None => {
                next = end;
                // Taken alone after it was refused with others.
                failing = failing.filter(|failing| *failing > next);
                if has_passed {
                    width = width.saturating_mul(2);
                }
                has_passed = true;
            }
            Some(error) if end - next == 1 => {
                found.push(Found {
                    rows: next..end,
                    why: error,
                    is_certain: true,
                });
                width = (next - since).max(1);
                (since, next, failing, has_passed) = (end, end, None, false);
            }
            Some(_) => failing = Some(end),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Rows of which some are refused, and how often they have been tried.
    struct Rows<F>(F, AtomicUsize);

    impl<F: Fn(u64) -> bool + Sync> Trying for Rows<F> {
        type Error = ();

        async fn attempt(&self, rows: Range<u64>) -> Result<Option<String>, ()> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(rows.clone().any(&self.0).then(|| "wrong".to_owned()))
        }
    }

    /// What is found in requests of so many rows, and with how many tries.
    async fn found(
        requests: &[u64],
        patience: Duration,
        is_refused: impl Fn(u64) -> bool + Sync,
    ) -> (Vec<Range<u64>>, usize) {
        let requests = requests.iter().scan(0, |start, rows| {
            let request = *start..*start + rows;
            *start = request.end;
            Some(request)
        });
        let search = Search {
            requests: requests.collect(),
            patience,
        };
        let rows = Rows(is_refused, AtomicUsize::new(0));
        let refused = search.run(&rows).await.unwrap();
        let ranges = refused.into_iter().map(|found| found.rows).collect();
        (ranges, rows.1.into_inner())
    }

    #[tokio::test]
    async fn few_rows_and_many_are_found_with_few_tries() {
        let day = Duration::from_hours(24);
        for every in [5000, 100, 9, 2, 1] {
            let is_refused = |row: u64| row % every == every - 1;
            let (refused, tries) = found(&[20_000], day, is_refused).await;
            let expected: Vec<_> = (0..20_000).filter(|row| is_refused(*row)).collect();
            let rows: Vec<_> = refused.into_iter().flatten().collect();
            assert_eq!(rows, expected);
            let most = (20 + 20_000 / every * u64::from(2 * every.ilog2() + 2)).min(20_100);
            assert!(tries as u64 <= most, "every {every}: {tries} of {most}");
        }
        assert_eq!(found(&[20_000], day, |_| false).await, (vec![], 1));
    }

    #[tokio::test]
    async fn without_time_requests_are_refused_as_a_whole_and_others_are_not() {
        let is_refused = |row| row == 12 || row == 30;
        let (refused, _) = found(&[10, 10, 10, 1, 10], Duration::ZERO, is_refused).await;
        assert_eq!(refused, [10..20, 30..31]);
    }

    /// Rows of which each try takes a while.
    struct Slow<F>(F);

    impl<F: Fn(u64) -> bool + Sync> Trying for Slow<F> {
        type Error = ();

        async fn attempt(&self, rows: Range<u64>) -> Result<Option<String>, ()> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(rows.into_iter().any(&self.0).then(|| "wrong".to_owned()))
        }
    }

    #[tokio::test]
    async fn more_requests_than_there_is_time_for_are_refused_together_within_it() {
        let requests: Vec<_> = (0..4000).map(|row| row..row + 1).collect();
        let search = Search {
            requests,
            patience: Duration::from_millis(500),
        };
        let begun = Instant::now();
        // Those of the second half are as they should be.
        let refused = search.run(&Slow(|row| row < 2000)).await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let rows: Vec<u64> = refused
            .iter()
            .flat_map(|found| found.rows.clone())
            .collect();
        assert_eq!(rows, (0..2000).collect::<Vec<_>>());
        let last = refused.last().unwrap();
        assert!(
            last.why
                .contains("requests, which were not told apart in time: wrong"),
            "{}",
            last.why
        );
    }
}
