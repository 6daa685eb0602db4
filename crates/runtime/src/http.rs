//! Side HTTP: one small listener per address that plugins ask for, kept by the server over reloads.
//!
//! A reload first opens the addresses that are new ([`SideHttp::prepare`]), then lets every listener answer for the new instance and
//! closes those that nobody wants any more ([`SideHttp::commit`]). An address that stays keeps its socket.

mod listener;
mod serve;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use catena_core::{BindFailure, Diagnostic, HttpSite, Log};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use self::listener::LOOKUP_LIMIT;
pub use self::serve::{CONNECTION_LIFE_MAX, CONNECTIONS_MAX, HEADER_OCTETS_MAX, IO_TIMEOUT};
pub use self::tls::HANDSHAKE_TIMEOUT;

/// The most addresses of side HTTP listeners of a server.
pub const ADDRESSES_MAX: usize = 256;

/// What a listener answers for, and how.
#[derive(Clone, Default)]
struct Served {
    sites: Vec<HttpSite>,
    /// There if connections speak TLS.
    tls: Option<TlsAcceptor>,
}

type Current = ArcSwap<Served>;

struct Open {
    local: SocketAddr,
    served: Arc<Current>,
    /// Dropped to close the listener; connections end after the request at hand.
    _stop: watch::Sender<()>,
}

/// The side HTTP listeners of a server.
#[derive(Default)]
pub struct SideHttp {
    open: BTreeMap<String, Open>,
}

/// Listeners that were opened for an instance that may come into force.
pub struct Prepared {
    wanted: BTreeMap<String, Served>,
    fresh: BTreeMap<String, std::net::TcpListener>,
    log: Log,
}

impl SideHttp {
    /// No listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the addresses that are not open yet. Nothing is answered there before [`SideHttp::commit`].
    ///
    /// # Errors
    /// An address cannot be had and the plugin cannot do without ([`BindFailure::Fatal`]), or what a site says of TLS cannot be used.
    pub async fn prepare(&self, sites: &[HttpSite], log: &Log) -> Result<Prepared, Diagnostic> {
        let mut wanted: BTreeMap<String, Served> = BTreeMap::new();
        let mut failed: Vec<&str> = Vec::new();
        let mut fresh = BTreeMap::new();
        for site in sites {
            let known = self.open.contains_key(&site.addr) || fresh.contains_key(&site.addr);
            if !known && !failed.contains(&site.addr.as_str()) {
                let opened = if self.open.len() + fresh.len() < ADDRESSES_MAX {
                    listener::open(&site.addr, log).await
                } else {
                    Err(format!("listen tcp {}: more than {ADDRESSES_MAX} addresses", site.addr))
                };
                match opened {
                    Ok(socket) => {
                        fresh.insert(site.addr.clone(), socket);
                    }
                    Err(reason) => {
                        report(site, reason, log)?;
                        failed.push(&site.addr);
                    }
                }
            }
            if !failed.contains(&site.addr.as_str()) {
                add(&mut wanted, site, log)?;
            }
        }
        Ok(Prepared { wanted, fresh, log: log.clone() })
    }

    /// Lets the listeners answer for the new instance. Needs a runtime, on which the new listeners then run.
    pub fn commit(&mut self, prepared: Prepared) {
        let Prepared { mut wanted, fresh, log } = prepared;
        let with_tls = wanted.values().filter(|served| served.tls.is_some()).count();
        self.open.retain(|addr, open| {
            let Some(served) = wanted.remove(addr) else { return false };
            open.served.store(Arc::new(served));
            true
        });
        for (addr, socket) in fresh {
            let (Ok(local), Some(served)) = (socket.local_addr(), wanted.remove(&addr)) else { continue };
            let served = Arc::new(Current::from_pointee(served));
            let (stop, stopped) = watch::channel(());
            #[expect(
                clippy::disallowed_methods,
                reason = "listeners outlive instances; they end when their sender is dropped"
            )]
            tokio::spawn(serve::accept(socket, Arc::clone(&served), stopped));
            self.open.insert(addr, Open { local, served, _stop: stop });
        }
        for _ in 0..with_tls {
            // CoreDNS says so of listeners with TLS alone.
            log.info("Server is ready and accepting connections");
        }
    }

    /// Closes the paths for which `gone` says so, and every listener that has none left.
    pub fn close(&mut self, gone: impl Fn(&HttpSite) -> bool) {
        self.open.retain(|_, open| {
            let mut left = Served::clone(&open.served.load());
            left.sites.retain(|site| !gone(site));
            let stays = !left.sites.is_empty();
            open.served.store(Arc::new(left));
            stays
        });
    }

    /// The addresses that are open: as the Corefile has them, and as they are.
    pub fn addrs(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.open.iter().map(|(addr, open)| (addr.as_str(), open.local))
    }
}

/// Puts a site with those of its address. The first one says how TLS is spoken there.
fn add(wanted: &mut BTreeMap<String, Served>, site: &HttpSite, log: &Log) -> Result<(), Diagnostic> {
    let served = wanted.entry(site.addr.clone()).or_default();
    match (served.sites.first(), &site.tls) {
        (None, Some(tls)) => {
            let acceptor = tls::acceptor(tls)
                .map_err(|reason| fault(site, format!("TLS of {}: {reason}", site.addr)).with_prefix(site.plugin))?;
            served.tls = Some(acceptor);
        }
        (Some(first), asked) if first.tls != *asked => log.warning(format_args!(
            "{} of {} is served with the TLS settings of {} of {}, which come first and differ",
            site.path, site.plugin, first.path, first.plugin
        )),
        _ => {}
    }
    served.sites.push(site.clone());
    Ok(())
}

fn fault(site: &HttpSite, reason: String) -> Diagnostic {
    let fault = Diagnostic::error(reason);
    match site.span {
        Some(span) => fault.with_span(span),
        None => fault,
    }
}

fn report(site: &HttpSite, reason: String, log: &Log) -> Result<(), Diagnostic> {
    match site.on_failure {
        BindFailure::Fatal => return Err(fault(site, reason)),
        BindFailure::Log(what) => log.error(format_args!("{what}: {reason}")),
        BindFailure::Silent => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
