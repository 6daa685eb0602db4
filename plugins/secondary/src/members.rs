//! The zones of a server block: those that the Corefile names, and the members of catalogs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use catena_core::name::Zone as ZoneName;
use catena_core::{Linked, Log, Notifier, Spawner};
use catena_zone::ZoneMap;

use crate::catalog::Member;
use crate::config::Allowed;
use crate::keep::Kept;

/// Tells the seconds since 1970.
pub(crate) type Now = Box<dyn Fn() -> u64 + Send + Sync>;

/// All zones, and who does what for them.
pub(crate) struct Members {
    pub(crate) zones: ArcSwap<ZoneMap<Arc<Kept>>>,
    catalogs: Mutex<Catalogs>,
    /// Those of the instance before, until this one serves.
    before: Mutex<Vec<Arc<Self>>>,
    notifier: OnceLock<Arc<dyn Notifier>>,
    spawner: OnceLock<Arc<dyn Spawner>>,
    pub(crate) log: Log,
    /// For what CoreDNS tells of a single zone under the name of *file*.
    pub(crate) zone_log: Log,
    pub(crate) now: Now,
}

/// What the catalogs said last.
#[derive(Default)]
struct Catalogs {
    /// The zones that are members, by name on the wire.
    members: HashMap<Vec<u8>, Owner>,
    /// What each catalog lists, by the catalog's name.
    listed: HashMap<Vec<u8>, BTreeMap<Vec<u8>, Member>>,
}

/// Which catalog a member is of, and under which label.
#[derive(Clone, PartialEq, Eq)]
struct Owner {
    catalog: ZoneName,
    id: Vec<u8>,
}

impl Members {
    pub(crate) fn new(zones: ZoneMap<Arc<Kept>>, log: Log, now: Now) -> Self {
        Self {
            zones: ArcSwap::from_pointee(zones),
            catalogs: Mutex::default(),
            before: Mutex::default(),
            notifier: OnceLock::new(),
            spawner: OnceLock::new(),
            zone_log: log.of("file"),
            log,
            now,
        }
    }

    /// Remembers who tells secondaries, if the block has `transfer`.
    pub(crate) fn find_notifier(&self, linked: &Linked<'_>) {
        if let Some((_, notifier)) = linked.offers::<dyn Notifier>().next() {
            let _ = self.notifier.set(notifier);
        }
    }

    pub(crate) fn notify(&self, zone: &ZoneName) {
        if let Some(notifier) = self.notifier.get() {
            notifier.notify(zone.name().for_slice());
        }
    }

    /// Goes on with the zones that the instance before has, so that they are served at once and looked at when they would have been.
    pub(crate) fn take_over(self: &Arc<Self>, before: Vec<Arc<Self>>) {
        *self.before() = before;
        let zones = self.zones.load_full();
        for (_, kept) in zones.iter() {
            self.known_before(&kept.name).any(|before| kept.take_over(&before));
        }
        for (_, kept) in zones.iter() {
            let listed = kept.current().and_then(|zone| crate::catalog::members(&zone).ok());
            if let (Some(allowed), Some(listed)) = (&kept.catalog, listed) {
                self.apply(kept, allowed, listed);
            }
        }
    }

    /// Looks at what changed in the instance before since it was taken over. It has served.
    pub(crate) fn catch_up(&self) {
        for (_, kept) in self.zones.load_full().iter() {
            if let Some(before) = self.known_before(&kept.name).next() {
                kept.catch_up(&before);
            }
        }
        self.before().clear();
    }

    fn before(&self) -> MutexGuard<'_, Vec<Arc<Self>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the instance before has under a name.
    fn known_before(&self, name: &ZoneName) -> impl Iterator<Item = Arc<Kept>> + use<> {
        let known: Vec<_> =
            self.before().iter().filter_map(|members| members.zones.load().get(name.wire()).cloned()).collect();
        known.into_iter()
    }

    /// Begins to keep all zones that there are.
    pub(crate) fn start(self: &Arc<Self>, spawner: &Arc<dyn Spawner>) {
        let _ = self.spawner.set(Arc::clone(spawner));
        let zones: Vec<_> = self.zones.load().iter().map(|(_, kept)| Arc::clone(kept)).collect();
        for kept in zones {
            self.keep(kept);
        }
    }

    fn keep(self: &Arc<Self>, kept: Arc<Kept>) {
        // What is there before the start begins with it.
        let Some(spawner) = self.spawner.get() else { return };
        let name = kept.name.clone();
        let task = Box::pin(kept.run(Arc::clone(self)));
        if !spawner.spawn(task) && !spawner.has_ended() {
            self.log.warning(format_args!("No task is left to keep zone {name}"));
        }
    }

