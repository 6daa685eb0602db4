//! Rules for options of the OPT record (RFC 6891 section 6.1.2).

use std::borrow::Cow;
use std::net::IpAddr;

use catena_core::name::text;
use catena_core::prelude::*;
use catena_core::{Edns, edns_options, is_label};
use catena_gocompat::number::parse_uint;
use catena_gocompat::quote::quote;

use crate::back::{Back, push_option, replace_option};
use crate::fault::Fault;

/// The size that a new OPT record tells, octets.
const UDP_SIZE: u16 = 4096;
/// What a rule of EDNS options may be of.
const TYPES: [&str; 3] = ["local", "nsid", "subnet"];
/// What it may do with them.
const ACTIONS: [&str; 4] = ["append", "replace", "set", "unset"];
/// The longest data of a local option, octets: what one datagram of [`UDP_SIZE`] surely cannot hold with a question.
pub(crate) const DATA_OCTETS_MAX: usize = 4000;
/// The longest options of a query, octets: its OPT record tells the length with 16 bits.
const OPTIONS_OCTETS_MAX: usize = 65_535;
/// RFC 5001.
const OPTION_NSID: u16 = 3;
/// RFC 7871.
const OPTION_SUBNET: u16 = 8;

/// A rule for options.
#[derive(Debug)]
pub(crate) struct EdnsRule {
    action: Action,
    option: Kind,
    reverts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Append,
    Replace,
    Set,
    Unset,
}

/// Which option, and where its data comes from.
#[derive(Debug)]
enum Kind {
    Local(u16, Data),
    Nsid,
    Subnet { v4_bits: u8, v6_bits: u8 },
}

#[derive(Debug)]
enum Data {
    Octets(Vec<u8>),
    Variable(Variable),
}

#[derive(Debug, PartialEq, Eq)]
enum Variable {
    Name,
    Type,
    ClientIp,
    ClientPort,
    ServerIp,
    ServerPort,
    Protocol,
    Label(String),
}

