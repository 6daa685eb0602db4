//! Names of numbers.

use super::super::time::number;

/// Names and their numbers.
pub(crate) type Codes = [(&'static str, u16)];

/// DNSSEC algorithms: the IANA registry's names, and BIND's where they differ.
pub(crate) const ALGORITHMS: &Codes = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3DSA", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECCGOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Digests of DS records.
pub(crate) const DIGESTS: &Codes =
    &[("SHA-1", 1), ("SHA1", 1), ("SHA-256", 2), ("SHA256", 2), ("GOST", 3), ("SHA-384", 4), ("SHA384", 4)];

/// Kinds of certificates (RFC 4398 section 2.1).
pub(crate) const CERTIFICATES: &Codes = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// Protocols of KEY records (RFC 2535 section 3.1.3).
pub(crate) const KEY_PROTOCOLS: &Codes =
    &[("NONE", 0), ("TLS", 1), ("EMAIL", 2), ("DNSSEC", 3), ("IPSEC", 4), ("ALL", 255)];

/// Schemes of DSYNC records (RFC 9859 section 2.1).
pub(crate) const SCHEMES: &Codes = &[("NOTIFY", 1)];

/// Protocols of WKS records.
pub(crate) const PROTOCOLS: &Codes = &[("ICMP", 1), ("TCP", 6), ("UDP", 17)];

/// Services of WKS records: those that the files of its time name.
pub(crate) const SERVICES: &Codes = &[
    ("ECHO", 7),
    ("DISCARD", 9),
    ("SYSTAT", 11),
    ("DAYTIME", 13),
    ("NETSTAT", 15),
    ("CHARGEN", 19),
    ("FTP-DATA", 20),
    ("FTP", 21),
    ("SSH", 22),
    ("TELNET", 23),
    ("SMTP", 25),
    ("TIME", 37),
    ("NAMESERVER", 42),
    ("WHOIS", 43),
    ("DOMAIN", 53),
    ("BOOTPS", 67),
    ("BOOTPC", 68),
    ("TFTP", 69),
    ("GOPHER", 70),
    ("FINGER", 79),
    ("HTTP", 80),
    ("KERBEROS", 88),
    ("HOSTNAMES", 101),
    ("POP2", 109),
    ("POP3", 110),
    ("SUNRPC", 111),
    ("AUTH", 113),
    ("NNTP", 119),
    ("NTP", 123),
    ("IMAP2", 143),
    ("IMAP", 143),
    ("SNMP", 161),
    ("IRC", 194),
    ("LDAP", 389),
    ("HTTPS", 443),
];

/// Reads a number up to `max` or a name of any case.
pub(crate) fn read(codes: &Codes, text: &[u8], max: u16) -> Option<u16> {
    if text.first()?.is_ascii_digit() {
        return u16::try_from(number(text, max.into())?).ok();
    }
    codes.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(text)).map(|(_, code)| *code)
}
