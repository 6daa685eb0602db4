//! A MaxMind database, and the values that are found in it by address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use catena_gocompat::quote::quote;
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};
use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

/// The most subdivisions of one record that are told.
const SUBDIVISIONS_MAX: usize = 16;
/// What is looked up to see whether a database can be read.
const PROBE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The types of databases with the city's fields, those without cities included (as geoip2-golang has them).
const CITY_TYPES: [&str; 19] = [
    "DBIP-City-Lite",
    "DBIP-Country-Lite",
    "DBIP-Country",
    "DBIP-Location (compat=City)",
    "GeoLite2-City",
    "GeoIP-City-Redacted-US",
    "GeoIP2-City",
    "GeoIP2-City-Africa",
    "GeoIP2-City-Asia-Pacific",
    "GeoIP2-City-Europe",
    "GeoIP2-City-North-America",
    "GeoIP2-City-South-America",
    "GeoIP2-Precision-City",
    "GeoLite2-Country",
    "GeoIP2-Country",
    "DBIP-ISP (compat=Enterprise)",
    "DBIP-Location-ISP (compat=Enterprise)",
    "GeoIP-Enterprise-Redacted-US",
    "GeoIP2-Enterprise",
];
/// The types of databases with the fields of autonomous systems.
const ASN_TYPES: [&str; 4] =
    ["DBIP-ASN-Lite (compat=GeoLite2-ASN)", "GeoLite2-ASN", "GeoIP2-ISP", "GeoIP2-Precision-ISP"];
/// Types that are known and have neither.
const OTHER_TYPES: [&str; 4] =
    ["GeoIP-Anonymous-Plus", "GeoIP2-Anonymous-IP", "GeoIP2-Connection-Type", "GeoIP2-Domain"];

/// The labels, in the order of [`VALUES`].
pub(crate) const NAMES: [&str; 13] = [
    "geoip/city/name",
    "geoip/country/name",
    "geoip/country/code",
    "geoip/country/is_in_european_union",
    "geoip/continent/name",
    "geoip/continent/code",
    "geoip/subdivisions/code",
    "geoip/latitude",
    "geoip/longitude",
    "geoip/timezone",
    "geoip/postalcode",
    "geoip/asn/number",
    "geoip/asn/org",
];

/// What a label tells: where it is in a record, and how it becomes text.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    schema: Schema,
    kind: Kind,
    path: &'static [PathElement<'static>],
}

/// What a database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    City,
    Asn,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Coordinate,
    Number,
    Codes,
}

macro_rules! value {
    ($schema:ident $kind:ident $($key:literal)+) => {
        Value { schema: Schema::$schema, kind: Kind::$kind, path: &[$(PathElement::Key($key)),+] }
    };
}

const VALUES: [Value; 13] = [
    value!(City Text "city" "names" "en"),
    value!(City Text "country" "names" "en"),
    value!(City Text "country" "iso_code"),
    value!(City Bool "country" "is_in_european_union"),
    value!(City Text "continent" "names" "en"),
    value!(City Text "continent" "code"),
    value!(City Codes "subdivisions"),
    value!(City Coordinate "location" "latitude"),
    value!(City Coordinate "location" "longitude"),
    value!(City Text "location" "time_zone"),
    value!(City Text "postal" "code"),
    value!(Asn Number "autonomous_system_number"),
    value!(Asn Text "autonomous_system_organization"),
];

impl Value {
    /// The value of a label.
    pub(crate) fn named(label: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == label).map(|at| VALUES[at])
    }
}

/// A number of any width: those who make databases take the shortest.
struct Unsigned(u64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UnsignedVisitor)
    }
}

struct UnsignedVisitor;

impl Visitor<'_> for UnsignedVisitor {
    type Value = Unsigned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unsigned number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Unsigned, E> {
        Ok(Unsigned(number))
    }
}

#[derive(Deserialize)]
struct Subdivision<'a> {
    #[serde(default)]
    iso_code: &'a str,
}

/// A database in memory.
pub(crate) struct Database {
    reader: Reader<Vec<u8>>,
    has_city: bool,
    has_asn: bool,
}

impl Database {
    /// Reads a database; `name` is that of its file, for messages.
    ///
    /// # Errors
    /// What is wrong with it, in the words of CoreDNS as far as they are known.
    pub(crate) fn read(octets: Vec<u8>, name: &str) -> Result<Self, String> {
        let reader = Reader::from_source(octets).map_err(|error| {
            format!("failed to open database file: error opening database: invalid MaxMind DB file: {error}")
        })?;
        let kind = reader.metadata().database_type.as_str();
        let (has_city, has_asn) = (CITY_TYPES.contains(&kind), ASN_TYPES.contains(&kind));
        if !has_city && !has_asn {
            return Err(if OTHER_TYPES.contains(&kind) {
                "database does not provide any supported schema (city, asn)".to_owned()
            } else {
                let kind = quote(kind);
                format!("failed to open database file: geoip2: reader does not support the {kind} database type")
            });
        }
        let probed = reader.lookup(PROBE).and_then(|found| found.decode::<IgnoredAny>());
        probed.map_err(|error| {
            let schema = if has_city { "city" } else { "asn" };
            format!("unexpected failure looking up database {} schema {}: {error}", quote(name), quote(schema))
        })?;
        Ok(Self { reader, has_city, has_asn })
    }

    /// When it was made, seconds since 1970.
    pub(crate) fn built(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// A value for an address. `None`: the database has no such values. An address that it does not know has empty ones.
    ///
    /// # Errors
    /// The record is broken, or the address is an IPv6 address and the database has none of these.
    pub(crate) fn find(&self, address: IpAddr, value: Value) -> Result<Option<String>, MaxMindDbError> {
        let has = match value.schema {
            Schema::City => self.has_city,
            Schema::Asn => self.has_asn,
        };
        if !has {
            return Ok(None);
        }
        let found = self.reader.lookup(address)?;
        text(&found, value).map(Some)
    }
}

fn text(found: &LookupResult<'_, Vec<u8>>, value: Value) -> Result<String, MaxMindDbError> {
    Ok(match value.kind {
        Kind::Text => found.decode_path::<&str>(value.path)?.unwrap_or_default().to_owned(),
        Kind::Bool => found.decode_path::<bool>(value.path)?.unwrap_or_default().to_string(),
        // The shortest digits that mean the number, never with an exponent: what Go prints, too.
        Kind::Coordinate => {
            found.decode_path::<f64>(value.path)?.map(|degrees| degrees.to_string()).unwrap_or_default()
        }
        Kind::Number => found.decode_path::<Unsigned>(value.path)?.map_or(0, |number| number.0).to_string(),
        Kind::Codes => {
            let all: Vec<Subdivision<'_>> = found.decode_path(value.path)?.unwrap_or_default();
            let codes: Vec<&str> = all.iter().take(SUBDIVISIONS_MAX).map(|subdivision| subdivision.iso_code).collect();
            codes.join(",")
        }
    })
}
