//! Questions, and what came back, as text.

use std::net::SocketAddr;

use catena_core::Protocol;
use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::opt::UnknownOptData;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::base::{Message, Name, ParsedName, Record, ToName};
use domain::rdata::AllRecordData;

/// A question of a test.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The name, in presentation form.
    pub name: String,
    /// The type.
    pub qtype: Rtype,
    /// The class.
    pub qclass: Class,
    /// Who asks.
    pub client: SocketAddr,
    /// The address asked.
    pub local: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// Header flags, RD by default.
    pub flags: u16,
    /// EDNS size, DO, and options in wire form.
    pub edns: Option<(u16, bool, Vec<u8>)>,
    /// The message's id.
    pub id: u16,
    /// The serials of SOA records in the authority section.
    pub serials: Vec<u32>,
}

impl Ask {
    /// A question in class IN over UDP from 10.240.0.1:40212. `text` is a name, a type and perhaps a class.
    ///
    /// # Panics
    /// If the text is no question.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let name = words.next().expect("a name").to_owned();
        let qtype = words.next().unwrap_or("A").parse().expect("a type");
        let qclass = words.next().map_or(Class::IN, |class| class.parse().expect("a class"));
        Self {
            name,
            qtype,
            qclass,
            client: "10.240.0.1:40212".parse().expect("an address"),
            local: "127.0.0.1:53".parse().expect("an address"),
            protocol: Protocol::Udp,
            flags: catena_core::flags::RD,
            edns: None,
            id: 4711,
            serials: Vec::new(),
        }
    }

    /// Over TCP.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.protocol = Protocol::Tcp;
        self
    }

    /// From another client.
    #[must_use]
    pub fn from(mut self, client: &str) -> Self {
        self.client = client.parse().expect("an address with a port");
        self
    }

    /// With an OPT record.
    #[must_use]
    pub fn edns(mut self, size: u16, dnssec_ok: bool) -> Self {
        self.edns = Some((size, dnssec_ok, Vec::new()));
        self
    }

    /// With an option in the OPT record.
    #[must_use]
    pub fn option(mut self, code: u16, data: &[u8]) -> Self {
        let (_, _, options) = self.edns.get_or_insert((1232, false, Vec::new()));
        options.extend_from_slice(&code.to_be_bytes());
        options.extend_from_slice(&u16::try_from(data.len()).expect("a short option").to_be_bytes());
        options.extend_from_slice(data);
        self
    }

    /// With a SOA record of this serial in the authority section: what the client of a transfer has (RFC 1995 section 3).
    #[must_use]
    pub fn serial(mut self, serial: u32) -> Self {
        self.serials.push(serial);
        self
    }

    /// With these header flags besides the opcode.
    #[must_use]
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let name = if self.name == "." { Name::root_vec() } else { Name::vec_from_str(&self.name).expect("a name") };
        let mut message = Vec::new();
        let authority = u16::try_from(self.serials.len()).expect("few serials");
        let counts = [1u16, 0, authority, u16::from(self.edns.is_some())];
        for number in [self.id, self.flags].into_iter().chain(counts) {
            message.extend_from_slice(&number.to_be_bytes());
        }
        message.extend_from_slice(name.as_slice());
        message.extend_from_slice(&self.qtype.to_int().to_be_bytes());
        message.extend_from_slice(&self.qclass.to_int().to_be_bytes());
        for serial in &self.serials {
            // The name asked, type SOA, class IN, TTL 0, two root names, five numbers of which the first is the serial.
            message.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
            message.extend_from_slice(&serial.to_be_bytes());
            message.extend_from_slice(&[0; 16]);
        }
        if let Some((size, dnssec_ok, options)) = &self.edns {
            message.extend_from_slice(&[0, 0, 41]);
            message.extend_from_slice(&size.to_be_bytes());
            message.extend_from_slice(&[0, 0, u8::from(*dnssec_ok) << 7, 0]);
            message.extend_from_slice(&u16::try_from(options.len()).expect("short options").to_be_bytes());
            message.extend_from_slice(options);
        }
        message
    }
}

/// An OPT record: size, DO, options as code and octets.
pub type SeenEdns = (u16, bool, Vec<(u16, Vec<u8>)>);

/// A record with its rdata.
type FullRecord<'a> = Record<ParsedName<&'a [u8]>, AllRecordData<&'a [u8], ParsedName<&'a [u8]>>>;

/// A reply as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Nothing was sent.
    pub silent: bool,
    /// The mnemonic of the code.
    pub rcode: String,
    /// The set flags: `qr aa tc rd ra ad cd`.
    pub flags: Vec<&'static str>,
    /// Records as `owner ttl class type rdata`.
    pub answer: Vec<String>,
    /// The same for the authority section.
    pub authority: Vec<String>,
    /// The same for the additional section, the OPT record left out.
    pub additional: Vec<String>,
    /// EDNS size, DO, options as code and octets.
    pub edns: Option<SeenEdns>,
    /// The name of the plugin that made the message.
    pub by: &'static str,
    /// The error that came with it.
    pub error: Option<String>,
    /// The octets; of several messages the last one's.
    pub wire: Vec<u8>,
    /// How many messages the reply had.
    pub messages: usize,
}

impl Seen {
    /// Reads a message.
    ///
    /// # Panics
    /// If it does not parse.
    #[must_use]
    pub fn of(wire: &[u8]) -> Self {
        let message = Message::from_octets(wire).expect("a message");
        let header = message.header();
        let names = [
            ("qr", header.qr()),
            ("aa", header.aa()),
            ("tc", header.tc()),
            ("rd", header.rd()),
            ("ra", header.ra()),
            ("ad", header.ad()),
            ("cd", header.cd()),
        ];
        let (_, answer, authority, additional) = message.sections().expect("sections that parse");
        let text = |record: FullRecord<'_>| {
            let owner = record.owner().fmt_with_dot().to_string();
            let data = record.data().display_zonefile(DisplayKind::Simple).to_string();
            format!("{owner} {} {} {} {data}", record.ttl().as_secs(), record.class(), record.rtype())
        };
        let lines = |section: domain::base::message::RecordSection<'_, &[u8]>| -> Vec<String> {
            section
                .map(|record| record.expect("a record").to_any_record().expect("rdata that parses"))
                .filter(|record: &Record<_, AllRecordData<_, _>>| record.rtype() != Rtype::OPT)
                .map(text)
                .collect()
        };
        let opt = message.opt();
        let rcode = OptRcode::from_parts(header.rcode(), opt.as_ref().map_or(0, |opt| opt.rcode(header).ext()));
        Self {
            silent: false,
            rcode: catena_core::metrics::rcode_text(rcode).into_owned(),
            flags: names.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect(),
            answer: lines(answer),
            authority: lines(authority),
            additional: lines(additional),
            edns: opt.map(|opt| {
                let options = opt.opt().iter::<UnknownOptData<&[u8]>>().map(|option| option.expect("an option"));
                let options = options.map(|option| (option.code().to_int(), option.as_slice().to_vec())).collect();
                (opt.udp_payload_size(), opt.dnssec_ok(), options)
            }),
            by: "",
            error: None,
            wire: wire.to_vec(),
            messages: 0,
        }
    }

    /// Adds the next message of a reply of several: its records behind those that are there, the rest in their place.
    pub(crate) fn append(&mut self, next: Self) {
        let before = std::mem::replace(self, next);
        self.messages = before.messages + 1;
        for (mine, earlier) in [
            (&mut self.answer, before.answer),
            (&mut self.authority, before.authority),
            (&mut self.additional, before.additional),
        ] {
            mine.splice(0..0, earlier);
        }
    }
}
