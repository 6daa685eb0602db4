//! The live API as a source: list and watch, and nothing else.

mod access;
pub mod configmap;
mod follow;
mod limit;
mod lines;
mod outage;
mod request;
mod resource;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use access::{Access, Api, ClientError, TlsFiles};
pub use limit::Limits;

use crate::index::{Index, Kind, Kinds};
use crate::selector::Selector;
use crate::types;
use follow::Follower;
use outage::Outage;
use resource::ImportSlice;

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watches {
    /// Whether EndpointSlices are watched (Services and Namespaces always are).
    pub slices: bool,
    /// Whether Pods are watched.
    pub pods: bool,
    /// Selects Services, EndpointSlices and Pods.
    pub labels: Selector,
    /// Selects Namespaces, and ServiceImports by their own labels (CoreDNS: plugin/kubernetes/controller.go).
    pub namespace_labels: Selector,
}

impl Watches {
    /// The kinds that will be kept in step.
    pub fn kinds(&self) -> Kinds {
        let mut kinds = vec![Kind::Services, Kind::Namespaces];
        kinds.extend(self.slices.then_some(Kind::Slices));
        kinds.extend(self.pods.then_some(Kind::Pods));
        Kinds::of(&kinds)
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first pause after a failure; it doubles.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// How long the API may take to answer, or be silent in the middle of a list.
    pub silence_max: Duration,
    /// For how long a watch is asked to last; past that and `silence_max` it is taken for dead.
    pub watch: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            pause_min: Duration::from_millis(800),
            pause_max: Duration::from_secs(30),
            silence_max: Duration::from_secs(30),
            watch: Duration::from_secs(240),
        }
    }
}

/// Keeps an index in step with an API, until it is dropped; it never ends by itself.
///
/// Call [`Index::require`] with [`Watches::kinds`] first, so that nobody takes an empty index for one in step.
///
/// ServiceImports and their EndpointSlices are watched if the index keeps them.
pub async fn run(api: Api, watches: Watches, timing: Timing, index: Arc<Index>) {
    let outage = Arc::new(Outage::default());
    let follower = |kind: Kind, selector: &Selector, index: &Arc<Index>| {
        Follower::new(kind, api.clone(), &selector.to_string(), timing, Arc::clone(index), Arc::clone(&outage))
    };
    let services = follower(Kind::Services, &watches.labels, &index).run::<types::Service>();
    let namespaces = follower(Kind::Namespaces, &watches.namespace_labels, &index).run::<types::Namespace>();
    let slices = async {
        if watches.slices {
            follower(Kind::Slices, &watches.labels, &index).run::<types::EndpointSlice>().await;
        }
    };
    let pods = async {
        if watches.pods && index.keeps_pod_labels() {
            follower(Kind::Pods, &watches.labels, &index).run::<types::Pod<types::AllLabels>>().await;
        } else if watches.pods {
            follower(Kind::Pods, &watches.labels, &index).run::<types::Pod>().await;
        }
    };
    let imports = async {
        if let Some(imports) = index.imports() {
            let of = follower(Kind::Services, &watches.namespace_labels, imports).run::<types::ServiceImport>();
            let slices = follower(Kind::Slices, &watches.labels, imports).run::<ImportSlice>();
            futures_util::future::join(of, slices).await;
        }
    };
    futures_util::future::join5(services, namespaces, slices, pods, imports).await;
}