    /// Brings the zones in line with what a catalog lists (RFC 9432 section 5).
    pub(crate) fn apply(self: &Arc<Self>, catalog: &Kept, allowed: &Allowed, listed: BTreeMap<Vec<u8>, Member>) {
        let mut started = Vec::new();
        {
            let mut catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
            let mut zones = (**self.zones.load()).clone();
            let mut rejected = 0;
            for member in listed.values() {
                if !allowed.has(&member.zone) {
                    rejected += 1;
                } else if let Some(kept) = self.admit(&mut catalogs, &zones, catalog, member) {
                    if let Some(before) = zones.insert(member.zone.clone(), Arc::clone(&kept)) {
                        before.stop();
                    }
                    started.push(kept);
                }
            }
            self.drop_gone(&mut catalogs, &mut zones, catalog, allowed, &listed);
            catalogs.listed.insert(catalog.name.wire().to_vec(), listed);
            self.zones.store(Arc::new(zones));
            if rejected > 0 {
                self.log.warning(format_args!(
                    "Skipped {rejected} member zones from catalog {}: outside configured member zones",
                    catalog.name
                ));
            }
        }
        for kept in started {
            self.keep(kept);
        }
    }

    /// The zone to be kept for a member; `None` if it is kept already, or is not this catalog's to give.
    fn admit(
        &self,
        catalogs: &mut Catalogs,
        zones: &ZoneMap<Arc<Kept>>,
        catalog: &Kept,
        member: &Member,
    ) -> Option<Arc<Kept>> {
        let (name, origin) = (&member.zone, &catalog.name);
        let fresh = || Some(Arc::new(Kept::new(name.clone(), catalog.primaries.clone(), None)));
        let new_owner = Owner { catalog: origin.clone(), id: member.id.clone() };
        let Some(existing) = zones.get(name.wire()) else {
            let added = Kept::new(name.clone(), catalog.primaries.clone(), None);
            if !self.known_before(name).any(|before| added.take_over(&before)) {
                self.log.info(format_args!("Added catalog member zone {name} from catalog {origin}"));
            }
            catalogs.members.insert(name.wire().to_vec(), new_owner);
            return Some(Arc::new(added));
        };
        let owner = catalogs.members.get(name.wire()).cloned();
        let skip = || {
            self.log.warning(format_args!("Skipping catalog member zone {name} from {origin}: zone already exists"));
            None
        };
        let Some(owner) = owner else { return skip() };
        if owner == new_owner {
            return None;
        }
        let (before, now) = (String::from_utf8_lossy(&owner.id), String::from_utf8_lossy(&member.id));
        if owner.catalog == *origin {
            // Another label is another zone of the same name (RFC 9432 section 5.4).
            self.log.info(format_args!(
                "Reset catalog member zone {name} from {origin} after member ID changed from {before} to {now}"
            ));
            catalogs.members.insert(name.wire().to_vec(), new_owner);
            return fresh();
        }
        let source = catalogs.listed.get(owner.catalog.wire()).and_then(|listed| listed.get(name.wire()));
        let Some(source) = source.filter(|source| source.coo.as_ref() == Some(origin)) else { return skip() };
        let is_same = owner.id == source.id && source.id == member.id;
        let from = &owner.catalog;
        let kept = if is_same {
            self.log.info(format_args!(
                "Migrated catalog member zone {name} from catalog {from} to {origin}, preserving state for member ID {now}"
            ));
            let shared = Arc::clone(&existing.shared);
            Some(Arc::new(Kept::with(name.clone(), catalog.primaries.clone(), None, shared)))
        } else {
            self.log.info(format_args!(
                "Migrated catalog member zone {name} from catalog {from} to {origin} with state reset after member identity changed from {before} to {now}"
            ));
            fresh()
        };
        catalogs.members.insert(name.wire().to_vec(), new_owner);
        kept
    }

    /// Stops keeping the members of a catalog that it does not list any more.
    fn drop_gone(
        &self,
        catalogs: &mut Catalogs,
        zones: &mut ZoneMap<Arc<Kept>>,
        catalog: &Kept,
        allowed: &Allowed,
        listed: &BTreeMap<Vec<u8>, Member>,
    ) {
        let is_gone = |wire: &Vec<u8>, owner: &Owner| {
            owner.catalog == catalog.name && !listed.get(wire).is_some_and(|member| allowed.has(&member.zone))
        };
        let gone: Vec<Vec<u8>> = catalogs
            .members
            .iter()
            .filter(|(wire, owner)| is_gone(wire, owner))
            .map(|(wire, _)| wire.clone())
            .collect();
        for wire in gone {
            catalogs.members.remove(&wire);
            if let Some(kept) = zones.remove(&wire) {
                kept.stop();
                let (member, origin) = (&kept.name, &catalog.name);
                self.log.info(format_args!("Removed catalog member zone {member} from catalog {origin}"));
            }
        }
    }
}
