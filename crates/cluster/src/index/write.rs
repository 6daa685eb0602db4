//! How objects get into the index, and out of it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
#[cfg(feature = "api")]
use std::time::Duration;

use hashbrown::HashTable;

use super::entry::{Entry, Pod, Service, Slice};
use super::pack::{self, Interner};
use super::state::Kind;
use super::table::spread;
use super::{Change, Index};
use crate::types;

/// A namespace that exists.
#[derive(Debug)]
pub(super) struct Marked {
    key: u32,
    name: Arc<str>,
    mark: AtomicU32,
}

impl Marked {
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        super::entry::is_same(self.name.as_bytes(), name)
    }
}

/// What only writers need.
#[derive(Debug, Default)]
pub(super) struct Writer {
    names: Interner,
    // From the key of a slice's own name to the key of the entry that holds it; followers check the entry.
    slices: HashTable<(u32, u32)>,
    // From the key of a pod's name to the pod.
    pods: HashTable<(u32, Arc<Pod>)>,
}

impl Index {
    /// Takes in a Service, new or changed.
    pub fn apply_service(&self, given: &types::Service) {
        let keep_external = self.keep_external.load(Ordering::Acquire);
        let packed = |names: &mut Interner, mark| pack::service(names, given, keep_external, mark);
        self.put_service(&given.metadata.namespace, &given.metadata.name, packed);
    }

    /// Takes in a ServiceImport, new or changed, as the Service of its name. CoreDNS: plugin/kubernetes/object/serviceimport.go.
    pub fn apply_import(&self, given: &types::ServiceImport) {
        let packed = |names: &mut Interner, mark| pack::import(names, given, mark);
        self.put_service(&given.metadata.namespace, &given.metadata.name, packed);
    }

    fn put_service(&self, namespace: &str, name: &str, packed: impl FnOnce(&mut Interner, u32) -> Service) {
        // A name that is no label cannot be asked for.
        let Some(key) = self.key(namespace.as_bytes(), name.as_bytes()) else { return };
        let mut writer = self.writer();
        let new = packed(&mut writer.names, self.state.epoch(Kind::Services));
        let before = self.entry(key, namespace, name);
        let old = before.as_ref().and_then(|entry| entry.service.as_ref());
        if let Some(old) = old
            && **old == new
        {
            old.mark.store(self.state.epoch(Kind::Services), Ordering::Relaxed);
            return;
        }
        let (shown, external) = old.map_or((true, false), |old| differences(old, &new));
        let new = Arc::new(new);
        let after = self.next_entry(&mut writer, key, (namespace, name), before.as_deref(), |entry| {
            entry.service = Some(Arc::clone(&new))
        });
        self.publish(key, after);
        self.map_service(&new, key, true);
        if let Some(old) = old {
            self.map_service(old, key, false);
        }
        let replaces = old.is_some();
        drop(writer);
        if shown {
            self.touch(&[self.serial_for(replaces)]);
        }
        if external {
            self.touch(&[&self.serial_external]);
        }
        self.tell(Kind::Services, namespace, name, false, None);
    }

    /// Forgets a Service.
    pub fn delete_service(&self, namespace: &str, name: &str) {
        let Some(key) = self.key(namespace.as_bytes(), name.as_bytes()) else { return };
        let mut writer = self.writer();
        let Some(before) = self.entry(key, namespace, name) else { return };
        let Some(old) = &before.service else { return };
        let after = self.next_entry(&mut writer, key, (namespace, name), Some(&before), |entry| entry.service = None);
        self.publish(key, after);
        self.map_service(old, key, false);
        drop(writer);
        self.touch(&[&self.serial_arrived]);
        self.tell(Kind::Services, namespace, name, true, None);
    }

    /// Takes in an EndpointSlice, new or changed.
    pub fn apply_slice(&self, given: &types::EndpointSlice) {
        self.put_slice(given, given.metadata.labels.service.as_deref().unwrap_or_default(), None);
    }

    /// Takes in an EndpointSlice of a ServiceImport, new or changed, with the cluster that it comes from.
    /// CoreDNS: plugin/kubernetes/object/multicluster_endpoint.go.
    pub fn apply_import_slice(&self, given: &types::EndpointSlice) {
        let labels = &given.metadata.labels;
        let cluster = labels.cluster.as_deref().unwrap_or_default();
        self.put_slice(given, labels.import.as_deref().unwrap_or_default(), Some(cluster));
    }

