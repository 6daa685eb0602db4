//! Blocks that share a zone, labels, offers, signed replies and replies of several messages. Seen from outside.

#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;
use std::sync::Arc;

use catena_core::{
    Answer, Class, Diagnostic, Envelopes, Fixed, Labels, PluginDef, Query, Reply, Rtype, Seal, Section, Setup, View,
    Zones,
};
use catena_testkit::{Ask, Kit, Recipe};

/// Takes clients from one address.
const ONLY: PluginDef = PluginDef::new("only", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let client = words.one_arg()?.to_owned();
    cx.view(Arc::new(Only(client)));
    Ok(())
});

struct Only(String);

impl View for Only {
    fn name(&self) -> &str {
        &self.0
    }

    fn takes(&self, query: &Query) -> bool {
        query.client().ip().to_string() == self.0
    }
}

/// Answers with TXT: its argument, the view, a label known to `colours` and one set on the way.
const TELL: PluginDef = PluginDef::new("tell", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let word = words.one_arg()?.to_owned();
    cx.link(Fixed(move |q: &mut Query| {
        q.set_label("tell/word", |_| "first".to_owned());
        q.set_label("tell/word", |_| "set".to_owned());
        let colour = q.label("colours/red").unwrap_or(Cow::Borrowed("-"));
        let set = q.label("tell/word").unwrap_or(Cow::Borrowed("-"));
        let text = format!("{word} {} {colour} {set}", q.view());
        let name = q.name().as_slice().to_vec();
        let mut answer = Answer::to(q);
        let rdata = [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        answer.push_wire(Section::Answer, &name, Rtype::TXT, Class::IN, 0, &rdata);
        answer.into()
    }));
    Ok(())
});

/// Knows labels and switches them on for its argument's zone.
const COLOURS: PluginDef = PluginDef::new("colours", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let zone = words.one_arg()?;
    cx.block_settings().label_zones = Some(Zones::from_args([zone]));
    cx.labels(Arc::new(Colours));
    cx.offer::<dyn Labels>(Arc::new(Colours));
    cx.on_linked(|linked| {
        assert_eq!(linked.offers::<dyn Labels>().map(|(name, _)| name).collect::<Vec<_>>(), ["colours"]);
        assert_eq!(linked.offers::<dyn View>().count(), 0);
        linked.warn(Diagnostic::warning("red only"));
        linked.check_label("colours/red", None);
        linked.check_label("colours/blue", None);
        assert!(linked.has_labels() && linked.knows_label("colours/red") && !linked.knows_label("colours/blue"));
        Ok(())
    });
    Ok(())
});

struct Colours;

impl Labels for Colours {
    fn names(&self) -> &[&'static str] {
        &["colours/red"]
    }

    fn label<'a>(&'a self, name: &str, query: &'a Query) -> Option<Cow<'a, str>> {
        (name == "colours/red").then(|| format!("red-{}", query.original().name()).into())
    }
}

fn told(kit: &Kit, client: &str, name: &str) -> String {
    let seen = kit.ask(&Ask::new(&format!("{name} TXT")).from(client));
    seen.answer.first().map_or(seen.rcode, |line| line.split('"').nth(1).unwrap().to_owned())
}

#[test]
fn the_first_block_whose_view_takes_the_query_answers() {
    let corefile = "example.org {\n only 10.0.0.1\n tell one\n}\nexample.org {\n only 10.0.0.2\n tell two\n}\n\
                    example.org {\n tell rest\n}\n. {\n tell root\n}\n";
    let kit = Recipe::new([ONLY, TELL], corefile).build().ok().unwrap();
    assert_eq!(told(&kit, "10.0.0.1:9", "a.example.org"), "one 10.0.0.1 - -");
    assert_eq!(told(&kit, "10.0.0.2:9", "a.example.org"), "two 10.0.0.2 - -");
    assert_eq!(told(&kit, "10.0.0.3:9", "a.example.org"), "rest  - -");
    assert_eq!(told(&kit, "10.0.0.3:9", "a.example.net"), "root  - -");
}

