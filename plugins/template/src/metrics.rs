//! What `template` counts.

use std::sync::OnceLock;

use catena_core::{Metrics, PerServer, Query};
use prometheus::{Counter, CounterVec};

/// Matches of one template, with the handles of the series that it usually counts in.
pub(crate) struct Matches {
    family: CounterVec,
    zones: usize,
    handles: PerServer<Vec<OnceLock<Counter>>>,
}

impl Matches {
    /// The counters of a template of so many zones.
    pub(crate) fn new(metrics: &Metrics, zones: usize) -> Self {
        let labels = ["server", "zone", "view", "class", "type"];
        let family = metrics.counter("coredns_template_matches_total", "Counter of template regex matches.", &labels);
        Self { family, zones, handles: PerServer::new() }
    }

    /// Counts a match. `usual` is the index of the zone if class and type are the template's own.
    pub(crate) fn count(&self, query: &Query, usual: Option<usize>, labels: Labels<'_>) {
        let series =
            || self.family.with_label_values(&[query.server(), labels.zone, query.view(), labels.class, labels.rtype]);
        let handles = self.handles.get(query, |_| std::iter::repeat_with(OnceLock::new).take(self.zones).collect());
        match usual.and_then(|zone| handles.get(zone)) {
            Some(handle) => handle.get_or_init(series).inc(),
            None => series().inc(),
        }
    }
}

/// The labels that all of the plugin's families have, besides server and view.
#[derive(Clone, Copy)]
pub(crate) struct Labels<'a> {
    pub(crate) zone: &'a str,
    pub(crate) class: &'a str,
    pub(crate) rtype: &'a str,
}

/// Templates that did not become records.
pub(crate) struct Failures {
    executions: CounterVec,
    records: CounterVec,
}

/// What failed.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    /// The template could not be executed.
    Execution,
    /// What it made is no record.
    Record,
}

impl Failures {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let labels = ["server", "zone", "view", "class", "type", "section", "template"];
        let executions =
            metrics.counter("coredns_template_template_failures_total", "Counter of go template failures.", &labels);
        let records = metrics.counter("coredns_template_rr_failures_total", "Counter of mis-templated RRs.", &labels);
        Self { executions, records }
    }

    /// Counts a failure of a template, given in its canonical form.
    pub(crate) fn count(&self, failure: Failure, query: &Query, labels: Labels<'_>, section: &str, template: &str) {
        let family = match failure {
            Failure::Execution => &self.executions,
            Failure::Record => &self.records,
        };
        family
            .with_label_values(&[
                query.server(),
                labels.zone,
                query.view(),
                labels.class,
                labels.rtype,
                section,
                template,
            ])
            .inc();
    }
}
