//! Java's `.properties` syntax: comments, `key=value`, continuation lines, escapes.

use std::fmt::Write as _;

/// One setting of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped.
    pub value: String,
    /// The line on which it starts, counted from 1.
    pub line: usize,
}

/// A place in a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{escape}` is no escape; write \\uXXXX with four hexadecimal digits")]
pub struct BadEscape {
    /// The line, counted from 1.
    pub line: usize,
    /// What was found.
    pub escape: String,
}

/// Reads a file's text. A key that is set twice appears twice; the last one counts.
///
/// # Errors
/// [`BadEscape`] for a `\u` without four hexadecimal digits.
pub fn parse(text: &str) -> Result<Vec<Property>, BadEscape> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let line = index + 1;
        let (key, value) = split(&logical);
        properties.push(Property {
            key: unescape(key, line)?,
            value: unescape(value, line)?,
            line,
        });
    }
    Ok(properties)
}

/// Writes one setting so that [`parse`] reads it back.
pub fn write(out: &mut String, key: &str, value: &str) {
    escape(out, key, true);
    out.push('=');
    escape(out, value, false);
    out.push('\n');
}

fn escape(out: &mut String, text: &str, key: bool) {
    for (index, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' if key || index == 0 => out.push_str("\\ "),
            '=' | ':' | '#' | '!' if key => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes all that is written");
            }
            c => out.push(c),
        }
    }
}

/// A line goes on in the next one if it ends with an odd number of backslashes.
fn continues(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Splits at the first `=`, `:` or blank that is not escaped; blanks around it belong to neither.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (matches!(c, '=' | ':') || is_blank(*c));
        escaped = !escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], value.trim_start_matches(is_blank))
}

fn unescape(text: &str, line: usize) -> Result<String, BadEscape> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let whole = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
                    let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| whole);
                    units.push(
                        unit.ok_or_else(|| BadEscape { line, escape: format!("\\u{digits}") })?,
                    );
                    continue;
                }
                Some(other) => other,
                None => continue,
            },
            c => c,
        };
        let mut buffer = [0; 2];
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::{Property, parse, write};

    fn pairs(text: &str) -> Vec<(String, String)> {
        let properties = parse(text).expect("the text is well formed");
        properties.into_iter().map(|Property { key, value, .. }| (key, value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn separators_are_equals_colon_or_blank() {
        let text = "a=1\nb: 2\nc 3\n  d  =  4\ne\n";
        let expected =
            [pair("a", "1"), pair("b", "2"), pair("c", "3"), pair("d", "4"), pair("e", "")];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        assert_eq!(pairs("# a=1\n! b=2\n\n   \n  # c=3\nd=#4\n"), [pair("d", "#4")]);
    }

    #[test]
    fn a_backslash_continues_a_line_and_a_double_one_does_not() {
        let text = "a=1,\\\n   2,\\\n\t3\nb=x\\\\\nc=y\n";
        assert_eq!(pairs(text), [pair("a", "1,2,3"), pair("b", "x\\"), pair("c", "y")]);
    }

    #[test]
    fn a_continuation_at_the_end_of_the_file_is_dropped() {
        assert_eq!(pairs("a=1\\"), [pair("a", "1")]);
    }

    #[test]
    fn escapes_are_those_of_java() {
        let text = "a\\=b=\\u0041\\t\\ud83d\\ude00\\q\nc\\ d=e f\n";
        assert_eq!(pairs(text), [pair("a=b", "A\t\u{1f600}q"), pair("c d", "e f")]);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        let error = parse("a=1\nb=\\u12\n").expect_err("two digits are too few");
        assert_eq!(error.line, 2);
        assert!(error.to_string().contains("\\u12"), "{error}");
    }

    #[test]
    fn lines_end_as_on_any_system_and_are_counted_from_one() {
        let properties = parse("\r\na=1\r\nb=2").expect("the text is well formed");
        let lines: Vec<usize> = properties.iter().map(|property| property.line).collect();
        assert_eq!(lines, [2, 3]);
        assert_eq!(properties[0].value, "1");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (key, value) = ("odd key:=#", "  leading, back\\slash\nand\ttabs \u{7} é = : ");
        let mut text = String::new();
        write(&mut text, key, value);
        assert_eq!(pairs(&text), [pair(key, value)]);
    }
}
