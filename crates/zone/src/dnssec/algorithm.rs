//! The algorithms that keys sign with.

/// An algorithm (IANA: DNS Security Algorithm Numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA with SHA-256 (RFC 5702).
    RsaSha256,
    /// RSA with SHA-512 (RFC 5702).
    RsaSha512,
    /// ECDSA over P-256 with SHA-256 (RFC 6605).
    EcdsaP256,
    /// ECDSA over P-384 with SHA-384 (RFC 6605).
    EcdsaP384,
    /// Ed25519 (RFC 8080).
    Ed25519,
}

impl Algorithm {
    /// All that there are.
    pub const ALL: [Self; 5] = [Self::RsaSha256, Self::RsaSha512, Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519];

    /// The algorithm of a number; `None` for those that nothing is signed with here.
    #[must_use]
    pub fn from_int(number: u8) -> Option<Self> {
        Some(match number {
            8 => Self::RsaSha256,
            10 => Self::RsaSha512,
            13 => Self::EcdsaP256,
            14 => Self::EcdsaP384,
            15 => Self::Ed25519,
            _ => return None,
        })
    }

    /// The number of the algorithm.
    #[must_use]
    pub fn to_int(self) -> u8 {
        match self {
            Self::RsaSha256 => 8,
            Self::RsaSha512 => 10,
            Self::EcdsaP256 => 13,
            Self::EcdsaP384 => 14,
            Self::Ed25519 => 15,
        }
    }

    /// The mnemonic, such as `ECDSAP256SHA256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "RSASHA256",
            Self::RsaSha512 => "RSASHA512",
            Self::EcdsaP256 => "ECDSAP256SHA256",
            Self::EcdsaP384 => "ECDSAP384SHA384",
            Self::Ed25519 => "ED25519",
        }
    }

    /// The algorithm of a mnemonic, of any case, or of a number.
    #[must_use]
    pub fn from_name(word: &str) -> Option<Self> {
        let numbered = word.parse().ok().and_then(Self::from_int);
        numbered.or_else(|| Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(word)))
    }

    /// Whether a signature takes longer than what a worker may spend on a query without letting others run (about 50 µs): RSA and P-384.
    #[must_use]
    pub fn is_slow(self) -> bool {
        matches!(self, Self::RsaSha256 | Self::RsaSha512 | Self::EcdsaP384)
    }
}

/// The mnemonic of an algorithm number, or the number.
pub(super) fn mnemonic(number: u8) -> String {
    if let Some(algorithm) = Algorithm::from_int(number) {
        return algorithm.name().to_owned();
    }
    let known = match number {
        1 => "RSAMD5",
        3 => "DSA",
        5 => "RSASHA1",
        6 => "DSA-NSEC3-SHA1",
        7 => "RSASHA1-NSEC3-SHA1",
        12 => "ECC-GOST",
        16 => "ED448",
        _ => return number.to_string(),
    };
    known.to_owned()
}
