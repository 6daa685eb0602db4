//! What the API calls each kind of object, and how one gets into the index.

use serde::de::DeserializeOwned;

use crate::index::Index;
use crate::types::{EndpointSlice, Namespace, Pod, Service};

/// A kind of object that is followed.
pub(super) trait Resource: DeserializeOwned + Send {
    /// Where the API lists all of them.
    const PATH: &'static str;
    /// Those that are of use to DNS, as a field selector.
    const FIELDS: &'static str = "";

    fn apply(&self, index: &Index);
    fn delete(&self, index: &Index);
    /// The version to go on from after it.
    fn take_version(&mut self) -> String;
}

impl Resource for Service {
    const PATH: &'static str = "/api/v1/services";

    fn apply(&self, index: &Index) {
        index.apply_service(self);
    }

    fn delete(&self, index: &Index) {
        index.delete_service(&self.metadata.namespace, &self.metadata.name);
    }

    fn take_version(&mut self) -> String {
        std::mem::take(&mut self.metadata.resource_version)
    }
}

impl Resource for EndpointSlice {
    const PATH: &'static str = "/apis/discovery.k8s.io/v1/endpointslices";

    fn apply(&self, index: &Index) {
        index.apply_slice(self);
    }

    fn delete(&self, index: &Index) {
        index.delete_slice(&self.metadata.namespace, &self.metadata.name);
    }

    fn take_version(&mut self) -> String {
        std::mem::take(&mut self.metadata.resource_version)
    }
}

impl Resource for Namespace {
    const PATH: &'static str = "/api/v1/namespaces";

    fn apply(&self, index: &Index) {
        index.apply_namespace(&self.metadata.name);
    }

    fn delete(&self, index: &Index) {
        index.delete_namespace(&self.metadata.name);
    }

    fn take_version(&mut self) -> String {
        std::mem::take(&mut self.metadata.resource_version)
    }
}

impl Resource for Pod {
    const PATH: &'static str = "/api/v1/pods";
    // CoreDNS: plugin/kubernetes/controller.go
    const FIELDS: &'static str = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown";

    fn apply(&self, index: &Index) {
        index.apply_pod(self);
    }

    fn delete(&self, index: &Index) {
        index.delete_pod(&self.metadata.namespace, &self.metadata.name);
    }

    fn take_version(&mut self) -> String {
        std::mem::take(&mut self.metadata.resource_version)
    }
}
