//! Whether a zone has to be signed again: a look at the signatures of its SOA record. CoreDNS: plugin/sign.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use catena_core::{RecordRef, Rtype};
use catena_gocompat::duration::GoDuration;
use catena_gocompat::os::error_text;
use catena_zone::dnssec::{Signature, date};
use catena_zone::zonefile::{Options, read_zone};

/// A signature older than this is made again, seconds.
const AGE_MAX: u32 = 6 * DAY;
/// One that holds no longer than this too, seconds.
const LEFT_MIN: u32 = 7 * DAY;
const DAY: u32 = 24 * 3600;
/// The signature of the SOA record must be among so many records, other signatures not counted.
const RECORDS_MAX: usize = 100;
/// What is read of a signed zone: the records before and up to the SOA's signatures.
const HEAD_OCTETS_MAX: usize = 1 << 20;

/// Why the zone in a file has to be signed by the keys with these tags; `None` if its signatures are good. `now` is in seconds since 1970.
pub(crate) fn why_sign(signed: &Path, tags: &[u16], now: u32) -> Option<String> {
    let head = match read_head(signed) {
        Ok(head) => head,
        Err(error) => return Some(format!("open {}: {}", signed.display(), error_text(&error))),
    };
    let mut scan = Scan { now, tags: Vec::new(), others: 0, end: None };
    let name = signed.to_string_lossy();
    let read = read_zone(&head, &Options::new(&name, &[0]), &mut |record| scan.take(record));
    match (scan.end, read) {
        (Some(End::Bad(why)), _) => return Some(why),
        (None, Err(error)) => return Some(format!("{error}: {:?}", error.text())),
        _ if scan.tags.is_empty() => return Some("no SOA RRSIG found".to_owned()),
        _ => {}
    }
    let missing = tags.iter().find(|tag| !scan.tags.contains(tag))?;
    Some(format!("no SOA RRSIG of the key with tag {missing} found"))
}

/// Whole lines from the beginning of a file.
pub(crate) fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_OCTETS_MAX as u64).read_to_end(&mut head)?;
    if head.len() == HEAD_OCTETS_MAX {
        let lines = head.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        head.truncate(lines);
    }
    Ok(head)
}

enum End {
    /// All signatures of the SOA record are good.
    Good,
    Bad(String),
}

/// Records looked at, up to the first one behind the signatures of the SOA record.
struct Scan {
    now: u32,
    /// The keys that signed the SOA record.
    tags: Vec<u16>,
    others: usize,
    end: Option<End>,
}

impl Scan {
    fn take(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        let signature = Signature::read(record.rdata).filter(|_| record.rtype == Rtype::RRSIG);
        let end = match signature {
            Some(signature) if signature.covered == Rtype::SOA => {
                self.tags.push(signature.tag);
                why_old(&signature, self.now).map(End::Bad)
            }
            _ if !self.tags.is_empty() => Some(End::Good),
            Some(_) => None,
            None => {
                self.others += 1;
                let why = || End::Bad(format!("no SOA RRSIG found in first {RECORDS_MAX} records"));
                (self.others > RECORDS_MAX).then(why)
            }
        };
        match end {
            None => Ok(()),
            // The rest of the file need not be read.
            Some(_) => {
                self.end = end;
                Err(String::new())
            }
        }
    }
}

/// Why a signature has to be made again. Times are compared as serial numbers (RFC 4034 section 3.1.5).
fn why_old(signature: &Signature<'_>, now: u32) -> Option<String> {
    let validity = signature.validity;
    let (age, left) = (now.wrapping_sub(validity.inception) as i32, validity.expiration.wrapping_sub(now) as i32);
    let (inception, expiration) = (date(validity.inception), date(validity.expiration));
    if age < 0 {
        return Some(format!("inception {inception:?} date is in the future: {}", span(age)));
    }
    if age.unsigned_abs() > AGE_MAX {
        let (most, now) = (span(AGE_MAX as i32), date(now));
        return Some(format!("inception {inception:?} was more than: {most} ago from {now}: {}", span(age)));
    }
    if left < LEFT_MIN as i32 {
        let (least, now) = (span(LEFT_MIN as i32), date(now));
        return Some(format!("expiration {expiration:?} is less than: {least} away from {now}: {}", span(left)));
    }
    None
}

