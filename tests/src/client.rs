//! The asking side: DNS over UDP, TCP and TLS, whole transfers included.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Error;
use crate::message::{self, Message};
use crate::names::Names;
use crate::proxy;
use crate::query::{self, Query};
use crate::tls;
use crate::value::Value;

/// How long a step waits for a reply unless it says so itself.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a transfer is kept; a longer one ends the step.
const TRANSFER_RECORDS_MAX: usize = 100_000;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why there is no further reply.
#[derive(Debug)]
enum NoReply {
    None,
    Refused,
    Closed,
    Tls(String),
}

impl NoReply {
    fn text(&self) -> String {
        match self {
            Self::None => "none".into(),
            Self::Refused => "refused".into(),
            Self::Closed => "closed".into(),
            Self::Tls(reason) => format!("tls error {reason}"),
        }
    }
}

impl From<std::io::Error> for NoReply {
    fn from(err: std::io::Error) -> Self {
        let tls = err.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (err.kind(), tls) {
            (_, Some(reason)) => Self::Tls(reason.to_string()),
            (ErrorKind::ConnectionRefused, _) => Self::Refused,
            _ => Self::Closed,
        }
    }
}

/// Where a step goes, and how.
#[derive(Debug)]
pub struct Target<'a> {
    to: SocketAddr,
    from: Option<SocketAddr>,
    proto: String,
    timeout: Duration,
    /// How long to wait for more than what was asked for.
    linger: Option<Duration>,
    tls_name: Option<String>,
    /// A PROXY header that goes before everything else; empty: none.
    proxy: Vec<u8>,
    folder: &'a Path,
}

impl<'a> Target<'a> {
    /// The `host`, `port`, `from`, `proto`, `timeout`, `linger`, `tls_name` and `proxy` of a step.
    ///
    /// # Errors
    /// [`Error::Case`] when one of them is no such thing.
    pub fn of(step: &Value, names: &mut Names, folder: &'a Path) -> Result<Self, Error> {
        let wrong = |text: &str| Error::Case(format!("{text:?} is no address"));
        let host = step.str_of("host").unwrap_or("127.0.0.1");
        let port = step.str_of("port").unwrap_or("PORT");
        let port = port.parse().or_else(|_| names.port(port))?;
        let from = step.str_of("from").map(|text| source(text).ok_or_else(|| wrong(text))).transpose()?;
        let seconds = |key: &str| Ok::<_, Error>(step.number_of(key)?.map(Duration::from_secs_f64));
        let default = if step.has("transfer") { 2 * REPLY_TIMEOUT } else { REPLY_TIMEOUT };
        Ok(Self {
            to: SocketAddr::new(host.parse().map_err(|_| wrong(host))?, port),
            from,
            proto: step
                .str_of("proto")
                .unwrap_or(if step.has("transfer") || step.has("pipeline") { "tcp" } else { "udp" })
                .into(),
            timeout: seconds("timeout")?.unwrap_or(default),
            linger: seconds("linger")?,
            tls_name: step.str_of("tls_name").map(str::to_owned),
            proxy: step.str_of("proxy").map(proxy::header).transpose()?.unwrap_or_default(),
            folder,
        })
    }
}

/// `ADDRESS` or `ADDRESS:PORT` (for IPv6 in brackets).
fn source(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 0)))
}

/// Sends one query, or the bytes of a `raw` step, and gives its observation.
///
/// # Errors
/// [`Error::Case`] when the step cannot be sent.
pub async fn ask(step: &Value, number: usize, target: &Target<'_>) -> Result<Value, Error> {
    let (query, wire) = match step.str_of("raw") {
        Some(raw) => (None, message::unhex(raw).ok_or_else(|| Error::Case("raw: no hexadecimal digits".into()))?),
        None => query::build(step, number).map(|query| (Some(query.message), query.wire))?,
    };
    let framed = step.str_of("framed") != Some("false");
    let streamed = target.proto != "udp";
    let skip = if streamed && !framed { 2 } else { 0 };
    let asked_id = wire.get(skip..skip + 2).map(<[u8]>::to_vec);
    let mut replies = Vec::new();
    let ended = if streamed {
        let data = if framed { frame(&wire) } else { wire };
        within(target, over_stream(&data, target, &mut replies, 1)).await
    } else {
        within(target, over_udp(&wire, target, &mut replies)).await
    };
    let Some((first, further)) = replies.split_first() else {
        let why = ended.err().unwrap_or(NoReply::None).text();
        return Ok(Value::Map(vec![("reply".into(), Value::text(why))]));
    };
    let mut seen = summary(first, query.as_ref(), asked_id.as_deref());
    if target.linger.is_some() {
        seen.push(("replies".into(), Value::text((1 + further.len()).to_string())));
    }
    Ok(Value::Map(seen))
}

