//! NSEC records: the next name and the types that are there (RFC 4034 section 4.1).

use catena_core::Rtype;

/// The bitmap of a list of types, in any order (RFC 4034 section 4.1.2).
#[must_use]
pub fn type_bitmap(types: impl IntoIterator<Item = Rtype>) -> Vec<u8> {
    let mut types: Vec<u16> = types.into_iter().map(Rtype::to_int).collect();
    types.sort_unstable();
    types.dedup();
    let mut bitmap = Vec::new();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0_u8; 32];
        let mut len = 0;
        for number in window {
            let [high, low] = number.to_be_bytes();
            if len == 0 {
                bitmap.push(high);
            }
            let at = usize::from(low >> 3);
            bits[at] |= 0x80 >> (low & 7);
            len = at + 1;
        }
        // At most 32.
        bitmap.push(len as u8);
        bitmap.extend_from_slice(&bits[..len]);
    }
    bitmap
}

/// The rdata of an NSEC record. `next` is an uncompressed name.
#[must_use]
pub fn nsec_rdata(next: &[u8], types: impl IntoIterator<Item = Rtype>) -> Vec<u8> {
    let mut rdata = next.to_vec();
    rdata.extend(type_bitmap(types));
    rdata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_is_that_of_the_example_of_rfc_4034() {
        let types = [Rtype::from_int(1234), Rtype::A, Rtype::NSEC, Rtype::MX, Rtype::RRSIG, Rtype::A];
        let mut expected = vec![0, 6, 0x40, 0x01, 0, 0, 0, 0x03, 4, 27];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(type_bitmap(types), expected);
    }

    #[test]
    fn no_types_are_no_octets() {
        assert!(type_bitmap([]).is_empty());
    }
}
