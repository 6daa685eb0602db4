//! Messages with their length before them, in and out (RFC 1035 section 4.2.2).

/// The room that an empty buffer keeps, octets.
const KEEP_OCTETS_MAX: usize = 4096;
/// The octets of a length.
const LENGTH_OCTETS: usize = 2;

/// What a client sent and nobody read yet. Grows with what is really there, to one frame and one reading at most.
#[derive(Default)]
pub(crate) struct Input {
    octets: Vec<u8>,
    at: usize,
}

impl Input {
    /// Adds what was read.
    pub(crate) fn extend(&mut self, octets: &[u8]) {
        self.compact();
        self.octets.extend_from_slice(octets);
    }

    /// What is there, frames or not.
    pub(crate) fn pending(&self) -> &[u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    /// Leaves out the first octets of what is there.
    pub(crate) fn skip(&mut self, octets: usize) {
        self.at = (self.at + octets).min(self.octets.len());
    }

    /// Leaves out everything that is there.
    pub(crate) fn clear(&mut self) {
        self.skip(self.octets.len());
    }

    /// Whether a frame is there whole.
    pub(crate) fn has_frame(&self) -> bool {
        self.frame_end().is_some()
    }

    /// The next frame, taken out; it may be empty.
    pub(crate) fn next_frame(&mut self) -> Option<&[u8]> {
        let end = self.frame_end()?;
        let start = self.at + LENGTH_OCTETS;
        self.at = end;
        self.octets.get(start..end)
    }

    fn frame_end(&self) -> Option<usize> {
        let length = self.octets.get(self.at..self.at + LENGTH_OCTETS)?;
        let end = self.at + LENGTH_OCTETS + usize::from(u16::from_be_bytes([length[0], length[1]]));
        (end <= self.octets.len()).then_some(end)
    }

    fn compact(&mut self) {
        self.octets.drain(..self.at);
        self.at = 0;
        if self.octets.is_empty() {
            self.octets.shrink_to(KEEP_OCTETS_MAX);
        }
    }
}

/// Replies that a client did not take yet.
#[derive(Default)]
pub(crate) struct Output {
    octets: Vec<u8>,
    at: usize,
}

impl Output {
    /// Adds a reply; one that is longer than a frame can be is left out.
    pub(crate) fn push(&mut self, message: &[u8]) {
        let Ok(length) = u16::try_from(message.len()) else { return };
        self.octets.extend_from_slice(&length.to_be_bytes());
        self.octets.extend_from_slice(message);
    }

    /// What is to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    /// Forgets what was written.
    pub(crate) fn advance(&mut self, written: usize) {
        self.at += written;
        if self.at >= self.octets.len() {
            self.octets.clear();
            self.octets.shrink_to(KEEP_OCTETS_MAX);
            self.at = 0;
        } else if self.at > self.octets.len() / 2 {
            self.octets.drain(..self.at);
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_frame_that_comes_octet_by_octet_is_there_with_its_last() {
        let mut input = Input::default();
        for octet in [0, 2, b'a'] {
            input.extend(&[octet]);
            assert_eq!(input.next_frame(), None);
        }
        input.extend(b"b");
        assert_eq!(input.next_frame(), Some(&b"ab"[..]));
        assert_eq!(input.next_frame(), None);
    }

    #[test]
    fn an_empty_frame_is_a_frame() {
        let mut input = Input::default();
        input.extend(&[0, 0, 0, 1, b'x']);
        assert_eq!(input.next_frame(), Some(&b""[..]));
        assert_eq!(input.next_frame(), Some(&b"x"[..]));
    }

    #[test]
    fn what_is_written_in_pieces_comes_whole() {
        let mut output = Output::default();
        output.push(b"abc");
        output.push(b"d");
        let mut written = Vec::new();
        while let Some(octet) = output.pending().first() {
            written.push(*octet);
            output.advance(1);
        }
        assert_eq!(written, b"\0\x03abc\0\x01d");
    }

    #[test]
    fn a_message_of_65535_octets_has_a_frame_and_a_longer_one_has_none() {
        let mut output = Output::default();
        output.push(&[0; 65_536]);
        assert!(output.pending().is_empty());
        output.push(&[0; 65_535]);
        assert_eq!(output.pending().len(), 65_537);
    }
}
