//! What other plugins of the block see of the cluster: *k8s_external* its Services from outside, *autopath* the search paths of
//! its pods.

use std::net::IpAddr;
use std::sync::Arc;

use catena_cluster::External;
use catena_cluster::index::{Entry, ServiceKind};
use catena_core::name::OwnedName;
use catena_core::{AutoPath, Query};
use domain::base::Name;

use crate::backend::Backend;
use crate::config::PodMode;
use crate::records::name;

impl External for Backend {
    fn keep_external(&self) {
        self.index().keep_external();
    }

    fn is_synced(&self) -> bool {
        self.index().is_synced()
    }

    fn ttl(&self) -> u32 {
        self.config.ttl
    }

    fn is_exposed(&self, namespace: &[u8]) -> bool {
        self.exposes(namespace)
    }

    fn service(&self, namespace: &[u8], name: &[u8]) -> Option<Arc<Entry>> {
        self.index().service(namespace, name)
    }

    fn services_outside(&self, address: IpAddr) -> Vec<Arc<Entry>> {
        let mut found = self.index().services_outside(address);
        found.retain(|entry| self.shows_reverse(entry));
        found
    }

    fn services(&self) -> Vec<Arc<Entry>> {
        let mut all = self.index().services();
        all.retain(|entry| self.exposes(entry.namespace().as_bytes()));
        all
    }

    fn serial(&self) -> u32 {
        self.index().serial_external()
    }

    fn name_servers(&self, headless: bool) -> Vec<IpAddr> {
        let local = self.local.get().map_or(&[][..], Vec::as_slice);
        let (mut found, mut is_endpoint) = (Vec::new(), false);
        let mut push = |ip: IpAddr| {
            if !found.contains(&ip) {
                found.push(ip);
            }
        };
        for (address, entry) in
            local.iter().flat_map(|ip| self.index().endpoints_at(*ip).into_iter().map(move |one| (ip, one)))
        {
            is_endpoint = true;
            let Some(service) = entry.service() else { continue };
            if headless && service.kind == ServiceKind::Headless {
                Self::beside(&entry, *address).for_each(|endpoint| push(endpoint.address));
            } else {
                service.external_ips().for_each(&mut push);
            }
        }
        if !is_endpoint {
            local.iter().copied().for_each(&mut push);
        }
        found
    }
}

/// CoreDNS: plugin/kubernetes/autopath.go.
impl AutoPath for Backend {
    fn search_path(&self, query: &Query, client: IpAddr) -> Option<Vec<OwnedName>> {
        let question = query.question();
        let zone = self.config.zones.longest(question.lower().as_slice(), question.labels())?;
        if self.config.pods != PodMode::Verified {
            return None;
        }
        let pod = self.index().pod_at(client.to_canonical())?;
        let mut path = Vec::with_capacity(4 + self.config.search.len());
        for labels in [&[pod.namespace().as_bytes(), b"svc"][..], &[b"svc"]] {
            let name = name(labels, zone.wire());
            // A namespace whose names would be too long has none to search.
            path.extend(name.get().and_then(|wire| Name::from_octets(wire.to_vec()).ok()));
        }
        path.push(zone.name().clone());
        path.extend(self.config.search.iter().cloned());
        path.push(Name::root_vec());
        Some(path)
    }
}
