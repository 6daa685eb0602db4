//! *filter* takes records of a type out of replies, as if the names had none: `filter AAAA` where IPv6 leads nowhere.
//!
//! A query for a type that is left out is not asked further down. Its sibling is, A for AAAA and the other way round: what it says of the
//! name (does it exist, where do its CNAMEs lead) holds for every type, clients ask for it anyway, and upstreams get half of the queries.

mod config;
mod metrics;
mod strip;

use catena_core::prelude::*;
use catena_core::{PerServer, Question, name};

use crate::config::Rule;
use crate::metrics::FilterMetrics;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("filter", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx)?;
    let metrics = metrics::Families::of(cx.metrics());
    cx.link(Filter { rules, metrics, per_server: PerServer::new() });
    Ok(())
}

struct Filter {
    rules: Vec<Rule>,
    metrics: metrics::Families,
    per_server: PerServer<FilterMetrics>,
}

#[async_trait]
impl Plugin for Filter {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let rules = Matching::of(&self.rules, q);
        if rules.is_empty() {
            return next.run(q).await;
        }
        let qtype = q.qtype();
        let mut reply = if rules.filters(qtype) {
            self.count(q);
            self.no_data(q, next).await
        } else if rules.filters_one_of_two(qtype) {
            self.one_of_two(q, next).await
        } else {
            next.run(q).await
        };
        if let Some(answer) = reply.answer_mut() {
            let hints = strip::strip(answer, |rtype| rules.filters(rtype));
            if hints > 0 {
                self.of(q).hints.inc_by(hints as f64);
            }
        }
        reply
    }
}

impl Filter {
    fn of(&self, q: &Query) -> &FilterMetrics {
        self.per_server.get(q, |server| self.metrics.for_server(server, q.view(), &self.rules))
    }

    fn count(&self, q: &Query) {
        if let Some(answers) = self.of(q).answers(q.qtype()) {
            answers.inc();
        }
    }

    /// Lets the rest of the chain answer for the sibling type, and makes that an answer without records.
    async fn no_data(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let asked = q.question().clone();
        q.set_question(Question::new(asked.name(), sibling(asked.qtype()), asked.qclass()));
        let mut reply = next.run(q).await;
        q.set_question(asked);
        if let Some(answer) = reply.answer_mut() {
            empty(answer, q).await;
        }
        reply
    }

    /// Leaves the records out if the name has the sibling type as well.
    async fn one_of_two(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut reply = next.run(q).await;
        let qtype = q.qtype();
        let has = |answer: &Answer, rtype| answer.records(Section::Answer).any(|record| record.rtype() == rtype);
        let Some(answer) = reply.answer_mut().filter(|answer| has(answer, qtype)) else { return reply };
        let other = q.lookup(q.name(), sibling(qtype)).await.ok();
        if other.as_ref().and_then(Reply::answer).is_some_and(|other| has(other, sibling(qtype))) {
            self.count(q);
            empty(answer, q).await;
        }
        reply
    }
}

/// The type that tells as much about a name and is asked for anyway.
fn sibling(rtype: Rtype) -> Rtype {
    if rtype == Rtype::A { Rtype::AAAA } else { Rtype::A }
}

/// Makes a NOERROR reply one of "no data" (RFC 2308 section 2.2): CNAMEs stay, the zone's SOA tells how long it holds.
async fn empty(answer: &mut Answer, q: &Query) {
    if answer.rcode != Rcode::NOERROR {
        return;
    }
    strip::keep_aliases(answer);
    if answer.records(Section::Authority).any(|record| record.rtype() == Rtype::SOA) {
        return;
    }
    answer.entries_mut(Section::Authority).clear();
    let end = name::inline(strip::end_of_chain(answer, q.name()));
    let Ok(reply) = q.lookup(end.for_slice(), Rtype::SOA).await else { return };
    if let Some(found) = reply.answer() {
        strip::take_soa(answer, found, end.for_slice());
    }
}

/// The rules that hold for a query, as a set of places in the list.
struct Matching<'a> {
    rules: &'a [Rule],
    set: u64,
}

impl<'a> Matching<'a> {
    fn of(rules: &'a [Rule], q: &Query) -> Self {
        let held = rules.iter().enumerate().filter(|(_, rule)| rule.holds_for(q));
        Self { rules, set: held.fold(0, |set, (at, _)| set | 1 << at) }
    }

    fn is_empty(&self) -> bool {
        self.set == 0
    }

    fn held(&self) -> impl Iterator<Item = &'a Rule> + '_ {
        self.rules.iter().enumerate().filter(|(at, _)| self.set >> at & 1 == 1).map(|(_, rule)| rule)
    }

    fn filters(&self, rtype: Rtype) -> bool {
        self.held().any(|rule| !rule.one_of_two && rule.types.contains(&rtype))
    }

    fn filters_one_of_two(&self, rtype: Rtype) -> bool {
        self.held().any(|rule| rule.one_of_two && rule.types.contains(&rtype))
    }
}

#[cfg(test)]
mod tests;
