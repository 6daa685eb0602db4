//! What templates and expressions see of a query.

use std::collections::BTreeMap;

use catena_core::{Class, Query, Rtype, Zone, flags, name};
use catena_gocompat::expr::{Env, ExprError, GROUP, Value, query_value};
use catena_gocompat::regexp::Captures;
use catena_gocompat::template::{Datum, TemplateData};

use crate::config::{Rule, type_name};

/// A query that matched a pattern of a template.
pub(crate) struct Data<'a> {
    pub(crate) query: &'a Query,
    pub(crate) zone: &'a Zone,
    /// The name asked, in lower case.
    pub(crate) name: &'a str,
    pub(crate) pattern: &'a str,
    pub(crate) groups: Captures<'a, 'a>,
    pub(crate) class: &'static str,
    pub(crate) rtype: String,
    pub(crate) variables: Vec<(&'a str, Value)>,
}

impl<'a> Data<'a> {
    /// The data of a match. Where the query asks for ANY, class and type are those of the template.
    pub(crate) fn new(
        query: &'a Query,
        rule: &Rule,
        zone: &'a Zone,
        name: &'a str,
        pattern: &'a str,
        groups: Captures<'a, 'a>,
    ) -> Self {
        let class = if query.qclass() == Class::ANY { rule.class } else { query.qclass() };
        let rtype = if query.qtype() == Rtype::ANY { rule.rtype } else { query.qtype() };
        Self {
            query,
            zone,
            name,
            pattern,
            groups,
            class: class_name(class),
            rtype: type_name(rtype),
            variables: Vec::new(),
        }
    }

    /// A group by number or by name; of several with one name, the last. Empty if there is none.
    fn group(&self, key: &str) -> &str {
        let named = self.groups.groups().filter(|(name, _)| *name == Some(key)).last().map(|(_, text)| text);
        named.or_else(|| self.groups.groups().nth(plain_number(key)?).map(|(_, text)| text)).unwrap_or("")
    }

    fn question(&self) -> Datum {
        let query = self.query;
        map([
            ("Name", Datum::Text(name::text(query.name()))),
            ("Qtype", Datum::Uint(query.qtype().to_int().into())),
            ("Qclass", Datum::Uint(query.qclass().to_int().into())),
        ])
    }

    /// The query as CoreDNS's library holds it.
    fn message(&self) -> Datum {
        let query = self.query;
        let header = [
            ("Id", Datum::Uint(query.id().into())),
            ("Response", Datum::Bool(false)),
            ("Opcode", Datum::Int(query.opcode().to_int().into())),
            ("Authoritative", Datum::Bool(query.has(flags::AA))),
            ("Truncated", Datum::Bool(query.has(flags::TC))),
            ("RecursionDesired", Datum::Bool(query.has(flags::RD))),
            ("RecursionAvailable", Datum::Bool(query.has(flags::RA))),
            ("Zero", Datum::Bool(query.has(flags::Z))),
            ("AuthenticatedData", Datum::Bool(query.has(flags::AD))),
            ("CheckingDisabled", Datum::Bool(query.has(flags::CD))),
            ("Rcode", Datum::Int(0)),
        ];
        let sections = [
            ("Compress", Datum::Bool(false)),
            ("Question", Datum::List(vec![self.question()])),
            ("Answer", Datum::List(Vec::new())),
            ("Ns", Datum::List(Vec::new())),
            ("Extra", Datum::List(self.opt().into_iter().collect())),
            ("MsgHdr", map(header.clone())),
        ];
        map(header.into_iter().chain(sections))
    }

    fn opt(&self) -> Option<Datum> {
        let edns = self.query.edns()?;
        let header = map([
            ("Name", Datum::from(".")),
            ("Rrtype", Datum::Uint(Rtype::OPT.to_int().into())),
            ("Class", Datum::Uint(edns.udp_size.into())),
            ("Ttl", Datum::Uint(u64::from(edns.version) << 16 | u64::from(edns.flags))),
        ]);
        Some(map([("Hdr", header)]))
    }
}

fn map(entries: impl IntoIterator<Item = (&'static str, Datum)>) -> Datum {
    Datum::Map(entries.into_iter().map(|(name, datum)| (name.to_owned(), datum)).collect())
}

/// A number as Go prints it.
fn plain_number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number: &usize| number.to_string() == text)
}

/// The mnemonic of a class; empty for one without.
fn class_name(class: Class) -> &'static str {
    match class.to_int() {
        1 => "IN",
        2 => "CS",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        _ => "",
    }
}

impl TemplateData for Data<'_> {
    fn field(&self, name: &str) -> Datum {
        match name {
            "Zone" => Datum::from(self.zone.text()),
            "Name" => Datum::from(self.name),
            "Regex" => Datum::from(self.pattern),
            "Match" => Datum::List(self.groups.groups().map(|(_, text)| Datum::from(text)).collect()),
            "Group" => {
                let numbered =
                    self.groups.groups().enumerate().map(|(at, (_, text))| (at.to_string(), Datum::from(text)));
                let mut all: BTreeMap<String, Datum> = numbered.collect();
                all.extend(self.groups.groups().filter_map(|(name, text)| Some((name?.to_owned(), Datum::from(text)))));
                Datum::Map(all)
            }
            "Class" => Datum::from(self.class),
            "Type" => Datum::from(self.rtype.as_str()),
            "Message" => self.message(),
            "Question" => self.question(),
            "Remote" => Datum::Text(self.query.client().ip().to_canonical().to_string()),
            "Var" => {
                Datum::Map(self.variables.iter().map(|(name, value)| ((*name).to_owned(), datum(value))).collect())
            }
            _ => Datum::Nil,
        }
    }

    fn meta(&self, label: &str) -> String {
        self.query.label(label).unwrap_or_default().into_owned()
    }
}

fn datum(value: &Value) -> Datum {
    match value {
        Value::Nil => Datum::Nil,
        Value::Bool(value) => Datum::Bool(*value),
        Value::Int(value) => Datum::Int(*value),
        Value::Float(value) => Datum::Float(*value),
        Value::Text(text) | Value::Other(text) => Datum::from(text.as_str()),
        Value::List(items) => Datum::List(items.iter().map(datum).collect()),
    }
}

impl Env for Data<'_> {
    fn call(&self, function: &str, args: &[Value]) -> Result<Value, ExprError> {
        if function != GROUP.name {
            return query_value(self.query, function, args);
        }
        let group = match args {
            [Value::Int(number)] => self.group(&number.to_string()),
            [Value::Text(name)] => self.group(name),
            _ => "",
        };
        Ok(Value::Text(group.to_owned()))
    }

    fn variable(&self, name: &str) -> Option<Value> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}
