//! *local* answers for names that mean the host itself, so that nobody else is asked for them (RFC 6303, RFC 6761 section 6.3).

use std::net::{Ipv4Addr, Ipv6Addr};

use catena_core::metrics::TypeText;
use catena_core::name::lower_text;
use catena_core::prelude::*;
use catena_core::{LabelStarts, Log};
use catena_gocompat::quote::quote;
use prometheus::Counter;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("local", setup);

/// The time to live of every record, seconds: a week.
const TTL: u32 = 604_800;
const ZONES: [&str; 4] = ["localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."];
/// `localhost.`
const LOCALHOST: &[u8] = b"\x09localhost\0";
/// `1.0.0.127.in-addr.arpa.`
const LOOPBACK: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0";
/// `localhost. root.localhost. 1 0 0 0 604800`
const SOA: &[u8] = b"\x09localhost\0\x04root\x09localhost\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\x3a\x80";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let takes_prefix = parse(cx.cursor())?;
    let count = cx
        .metrics()
        .counter("coredns_local_localhost_requests_total", "Counter of special localhost subdomain requests.", &[])
        .with_label_values(&[] as &[&str]);
    cx.link(Local { zones: Zones::from_args(ZONES), takes_prefix, count, log: cx.log() });
    Ok(())
}

/// Whether names that begin with `localhost.` are taken.
fn parse(mut words: Cursor<'_>) -> Result<bool, Diagnostic> {
    let mut takes_prefix = true;
    while words.next() {
        if !words.remaining_args().is_empty() {
            return Err(words.arg_err());
        }
        while words.next_block() {
            if words.val() != "localhost_prefix" {
                return Err(words.unknown_property(&["localhost_prefix"]));
            }
            takes_prefix = match words.one_arg()? {
                "on" => true,
                "off" => false,
                other => {
                    return Err(words.err(format!("localhost_prefix expects 'on' or 'off', got {}", quote(other))));
                }
            };
        }
    }
    Ok(takes_prefix)
}

struct Local {
    zones: Zones,
    takes_prefix: bool,
    count: Counter,
    log: Log,
}

/// What a name is here.
enum Place {
    /// `localhost.` itself.
    Localhost,
    /// Below `localhost.`, or a name that begins with it.
    Named,
    /// The apex of one of the reverse zones.
    Apex,
    /// `1.0.0.127.in-addr.arpa.`
    Loopback,
    /// Any other name in one of the zones, which begins so many octets into the name.
    Inside(usize),
}

impl Local {
    fn place(&self, lower: &[u8], labels: &LabelStarts) -> Option<Place> {
        let is_longer = lower.len() > LOCALHOST.len();
        let begins = self.takes_prefix && lower.starts_with(&LOCALHOST[..LOCALHOST.len() - 1]);
        let ends = labels.suffix_start(1).is_some_and(|start| &lower[start..] == LOCALHOST);
        if is_longer && (begins || ends) {
            return Some(Place::Named);
        }
        let zone = self.zones.longest(lower, labels)?;
        let start = lower.len() - zone.wire().len();
        Some(match lower {
            LOCALHOST => Place::Localhost,
            LOOPBACK => Place::Loopback,
            _ if start == 0 => Place::Apex,
            _ => Place::Inside(start),
        })
    }

    fn answer(&self, q: &mut Query, place: &Place) -> Box<Answer> {
        let mut answer = Answer::to(q);
        let (qtype, name) = (q.qtype(), q.name().as_slice());
        let is_apex = matches!(place, Place::Localhost | Place::Apex);
        let has_addresses = matches!(place, Place::Localhost | Place::Named);
        let found: Option<&[u8]> = match qtype {
            Rtype::A if has_addresses => Some(&Ipv4Addr::LOCALHOST.octets()),
            Rtype::AAAA if has_addresses => Some(&Ipv6Addr::LOCALHOST.octets()),
            Rtype::SOA if is_apex => Some(SOA),
            Rtype::NS if is_apex => Some(LOCALHOST),
            Rtype::PTR if matches!(place, Place::Loopback) => Some(LOCALHOST),
            _ => None,
        };
        if let Some(rdata) = found {
            answer.push_wire(Section::Answer, name, qtype, Class::IN, TTL, rdata);
            return answer;
        }
        let owner = match place {
            Place::Inside(start) => {
                answer.rcode = Rcode::NXDOMAIN;
                &name[*start..]
            }
            // The zone `127.in-addr.arpa.` is three labels down.
            Place::Loopback => &name[name.len() - (LOOPBACK.len() - 6)..],
            Place::Localhost | Place::Named | Place::Apex => name,
        };
        answer.push_wire(Section::Authority, owner, Rtype::SOA, Class::IN, TTL, SOA);
        answer
    }
}

#[async_trait]
impl Plugin for Local {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let Some(place) = self.place(q.lower().as_slice(), q.question().labels()) else { return next.run(q).await };
        if matches!(place, Place::Named) {
            self.count.inc();
            if self.log.is_debug() {
                let (name, client) = (lower_text(q.lower()), q.client().ip().to_canonical());
                let qtype = TypeText(q.qtype());
                self.log
                    .debug(format_args!("Intercepting localhost query for {} {qtype}, from {client}", quote(&name)));
            }
        }
        self.answer(q, &place).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_core::Fixed;
    use catena_core::prelude::*;
    use catena_testkit::{check, check_config};

