//! *blocklist* answers queries for listed names by itself: lists of names, hosts files, response policy zones.
//!
//! `text` and `rpz` make [`rules::Rules`] of files and zones; `source` reads files again when they change, `transfer` follows zones at their
//! primaries, and queries see the list before until there is the next one; `table` finds a name in a list of millions; `respond` makes the answers. A query is judged twice: by its name and its client before the
//! rest of the chain sees it, and by the aliases and addresses that come back.

mod address;
mod config;
mod metrics;
mod respond;
mod rpz;
mod rules;
mod source;
mod table;
mod text;
mod transfer;

use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use catena_core::prelude::*;
use catena_core::{LabelStarts, LabelsSet, Opcode, Protocol, name};

use crate::config::{BlockAnswer, ListSpec, Origin, Policy};
use crate::metrics::{Done, Hits};
use crate::respond::Hit;
use crate::rules::Verdict;
use crate::source::{Checked, Source, Watch};
use crate::table::{Action, Seed, Suffixes};
use crate::transfer::Follow;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("blocklist", setup);

/// The label of the list that had something to say.
const LABEL: &str = "blocklist/list";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let policies = config::parse(cx)?;
    let before = predecessor(&policies, cx);
    let seed = before.as_ref().map_or_else(Seed::default, |before| before.seed.clone());
    let mut sources: Vec<Arc<Source>> = Vec::new();
    let mut sides = Vec::new();
    for policy in policies {
        let mut add = |specs: &[ListSpec]| -> Result<Range<usize>, Diagnostic> {
            let start = sources.len();
            for spec in specs {
                let source = Arc::new(read_first(spec, &seed, before.as_deref(), cx)?);
                follow(spec, &source, cx);
                sources.push(source);
            }
            Ok(start..sources.len())
        };
        let (lists, allow) = (add(&policy.lists)?, add(&policy.allow)?);
        if let Some(every) = policy.reload {
            let of_files = sources[lists.start..].iter().filter(|source| source.origin.path().is_some());
            cx.service(Arc::new(Watch { sources: of_files.cloned().collect(), every }));
        }
        sides.push(Side { policy, lists, allow });
    }
    let hits = Hits::of(cx.metrics(), sources.iter().map(|source| source.name.clone()).collect());
    cx.bequeath(Arc::new(Estate { seed: seed.clone(), sources: sources.clone() }));
    let all = sources.clone();
    cx.readiness(Arc::new(move || all.iter().all(|source| source.is_loaded())));
    cx.labels(Arc::new(LabelsSet(&[LABEL])));
    cx.link(Blocklist { seed, sources, sides, hits });
    Ok(())
}

/// The lists of a server block, for the one that takes its place.
struct Estate {
    seed: Seed,
    sources: Vec<Arc<Source>>,
}

/// Of the blocks of the instance before the one with most of the lists of this one: their names need not be read and hashed again.
fn predecessor(policies: &[Policy], cx: &Setup<'_>) -> Option<Arc<Estate>> {
    let in_common = |estate: &Estate| {
        let lists = policies.iter().flat_map(|policy| policy.lists.iter().chain(&policy.allow));
        lists.filter(|list| estate.sources.iter().any(|source| source.origin == list.origin)).count()
    };
    let best = cx.left_behind::<Estate>().max_by_key(|estate| in_common(estate))?;
    Some(best).filter(|best| in_common(best) > 0)
}

