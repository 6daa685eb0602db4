//! `$GENERATE`: a record for each number of a range, as BIND has it.

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_till1, take_while1};
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{all_consuming, map, map_opt, opt, recognize, value};
use nom::multi::many0;
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};

use super::error::{Problem, shown};
use super::lex::{Kind, Lexer, Token};
use super::reader::Reader;
use super::time::number;

/// How many records one `$GENERATE` makes at most.
pub const GENERATE_COUNT_MAX: u64 = 1 << 20;
/// How many digits a number is filled up to at most.
pub const GENERATE_WIDTH_MAX: u64 = 255;

/// The largest number of a range, before and after an offset.
const NUMBER_MAX: u64 = i32::MAX as u64;

struct Range {
    start: u64,
    stop: u64,
    step: u64,
}

/// A part of the line that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(Vec<u8>),
    Number { offset: i64, width: usize, base: u8 },
}

/// Reads what is behind the directive's word, and the records that it makes.
pub(crate) fn read(reader: &mut Reader<'_, '_>, lexer: &mut Lexer<'_>, directive: &Token) -> Result<(), Problem> {
    let range_token = lexer.next()?;
    let text = lexer.octets(&range_token);
    let fault = || range_token.problem(format!("'{}' is not a range as 1-10 or 1-10/2", shown(text)));
    let (_, range) = all_consuming(range).parse(text).map_err(|_| fault())?;
    let count = (range.stop - range.start) / range.step + 1;
    if count > GENERATE_COUNT_MAX {
        return Err(range_token.problem(format!("more than {GENERATE_COUNT_MAX} records")));
    }
    let (template, end) = template(lexer)?;
    let template_fault = |message: String| Problem::new(range_token.end + 1, end, message);
    let (_, pieces) = all_consuming(many0(piece)).parse(&template).map_err(|_| {
        let message = r"what is in ${...} is not OFFSET, OFFSET,WIDTH or OFFSET,WIDTH,BASE (of d, o, x, X, n, N)";
        template_fault(message.to_owned())
    })?;
    let mut line = Vec::new();
    let mut at = range.start;
    reader.owner_kept(|reader| {
        while at <= range.stop {
            line.clear();
            expand(&pieces, at, &mut line).map_err(|message| template_fault(message.to_owned()))?;
            record(reader, &line).map_err(|problem| {
                let note = format!("for {at} the line is: {}", shown(&line));
                problem.moved(directive.start, end).with_note(note)
            })?;
            at += range.step;
        }
        Ok(())
    })
}

fn record(reader: &mut Reader<'_, '_>, line: &[u8]) -> Result<(), Problem> {
    let mut lexer = Lexer::new(line);
    let token = lexer.next()?;
    reader.record(&mut lexer, &token, false)
}

fn range(text: &[u8]) -> IResult<&[u8], Range> {
    let limited = || map_opt(digit1, |digits| number(digits, NUMBER_MAX));
    let step = map_opt(opt(preceded(char('/'), limited())), |step| Some(step.unwrap_or(1)).filter(|step| *step > 0));
    map_opt((limited(), preceded(char('-'), limited()), step), |(start, stop, step)| {
        (start <= stop).then_some(Range { start, stop, step })
    })
    .parse(text)
}

/// Takes the tokens up to the end of the line, with single blanks where there were some. Comments and parentheses are gone then.
fn template(lexer: &mut Lexer<'_>) -> Result<(Vec<u8>, usize), Problem> {
    let mut template: Vec<u8> = Vec::new();
    let mut end = lexer.offset();
    loop {
        let token = lexer.next()?;
        let quotes = usize::from(token.kind == Kind::Quoted);
        if token.is_end() {
            break;
        }
        if !template.is_empty() && token.start - quotes > end {
            template.push(b' ');
        }
        if quotes == 1 {
            template.push(b'"');
        }
        template.extend_from_slice(lexer.octets(&token));
        if quotes == 1 {
            template.push(b'"');
        }
        end = token.end + quotes;
    }
    if template.is_empty() { Err(Problem::new(end, end, "a name is missing")) } else { Ok((template, end)) }
}

fn piece(text: &[u8]) -> IResult<&[u8], Piece> {
    let special = |octet: u8| matches!(octet, b'$' | b'\\');
    let escaped = recognize(pair(char('\\'), take(1usize)));
    alt((
        map(take_till1(special), |plain: &[u8]| Piece::Plain(plain.to_vec())),
        map(escaped, |escaped: &[u8]| Piece::Plain(escaped.to_vec())),
        // A dollar sign twice is one that is meant.
        value(Piece::Plain(br"\$".to_vec()), tag(&b"$$"[..])),
        delimited(tag(&b"${"[..]), modifier, char('}')),
        map_opt(pair(char('$'), opt(char('{'))), |(_, brace)| {
            brace.is_none().then_some(Piece::Number { offset: 0, width: 0, base: b'd' })
        }),
    ))
    .parse(text)
}

