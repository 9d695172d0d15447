//! Runs the checks of the fuzz targets over their corpus, so that what fuzzing once found stays
//! fixed without a fuzzer at hand.

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks.rs"]
mod checks;

fn each_seed(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let path = entry.expect("the corpus can be listed").path();
        let seed = fs::read(&path).expect("a seed can be read");
        let outcome = std::panic::catch_unwind(|| check(&seed));
        assert!(outcome.is_ok(), "{} does not hold", path.display());
        seeds += 1;
    }
    assert!(seeds > 0, "{} has seeds", folder.display());
}

#[test]
fn requests_of_the_corpus_hold() {
    each_seed("request", checks::request);
}

#[test]
fn responses_of_the_corpus_hold() {
    each_seed("response", checks::response);
}

#[test]
fn batches_of_the_corpus_hold() {
    each_seed("batches", checks::batches);
}
