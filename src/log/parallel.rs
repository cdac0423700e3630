//! The same work on many things, on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What `each` makes of the items, in their order, on so many threads. Of several errors that of
/// the first item; after one no further item is begun.
pub(super) fn map<I: Sync, T: Send, E: Send>(
    items: &[I],
    threads: usize,
    each: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while !has_failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { break };
            let result = each(item);
            if result.is_err() {
                has_failed.store(true, Ordering::Relaxed);
            }
            done.push((place, result));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    // Items are begun in their order, so all before the first error are among them.
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        let items: Vec<u32> = (0..100).collect();
        for threads in [0, 1, 2, 7, 1_000] {
            let doubled = map(&items, threads, |item| Ok::<_, ()>(item * 2)).expect("no errors");
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            let failed = map(&items, threads, |item| if *item < 30 { Ok(()) } else { Err(*item) });
            assert_eq!(failed, Err(30), "{threads} threads");
        }
        assert_eq!(map(&[] as &[u32], 4, |_| Ok::<_, ()>(1)), Ok(Vec::new()));
    }
}