    fn put_slice(&self, given: &types::EndpointSlice, owner: &str, cluster: Option<&str>) {
        let metadata = &given.metadata;
        let key = self.key(metadata.namespace.as_bytes(), owner.as_bytes()).filter(|_| !owner.is_empty());
        let mut writer = self.writer();
        let held = self.holder(&writer, &metadata.namespace, &metadata.name);
        if let Some(held) = &held
            && Some(held.key) != key
        {
            // The label moved to another Service, or went.
            self.take_slice(&mut writer, held, &metadata.name);
            self.touch(&[&self.serial_arrived]);
            self.tell(Kind::Slices, &metadata.namespace, &held.name, true, None);
        }
        let Some(key) = key else { return };
        let new = pack::slice(&mut writer.names, given, cluster, self.keep, self.state.epoch(Kind::Slices));
        let before = self.entry(key, &metadata.namespace, owner);
        let old = before.as_ref().and_then(|entry| entry.slice(&metadata.name));
        if let Some(old) = old
            && **old == new
        {
            old.mark.store(self.state.epoch(Kind::Slices), Ordering::Relaxed);
            return;
        }
        let new = Arc::new(new);
        let after = self.next_entry(&mut writer, key, (&metadata.namespace, owner), before.as_deref(), |entry| {
            entry.slices = with_slice(&entry.slices, &new);
        });
        self.publish(key, after);
        self.map_addresses(&new, key, true);
        match old {
            Some(old) => self.map_addresses(old, key, false),
            None => self.remember_slice(&mut writer, &metadata.namespace, &metadata.name, key),
        }
        let replaces = held.is_some();
        drop(writer);
        self.touch(&[self.serial_for(replaces)]);
        self.tell(Kind::Slices, &metadata.namespace, owner, false, metadata.annotations.triggered.as_deref());
    }

    /// Forgets an EndpointSlice, by its own name.
    pub fn delete_slice(&self, namespace: &str, name: &str) {
        let mut writer = self.writer();
        let Some(held) = self.holder(&writer, namespace, name) else { return };
        self.take_slice(&mut writer, &held, name);
        drop(writer);
        self.touch(&[&self.serial_arrived]);
        self.tell(Kind::Slices, namespace, &held.name, true, None);
    }

    /// Takes in a Namespace.
    pub fn apply_namespace(&self, name: &str) {
        let Some(key) = self.key(name.as_bytes(), b"") else { return };
        let epoch = self.state.epoch(Kind::Namespaces);
        let mut writer = self.writer();
        if let Some(known) = self.namespaces.read().find(spread(key), |one| one.is_named(name.as_bytes())) {
            known.mark.store(epoch, Ordering::Relaxed);
            return;
        }
        let new = Marked { key, name: writer.names.name(name), mark: AtomicU32::new(epoch) };
        self.namespaces.write().insert_unique(spread(key), new, |one| spread(one.key));
        drop(writer);
        self.tell(Kind::Namespaces, "", name, false, None);
    }

    /// Forgets a Namespace.
    pub fn delete_namespace(&self, name: &str) {
        let Some(key) = self.key(name.as_bytes(), b"") else { return };
        let writer = self.writer();
        let removed = match self.namespaces.write().find_entry(spread(key), |one| one.is_named(name.as_bytes())) {
            Ok(found) => found.remove().0,
            Err(_absent) => return,
        };
        drop(writer);
        self.tell(Kind::Namespaces, "", &removed.name, true, None);
    }

    /// Takes in a Pod. One without an address is forgotten; one being deleted stays as it is until it is gone.
    pub fn apply_pod<L: types::PodLabels>(&self, given: &types::Pod<L>) {
        let (namespace, name) = (&given.metadata.namespace, &given.metadata.name);
        let key = self.long_key(namespace, name);
        let epoch = self.state.epoch(Kind::Pods);
        let mut writer = self.writer();
        let old =
            writer.pods.find(spread(key), |(_, pod)| is_pod(pod, namespace, name)).map(|(_, pod)| Arc::clone(pod));
        if let Some(old) = &old {
            old.mark.store(epoch, Ordering::Relaxed);
        }
        if given.metadata.deletion_timestamp.is_some() {
            return;
        }
        let Some(address) = pack::address(&given.status.pod_ip) else {
            drop(writer);
            return self.delete_pod(namespace, name);
        };
        let labels: Box<[_]> = if self.keeps_pod_labels() {
            let pairs = given.metadata.labels.pairs();
            pairs.map(|(name, value)| (writer.names.name(name), writer.names.name(value))).collect()
        } else {
            Box::default()
        };
        let moved = old.as_ref().is_none_or(|old| old.address != address);
        if !moved && old.as_ref().is_some_and(|old| old.labels == labels) {
            return;
        }
        if old.is_some() {
            self.take_pod(&mut writer, key, namespace, name);
        }
        let new = Arc::new(Pod {
            namespace: writer.names.name(namespace),
            name: name.as_str().into(),
            labels,
            address,
            mark: AtomicU32::new(epoch),
        });
        writer.pods.insert_unique(spread(key), (key, Arc::clone(&new)), |(key, _)| spread(*key));
        let at = self.pod_key(address);
        self.pods.write(at).insert_unique(spread(at), new, |pod| spread(self.pod_key(pod.address)));
        drop(writer);
        if moved {
            self.touch(&[&self.serial_arrived]);
        }
        self.tell(Kind::Pods, namespace, name, false, None);
    }

