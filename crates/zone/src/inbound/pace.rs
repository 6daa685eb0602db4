//! How long a transfer may take, and how slow it may be: a primary that sends an octet now and then must not hold a zone up for ever.

use std::time::Duration;

use tokio::time::Instant;

/// How long a transfer may take as a whole.
pub const TRANSFER_DURATION_MAX: Duration = Duration::from_secs(2 * 3600);
/// The octets that have to come in each span of [`PROGRESS_SPAN`].
pub const PROGRESS_OCTETS_MIN: usize = 10 * 1024;
/// See [`PROGRESS_OCTETS_MIN`].
pub const PROGRESS_SPAN: Duration = Duration::from_secs(60);

/// Why a primary is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooSlow {
    /// All of it took too long.
    #[error("the transfer takes longer than {TRANSFER_DURATION_MAX:?}")]
    Whole,
    /// A span of time brought too little.
    #[error("fewer than {PROGRESS_OCTETS_MIN} octets in {PROGRESS_SPAN:?}")]
    Span,
}

/// The pace of one transfer.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Instant,
    span_begun: Instant,
    span_octets: usize,
}

impl Pace {
    pub(super) fn begin(now: Instant) -> Self {
        Self { begun: now, span_begun: now, span_octets: 0 }
    }

    /// Octets came.
    pub(super) fn take(&mut self, octets: usize, now: Instant) -> Result<(), TooSlow> {
        self.span_octets = self.span_octets.saturating_add(octets);
        if now.duration_since(self.begun) > TRANSFER_DURATION_MAX {
            return Err(TooSlow::Whole);
        }
        if now.duration_since(self.span_begun) < PROGRESS_SPAN {
            return Ok(());
        }
        if self.span_octets < PROGRESS_OCTETS_MIN {
            return Err(TooSlow::Span);
        }
        (self.span_begun, self.span_octets) = (now, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_may_take_as_long_as_it_may_and_no_longer() {
        let begun = Instant::now();
        let mut pace = Pace::begin(begun);
        let mut now = begun;
        while now < begun + TRANSFER_DURATION_MAX {
            now += PROGRESS_SPAN;
            assert_eq!(pace.take(PROGRESS_OCTETS_MIN, now), Ok(()));
        }
        assert_eq!(pace.take(PROGRESS_OCTETS_MIN, begun + TRANSFER_DURATION_MAX), Ok(()));
        let late = begun + TRANSFER_DURATION_MAX + Duration::from_millis(1);
        assert_eq!(pace.take(PROGRESS_OCTETS_MIN, late), Err(TooSlow::Whole));
    }

    #[test]
    fn a_span_with_too_few_octets_ends_it() {
        let begun = Instant::now();
        let mut pace = Pace::begin(begun);
        assert_eq!(pace.take(1, begun + PROGRESS_SPAN - Duration::from_millis(1)), Ok(()));
        assert_eq!(pace.take(PROGRESS_OCTETS_MIN - 1, begun + PROGRESS_SPAN), Ok(()), "the least that has to come");
        assert_eq!(pace.take(PROGRESS_OCTETS_MIN - 1, begun + 2 * PROGRESS_SPAN), Err(TooSlow::Span));
    }
}
