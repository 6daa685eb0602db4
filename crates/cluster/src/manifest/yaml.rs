//! YAML documents (and JSON, which is YAML) as trees that know where everything stands, read into types by serde.

use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde::de::{self, DeserializeSeed, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};

/// How deep values may nest.
pub(super) const DEPTH_MAX: usize = 64;

/// How many values a file may have, those behind aliases counted as often as they are used.
pub(super) const NODES_MAX: usize = 4_000_000;

/// A place in a file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<Marker> for Place {
    fn from(mark: Marker) -> Self {
        Self { line: mark.line(), column: mark.col() + 1 }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

impl Error {
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }

    /// The innermost value that an error passes is its place.
    fn or_at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { place: None, message: message.to_string() }
    }
}

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    value: Value,
    /// How many values it is, itself counted.
    size: usize,
}

#[derive(Debug, Clone)]
enum Value {
    Scalar { text: String, plain: bool },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Mapping(pairs) = &self.value else { return None };
        pairs.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Scalar { text, .. } = &self.value { Some(text) } else { None }
    }

    /// The elements of a sequence; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        if let Value::Sequence(items) = &self.value { items } else { &[] }
    }

    fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Reads all documents of a file.
///
/// # Errors
/// The text is not YAML, or passes [`DEPTH_MAX`] or [`NODES_MAX`].
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Error> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        // Between documents there are only marks of where they and the file begin and end.
        if let Event::DocumentStart(_) = event {
            reader.anchors.clear();
            documents.push(reader.value(0)?);
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Place)>, Error> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span.start.into()))),
            Some(Err(error)) => Err(Error::at((*error.marker()).into(), error.info())),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Error> {
        match self.next()? {
            Some((event, place)) => self.value_of(event, place, depth),
            None => Err(Error { place: None, message: "the file ends in the middle".to_owned() }),
        }
    }

    fn value_of(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, Error> {
        if depth > DEPTH_MAX {
            return Err(Error::at(place, format!("more than {DEPTH_MAX} levels deep")));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                (Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }, anchor)
            }
            Event::SequenceStart(anchor, _) => (Value::Sequence(self.sequence(depth)?), anchor),
            Event::MappingStart(anchor, _) => (Value::Mapping(self.mapping(depth)?), anchor),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| Error::at(place, "an alias within its own anchor"))?;
                self.count(node.size, place)?;
                return Ok(node);
            }
            other => return Err(Error::at(place, format!("unexpected {other:?}"))),
        };
        self.count(1, place)?;
        let size = 1 + match &value {
            Value::Scalar { .. } => 0,
            Value::Sequence(items) => items.iter().map(|item| item.size).sum(),
            Value::Mapping(pairs) => pairs.iter().map(|(key, value)| key.size + value.size).sum::<usize>(),
        };
        let node = Node { place, value, size };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), Error> {
        self.nodes += more;
        if self.nodes > NODES_MAX { Err(Error::at(place, format!("more than {NODES_MAX} values"))) } else { Ok(()) }
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, _)) | None => return Ok(items),
                Some((event, place)) => items.push(self.value_of(event, place, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Error> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                Some((Event::MappingEnd, _)) | None => return Ok(pairs),
                Some((event, place)) => self.value_of(event, place, depth + 1)?,
            };
            if let Some(name) = key.text()
                && pairs.iter().any(|(other, _)| other.text() == Some(name))
            {
                return Err(Error::at(key.place, format!("duplicate key '{name}'")));
            }
            pairs.push((key, self.value(depth + 1)?));
        }
    }
}

impl Value {
    fn name(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "a single value",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

impl<'de> Node {
    fn scalar<V: Visitor<'de>>(&'de self, text: &'de str, plain: bool, visitor: V) -> Result<V::Value, Error> {
        if !plain {
            return visitor.visit_borrowed_str(text);
        }
        if self.is_null() {
            return visitor.visit_unit();
        }
        if let Some(truth) = boolean(text, false) {
            return visitor.visit_bool(truth);
        }
        match text.parse::<i64>() {
            Ok(number) => visitor.visit_i64(number),
            Err(_not_whole) => visitor.visit_borrowed_str(text),
        }
    }
}

