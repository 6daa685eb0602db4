//! What a `forward` directive says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use catena_core::corefile::zones_from_arg;
use catena_core::metrics::rcode_mnemonic;
use catena_core::{Cursor, Diagnostic, OwnedName, Rcode, Setup, Zone, Zones, name};
use catena_gocompat::address::{parse_ip, split_host_port};
use catena_gocompat::duration::GoDuration;
use catena_gocompat::number::{atoi, parse_uint};
use catena_gocompat::quote::quote;
use catena_upstream::{DohMethod, PolicyKind, TlsClient};

use crate::destination::{self, Destination, TOS_MAX};

const PROPERTIES: [&str; 21] = [
    "except",
    "force_tcp",
    "prefer_udp",
    "expire",
    "max_age",
    "max_idle_conns",
    "max_fails",
    "max_connect_attempts",
    "read_timeout",
    "tls",
    "tls_servername",
    "policy",
    "health_check",
    "max_concurrent",
    "next",
    "next_on_nodata",
    "failover",
    "failfast_all_unhealthy_upstreams",
    "doh_method",
    "resolver",
    "source_address",
];

/// One `forward` directive. The defaults are CoreDNS's.
pub(crate) struct Config {
    /// The zone of the names that are forwarded.
    pub(crate) from: Zone,
    /// Zones whose names are not forwarded after all.
    pub(crate) except: Zones,
    /// Where to forward to.
    pub(crate) destinations: Vec<Destination>,
    /// Always over TCP.
    pub(crate) force_tcp: bool,
    /// Over UDP first, whatever the client used.
    pub(crate) prefer_udp: bool,
    /// How long a connection may rest.
    pub(crate) expire: GoDuration,
    /// How old a connection may become; 0: as old as it likes.
    pub(crate) max_age: GoDuration,
    /// How many connections may rest; 0: as many as fit.
    pub(crate) max_idle_conns: usize,
    /// Failed health checks that an upstream may have and still be used; 0: any number.
    pub(crate) max_fails: u32,
    /// Failed attempts that a query may have; 0: any number until its time is over; `None`: two for each upstream.
    pub(crate) max_connect_attempts: Option<u32>,
    /// How long to wait for a reply.
    pub(crate) read_timeout: Duration,
    /// Roots and certificate for upstreams with TLS.
    pub(crate) tls: Arc<TlsClient>,
    /// The name that certificates must be for.
    pub(crate) tls_servername: Option<String>,
    /// How queries stand in requests to upstreams over HTTPS.
    pub(crate) doh_method: DohMethod,
    /// The order of the upstreams.
    pub(crate) policy: PolicyKind,
    /// The pause between two health checks.
    pub(crate) health_interval: Duration,
    /// Health checks ask for recursion.
    pub(crate) health_recursion: bool,
    /// The name that health checks ask for.
    pub(crate) health_domain: OwnedName,
    /// How many queries may be under way, with the number as it was written; 0: any number.
    pub(crate) max_concurrent: (usize, String),
    /// Codes with which the next `forward` is asked.
    pub(crate) next: Vec<Rcode>,
    /// An empty NOERROR makes the next `forward` be asked.
    pub(crate) next_on_nodata: bool,
    /// Codes with which the next upstream is asked.
    pub(crate) failover: Vec<Rcode>,
    /// Fail at once when every upstream is down.
    pub(crate) failfast: bool,
    /// Who is asked for the addresses of host names; none: the system.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// The address to send from.
    pub(crate) source: Option<IpAddr>,
}

impl Config {
    fn new(from: Zone) -> Self {
        Self {
            from,
            except: Zones::default(),
            destinations: Vec::new(),
            force_tcp: false,
            prefer_udp: false,
            expire: GoDuration::from_secs(10),
            max_age: GoDuration::ZERO,
            max_idle_conns: 0,
            max_fails: 2,
            max_connect_attempts: None,
            read_timeout: Duration::from_secs(2),
            tls: Arc::default(),
            tls_servername: None,
            doh_method: DohMethod::default(),
            policy: PolicyKind::Random,
            health_interval: Duration::from_millis(500),
            health_recursion: true,
            health_domain: OwnedName::root_vec(),
            max_concurrent: (0, String::new()),
            next: Vec::new(),
            next_on_nodata: false,
            failover: Vec::new(),
            failfast: false,
            resolvers: Vec::new(),
            source: None,
        }
    }
}

/// Reads every `forward` of the block.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Vec<Config>, Diagnostic> {
    let mut words = cx.cursor();
    let mut all = Vec::new();
    while words.next() {
        all.push(parse_one(cx, &mut words)?);
    }
    for config in &all {
        let count = config.destinations.len();
        if count > TOS_MAX {
            return Err(Diagnostic::error(format!("more than {TOS_MAX} TOs configured: {count}")));
        }
    }
    Ok(all)
}