/// A list, its file read for the first time unless it is what the instance before has read. One that is not there is waited for: who downloads it may not have done so yet.
fn read_first(spec: &ListSpec, seed: &Seed, before: Option<&Estate>, cx: &mut Setup<'_>) -> Result<Source, Diagnostic> {
    let source = Source::new(spec, seed, cx);
    if let Some(known) = before.and_then(|before| before.sources.iter().find(|known| known.origin == source.origin)) {
        source.take_over(known);
    }
    let told = |text: String| {
        let mut error = spec.at.clone();
        error.message = text;
        error
    };
    let path = spec.origin.path().unwrap_or(std::path::Path::new("")).display().to_string();
    match source.check() {
        Checked::Loaded | Checked::Unchanged => {}
        Checked::Missing(error) if source.is_loaded() => source.tell(Some(catena_gocompat::os::error_text(&error))),
        Checked::Missing(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let warning =
                Diagnostic::warning(format!("no list {path:?} yet: nothing is blocked by it until it is there"));
            cx.warn(spec.span.map_or(warning.clone(), |span| warning.with_span(span)));
        }
        Checked::Missing(error) => {
            return Err(told(format!("cannot read {path:?}: {}", catena_gocompat::os::error_text(&error))));
        }
        Checked::Broken(text) => return Err(told(format!("{path:?} is no list: {text}"))),
    }
    Ok(source)
}

/// Has a zone fetched from its primaries.
fn follow(spec: &ListSpec, source: &Arc<Source>, cx: &mut Setup<'_>) {
    let Origin::Primary { zone, primaries, key } = &spec.origin else { return };
    let follow = Arc::new(Follow {
        source: Arc::clone(source),
        zone: zone.clone(),
        primaries: primaries.clone(),
        key_name: key.clone(),
        key: Arc::new(OnceLock::new()),
        at: spec.at.clone(),
        clock: cx.clock(),
        log: cx.log(),
    });
    let finds = Arc::clone(&follow);
    cx.on_linked(move |linked| finds.find_key(linked));
    cx.service(follow);
}

/// One use of the directive with the places of its lists among all.
struct Side {
    policy: Policy,
    lists: Range<usize>,
    allow: Range<usize>,
}

struct Blocklist {
    seed: Seed,
    /// All lists, in the order of the Corefile.
    sources: Vec<Arc<Source>>,
    sides: Vec<Side>,
    hits: Hits,
}

/// What is known of a query before the rest of the chain has seen it.
enum Judgement {
    /// No list is about it.
    Pass,
    /// A list has the name or the client.
    Hit(Hit),
    /// These uses of the directive, as a set, want to see the reply; of their lists those before `until`. If they do not mind it, `hit`
    /// is what is done.
    Watch { sides: u32, until: usize, hit: Option<Hit> },
}

#[async_trait]
impl Plugin for Blocklist {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if q.qclass() != Class::IN || q.opcode() != Opcode::QUERY {
            return next.run(q).await;
        }
        match self.judge(q) {
            Judgement::Pass => next.run(q).await,
            Judgement::Hit(hit) if self.passes(q, &hit) => next.run(q).await,
            Judgement::Hit(hit) => self.answer(q, &hit).await,
            Judgement::Watch { sides, until, hit } => {
                let reply = next.run(q).await;
                match self.judge_reply(&reply, sides, until).or(hit) {
                    Some(hit) if !self.passes(q, &hit) => self.answer(q, &hit).await,
                    _ => reply,
                }
            }
        }
    }
}

impl Blocklist {
    /// By name and client. The first list that has either decides, unless one before wants to see the addresses of the reply.
    fn judge(&self, q: &Query) -> Judgement {
        let client = q.client().ip().to_canonical();
        let mut suffixes = None;
        let (mut sides, mut waits) = (0, false);
        for (number, side) in self.sides.iter().enumerate() {
            if !side.policy.holds_for(q, client) {
                continue;
            }
            let name =
                suffixes.get_or_insert_with(|| Suffixes::of(&self.seed, q.lower().as_slice(), q.question().labels()));
            if q.is_internal() && self.is_garden(q, name) {
                return Judgement::Pass;
            }
            if let Some(list) = self.allowed(side, name) {
                self.count(q, list, Done::Allowed);
                continue;
            }
            sides |= 1 << number;
            for list in side.lists.clone() {
                let rules = self.sources[list].rules();
                if let Some(verdict) = rules.client(client).or_else(|| rules.name(name)) {
                    let hit = Hit { policy: number, list, rules: Arc::clone(&rules), verdict };
                    return if waits {
                        Judgement::Watch { sides, until: list, hit: Some(hit) }
                    } else {
                        Judgement::Hit(hit)
                    };
                }
                waits |= rules.has_answers();
            }
        }
        if sides == 0 { Judgement::Pass } else { Judgement::Watch { sides, until: usize::MAX, hit: None } }
    }

