//! Lines out of a body that comes in pieces.

/// The longest line; an API object is at most some MB.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;

/// What is kept of the buffer between lines.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

/// Collects pieces and hands out whole lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    start: usize,
}

/// A line that is longer than [`LINE_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(piece);
        // Pieces are small beside the limit: only a line that is still open can pass it.
        if self.buffer.len() > LINE_BYTES_MAX && !self.buffer.contains(&b'\n') { Err(TooLong) } else { Ok(()) }
    }

    /// The next whole line, without its end; empty lines are skipped.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let length = self.buffer[self.start..].iter().position(|byte| *byte == b'\n');
            let Some(length) = length else {
                if self.start == self.buffer.len() {
                    self.buffer.clear();
                    self.buffer.shrink_to(BUFFER_BYTES_KEPT);
                    self.start = 0;
                }
                return None;
            };
            let from = self.start;
            self.start += length + 1;
            if length > 0 {
                return Some(&self.buffer[from..from + length]);
            }
        }
    }

    /// Tells whether a line is still open.
    pub(super) fn is_open(&self) -> bool {
        self.start < self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn puts_lines_together_from_pieces() {
        let mut lines = Lines::default();
        lines.push(b"on").unwrap();
        assert_eq!(lines.next(), None);
        lines.push(b"e\n\ntwo\nthr").unwrap();
        assert_eq!(lines.next(), Some(&b"one"[..]));
        assert_eq!(lines.next(), Some(&b"two"[..]));
        assert_eq!(lines.next(), None);
        assert!(lines.is_open());
        lines.push(b"ee\n").unwrap();
        assert_eq!(lines.next(), Some(&b"three"[..]));
        assert_eq!(lines.next(), None);
        assert!(!lines.is_open());
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LINE_BYTES_MAX]).unwrap();
        lines.push(b"\n").unwrap();
        assert_eq!(lines.next().map(<[u8]>::len), Some(LINE_BYTES_MAX));
        assert_eq!(lines.next(), None);
        lines.push(&vec![b'x'; LINE_BYTES_MAX]).unwrap();
        assert_eq!(lines.push(b"x"), Err(TooLong));
    }
}
