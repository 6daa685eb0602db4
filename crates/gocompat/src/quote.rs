//! Go's `strconv.Quote`, which nearly every Go error text runs its input through.

use std::fmt::Write as _;

/// Quotes `text` as a Go string literal, like `strconv.Quote` and the `%q` verb.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_escaped(&mut quoted, c);
    }
    quoted.push('"');
    quoted
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' | '\\' => {
            out.push('\\');
            out.push(c);
        }
        ' '..='~' => out.push(c),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if is_print(c) => out.push(c),
        // Writing to a String cannot fail; the results are dropped for that reason.
        '\0'..='\x1f' | '\x7f' => drop(write!(out, "\\x{:02x}", u32::from(c))),
        '\0'..='\u{ffff}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
        _ => drop(write!(out, "\\U{:08x}", u32::from(c))),
    }
}

/// Go's `unicode.IsPrint` for a character outside ASCII.
fn is_print(c: char) -> bool {
    // The letter in front keeps combining marks, which Go prints, from being escaped.
    let probe: String = ['a', c].iter().collect();
    u32::from(c) > 0x7f && !probe.escape_debug().skip(1).any(|e| e == '\\')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::quote;

    #[test]
    fn quotes_like_strconv_quote() {
        for (input, want) in [
            ("", r#""""#),
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1f\x7f", r#""\x00\x1f\x7f""#),
            ("é☺", "\"é☺\""),
            ("\u{85}\u{a0}\u{feff}", r#""\u0085\u00a0\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
            ("e\u{301}", "\"e\u{301}\""),
        ] {
            assert_eq!(quote(input), want, "{input:?}");
        }
    }
}