fn parse_one(cx: &mut Setup<'_>, words: &mut Cursor<'_>) -> Result<Config, Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    let written = words.val();
    let mut zones = zones_from_arg(written).into_iter();
    let from = zones.next().and_then(|zone| Zone::parse(&zone));
    let from = from.ok_or_else(|| words.plain_err(format!("unable to normalize '{written}'")))?;
    if zones.next().is_some() {
        cx.log().warning(format_args!(
            "Unsupported CIDR notation: '{written}' expands to multiple zones. Using only '{from}'."
        ));
    }
    let tos: Vec<_> = words.remaining_tokens().into_iter().map(|token| (&*token.text, token.span)).collect();
    if tos.is_empty() {
        return Err(words.arg_err());
    }
    let mut config = Config::new(from);
    while words.next_block() {
        property(cx, words, &mut config)?;
    }
    if config.max_age > GoDuration::ZERO && config.max_age < config.expire {
        let (max_age, expire) = (config.max_age, config.expire);
        return Err(words.plain_err(format!("max_age ({max_age}) must not be less than expire ({expire})")));
    }
    config.destinations = destination::read(cx, &tos)?;
    check_server_names(&config)?;
    Ok(config)
}

/// A name for all upstreams and one for this one cannot both hold.
fn check_server_names(config: &Config) -> Result<(), Diagnostic> {
    let Some(for_all) = &config.tls_servername else { return Ok(()) };
    for destination in &config.destinations {
        let Some((own, address)) = destination.server_name() else { continue };
        return Err(Diagnostic::error(format!(
            "both forward ('{for_all}') and proxy level ('{own}') TLS servernames are set for upstream proxy 'tls://{address}'"
        )));
    }
    Ok(())
}

fn property(cx: &mut Setup<'_>, words: &mut Cursor<'_>, config: &mut Config) -> Result<(), Diagnostic> {
    match words.val() {
        "except" => {
            let more = Zones::from_args(some_args(words)?);
            config.except = config.except.iter().chain(more.iter()).cloned().collect();
        }
        "force_tcp" => config.force_tcp = flag(words)?,
        "prefer_udp" => config.prefer_udp = flag(words)?,
        "expire" => config.expire = not_negative(words, "expire")?,
        "max_age" => config.max_age = not_negative(words, "max_age")?,
        "max_idle_conns" => config.max_idle_conns = count(words, "max_idle_conns")?,
        "max_fails" => config.max_fails = number(words)?,
        "max_connect_attempts" => config.max_connect_attempts = Some(number(words)?),
        "read_timeout" => config.read_timeout = read_timeout(words)?,
        "tls" => config.tls = Arc::new(tls(cx, words)?),
        "tls_servername" => config.tls_servername = Some(arg(words)?.to_owned()).filter(|name| !name.is_empty()),
        "policy" => {
            let text = arg(words)?;
            let known = PolicyKind::parse(text);
            config.policy = known.ok_or_else(|| {
                words.with_nearest(
                    words.err(format!("unknown policy '{text}'")),
                    &["random", "round_robin", "sequential"],
                )
            })?;
        }
        "health_check" => health_check(words, config)?,
        "max_concurrent" => {
            let max = count(words, "max_concurrent")?;
            config.max_concurrent = (max, words.val().to_owned());
        }
        "next" => config.next.extend(rcodes(words)?),
        "next_on_nodata" => config.next_on_nodata = flag(words)?,
        "failover" => {
            let codes = rcodes(words)?;
            if codes.contains(&Rcode::NOERROR) {
                return Err(words.plain_err("NoError cannot be used in failover"));
            }
            config.failover.extend(codes);
        }
        "failfast_all_unhealthy_upstreams" => {
            if !words.remaining_args().is_empty() {
                return Err(words.arg_err());
            }
            config.failfast = true;
        }
        "doh_method" => {
            config.doh_method = match arg(words)? {
                "POST" => DohMethod::Post,
                "GET" => DohMethod::Get,
                _ => return Err(words.plain_err("doh_method must be either POST or GET")),
            };
        }
        "resolver" => config.resolvers = resolvers(words)?,
        "source_address" => {
            let text = arg(words)?;
            let ip = parse_ip(text).ok_or_else(|| words.err(format!("invalid IP address: {text}")))?;
            config.source = Some(ip);
        }
        _ => return Err(words.unknown_property(&PROPERTIES)),
    }
    Ok(())
}

/// The next word of the line.
fn arg<'a>(words: &mut Cursor<'a>) -> Result<&'a str, Diagnostic> {
    if words.next_arg() { Ok(words.val()) } else { Err(words.arg_err()) }
}

