//! The weights of addresses, by owner name, and the file that they come from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

use catena_core::name::{NAME_OCTETS_MAX, make_lower, owned};
use catena_gocompat::address::parse_ip;
use catena_gocompat::number::parse_uint;

/// The most octets of a weight file.
pub(crate) const FILE_OCTETS_MAX: usize = 4 << 20;
/// The most octets of one line, as in Go's `bufio.Scanner`.
pub(crate) const LINE_OCTETS_MAX: usize = 64 << 10;
/// The weight of an address that the file does not name.
const WEIGHT: u8 = 1;

/// The weights of addresses under their owner names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Weights(HashMap<Box<[u8]>, Vec<(IpAddr, u8)>>);

impl Weights {
    /// The weight of an address; names are compared without regard to case (RFC 4343).
    pub(crate) fn of(&self, owner: &[u8], address: IpAddr) -> u8 {
        let mut lower = [0; NAME_OCTETS_MAX];
        let Some(lower) = lower.get_mut(..owner.len()) else { return WEIGHT };
        lower.copy_from_slice(owner);
        make_lower(lower);
        let address = address.to_canonical();
        let known = self.0.get(&*lower).and_then(|all| all.iter().find(|(known, _)| *known == address));
        known.map_or(WEIGHT, |(_, weight)| *weight)
    }

    /// Reads the text of a weight file: lines with a name, each followed by lines with an address and its weight.
    ///
    /// # Errors
    /// CoreDNS's words for what is wrong; `file` is named in them.
    pub(crate) fn parse(contents: &[u8], file: &str) -> Result<Self, String> {
        let parsing = |error: &str| Err(format!("weight file {file} parsing error:{error}"));
        if contents.len() > FILE_OCTETS_MAX {
            return parsing(&format!("more than {FILE_OCTETS_MAX} octets"));
        }
        let mut weights = Self::default();
        let mut name: Option<Option<Box<[u8]>>> = None;
        for line in contents.split(|octet| *octet == b'\n') {
            if line.len() >= LINE_OCTETS_MAX {
                return parsing("bufio.Scanner: token too long");
            }
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(word), None, _) => {
                    if parse_ip(word).is_some() {
                        return Err(format!(
                            "wrong domain name:\"{word}\" in weight file {file}. (Maybe a missing weight value?)"
                        ));
                    }
                    // A word that is no name is passed over with its addresses: no record has it.
                    name = Some(owned(word).map(|name| name.as_slice().to_ascii_lowercase().into()));
                }
                (Some(address), Some(weight), None) => {
                    let item = item(address, weight, file)?;
                    match &name {
                        None => return Err(format!("missing domain name in weight file {file}")),
                        Some(None) => {}
                        Some(Some(name)) => weights.0.entry(name.clone()).or_default().push(item),
                    }
                }
                _ => return Err(format!("could not parse weight line:\"{line}\" in weight file {file}")),
            }
        }
        Ok(weights)
    }
}

fn item(address: &str, weight: &str, file: &str) -> Result<(IpAddr, u8), String> {
    let ip = parse_ip(address).ok_or_else(|| format!("wrong IP address:\"{address}\" in weight file {file}"))?;
    let number = parse_uint(weight, 10, 8).ok().and_then(|number| u8::try_from(number).ok());
    match number {
        Some(weight) if weight > 0 => Ok((ip, weight)),
        _ => Err(format!("wrong weight value:\"{weight}\" in weight file {file}")),
    }
}

/// Reads the file, a little more than allowed at most, so that [`Weights::parse`] can tell.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        // Opening a pipe waits for whoever writes to it.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut contents = Vec::new();
    File::open(path)?.take(FILE_OCTETS_MAX as u64 + 1).read_to_end(&mut contents)?;
    Ok(contents)
}
