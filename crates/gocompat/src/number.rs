//! Go's `strconv`: integers, floats and booleans with Go's grammar and error texts, and the
//! shortest decimal form of a float.

use crate::quote::quote;

/// What is wrong with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberErrorKind {
    /// Not a number of this kind.
    Syntax,
    /// A number that the asked size cannot hold.
    Range,
    /// A base other than 0 and 2 to 36.
    Base(u32),
    /// A size above 64 bits.
    BitSize(u32),
}

impl std::fmt::Display for NumberErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax => f.write_str("invalid syntax"),
            Self::Range => f.write_str("value out of range"),
            Self::Base(base) => write!(f, "invalid base {base}"),
            Self::BitSize(bits) => write!(f, "invalid bit size {bits}"),
        }
    }
}

/// Why a text is no number; prints as Go's `*strconv.NumError` does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strconv.{function}: parsing {}: {kind}", quote(input))]
pub struct NumberError {
    /// The Go function that the text names, such as `Atoi`.
    pub function: &'static str,
    /// The text that was read.
    pub input: String,
    /// What is wrong with it.
    pub kind: NumberErrorKind,
}

fn error(function: &'static str, input: &str, kind: NumberErrorKind) -> NumberError {
    NumberError { function, input: input.to_owned(), kind }
}

/// Reads a decimal integer with an optional sign: Go's `strconv.Atoi`.
pub fn atoi(input: &str) -> Result<i64, NumberError> {
    signed("Atoi", input, 10, 64)
}

/// Reads a signed integer: Go's `strconv.ParseInt`. `base` 0 takes the base from a prefix and
/// allows underscores; `bits` 0 is 64.
pub fn parse_int(input: &str, base: u32, bits: u32) -> Result<i64, NumberError> {
    signed("ParseInt", input, base, bits)
}

/// Reads an unsigned integer, without a sign: Go's `strconv.ParseUint`. `base` 0 takes the base
/// from a prefix and allows underscores; `bits` 0 is 64.
pub fn parse_uint(input: &str, base: u32, bits: u32) -> Result<u64, NumberError> {
    unsigned(input, base, bits).map_err(|kind| error("ParseUint", input, kind))
}

fn signed(function: &'static str, input: &str, base: u32, bits: u32) -> Result<i64, NumberError> {
    let fail = |kind| error(function, input, kind);
    let (negative, digits) = match input.as_bytes().first() {
        Some(b'-') => (true, &input[1..]),
        Some(b'+') => (false, &input[1..]),
        _ => (false, input),
    };
    let magnitude = match unsigned(digits, base, bits) {
        Ok(magnitude) => magnitude,
        Err(kind) => return Err(fail(kind)),
    };
    let bits = if bits == 0 { 64 } else { bits };
    let limit = 1u64 << (bits - 1);
    match negative {
        false if magnitude >= limit => Err(fail(NumberErrorKind::Range)),
        true if magnitude > limit => Err(fail(NumberErrorKind::Range)),
        true => Ok(0i64.wrapping_sub_unsigned(magnitude)),
        false => i64::try_from(magnitude).map_err(|_| fail(NumberErrorKind::Range)),
    }
}

fn unsigned(input: &str, base: u32, bits: u32) -> Result<u64, NumberErrorKind> {
    if input.is_empty() {
        return Err(NumberErrorKind::Syntax);
    }
    let (digits, radix) = match base {
        0 => detect_base(input),
        2..=36 => (input, base),
        _ => return Err(NumberErrorKind::Base(base)),
    };
    let max = match bits {
        0 | 64 => u64::MAX,
        1..=63 => (1 << bits) - 1,
        _ => return Err(NumberErrorKind::BitSize(bits)),
    };
    if digits.is_empty() || (base == 0 && !underscores_ok(input)) {
        return Err(NumberErrorKind::Syntax);
    }
    let mut value: u64 = 0;
    for c in digits.chars() {
        if c == '_' && base == 0 {
            continue;
        }
        let digit = c.to_digit(radix).ok_or(NumberErrorKind::Syntax)?;
        // Go stops at the first digit that overflows, whatever stands behind it.
        value = value
            .checked_mul(u64::from(radix))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .filter(|value| *value <= max)
            .ok_or(NumberErrorKind::Range)?;
    }
    Ok(value)
}

