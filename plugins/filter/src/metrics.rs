//! What `filter` counts.

use catena_core::{Metrics, Rtype};
use prometheus::{Counter, CounterVec};

use crate::config::Rule;

/// The families.
pub(crate) struct Families {
    answers: CounterVec,
    hints: CounterVec,
}

impl Families {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        Self {
            answers: metrics.counter(
                "coredns_filter_answers_total",
                "Counter of queries that were answered without records because of their type.",
                &["server", "view", "type"],
            ),
            hints: metrics.counter(
                "coredns_filter_hints_removed_total",
                "Counter of address hints taken out of HTTPS and SVCB records.",
                &["server", "view"],
            ),
        }
    }

    pub(crate) fn for_server(&self, server: &str, view: &str, rules: &[Rule]) -> FilterMetrics {
        let mut types: Vec<Rtype> = rules.iter().flat_map(|rule| rule.types.iter().copied()).collect();
        types.sort_unstable();
        types.dedup();
        let answers = types
            .into_iter()
            .map(|rtype| (rtype, self.answers.with_label_values(&[server, view, rtype.to_string().as_str()])));
        FilterMetrics { answers: answers.collect(), hints: self.hints.with_label_values(&[server, view]) }
    }
}

/// The counters of one listener.
pub(crate) struct FilterMetrics {
    answers: Vec<(Rtype, Counter)>,
    pub(crate) hints: Counter,
}

impl FilterMetrics {
    pub(crate) fn answers(&self, rtype: Rtype) -> Option<&Counter> {
        self.answers.iter().find(|(known, _)| *known == rtype).map(|(_, counter)| counter)
    }
}
