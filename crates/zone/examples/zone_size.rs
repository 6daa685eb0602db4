//! Builds a zone of so many A records with distinct names and tells what it costs: `zone_size [RECORDS [FACTOR]]`. With a factor of other than one
//! the names do not come sorted.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use catena_core::{Answer, Class, RecordRef, Rtype};
use catena_zone::{Asked, Builder, Zone};

const APEX: &[u8] = b"\x07example\x03org\0";

/// The time that this process has been on a processor: what others do on the machine does not count.
fn now() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0))
}

fn since(start: Duration) -> Duration {
    now().saturating_sub(start)
}

/// A line of `/proc/self/status`, kilobytes.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// `host-000042.example.org.` in wire form.
fn name(number: u32, wire: &mut Vec<u8>) {
    wire.clear();
    wire.push(0);
    // Writing to a vector cannot fail.
    let _ = write!(wire, "host-{number:06}");
    wire[0] = (wire.len() - 1) as u8;
    wire.extend_from_slice(APEX);
}

fn record<'a>(owner: &'a [u8], rtype: Rtype, rdata: &'a [u8]) -> RecordRef<'a> {
    RecordRef { owner, rtype, class: Class::IN, ttl: 3600, rdata }
}

fn build(records: u32, factor: u64) -> Option<Zone> {
    let mut builder = Builder::new(APEX);
    let soa = [&b"\x02ns\x07example\x03org\0\x05admin\x07example\x03org\0"[..], &[0, 0, 0, 1], &[0; 16]].concat();
    builder.push(record(APEX, Rtype::SOA, &soa)).ok()?;
    builder.push(record(APEX, Rtype::NS, b"\x02ns\x07example\x03org\0")).ok()?;
    let mut wire = Vec::new();
    for number in 0..records {
        name((u64::from(number) * factor % u64::from(records)) as u32, &mut wire);
        builder.push(record(&wire, Rtype::A, &Ipv4Addr::from_bits(number).octets())).ok()?;
    }
    builder.finish().ok()
}

fn look_up(zone: &Zone, records: u32, spread: u32) -> (Duration, usize) {
    let (mut wire, mut answer, mut found) = (Vec::new(), Answer::default(), 0);
    let start = now();
    for number in 0..records {
        name((u64::from(number) * 104_729 % u64::from(spread)) as u32, &mut wire);
        answer.clear();
        let labels = &catena_core::LabelStarts::of(&wire);
        let asked = Asked { lower: &wire, labels, qtype: Rtype::A, dnssec_ok: false, chase_missing: false };
        zone.lookup(&asked, &mut answer);
        found += answer.count(catena_core::Section::Answer);
    }
    (since(start), found)
}

fn main() -> std::io::Result<()> {
    let argument = |at| std::env::args().nth(at).and_then(|word| word.parse::<u32>().ok());
    let (records, factor) = (argument(1).unwrap_or(1_000_000).max(1), argument(2).unwrap_or(1));
    let mut out = std::io::stdout();
    let before = status("VmRSS:");
    let start = now();
    let Some(zone) = build(records, factor.into()) else { return writeln!(out, "no zone") };
    let took = since(start);
    let (held, peak) = (status("VmRSS:"), status("VmHWM:"));
    writeln!(out, "{} records built in {:.3} s", zone.len(), took.as_secs_f64())?;
    writeln!(out, "{:.1} octets a record by the zone's own count", zone.heap_octets() as f64 / zone.len() as f64)?;
    writeln!(out, "resident {} kB before, {held} kB after, {peak} kB at the peak", before)?;
    let look_ups = records.max(1_000_000);
    for (what, spread) in
        [("names that are there", records), ("names of which half are there", records.saturating_mul(2))]
    {
        let (took, found) = look_up(&zone, look_ups, spread);
        let each = took.as_nanos() as f64 / f64::from(look_ups);
        writeln!(out, "{look_ups} look-ups of {what}: {each:.0} ns each, {found} answers")?;
    }
    Ok(())
}