    /// The plugin behind: REFUSED for everything.
    const BELOW: PluginDef = PluginDef::new("below", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| Answer::to(q).with_rcode(Rcode::REFUSED).into()));
        Ok(())
    });
    /// Turns DEBUG lines on.
    const DEBUG: PluginDef = PluginDef::new("debug", |cx: &mut Setup<'_>| {
        cx.block_settings().debug = true;
        Ok(())
    });

    fn with(local: &str, script: &str) {
        check([DEBUG, PLUGIN, BELOW], &format!("{local}\nbelow"), script);
    }

    #[test]
    fn localhost_has_the_loopback_addresses() {
        with(
            "local",
            "
            > LocalHost A
            < NOERROR qr rd
            = LocalHost. 604800 IN A 127.0.0.1
            > localhost AAAA
            < NOERROR qr rd
            = localhost. 604800 IN AAAA ::1
            > localhost MX
            < NOERROR qr rd
            ~ localhost. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800
            metric coredns_local_localhost_requests_total 0",
        );
    }

    #[test]
    fn names_below_localhost_and_names_that_begin_with_it_have_them_too_and_are_counted() {
        with(
            "local",
            "
            > a.b.LOCALHOST A
            < NOERROR qr rd
            = a.b.LOCALHOST. 604800 IN A 127.0.0.1
            > localhost.Example.org AAAA
            = localhost.Example.org. 604800 IN AAAA ::1
            > localhost.Example.org SOA
            < NOERROR qr rd
            ~ localhost.Example.org. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800
            metric coredns_local_localhost_requests_total 3",
        );
    }

    #[test]
    fn names_that_only_look_like_it_go_on() {
        with(
            "local",
            "
            > mylocalhost.example.org A
            < REFUSED qr rd
            > localhosts.example.org A
            < REFUSED qr rd
            > mylocalhost A
            < REFUSED qr rd
            > a.localhost.example.org A
            < REFUSED qr rd
            > 1.0.0.0.ip6.arpa PTR
            < REFUSED qr rd
            > 128.in-addr.arpa SOA
            < REFUSED qr rd",
        );
    }

    #[test]
    fn the_prefix_can_be_left_to_others() {
        with(
            "local {\n localhost_prefix off\n}",
            "
            > localhost.example.org A
            < REFUSED qr rd
            > a.localhost A
            = a.localhost. 604800 IN A 127.0.0.1",
        );
        with(
            "local {\n localhost_prefix off\n localhost_prefix on\n}",
            "> localhost.example.org A\n< NOERROR qr rd\n= localhost.example.org. 604800 IN A 127.0.0.1",
        );
    }

    #[test]
    fn each_zone_has_soa_and_ns_at_its_apex_and_nothing_else() {
        for zone in ["localhost.", "0.In-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."] {
            let soa = format!("{zone} 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800");
            with(
                "local",
                &format!(
                    "
                    > {zone} SOA
                    < NOERROR qr rd
                    = {soa}
                    > {zone} NS
                    < NOERROR qr rd
                    = {zone} 604800 IN NS localhost.
                    > {zone} PTR
                    < NOERROR qr rd
                    ~ {soa}"
                ),
            );
        }
    }

    #[test]
    fn reverse_zones_have_no_addresses() {
        with(
            "local",
            "
            > 127.in-addr.arpa A
            < NOERROR qr rd
            ~ 127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800
            > 127.in-addr.arpa AAAA
            < NOERROR qr rd
            ~ 127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
        );
    }

    #[test]
    fn the_loopback_address_has_a_name() {
        with(
            "local",
            "
            > 1.0.0.127.in-addr.arpa PTR
            < NOERROR qr rd
            = 1.0.0.127.in-addr.arpa. 604800 IN PTR localhost.
            > 1.0.0.127.IN-ADDR.arpa TXT
            < NOERROR qr rd
            ~ 127.IN-ADDR.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
        );
    }

    #[test]
    fn other_names_in_the_zones_do_not_exist() {
        with(
            "local",
            "
            > 2.0.0.127.in-addr.arpa PTR
            < NXDOMAIN qr rd
            ~ 127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800
            > a.255.IN-addr.arpa A
            < NXDOMAIN qr rd
            ~ 255.IN-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
        );
    }

    #[test]
    fn a_name_that_is_taken_is_told_when_debugging() {
        with(
            "debug\nlocal",
            "
            > A.localhost AAAA
            = A.localhost. 604800 IN AAAA ::1
            log [DEBUG] plugin/local: Intercepting localhost query for \"a.localhost.\" AAAA, from 10.240.0.1",
        );
    }

    fn told(body: &str, line: u8, expected: &str) {
        check_config([PLUGIN], body, &format!("plugin/local: Corefile:{line} - Error during parsing: {expected}"));
    }

    #[test]
    fn wrong_words_are_told() {
        told("local a", 2, "Wrong argument count or unexpected line ending after 'a'");
        told("local {\n prefix on\n}", 3, "unknown property 'prefix'");
        told("local {\n localhost_prefix yes\n}", 3, "localhost_prefix expects 'on' or 'off', got \"yes\"");
        told(
            "local {\n localhost_prefix\n}",
            3,
            "Wrong argument count or unexpected line ending after 'localhost_prefix'",
        );
        told("local {\n localhost_prefix on off\n}", 3, "Wrong argument count or unexpected line ending after 'off'");
    }
}
