//! Several things at a time, told of in their order.

use std::sync::{Mutex, PoisonError};

struct State<R> {
    next: usize,
    told: usize,
    done: Vec<Option<R>>,
}

/// Does `work` on each of `items`, `jobs` at a time, and returns the results in the same order; `said` gets each as
/// soon as it and all before it are there.
///
/// # Errors
/// The first error of `work`, after which no other is begun by the same worker.
pub fn map<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> std::io::Result<R> + Sync,
    said: impl Fn(&T, &R) + Sync,
) -> std::io::Result<Vec<R>> {
    let state = Mutex::new(State { next: 0, told: 0, done: items.iter().map(|_| None).collect() });
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let worker = || -> std::io::Result<()> {
        loop {
            let n = {
                let mut state = lock();
                state.next += 1;
                state.next - 1
            };
            let Some(item) = items.get(n) else { return Ok(()) };
            let result = work(item)?;
            let mut state = lock();
            state.done[n] = Some(result);
            while let Some(Some(result)) = state.done.get(state.told) {
                said(&items[state.told], result);
                state.told += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(std::io::Error::other("a case was given up by a panic")))
        });
        joined.fold(Ok(()), std::io::Result::and)
    })?;
    let done = state.into_inner().unwrap_or_else(PoisonError::into_inner).done;
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_of_in_order_whoever_is_first() {
        let items: Vec<usize> = (0..50).collect();
        let told = Mutex::new(Vec::new());
        let results = map(&items, 4, |n| Ok(n * 2), |n, result| told.lock().unwrap().push((*n, *result)));
        let expected: Vec<usize> = (0..50).map(|n| n * 2).collect();
        assert_eq!(results.unwrap(), expected);
        assert_eq!(*told.lock().unwrap(), items.into_iter().zip(expected).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_it() {
        let work = |n: &usize| if *n == 3 { Err(std::io::Error::other("three")) } else { Ok(()) };
        let error = map(&[1, 2, 3, 4], 2, work, |_, ()| {}).unwrap_err();
        assert_eq!(error.to_string(), "three");
    }
}
