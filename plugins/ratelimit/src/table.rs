//! Accounts in a table of fixed size: whatever comes, memory stays what it is.
//!
//! An account is one word: a part of its key, and the time at which its debt is paid. What it does costs `1/rate` seconds of time to come; an account that is more than
//! [`BURST`] ahead of the clock is over its limit, and goes on paying for what it asks meanwhile, up to the window. An account whose time has passed is
//! as good as none, so its place is free.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time that an account may be ahead, in ticks: a second's worth of what its rate allows at once.
const BURST: u64 = TICKS_PER_SECOND;
/// Time is counted in tenths of a millisecond.
const TICKS_PER_SECOND: u64 = 10_000;
/// The bits of a slot that hold the time: enough for three years.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// The slots in which an account may be.
const WAYS: usize = 4;
/// The most accounts of a table: 128 MiB.
pub(crate) const ACCOUNTS_MAX: usize = 1 << 24;
/// The fewest.
pub(crate) const ACCOUNTS_MIN: usize = WAYS;

/// The accounts.
pub(crate) struct Table {
    slots: Box<[AtomicU64]>,
    window: u64,
}

impl Table {
    /// A table of `size` accounts, rounded up to a power of two. An account is in debt for `window` at most.
    pub(crate) fn new(size: usize, window: Duration) -> Self {
        let size = size.clamp(ACCOUNTS_MIN, ACCOUNTS_MAX).next_power_of_two();
        Self { slots: std::iter::repeat_with(AtomicU64::default).take(size).collect(), window: ticks(window) }
    }

    /// Charges an account for one event at `time` (since some beginning) and says whether it has more than `rate` a second.
    pub(crate) fn is_over(&self, key: u64, rate: u32, time: Duration) -> bool {
        let cost = TICKS_PER_SECOND / u64::from(rate.max(1));
        // Zero is for slots that were never used.
        let now = ticks(time) + 1;
        let mark = key >> TIME_BITS;
        let bucket = &self.slots[(key as usize & (self.slots.len() - 1)) & !(WAYS - 1)..][..WAYS];
        let slot = place(bucket, mark, now);
        let word = slot.load(Ordering::Relaxed);
        let paid = if word >> TIME_BITS == mark { (word & TIME_MASK).max(now) } else { now };
        let due = (paid + cost).min(now + BURST + self.window).min(TIME_MASK);
        // Two events of one account at the same moment may count as one: that is no matter.
        slot.store(mark << TIME_BITS | due, Ordering::Relaxed);
        due > now + BURST
    }
}

/// The account's slot, or the one to take: of those in the bucket the one with the least debt.
fn place(bucket: &[AtomicU64], mark: u64, now: u64) -> &AtomicU64 {
    let mut least = &bucket[0];
    let mut least_due = u64::MAX;
    for slot in bucket {
        let word = slot.load(Ordering::Relaxed);
        if word >> TIME_BITS == mark && word != 0 {
            return slot;
        }
        let due = (word & TIME_MASK).max(now);
        if due < least_due {
            (least, least_due) = (slot, due);
        }
    }
    least
}

fn ticks(time: Duration) -> u64 {
    let ticks = time.as_micros() / (1_000_000 / u128::from(TICKS_PER_SECOND));
    u64::try_from(ticks).unwrap_or(TIME_MASK).min(TIME_MASK >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    fn passed(table: &Table, key: u64, rate: u32, times_ms: impl IntoIterator<Item = u64>) -> usize {
        times_ms.into_iter().filter(|time| !table.is_over(key, rate, Duration::from_millis(*time))).count()
    }

    #[test]
    fn an_account_has_its_rate_at_once_and_no_more() {
        assert_eq!(passed(&Table::new(64, WINDOW), 7, 5, [0; 100]), 5);
    }

    #[test]
    fn an_account_within_its_rate_passes_for_ever() {
        assert_eq!(passed(&Table::new(64, WINDOW), 7, 5, (0..1000).map(|n| n * 200)), 1000);
    }

    #[test]
    fn who_goes_on_over_the_limit_gets_nothing_until_the_debt_is_paid() {
        let table = Table::new(64, WINDOW);
        assert_eq!(passed(&table, 7, 5, (0..3000).map(|n| n * 10)), 5, "100 a second for 30 s");
        assert_eq!(passed(&table, 7, 5, [30_000 + 4_000]), 0, "the window is 5 s");
        assert_eq!(passed(&table, 7, 5, [30_000 + 6_500]), 1);
    }

    #[test]
    fn accounts_do_not_pay_for_each_other() {
        let table = Table::new(64, WINDOW);
        assert_eq!(passed(&table, 7, 5, [0; 100]), 5);
        assert_eq!(passed(&table, 7 | 1 << 50, 5, [0; 100]), 5, "the same bucket");
    }

    #[test]
    fn a_flood_of_accounts_neither_grows_the_table_nor_frees_one_deep_in_debt() {
        let table = Table::new(8, WINDOW);
        assert_eq!(passed(&table, 7, 5, [0; 100]), 5);
        for other in 0..100_000_u64 {
            table.is_over(other.wrapping_mul(0x9e37_79b9_7f4a_7c15), 5, Duration::from_millis(1));
        }
        assert_eq!(table.slots.len(), 8);
        assert_eq!(passed(&table, 7, 5, [2]), 0);
    }

    #[test]
    fn a_size_is_rounded_up_and_bounded() {
        assert_eq!(Table::new(0, WINDOW).slots.len(), ACCOUNTS_MIN);
        assert_eq!(Table::new(65, WINDOW).slots.len(), 128);
    }
}
