//! The look-ups beside a simple model: a map of names, written down from RFC 1034 section 4.3.2, RFC 4592 section 3.3.1 and RFC 6672.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::kit::{ask, zone};

/// A name as its labels from the right, the apex being none.
type Labels = Vec<String>;

#[derive(Default)]
struct Model {
    records: BTreeMap<Labels, Vec<(String, String)>>,
    /// Names that exist: owners and all names above them.
    names: BTreeSet<Labels>,
}

/// What the model finds: the outcome, and the answer section (for a referral the name servers).
type Answered = (String, Vec<String>);

fn labels(text: &str) -> Labels {
    if text == "@" { Vec::new() } else { text.to_ascii_lowercase().rsplit('.').map(str::to_owned).collect() }
}

fn text(labels: &[String]) -> String {
    if labels.is_empty() {
        return "@".to_owned();
    }
    labels.iter().rev().cloned().collect::<Vec<_>>().join(".")
}

impl Model {
    fn new(lines: &[String]) -> Self {
        let mut model = Self::default();
        for line in ["@ SOA", "@ NS ns"].into_iter().chain(lines.iter().map(String::as_str)) {
            let mut words = line.splitn(3, ' ');
            let (owner, rtype) = (labels(words.next().unwrap()), words.next().unwrap().to_owned());
            let data = words.next().unwrap_or("").to_owned();
            for above in 0..=owner.len() {
                model.names.insert(owner[..above].to_vec());
            }
            let records = model.records.entry(owner).or_default();
            if !records.contains(&(rtype.clone(), data.clone())) {
                records.push((rtype, data));
            }
        }
        model
    }

    fn of(&self, name: &[String], rtype: &str) -> Vec<String> {
        let records = self.records.get(name).map_or(&[][..], Vec::as_slice);
        records.iter().filter(|record| record.0 == rtype).map(|record| record.1.clone()).collect()
    }

    fn ask(&self, name: &str, rtype: &str) -> Answered {
        let mut answer: Vec<String> = Vec::new();
        let mut followed: Vec<Labels> = Vec::new();
        let mut name = labels(name);
        for _ in 0..super::super::CHAIN_MAX {
            if followed.contains(&name) {
                break;
            }
            let (outcome, target) = self.one(&name, rtype, &mut answer);
            let Some(target) = target else {
                // At the end of a chain of CNAMEs the outcome of an owner without the type is the answer so far.
                let own = self.records.contains_key(&name);
                let ends = outcome == "NoData" && !followed.is_empty() && own && rtype != "NS";
                return (if ends { "Answered".to_owned() } else { outcome }, answer);
            };
            followed.push(name);
            name = target;
        }
        ("Answered".to_owned(), answer)
    }

    /// One turn of the algorithm of RFC 1034: down from the apex, label by label.
    fn one(&self, name: &Labels, rtype: &str, answer: &mut Vec<String>) -> (String, Option<Labels>) {
        for depth in 0..=name.len() {
            let here = &name[..depth];
            if !self.names.contains(here) {
                // RFC 4592 section 3.3.1: the closest encloser is one label up, the source of synthesis is its child `*`.
                let mut star = name[..depth - 1].to_vec();
                star.push("*".to_owned());
                if !self.names.contains(&star) {
                    return ("NxDomain".to_owned(), None);
                }
                return self.data(name, &star, rtype, answer);
            }
            if let (Some(dname), true) = (self.of(here, "DNAME").first(), depth < name.len()) {
                let mut target = labels(dname);
                target.extend(name[depth..].iter().cloned());
                if target == *name {
                    return ("SelfMapped".to_owned(), None);
                }
                let told = format!("{} DNAME {dname}", text(here));
                if !answer.contains(&told) {
                    answer.push(told);
                }
                answer.push(format!("{} CNAME {}", text(name), text(&target)));
                if rtype == "CNAME" || labels(dname).starts_with(here) {
                    return ("Answered".to_owned(), None);
                }
                return (String::new(), Some(target));
            }
            let servers = self.of(here, "NS");
            let parent_side = depth == name.len() && rtype == "DS";
            if depth > 0 && !servers.is_empty() && !parent_side {
                answer.extend(servers.iter().map(|server| format!("{} NS {server}", text(here))));
                return ("Delegation".to_owned(), None);
            }
        }
        self.data(name, name, rtype, answer)
    }

    fn data(
        &self,
        name: &Labels,
        source: &[String],
        rtype: &str,
        answer: &mut Vec<String>,
    ) -> (String, Option<Labels>) {
        if let (Some(target), true) = (self.of(source, "CNAME").first(), rtype != "CNAME") {
            answer.push(format!("{} CNAME {target}", text(name)));
            return (String::new(), Some(labels(target)));
        }
        let found = self.of(source, rtype);
        for line in found.iter().map(|data| format!("{} {rtype} {data}", text(name)).trim_end().to_owned()) {
            if rtype != "DNAME" || !answer.contains(&line) {
                answer.push(line);
            }
        }
        let outcome = match () {
            () if !found.is_empty() => "Answered",
            () if name == source && !self.records.contains_key(name) => "EmptyNonTerminal",
            () => "NoData",
        };
        (outcome.to_owned(), None)
    }
}

/// Names of few labels, so that zones are full of cuts, wildcards and names between.
fn any_name() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![4 => "[abc]", 1 => Just("*".to_owned())], 1..5)
        .prop_map(|labels| labels.join("."))
}

fn any_record() -> impl Strategy<Value = String> {
    (any_name(), any_name(), 0..12).prop_map(|(owner, target, kind)| match kind {
        0 => format!("{owner} CNAME {target}"),
        1 if !owner.contains('*') => format!("{owner} NS {target}"),
        2 => format!("{owner} DNAME {target}"),
        3 => format!("{owner} DS x"),
        4..=6 => format!("{owner} TXT {}", target.len()),
        _ => format!("{owner} A 192.0.2.{}", target.len()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn look_ups_find_what_the_model_finds(
        lines in proptest::collection::vec(any_record(), 0..25),
        questions in proptest::collection::vec((any_name(), prop_oneof![
            Just("A"), Just("TXT"), Just("NS"), Just("DS"), Just("CNAME"), Just("DNAME")]), 1..40),
    ) {
        let model = Model::new(&lines);
        let zone = zone(&lines.join("\n"));
        for (name, rtype) in questions {
            let (outcome, expected) = model.ask(&name, rtype);
            let found = ask(&zone, &format!("{name} {rtype}"));
            let referral = format!("~ {}", if outcome == "Delegation" { "" } else { "never" });
            let answer: Vec<String> = found[1..]
                .iter()
                .filter_map(|line| line.strip_prefix("= ").or_else(|| line.strip_prefix(&referral)))
                .map(|line| line.trim_end_matches(" x").to_owned())
                .collect();
            let expected: Vec<String> = expected.iter().map(|line| line.trim_end_matches(" x").to_owned()).collect();
            prop_assert_eq!((&found[0], &answer), (&outcome, &expected), "{} {} in {:?}", name, rtype, lines);
        }
    }
}
