//! A scripted DNS server on one loopback port, over UDP and TCP and on another one over TLS.

use domain::base::iana::{Class, OptionCode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, HashCompressor};
use domain::base::name::FlattenInto;
use domain::base::{Message as Wire, MessageBuilder};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::answers::{Answers, Found, StoredName, StoredRecord};
use crate::client::{frame, take_frame};
use crate::message::{self, Message};
use crate::options;
use crate::tls;
use crate::value::Value;

/// The size that replies offer, in octets.
const EDNS_SIZE: u16 = 1232;
/// How many queries are noted until a step takes them.
const SEEN_MAX: usize = 10_000;

/// What an upstream does with one query.
#[derive(Debug, Clone, PartialEq)]
enum Behaviour {
    Answer,
    Drop,
    Rcode(Rcode),
    Truncate,
    Delay(Duration),
    TcpOnly,
    WrongId,
    WrongQuestion,
    Garbage,
    Close,
    NoEdns,
}

impl Behaviour {
    fn of(text: &str) -> Result<Self, Error> {
        let (word, argument) = text.split_once(' ').unwrap_or((text, "1"));
        Ok(match word {
            "answer" => Self::Answer,
            "drop" => Self::Drop,
            "servfail" => Self::Rcode(Rcode::SERVFAIL),
            "refuse" => Self::Rcode(Rcode::REFUSED),
            "nxdomain" => Self::Rcode(Rcode::NXDOMAIN),
            "formerr" => Self::Rcode(Rcode::FORMERR),
            "notimp" => Self::Rcode(Rcode::NOTIMP),
            "truncate" => Self::Truncate,
            "delay" => {
                let seconds = argument.trim().parse();
                Self::Delay(Duration::from_secs_f64(seconds.map_err(|_| Error::Case(format!("behaviour {text:?}")))?))
            }
            "tcp-only" => Self::TcpOnly,
            "wrong-id" => Self::WrongId,
            "wrong-question" => Self::WrongQuestion,
            "garbage" => Self::Garbage,
            "close" => Self::Close,
            "noedns" => Self::NoEdns,
            _ => return Err(Error::Case(format!("unknown behaviour {text:?}"))),
        })
    }
}

/// The EDNS options of replies.
#[derive(Debug, Clone)]
enum Options {
    Echo,
    Fixed(Vec<(u16, Vec<u8>)>),
}

impl Options {
    fn of(spec: &Value) -> Result<Self, Error> {
        if spec.as_str() == Some("echo") {
            return Ok(Self::Echo);
        }
        spec.items().iter().map(options::build).collect::<Result<_, _>>().map(Self::Fixed)
    }
}

/// One query that came, as `upstream_queries` shows it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `PROTO NAME TYPE`.
    pub name: String,
    /// The same with flags and EDNS.
    pub full: String,
}

#[derive(Debug)]
struct Script {
    answers: Answers,
    authoritative: bool,
    authenticated: bool,
    options: Options,
    /// Used up one a query; the last one stays.
    behaviours: Vec<Behaviour>,
    /// Health checks (`. NS`) are answered but not counted, unless this is set.
    count_health: bool,
    seen: Vec<Seen>,
}

