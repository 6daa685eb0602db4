//! Go durations: `time.ParseDuration`, `Duration.String`, and CoreDNS's "a bare number is seconds".

use crate::number;
use std::fmt;
use std::time::Duration;

/// Units of [`GoDuration::parse`] in nanoseconds; both micro signs are Go's.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The largest magnitude that parsing accumulates: that of `i64::MIN` nanoseconds.
const MAGNITUDE_MAX: u64 = 1 << 63;

/// A signed span of time in nanoseconds, Go's `time.Duration`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Why a text is no Go duration; prints as Go's error does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Grammar or range.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number without a unit after it.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A unit that Go does not have.
    #[error("time: unknown unit {} in duration {}", quote(unit), quote(input))]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The whole text.
        input: String,
    },
}

/// What CoreDNS says of a bad duration argument (CoreDNS: plugin/pkg/durations).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse duration '{0}'")]
pub struct DurationArgError(
    /// The argument, with the `s` that a bare number was given.
    pub String,
);

impl GoDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A span of `secs` seconds, held at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// The span in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The span in seconds, with a fraction: Go's `Duration.Seconds`.
    pub fn as_secs_f64(self) -> f64 {
        // Go adds whole seconds and the rest separately; doing the same gives the same rounding.
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        whole as f64 + rest as f64 / 1e9
    }

    /// Whether the span is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The span as a standard one; `None` below zero, which `std` cannot hold.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// The span from a standard one, held at the upper end of the range (about 292 years).
    pub fn from_std(span: Duration) -> Self {
        Self(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Reads `1h30m`, `-1.5s`, `0` and so on, exactly as Go's `time.ParseDuration`.
    pub fn parse(input: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(input.to_owned());
        let (negative, mut rest) = match input.as_bytes().first() {
            Some(b'-') => (true, &input[1..]),
            Some(b'+') => (false, &input[1..]),
            _ => (false, input),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (term, after) = parse_term(input, rest)?;
            total = total.checked_add(term).filter(|sum| *sum <= MAGNITUDE_MAX).ok_or_else(invalid)?;
            rest = after;
        }
        if negative {
            return Ok(Self(0i64.wrapping_sub_unsigned(total)));
        }
        i64::try_from(total).map(Self).map_err(|_| invalid())
    }
}

/// Reads one number with its unit from the front of `rest`; gives nanoseconds and what follows.
fn parse_term<'a>(input: &str, rest: &'a str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(input.to_owned());
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (whole, mut rest) = rest.split_at(digits);
    let mut value = leading_int(whole).ok_or_else(invalid)?;
    let (mut fraction, mut scale, mut fraction_digits) = (0, 1.0, 0);
    if let Some(after) = rest.strip_prefix('.') {
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        fraction_digits = after.len() - rest.len();
        (fraction, scale) = leading_fraction(&after[..fraction_digits]);
    }
    if whole.is_empty() && fraction_digits == 0 {
        return Err(invalid());
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if name.is_empty() {
        return Err(DurationError::MissingUnit(input.to_owned()));
    }
    let Some(&(_, unit)) = UNITS.iter().find(|(known, _)| *known == name) else {
        return Err(DurationError::UnknownUnit { unit: name.to_owned(), input: input.to_owned() });
    };
    if value > MAGNITUDE_MAX / unit {
        return Err(invalid());
    }
    value *= unit;
    if fraction > 0 {
        // At most one hour is added to at most 2^63, so this cannot wrap.
        value += (fraction as f64 * (unit as f64 / scale)) as u64;
        if value > MAGNITUDE_MAX {
            return Err(invalid());
        }
    }
    Ok((value, rest))
}

/// The value of `digits`; `None` above [`MAGNITUDE_MAX`].
fn leading_int(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|value| *value <= MAGNITUDE_MAX)
    })
}

/// The value of `digits` and the power of ten they stand over; digits that overflow are dropped.
fn leading_fraction(digits: &str) -> (u64, f64) {
    let (mut value, mut scale) = (0u64, 1.0);
    for digit in digits.bytes() {
        if value > (MAGNITUDE_MAX - 1) / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > MAGNITUDE_MAX {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value, scale)
}

/// Reads a duration argument: a bare integer is seconds, anything else a Go duration
/// (CoreDNS: plugin/pkg/durations).
pub fn parse_seconds_or_duration(arg: &str) -> Result<GoDuration, DurationArgError> {
    let text = match number::atoi(arg) {
        Ok(_) => format!("{arg}s"),
        Err(_) => arg.to_owned(),
    };
    GoDuration::parse(&text).map_err(|_| DurationArgError(text))
}

impl std::str::FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(input: &str) -> Result<Self, DurationError> {
        Self::parse(input)
    }
}

