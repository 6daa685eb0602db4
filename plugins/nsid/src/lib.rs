//! *nsid* tells clients that ask for it which server answered: the name server identifier (RFC 5001).

use std::path::Path;

use catena_core::prelude::*;
use catena_core::{ReplyEdns, edns_options};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("nsid", setup);

/// The longest identifier, octets: with it a reply still fits where it would fit without.
const DATA_OCTETS_MAX: usize = 256;
/// The code of the option (RFC 5001 section 4).
const OPTION_NSID: u16 = 3;
/// Where Linux tells the host's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";
/// What is told when the directive says more than once what to tell.
const ONCE: &str = "this plugin can only be used once per Server Block";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let data = if args.is_empty() { host_name(cx) } else { args.join(" ") };
    if data.len() > DATA_OCTETS_MAX {
        return Err(words.err(format!("identifier too long: {} > {DATA_OCTETS_MAX}", data.len())));
    }
    if words.next() {
        return Err(words.plain_err(ONCE));
    }
    cx.link(Nsid { data: data.into_bytes() });
    Ok(())
}

fn host_name(cx: &Setup<'_>) -> String {
    let host = cx.files().read(Path::new(HOST_NAME_FILE)).ok().and_then(|name| String::from_utf8(name).ok());
    host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

struct Nsid {
    data: Vec<u8>,
}

impl Nsid {
    /// The options with the identifier in place of every NSID option; behind the others if there is none.
    fn options(&self, before: &[u8]) -> Vec<u8> {
        let mut options = Vec::with_capacity(before.len() + 4 + self.data.len());
        let mut told = false;
        for (code, data) in edns_options(before) {
            let is_ours = code == OPTION_NSID;
            push_option(&mut options, code, if is_ours { &self.data } else { data });
            told |= is_ours;
        }
        if !told {
            push_option(&mut options, OPTION_NSID, &self.data);
        }
        options
    }
}

fn push_option(options: &mut Vec<u8>, code: u16, data: &[u8]) {
    // Data comes from an option, whose length has 16 bits, or is no longer than DATA_OCTETS_MAX.
    let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
    options.extend_from_slice(&code.to_be_bytes());
    options.extend_from_slice(&len.to_be_bytes());
    options.extend_from_slice(data);
}

#[async_trait]
impl Plugin for Nsid {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let asked = q.edns().is_some_and(|edns| edns.options().any(|(code, _)| code == OPTION_NSID));
        let mut reply = next.run(q).await;
        if asked && let Some(answer) = reply.answer_mut() {
            let udp_size = q.edns().map_or(0, |edns| edns.udp_size);
            let edns = answer.edns.get_or_insert_with(|| ReplyEdns { udp_size, ..ReplyEdns::default() });
            edns.options = self.options(&edns.options);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{DATA_OCTETS_MAX, HOST_NAME_FILE, OPTION_NSID, PLUGIN};
    use catena_core::prelude::*;
    use catena_core::{Fixed, ReplyEdns};
    use catena_testkit::{Ask, Kit, Recipe, Seen, check_config};

    const NOTHING: PluginDef = PluginDef::new("nothing", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
        Ok(())
    });

    /// Stands for an upstream that has an identifier of its own, twice, and another option.
    const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| {
            let mut answer = Answer::to(q);
            let options = b"\x00\x03\x00\x01a\x00\x0a\x00\x01c\x00\x03\x00\x00".to_vec();
            answer.edns = Some(ReplyEdns { options, ..ReplyEdns::default() });
            answer.into()
        }));
        Ok(())
    });

    fn seen(end: PluginDef, ask: &Ask) -> Seen {
        Kit::of([PLUGIN, end], &format!("nsid two words\n{}", end.name)).ask(ask)
    }

    fn asking() -> Ask {
        Ask::new("example.org A").edns(1400, false).option(OPTION_NSID, b"")
    }

    #[test]
    fn a_client_that_asks_is_told_and_does_not_get_a_flag_that_it_did_not_send() {
        let told = vec![(OPTION_NSID, b"two words".to_vec())];
        assert_eq!(seen(NOTHING, &asking()).edns, Some((1400, false, told.clone())));
        let secure = Ask::new("example.org A").edns(1400, true).option(OPTION_NSID, b"");
        assert_eq!(seen(NOTHING, &secure).edns, Some((1400, true, told)));
    }

    #[test]
    fn nobody_else_is_told() {
        assert_eq!(seen(NOTHING, &Ask::new("example.org A")).edns, None);
        assert_eq!(seen(NOTHING, &Ask::new("example.org A").edns(1400, false)).edns, Some((1400, false, vec![])));
    }

    #[test]
    fn identifiers_of_others_are_written_over() {
        let ours = || (OPTION_NSID, b"two words".to_vec());
        let options = seen(UPSTREAM, &asking()).edns.unwrap().2;
        assert_eq!(options, [ours(), (10, b"c".to_vec()), ours()]);
    }

    #[test]
    fn an_error_without_a_message_shows_the_option_as_it_came() {
        let kit = Kit::of([PLUGIN], "nsid id");
        assert_eq!(kit.ask(&asking()).edns, Some((1400, false, vec![(OPTION_NSID, vec![])])));
    }

    #[test]
    fn the_host_name_is_told_and_localhost_in_its_absence() {
        for (name, told) in [("ns1\n", "ns1"), ("\n", "localhost")] {
            let recipe = Recipe::new([PLUGIN, NOTHING], ". {\n nsid\n nothing\n}\n").file(HOST_NAME_FILE, name);
            let options = recipe.build().ok().unwrap().ask(&asking()).edns.unwrap().2;
            assert_eq!(options, [(OPTION_NSID, told.as_bytes().to_vec())]);
        }
    }

    #[test]
    fn there_is_one_identifier() {
        for body in ["nsid one\nnsid two", "nsid {\n}"] {
            check_config([PLUGIN], body, "plugin/nsid: this plugin can only be used once per Server Block");
        }
    }

    #[test]
    fn an_identifier_has_a_longest_length() {
        let longest = "x".repeat(DATA_OCTETS_MAX);
        assert!(Recipe::new([PLUGIN], &format!(". {{\n nsid {longest}\n}}\n")).build().is_ok());
        let told = "plugin/nsid: Corefile:2 - Error during parsing: identifier too long: 257 > 256";
        check_config([PLUGIN], &format!("nsid {longest}x"), told);
    }
}