/// Seconds as Go prints durations.
fn span(seconds: i32) -> String {
    let text = GoDuration::from_std(Duration::from_secs(u64::from(seconds.unsigned_abs()))).to_string();
    if seconds < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const NOW: u32 = 1_700_000_000;
    const SOA: &str = "example.org. 60 IN SOA ns admin 1 2 3 4 5\n";

    fn soa_signature(age: u32, left: u32) -> String {
        let [from, to] = [NOW - age, NOW + left].map(|at| date(at).replace(['-', ':', 'T'], "")[..14].to_owned());
        format!("example.org. 60 IN RRSIG SOA 13 2 60 {to} {from} 7 example.org. AAAA\n")
    }

    fn why(text: &str) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        why_sign(file.path(), &[7], NOW)
    }

    #[test]
    fn good_signatures_are_left_alone() {
        assert_eq!(why(&format!("{SOA}{}", soa_signature(AGE_MAX, LEFT_MIN))), None);
    }

    #[test]
    fn a_good_signature_ends_the_search_however_long_the_zone_is() {
        let rest = "a.example.org. 60 IN A 192.0.2.1\n".repeat(RECORDS_MAX + 1) + "broken";
        assert_eq!(why(&format!("{SOA}{}{rest}", soa_signature(0, 30 * DAY))), None);
        let large = "a.example.org. 60 IN A 192.0.2.1\n".repeat(HEAD_OCTETS_MAX / 20);
        assert_eq!(why(&format!("{SOA}{}{large}", soa_signature(0, 30 * DAY))), None);
    }

    #[test]
    fn the_signature_is_among_the_first_hundred_records() {
        let others = |count| "a.example.org. 60 IN A 192.0.2.1\n".repeat(count);
        let late = |count| format!("{SOA}{}{}", others(count), soa_signature(0, 30 * DAY));
        assert_eq!(why(&late(RECORDS_MAX - 1)), None);
        assert_eq!(why(&late(RECORDS_MAX)).unwrap(), "no SOA RRSIG found in first 100 records");
    }

    #[test]
    fn old_new_and_ending_signatures_are_made_again() {
        let of = |age, left| why(&format!("{SOA}{}", soa_signature(age, left))).unwrap();
        let old = of(AGE_MAX + 1, 30 * DAY);
        assert_eq!(
            old,
            "inception \"2023-11-08T22:13:19.000Z\" was more than: 144h0m0s ago from 2023-11-14T22:13:20.000Z: 144h0m1s"
        );
        assert!(of(0, LEFT_MIN - 1).ends_with("is less than: 168h0m0s away from 2023-11-14T22:13:20.000Z: 167h59m59s"));
        let [from, to] = [NOW + 5, NOW + 30 * DAY].map(|at| date(at).replace(['-', ':', 'T'], "")[..14].to_owned());
        let future = format!("{SOA}example.org. 60 IN RRSIG SOA 13 2 60 {to} {from} 7 example.org. AAAA\n");
        assert_eq!(why(&future).unwrap(), "inception \"2023-11-14T22:13:25.000Z\" date is in the future: -5s");
    }

    #[test]
    fn a_file_without_signatures_or_of_other_keys_is_signed() {
        assert_eq!(why("").unwrap(), "no SOA RRSIG found");
        assert_eq!(why(SOA).unwrap(), "no SOA RRSIG found");
        let other = soa_signature(0, 30 * DAY).replace(" 7 example", " 8 example");
        assert_eq!(why(&format!("{SOA}{other}")).unwrap(), "no SOA RRSIG of the key with tag 7 found");
        assert!(why("nonsense").unwrap().contains(":1:"));
        let missing = why_sign(Path::new("/none/db"), &[], NOW).unwrap();
        assert_eq!(missing, "open /none/db: no such file or directory");
    }
}
