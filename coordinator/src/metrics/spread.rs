//! How long things took, in buckets.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many buckets every histogram of ours has, beside the one for all.
pub(super) const BUCKETS: usize = 15;

/// The upper bounds of the buckets, in seconds.
pub trait Bounds: Copy {
    const BOUNDS: [f64; BUCKETS];
}

/// For what takes milliseconds: a command, a write, a request.
#[derive(Debug, Clone, Copy)]
pub struct Quick;

impl Bounds for Quick {
    const BOUNDS: [f64; BUCKETS] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ];
}

/// For what takes minutes: waiting in a queue, a task.
#[derive(Debug, Clone, Copy)]
pub struct Long;

impl Bounds for Long {
    const BOUNDS: [f64; BUCKETS] = [
        0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0,
        86400.0,
    ];
}

/// How long things took.
#[derive(Debug, Clone, Copy)]
pub struct Spread<B> {
    /// Each counts what took at most its bound and more than the bound before.
    pub(super) buckets: [u64; BUCKETS],
    pub(super) count: u64,
    pub(super) sum: f64,
    bounds: PhantomData<B>,
}

impl<B> Default for Spread<B> {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0, sum: 0.0, bounds: PhantomData }
    }
}

impl<B: Bounds> Spread<B> {
    /// Takes one time.
    pub fn take(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.sum += seconds;
        let bucket = B::BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = bucket.and_then(|at| self.buckets.get_mut(at)) {
            *count += 1;
        }
    }
}

/// A spread that many may write.
#[derive(Debug)]
pub struct Timing<B>(Mutex<Spread<B>>);

impl<B> Default for Timing<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B: Bounds> Timing<B> {
    /// Takes one time.
    pub fn take(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(took);
    }

    /// Returns a copy.
    pub fn read(&self) -> Spread<B> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let mut spread = Spread::<Quick>::default();

        for millis in [1, 2, 600, 40_000] {
            spread.take(Duration::from_millis(millis));
        }

        assert_eq!((spread.buckets[1], spread.buckets[2], spread.buckets[10]), (1, 1, 1));
        assert_eq!(spread.buckets.iter().sum::<u64>() + 1, spread.count);
        assert!((spread.sum - 40.603).abs() < 1e-9);
    }

    #[test]
    fn bounds_rise() {
        assert!(Quick::BOUNDS.is_sorted() && Long::BOUNDS.is_sorted());
    }
}
