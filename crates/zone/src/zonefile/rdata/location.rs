//! Places on Earth: LOC (RFC 1876).

use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map_opt, opt, recognize, verify};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::super::error::Problem;
use super::super::time::number;
use super::Special;
use super::input::Input;
use super::output::{Octets, Unwritable, write_number};

/// Latitude, longitude, altitude, size and precisions.
pub(crate) const LOCATION: Special = Special { read, write };

/// The equator and the prime meridian, thousandths of a second of arc.
const MIDDLE: u32 = 1 << 31;
/// Sea level, centimetres above the lowest altitude.
const SEA_LEVEL: i64 = 10_000_000;
/// Size and precisions of those who give none: 1 m, 10 km, 10 m (RFC 1876 section 3).
const SIZES: [u8; 3] = [0x12, 0x16, 0x13];
/// The largest size, centimetres.
const SIZE_MAX: u64 = 9_000_000_000;

fn read(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let latitude = angle(input, 90, *b"NS")?;
    let longitude = angle(input, 180, *b"EW")?;
    let altitude = input.word_as("an altitude in metres", altitude)?;
    let mut sizes = SIZES;
    for place in &mut sizes {
        if input.peek().is_end() {
            break;
        }
        *place = input.word_as("a size in metres", size)?;
    }
    input.out.push(0);
    input.out.extend(sizes);
    for number in [latitude, longitude, altitude] {
        input.out.extend(number.to_be_bytes());
    }
    Ok(())
}

/// Takes degrees, perhaps minutes and seconds, and a direction.
fn angle(input: &mut Input<'_, '_>, degrees_max: u32, directions: [u8; 2]) -> Result<u32, Problem> {
    let place = *input.peek();
    let mut total = input.word_as("a number of degrees", |text| small(text, degrees_max))? * 3_600_000;
    let is_direction = |text: &[u8]| text.len() == 1 && directions.contains(&text[0].to_ascii_uppercase());
    if !is_direction(input.octets(input.peek())) {
        total += input.word_as("a number of minutes", |text| small(text, 59))? * 60_000;
    }
    if !is_direction(input.octets(input.peek())) {
        total += input.word_as("a number of seconds", thousandths)?;
    }
    let what = format!("{} or {}", char::from(directions[0]), char::from(directions[1]));
    let positive =
        input.word_as(&what, |text| is_direction(text).then(|| text[0].eq_ignore_ascii_case(&directions[0])))?;
    if total > degrees_max * 3_600_000 {
        return Err(place.problem(format!("more than {degrees_max} degrees")));
    }
    Ok(if positive { MIDDLE + total } else { MIDDLE - total })
}

fn small(text: &[u8], max: u32) -> Option<u32> {
    u32::try_from(number(text, max.into())?).ok()
}

/// Reads a decimal number as so many of the `10^places`th part of it.
fn decimal(places: usize) -> impl Fn(&[u8]) -> IResult<&[u8], u64> {
    move |text| {
        let fraction = preceded(char('.'), verify(recognize(opt(digit1)), |digits: &[u8]| digits.len() <= places));
        map_opt((digit1, opt(fraction)), |(whole, fraction): (&[u8], Option<&[u8]>)| {
            let mut digits = whole.to_vec();
            digits.extend_from_slice(fraction.unwrap_or_default());
            digits.resize(whole.len() + places, b'0');
            number(&digits, u64::MAX)
        })
        .parse(text)
    }
}

fn thousandths(text: &[u8]) -> Option<u32> {
    let (_, value) = all_consuming(decimal(3)).parse(text).ok()?;
    u32::try_from(value).ok().filter(|value| *value < 60_000)
}

/// Reads metres with or without their letter, as centimetres.
fn metres(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text);
    all_consuming(decimal(2)).parse(text).ok().map(|(_, value)| value)
}

fn size(text: &[u8]) -> Option<u8> {
    metres(text).filter(|centimetres| *centimetres <= SIZE_MAX).map(coded_size)
}

fn altitude(text: &[u8]) -> Option<u32> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text.strip_prefix(b"+").unwrap_or(text)),
    };
    let metres = i64::try_from(metres(text)?).ok()?;
    u32::try_from(SEA_LEVEL.checked_add(if negative { -metres } else { metres })?).ok()
}

/// A digit and how many zeros follow it.
fn coded_size(centimetres: u64) -> u8 {
    let (mut digit, mut zeros) = (centimetres, 0u8);
    while digit > 9 {
        digit /= 10;
        zeros += 1;
    }
    digit.to_le_bytes()[0] << 4 | zeros
}

fn write(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let version = octets.u8()?;
    if version != 0 {
        // Another version's fields are not known.
        octets.all();
        return Err(Unwritable::Unusual);
    }
    let sizes = octets.take(3)?;
    let (latitude, longitude, altitude) = (octets.number(4)?, octets.number(4)?, octets.number(4)?);
    let mut usual = write_angle(latitude, 90, *b"NS", out);
    usual &= write_angle(longitude, 180, *b"EW", out);
    let altitude = i64::try_from(altitude).unwrap_or(0) - SEA_LEVEL;
    if altitude < 0 {
        out.push(b'-');
    }
    write_metres(altitude.unsigned_abs(), out);
    for size in sizes {
        let (digit, zeros) = (size >> 4, size & 15);
        usual &= digit <= 9 && zeros <= 9 && (digit > 0 || zeros == 0);
        out.push(b' ');
        write_metres(u64::from(digit) * 10u64.pow(zeros.into()), out);
    }
    if usual { Ok(()) } else { Err(Unwritable::Unusual) }
}

fn write_metres(centimetres: u64, out: &mut Vec<u8>) {
    write_number(centimetres / 100, out);
    out.extend_from_slice(format!(".{:02}m", centimetres % 100).as_bytes());
}

/// Writes an angle; `false` if there is no such one.
fn write_angle(value: u64, degrees_max: u64, directions: [u8; 2], out: &mut Vec<u8>) -> bool {
    let positive = value >= MIDDLE.into();
    let total = value.abs_diff(MIDDLE.into());
    let (degrees, minutes, rest) = (total / 3_600_000, total / 60_000 % 60, total % 60_000);
    let direction = char::from(directions[usize::from(!positive)]);
    let text = format!("{degrees} {minutes} {}.{:03} {direction} ", rest / 1000, rest % 1000);
    out.extend_from_slice(text.as_bytes());
    total <= degrees_max * 3_600_000
}
