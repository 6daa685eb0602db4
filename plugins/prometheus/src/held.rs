//! Zones that plugins of the block hold and that are not in the Corefile. They come and go, so their series are made when they are met.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use catena_core::metrics::{CountedZones, RequestMetrics};
use catena_core::prelude::*;
use catena_core::{OwnedName, PerServer};

use crate::series::{Places, ZoneSeries};

/// The most such zones of a block and listener with series of their own; the others count under the block's zone.
const ZONES_MAX: usize = 10_000;

/// Who holds zones, and the series by the zone's name on the wire.
pub(crate) struct Held {
    holders: Vec<Arc<dyn CountedZones>>,
    series: PerServer<RwLock<HashMap<Vec<u8>, Arc<ZoneSeries>>>>,
}

impl Held {
    pub(crate) fn new(holders: Vec<Arc<dyn CountedZones>>) -> Self {
        Self { holders, series: PerServer::new() }
    }

    /// The series of the held zone that the query's name is in, if it is longer than the zone of the block, told by its number.
    pub(crate) fn series(
        &self,
        q: &Query,
        places: &Places,
        own: usize,
        requests: &Arc<RequestMetrics>,
    ) -> Option<Arc<ZoneSeries>> {
        let question = q.question();
        let labels = self.holders.iter().filter_map(|zones| zones.labels_of_longest(question)).max()?;
        if places.zones.get(own).is_some_and(|zone| zone.labels() >= labels) {
            return None;
        }
        let wire = q.lower().as_slice().get(question.labels().suffix_start(labels)?..)?;
        let made = self.series.get(q, |_| RwLock::default());
        if let Some(series) = made.read().unwrap_or_else(PoisonError::into_inner).get(wire) {
            return Some(Arc::clone(series));
        }
        let mut made = made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= ZONES_MAX {
            return None;
        }
        let zone = Zone::from(OwnedName::from_octets(wire.to_vec()).ok()?);
        let series = ZoneSeries::new(requests, [q.server(), zone.text(), &places.view], &places.plugins);
        Some(Arc::clone(made.entry(wire.to_vec()).or_insert_with(|| Arc::new(series))))
    }
}
