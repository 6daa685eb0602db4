//! Domain names of questions and zones: inline storage, label boundaries, suffix tests without allocation.

use std::fmt;
use std::net::IpAddr;

use domain::base::Name;
use domain::dep::octseq::array::Array;

/// The longest domain name on the wire, in octets (RFC 1035 section 2.3.4).
pub const NAME_OCTETS_MAX: usize = 255;
/// The most labels a name of 255 octets can have, the root's not counted.
pub const LABELS_MAX: usize = 127;

/// A name that lives inside the query, without a heap allocation.
pub type InlineName = Name<Array<NAME_OCTETS_MAX>>;
/// A name that owns its octets on the heap.
pub type OwnedName = Name<Vec<u8>>;

/// Where each label of a name starts, so that any suffix is one slice.
#[derive(Clone, Copy, Debug)]
pub struct LabelStarts {
    starts: [u8; LABELS_MAX + 1],
    count: u8,
}

impl LabelStarts {
    /// Finds the labels of `wire`, an uncompressed name with its root octet. A broken name has the labels before the fault.
    #[must_use]
    pub fn of(wire: &[u8]) -> Self {
        let mut found = Self { starts: [0; LABELS_MAX + 1], count: 0 };
        found.find(wire);
        found
    }

    /// Finds the labels of the uncompressed name at the beginning of `octets` and returns its length; `None` if it does not end there
    /// with its root octet, or has more labels than a name can have.
    pub(crate) fn find(&mut self, octets: &[u8]) -> Option<usize> {
        self.count = 0;
        let mut at = 0usize;
        loop {
            let len = *octets.get(at)?;
            // A name that long is none; its labels so far are.
            let start = u8::try_from(at).ok()?;
            *self.starts.get_mut(usize::from(self.count))? = start;
            match len {
                0 => return Some(at + 1),
                1..=63 if usize::from(self.count) < LABELS_MAX => self.count += 1,
                _ => return None,
            }
            at += 1 + usize::from(len);
        }
    }

    /// How many labels the name has, the root not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The offset at which the last `labels` labels start; `None` if the name has fewer.
    #[must_use]
    pub fn suffix_start(&self, labels: usize) -> Option<usize> {
        let skip = self.count().checked_sub(labels)?;
        Some(usize::from(self.starts[skip]))
    }
}

/// Copies a name into inline storage.
#[must_use]
pub fn inline(name: &Name<[u8]>) -> InlineName {
    inline_from_wire(name.as_slice()).unwrap_or_else(root)
}

/// Reads an uncompressed name with its root octet; `None` if it is none.
#[must_use]
pub fn inline_from_wire(wire: &[u8]) -> Option<InlineName> {
    Name::from_octets(Array::try_from(wire).ok()?).ok()
}

/// The root name.
#[must_use]
#[allow(clippy::expect_used)]
pub fn root() -> InlineName {
    inline_from_wire(&[0]).expect("one zero octet is the root name")
}

/// Reads a name in presentation form, relative or absolute, into an owned absolute one; `None` if it is not a name.
#[must_use]
pub fn owned(text: &str) -> Option<OwnedName> {
    if text.is_empty() {
        return None;
    }
    if text == "." {
        return Some(Name::root_vec());
    }
    if text.is_ascii() { Name::vec_from_str(text).ok() } else { Name::vec_from_str(&escaped(text)).ok() }
}

/// The text with octets outside ASCII as `\DDD`: a name may hold any octet (RFC 2181 section 11).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for char in text.chars() {
        if char.is_ascii() {
            escaped.push(char);
            continue;
        }
        for octet in char.encode_utf8(&mut [0; 4]).bytes() {
            escaped.push_str(&format!("\\{octet:03}"));
        }
    }
    escaped
}