async fn within(target: &Target<'_>, work: impl Future<Output = Result<(), NoReply>>) -> Result<(), NoReply> {
    timeout(target.timeout, work).await.unwrap_or(Err(NoReply::None))
}

/// An observation from the bytes of a reply; `asked_id` is the id of a raw query.
fn summary(wire: &[u8], query: Option<&Message>, asked_id: Option<&[u8]>) -> Vec<(String, Value)> {
    let Some(reply) = Message::parse(wire) else {
        return vec![("reply".into(), Value::text(format!("unparsable {}", message::hex(wire))))];
    };
    let mut seen = reply.observed(query);
    if query.is_none() && asked_id != wire.get(..2) {
        seen.push(("id".into(), Value::text("not that of the query")));
    }
    seen
}

/// All queries of a `pipeline` step in one write on one connection: each reply, and their order if that counts.
///
/// # Errors
/// [`Error::Case`] when a query cannot be built.
pub async fn pipeline(step: &Value, number: usize, in_order: bool, target: &Target<'_>) -> Result<Value, Error> {
    let mut queries: Vec<Query> = Vec::new();
    for (at, line) in step.list_of("pipeline").into_iter().enumerate() {
        let mut one = step.clone();
        if let Value::Map(entries) = &mut one {
            entries.retain(|(key, _)| key != "pipeline" && key != "id");
            entries.push(("query".into(), Value::Text(line)));
            entries.push(("id".into(), Value::Text((1000 * (at + 1) + number).to_string())));
        }
        queries.push(query::build(&one, number)?);
    }
    let data: Vec<u8> = queries.iter().flat_map(|query| frame(&query.wire)).collect();
    let mut frames = Vec::new();
    let ended = within(target, over_stream(&data, target, &mut frames, queries.len())).await;

    let id_of = |wire: &[u8]| Some(u16::from_be_bytes([*wire.first()?, *wire.get(1)?]));
    let position = |wire: &Vec<u8>| queries.iter().position(|query| Some(query.message.id) == id_of(wire));
    let order: Vec<Option<usize>> = frames.iter().map(position).collect();
    let mut seen = vec![("replies".to_owned(), Value::text(frames.len().to_string()))];
    if in_order || order.contains(&None) {
        let shown = order.iter().map(|at| at.map_or("unknown id".into(), |at| (at + 1).to_string()));
        seen.push(("order".into(), Value::texts(shown)));
    }
    for (at, query) in queries.iter().enumerate() {
        let reply = order.iter().position(|one| *one == Some(at)).and_then(|which| frames.get(which));
        let shown = match reply {
            Some(wire) => summary(wire, Some(&query.message), None),
            None => vec![("reply".into(), Value::text("none"))],
        };
        seen.push((format!("reply {}", at + 1), Value::Map(shown)));
    }
    if let Err(why) = ended {
        seen.push(("then".into(), Value::text(why.text())));
    }
    Ok(Value::Map(seen))
}

/// A zone transfer: its records in the order sent. How they are split into messages is not observed.
///
/// # Errors
/// [`Error::Case`] when the query cannot be built.
pub async fn transfer(step: &Value, number: usize, target: &Target<'_>) -> Result<Value, Error> {
    let query = query::build(step, number)?;
    if target.proto == "udp" {
        let udp = Value::Map(step.entries().iter().filter(|(key, _)| key != "linger").cloned().collect());
        return ask(&udp, number, target).await;
    }
    let mut records = Vec::new();
    let ended = timeout(target.timeout, take_transfer(&query, target, step.has("serial"), &mut records)).await;
    let mut seen = match ended.unwrap_or(Err(NoReply::None)) {
        Ok(Some(refused)) => return Ok(Value::Map(refused)),
        Ok(None) => vec![("rcode".to_owned(), Value::text("NOERROR"))],
        Err(why) if records.is_empty() => return Ok(Value::Map(vec![("reply".into(), Value::text(why.text()))])),
        Err(why) => vec![("reply".to_owned(), Value::text(why.text()))],
    };
    seen.push(("records".into(), Value::texts(records)));
    Ok(Value::Map(seen))
}

