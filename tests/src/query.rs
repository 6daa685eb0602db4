//! The queries that steps send.

use domain::base::iana::{Class, OptionCode, Rtype};
use domain::base::{MessageBuilder, Name, Record, Serial, Ttl};
use domain::rdata::Soa;
use std::str::FromStr;

use crate::Error;
use crate::message::{self, Message};
use crate::options;
use crate::value::Value;

/// The largest EDNS size that is offered unless the step names one, in octets.
const EDNS_SIZE: u16 = 1232;

/// A query and its bytes.
#[derive(Debug, Clone)]
pub struct Query {
    /// As a server will understand it.
    pub message: Message,
    /// As it is sent.
    pub wire: Vec<u8>,
}

/// Builds the query of a `query`, `notify` or `transfer` step. Its id is made of the number of the step, so that
/// logs stay the same from run to run.
///
/// # Errors
/// [`Error::Case`] when the step asks for what cannot be built.
pub fn build(step: &Value, number: usize) -> Result<Query, Error> {
    let asked = Asked::of(step)?;
    let id = step.number_of("id")?.unwrap_or((1000 + number) as u16);
    let wrong = |what: &str| Error::Case(format!("{what} of a query: {step}"));
    let name = Name::<Vec<u8>>::from_str(&asked.name).map_err(|_| wrong("the name"))?;
    let full = |_| wrong("the size");

    let mut question = MessageBuilder::new_vec().question();
    question.push((&name, asked.kind, asked.class)).map_err(full)?;
    let mut authority = question.answer().authority();
    if let Some(serial) = asked.serial {
        let root = Name::<Vec<u8>>::root_vec();
        let none = Ttl::ZERO;
        let soa = Soa::new(root.clone(), root, Serial(serial), none, none, none, none);
        authority.push(Record::new(&name, Class::IN, none, soa)).map_err(full)?;
    }
    let mut additional = authority.additional();
    if let Some(edns) = step.get("edns") {
        let edns = Edns::of(edns)?;
        additional
            .opt(|opt| {
                opt.set_udp_payload_size(edns.size);
                opt.set_version(edns.version);
                opt.set_dnssec_ok(edns.dnssec_ok);
                for (code, data) in &edns.options {
                    opt.push_raw_option(OptionCode::from_int(*code), data.len() as u16, |out| {
                        out.extend_from_slice(data);
                        Ok(())
                    })?;
                }
                Ok(())
            })
            .map_err(full)?;
    }
    let mut wire = additional.finish();
    let bits = asked.flags | u16::from(asked.opcode) << 11;
    wire[..2].copy_from_slice(&id.to_be_bytes());
    wire[2..4].copy_from_slice(&bits.to_be_bytes());
    let message = Message::parse(&wire).ok_or_else(|| wrong("the form"))?;
    Ok(Query { message, wire })
}

/// What a step asks, apart from EDNS.
struct Asked {
    name: String,
    kind: Rtype,
    class: Class,
    flags: u16,
    opcode: u8,
    /// The serial of an incremental transfer.
    serial: Option<u32>,
}

impl Asked {
    fn of(step: &Value) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Case(format!("unknown {what} in {step}"));
        let (notify, transfer) = (step.str_of("notify"), step.str_of("transfer"));
        let serial = if transfer.is_some() { step.number_of("serial")? } else { None };
        let text = match (step.str_of("query"), notify, transfer) {
            (Some(query), ..) => query.to_owned(),
            (_, Some(zone), _) => format!("{zone} SOA"),
            (.., Some(zone)) => format!("{zone} {}", if serial.is_some() { "IXFR" } else { "AXFR" }),
            _ => return Err(wrong("question")),
        };
        let mut words = text.split_whitespace();
        let name = words.next().ok_or_else(|| wrong("name"))?.to_owned();
        let kind = words.next().and_then(|word| Rtype::from_str(word).ok()).ok_or_else(|| wrong("type"))?;
        let class = words.next().map_or(Ok(Class::IN), class_of).map_err(|()| wrong("class"))?;
        let flags = match step.get("flags") {
            Some(_) => flags(&step.list_of("flags"))?,
            None if notify.is_some() => flags(&["aa".into()])?,
            None if transfer.is_some() => 0,
            None => flags(&["rd".into()])?,
        };
        let default = if notify.is_some() { "notify" } else { "query" };
        let opcode = opcode_of(step.str_of("opcode").unwrap_or(default)).ok_or_else(|| wrong("opcode"))?;
        Ok(Self { name, kind, class, flags, opcode, serial })
    }
}

fn class_of(word: &str) -> Result<Class, ()> {
    if word == "ANY" { Ok(Class::ANY) } else { Class::from_str(word).map_err(|_| ()) }
}

fn flags(names: &[String]) -> Result<u16, Error> {
    names.iter().try_fold(0, |bits, name| {
        let found = message::FLAGS.iter().find(|(known, _)| known == name);
        found.map(|(_, bit)| bits | bit).ok_or_else(|| Error::Case(format!("unknown flag {name:?}")))
    })
}

fn opcode_of(word: &str) -> Option<u8> {
    let known = [("QUERY", 0), ("IQUERY", 1), ("STATUS", 2), ("NOTIFY", 4), ("UPDATE", 5)];
    known
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, code)| code)
        .or_else(|| word.parse().ok())
}

struct Edns {
    size: u16,
    version: u8,
    dnssec_ok: bool,
    options: Vec<(u16, Vec<u8>)>,
}

impl Edns {
    fn of(spec: &Value) -> Result<Self, Error> {
        let options = spec.get("options").map(Value::items).unwrap_or_default();
        Ok(Self {
            size: spec.number_of("size")?.unwrap_or(EDNS_SIZE),
            version: spec.number_of("version")?.unwrap_or_default(),
            dnssec_ok: spec.is_true("do"),
            options: options.iter().map(options::build).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::value::parse;

    #[test]
    fn a_step_becomes_the_query_it_describes() {
        let step = "{query: Foo.org TYPE65400 CH, flags: [rd, cd], opcode: status, edns: {size: 900, do: true}}";
        let query = build(&parse(step).unwrap(), 7).unwrap().message;
        assert_eq!((query.id, query.flags()), (1007, vec!["rd", "cd"]));
        assert_eq!(query.question, ["Foo.org. CH TYPE65400"]);
        assert_eq!(message::opcode_text(query.opcode), "STATUS");
        let edns = query.edns.unwrap();
        assert_eq!((edns.size, edns.dnssec_ok, edns.version), (900, true, 0));
    }

    #[test]
    fn unknown_flags_and_types_are_errors() {
        assert!(build(&parse("{query: a A, flags: [xx]}").unwrap(), 1).is_err());
        assert!(build(&parse("{query: a NOPE}").unwrap(), 1).is_err());
    }
}
