//! What the OPT record of a query says.

/// The OPT record of a query (RFC 6891 section 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// The size that the client takes over UDP, octets; plugins may lower it.
    pub udp_size: u16,
    /// The EDNS version; only 0 exists.
    pub version: u8,
    /// The flags: DO is the highest bit.
    pub flags: u16,
    /// Options in wire form: code, length, data, one after the other.
    pub options: Vec<u8>,
}

impl Edns {
    /// DNSSEC OK (RFC 3225).
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The options as code and data; stops at a broken one.
    pub fn options(&self) -> impl Iterator<Item = (u16, &[u8])> {
        edns_options(&self.options)
    }
}

/// Reads options in wire form as code and data; stops at a broken one.
pub fn edns_options(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at_checked(4)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (data, after) = tail.split_at_checked(len)?;
        rest = after;
        Some((u16::from_be_bytes([head[0], head[1]]), data))
    })
}
