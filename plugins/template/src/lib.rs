//! *template* makes replies from Go templates.
//!
//! [`config`] reads the directive into rules, [`data`] is what templates and expressions see of a query, [`record`] and [`text`] read
//! the text that a template makes. A rule is executed as a whole before anything waits; only the targets of CNAME records are looked
//! up, through this server.

mod config;
mod data;
mod metrics;
mod record;
mod text;

use catena_core::name::lower_text;
use catena_core::prelude::*;
use catena_core::{Log, ReplyEdns};
use catena_gocompat::template::Template as Source;
use domain::base::Name;

use crate::config::Rule;
use crate::data::Data;
use crate::metrics::{Failure, Failures, Labels};
use crate::record::TextRecord;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("template", setup);

/// The size that the OPT record of an extended error tells, octets. The server puts the client's in its place.
const EXTENDED_UDP_SIZE: u16 = 4096;
/// The most CNAME records of one reply whose targets are looked up.
const TARGETS_MAX: usize = 8;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx)?;
    let (failures, log) = (Failures::new(cx.metrics()), cx.log());
    cx.link_later(move |linked| {
        rules.iter().for_each(|rule| rule.check_labels(linked));
        Ok(Template { rules, failures, log })
    });
    Ok(())
}

struct Template {
    rules: Vec<Rule>,
    failures: Failures,
    log: Log,
}

/// What a rule says to a query.
enum Verdict<'a> {
    /// The next rule, then the next plugin.
    Next,
    /// SERVFAIL without a word.
    Fail,
    /// The reply is made of this.
    Match(Data<'a>),
}

/// The records of a reply.
#[derive(Default)]
struct Rendered {
    answer: Vec<TextRecord>,
    additional: Vec<TextRecord>,
    authority: Vec<TextRecord>,
}

impl Template {
    /// The first rule that matches, with its records; `Ok(None)` for the next plugin.
    fn render(&self, q: &Query) -> Result<Option<(&Rule, Rendered)>, Reply> {
        let name = lower_text(q.lower());
        for rule in &self.rules {
            let data = match self.judge(rule, q, &name) {
                Verdict::Next => continue,
                Verdict::Fail => return Err(Reply::status(Rcode::SERVFAIL)),
                Verdict::Match(data) => data,
            };
            let own = q.qclass() == rule.class && q.qtype() == rule.rtype;
            let zone = rule.zones.iter().position(|zone| std::ptr::eq(zone, data.zone)).filter(|_| own);
            rule.matches.count(q, zone, labels(&data));
            if rule.rcode == Rcode::SERVFAIL {
                return Err(Reply::status(Rcode::SERVFAIL));
            }
            let rendered = Rendered {
                answer: self.records(&data, "answer", &rule.answer)?,
                additional: self.records(&data, "additional", &rule.additional)?,
                authority: self.records(&data, "authority", &rule.authority)?,
            };
            return Ok(Some((rule, rendered)));
        }
        Ok(None)
    }

    fn judge<'a>(&self, rule: &'a Rule, q: &'a Query, name: &'a str) -> Verdict<'a> {
        let question = q.question();
        let Some(zone) = rule.zones.longest(question.lower().as_slice(), question.labels()) else {
            return Verdict::Next;
        };
        let class_fits = [rule.class, q.qclass()].contains(&Class::ANY) || rule.class == q.qclass();
        let type_fits = [rule.rtype, q.qtype()].contains(&Rtype::ANY) || rule.rtype == q.qtype();
        if !class_fits || !type_fits {
            return Verdict::Next;
        }
        let otherwise = || if rule.fall.covers(question) { Verdict::Next } else { Verdict::Fail };
        let matched = rule.patterns.iter().find_map(|pattern| Some((pattern, pattern.captures(name)?)));
        let Some((pattern, groups)) = matched else { return otherwise() };
        let mut data = Data::new(q, rule, zone, name, pattern.as_str(), groups);
        for (variable, program) in &rule.variables {
            match program.run(&data) {
                Ok(value) => data.variables.push((variable, value)),
                Err(error) => {
                    self.log.debug(format_args!("{name}: {}: {error}", program.source()));
                    return Verdict::Fail;
                }
            }
        }
        for program in &rule.conditions {
            match program.run(&data).map(|value| value.as_bool()) {
                Ok(Some(true)) => {}
                Ok(_) => return otherwise(),
                Err(error) => {
                    self.log.debug(format_args!("{name}: {}: {error}", program.source()));
                    return Verdict::Fail;
                }
            }
        }
        Verdict::Match(data)
    }

    fn records(&self, data: &Data<'_>, section: &str, templates: &[Source]) -> Result<Vec<TextRecord>, Reply> {
        let one = |template: &Source| {
            let failed =
                |failure| self.failures.count(failure, data.query, labels(data), section, template.canonical());
            let text = template.execute(data).map_err(|error| {
                failed(Failure::Execution);
                Reply::fail(Error::ours(error.to_string()).caused_by(error))
            })?;
            record::parse(&text).map_err(|error| {
                failed(Failure::Record);
                Reply::fail(Error::ours(format!("dns: {error}")).caused_by(error))
            })
        };
        templates.iter().map(one).collect()
    }
}

fn labels<'a>(data: &'a Data<'_>) -> Labels<'a> {
    Labels { zone: data.zone.text(), class: data.class, rtype: &data.rtype }
}

fn push(answer: &mut Answer, section: Section, record: &TextRecord) {
    answer.push_wire(section, record.owner.as_slice(), record.rtype, record.class, record.ttl, &record.rdata);
}

/// The target to be looked up for a record: that of a CNAME record, unless it is the name asked, for questions about addresses.
fn target<'a>(record: &'a TextRecord, q: &Query) -> Option<&'a Name<[u8]>> {
    if record.rtype != Rtype::CNAME || !matches!(q.qtype(), Rtype::A | Rtype::AAAA) {
        return None;
    }
    Name::from_slice(&record.rdata).ok().filter(|target| *target != q.lower())
}

/// Adds the answer section; behind a CNAME record what its target has. A look-up that fails adds nothing (CoreDNS: plugin/template).
async fn fill_answer(answer: &mut Answer, records: &[TextRecord], q: &Query) {
    let mut targets = 0;
    for record in records {
        push(answer, Section::Answer, record);
        let Some(target) = target(record, q) else { continue };
        targets += 1;
        if targets > TARGETS_MAX {
            continue;
        }
        let found = q.lookup(target, q.qtype()).await;
        if let Some(found) = found.as_ref().ok().and_then(Reply::answer) {
            answer.set(flags::TC, answer.has(flags::TC) || found.has(flags::TC));
            answer.append_section(Section::Answer, found, Section::Answer);
        }
    }
}

#[async_trait]
impl Plugin for Template {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let (rule, rendered) = match self.render(q) {
            Ok(Some(found)) => found,
            Ok(None) => return next.run(q).await,
            Err(reply) => return reply,
        };
        let mut answer = Answer::to(q).authoritative().with_rcode(rule.rcode);
        fill_answer(&mut answer, &rendered.answer, q).await;
        for record in &rendered.additional {
            push(&mut answer, Section::Additional, record);
        }
        for record in &rendered.authority {
            push(&mut answer, Section::Authority, record);
        }
        if let Some(option) = &rule.extended {
            answer.edns = Some(ReplyEdns { udp_size: EXTENDED_UDP_SIZE, dnssec_ok: false, options: option.clone() });
        }
        answer.into()
    }
}
