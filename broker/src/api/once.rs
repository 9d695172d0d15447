//! What a request names twice is answered once: an answer must not grow by repetition, as a request
//! of some hundred KiB could ask for gigabytes then.

use std::collections::HashSet;
use std::hash::Hash;

/// The items of which no earlier one has the same key, in their order.
pub fn once<I: IntoIterator, K: Eq + Hash>(
    items: I,
    key: impl Fn(&I::Item) -> K,
) -> impl Iterator<Item = I::Item> {
    let mut seen = HashSet::new();
    items.into_iter().filter(move |item| seen.insert(key(item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_stays() {
        let items = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)];
        let left: Vec<_> = once(items, |(name, _)| *name).collect();
        assert_eq!(left, [("a", 1), ("b", 2), ("c", 4)]);
    }
}