/// A running upstream; it ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    script: Arc<Mutex<Script>>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Starts the upstream that an entry of `upstreams:` describes.
    ///
    /// # Errors
    /// When the description is wrong or a port is taken.
    pub async fn start(spec: &Value, port: u16, tls_port: Option<u16>, folder: &Path) -> Result<Self, Error> {
        let script = Arc::new(Mutex::new(Script {
            answers: Answers::default(),
            authoritative: spec.str_of("aa") != Some("false"),
            authenticated: false,
            options: Options::Fixed(Vec::new()),
            behaviours: Vec::new(),
            count_health: spec.is_true("count_health"),
            seen: Vec::new(),
        }));
        lock(&script).change(spec)?;
        let mut tasks = JoinSet::new();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?;
        tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(&script)));
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        tasks.spawn(serve_streams(tcp, None, Arc::clone(&script)));
        if let (Some(port), Some(certificate)) = (tls_port, spec.str_of("tls")) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            let acceptor = tls::acceptor(folder, certificate)?;
            tasks.spawn(serve_streams(listener, Some(acceptor), Arc::clone(&script)));
        }
        Ok(Self { script, _tasks: tasks })
    }

    /// Changes it in the middle of a case: a behaviour, a list of them, or a mapping with new answers.
    ///
    /// # Errors
    /// When the description is wrong.
    pub fn change(&self, spec: &Value) -> Result<(), Error> {
        let mut script = lock(&self.script);
        if matches!(spec, Value::Map(_)) { script.change(spec) } else { script.behave(spec) }
    }

    /// What it was asked since [`Upstream::forget`].
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.script).seen.clone()
    }

    /// Forgets what it was asked.
    pub fn forget(&self) {
        lock(&self.script).seen.clear();
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Script {
    fn change(&mut self, spec: &Value) -> Result<(), Error> {
        if let Some(answers) = spec.str_of("answers") {
            self.answers = Answers::parse(answers)?;
        }
        if let Some(flag) = spec.str_of("ad") {
            self.authenticated = flag == "true";
        }
        if let Some(options) = spec.get("options") {
            self.options = Options::of(options)?;
        }
        self.behave(spec.get("behaviour").unwrap_or(&Value::text("answer")))
    }

    fn behave(&mut self, spec: &Value) -> Result<(), Error> {
        let words = if let Value::List(items) = spec { items.as_slice() } else { std::slice::from_ref(spec) };
        let words = words.iter().filter_map(Value::as_str);
        let script: Vec<Behaviour> = words.map(Behaviour::of).collect::<Result<_, _>>()?;
        // Backwards, so that the next one is the last.
        self.behaviours = script.into_iter().rev().collect();
        Ok(())
    }

    /// Notes a query and gives what to do with it.
    fn take(&mut self, query: &Message, question: &Question, proto: &str) -> Behaviour {
        let health = question.kind == Rtype::NS && question.name.is_root();
        if (!health || self.count_health) && self.seen.len() < SEEN_MAX {
            self.seen.push(Seen::of(query, proto));
        }
        let next = self.behaviours.last().cloned().unwrap_or(Behaviour::Answer);
        if self.behaviours.len() > 1 && !health {
            self.behaviours.pop();
        }
        next
    }
}

impl Seen {
    fn of(query: &Message, proto: &str) -> Self {
        let opcode = message::opcode_text(query.opcode);
        let opcode = if opcode == "QUERY" { String::new() } else { format!("{opcode} ") };
        let question = query.question.first().map(|one| message::question_text(one)).unwrap_or_default();
        let name = format!("{proto} {opcode}{question}");
        let mut full = format!("{name} [{}]", query.flags().join(" "));
        if let Some(edns) = &query.edns {
            full += &format!(" edns {}{}", edns.size, if edns.dnssec_ok { " do" } else { "" });
            full.extend(edns.options.iter().map(|(code, data)| format!(" {}", options::text(*code, data))));
        }
        Self { name, full: full + if query.signed { " tsig" } else { "" } }
    }
}

/// The question of a query.
struct Question {
    name: StoredName,
    kind: Rtype,
    class: Class,
}

impl Question {
    fn of(wire: &[u8]) -> Option<Self> {
        let message = Wire::from_octets(wire).ok()?;
        let question = message.first_question()?;
        let name = (*question.qname()).try_flatten_into().ok()?;
        Some(Self { name, kind: question.qtype(), class: question.qclass() })
    }
}

/// What to do on the connection.
enum Act {
    Reply(Vec<u8>),
    Silence,
    Close,
}

async fn act(wire: &[u8], proto: &str, script: &Mutex<Script>) -> Act {
    let (Some(query), Some(question)) = (Message::parse(wire), Question::of(wire)) else { return Act::Silence };
    let behaviour = lock(script).take(&query, &question, proto);
    match behaviour {
        Behaviour::Drop => return Act::Silence,
        Behaviour::TcpOnly if proto == "udp" => return Act::Silence,
        Behaviour::Close => return Act::Close,
        Behaviour::Garbage => return Act::Reply([&wire[..2], b"\x80\x00\x00\x01\xff\xff"].concat()),
        Behaviour::Delay(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    reply(&query, question, behaviour, proto, script).map_or(Act::Silence, Act::Reply)
}

const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RA: u16 = 0x0080;
const AD: u16 = 0x0020;
/// What a reply takes over from its query: the opcode and RD.
const KEPT: u16 = 0x7900;

fn reply(
    query: &Message,
    mut question: Question,
    behaviour: Behaviour,
    proto: &str,
    script: &Mutex<Script>,
) -> Option<Vec<u8>> {
    let script = lock(script);
    let mut bits = 0x8000 | RA | query.bits & KEPT;
    let mut found = Found::default();
    if let Behaviour::Rcode(rcode) = behaviour {
        bits |= u16::from(rcode.to_int());
    } else if matches!(question.kind, Rtype::AXFR | Rtype::IXFR) {
        bits |= AA;
        match script.answers.transfer() {
            Some(records) => found.answer = records,
            None => bits |= u16::from(Rcode::NOTAUTH.to_int()),
        }
    } else if query.opcode.to_int() == 4 {
        bits |= AA;
    } else {
        bits |= if script.authoritative { AA } else { 0 } | if script.authenticated { AD } else { 0 };
        found = script.answers.find(question.name.clone(), question.kind, question.class);
        bits |= if found.nxdomain { u16::from(Rcode::NXDOMAIN.to_int()) } else { 0 };
    }
    if behaviour == Behaviour::Truncate && proto == "udp" {
        (bits, found) = (bits | TC, Found::default());
    }
    if behaviour == Behaviour::WrongQuestion {
        question.name = "wrong.invalid.".parse().ok()?;
    }
    let id = if behaviour == Behaviour::WrongId { query.id ^ 0x5555 } else { query.id };
    let edns = query.edns.as_ref().filter(|_| behaviour != Behaviour::NoEdns);
    let options = edns.map(|edns| match &script.options {
        Options::Echo => edns.options.clone(),
        Options::Fixed(options) => options.clone(),
    });
    let limit = match (proto, &query.edns) {
        ("udp", edns) => edns.as_ref().map_or(512, |edns| usize::from(edns.size).max(512)),
        _ => 65_535,
    };
    let whole = compose(id, bits, &question, &found, options.as_deref())?;
    if whole.len() <= limit {
        return Some(whole);
    }
    compose(id, bits | TC, &question, &Found::default(), options.as_deref())
}

type Target = HashCompressor<Vec<u8>>;

fn compose(
    id: u16,
    bits: u16,
    question: &Question,
    found: &Found,
    options: Option<&[(u16, Vec<u8>)]>,
) -> Option<Vec<u8>> {
    let builder: MessageBuilder<Target> = MessageBuilder::from_target(HashCompressor::new(Vec::new())).ok()?;
    let mut builder = builder.question();
    builder.push((&question.name, question.kind, question.class)).ok()?;
    let mut answer: AnswerBuilder<Target> = builder.answer();
    for record in &found.answer {
        answer.push(record as &StoredRecord).ok()?;
    }
    let mut authority = answer.authority();
    for record in &found.authority {
        authority.push(record as &StoredRecord).ok()?;
    }
    let mut additional: AdditionalBuilder<Target> = authority.additional();
    if let Some(options) = options {
        additional
            .opt(|opt| {
                opt.set_udp_payload_size(EDNS_SIZE);
                for (code, data) in options {
                    opt.push_raw_option(OptionCode::from_int(*code), data.len() as u16, |out| {
                        domain::dep::octseq::OctetsBuilder::append_slice(out, data)
                    })?;
                }
                Ok(())
            })
            .ok()?;
    }
    let mut wire = additional.finish().into_target();
    wire[..2].copy_from_slice(&id.to_be_bytes());
    wire[2..4].copy_from_slice(&bits.to_be_bytes());
    Some(wire)
}

async fn serve_udp(socket: Arc<UdpSocket>, script: Arc<Mutex<Script>>) {
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_535];
    loop {
        // An error here is that of an earlier reply whose port is closed meanwhile.
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else { continue };
        let (wire, socket, script) = (buffer[..size].to_vec(), Arc::clone(&socket), Arc::clone(&script));
        tasks.spawn(async move {
            if let Act::Reply(reply) = act(&wire, "udp", &script).await {
                let _ = socket.send_to(&reply, from).await;
            }
        });
        while tasks.try_join_next().is_some() {}
    }
}

async fn serve_streams(listener: TcpListener, acceptor: Option<TlsAcceptor>, script: Arc<Mutex<Script>>) {
    let mut tasks = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        // What clients do to a connection is no error of ours.
        tasks.spawn(async move {
            let _ = match acceptor {
                None => serve_stream(stream, "tcp", &script).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => serve_stream(stream, "tls", &script).await,
                    Err(err) => Err(err),
                },
            };
        });
        while tasks.try_join_next().is_some() {}
    }
}

