//! *autopath* walks the search path of a client on the client's behalf.
//!
//! A resolver with a search path asks for `www.example.org.NAMESPACE.svc.cluster.local.` before it asks for `www.example.org.`; here the
//! first of these questions is answered with what the last would get, behind a CNAME record that leads there. Each name that is tried
//! goes down the rest of the chain, so that what stands behind this plugin (*acl*, say) judges each of them.

mod config;

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{AutoPath, Body, Class, LabelStarts, OwnedName, PerServer, Question};
use domain::base::Name;
use prometheus::{Counter, CounterVec};

use crate::config::Config;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("autopath", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(cx)?;
    let family =
        cx.metrics().counter("coredns_autopath_success_total", "Counter of requests that did autopath.", &["server"]);
    cx.link_later(move |linked| {
        let provider = match &config.plugin {
            None => None,
            Some((plugin, at)) => {
                let found = linked.offers::<dyn AutoPath>().find(|(name, _)| *name == &**plugin);
                let located = |diagnostic: Diagnostic| match at {
                    Some(at) => diagnostic.with_span(*at),
                    None => diagnostic,
                };
                if found.is_none() && linked.link_names().contains(&&**plugin) {
                    let why = format!("{plugin} does not implement the AutoPather interface");
                    return Err(located(Diagnostic::error(why)));
                }
                if found.is_none() {
                    let what = format!("the server block has no {plugin}, which should know search paths");
                    linked.warn(located(Diagnostic::warning(what).with_prefix("autopath")));
                }
                found.map(|(_, provider)| provider)
            }
        };
        let Config { zones, search, .. } = config;
        Ok(Path { zones, search, provider, successes: Successes { family, counters: PerServer::new() } })
    });
    Ok(())
}

struct Path {
    zones: Zones,
    search: Vec<OwnedName>,
    provider: Option<Arc<dyn AutoPath>>,
    successes: Successes,
}

/// `coredns_autopath_success_total`
struct Successes {
    family: CounterVec,
    counters: PerServer<Counter>,
}

impl Successes {
    fn count(&self, q: &Query) {
        self.counters.get(q, |server| self.family.with_label_values(&[server])).inc();
    }
}

#[async_trait]
impl Plugin for Path {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if self.zones.longest(q.lower().as_slice(), q.question().labels()).is_none() {
            return next.run(q).await;
        }
        match &self.provider {
            // Who knows clients decides alone: one that is not known has no search path.
            Some(provider) => match provider.search_path(q, q.client().ip()) {
                Some(search) => self.walk(q, next, &search).await,
                None => next.run(q).await,
            },
            None => self.walk(q, next, &self.search).await,
        }
    }
}

impl Path {
    /// Tries the name with each element of the search path in place of the first.
    async fn walk(&self, q: &mut Query, next: Next<'_>, search: &[OwnedName]) -> Reply {
        let base_len = match search.first().map(|first| base_len(q.question(), first)) {
            None | Some(Base::Outside) => return next.run(q).await,
            Some(Base::Overshot) => {
                let (name, zone) = (q.name().fmt_with_dot(), search[0].fmt_with_dot());
                return Reply::fail(Error::ours(format!("trimzone: overshot qname: {name}for zone {zone}")));
            }
            Some(Base::Len(len)) => len,
        };
        let asked = q.question().clone();
        let (qtype, qclass) = (asked.qtype(), asked.qclass());
        let mut first = None;
        let mut found = None;
        for element in search {
            let wire = [&asked.name().as_slice()[..base_len], element.as_slice()].concat();
            // A name that is too long is not there.
            let Ok(name) = Name::from_octets(wire) else { continue };
            q.set_question(Question::new(name.for_slice(), qtype, qclass));
            let reply = next.run(q).await;
            if reply.error.is_some() || is_final(&reply.body) {
                found = Some(reply);
                break;
            }
            match (&first, reply.body) {
                (None, body) => first = Some(Reply { body, ..reply }),
                (Some(_), Body::Answer(answer)) => q.recycle(answer),
                _ => {}
            }
        }
        q.set_question(asked);
        let Some(mut reply) = found else {
            // The client walks on by itself.
            return first.unwrap_or_default();
        };
        if reply.error.is_none()
            && let Some(answer) = reply.answer_mut()
        {
            lead_there(answer, q);
            self.successes.count(q);
        }
        reply
    }
}

/// Whether the search ends with this: anything but NXDOMAIN and bare codes.
fn is_final(body: &Body) -> bool {
    match body {
        Body::Answer(answer) => answer.rcode != Rcode::NXDOMAIN,
        Body::Status(_) => false,
        Body::Stream(_) | Body::Silence => true,
    }
}

/// Where the part of a name before the first element of a search path ends.
enum Base {
    /// The name is not in the element.
    Outside,
    /// The name is the element itself.
    Overshot,
    /// So many octets, the root not counted.
    Len(usize),
}

fn base_len(question: &Question, element: &OwnedName) -> Base {
    let labels = LabelStarts::of(element.as_slice()).count();
    let Some(start) = question.labels().suffix_start(labels) else { return Base::Outside };
    if !question.lower().as_slice()[start..].eq_ignore_ascii_case(element.as_slice()) {
        return Base::Outside;
    }
    if start == 0 && labels > 0 { Base::Overshot } else { Base::Len(start) }
}

/// Puts a CNAME record in front that leads from the name asked to the first other owner, if there is one. CoreDNS: plugin/autopath/cname.go.
fn lead_there(answer: &mut Answer, q: &Query) {
    let asked = q.name();
    let other =
        answer.records(Section::Answer).find(|record| !record.owner_wire().eq_ignore_ascii_case(asked.as_slice()));
    let Some((target, ttl)) = other.map(|record| (record.owner_wire().to_vec(), record.ttl())) else { return };
    answer.push_wire(Section::Answer, asked.as_slice(), Rtype::CNAME, Class::IN, ttl, &target);
    if let Some(added) = answer.entries(Section::Answer).last()
        && added.rtype == Rtype::CNAME
    {
        answer.entries_mut(Section::Answer).rotate_right(1);
    }
}

#[cfg(test)]
mod tests;