/// The presentation form with its final dot, as CoreDNS prints names: what means something in a zone file is escaped (RFC 1035
/// section 5.1), so that the text can be read again wherever it is put.
#[must_use]
pub fn text(name: &Name<[u8]>) -> String {
    let mut text = String::with_capacity(name.len());
    for label in name.iter().filter(|label| !label.is_root()) {
        for &octet in label.as_slice() {
            match octet {
                b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
                    text.extend(['\\', char::from(octet)])
                }
                0x21..0x7f => text.push(char::from(octet)),
                _ => text.push_str(&format!("\\{octet:03}")),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// The lower-case presentation form with its final dot, see [`text`].
#[must_use]
pub fn lower_text(name: &Name<[u8]>) -> String {
    let mut text = text(name);
    text.make_ascii_lowercase();
    text
}

/// Puts a whole name into lower case.
pub fn make_lower(wire: &mut [u8]) {
    // Length octets are below 64, so no letter hides among them.
    wire.make_ascii_lowercase();
}

/// The address that a reverse name spells (RFC 1035 section 3.5, RFC 3596 section 2.5), of any case; `None` if it is not the name of a
/// whole address. An IPv4-mapped address is the IPv4 address.
#[must_use]
pub fn reverse_address(name: &Name<[u8]>) -> Option<IpAddr> {
    let mut labels = name.iter().map(|label| label.as_slice());
    let mut next = || labels.next();
    let is = |label: &[u8], word: &str| label.eq_ignore_ascii_case(word.as_bytes());
    match name.label_count() {
        7 => {
            let mut octets = [0; 4];
            for octet in octets.iter_mut().rev() {
                *octet = decimal(next()?)?;
            }
            (is(next()?, "in-addr") && is(next()?, "arpa")).then(|| octets.into())
        }
        35 => {
            let mut bits = 0_u128;
            for place in 0..32 {
                let [digit] = next()? else { return None };
                bits |= u128::from(char::from(*digit).to_digit(16)?) << (4 * place);
            }
            (is(next()?, "ip6") && is(next()?, "arpa")).then(|| IpAddr::V6(bits.into()).to_canonical())
        }
        _ => None,
    }
}

/// A number of 8 bits without leading zeros.
fn decimal(label: &[u8]) -> Option<u8> {
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || label.first() != Some(&b'0'));
    std::str::from_utf8(label).ok().filter(|_| plain)?.parse().ok()
}

/// A zone: a lower-case name, ready to be compared with the end of a question's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Zone {
    name: OwnedName,
    text: String,
    labels: usize,
}

impl Zone {
    /// Reads a zone in presentation form; the case is lost, a final dot is added. `None` if it is not a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        owned(text).map(Self::from)
    }

    /// The root zone.
    #[must_use]
    pub fn root() -> Self {
        Self::from(Name::root_vec())
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &OwnedName {
        &self.name
    }

    /// The octets of the name on the wire, in lower case.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        self.name.as_slice()
    }

    /// The presentation form, in lower case, with its final dot.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many labels the zone has, the root not counted.
    #[must_use]
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Whether it is in `in-addr.arpa.` or `ip6.arpa.`.
    #[must_use]
    pub fn is_reverse(&self) -> bool {
        self.text.ends_with(".in-addr.arpa.")
            || self.text.ends_with(".ip6.arpa.")
            || self.text == "in-addr.arpa."
            || self.text == "ip6.arpa."
    }

    /// Whether a lower-case name, given with its label starts, is this zone or below it.
    #[must_use]
    pub fn holds(&self, lower: &[u8], labels: &LabelStarts) -> bool {
        labels.suffix_start(self.labels).is_some_and(|start| lower.get(start..) == Some(self.wire()))
    }

    /// Whether a name of any case is this zone or below it. For paths where no label starts are at hand.
    #[must_use]
    pub fn holds_name(&self, name: &Name<[u8]>) -> bool {
        name.ends_with(&self.name)
    }
}

impl From<OwnedName> for Zone {
    fn from(mut name: OwnedName) -> Self {
        name.make_canonical();
        let text = name.fmt_with_dot().to_string();
        let labels = name.label_count().saturating_sub(1);
        Self { name, text, labels }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A list of zones, of which the longest match counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones(Vec<Zone>);

impl Zones {
    /// Only the root zone: every name matches.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![Zone::root()])
    }

    /// Reads zone arguments as CoreDNS's plugins do: scheme and port are dropped, CIDR becomes reverse zones, what is no name is
    /// left out silently.
    pub fn from_args<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let texts = args.into_iter().flat_map(catena_corefile::zones_from_arg);
        Self(texts.filter_map(|text| Zone::parse(&text)).collect())
    }

    /// The zones of the arguments, or those of the server block where there are no arguments.
    #[must_use]
    pub fn from_args_or_block(args: &[&str], block: &Self) -> Self {
        if args.is_empty() { block.clone() } else { Self::from_args(args.iter().copied()) }
    }

    /// The longest zone that holds the lower-case name, if any.
    #[must_use]
    pub fn longest(&self, lower: &[u8], labels: &LabelStarts) -> Option<&Zone> {
        self.0.iter().filter(|zone| zone.holds(lower, labels)).max_by_key(|zone| zone.labels)
    }

    /// The longest zone that holds a name of any case, if any.
    #[must_use]
    pub fn longest_for(&self, name: &Name<[u8]>) -> Option<&Zone> {
        self.0.iter().filter(|zone| zone.holds_name(name)).max_by_key(|zone| zone.labels)
    }

