//! Values by label, bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many series one family of ours may have, unless it says otherwise.
const MOST: usize = 1000;
/// Stands for every label value beyond the most.
const OTHER: &str = "other";

/// One value for each combination of label values.
pub struct Labelled<T, const N: usize> {
    most: usize,
    // No `.await` while it is held.
    values: Mutex<BTreeMap<[String; N], T>>,
}

/// Counters by label.
pub type Counts<const N: usize> = Labelled<u64, N>;

impl<T, const N: usize> Default for Labelled<T, N> {
    fn default() -> Self {
        Self::bounded(MOST)
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for Labelled<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values().iter()).finish()
    }
}

impl<T, const N: usize> Labelled<T, N> {
    /// Makes an empty family of at most `most` series and one for all others.
    pub fn bounded(most: usize) -> Self {
        Self { most, values: Mutex::default() }
    }

    /// Changes one value, which begins as nothing.
    pub fn with<R>(&self, labels: [&str; N], change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Default,
    {
        let mut values = self.values();
        let key = labels.map(str::to_owned);
        let key = if values.len() < self.most || values.contains_key(&key) {
            key
        } else {
            [OTHER; N].map(str::to_owned)
        };
        change(values.entry(key).or_default())
    }

    /// Forgets one value.
    pub fn forget(&self, labels: [&str; N]) {
        self.values().remove(&labels.map(str::to_owned));
    }

    /// Shows every value, in the order of the labels.
    pub fn each(&self, mut show: impl FnMut([&str; N], &T)) {
        for (labels, value) in self.values().iter() {
            show(labels.each_ref().map(String::as_str), value);
        }
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<[String; N], T>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const N: usize> Counts<N> {
    /// Counts one.
    pub fn add(&self, labels: [&str; N]) {
        self.with(labels, |count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_the_most_is_counted_together() {
        let counts: Counts<1> = Counts::bounded(2);
        for name in ["a", "b", "c", "d", "a"] {
            counts.add([name]);
        }

        let mut seen = Vec::new();
        counts.each(|[name], count| seen.push((name.to_owned(), *count)));

        let expected = [("a", 2), ("b", 1), ("other", 2)];
        assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)));
    }
}