/// Splits the prefix of an integer in Go's literal syntax off; gives the digits and their base.
fn detect_base(input: &str) -> (&str, u32) {
    let bytes = input.as_bytes();
    if bytes.first() != Some(&b'0') {
        return (input, 10);
    }
    let prefixed = |radix| (input.get(2..).unwrap_or_default(), radix);
    match bytes.get(1).map(u8::to_ascii_lowercase) {
        Some(b'b') if bytes.len() >= 3 => prefixed(2),
        Some(b'o') if bytes.len() >= 3 => prefixed(8),
        Some(b'x') if bytes.len() >= 3 => prefixed(16),
        Some(_) => (&input[1..], 8),
        None => (input, 10),
    }
}

/// Whether every underscore stands between digits, or between a base prefix and a digit.
fn underscores_ok(input: &str) -> bool {
    let text = input.strip_prefix(['-', '+']).unwrap_or(input).as_bytes();
    let (prefix, hex) = match text {
        [b'0', b'x' | b'X', ..] => (2, true),
        [b'0', b'b' | b'B' | b'o' | b'O', ..] => (2, false),
        _ => (0, false),
    };
    let digit = |c: &u8| c.is_ascii_digit() || (hex && c.is_ascii_hexdigit());
    text.iter().enumerate().skip(prefix).all(|(at, c)| {
        *c != b'_'
            || ((at == prefix && prefix > 0 || at > prefix && digit(&text[at - 1]))
                && text.get(at + 1).is_some_and(digit))
    })
}

/// Reads a boolean: Go's `strconv.ParseBool`.
pub fn parse_bool(input: &str) -> Result<bool, NumberError> {
    match input {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(error("ParseBool", input, NumberErrorKind::Syntax)),
    }
}

/// Reads a float of 64 bits: Go's `strconv.ParseFloat`, with its hexadecimal form, underscores,
/// `inf` and `nan`.
pub fn parse_float(input: &str) -> Result<f64, NumberError> {
    let syntax = || error("ParseFloat", input, NumberErrorKind::Syntax);
    let (sign, text) = match input.as_bytes().first() {
        Some(b'-') => (-1.0, &input[1..]),
        Some(b'+') => (1.0, &input[1..]),
        _ => (1.0, input),
    };
    if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity") {
        return Ok(sign * f64::INFINITY);
    }
    if input.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    if text.contains('_') && !underscores_ok(text) {
        return Err(syntax());
    }
    let plain = text.replace('_', "");
    let value = match plain.get(..2) {
        Some("0x" | "0X") => hex_float(&plain[2..]).ok_or_else(syntax)?,
        _ if plain.bytes().all(|c| c.is_ascii_digit() || b".eE+-".contains(&c)) => {
            if plain.starts_with(['+', '-']) {
                return Err(syntax());
            }
            plain.parse::<f64>().map_err(|_| syntax())?
        }
        _ => return Err(syntax()),
    };
    if value.is_infinite() {
        return Err(error("ParseFloat", input, NumberErrorKind::Range));
    }
    Ok(sign * value)
}

/// The value of a hexadecimal float behind its `0x`; the binary exponent is not optional.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // An exponent that does not fit is as good as any other far outside the range.
    let far = if exponent.starts_with('-') { -100_000 } else { 100_000 };
    let mut exponent = exponent.parse::<i64>().unwrap_or(far).clamp(-100_000, 100_000);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut value, mut sticky) = (0u64, false);
    for (at, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        let after_point = at >= whole.len();
        if value >> 59 == 0 {
            value = value * 16 + digit;
            exponent -= if after_point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            exponent += if after_point { 0 } else { 4 };
        }
    }
    Some(scale_by_two(value | u64::from(sticky), exponent))
}