async fn serve_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    proto: &str,
    script: &Mutex<Script>,
) -> std::io::Result<()> {
    loop {
        let wire = take_frame(&mut stream).await?;
        match act(&wire, proto, script).await {
            Act::Reply(reply) => {
                stream.write_all(&frame(&reply)).await?;
                stream.flush().await?;
            }
            Act::Silence => {}
            Act::Close => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::query;
    use crate::value::parse;

    fn script(spec: &str) -> Mutex<Script> {
        let mut script = Script {
            answers: Answers::default(),
            authoritative: true,
            authenticated: false,
            options: Options::Fixed(Vec::new()),
            behaviours: Vec::new(),
            count_health: false,
            seen: Vec::new(),
        };
        script.change(&parse(spec).unwrap()).unwrap();
        Mutex::new(script)
    }

    /// The reply to a query over UDP, in a word or two.
    async fn ask(script: &Mutex<Script>, step: &str) -> String {
        let query = query::build(&parse(step).unwrap(), 1).unwrap();
        match act(&query.wire, "udp", script).await {
            Act::Silence => "silence".into(),
            Act::Close => "close".into(),
            Act::Reply(wire) => {
                let reply = Message::parse(&wire).unwrap();
                format!("{} {} {}", message::rcode_text(reply.rcode), reply.flags().join(","), reply.sections[0].len())
            }
        }
    }

    #[tokio::test]
    async fn behaviours_are_used_up_one_a_query_and_the_last_one_stays() {
        let script = script("{answers: a. 60 A 192.0.2.1, behaviour: [servfail, drop, close, answer]}");
        let mut said = Vec::new();
        for _ in 0..5 {
            said.push(ask(&script, "query: a. A").await);
        }
        assert_eq!(said, ["SERVFAIL qr,rd,ra 0", "silence", "close", "NOERROR qr,aa,rd,ra 1", "NOERROR qr,aa,rd,ra 1"]);
    }

    #[tokio::test]
    async fn health_checks_use_up_no_behaviour_and_are_not_noted() {
        let script = script("{answers: a. 60 A 192.0.2.1, behaviour: [servfail, answer]}");
        assert_eq!(ask(&script, "query: . NS").await, "SERVFAIL qr,rd,ra 0");
        assert_eq!(ask(&script, "query: a. A").await, "SERVFAIL qr,rd,ra 0");
        let seen: Vec<String> = lock(&script).seen.iter().map(|one| one.full.clone()).collect();
        assert_eq!(seen, ["udp a. A [rd]"]);
    }

    #[tokio::test]
    async fn a_reply_that_does_not_fit_is_truncated() {
        let records: String = (0..40).map(|at| format!("a. 60 A 192.0.2.{at}\\n")).collect();
        let script = script(&format!("{{answers: \"{records}\"}}"));
        assert_eq!(ask(&script, "query: a. A").await, "NOERROR qr,aa,tc,rd,ra 0");
        assert_eq!(ask(&script, "{query: a. A, edns: {size: 1232}}").await, "NOERROR qr,aa,rd,ra 40");
    }

    #[tokio::test]
    async fn faults_are_those_of_the_script() {
        let query = query::build(&parse("query: a. A").unwrap(), 1).unwrap();
        for (behaviour, id, question) in
            [("wrong-id", 1001 ^ 0x5555, "a. IN A"), ("wrong-question", 1001, "wrong.invalid. IN A")]
        {
            let Act::Reply(wire) = act(&query.wire, "udp", &script(&format!("behaviour: {behaviour}"))).await else {
                panic!()
            };
            let reply = Message::parse(&wire).unwrap();
            assert_eq!((reply.id, reply.question[0].as_str()), (id, question));
        }
        let Act::Reply(wire) = act(&query.wire, "udp", &script("behaviour: garbage")).await else { panic!() };
        assert!(Message::parse(&wire).is_none());
    }

    #[test]
    fn an_unknown_behaviour_is_an_error() {
        assert!(Behaviour::of("anser").is_err());
        assert!(Behaviour::of("delay soon").is_err());
    }
}
