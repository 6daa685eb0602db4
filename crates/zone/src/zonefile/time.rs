//! Times to live with units, and the moments of signatures.

use nom::branch::alt;
use nom::character::complete::{digit1, one_of};
use nom::combinator::{all_consuming, eof, map, map_opt, value};
use nom::multi::fold_many1;
use nom::sequence::pair;
use nom::{IResult, Parser};

/// Reads decimal digits, at most `max`.
pub(crate) fn number(text: &[u8], max: u64) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut value = 0u64;
    for octet in text {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (value <= max).then_some(value)
}

/// Reads seconds, plain or with units as `1w2d3h4m5s` in any order and case; what is behind the last unit are seconds. RFC 1035 knows
/// plain seconds only; the units are BIND's, and so is their sum.
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    if let Some(plain) = number(text, u32::MAX.into()) {
        return u32::try_from(plain).ok();
    }
    let (_, total) = all_consuming(with_units).parse(text).ok()?;
    u32::try_from(total?).ok()
}

fn with_units(text: &[u8]) -> IResult<&[u8], Option<u64>> {
    let count = map_opt(digit1, |digits| number(digits, u32::MAX.into()));
    let part = map(pair(count, unit), |(count, unit)| count.checked_mul(unit));
    fold_many1(part, || Some(0u64), |sum: Option<u64>, part: Option<u64>| sum?.checked_add(part?)).parse(text)
}

/// How many seconds a letter stands for.
fn unit(text: &[u8]) -> IResult<&[u8], u64> {
    alt((
        value(1, one_of("sS")),
        value(60, one_of("mM")),
        value(3600, one_of("hH")),
        value(86_400, one_of("dD")),
        value(604_800, one_of("wW")),
        value(1, eof),
    ))
    .parse(text)
}

/// Reads `YYYYMMDDHHmmSS` in UTC or seconds since 1970, modulo 2^32 (RFC 4034 section 3.2).
pub(crate) fn moment(text: &[u8]) -> Option<u32> {
    if text.len() != 14 {
        return u32::try_from(number(text, u32::MAX.into())?).ok();
    }
    let part = |from: usize, to: usize| number(text.get(from..to)?, 9999).and_then(|part| i64::try_from(part).ok());
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    // 60 is a leap second.
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_date(year, month, day);
    // There is no 31st of February: the day must come back.
    if date_from_days(days) != (year, month, day) {
        return None;
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    u32::try_from(seconds.rem_euclid(1 << 32)).ok()
}

/// Writes a moment as `YYYYMMDDHHmmSS`, taken as one between 1970 and 2106.
pub(crate) fn write_moment(seconds: u32, out: &mut Vec<u8>) {
    let (days, rest) = (i64::from(seconds) / 86_400, i64::from(seconds) % 86_400);
    let (year, month, day) = date_from_days(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    out.extend_from_slice(format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}").as_bytes());
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day is a year's last.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// The opposite of [`days_from_date`].
fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn times_to_live_are_seconds_or_a_sum_of_units() {
        for (text, expected) in [
            ("0", 0),
            ("300", 300),
            ("4294967295", u32::MAX),
            ("1h30m", 5400),
            ("1w2d", 777_600),
            ("1W2D3H4M5S", 788_645),
            ("1h30", 3630),
            ("2m2m", 240),
        ] {
            assert_eq!(seconds(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_to_live_or_too_long_is_refused() {
        for text in
            ["", "h", "1x", "1h-", "-1", "4294967296", "9999999w", "1 h", "99999999999999999999999999h", "hello"]
        {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn moments_are_dates_or_seconds() {
        assert_eq!(moment(b"20030322173103"), Some(1_048_354_263));
        assert_eq!(moment(b"1048354263"), Some(1_048_354_263));
        assert_eq!(moment(b"21060207062815"), Some(u32::MAX));
        assert_eq!(moment(b"21060207062816"), Some(0));
        for wrong in
            ["20030229000000", "20031301000000", "2003010100000", "19691231235959", "20030101250000", "2003010100000x"]
        {
            assert_eq!(moment(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn written_moments_are_read_as_the_same() {
        for seconds in (0..=u32::MAX).step_by(7_654_321).chain([u32::MAX, 951_782_400, 1_709_164_800]) {
            let mut text = Vec::new();
            write_moment(seconds, &mut text);
            assert_eq!(moment(&text), Some(seconds), "{}", String::from_utf8_lossy(&text));
        }
    }
}
