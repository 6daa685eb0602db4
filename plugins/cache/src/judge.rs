//! What kind of reply a message is for the cache, and whether it answers the question.

use catena_core::classify::{self, Kind};
use catena_core::prelude::*;
use catena_core::{Question, Record};

/// The longest chain of CNAMEs that is followed; a longer one answers nothing.
pub(crate) const CNAME_CHAIN_MAX: usize = 128;

/// What the cache needs to know about a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The kind as everybody sees it.
    pub(crate) plain: Kind,
    /// The kind for the cache: an answer that leads nowhere but has a SOA record denies the data (RFC 2308 section 2.2).
    pub(crate) kind: Kind,
    /// It answers the question.
    pub(crate) answers: bool,
    /// It may be stored at all.
    pub(crate) storable: bool,
}

/// Looks at a reply. `now` is the time in seconds since 1970.
pub(crate) fn judge(answer: &Answer, question: &Question, now: u64) -> Verdict {
    let plain = classify::classify(answer, question.qtype(), now);
    let has_soa = answer.entries(Section::Authority).iter().any(|entry| entry.rtype == Rtype::SOA);
    let answers = answer.rcode == Rcode::NOERROR && answers_question(answer, question);
    // An empty answer section is no such thing: some plugins answer in the additional section only.
    let leads_nowhere = plain == Kind::NoError && answer.count(Section::Answer) > 0 && !answers;
    let kind = if leads_nowhere && has_soa { Kind::NoData } else { plain };
    let storable = !answer.has(flags::TC)
        && !answer.overflowed()
        && match kind {
            Kind::OtherError | Kind::Meta | Kind::Update => false,
            // RFC 2308 section 5: without a SOA record nobody says how long the denial holds.
            Kind::NameError => has_soa,
            Kind::NoError => !leads_nowhere,
            Kind::NoData | Kind::Delegation | Kind::ServerError => true,
        };
    Verdict { plain, kind, answers, storable }
}

/// Whether the answer section answers the question: it has records of the type at the end of the chain of CNAMEs that begins at the
/// name (RFC 1034 section 3.6.2). A CNAME query is answered by one CNAME at the name, an ANY query by anything there.
pub(crate) fn answers_question(answer: &Answer, question: &Question) -> bool {
    let chain = Chain { answer, qclass: question.qclass() };
    let name = question.lower().as_slice();
    match question.qtype() {
        Rtype::ANY => chain.at(name).next().is_some(),
        Rtype::CNAME => matches!(chain.target(name), Target::One(_)),
        qtype => chain.end(name).is_some_and(|end| chain.at(end).any(|record| record.rtype() == qtype)),
    }
}

struct Chain<'a> {
    answer: &'a Answer,
    qclass: Class,
}

enum Target<'a> {
    /// No CNAME at the name.
    None,
    /// One target, perhaps named several times.
    One(&'a [u8]),
    /// Several: the name is broken (RFC 2181 section 10.1).
    Many,
}

impl<'a> Chain<'a> {
    /// The records of a name in the class of the question.
    fn at<'n>(&self, owner: &'n [u8]) -> impl Iterator<Item = Record<'a>> + use<'a, 'n> {
        let qclass = self.qclass;
        self.answer.records(Section::Answer).filter(move |record| {
            (qclass == Class::ANY || record.class() == qclass) && record.owner_wire().eq_ignore_ascii_case(owner)
        })
    }

    fn target(&self, owner: &[u8]) -> Target<'a> {
        let mut found: Option<&'a [u8]> = None;
        for record in self.at(owner).filter(|record| record.rtype() == Rtype::CNAME) {
            match found {
                Some(target) if !target.eq_ignore_ascii_case(record.rdata()) => return Target::Many,
                Some(_) => {}
                None => found = Some(record.rdata()),
            }
        }
        found.map_or(Target::None, Target::One)
    }

    /// The end of the chain; `None` if it forks, turns in a circle or is too long.
    fn end<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]>
    where
        'a: 'n,
    {
        let mut owner = name;
        // A chain without a circle has fewer steps than there are records.
        for _ in 0..=self.answer.count(Section::Answer).min(CNAME_CHAIN_MAX) {
            match self.target(owner) {
                Target::None => return Some(owner),
                Target::One(target) => owner = target,
                Target::Many => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use catena_core::name::owned;
    use domain::rdata::Cname;

    enum R {
        A(&'static str),
        Cname(&'static str, &'static str),
    }
    use R::{A, Cname as C};

    fn answers(asked: &str, qtype: Rtype, records: &[R]) -> bool {
        let mut answer = Answer::default();
        for record in records {
            match record {
                A(owner) => {
                    let address = "192.0.2.1".parse().unwrap();
                    answer.push_address(Section::Answer, &owned(owner).unwrap(), Class::IN, 60, address);
                }
                C(owner, target) => {
                    let target = Cname::new(owned(target).unwrap());
                    answer.push(Section::Answer, &owned(owner).unwrap(), Class::IN, 60, &target);
                }
            }
        }
        answers_question(&answer, &Question::new(owned(asked).unwrap().for_slice(), qtype, Class::IN))
    }

    #[test]
    fn a_chain_that_ends_in_the_type_answers_in_any_order_and_case() {
        assert!(answers(
            "a.example.org",
            Rtype::A,
            &[A("c.example.org"), C("B.example.org", "C.example.org"), C("a.EXAMPLE.org", "b.example.org")]
        ));
    }

    #[test]
    fn a_chain_that_ends_in_nothing_answers_nothing() {
        assert!(!answers("a.example.org", Rtype::A, &[C("a.example.org", "b.example.org"), A("x.example.org")]));
        assert!(!answers("a.example.org", Rtype::MX, &[A("a.example.org")]));
    }

    #[test]
    fn a_circle_answers_nothing() {
        assert!(!answers(
            "a.example.org",
            Rtype::A,
            &[C("a.example.org", "b.example.org"), C("b.example.org", "a.example.org"), A("a.example.org")]
        ));
    }

    #[test]
    fn two_targets_answer_nothing_but_one_target_twice_does() {
        let (one, other) = (C("a.example.org", "b.example.org"), C("a.example.org", "c.example.org"));
        assert!(!answers("a.example.org", Rtype::CNAME, &[one, other]));
        let (one, again) = (C("a.example.org", "b.example.org"), C("a.example.org", "B.example.org"));
        assert!(answers("a.example.org", Rtype::CNAME, &[one, again]));
    }

    #[test]
    fn any_wants_anything_at_the_name() {
        assert!(answers("a.example.org", Rtype::ANY, &[A("a.example.org")]));
        assert!(!answers("a.example.org", Rtype::ANY, &[A("b.example.org")]));
    }

    #[test]
    fn a_chain_is_followed_up_to_its_limit() {
        let chain = |steps: usize| {
            let mut answer = Answer::default();
            let name = |step: usize| owned(&format!("n{step}.example.org")).unwrap();
            for step in 0..steps {
                answer.push(Section::Answer, &name(step), Class::IN, 60, &Cname::new(name(step + 1)));
            }
            answer.push_address(Section::Answer, &name(steps), Class::IN, 60, "192.0.2.1".parse().unwrap());
            answers_question(&answer, &Question::new(name(0).for_slice(), Rtype::A, Class::IN))
        };
        assert!(chain(CNAME_CHAIN_MAX));
        assert!(!chain(CNAME_CHAIN_MAX + 1));
    }
}
