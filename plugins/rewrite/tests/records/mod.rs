//! A plugin with a few records, for rules to be tried on.

use std::borrow::Cow;
use std::sync::Arc;

use catena_core::name::{owned, text};
use catena_core::prelude::*;
use catena_core::{Fixed, Labels, edns_options};

/// Answers for names in `net.`: `a`, `b`, `c` have an address, `www` leads to `a`, `chain` to `www.org` and that on to `a.org`, `mail` has
/// MX records, `options` tells the query's options as text, `fail` is an error without a message, `silent` is silence.
pub(crate) const RECORDS: PluginDef = PluginDef::new("records", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    while words.next() {
        if !words.remaining_args().is_empty() {
            cx.block_settings().label_zones = Some(Zones::everything());
            cx.labels(Arc::new(Known));
        }
    }
    cx.link(Fixed(answer));
    Ok(())
});

/// The body of a block with rules and, unless it is there, the plugin.
pub(crate) fn body(rules: &str) -> String {
    if rules.starts_with("records") { rules.to_owned() } else { format!("{rules}\nrecords") }
}

struct Known;

impl Labels for Known {
    fn names(&self) -> &[&'static str] {
        &["records/label"]
    }

    fn label<'a>(&'a self, _: &str, _: &'a Query) -> Option<Cow<'a, str>> {
        Some("known".into())
    }
}

fn answer(q: &mut Query) -> Reply {
    let name = text(q.lower());
    let (asked, qtype) = (q.owned_lower(), q.qtype());
    let options = q.edns().map(|edns| edns.options.clone()).unwrap_or_default();
    let mut answer = Answer::to(q).authoritative();
    let mut push = |owner: &str, rtype, rdata: &[u8]| {
        answer.push_wire(Section::Answer, owned(owner).unwrap().as_slice(), rtype, Class::IN, 60, rdata);
    };
    let target = |name: &str| owned(name).unwrap().as_slice().to_vec();
    match (name.as_str(), qtype) {
        ("fail.net." | "fail.org.", _) => return Reply::status(Rcode::SERVFAIL),
        ("silent.net.", _) => return Reply::silence(),
        ("a.net.", Rtype::A) => push(&name, Rtype::A, &[192, 0, 2, 1]),
        ("b.net.", Rtype::A) => push(&name, Rtype::A, &[192, 0, 2, 2]),
        ("c.net.", Rtype::A) => push(&name, Rtype::A, &[192, 0, 2, 3]),
        ("a.net." | "b.net." | "c.net.", _) => {}
        ("www.net.", _) => {
            push(&name, Rtype::CNAME, &target("a.net"));
            if qtype == Rtype::A {
                push("a.net", Rtype::A, &[192, 0, 2, 1]);
            }
        }
        ("chain.net.", _) => {
            push(&name, Rtype::CNAME, &target("www.org"));
            push("www.org", Rtype::CNAME, &target("a.org"));
            push("a.org", Rtype::A, &[192, 0, 2, 9]);
        }
        ("mail.net.", Rtype::MX) => {
            push(&name, Rtype::MX, &[&[0, 10][..], &target("mx.mail.net")].concat());
            push(&name, Rtype::MX, &[&[0, 20][..], &target("xmail.net")].concat());
        }
        ("options.net.", _) => {
            for (code, data) in edns_options(&options) {
                let told = [format!("{code}=").as_bytes(), data].concat();
                let len = u8::try_from(told.len()).unwrap();
                let rdata = [&[len][..], &told].concat();
                answer.push_wire(Section::Answer, asked.as_slice(), Rtype::TXT, Class::IN, 60, &rdata);
            }
        }
        _ => answer.rcode = Rcode::NXDOMAIN,
    }
    answer.into()
}