/// YAML 1.2 knows `true` and `false` only; where a boolean is wanted, YAML 1.1's words count too, as for kubectl.
fn boolean(text: &str, wanted: bool) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" if wanted => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" if wanted => Some(false),
        _ => None,
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = match &self.value {
            Value::Scalar { text, plain } => self.scalar(text, *plain, visitor),
            Value::Sequence(items) => visitor.visit_seq(Items(items.iter())),
            Value::Mapping(pairs) => visitor.visit_map(Pairs { pairs: pairs.iter(), value: None }),
        };
        read.map_err(|error| error.or_at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, plain: true } if boolean(text, true).is_some() => {
                visitor.visit_bool(boolean(text, true) == Some(true))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// A text field takes any scalar: a name of digits is a name.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => {
                visitor.visit_borrowed_str(text).map_err(|error: Error| error.or_at(self.place))
            }
            Value::Scalar { .. } => self.deserialize_any(visitor),
            other => Err(Error::at(self.place, format!("expected text, found {}", other.name()))),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.text().unwrap_or_default().into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|node| seed.deserialize(node).map_err(|error| error.or_at(node.place))).transpose()
    }
}

struct Pairs<'de> {
    pairs: std::slice::Iter<'de, (Node, Node)>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key).map(Some).map_err(|error| error.or_at(key.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value).map_err(|error| error.or_at(value.place)),
            None => Err(de::Error::custom("a value before its key")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::types::{Service, TargetPort};
    use serde::Deserialize as _;

    fn service(text: &str) -> Result<Service, Error> {
        Service::deserialize(&documents(text).unwrap()[0])
    }

    #[test]
    fn reads_a_service() {
        let text = "metadata: {name: 12, labels: {a: b}}\nspec:\n  clusterIP: None\n  ports:\n  - {port: 80, targetPort: web}\n  - {port: 81, targetPort: 8081}\n  publishNotReadyAddresses: yes\n";
        let service = service(text).unwrap();
        assert_eq!(service.metadata.name, "12");
        assert_eq!(service.spec.cluster_ip, "None");
        assert_eq!(service.spec.ports[0].target_port, Some(TargetPort::Name("web".to_owned())));
        assert_eq!(service.spec.ports[1].target_port, Some(TargetPort::Number(8081)));
        assert!(service.spec.publish_not_ready_addresses);
    }

    #[test]
    fn a_wrong_value_is_an_error_at_its_place() {
        let error = service("spec:\n  ports:\n  - port: eighty\n").unwrap_err();
        assert_eq!(error.place, Some(Place { line: 3, column: 11 }));
        assert!(error.message.contains("eighty"), "{error}");
        let error = service("metadata:\n  name: [a]\n").unwrap_err();
        assert_eq!(
            (error.place, error.message.as_str()),
            (Some(Place { line: 2, column: 9 }), "expected text, found a list")
        );
    }

    #[test]
    fn what_is_not_yaml_is_an_error_at_its_place() {
        let error = documents("a: b\n  c: d\n").unwrap_err();
        assert_eq!(error.place.unwrap().line, 2);
        assert_eq!(
            documents("a: 1\na: 2\n").unwrap_err(),
            Error::at(Place { line: 2, column: 1 }, "duplicate key 'a'")
        );
    }

    #[test]
    fn json_and_aliases_are_read() {
        let json = documents(r#"{"a": {"b": ["x", null]}}"#).unwrap();
        assert_eq!(json[0].get("a").unwrap().get("b").unwrap().items().len(), 2);
        let alias = documents("a: &x {k: v}\nb: *x\n").unwrap();
        assert_eq!(alias[0].get("b").unwrap().get("k").unwrap().text(), Some("v"));
    }

    #[test]
    fn values_nest_as_deep_as_the_limit_and_no_deeper() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(documents(&nested(DEPTH_MAX + 1)).is_ok());
        assert!(documents(&nested(DEPTH_MAX + 2)).is_err());
    }

    #[test]
    fn aliases_that_multiply_are_stopped() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
        }
        assert!(documents(&text).unwrap_err().message.contains("more than"));
    }
}