impl EdnsRule {
    /// Reads the words behind `edns0`.
    pub(crate) fn parse<'a>(args: &[&'a str]) -> Result<Self, Fault<'a>> {
        let [kind, action_word, rest @ ..] = args else {
            return Err(Fault::new("too few arguments for an EDNS0 rule"));
        };
        let name = kind.to_lowercase();
        let action_name = action_word.to_lowercase();
        let action = match action_name.as_str() {
            "append" => Action::Append,
            "replace" => Action::Replace,
            "set" => Action::Set,
            "unset" => return Self::parse_unset(kind, rest),
            _ => return Err(Fault::at(action_word, format!("invalid action: {}", quote(&action_name))).known(&ACTIONS)),
        };
        let (rest, reverts) = match rest {
            [rest @ .., "revert"] => (rest, true),
            _ => (rest, false),
        };
        let option = match (name.as_str(), rest) {
            ("local", [code, data]) => local(code, data)?,
            ("local", _) => return Err(Fault::new("EDNS0 local rules require three or four args")),
            ("nsid", []) => Kind::Nsid,
            ("nsid", _) => return Err(Fault::new("EDNS0 NSID rules can accept no more than one arg")),
            ("subnet", [v4, v6]) => Kind::Subnet { v4_bits: bits(v4, 4, 32)?, v6_bits: bits(v6, 6, 128)? },
            ("subnet", _) => return Err(Fault::new("EDNS0 subnet rules require three or four args")),
            _ => return Err(Fault::at(kind, format!("invalid rule type {}", quote(&name))).known(&TYPES)),
        };
        Ok(Self { action, option, reverts })
    }

    fn parse_unset<'a>(kind: &'a str, rest: &[&'a str]) -> Result<Self, Fault<'a>> {
        let name = kind.to_lowercase();
        let option = match (name.as_str(), rest) {
            ("local", [code]) => Kind::Local(option_code(code)?, Data::Octets(Vec::new())),
            ("local", _) => return Err(Fault::new("local unset action requires exactly two arguments")),
            ("nsid", []) => Kind::Nsid,
            ("nsid", _) => return Err(Fault::new("nsid unset action requires exactly one argument")),
            ("subnet", []) => Kind::Subnet { v4_bits: 0, v6_bits: 0 },
            ("subnet", _) => return Err(Fault::new("subnet unset action requires exactly one argument")),
            _ => return Err(Fault::at(kind, format!("invalid rule type {}", quote(&name))).known(&TYPES)),
        };
        Ok(Self { action: Action::Unset, option, reverts: false })
    }

    /// The code of a local option, which from then on comes back in replies.
    pub(crate) fn local_code(&self) -> Option<u16> {
        if let Kind::Local(code, _) = self.option { Some(code) } else { None }
    }

    /// The label whose value the option gets.
    pub(crate) fn label(&self) -> Option<&str> {
        match &self.option {
            Kind::Local(_, Data::Variable(Variable::Label(label))) => Some(label),
            _ => None,
        }
    }

    /// Changes the query's options, and leaves a step for the way back if the rule says so; whether the rule matched.
    pub(crate) fn apply(&self, q: &mut Query, steps: &mut Vec<Back>) -> bool {
        let code = self.code();
        if self.action == Action::Unset {
            let options = &mut opt(q).options;
            while has(options, code) {
                replace_option(options, code, 0, None);
            }
            return true;
        }
        // CoreDNS: plugin/rewrite. Without a value there is no rule, and no OPT record is made.
        let Some(data) = self.data(q).map(Cow::into_owned) else { return false };
        let options = &mut opt(q).options;
        let before = edns_options(options).find(|(known, _)| *known == code).map(|(_, data)| data.to_vec());
        if options.len() + 4 + data.len() > OPTIONS_OCTETS_MAX {
            return false;
        }
        match (self.action, before) {
            (Action::Set | Action::Replace, Some(before)) => {
                replace_option(options, code, 0, Some(&data));
                steps.extend(self.reverts.then_some(Back::RestoreOption(code, before)));
            }
            (Action::Replace, None) => return false,
            (_, Some(_)) if self.is_made_of_the_query() => return false,
            _ => {
                push_option(options, code, &data);
                steps.extend(self.reverts.then_some(Back::DropOption(code)));
            }
        }
        true
    }

    fn code(&self) -> u16 {
        match self.option {
            Kind::Local(code, _) => code,
            Kind::Nsid => OPTION_NSID,
            Kind::Subnet { .. } => OPTION_SUBNET,
        }
    }

    /// `append` of such an option does nothing if it is there. CoreDNS: plugin/rewrite.
    fn is_made_of_the_query(&self) -> bool {
        matches!(self.option, Kind::Local(_, Data::Variable(_)) | Kind::Subnet { .. })
    }

    fn data<'a>(&'a self, q: &'a Query) -> Option<Cow<'a, [u8]>> {
        match &self.option {
            Kind::Local(_, Data::Octets(octets)) => Some(octets.into()),
            Kind::Local(_, Data::Variable(variable)) => variable.value(q),
            Kind::Nsid => Some(Cow::Borrowed(&[])),
            Kind::Subnet { v4_bits, v6_bits } => {
                Some(subnet(q.client().ip().to_canonical(), *v4_bits, *v6_bits).into())
            }
        }
    }
}

/// The query's OPT record, a new one if there is none.
fn opt(q: &mut Query) -> &mut Edns {
    q.edns_mut().get_or_insert_with(|| Edns { udp_size: UDP_SIZE, ..Edns::default() })
}

fn has(options: &[u8], code: u16) -> bool {
    edns_options(options).any(|(known, _)| known == code)
}

/// The client's network as an option says it (RFC 7871 section 6): the address cut to so many bits, no octets behind them.
fn subnet(client: IpAddr, v4_bits: u8, v6_bits: u8) -> Vec<u8> {
    let (family, bits, mut octets) = match client {
        IpAddr::V4(v4) => (1, v4_bits, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6_bits, v6.octets().to_vec()),
    };
    octets.truncate(usize::from(bits).div_ceil(8));
    if let Some(last) = octets.last_mut()
        && bits % 8 != 0
    {
        *last &= 0xff << (8 - bits % 8);
    }
    [&[0, family, bits, 0][..], &octets].concat()
}

impl Variable {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "qname" => Self::Name,
            "qtype" => Self::Type,
            "client_ip" => Self::ClientIp,
            "client_port" => Self::ClientPort,
            "server_ip" => Self::ServerIp,
            "server_port" => Self::ServerPort,
            "protocol" => Self::Protocol,
            label if is_label(label) => Self::Label(label.to_owned()),
            _ => return None,
        })
    }

    fn value<'a>(&self, q: &'a Query) -> Option<Cow<'a, [u8]>> {
        Some(match self {
            Self::Name => text(q.name()).into_bytes().into(),
            Self::Type => q.qtype().to_int().to_be_bytes().to_vec().into(),
            Self::ClientIp => address(q.client().ip())?.into(),
            Self::ClientPort => q.client().port().to_be_bytes().to_vec().into(),
            Self::ServerIp => address(q.local().ip())?.into(),
            Self::ServerPort => q.local().port().to_be_bytes().to_vec().into(),
            Self::Protocol => q.protocol().as_str().as_bytes().into(),
            Self::Label(label) => match q.label(label)? {
                Cow::Borrowed(value) => value.as_bytes().into(),
                Cow::Owned(value) => value.into_bytes().into(),
            },
        })
        .filter(|value: &Cow<'_, [u8]>| !value.is_empty())
    }
}

