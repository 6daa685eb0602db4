//! Kinds of hosts: HINFO (RFC 1035 section 3.3.2), with what CoreDNS takes beside two strings.

use super::super::error::Problem;
use super::super::lex::unescape_into;
use super::Special;
use super::input::Input;
use super::output::{Octets, Unwritable, write_quoted};

/// Machine and operating system. A single string is cut at its first blanks, or the system is empty; of more than two strings all but the
/// first are the system.
pub(crate) const HOST: Special = Special { read, write };

fn read(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let first = *input.peek();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    while !input.peek().is_end() {
        let token = input.take()?;
        let mut part = Vec::new();
        let read = unescape_into(input.octets(&token), token.escaped, &mut part);
        read.map_err(|message| token.problem(message))?;
        parts.push(part);
    }
    if let [only] = parts.as_slice() {
        parts = only.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
    } else if parts.is_empty() {
        return Err(first.problem("a string is missing"));
    }
    let system = parts.get(1..).unwrap_or_default().join(&b' ');
    for text in [parts.first().unwrap_or(&Vec::new()), &system] {
        let len = u8::try_from(text.len()).map_err(|_| first.problem("a string is longer than 255 octets"))?;
        input.out.push(len);
        input.out.extend_from_slice(text);
    }
    Ok(())
}

fn write(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    write_quoted(octets.counted()?, out);
    out.push(b' ');
    write_quoted(octets.counted()?, out);
    Ok(())
}
