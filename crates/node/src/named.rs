//! What a request names more than once.
//!
//! It is answered once, as an answer must not grow by repetition: a request of some hundred KiB
//! could ask for gigabytes then. And it is not carried out: nobody could say what is to come of it.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;

/// What is said of a resource that a request to alter configurations names more than once.
pub const RESOURCE_DOUBLED: &str = "Each resource must appear at most once.";

/// The items of which no earlier one has the same key, in their order.
pub fn once<I: IntoIterator, K: Eq + Hash>(
    items: I,
    key: impl Fn(&I::Item) -> K,
) -> impl Iterator<Item = I::Item> {
    let mut seen = HashSet::new();
    items.into_iter().filter(move |item| seen.insert(key(item)))
}

/// What is named more than once.
pub fn doubled<T: Ord + Clone>(named: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    named.filter(|it| !seen.insert(it.clone())).collect()
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

    #[test]
    fn resources_are_told_apart_by_kind_and_name() {
        let named = [(4, "1"), (8, "1"), (4, "2"), (8, "1"), (8, "1")];
        assert_eq!(doubled(named.into_iter()), BTreeSet::from([(8, "1")]));
    }
}