    /// Whether a list or the directive leads to the name: what stands there is for clients whose names are blocked.
    fn is_garden(&self, q: &Query, name: &Suffixes<'_>) -> bool {
        let leads = |side: &Side| matches!(&side.policy.answer, BlockAnswer::Cname(target) if target == q.lower());
        self.sides.iter().any(leads) || self.sources.iter().any(|source| source.rules().gardens.find(name).is_some())
    }

    /// Counts what clients asked; look-ups on their behalf are not counted again.
    fn count(&self, q: &Query, list: usize, done: Done) {
        if !q.is_internal() {
            self.hits.count(q, list, done);
        }
    }

    /// The list that allows a name, if one does.
    fn allowed(&self, side: &Side, name: &Suffixes<'_>) -> Option<usize> {
        side.allow.clone().find(|list| self.sources[*list].rules().name(name).is_some())
    }

    /// By the aliases and the addresses in the answer.
    fn judge_reply(&self, reply: &Reply, sides: u32, until: usize) -> Option<Hit> {
        let answer = reply.answer().filter(|answer| answer.count(Section::Answer) > 0)?;
        for (number, side) in self.sides.iter().enumerate().filter(|(number, _)| sides >> number & 1 == 1) {
            for list in side.lists.clone().take_while(|list| *list < until) {
                let rules = self.sources[list].rules();
                let by_name = || aliases(answer).find_map(|target| self.alias(side, &rules, target));
                let by_address = || addresses(answer).filter(|_| rules.has_answers()).find_map(|ip| rules.answer(ip));
                if let Some(verdict) = by_name().or_else(by_address) {
                    // The name asked is answered, whatever name or address led there.
                    let verdict = Verdict { labels: None, ..verdict };
                    return Some(Hit { policy: number, list, rules: Arc::clone(&rules), verdict });
                }
            }
        }
        None
    }

    /// What a list says about the target of an alias that is not allowed.
    fn alias(&self, side: &Side, rules: &rules::Rules, target: &domain::base::Name<[u8]>) -> Option<Verdict> {
        let mut lower = name::inline(target);
        lower.make_canonical();
        let labels = LabelStarts::of(lower.as_slice());
        let suffixes = Suffixes::of(&self.seed, lower.as_slice(), &labels);
        rules.name(&suffixes).filter(|_| self.allowed(side, &suffixes).is_none())
    }

    /// Whether the list lets the query pass, which is counted.
    fn passes(&self, q: &mut Query, hit: &Hit) -> bool {
        let passes = match hit.verdict.action {
            Action::Pass => true,
            Action::TcpOnly => q.protocol() == Protocol::Tcp,
            _ => false,
        };
        if passes {
            self.done(q, hit, Done::Passed);
        }
        passes
    }

    async fn answer(&self, q: &mut Query, hit: &Hit) -> Reply {
        let (Some(side), Some(source)) = (self.sides.get(hit.policy), self.sources.get(hit.list)) else {
            return Reply::default();
        };
        let (done, reply) = respond::respond(q, hit, &side.policy, &source.name).await;
        self.done(q, hit, done);
        reply
    }

    fn done(&self, q: &mut Query, hit: &Hit, done: Done) {
        self.count(q, hit.list, done);
        q.set_label(LABEL, |_| self.sources.get(hit.list).map_or_else(String::new, |source| source.name.clone()));
    }
}

/// The targets of the aliases in an answer.
fn aliases(answer: &Answer) -> impl Iterator<Item = &domain::base::Name<[u8]>> {
    answer.records(Section::Answer).filter(|record| record.rtype() == Rtype::CNAME).filter_map(|record| record.target())
}

/// The addresses in an answer.
fn addresses(answer: &Answer) -> impl Iterator<Item = IpAddr> + '_ {
    answer.records(Section::Answer).filter_map(|record| record.address())
}

#[cfg(test)]
mod tests;
