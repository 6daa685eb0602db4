//! What other plugins of a server block may ask of the one that knows the cluster.

use std::net::IpAddr;
use std::sync::Arc;

use crate::index::Entry;

/// Services as they are reached from outside of the cluster. Offered by *kubernetes* at setup, found by *k8s_external*.
///
/// Everything is read when it is asked for: what one call returns is a snapshot, two calls may see two states of the cluster.
/// CoreDNS: `external.Externaler` of plugin/k8s_external.
pub trait External: Send + Sync + 'static {
    /// Asks for external addresses to be kept, which the index leaves out otherwise. To be called before the instance starts,
    /// that is in `Setup::on_linked` or `Setup::link_later`: objects that were read before are not read again.
    fn keep_external(&self);

    /// Whether all objects were listed once; until then a name that is not there may only be not known yet.
    fn is_synced(&self) -> bool;

    /// The TTL of the cluster's own records, seconds.
    fn ttl(&self) -> u32;

    /// Whether a namespace, given in any case, exists and is one that is answered for.
    fn is_exposed(&self, namespace: &[u8]) -> bool;

    /// What is known under a namespace and a Service name, given in any case, be the namespace exposed or not. Its Service, if it has
    /// one, has `external` addresses, ports and a kind; its endpoints come with their names, ports by slice.
    fn service(&self, namespace: &[u8], name: &[u8]) -> Option<Arc<Entry>>;

    /// The Services that have this external address, in order of namespace and name; of exposed namespaces alone if the
    /// configuration names namespaces, else of all.
    fn services_outside(&self, address: IpAddr) -> Vec<Arc<Entry>>;

    /// Every Service of the exposed namespaces, in order of namespace and name; shared, not copied.
    fn services(&self) -> Vec<Arc<Entry>>;

    /// When external addresses or ports of a Service last changed, seconds since 1970; 0 before the first change. A Service that
    /// comes or goes does not count (CoreDNS: plugin/kubernetes/controller.go).
    fn serial(&self) -> u32;

    /// Where this server is reached from outside: the external addresses of the Services that it is an endpoint of or, with `headless`,
    /// the endpoints of those of them that are headless; if it is nobody's endpoint, its own addresses. Each address once.
    fn name_servers(&self, headless: bool) -> Vec<IpAddr>;
}