fn some_args<'a>(words: &mut Cursor<'a>) -> Result<Vec<&'a str>, Diagnostic> {
    let args = words.remaining_args();
    if args.is_empty() { Err(words.arg_err()) } else { Ok(args) }
}

fn flag(words: &mut Cursor<'_>) -> Result<bool, Diagnostic> {
    words.no_more_args().map(|()| true)
}

fn duration(words: &mut Cursor<'_>) -> Result<GoDuration, Diagnostic> {
    let text = arg(words)?;
    GoDuration::parse(text).map_err(|error| words.plain_err(error.to_string()))
}

fn not_negative(words: &mut Cursor<'_>, property: &str) -> Result<GoDuration, Diagnostic> {
    let found = duration(words)?;
    if found.is_negative() {
        return Err(words.plain_err(format!("{property} can't be negative: {found}")));
    }
    Ok(found)
}

fn number(words: &mut Cursor<'_>) -> Result<u32, Diagnostic> {
    let text = arg(words)?;
    let found = parse_uint(text, 10, 32).map_err(|error| words.plain_err(error.to_string()))?;
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}

fn count(words: &mut Cursor<'_>, property: &str) -> Result<usize, Diagnostic> {
    let text = arg(words)?;
    let found = atoi(text).map_err(|error| words.plain_err(error.to_string()))?;
    usize::try_from(found).map_err(|_| words.plain_err(format!("{property} can't be negative: {found}")))
}

fn read_timeout(words: &mut Cursor<'_>) -> Result<Duration, Diagnostic> {
    let found = duration(words)?;
    let positive = found.to_std().filter(|time| !time.is_zero());
    positive.ok_or_else(|| words.plain_err(format!("read_timeout must be positive: {found}")))
}

fn tls(cx: &mut Setup<'_>, words: &mut Cursor<'_>) -> Result<TlsClient, Diagnostic> {
    let args = words.remaining_args();
    if args.len() > 3 {
        return Err(words.arg_err());
    }
    let paths: Vec<_> = args.into_iter().map(|path| cx.path(path)).collect();
    TlsClient::from_files(&paths, |path| cx.read_file(path)).map_err(|error| words.plain_err(error.to_string()))
}

fn health_check(words: &mut Cursor<'_>, config: &mut Config) -> Result<(), Diagnostic> {
    let found = duration(words)?;
    let interval = found.to_std();
    // CoreDNS prints the number of nanoseconds here.
    config.health_interval =
        interval.ok_or_else(|| words.plain_err(format!("health_check can't be negative: {}", found.as_nanos())))?;
    config.health_domain = OwnedName::root_vec();
    while words.next_arg() {
        match words.val() {
            "no_rec" => config.health_recursion = false,
            "domain" => {
                let text = arg(words)?;
                let mut domain = name::owned(text)
                    .ok_or_else(|| words.plain_err(format!("health_check: invalid domain name {text}")))?;
                domain.make_canonical();
                config.health_domain = domain;
            }
            other => {
                let error = words.plain_err(format!("health_check: unknown option {other}"));
                return Err(words.with_nearest(error, &["no_rec", "domain"]));
            }
        }
    }
    Ok(())
}

fn rcodes(words: &mut Cursor<'_>) -> Result<Vec<Rcode>, Diagnostic> {
    let args = some_args(words)?;
    let read = |text: &str| rcode(text).ok_or_else(|| words.plain_err(format!("{text} is not a valid rcode")));
    args.into_iter().map(read).collect()
}

/// Reads the mnemonic of a code, in any case.
fn rcode(text: &str) -> Option<Rcode> {
    // The codes that have a mnemonic end at BADCOOKIE (RFC 7873). NOTIMPL is a spelling that CoreDNS takes too.
    let text = if text.eq_ignore_ascii_case("NOTIMPL") { "NOTIMP" } else { text };
    let known = (0..=Rcode::BADCOOKIE.to_int()).map(Rcode::masked_from_int);
    known.into_iter().find(|code| rcode_mnemonic(*code).is_some_and(|name| name.eq_ignore_ascii_case(text)))
}

fn resolvers(words: &mut Cursor<'_>) -> Result<Vec<SocketAddr>, Diagnostic> {
    let args = some_args(words)?;
    let read = |text: &str| {
        let (host, port) = split_host_port(text).unwrap_or((text, "53"));
        let address = parse_ip(host).zip(port.parse().ok()).map(SocketAddr::from);
        address.ok_or_else(|| words.plain_err(format!("resolver must be an IP address or IP:port: {}", quote(text))))
    };
    args.into_iter().map(read).collect()
}