type Refused = Option<Vec<(String, Value)>>;

async fn take_transfer(
    query: &Query,
    target: &Target<'_>,
    incremental: bool,
    records: &mut Vec<String>,
) -> Result<Refused, NoReply> {
    let mut stream = open(target).await?;
    stream.write_all(&frame(&query.wire)).await?;
    loop {
        let wire = take_frame(&mut stream).await?;
        let Some(reply) = Message::parse(&wire) else { return Ok(Some(summary(&wire, None, None))) };
        if reply.rcode != 0 {
            return Ok(Some(reply.observed(Some(&query.message))));
        }
        records.extend(reply.sections[0].iter().cloned());
        if is_complete(records, incremental) || records.len() > TRANSFER_RECORDS_MAX {
            return Ok(None);
        }
    }
}

/// Whether a transfer has come to its closing SOA (RFC 5936, section 2.2; RFC 1995, section 4).
fn is_complete(records: &[String], incremental: bool) -> bool {
    let is_soa = |line: &String| line.split(' ').nth(3) == Some("SOA");
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return true };
    if records.len() == 1 {
        return incremental;
    }
    let differences = incremental && is_soa(&records[1]);
    let wanted = if differences { 4 } else { 2 };
    first == last && records.iter().filter(|line| is_soa(line)).count() >= wanted
}

async fn over_udp(wire: &[u8], target: &Target<'_>, replies: &mut Vec<Vec<u8>>) -> Result<(), NoReply> {
    let any: IpAddr = if target.to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(target.from.unwrap_or(SocketAddr::new(any, 0))).await?;
    socket.connect(target.to).await?;
    socket.send(&[&target.proxy, wire].concat()).await?;
    let mut buffer = vec![0; 65_535];
    let size = socket.recv(&mut buffer).await?;
    replies.push(buffer[..size].to_vec());
    let end = Instant::now() + target.linger.unwrap_or_default();
    while target.linger.is_some() {
        match timeout_at(end, socket.recv(&mut buffer)).await {
            Ok(Ok(size)) => replies.push(buffer[..size].to_vec()),
            _ => break,
        }
    }
    Ok(())
}

/// Sends the data, takes `wanted` replies and, with `linger:`, what comes within that time after them.
async fn over_stream(
    data: &[u8],
    target: &Target<'_>,
    frames: &mut Vec<Vec<u8>>,
    wanted: usize,
) -> Result<(), NoReply> {
    let mut stream = open(target).await?;
    stream.write_all(data).await?;
    stream.flush().await?;
    while frames.len() < wanted {
        frames.push(take_frame(&mut stream).await?);
    }
    let end = Instant::now() + target.linger.unwrap_or_default();
    while target.linger.is_some() {
        match timeout_at(end, take_frame(&mut stream)).await {
            Ok(Ok(frame)) => frames.push(frame),
            _ => break,
        }
    }
    Ok(())
}

async fn open(target: &Target<'_>) -> Result<Box<dyn Stream>, NoReply> {
    let socket = if target.to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = target.from {
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
    }
    let mut stream = socket.connect(target.to).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&target.proxy).await?;
    if target.proto != "tls" {
        return Ok(Box::new(stream));
    }
    let verified = target.tls_name.is_some().then(|| target.folder.join("ca.pem"));
    let connector = tls::connector(verified.as_deref()).map_err(|err| NoReply::Tls(err.to_string()))?;
    let name = tls::server_name(target.tls_name.as_deref().unwrap_or("localhost"));
    let name = name.map_err(|err| NoReply::Tls(err.to_string()))?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// A message with its length before it, as on streams (RFC 1035, section 4.2.2).
pub fn frame(wire: &[u8]) -> Vec<u8> {
    [&(wire.len() as u16).to_be_bytes(), wire].concat()
}

/// The next message of a stream.
///
/// # Errors
/// When the stream ends before it is complete.
pub async fn take_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let size = stream.read_u16().await?;
    let mut wire = vec![0; usize::from(size)];
    stream.read_exact(&mut wire).await?;
    Ok(wire)
}
