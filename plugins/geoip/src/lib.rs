//! *geoip* knows where clients are: labels from a MaxMind database.
//!
//! [`database`] finds values by address, [`source`] reads the file and, when it changes, puts the new database in the place of the old
//! one. A value is looked up when somebody asks for its label, and only that value is decoded.

mod config;
mod database;
mod source;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Labels, Log};

use crate::database::{NAMES, Value};
use crate::source::{Source, Watch};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("geoip", setup);

/// The option with the client's network (RFC 7871 section 6).
const OPTION_CLIENT_SUBNET: u16 = 8;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx.cursor())?;
    let source = Arc::new(Source::load(cx, &config)?);
    cx.service(Arc::new(Watch(Arc::clone(&source))));
    cx.labels(Arc::new(Geo { source, client_subnet: config.client_subnet, log: cx.log() }));
    // CoreDNS: plugin/geoip is a handler. A block that has nothing else answers SERVFAIL and not REFUSED.
    cx.link(Pass);
    Ok(())
}

/// The labels.
struct Geo {
    source: Arc<Source>,
    /// The option of the client's network tells the address.
    client_subnet: bool,
    log: Log,
}

impl Geo {
    /// The address that is looked up.
    fn address(&self, query: &Query) -> IpAddr {
        let client = query.client().ip().to_canonical();
        if !self.client_subnet {
            return client;
        }
        let option = query.edns().and_then(|edns| edns.options().find(|(code, _)| *code == OPTION_CLIENT_SUBNET));
        option.and_then(|(_, data)| subnet_address(data)).unwrap_or(client)
    }
}

/// The address in the option of a client's network; what the mask hides is zero.
fn subnet_address(data: &[u8]) -> Option<IpAddr> {
    let (head, octets) = data.split_at_checked(4)?;
    match u16::from_be_bytes([head[0], head[1]]) {
        // CoreDNS: an option without an address has the address 0.0.0.0.
        0 => Some(Ipv4Addr::UNSPECIFIED.into()),
        1 => Some(Ipv4Addr::from(padded::<4>(octets)?).into()),
        2 => Some(Ipv6Addr::from(padded::<16>(octets)?).into()),
        _ => None,
    }
}

/// The octets, and zeros behind them; `None` if there are too many.
fn padded<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    let mut whole = [0; N];
    whole.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(whole)
}

impl Labels for Geo {
    fn names(&self) -> &[&'static str] {
        &NAMES
    }

    fn label<'a>(&'a self, name: &str, query: &'a Query) -> Option<Cow<'a, str>> {
        let value = Value::named(name)?;
        let address = self.address(query);
        match self.source.database().find(address, value) {
            Ok(text) => text.map(Cow::Owned),
            Err(error) => {
                self.log.debug(format_args!("Looking up {address} for {name} failed: {error}"));
                None
            }
        }
    }
}

/// The link: the labels are all that it does.
struct Pass;

#[async_trait]
impl Plugin for Pass {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        next.run(q).await
    }
}
