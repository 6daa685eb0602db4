//! Zones of a few lines, and answers as lines.

use catena_core::{Answer, Class, LabelStarts, OwnedName, RecordRef, Rtype, Section};

use super::super::{Asked, Builder, Found, Outcome, Taken, Zone, chase_target};

/// A name in wire form; what does not end in a dot is below `example.org.`, `@` is that.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    let full = match text {
        "@" => "example.org.".to_owned(),
        _ if text.ends_with('.') => text.to_owned(),
        _ => format!("{text}.example.org."),
    };
    catena_core::name::owned(&full).expect("a name").as_slice().to_vec()
}

fn text(wire: &[u8]) -> String {
    let name = OwnedName::from_octets(wire.to_vec()).unwrap();
    let text = catena_core::name::text(name.for_slice());
    match text.strip_suffix("example.org.") {
        Some("") => "@".to_owned(),
        Some(prefix) => prefix.trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// Rdata from words: names and numbers where the type has them, else the letters of the words.
fn rdata(rtype: Rtype, words: &[&str]) -> Vec<u8> {
    let number = |word: &str| word.parse::<u16>().unwrap().to_be_bytes();
    match rtype {
        Rtype::A => words[0].parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
        Rtype::AAAA => words[0].parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(),
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | Rtype::PTR => wire(words[0]),
        Rtype::MX | Rtype::SVCB | Rtype::HTTPS => [&number(words[0])[..], &wire(words[1])].concat(),
        Rtype::SRV => [&number(words[0])[..], &number("0"), &number(words[1]), &wire(words[2])].concat(),
        Rtype::NSEC => wire(words[0]),
        Rtype::SOA => {
            let serial = words.get(2).map_or(1u32, |serial| serial.parse().unwrap());
            [&wire(words[0])[..], &wire(words[1]), &serial.to_be_bytes(), &[0; 16]].concat()
        }
        // A signature: the type covered, seventeen octets that do not matter here, the signer.
        Rtype::RRSIG => {
            let covered: Rtype = words[0].parse().unwrap();
            [&covered.to_int().to_be_bytes()[..], &[0; 16], &wire("@")].concat()
        }
        Rtype::DS => vec![1, 2, 3, 4],
        Rtype::NSEC3PARAM => vec![1, 0, 0, 0, 0],
        _ => [&[words[0].len() as u8], words[0].as_bytes()].concat(),
    }
}

/// One record of the form `owner [ttl] TYPE rdata`.
pub(crate) fn record(line: &str) -> (Vec<u8>, u32, Rtype, Vec<u8>) {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let owner = wire(words.remove(0));
    let ttl = words[0].parse().ok();
    if ttl.is_some() {
        words.remove(0);
    }
    let rtype: Rtype = words.remove(0).parse().unwrap();
    (owner, ttl.unwrap_or(60), rtype, rdata(rtype, &words))
}

pub(crate) fn push(builder: &mut Builder, line: &str) -> Taken {
    let (owner, ttl, rtype, rdata) = record(line);
    builder.push(RecordRef { owner: &owner, rtype, class: Class::IN, ttl, rdata: &rdata }).unwrap()
}

/// A zone `example.org.` with an SOA and an NS record and these.
pub(crate) fn zone(lines: &str) -> Zone {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, "@ SOA ns admin 42");
    push(&mut builder, "@ NS ns");
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        push(&mut builder, line);
    }
    builder.finish().unwrap()
}

fn rdata_text(rtype: Rtype, rdata: &[u8]) -> String {
    match rtype {
        Rtype::A => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(rdata).unwrap()).to_string(),
        Rtype::AAAA => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(rdata).unwrap()).to_string(),
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | Rtype::PTR | Rtype::NSEC => text(rdata),
        Rtype::MX | Rtype::SVCB | Rtype::HTTPS => text(&rdata[2..]),
        Rtype::SRV => text(&rdata[6..]),
        Rtype::RRSIG => Rtype::from_int(u16::from_be_bytes([rdata[0], rdata[1]])).to_string(),
        Rtype::TXT => String::from_utf8_lossy(&rdata[1..]).into_owned(),
        _ => String::new(),
    }
}

pub(crate) fn record_text(record: RecordRef<'_>) -> String {
    format!("{} {} {}", text(record.owner), record.rtype, rdata_text(record.rtype, record.rdata)).trim_end().to_owned()
}

fn lines(answer: &Answer, section: Section, mark: char) -> Vec<String> {
    let of = |record: catena_core::Record<'_>| {
        let record = RecordRef {
            owner: record.owner_wire(),
            rtype: record.rtype(),
            class: record.class(),
            ttl: record.ttl(),
            rdata: record.rdata(),
        };
        format!("{mark} {}", record_text(record))
    };
    answer.records(section).map(of).collect()
}

pub(crate) fn look_up<'z>(zone: &'z Zone, name: &str, qtype: Rtype, dnssec_ok: bool) -> (Found<'z>, Answer) {
    let lower = wire(name).to_ascii_lowercase();
    let mut answer = Answer::default();
    let labels = &LabelStarts::of(&lower);
    let asked = Asked { lower: &lower, labels, qtype, dnssec_ok, chase_missing: false };
    let found = zone.lookup(&asked, &mut answer);
    (found, answer)
}

/// The outcome and the records as lines: `=` answer, `~` authority, `+` additional.
pub(crate) fn ask(zone: &Zone, question: &str) -> Vec<String> {
    let mut words = question.split_whitespace();
    let (name, qtype) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    let (found, answer) = look_up(zone, name, qtype, words.next() == Some("do"));
    let mut all = vec![match found.outcome {
        Outcome::NoData { empty_non_terminal: true } => "EmptyNonTerminal".to_owned(),
        Outcome::NoData { .. } => "NoData".to_owned(),
        Outcome::Chase => format!("Chase {}", text(chase_target(&answer).unwrap().as_slice())),
        outcome => format!("{outcome:?}"),
    }];
    all.extend(lines(&answer, Section::Answer, '='));
    all.extend(lines(&answer, Section::Authority, '~'));
    all.extend(lines(&answer, Section::Additional, '+'));
    all
}

/// Asserts what a question finds; the lines are trimmed.
#[track_caller]
pub(crate) fn finds(zone: &Zone, question: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(ask(zone, question), expected, "{question}");
}