impl fmt::Display for GoDuration {
    /// Prints as Go's `Duration.String`: `1h0m0s`, `1.5s`, `300ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        let nanos = self.0.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        let (value, digits, unit) = match nanos {
            1..1_000 => (nanos, 0, "ns"),
            1_000..1_000_000 => (nanos, 3, "\u{b5}s"),
            1_000_000..SECOND => (nanos, 6, "ms"),
            _ => (nanos % (60 * SECOND), 9, "s"),
        };
        let minutes = nanos / (60 * SECOND);
        f.write_str(sign)?;
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        let scale = 10u64.pow(digits);
        write!(f, "{}", value / scale)?;
        let fraction = format!("{:0width$}", value % scale, width = digits as usize);
        let fraction = fraction.trim_end_matches('0');
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        f.write_str(unit)
    }
}

/// Quotes as Go's `time` package does: every byte outside printable ASCII as `\xNN`.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Go lets DEL through here.
            ' '..='\x7f' => quoted.push(c),
            _ => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_parse_as_in_go() {
        for (input, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("+5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.s", 1_000_000_000),
            (".5s", 500_000_000),
            ("-.5h", -1_800_000_000_000),
            ("52763797000ns", 52_763_797_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("9007199254740993ns", 9_007_199_254_740_993),
            ("9223372036854775807ns", i64::MAX),
            ("9223372036854775.807us", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("-2562047h47m16.854775808s", i64::MIN),
            ("0.100000000000000000000h", 360_000_000_000),
            ("0.830103483285477580700h", 2_988_372_539_827),
            ("11\u{b5}s12\u{3bc}s", 23_000),
            ("3000000h", -1),
        ] {
            match GoDuration::parse(input) {
                Ok(got) => assert_eq!(got.as_nanos(), nanos, "{input}"),
                Err(error) => {
                    assert_eq!(nanos, -1, "{input}: {error}");
                    assert_eq!(error.to_string(), format!("time: invalid duration \"{input}\""));
                }
            }
        }
    }

    #[test]
    fn duration_errors_read_as_in_go() {
        for (input, want) in [
            ("", r#"time: invalid duration """#),
            ("3", r#"time: missing unit in duration "3""#),
            ("-", r#"time: invalid duration "-""#),
            ("s", r#"time: invalid duration "s""#),
            (".", r#"time: invalid duration ".""#),
            ("-.s", r#"time: invalid duration "-.s""#),
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("1s2", r#"time: missing unit in duration "1s2""#),
            ("1h 2m", r#"time: unknown unit "h " in duration "1h 2m""#),
            ("+-5s", r#"time: invalid duration "+-5s""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("9223372036854775.808us", r#"time: invalid duration "9223372036854775.808us""#),
            ("1\u{e9}", r#"time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
        ] {
            assert_eq!(GoDuration::parse(input).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (nanos, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (5_001_000_000, "5.001s"),
            (245_000_000_000, "4m5s"),
            (90_000_000_000_000, "25h0m0s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(GoDuration::from_nanos(nanos).to_string(), want);
        }
    }

    #[test]
    fn a_bare_number_is_seconds() {
        assert_eq!(parse_seconds_or_duration("30"), Ok(GoDuration::from_secs(30)));
        assert_eq!(parse_seconds_or_duration("-3"), Ok(GoDuration::from_secs(-3)));
        assert_eq!(parse_seconds_or_duration("2m"), Ok(GoDuration::from_secs(120)));
    }

    #[test]
    fn a_bad_duration_argument_is_named_with_its_unit() {
        let text = |arg| parse_seconds_or_duration(arg).unwrap_err().to_string();
        assert_eq!(text("soon"), "failed to parse duration 'soon'");
        assert_eq!(text("9999999999999"), "failed to parse duration '9999999999999s'");
    }

    #[test]
    fn a_negative_span_has_no_standard_form() {
        assert_eq!(GoDuration::from_nanos(-1).to_std(), None);
        assert_eq!(GoDuration::from_secs(2).to_std(), Some(Duration::from_secs(2)));
        assert_eq!(GoDuration::from_std(Duration::MAX).as_nanos(), i64::MAX);
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(nanos: i64) {
            let span = GoDuration::from_nanos(nanos);
            prop_assert_eq!(GoDuration::parse(&span.to_string()), Ok(span));
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9a-z\u{b5}]{0,40}|\\PC{0,20}") {
            let _ = GoDuration::parse(&text);
            let _ = parse_seconds_or_duration(&text);
        }
    }
}
