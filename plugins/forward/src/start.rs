//! What `forward` does beside queries: host names are looked up at the start, connections that rest too long are closed.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use catena_core::corefile::Transport;
use catena_core::{Diagnostic, Interfaces, ListenAddr, Service, StartContext, async_trait};
use catena_gocompat::quote::quote;
use catena_upstream::{LOOKUP_ADDRESSES_MAX, Upstream, lookup_addresses};
use tokio::time::{sleep, timeout};

use crate::destination::{Destination, Host, targets};
use crate::{Forward, Forwarder};

/// The pause between two looks for connections that rest too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How long the system may take to look up a host name.
const SYSTEM_LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

impl Forwarder {
    /// Makes the upstreams, once every host name is looked up; before that it does nothing.
    pub(crate) fn fill(&self, resolved: &[Vec<IpAddr>]) -> Result<(), Diagnostic> {
        if self.hosts().count() != resolved.len() {
            return Ok(());
        }
        let targets = targets(&self.config.destinations, resolved).map_err(Diagnostic::error)?;
        let upstreams: Result<Vec<_>, _> = targets.iter().map(|target| self.upstream(target).map(Arc::new)).collect();
        // A second filling would be the same.
        let _ = self.upstreams.set(upstreams?);
        Ok(())
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.config.destinations.iter().filter_map(|destination| match destination {
            Destination::Host(host) => Some(host),
            Destination::Addresses(_) => None,
        })
    }

    fn all(&self) -> &[Arc<Upstream>] {
        self.upstreams.get().map_or(&[], Vec::as_slice)
    }

    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, Diagnostic> {
        let found = match &*self.config.resolvers {
            [] => system_lookup(&host.shown).await,
            resolvers => lookup_addresses(&host.name, &host.shown, resolvers).await,
        };
        found.map_err(|why| {
            Diagnostic::error(format!("failed to resolve {}: {why}", quote(&host.shown)))
                .with_span(host.span)
                .with_help("host names of upstreams are looked up once, when the server starts")
        })
    }
}

async fn system_lookup(name: &str) -> Result<Vec<IpAddr>, String> {
    match timeout(SYSTEM_LOOKUP_TIMEOUT, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for ip in found.map(|address| address.ip()).take(LOOKUP_ADDRESSES_MAX) {
                if !addresses.contains(&ip) {
                    addresses.push(ip);
                }
            }
            if addresses.is_empty() { Err(format!("no addresses found for {}", quote(name))) } else { Ok(addresses) }
        }
        Ok(Err(_)) => Err(format!("lookup {name}: no such host")),
        Err(_) => Err(format!("lookup {name}: i/o timeout")),
    }
}

#[async_trait]
impl Service for Forward {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let forward = &self.0;
        if forward.upstreams.get().is_none() {
            let mut resolved = Vec::new();
            for host in forward.hosts() {
                resolved.push(forward.resolve(host).await?);
            }
            forward.fill(&resolved)?;
        }
        forward.all().iter().for_each(|upstream| upstream.prepare());
        if !cx.spawner.spawn(Box::pin(sweep(Arc::downgrade(forward)))) {
            forward.log.warning("idle connections will not be closed in time: too many tasks");
        }
        Ok(())
    }

    async fn serving(&self, cx: &StartContext<'_>) {
        for upstream in self.0.all() {
            let Some(peer) = upstream.peer() else { continue };
            if cx.listen.iter().any(|listen| is_own(listen, peer, upstream.is_tls(), cx.interfaces)) {
                self.0.log.warning(format_args!(
                    "upstream {} is an address of this very server block: queries will loop; see https://coredns.io/plugins/loop",
                    upstream.label()
                ));
            }
        }
    }
}

/// Whether an upstream's address is one on which the server block listens.
fn is_own(listen: &ListenAddr, peer: SocketAddr, tls: bool, interfaces: &dyn Interfaces) -> bool {
    let transport = if tls { Transport::Tls } else { Transport::Dns };
    if listen.port != peer.port() || listen.transport != transport {
        return false;
    }
    match listen.ip {
        Some(ip) => ip == peer.ip(),
        None if peer.ip().is_loopback() => true,
        None => interfaces.addresses().is_ok_and(|known| known.iter().any(|(_, ip)| *ip == peer.ip())),
    }
}

/// Closes what rests too long, for as long as the upstreams are there.
async fn sweep(forward: Weak<Forwarder>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(forward) = forward.upgrade() else { return };
        forward.all().iter().for_each(|upstream| upstream.sweep());
    }
}
