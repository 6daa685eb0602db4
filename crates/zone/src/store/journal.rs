//! The last differences of a zone, for secondaries that ask for what changed (RFC 1995).

use std::collections::VecDeque;
use std::sync::Arc;

use catena_core::{Outgoing, RecordRef};

use super::difference::Difference;
use super::zone::Zone;

/// The most differences kept of one zone; older ones are forgotten.
pub const JOURNAL_DIFFERENCES_MAX: usize = 100;
/// The most octets of differences kept of one zone.
pub const JOURNAL_OCTETS_MAX: usize = 16 << 20;

/// Whether a serial number is newer than another (RFC 1982 section 3.2).
#[must_use]
pub fn is_newer(serial: u32, than: u32) -> bool {
    let ahead = serial.wrapping_sub(than);
    ahead != 0 && ahead < 1 << 31
}

/// Differences that follow each other, the newest last.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    differences: VecDeque<Arc<Difference>>,
    octets: usize,
}

impl Journal {
    /// Takes the next difference. If it does not follow the last one, or does not lead to a newer serial number, what was there is forgotten.
    pub fn push(&mut self, difference: Difference) {
        if difference.is_nothing() {
            return;
        }
        let follows = self.differences.back().is_none_or(|last| last.to == difference.from);
        let octets = difference.octets_len();
        let usable = is_newer(difference.to, difference.from) && octets <= JOURNAL_OCTETS_MAX;
        if !follows || !usable {
            self.clear();
        }
        if !usable {
            return;
        }
        self.octets += octets;
        self.differences.push_back(Arc::new(difference));
        while self.differences.len() > JOURNAL_DIFFERENCES_MAX || self.octets > JOURNAL_OCTETS_MAX {
            let Some(oldest) = self.differences.pop_front() else { break };
            self.octets -= oldest.octets_len();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.differences.clear();
        self.octets = 0;
    }

    /// How many differences there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.differences.len()
    }

    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    /// What a secondary that has `serial` needs to have this zone: nothing if it is up to date or ahead, the differences if they are all here and
    /// shorter than the zone, else the whole zone.
    #[must_use]
    pub fn transfer(&self, zone: &Arc<Zone>, serial: u32) -> Box<dyn Outgoing> {
        if !is_newer(zone.serial(), serial) {
            return zone.transfer_nothing();
        }
        let known = self.differences.iter().position(|difference| difference.from == serial);
        let reaches = self.differences.back().is_some_and(|last| last.to == zone.serial());
        let Some(first) = known.filter(|_| reaches) else { return zone.transfer() };
        let steps: Vec<_> = self.differences.range(first..).map(Arc::clone).collect();
        let records: usize = steps.iter().map(|step| step.removed.len() + step.added.len()).sum();
        if records >= zone.len() {
            return zone.transfer();
        }
        Box::new(Changes { zone: Arc::clone(zone), steps, place: Place::Open })
    }
}

/// Where a transfer of differences is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Before the opening SOA record.
    Open,
    /// In the list of this number, two to a step, at this offset.
    List(usize, usize),
    /// After the closing SOA record.
    End,
}

/// The newest SOA record, the lists of each step, the newest SOA record (RFC 1995 section 4).
struct Changes {
    zone: Arc<Zone>,
    steps: Vec<Arc<Difference>>,
    place: Place,
}

impl Outgoing for Changes {
    fn next(&mut self) -> Option<RecordRef<'_>> {
        let (mut list, mut at) = match self.place {
            Place::Open => {
                self.place = Place::List(0, 0);
                return Some(self.zone.soa());
            }
            Place::List(list, at) => (list, at),
            Place::End => return None,
        };
        while let Some(step) = self.steps.get(list / 2) {
            let records = if list % 2 == 0 { &step.removed } else { &step.added };
            if let Some((record, next)) = records.at(at) {
                self.place = Place::List(list, next);
                return Some(record);
            }
            (list, at) = (list + 1, 0);
        }
        self.place = Place::End;
        Some(self.zone.soa())
    }
}