/// `value * 2^exponent`, rounded once.
fn scale_by_two(value: u64, exponent: i64) -> f64 {
    if value == 0 {
        return 0.0;
    }
    let top = 63 - i64::from(value.leading_zeros()) + exponent;
    // Bits that the result keeps: 53, fewer below the smallest normal exponent.
    let keep = (53 + (top + 1022).min(0)).max(0);
    let drop = 63 - i64::from(value.leading_zeros()) + 1 - keep;
    let (mut value, mut exponent) = (u128::from(value), exponent);
    if drop > 0 {
        let shift = drop.min(100) as u32;
        let (rest, half) = (value & ((1 << shift) - 1), 1u128 << (shift - 1));
        value >>= shift;
        exponent += i64::from(shift);
        if rest > half || (rest == half && value & 1 == 1) {
            value += 1;
        }
    }
    // Two steps, for the power of two alone may be outside the range; each is exact.
    let exponent = exponent.clamp(-2200, 2200) as i32;
    value as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

/// The shortest decimal that reads back as `value`, never with an exponent: Go's
/// `strconv.FormatFloat(value, 'f', -1, 64)`.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_with_a_prefix_parse_as_in_go() {
        for (input, want) in [
            ("0x1F", Some(31)),
            ("0b101", Some(5)),
            ("0o17", Some(15)),
            ("017", Some(15)),
            ("1_000", Some(1000)),
            ("0x_1", Some(1)),
            ("0_7", Some(7)),
            ("0", Some(0)),
            ("_1", None),
            ("1_", None),
            ("08", None),
            ("-5", None),
            ("+5", None),
            ("0x", None),
            ("", None),
        ] {
            assert_eq!(parse_uint(input, 0, 64).ok(), want, "{input}");
        }
    }

    #[test]
    fn number_errors_read_as_in_go() {
        for (got, want) in [
            (atoi("x").unwrap_err(), r#"strconv.Atoi: parsing "x": invalid syntax"#),
            (atoi("").unwrap_err(), r#"strconv.Atoi: parsing "": invalid syntax"#),
            (atoi("1_0").unwrap_err(), r#"strconv.Atoi: parsing "1_0": invalid syntax"#),
            (
                atoi("9223372036854775808").unwrap_err(),
                r#"strconv.Atoi: parsing "9223372036854775808": value out of range"#,
            ),
            (parse_int("128", 10, 8).unwrap_err(), r#"strconv.ParseInt: parsing "128": value out of range"#),
            (parse_uint("65536", 10, 16).unwrap_err(), r#"strconv.ParseUint: parsing "65536": value out of range"#),
            (parse_uint("5", 1, 64).unwrap_err(), r#"strconv.ParseUint: parsing "5": invalid base 1"#),
            (parse_uint("5", 10, 65).unwrap_err(), r#"strconv.ParseUint: parsing "5": invalid bit size 65"#),
            (parse_bool("yes").unwrap_err(), r#"strconv.ParseBool: parsing "yes": invalid syntax"#),
            (parse_float("1e400").unwrap_err(), r#"strconv.ParseFloat: parsing "1e400": value out of range"#),
        ] {
            assert_eq!(got.to_string(), want);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_inside_it() {
        assert_eq!(atoi("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(atoi("+9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_int("-128", 10, 8), Ok(-128));
        assert_eq!(parse_uint("255", 10, 8), Ok(255));
        assert_eq!(parse_uint("zz", 36, 64), Ok(1295));
    }

    #[test]
    fn floats_parse_as_in_go() {
        for (input, want) in [
            ("1_0", Some(10.0)),
            ("0x1p-2", Some(0.25)),
            ("0x1_0p0", Some(16.0)),
            ("0x_1p0", Some(1.0)),
            ("0x1.8p1", Some(3.0)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1.fffffffffffffp1023", Some(f64::MAX)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e+05", Some(100_000.0)),
            ("-nan", None),
            ("+-1", None),
            ("1e", None),
            ("0x1", None),
            ("0x1p1024", None),
            ("1__0", None),
            ("Inf1", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(parse_float(input).ok(), want, "{input}");
        }
        assert!(parse_float("NaN").unwrap().is_nan());
    }

    #[test]
    fn floats_print_without_an_exponent() {
        for (value, want) in [
            (0.0, "0"),
            (0.000123, "0.000123"),
            (123_456_789.125, "123456789.125"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(format_float(value), want);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-+_.0-9a-fxpPeE]{0,30}|\\PC{0,20}", base in 0u32..40, bits in 0u32..70) {
            let _ = parse_int(&text, base, bits);
            let _ = parse_uint(&text, base, bits);
            let _ = parse_float(&text);
        }

        #[test]
        fn a_printed_float_reads_back(value in proptest::num::f64::NORMAL) {
            prop_assert_eq!(parse_float(&format_float(value)), Ok(value));
        }
    }
}
