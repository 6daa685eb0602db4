//! Writes small MaxMind databases (MaxMind DB File Format Specification 2.0).

use std::net::{IpAddr, Ipv6Addr};

/// A value of a record.
pub(crate) enum Field {
    Text(&'static str),
    Number(u32),
    Short(u16),
    Long(u64),
    Degrees(f64),
    Truth(bool),
    Map(Vec<(&'static str, Self)>),
    List(Vec<Self>),
}

impl Field {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                control(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Degrees(degrees) => {
                control(3, 8, out);
                out.extend_from_slice(&degrees.to_be_bytes());
            }
            Self::Number(number) => {
                control(6, 4, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Short(number) => {
                control(5, 2, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Long(number) => {
                control(9, 8, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Map(fields) => {
                control(7, fields.len(), out);
                for (name, field) in fields {
                    Self::Text(name).write(out);
                    field.write(out);
                }
            }
            Self::List(fields) => {
                control(11, fields.len(), out);
                fields.iter().for_each(|field| field.write(out));
            }
            Self::Truth(truth) => control(14, usize::from(*truth), out),
        }
    }
}

/// A control octet, that of an extended type, and the rest of a size.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, rest) = if size < 29 { (size, None) } else { (29, Some(u8::try_from(size - 29).unwrap())) };
    let short = u8::try_from(short).unwrap();
    if kind <= 7 {
        out.push(kind << 5 | short);
    } else {
        out.extend_from_slice(&[short, kind - 7]);
    }
    out.extend(rest);
}

/// A database of IPv6 networks; IPv4 networks are those below `::/96`.
pub(crate) fn database(kind: &'static str, networks: &[(&str, Field)]) -> Vec<u8> {
    // Each node has two records: the number of a node, or the number of a network above, or nothing.
    let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None, None]];
    let mut data = Vec::new();
    for (network, field) in networks {
        let (ip, length) = network.split_once('/').unwrap();
        let (bits, length) = match ip.parse().unwrap() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), length.parse::<usize>().unwrap() + 96),
            IpAddr::V6(v6) => (Ipv6Addr::to_bits(v6), length.parse().unwrap()),
        };
        let bit = |at: usize| (bits >> (127 - at) & 1) as usize;
        let mut node = 0;
        for at in 0..length - 1 {
            node = match nodes[node][bit(at)] {
                Some(Ok(next)) => next,
                _ => {
                    nodes.push([None, None]);
                    let next = nodes.len() - 1;
                    nodes[node][bit(at)] = Some(Ok(next));
                    next
                }
            };
        }
        nodes[node][bit(length - 1)] = Some(Err(data.len()));
        field.write(&mut data);
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for record in nodes.into_iter().flatten() {
        let number = match record {
            None => count,
            Some(Ok(node)) => node,
            Some(Err(offset)) => count + 16 + offset,
        };
        out.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
    }
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&data);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    Field::Map(vec![
        ("binary_format_major_version", Field::Short(2)),
        ("binary_format_minor_version", Field::Short(0)),
        ("build_epoch", Field::Long(1_700_000_000)),
        ("database_type", Field::Text(kind)),
        ("description", Field::Map(Vec::new())),
        ("ip_version", Field::Short(6)),
        ("languages", Field::List(vec![Field::Text("en")])),
        ("node_count", Field::Number(u32::try_from(count).unwrap())),
        ("record_size", Field::Short(32)),
    ])
    .write(&mut out);
    out
}
