//! What stands behind the cache in tests: it does one thing after the other, as its words in the Corefile say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Error, Protocol, ReplyEdns};
use domain::base::Name;
use domain::base::name::ToName;
use domain::base::{Serial, Ttl};
use domain::rdata::{Cname, Ns, Soa};

/// `upstream WORD...`: each query takes the next word, the last one stays. The n-th query's addresses are `192.0.2.n`.
///
/// `ok:TTL`, `nx:TTL`, `nodata:TTL`, `nxbare`, `servfail`, `refused`, `status`, `cname:TTL` (leads nowhere), `cname-soa:TTL`,
/// `empty`, `cut`, `query` (a reply without QR), `two:A:B`, `old` (an expired signature), `ns:TTL`, `silence`; in front `slow-` for
/// a wait of 100 ms, `ad-` for AD.
pub(super) const UPSTREAM: PluginDef = PluginDef::new("upstream", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let behaviours = words.remaining_args().into_iter().map(str::to_owned).collect();
    cx.link(Upstream { behaviours, asked: AtomicUsize::new(0) });
    Ok(())
}

struct Upstream {
    behaviours: Vec<String>,
    asked: AtomicUsize,
}

#[async_trait]
impl Plugin for Upstream {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let count = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut word = self.behaviours[count.min(self.behaviours.len() - 1)].as_str();
        if let Some(rest) = word.strip_prefix("slow-") {
            tokio::time::sleep(Duration::from_millis(100)).await;
            word = rest;
        }
        let mut answer = Answer::to(q);
        answer.flags |= flags::RA;
        if let Some(rest) = word.strip_prefix("ad-") {
            answer.set(flags::AD, q.has(flags::AD));
            word = rest;
        }
        let mut parts = word.split(':');
        let what = parts.next().unwrap();
        let ttl = parts.next().map_or(0, |ttl| ttl.parse().unwrap());
        let last = if q.protocol() == Protocol::Tcp { 100 } else { 0 } + u8::try_from(count % 100).unwrap() + 1;
        let address = std::net::IpAddr::from([192, 0, 2, last]);
        let class = q.qclass();
        match what {
            "ok" => answer.push_address(Section::Answer, q.name(), class, ttl, address),
            "two" => {
                let other = parts.next().unwrap().parse().unwrap();
                answer.push_address(Section::Answer, q.name(), class, ttl, address);
                answer.push_address(Section::Additional, q.name(), class, other, address);
                answer.push_wire(Section::Additional, &[0], Rtype::OPT, Class::from_int(4096), 0, &[]);
                answer.edns = Some(ReplyEdns { options: vec![0, 15, 0, 2, 0, 3], ..ReplyEdns::default() });
            }
            "nx" => {
                answer.rcode = Rcode::NXDOMAIN;
                push_soa(&mut answer, ttl);
            }
            "nodata" => push_soa(&mut answer, ttl),
            "nxbare" => answer.rcode = Rcode::NXDOMAIN,
            "servfail" => answer.rcode = Rcode::SERVFAIL,
            "refused" => answer.rcode = Rcode::REFUSED,
            "status" => {
                q.recycle(answer);
                return Reply::fail(Error::upstream("the upstream is down"));
            }
            "silence" => return Reply::silence(),
            "cname" | "cname-soa" => {
                answer.push(Section::Answer, &q.name(), class, ttl, &Cname::new(name("nowhere.example.org")));
                if what == "cname-soa" {
                    push_soa(&mut answer, ttl);
                }
            }
            "ns" => answer.push(Section::Authority, &name("example.org"), class, ttl, &Ns::new(name("ns.example.org"))),
            "empty" => {}
            "cut" => {
                answer.push_address(Section::Answer, q.name(), class, 60, address);
                answer.set(flags::TC, true);
            }
            "query" => {
                answer.push_address(Section::Answer, q.name(), class, 60, address);
                answer.set(flags::QR, false);
            }
            "old" => {
                answer.push_address(Section::Answer, q.name(), class, 60, address);
                // Expired a second after 1970 began.
                let mut rdata = vec![0, 1, 13, 2, 0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
                rdata.extend([0; 5]);
                answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::RRSIG, class, 60, &rdata);
                answer.edns = Some(ReplyEdns { dnssec_ok: true, ..ReplyEdns::default() });
            }
            other => panic!("no such behaviour: {other}"),
        }
        answer.into()
    }
}

fn name(text: &str) -> Name<Vec<u8>> {
    Name::vec_from_str(text).unwrap()
}

fn push_soa(answer: &mut Answer, ttl: u32) {
    let second = Ttl::from_secs(1);
    let soa = Soa::new(name("ns.example.org"), name("admin.example.org"), Serial(1), second, second, second, second);
    answer.push(Section::Authority, &name("example.org").to_name::<Vec<u8>>(), Class::IN, ttl, &soa);
}
