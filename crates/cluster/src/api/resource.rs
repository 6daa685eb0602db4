//! What the API calls each kind of object, and how one gets into the index.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::index::Index;
use crate::types::{EndpointSlice, Namespace, Pod, PodLabels, Service, ServiceImport};

/// A kind of object that is followed.
pub(super) trait Resource: DeserializeOwned + Send {
    /// What they are called in the log.
    const NAME: &'static str;
    /// Where the API lists all of them.
    const PATH: &'static str;
    /// What a label selector asks for, whatever else it does.
    const LABELS: &'static str = "";
    /// Those that are of use to DNS, as a field selector.
    const FIELDS: &'static str = "";

    fn apply(&self, index: &Index);
    fn delete(&self, index: &Index);
    /// The version to go on from after it.
    fn take_version(&mut self) -> String;
}

impl Resource for Service {
    const NAME: &'static str = "services";
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
    const NAME: &'static str = "endpointslices";
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
    const NAME: &'static str = "namespaces";
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

impl<L: PodLabels + DeserializeOwned + Default + Send> Resource for Pod<L> {
    const NAME: &'static str = "pods";
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

impl Resource for ServiceImport {
    const NAME: &'static str = "serviceimports";
    const PATH: &'static str = "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports";

    fn apply(&self, index: &Index) {
        index.apply_import(self);
    }

    fn delete(&self, index: &Index) {
        index.delete_service(&self.metadata.namespace, &self.metadata.name);
    }

    fn take_version(&mut self) -> String {
        std::mem::take(&mut self.metadata.resource_version)
    }
}

/// An EndpointSlice of a ServiceImport.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct ImportSlice(EndpointSlice);

impl Resource for ImportSlice {
    const NAME: &'static str = "endpointslices of serviceimports";
    const PATH: &'static str = EndpointSlice::PATH;
    const LABELS: &'static str = "multicluster.kubernetes.io/service-name";

    fn apply(&self, index: &Index) {
        index.apply_import_slice(&self.0);
    }

    fn delete(&self, index: &Index) {
        EndpointSlice::delete(&self.0, index);
    }

    fn take_version(&mut self) -> String {
        self.0.take_version()
    }
}
