#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod lists;
mod policy_zones;
mod reload;
mod transfers;

use std::path::PathBuf;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Class, Fixed, PluginDef, name::owned};
use catena_testkit::{Kit, Recipe};

use super::PLUGIN;

/// The rest of the chain: `cloak.test` is an alias of `tracker.ads.test`, `garden.test` and all others have 192.0.2.1, `v6.test` 2001:db8::1.
const WORLD: PluginDef = PluginDef::new("world", |cx: &mut Setup<'_>| {
    cx.link(Fixed(world));
    Ok(())
});

fn world(q: &mut Query) -> Reply {
    let (qname, owner) = (q.lower().to_string(), q.name().as_slice().to_vec());
    let mut answer = Answer::to(q);
    let mut end = owner.clone();
    if qname == "cloak.test" {
        end = owned("Tracker.ads.test").unwrap().as_slice().to_vec();
        answer.push_wire(Section::Answer, &owner, Rtype::CNAME, Class::IN, 300, &end);
    }
    if q.qtype() == Rtype::A {
        answer.push_wire(Section::Answer, &end, Rtype::A, Class::IN, 300, &[192, 0, 2, 1]);
    } else if qname == "v6.test" {
        let ip: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        answer.push_wire(Section::Answer, &end, Rtype::AAAA, Class::IN, 300, &ip.octets());
    }
    answer.into()
}

/// A folder of lists.
struct Place(tempfile::TempDir);

impl Place {
    fn of(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in the place of the one before, as who downloads lists does.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// A block `.` of *blocklist* with this body; `DIR` is the folder.
    fn kit(&self, body: &str) -> Kit {
        self.kit_of(&format!("blocklist {{\n{body}\n}}"))
    }

    fn kit_of(&self, body: &str) -> Kit {
        match self.recipe(body).build() {
            Ok(kit) => kit,
            Err(errors) => panic!("{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
        }
    }

    fn recipe(&self, body: &str) -> Recipe {
        let body = body.replace("DIR", &self.0.path().display().to_string());
        Recipe::new([PLUGIN, WORLD], &format!(". {{\n{body}\nworld\n}}\n"))
    }

    /// The one line of the error of a block with this body.
    fn wrong(&self, body: &str) -> String {
        let errors = self.recipe(body).build().err().expect("an error");
        errors[0].0.one_line().replace(&self.0.path().display().to_string(), "DIR")
    }
}

/// Waits until something holds, for a while.
fn until(kit: &Kit, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        kit.wait(Duration::from_millis(10));
    }
    panic!("it does not happen: {:?}", kit.log.lines());
}

fn rcode(kit: &Kit, question: &str) -> String {
    kit.ask_for(question).rcode
}

const HITS: &str = "coredns_blocklist_hits_total";

/// The value of the counter of queries of a list.
fn hits(kit: &Kit, list: &str, action: &str) -> f64 {
    let series = format!("{HITS}{{action=\"{action}\",list=\"{list}\",server=\"dns://:53\",view=\"\"}}");
    kit.metric(&series).unwrap_or(0.0)
}