/// The octets of an address; `None` for one that is not known.
fn address(ip: IpAddr) -> Option<Vec<u8>> {
    match ip.to_canonical() {
        ip if ip.is_unspecified() => None,
        IpAddr::V4(v4) => Some(v4.octets().to_vec()),
        IpAddr::V6(v6) => Some(v6.octets().to_vec()),
    }
}

fn option_code(word: &str) -> Result<u16, Fault<'_>> {
    let number = parse_uint(word, 0, 16).map_err(|error| Fault::at(word, error.to_string()))?;
    // It has 16 bits.
    Ok(number as u16)
}

fn bits<'a>(word: &'a str, version: u8, most: u8) -> Result<u8, Fault<'a>> {
    let number = parse_uint(word, 0, 16).map_err(|error| Fault::at(word, error.to_string()))?;
    let fits = u8::try_from(number).ok().filter(|bits| *bits <= most);
    fits.ok_or_else(|| Fault::at(word, format!("invalid IPv{version} bit mask length {number}")))
}

fn local<'a>(code_word: &'a str, data_word: &'a str) -> Result<Kind, Fault<'a>> {
    let code = option_code(code_word)?;
    if let Some(variable) = data_word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let unknown = || Fault::at(data_word, format!("unsupported variable name {}", quote(data_word)));
        return Ok(Kind::Local(code, Data::Variable(Variable::parse(variable).ok_or_else(unknown)?)));
    }
    let data = match data_word.strip_prefix("0x") {
        Some(digits) => hex(digits).map_err(|text| Fault::at(data_word, text))?,
        None => data_word.as_bytes().to_vec(),
    };
    if data.len() > DATA_OCTETS_MAX {
        return Err(Fault::at(data_word, format!("option data too long: {} > {DATA_OCTETS_MAX}", data.len())));
    }
    Ok(Kind::Local(code, Data::Octets(data)))
}

/// Reads hexadecimal digits, two for an octet. The errors are those of Go's `encoding/hex`.
fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let value = |digit: u8| {
        let number = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        number.ok_or_else(|| match digit {
            0x20..0x7f => format!("encoding/hex: invalid byte: U+{digit:04X} '{}'", char::from(digit)),
            0xa1..=0xac | 0xae..=0xff => format!("encoding/hex: invalid byte: U+{digit:04X} '{}'", char::from(digit)),
            _ => format!("encoding/hex: invalid byte: U+{digit:04X}"),
        })
    };
    let mut octets = Vec::with_capacity(digits.len() / 2);
    for pair in digits.as_bytes().chunks(2) {
        let high = value(pair[0])?;
        let Some(low) = pair.get(1) else { return Err("encoding/hex: odd length hex string".to_owned()) };
        octets.push(high << 4 | value(*low)?);
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_network_has_no_octets_behind_its_bits() {
        let of = |ip: &str, v4, v6| subnet(ip.parse().unwrap(), v4, v6);
        assert_eq!(of("192.0.2.255", 24, 0), [0, 1, 24, 0, 192, 0, 2]);
        assert_eq!(of("192.0.2.255", 28, 0), [0, 1, 28, 0, 192, 0, 2, 0xf0]);
        assert_eq!(of("192.0.2.255", 0, 0), [0, 1, 0, 0]);
        assert_eq!(of("2001:db8:ff::1", 0, 33), [0, 2, 33, 0, 0x20, 0x01, 0x0d, 0xb8, 0]);
    }

    #[test]
    fn hexadecimal_digits_are_read_and_faults_told_as_go_does() {
        assert_eq!(hex("00fFa1"), Ok(vec![0, 0xff, 0xa1]));
        for (digits, told) in [
            ("0g", "invalid byte: U+0067 'g'"),
            ("zz", "invalid byte: U+007A 'z'"),
            ("abc", "odd length hex string"),
            ("abx", "invalid byte: U+0078 'x'"),
            ("é", "invalid byte: U+00C3 'Ã'"),
        ] {
            assert_eq!(hex(digits), Err(format!("encoding/hex: {told}")));
        }
    }
}
