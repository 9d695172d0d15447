//! Regular expressions that clients bring: of RE2's kind, over a whole name, and bounded.

use regex::Regex;

/// The longest regular expression, in bytes: one of this size matches hundreds of topics by name.
pub const BYTES_MAX: usize = 16 * 1024;

/// What a compiled regular expression may take in memory, in bytes; the crate's own bound is ten
/// times as much, and every client brings expressions of its own.
const MEMORY_MAX: usize = 1024 * 1024;

/// Compiles an expression that has to match a whole name, as with RE2's `FullMatch`.
///
/// # Errors
/// It is no regular expression of RE2's kind, or too large: a sentence's end that says so.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > BYTES_MAX {
        return Err(format!("it is longer than {BYTES_MAX} bytes"));
    }
    let build = |text: &str| {
        let mut builder = regex::RegexBuilder::new(text);
        builder.size_limit(MEMORY_MAX).dfa_size_limit(MEMORY_MAX).build()
    };
    // Alone first: what is not valid alone must not become so in brackets.
    build(pattern).map_err(|error| reason(&error))?;
    // Where the pattern turns comments on, one at its end must not swallow the bracket.
    build(&format!(r"\A(?:{pattern})\z"))
        .or_else(|_| build(&format!("\\A(?:{pattern}\n)\\z")))
        .map_err(|error| reason(&error))
}

/// The last line of the crate's message is what is wrong; the others draw a picture of where.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}