    /// Forgets a Pod.
    pub fn delete_pod(&self, namespace: &str, name: &str) {
        let mut writer = self.writer();
        if self.take_pod(&mut writer, self.long_key(namespace, name), namespace, name) {
            drop(writer);
            self.touch(&[&self.serial_arrived]);
            self.tell(Kind::Pods, namespace, name, true, None);
        }
    }

    /// Deletes what the list that is being closed did not hold.
    pub(super) fn sweep(&self, kind: Kind) {
        let epoch = self.state.epoch(kind);
        let old = |mark: &AtomicU32| mark.load(Ordering::Relaxed) != epoch;
        match kind {
            Kind::Services => {
                let gone = self.entries.collect(|entry| {
                    entry.service.as_ref().filter(|service| old(&service.mark)).map(|_| Arc::clone(entry))
                });
                gone.iter().for_each(|entry| self.delete_service(&entry.namespace, &entry.name));
            }
            Kind::Slices => {
                let gone = self
                    .entries
                    .collect(|entry| entry.slices.iter().any(|slice| old(&slice.mark)).then(|| Arc::clone(entry)));
                for entry in gone {
                    let slices = entry.slices.iter().filter(|slice| old(&slice.mark));
                    slices.for_each(|slice| self.delete_slice(&entry.namespace, &slice.name));
                }
            }
            Kind::Namespaces => {
                let gone = self.namespaces.collect(|one| old(&one.mark).then(|| Arc::clone(&one.name)));
                gone.iter().for_each(|name| self.delete_namespace(name));
            }
            Kind::Pods => {
                let gone = self.pods.collect(|pod| old(&pod.mark).then(|| Arc::clone(pod)));
                gone.iter().for_each(|pod| self.delete_pod(&pod.namespace, &pod.name));
            }
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, key: u32, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let named = |entry: &Arc<Entry>| entry.is_named(namespace.as_bytes(), name.as_bytes());
        self.entries.read(key).find(spread(key), named).map(Arc::clone)
    }

    /// The entry after the present one, changed by `edit`.
    fn next_entry(
        &self,
        writer: &mut Writer,
        key: u32,
        (namespace, name): (&str, &str),
        before: Option<&Entry>,
        edit: impl FnOnce(&mut Entry),
    ) -> Entry {
        let mut next = match before {
            Some(old) => Entry {
                key,
                namespace: Arc::clone(&old.namespace),
                name: Arc::clone(&old.name),
                service: old.service.clone(),
                slices: old.slices.clone(),
            },
            // Service names hardly repeat: they are not interned.
            None => Entry {
                key,
                namespace: writer.names.name(namespace),
                name: name.into(),
                service: None,
                slices: Box::default(),
            },
        };
        edit(&mut next);
        next
    }

    /// Puts an entry in the place of the one with its names; one that holds nothing is taken out.
    fn publish(&self, key: u32, entry: Entry) {
        let entry = Arc::new(entry);
        let empty = entry.service.is_none() && entry.slices.is_empty();
        let mut shard = self.entries.write(key);
        let named = |other: &Arc<Entry>| other.is_named(entry.namespace.as_bytes(), entry.name.as_bytes());
        let replaced = match shard.find_entry(spread(key), named) {
            Ok(found) if empty => Some(found.remove().0),
            Ok(mut found) => Some(std::mem::replace(found.get_mut(), Arc::clone(&entry))),
            Err(_absent) if empty => None,
            Err(_absent) => {
                shard.insert_unique(spread(key), Arc::clone(&entry), |entry| spread(entry.key));
                None
            }
        };
        drop(shard);
        // The last reference to the old one may go here, outside the lock.
        drop(replaced);
    }

    /// The entry that holds a slice.
    fn holder(&self, writer: &Writer, namespace: &str, slice: &str) -> Option<Arc<Entry>> {
        let id = self.long_key(namespace, slice);
        let keys = writer.slices.iter_hash(spread(id)).filter(|pair| pair.0 == id).map(|pair| pair.1);
        let holds =
            |entry: &&Arc<Entry>| entry.namespace.eq_ignore_ascii_case(namespace) && entry.slice(slice).is_some();
        keys.into_iter().find_map(|key| self.entries.read(key).iter_hash(spread(key)).find(holds).map(Arc::clone))
    }

    fn remember_slice(&self, writer: &mut Writer, namespace: &str, slice: &str, key: u32) {
        let id = self.long_key(namespace, slice);
        writer.slices.insert_unique(spread(id), (id, key), |pair| spread(pair.0));
    }

    fn take_slice(&self, writer: &mut Writer, held: &Entry, name: &str) {
        let Some(old) = held.slice(name) else { return };
        let after = self.next_entry(writer, held.key, (&held.namespace, &held.name), Some(held), |entry| {
            entry.slices = entry.slices.iter().filter(|slice| &*slice.name != name).map(Arc::clone).collect();
        });
        self.publish(held.key, after);
        self.map_addresses(old, held.key, false);
        let id = self.long_key(&held.namespace, name);
        if let Ok(found) = writer.slices.find_entry(spread(id), |pair| *pair == (id, held.key)) {
            found.remove();
        }
    }

    fn take_pod(&self, writer: &mut Writer, key: u32, namespace: &str, name: &str) -> bool {
        let Ok(found) = writer.pods.find_entry(spread(key), |(_, pod)| is_pod(pod, namespace, name)) else {
            return false;
        };
        let ((_, pod), _) = found.remove();
        let at = self.pod_key(pod.address);
        if let Ok(found) = self.pods.write(at).find_entry(spread(at), |other| Arc::ptr_eq(other, &pod)) {
            found.remove();
        }
        true
    }

    fn map_service(&self, service: &Service, key: u32, add: bool) {
        let inside = service.cluster_ips.iter().map(|ip| (&self.cluster_addresses, *ip));
        for (map, ip) in inside.chain(service.external_ips().map(|ip| (&self.external_addresses, ip))) {
            if add { map.insert(ip, key) } else { map.remove(ip, key) }
        }
    }

    fn map_addresses(&self, slice: &Slice, key: u32, add: bool) {
        let each = (0..slice.addresses.len()).filter_map(|at| slice.addresses.get(at));
        each.for_each(|ip: IpAddr| {
            if add { self.endpoint_addresses.insert(ip, key) } else { self.endpoint_addresses.remove(ip, key) }
        });
    }

    /// A key for names that may be longer than labels.
    fn long_key(&self, namespace: &str, name: &str) -> u32 {
        use std::hash::BuildHasher as _;
        (self.seed.hash_one((namespace, name)) >> 32) as u32
    }

    /// Moves serial numbers on.
    fn touch(&self, serials: &[&AtomicU32]) {
        #[allow(clippy::cast_possible_truncation)] // a serial number wraps, RFC 1982
        let now = (self.clock)() as u32;
        serials.iter().for_each(|serial| serial.store(now, Ordering::Relaxed));
    }

    /// The serial number for an object that comes new (`false`) or in the place of another.
    fn serial_for(&self, replaces: bool) -> &AtomicU32 {
        if replaces { &self.serial_updated } else { &self.serial_arrived }
    }

    fn tell(&self, kind: Kind, namespace: &str, name: &str, deleted: bool, triggered: Option<&str>) {
        self.observer
            .changed(self, Change { kind, namespace, name, deleted, listed: self.state.is_listing(kind), triggered });
    }

    /// Tells the observer of a request.
    #[cfg(feature = "api")]
    pub(crate) fn requested(&self, host: &str, code: Option<u16>, waited: Duration, elapsed: Duration) {
        self.observer.requested(host, code, waited, elapsed);
    }

    /// Sends a line to the observer's log.
    pub(crate) fn log(&self, level: super::Level, line: &str) {
        self.observer.log(level, line);
    }

    /// How many entries, and pairs of address and entry, there are; for tests.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize, usize, usize) {
        let writer = self.writer();
        (
            self.entries.len(),
            self.cluster_addresses.len(),
            self.endpoint_addresses.len(),
            writer.slices.len(),
            self.pods.len(),
        )
    }
}

fn is_pod(pod: &Pod, namespace: &str, name: &str) -> bool {
    &*pod.namespace == namespace && &*pod.name == name
}

/// Whether a change of a Service shows in answers, and whether it shows in those for the outside
/// (CoreDNS: plugin/kubernetes/controller.go, `serviceModified`).
fn differences(old: &Service, new: &Service) -> (bool, bool) {
    let ports = old.ports != new.ports;
    (ports || old.kind != new.kind, ports || old.external != new.external)
}

fn with_slice(slices: &[Arc<Slice>], new: &Arc<Slice>) -> Box<[Arc<Slice>]> {
    let mut next: Vec<_> = slices.iter().filter(|slice| slice.name != new.name).map(Arc::clone).collect();
    let at = next.partition_point(|slice| slice.name < new.name);
    next.insert(at, Arc::clone(new));
    next.into()
}
