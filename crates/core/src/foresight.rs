//! Looking ahead: what the queries of a batch will read is asked of the memory before the first of them is served.
//!
//! A store of some thousand entries is larger than the CPU's near caches, and a look-up in it is a chain of reads, each of which has to wait
//! for the one before. The waits of one query cannot be shortened, but those of several queries can pass at the same time: the server
//! reads a few messages, lets each query's [`Foresight`] go one step along its chain of reads after the other, and only then serves them.

use prefetch_index::prefetch_index;

use crate::query::Query;

/// The steps that are taken for each query; a store that needs fewer does nothing in the last ones.
pub const FORESIGHT_STEPS: usize = 3;

/// Knows where in memory the answer to a query will be looked for.
pub trait Foresight: Send + Sync {
    /// Takes one step of [`FORESIGHT_STEPS`], counted from 0: reads what the step before asked for and asks for what is behind it with [`ask_for`]. `trace`
    /// is what the step before returned, 0 at the first.
    ///
    /// It is only about time: nothing is changed, counted or promised, and what has to wait is not waited for.
    fn step(&self, query: &Query, step: usize, trace: u64) -> u64;
}

/// The steps that are left for a query; [`crate::Instance::foresee`] has taken the first.
pub struct Sight<'a> {
    foresight: &'a dyn Foresight,
    step: usize,
    trace: u64,
}

impl<'a> Sight<'a> {
    pub(crate) fn new(foresight: &'a dyn Foresight) -> Self {
        Self { foresight, step: 0, trace: 0 }
    }

    /// Takes the next step for the query that it was made for; there are [`FORESIGHT_STEPS`] with the first.
    pub fn go_on(&mut self, query: &Query) {
        self.trace = self.foresight.step(query, self.step, self.trace);
        self.step += 1;
    }
}

/// Asks the memory for the line in which a value begins, without waiting for it.
#[inline]
pub fn ask_for<T>(value: &T) {
    prefetch_index(std::slice::from_ref(value), 0);
}

/// Asks the memory for the lines of what begins with a number, the first `lines` of them, without waiting for them: not even for the
/// length of what is there.
#[inline]
pub fn ask_for_lines(first: &u64, lines: usize) {
    for line in 0..lines {
        prefetch_index(std::slice::from_ref(first), line * (LINE_OCTETS / size_of::<u64>()));
    }
}

/// The octets of a line of the CPU's caches.
const LINE_OCTETS: usize = 64;
