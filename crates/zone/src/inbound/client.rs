//! One transfer, or one question for the serial number, over a TCP connection of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catena_core::wire::{HEADER_OCTETS, raw_record, skip_name, u16_at};
use catena_core::{Class, Rtype, wire};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::assembly::{Assembly, AssemblyError, Progress, serial_in};
use super::pace::{Pace, TooSlow};
use crate::Zone;
use crate::tsig::{Conversation, ConversationError, Key};

/// How long connecting, sending and each message may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// The code for a name that is not there (RFC 1035 section 4.1.1).
const NXDOMAIN: u8 = 3;

/// A server that has the zone.
#[derive(Clone, Debug)]
pub struct Primary {
    /// Where it is.
    pub addr: SocketAddr,
    /// The key that requests are signed with and replies have to be.
    pub key: Option<Arc<Key>>,
}

/// Why nothing could be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came.
    #[error("{0}")]
    Transfer(#[from] AssemblyError),
    /// Its signature.
    #[error("{0}")]
    Signature(#[from] ConversationError),
    /// It comes too slowly.
    #[error("{0}")]
    TooSlow(#[from] TooSlow),
    /// The primary does not know the zone.
    #[error("no SOA record in the reply, rcode {0}")]
    NoSoa(u8),
    /// The server answers with an error code, or with something else.
    #[error("no usable reply, rcode {0}")]
    Rcode(u8),
}

/// What a transfer brought.
#[derive(Debug)]
pub enum Fetched {
    /// There is nothing newer.
    UpToDate,
    /// A new version.
    Zone(Box<Zone>),
}

/// Asks a primary for the serial number of a zone, whose name is in lower case on the wire. `now` tells the seconds since 1970.
///
/// # Errors
/// No usable reply came.
pub async fn serial_of(primary: &Primary, apex: &[u8], now: &(dyn Fn() -> u64 + Sync)) -> Result<u32, FetchError> {
    let (rcode, found) = ask(primary, apex, Rtype::SOA, now).await?;
    let serial = found.filter(|_| rcode == 0).and_then(|records| serial_in(&records.first()?.1));
    serial.ok_or(FetchError::NoSoa(rcode))
}

/// Asks a server for the records of one type of a name, which is in lower case on the wire: their TTLs and rdata. There are none if the answer section has
/// none. `now` tells the seconds since 1970.
///
/// # Errors
/// No usable reply came: a broken one, or one with an error code.
pub async fn records_of(
    server: &Primary,
    name: &[u8],
    rtype: Rtype,
    now: &(dyn Fn() -> u64 + Sync),
) -> Result<Vec<(u32, Vec<u8>)>, FetchError> {
    let (rcode, found) = ask(server, name, rtype, now).await?;
    // A name that is not there has no records.
    found.filter(|_| rcode == 0 || rcode == NXDOMAIN).ok_or(FetchError::Rcode(rcode))
}

/// The code of the reply and the records of its answer section that were asked for; `None` if it is of another question, or broken.
async fn ask(
    server: &Primary,
    name: &[u8],
    rtype: Rtype,
    now: &(dyn Fn() -> u64 + Sync),
) -> Result<(u8, Option<Vec<(u32, Vec<u8>)>>), FetchError> {
    let id = rand::random();
    let mut request = question(id, name, rtype);
    let mut connection = Connection::open(server, &mut request, now()).await?;
    let reply = connection.next(now).await?;
    let rcode = reply.get(3).map_or(0, |octet| octet & 0x0f);
    let found = if u16_at(&reply, 0).ok() == Some(id) { records_in(&reply, name, rtype) } else { None };
    Ok((rcode, found))
}

/// Fetches a zone: what changed since the version that is here if there is one, else all of it. If that is not to be had, or of no use, the same primary is
/// asked for all.
///
/// # Errors
/// No whole and usable transfer came.
pub async fn fetch(
    primary: &Primary,
    apex: &[u8],
    current: Option<Arc<Zone>>,
    now: &(dyn Fn() -> u64 + Sync),
) -> Result<Fetched, FetchError> {
    if let Some(zone) = current {
        match attempt(primary, apex, Some(zone), now).await {
            // The primary has no differences to give, or broken ones, or hangs up: the whole zone mends them.
            Err(FetchError::Transfer(_)) => {}
            Err(FetchError::Io(error))
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {}
            other => return other,
        }
    }
    attempt(primary, apex, None, now).await
}

async fn attempt(
    primary: &Primary,
    apex: &[u8],
    current: Option<Arc<Zone>>,
    now: &(dyn Fn() -> u64 + Sync),
) -> Result<Fetched, FetchError> {
    let id = rand::random();
    let mut request = match &current {
        Some(zone) => ixfr_question(id, apex, zone),
        None => question(id, apex, Rtype::AXFR),
    };
    let mut connection = Connection::open(primary, &mut request, now()).await?;
    receive(&mut connection, Assembly::new(apex, id, current), now).await
}

async fn receive<S: AsyncRead + Unpin>(
    connection: &mut Connection<S>,
    mut assembly: Assembly,
    now: &(dyn Fn() -> u64 + Sync),
) -> Result<Fetched, FetchError> {
    loop {
        let message = connection.next(now).await?;
        match assembly.message(&message)? {
            Progress::More => {}
            Progress::UpToDate => {
                connection.is_trusted()?;
                return Ok(Fetched::UpToDate);
            }
            Progress::Done(zone) => {
                connection.is_trusted()?;
                return Ok(Fetched::Zone(Box::new(zone)));
            }
        }
    }
}

fn question(id: u16, apex: &[u8], qtype: Rtype) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(apex);
    message.extend_from_slice(&qtype.to_int().to_be_bytes());
    message.extend_from_slice(&Class::IN.to_int().to_be_bytes());
    message
}

/// The authority section has the SOA record of the version that is here (RFC 1995 section 3).
fn ixfr_question(id: u16, apex: &[u8], zone: &Zone) -> Vec<u8> {
    let mut message = question(id, apex, Rtype::IXFR);
    message[9] = 1;
    let soa = zone.soa();
    // The owner is the name of the question.
    message.extend_from_slice(&[0xc0, HEADER_OCTETS as u8]);
    message.extend_from_slice(&Rtype::SOA.to_int().to_be_bytes());
    message.extend_from_slice(&soa.class.to_int().to_be_bytes());
    message.extend_from_slice(&soa.ttl.to_be_bytes());
    message.extend_from_slice(&(soa.rdata.len() as u16).to_be_bytes());
    message.extend_from_slice(soa.rdata);
    message
}

fn records_in(reply: &[u8], name: &[u8], rtype: Rtype) -> Option<Vec<(u32, Vec<u8>)>> {
    let mut at = HEADER_OCTETS;
    for _ in 0..u16_at(reply, 4).ok()? {
        at = skip_name(reply, at).ok()? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..u16_at(reply, 6).ok()? {
        let record = raw_record(reply, at).ok()?;
        let (mut owner, mut rdata) = (Vec::new(), Vec::new());
        wire::expand_name(reply, record.owner, &mut owner).ok()?;
        if record.rtype == rtype && owner.eq_ignore_ascii_case(name) {
            wire::expand_rdata(reply, &record, &mut rdata).ok()?;
            found.push((record.ttl, rdata));
        }
        at = record.end;
    }
    Some(found)
}

/// A connection on which one request was sent.
struct Connection<S> {
    stream: S,
    conversation: Option<Conversation>,
    pace: Pace,
}

impl Connection<TcpStream> {
    async fn open(primary: &Primary, request: &mut Vec<u8>, now: u64) -> Result<Self, FetchError> {
        let stream = within(TcpStream::connect(primary.addr)).await?;
        Self::begin(stream, primary, request, now).await
    }
}

impl<S: AsyncWrite + Unpin> Connection<S> {
    /// Sends the request.
    async fn begin(mut stream: S, primary: &Primary, request: &mut Vec<u8>, now: u64) -> Result<Self, FetchError> {
        let conversation = primary.key.as_ref().map(|key| Conversation::sign(Arc::clone(key), request, now));
        let mut frame = (request.len() as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(request);
        within(stream.write_all(&frame)).await?;
        Ok(Self { stream, conversation, pace: Pace::begin(Instant::now()) })
    }
}

impl<S: AsyncRead + Unpin> Connection<S> {
    /// The next message, its signature checked.
    async fn next(&mut self, now: &(dyn Fn() -> u64 + Sync)) -> Result<Vec<u8>, FetchError> {
        let len = within(self.stream.read_u16()).await?;
        let mut message = vec![0; usize::from(len)];
        within(self.stream.read_exact(&mut message)).await?;
        self.pace.take(message.len() + 2, Instant::now())?;
        if let Some(conversation) = &mut self.conversation {
            conversation.check(&message, now())?;
        }
        Ok(message)
    }

    /// The last message was signed, if messages have to be.
    fn is_trusted(&self) -> Result<(), FetchError> {
        match &self.conversation {
            Some(conversation) if !conversation.is_covered() => Err(ConversationError::Unsigned.into()),
            _ => Ok(()),
        }
    }
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "i/o timeout");
    timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    #![allow(clippy::disallowed_methods, reason = "the primary is a task of the test")]
    use super::super::pace::{PROGRESS_OCTETS_MIN, PROGRESS_SPAN, TRANSFER_DURATION_MAX};
    use super::*;

    const APEX: &[u8] = b"\x07example\x03org\x00";

    /// A primary that sends the SOA record and then, every so often, a message with so many octets of text, and never comes to an end. What the
    /// transfer from it comes to, and when. Time passes as fast as it can.
    async fn fetched_from(text_octets: usize, every: Duration) -> (FetchError, Duration) {
        let (here, mut there) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let mut request = [0; 2 + 12 + 13 + 4];
            there.read_exact(&mut request).await.unwrap();
            let mut soa = vec![0; 22];
            soa[5] = 1;
            let mut next = (6, soa);
            for number in 0_u32.. {
                let mut message = request[2..].to_vec();
                message[2] = 0x84;
                message[7] = 1;
                message.extend([0xc0, 12, 0, next.0, 0, 1, 0, 0, 0, 60]);
                message.extend((next.1.len() as u16).to_be_bytes());
                message.extend(&next.1);
                there.write_u16(message.len() as u16).await.unwrap();
                if there.write_all(&message).await.is_err() {
                    return;
                }
                tokio::time::sleep(every).await;
                next = (250, [&number.to_be_bytes()[..], &vec![0; text_octets]].concat());
            }
        });
        let begun = Instant::now();
        let primary = Primary { addr: ([127, 0, 0, 1], 53).into(), key: None };
        let mut connection = Connection::begin(here, &primary, &mut question(7, APEX, Rtype::AXFR), 0).await.unwrap();
        let error = receive(&mut connection, Assembly::new(APEX, 7, None), &|| 0).await.unwrap_err();
        (error, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_that_drips_is_given_up() {
        let (error, after) = fetched_from(1, Duration::from_secs(1)).await;
        assert!(matches!(error, FetchError::TooSlow(TooSlow::Span)), "{error}");
        assert_eq!(after, PROGRESS_SPAN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_that_never_ends_is_given_up() {
        let (error, after) = fetched_from(PROGRESS_OCTETS_MIN, Duration::from_secs(9)).await;
        assert!(matches!(error, FetchError::TooSlow(TooSlow::Whole)), "{error}");
        assert!(after > TRANSFER_DURATION_MAX && after < TRANSFER_DURATION_MAX + Duration::from_secs(10), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_that_stops_is_given_up_at_once() {
        let (error, after) = fetched_from(1, Duration::from_secs(20)).await;
        assert!(matches!(error, FetchError::Io(_)), "{error}");
        assert_eq!(after, STEP_TIMEOUT);
    }
}