#[test]
fn a_query_that_no_view_takes_goes_to_the_zone_above() {
    let corefile = "a.example.org {\n only 10.0.0.1\n tell one\n}\nexample.org {\n tell above\n}\n";
    let kit = Recipe::new([ONLY, TELL], corefile).build().ok().unwrap();
    assert_eq!(told(&kit, "10.0.0.9:9", "x.a.example.org"), "above  - -");
    let kit = Recipe::new([ONLY, TELL], "example.org {\n only 10.0.0.1\n tell one\n}\n").build().ok().unwrap();
    assert_eq!(told(&kit, "10.0.0.9:9", "a.example.org"), "REFUSED");
}

#[test]
fn a_block_with_a_view_behind_one_without_is_an_error() {
    let corefile = "example.org {\n tell rest\n}\nexample.org {\n only 10.0.0.1\n tell one\n}\n";
    let errors = Recipe::new([ONLY, TELL], corefile).build().err().unwrap();
    assert_eq!(errors[0].0.one_line(), "cannot serve dns://example.org.:53 - it is already defined");
}

#[test]
fn labels_have_values_for_names_in_their_zones_and_those_set_have_them_everywhere() {
    let kit = Kit::of([COLOURS, TELL], "colours example.org\n tell x");
    assert_eq!(told(&kit, "10.0.0.1:9", "A.example.org"), "x  red-A.example.org set");
    assert_eq!(told(&kit, "10.0.0.1:9", "a.example.net"), "x  - set");
    let blue = "plugin/colours: the label 'colours/blue' never has a value: no plugin of the server block knows it";
    assert_eq!(kit.warnings, ["red only", blue]);
}

/// Appends an octet for each message.
struct Stamp(u8);

impl Seal for Stamp {
    fn octets(&self) -> usize {
        400
    }

    fn seal(&mut self, message: &mut Vec<u8>) {
        self.0 += 1;
        message.push(self.0);
    }
}

/// Three messages of one record each.
struct Three(u8);

impl Envelopes for Three {
    fn next(&mut self, query: &mut Query) -> Option<Box<Answer>> {
        self.0 += 1;
        (self.0 <= 3).then(|| {
            let mut answer = Answer::to(query);
            answer.push_wire(Section::Answer, &[0], Rtype::A, Class::IN, 0, &[192, 0, 2, self.0]);
            answer
        })
    }
}

/// Signs; answers AXFR with three messages and A with twenty addresses.
const SIGNED: PluginDef = PluginDef::new("signed", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        q.set_seal(Box::new(Stamp(0)));
        if q.qtype() == Rtype::AXFR {
            return Reply::stream(Three(0));
        }
        let mut answer = Answer::to(q);
        for last in 0..20 {
            answer.push_wire(Section::Answer, &[0], Rtype::A, Class::IN, 0, &[192, 0, 2, last]);
        }
        answer.into()
    }));
    Ok(())
});

#[test]
fn a_signature_is_the_last_thing_in_a_message_and_has_room_in_it() {
    let seen = Kit::of([SIGNED], "signed").ask_for("a.example.org A");
    assert_eq!(seen.wire.last(), Some(&1));
    assert!(seen.flags.contains(&"tc") && seen.wire.len() <= 512 - 399, "{} octets", seen.wire.len());
}

#[test]
fn a_stream_is_pulled_to_its_end_and_every_message_is_signed() {
    let seen = Kit::of([SIGNED], "signed").ask(&Ask::new("example.org AXFR").tcp());
    assert_eq!((seen.messages, seen.answer.len(), seen.wire.last()), (3, 3, Some(&3)));
}

#[test]
fn a_stream_over_udp_is_refused() {
    assert_eq!(Kit::of([SIGNED], "signed").ask_for("example.org AXFR").rcode, "REFUSED");
}