    /// The zones, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Zone> + '_ {
        self.0.iter()
    }

    /// How many zones there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no zone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The zones joined with commas, as metric labels hold them.
    #[must_use]
    pub fn joined(&self) -> String {
        self.0.iter().map(Zone::text).collect::<Vec<_>>().join(",")
    }
}

impl FromIterator<Zone> for Zones {
    fn from_iter<I: IntoIterator<Item = Zone>>(zones: I) -> Self {
        Self(zones.into_iter().collect())
    }
}

/// The `fallthrough [ZONES...]` property: for which names the next plugin is asked when this one has nothing.
#[derive(Clone, Debug, Default)]
pub struct Fallthrough(Zones);

impl Fallthrough {
    /// Reads the arguments of `fallthrough`; none means every name. CoreDNS: a second `fallthrough` replaces the first.
    #[must_use]
    pub fn from_args(args: &[&str]) -> Self {
        if args.is_empty() { Self(Zones::everything()) } else { Self(Zones::from_args(args.iter().copied())) }
    }

    /// Whether the question's name falls through.
    #[must_use]
    pub fn covers(&self, question: &crate::Question) -> bool {
        self.0.longest(question.lower().as_slice(), question.labels()).is_some()
    }

    /// Whether the property was not given (or held no zone).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn holds(zone: &str, name: &str) -> bool {
        let name = owned(name).unwrap();
        Zone::parse(zone).unwrap().holds(name.as_slice(), &LabelStarts::of(name.as_slice()))
    }

    #[test]
    fn a_name_may_hold_octets_outside_ascii() {
        assert_eq!(owned("\u{fc}n.org").unwrap().as_slice(), b"\x03\xc3\xbcn\x03org\0");
        assert!(holds("\u{fc}n.org", "a.\\195\\188n.org"));
    }

    #[test]
    fn a_zone_holds_itself_and_what_is_below() {
        assert!(holds("example.org", "example.org."));
        assert!(holds("Example.ORG", "a.b.example.org."));
        assert!(holds(".", "a.b.example.org."));
        assert!(holds(".", "."));
    }

    #[test]
    fn a_zone_does_not_hold_a_name_that_only_ends_in_the_same_letters() {
        assert!(!holds("example.org", "badexample.org."));
        assert!(!holds("example.org", "org."));
    }

    #[test]
    fn the_longest_zone_wins_whatever_the_order() {
        let zones = Zones::from_args(["org", "a.example.org", "example.org"]);
        let name = owned("x.a.example.org").unwrap();
        assert_eq!(zones.longest_for(name.for_slice()).unwrap().text(), "a.example.org.");
    }

    #[test]
    fn a_name_of_127_labels_has_all_its_suffixes() {
        let text = "a.".repeat(LABELS_MAX);
        let name = owned(&text).unwrap();
        let labels = LabelStarts::of(name.as_slice());
        assert_eq!(labels.count(), LABELS_MAX);
        assert_eq!(labels.suffix_start(LABELS_MAX), Some(0));
        assert_eq!(labels.suffix_start(0), Some(NAME_OCTETS_MAX - 1));
        assert_eq!(labels.suffix_start(LABELS_MAX + 1), None);
    }

    #[test]
    fn what_means_something_in_a_zone_file_is_escaped_in_the_text_of_a_name() {
        let name = Name::from_octets(b"\x09A;b\"(c)\\\x07\x04a.b \x00".as_slice()).unwrap();
        assert_eq!(text(name.for_slice()), "A\\;b\\\"\\(c\\)\\\\\\007.a\\.b\\ .");
        assert_eq!(lower_text(name.for_slice()).chars().next(), Some('a'));
        assert_eq!(text(root().for_slice()), ".");
    }

    #[test]
    fn a_reverse_name_of_a_whole_address_spells_it() {
        let read = |text: &str| reverse_address(owned(text).unwrap().for_slice()).map(|ip| ip.to_string());
        let v6 = format!("7{}.8.B.d.0.1.0.0.2.ip6.ARPA", ".0".repeat(23));
        assert_eq!(read("1.0.96.10.IN-ADDR.arpa").as_deref(), Some("10.96.0.1"));
        assert_eq!(read(&v6).as_deref(), Some("2001:db8::7"));
        for none in ["96.10.in-addr.arpa", "01.0.96.10.in-addr.arpa", "256.0.96.10.in-addr.arpa", "1.0.96.10.ip6.arpa"]
        {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read(&v6.replace("7.0", "g.0")), None);
    }

    #[test]
    fn the_root_has_no_labels() {
        assert_eq!(LabelStarts::of(&[0]).count(), 0);
        assert_eq!(root().as_slice(), &[0]);
    }
}
