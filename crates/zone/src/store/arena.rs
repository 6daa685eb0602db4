//! Octets of a zone: names and records one after the other in chunks, found again by a number of four octets.
//!
//! Chunks keep a growing zone from being copied: a vector that doubles would hold the zone twice for a moment.

use catena_core::Rtype;

/// The octets of one chunk. A small zone has one chunk, which grows as it needs to.
const CHUNK_OCTETS: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 20;
/// The most chunks, so that a place in them fits into four octets.
const CHUNKS_MAX: usize = 1 << (u32::BITS - CHUNK_BITS);
/// The most octets of names and records that one zone may have.
pub const ZONE_OCTETS_MAX: usize = CHUNK_OCTETS * CHUNKS_MAX;
/// Type, length of the rdata and TTL in front of it.
pub(crate) const ENTRY_HEAD_OCTETS: usize = 8;

/// The arena is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// One record without its owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) rtype: Rtype,
    pub(crate) ttl: u32,
    pub(crate) rdata: &'a [u8],
}

/// The chunks.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<Vec<u8>>,
}

impl Arena {
    /// The chunk to append up to `octets` to, and the number that its end has.
    pub(crate) fn room(&mut self, octets: usize) -> Result<(u32, &mut Vec<u8>), Full> {
        let fits = self.chunks.last().is_some_and(|chunk| chunk.len() + octets <= CHUNK_OCTETS);
        if !fits {
            if self.chunks.len() >= CHUNKS_MAX || octets > CHUNK_OCTETS {
                return Err(Full);
            }
            // Only the first chunk grows: further ones mean that the zone is big.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_OCTETS };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let index = self.chunks.len() - 1;
        let chunk = self.chunks.last_mut().ok_or(Full)?;
        // Fits: the index is below CHUNKS_MAX, the length at most CHUNK_OCTETS less what is appended.
        let at = ((index as u32) << CHUNK_BITS) | (chunk.len() as u32);
        Ok((at, chunk))
    }

    /// Appends octets; returns their number.
    pub(crate) fn append(&mut self, octets: &[u8]) -> Result<u32, Full> {
        let (at, chunk) = self.room(octets.len().max(1))?;
        chunk.extend_from_slice(octets);
        Ok(at)
    }

    /// The octets from `at` to the end of their chunk.
    pub(crate) fn from(&self, at: u32) -> &[u8] {
        let chunk = self.chunks.get((at >> CHUNK_BITS) as usize).map_or(&[][..], Vec::as_slice);
        chunk.get(at as usize & (CHUNK_OCTETS - 1)..).unwrap_or(&[])
    }

    /// The name at `at`, with its root octet.
    pub(crate) fn name(&self, at: u32) -> &[u8] {
        let octets = self.from(at);
        let mut end = 0;
        while let Some(&len) = octets.get(end) {
            end += 1 + usize::from(len);
            if len == 0 {
                return octets.get(..end).unwrap_or(&[0]);
            }
        }
        &[0]
    }

    /// The record at `at`.
    pub(crate) fn entry(&self, at: u32) -> Entry<'_> {
        let octets = self.from(at);
        let Some((head, rest)) = octets.split_first_chunk::<ENTRY_HEAD_OCTETS>() else {
            return Entry { rtype: Rtype::from_int(0), ttl: 0, rdata: &[] };
        };
        let rdata_len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        Entry {
            rtype: Rtype::from_int(u16::from_le_bytes([head[0], head[1]])),
            ttl: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
            rdata: rest.get(..rdata_len).unwrap_or(&[]),
        }
    }

    /// Gives back what the last chunk does not need.
    pub(crate) fn shrink(&mut self) {
        self.chunks.shrink_to_fit();
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.shrink_to_fit();
        }
    }

    /// The octets taken from the system.
    pub(crate) fn heap_octets(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() + self.chunks.capacity() * size_of::<Vec<u8>>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_does_not_fit_into_a_chunk_begins_the_next_one() {
        let mut arena = Arena::default();
        let first = arena.append(&vec![1; CHUNK_OCTETS - 1]).unwrap();
        let second = arena.append(&[2, 2]).unwrap();
        assert_eq!((first, second), (0, 1 << CHUNK_BITS));
        assert_eq!(arena.from(second), [2, 2]);
    }

    #[test]
    fn more_than_a_chunk_at_once_is_refused() {
        assert_eq!(Arena::default().append(&vec![1; CHUNK_OCTETS + 1]), Err(Full));
    }

    #[test]
    fn after_the_last_chunk_the_arena_is_full() {
        let mut arena = Arena { chunks: vec![Vec::new(); CHUNKS_MAX] };
        let last = arena.append(&[7; CHUNK_OCTETS]).unwrap();
        assert_eq!(last as usize, ZONE_OCTETS_MAX - CHUNK_OCTETS);
        assert_eq!(arena.append(&[7]), Err(Full));
    }

    #[test]
    fn a_place_that_was_never_given_out_is_empty() {
        let arena = Arena::default();
        assert_eq!(arena.name(77), [0]);
        assert_eq!(arena.entry(77).rdata, []);
    }
}
