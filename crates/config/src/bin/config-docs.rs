//! Prints the reference of every configuration key, as Markdown.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(vltava_config::markdown().as_bytes())
}
