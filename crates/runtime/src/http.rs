//! Side HTTP: one small listener per address that plugins ask for, kept by the server over reloads.
//!
//! A reload first opens the addresses that are new ([`SideHttp::prepare`]), then lets every listener answer for the new instance and
//! closes those that nobody wants any more ([`SideHttp::commit`]). An address that stays keeps its socket.

mod listener;
mod serve;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use catena_core::{BindFailure, Diagnostic, HttpSite, Log};
use tokio::sync::watch;

pub use self::listener::LOOKUP_LIMIT;
pub use self::serve::{CONNECTION_LIFE_MAX, CONNECTIONS_MAX, HEADER_OCTETS_MAX, IO_TIMEOUT};

/// The most addresses of side HTTP listeners of a server.
pub const ADDRESSES_MAX: usize = 256;

/// What a listener answers for.
pub(crate) type Sites = ArcSwap<Vec<HttpSite>>;

struct Open {
    local: SocketAddr,
    sites: Arc<Sites>,
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
    wanted: BTreeMap<String, Vec<HttpSite>>,
    fresh: BTreeMap<String, std::net::TcpListener>,
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
    /// An address cannot be had and the plugin cannot do without ([`BindFailure::Fatal`]).
    pub async fn prepare(&self, sites: &[HttpSite], log: &Log) -> Result<Prepared, Diagnostic> {
        let mut wanted: BTreeMap<String, Vec<HttpSite>> = BTreeMap::new();
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
                wanted.entry(site.addr.clone()).or_default().push(site.clone());
            }
        }
        Ok(Prepared { wanted, fresh })
    }

    /// Lets the listeners answer for the new instance. Needs a runtime, on which the new listeners then run.
    pub fn commit(&mut self, prepared: Prepared) {
        let Prepared { mut wanted, fresh } = prepared;
        self.open.retain(|addr, open| {
            let Some(sites) = wanted.remove(addr) else { return false };
            open.sites.store(Arc::new(sites));
            true
        });
        for (addr, socket) in fresh {
            let (Ok(local), Some(sites)) = (socket.local_addr(), wanted.remove(&addr)) else { continue };
            let sites = Arc::new(Sites::from_pointee(sites));
            let (stop, stopped) = watch::channel(());
            #[expect(
                clippy::disallowed_methods,
                reason = "listeners outlive instances; they end when their sender is dropped"
            )]
            tokio::spawn(serve::accept(socket, Arc::clone(&sites), stopped));
            self.open.insert(addr, Open { local, sites, _stop: stop });
        }
    }

    /// Closes the paths for which `gone` says so, and every listener that has none left.
    pub fn close(&mut self, gone: impl Fn(&HttpSite) -> bool) {
        self.open.retain(|_, open| {
            let left: Vec<HttpSite> = open.sites.load().iter().filter(|site| !gone(site)).cloned().collect();
            let stays = !left.is_empty();
            open.sites.store(Arc::new(left));
            stays
        });
    }

    /// The addresses that are open: as the Corefile has them, and as they are.
    pub fn addrs(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.open.iter().map(|(addr, open)| (addr.as_str(), open.local))
    }
}

fn report(site: &HttpSite, reason: String, log: &Log) -> Result<(), Diagnostic> {
    match site.on_failure {
        BindFailure::Fatal => {
            let fault = Diagnostic::error(reason);
            return Err(match site.span {
                Some(span) => fault.with_span(span),
                None => fault,
            });
        }
        BindFailure::Log(what) => log.error(format_args!("{what}: {reason}")),
        BindFailure::Silent => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