fn modifier(text: &[u8]) -> IResult<&[u8], Piece> {
    let sign = map(opt(one_of("+-")), |sign| if sign == Some('-') { -1 } else { 1 });
    let offset = map_opt((sign, take_while1(|octet: u8| octet.is_ascii_digit())), |(sign, digits): (i64, &[u8])| {
        Some(sign * i64::try_from(number(digits, NUMBER_MAX)?).ok()?)
    });
    let width = map_opt(digit1, |digits| usize::try_from(number(digits, GENERATE_WIDTH_MAX)?).ok());
    let base = map_opt(preceded(char(','), one_of("doxXnN")), |base| u8::try_from(base).ok());
    map((offset, opt((preceded(char(','), width), opt(base)))), |(offset, rest)| {
        let (width, base) = rest.unwrap_or((0, None));
        Piece::Number { offset, width, base: base.unwrap_or(b'd') }
    })
    .parse(text)
}

/// Makes the line for a number.
fn expand(pieces: &[Piece], number: u64, line: &mut Vec<u8>) -> Result<(), &'static str> {
    for piece in pieces {
        let Piece::Number { offset, width, base } = piece else {
            if let Piece::Plain(plain) = piece {
                line.extend_from_slice(plain);
            }
            continue;
        };
        let value = i64::try_from(number).unwrap_or(i64::MAX).saturating_add(*offset);
        let value = u32::try_from(value).ok().filter(|value| u64::from(*value) <= NUMBER_MAX);
        let value = value.ok_or("with the offset a number is below 0 or above 2147483647")?;
        let width = *width;
        match base {
            b'o' => line.extend_from_slice(format!("{value:0width$o}").as_bytes()),
            b'x' => line.extend_from_slice(format!("{value:0width$x}").as_bytes()),
            b'X' => line.extend_from_slice(format!("{value:0width$X}").as_bytes()),
            b'n' => nibbles(value, width, b"0123456789abcdef", line),
            b'N' => nibbles(value, width, b"0123456789ABCDEF", line),
            _ => line.extend_from_slice(format!("{value:0width$}").as_bytes()),
        }
    }
    Ok(())
}

/// Writes hexadecimal digits from the last to the first with dots between, for names in ip6.arpa. The width counts the dots too.
fn nibbles(value: u32, width: usize, digits: &[u8; 16], line: &mut Vec<u8>) {
    let start = line.len();
    let mut rest = value;
    loop {
        line.push(digits[usize::try_from(rest & 15).unwrap_or(0)]);
        rest >>= 4;
        let more = rest > 0 || line.len() - start < width;
        if more {
            line.push(b'.');
        }
        if rest == 0 && line.len() - start >= width {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn expanded(template: &str, number: u64) -> Option<String> {
        let (_, pieces) = all_consuming(many0(piece)).parse(template.as_bytes()).ok()?;
        let mut line = Vec::new();
        expand(&pieces, number, &mut line).ok()?;
        Some(String::from_utf8(line).unwrap())
    }

    #[test]
    fn numbers_are_put_in_with_offset_width_and_base() {
        for (template, number, expected) in [
            ("a$b", 7, "a7b"),
            ("${0}", 7, "7"),
            ("${-2,3}", 7, "005"),
            ("${+1,0,x}", 254, "ff"),
            ("${0,4,X}", 254, "00FE"),
            ("${0,3,o}", 8, "010"),
            ("${0,7,n}", 0x1a, "a.1.0.0"),
            ("${0,0,N}", 0x1a, "A.1"),
            ("${0,2,n}", 1, "1."),
            (r"\$$$-$", 3, r"\$\$-3"),
            (r"\\$", 3, r"\\3"),
        ] {
            assert_eq!(expanded(template, number).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn modifiers_that_mean_nothing_and_numbers_that_do_not_fit_are_refused() {
        for template in
            ["${", "${}", "${x}", "${0,}", "${0,1,}", "${0,1,z}", "${0,1,d,2}", "${0,256}", "${-8}", "${2147483647}"]
        {
            assert_eq!(expanded(template, 7), None, "{template}");
        }
        assert!(expanded("${0,255}", 7).is_some());
    }

    #[test]
    fn a_range_goes_up() {
        for (text, fits) in
            [("1-2", true), ("0-0/5", true), ("2-1", false), ("1-2/0", false), ("1", false), ("-1-2", false)]
        {
            assert_eq!(all_consuming(range).parse(text.as_bytes()).is_ok(), fits, "{text}");
        }
    }
}
