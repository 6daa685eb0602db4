//! Kubernetes objects, slim: only the fields that DNS uses are decoded, everything else is skipped without an allocation.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Labels of which none is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct NoLabels {}

/// All labels, where a selector has to match them.
pub type AllLabels = BTreeMap<String, String>;

/// The labels of a Pod, as many of them as were decoded.
pub trait PodLabels {
    /// Names and values.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)>;
}

impl PodLabels for NoLabels {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }
}

impl PodLabels for AllLabels {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The labels of an EndpointSlice that DNS reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SliceLabels {
    /// The Service that the slice belongs to; a slice without it belongs to none.
    #[serde(rename = "kubernetes.io/service-name", default, deserialize_with = "or_default")]
    pub service: Option<String>,
    /// The ServiceImport that the slice belongs to.
    #[serde(rename = "multicluster.kubernetes.io/service-name", default, deserialize_with = "or_default")]
    pub import: Option<String>,
    /// The cluster that a slice of a ServiceImport comes from.
    #[serde(rename = "multicluster.kubernetes.io/source-cluster", default, deserialize_with = "or_default")]
    pub cluster: Option<String>,
}

/// The annotations of an EndpointSlice that DNS reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SliceAnnotations {
    /// When the change that led to this slice happened, RFC 3339.
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time", default, deserialize_with = "or_default")]
    pub triggered: Option<String>,
}

/// Object metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(bound(deserialize = "L: Deserialize<'de> + Default, A: Deserialize<'de> + Default"))]
pub struct Meta<L = NoLabels, A = NoLabels> {
    /// The object's name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// The object's namespace, empty where it has none.
    #[serde(default, deserialize_with = "or_default")]
    pub namespace: String,
    /// The version to continue a watch from.
    #[serde(rename = "resourceVersion", default, deserialize_with = "or_default")]
    pub resource_version: String,
    /// Set once the object is being deleted.
    #[serde(rename = "deletionTimestamp", default, deserialize_with = "or_default")]
    pub deletion_timestamp: Option<String>,
    /// The labels that are kept.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: L,
    /// The annotations that are kept.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: A,
}

/// A Namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Name and version.
    #[serde(default)]
    pub metadata: Meta,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// Name and version.
    #[serde(default)]
    pub metadata: Meta,
    /// What it is to be.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: ServiceSpec,
    /// What the load balancer said.
    #[serde(default, deserialize_with = "or_default")]
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// The first cluster address, or `None`.
    #[serde(rename = "clusterIP", default, deserialize_with = "or_default")]
    pub cluster_ip: String,
    /// All cluster addresses; wins over `cluster_ip` where not empty.
    #[serde(rename = "clusterIPs", default, deserialize_with = "or_default")]
    pub cluster_ips: Vec<String>,
    /// Families in order of preference: `IPv4`, `IPv6`.
    #[serde(default, deserialize_with = "or_default")]
    pub ip_families: Vec<String>,
    /// The ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<ServicePort>,
    /// The target of an `ExternalName` Service.
    #[serde(default, deserialize_with = "or_default")]
    pub external_name: String,
    /// Addresses that route to the Service from outside.
    #[serde(rename = "externalIPs", default, deserialize_with = "or_default")]
    pub external_ips: Vec<String>,
    /// The labels of the pods behind it.
    #[serde(default, deserialize_with = "or_default")]
    pub selector: AllLabels,
    /// Whether pods count that are not ready.
    #[serde(default, deserialize_with = "or_default")]
    pub publish_not_ready_addresses: bool,
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name, which may be empty.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its number.
    #[serde(default, deserialize_with = "or_default")]
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(default, deserialize_with = "or_default")]
    pub protocol: String,
    /// The pod's port, by number or by name.
    #[serde(default, deserialize_with = "or_default")]
    pub target_port: Option<TargetPort>,
}

/// A pod's port, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// By number.
    Number(i32),
    /// By the name that a container gave it.
    Name(String),
}

/// A ServiceImport, multicluster.x-k8s.io/v1alpha1: a Service of a set of clusters (KEP-1645).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ServiceImport {
    /// Name and version.
    #[serde(default)]
    pub metadata: Meta,
    /// What it is to be.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: ServiceImportSpec,
}

/// `spec` of a ServiceImport.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ServiceImportSpec {
    /// `ClusterSetIP` or `Headless`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// Its addresses in the set of clusters.
    #[serde(default, deserialize_with = "or_default")]
    pub ips: Vec<String>,
    /// The ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<ServicePort>,
}

/// `status` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ServiceStatus {
    /// The load balancer.
    #[serde(rename = "loadBalancer", default, deserialize_with = "or_default")]
    pub load_balancer: LoadBalancer,
}

/// `status.loadBalancer` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LoadBalancer {
    /// Where it can be reached.
    #[serde(default, deserialize_with = "or_default")]
    pub ingress: Vec<Ingress>,
}

/// One way in to a load balancer: an address, or else a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Ingress {
    /// The address.
    #[serde(default, deserialize_with = "or_default")]
    pub ip: String,
    /// The name, if there is no address.
    #[serde(default, deserialize_with = "or_default")]
    pub hostname: String,
}

/// An EndpointSlice, discovery.k8s.io/v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct EndpointSlice {
    /// Name, version, owner and trigger time.
    #[serde(default)]
    pub metadata: Meta<SliceLabels, SliceAnnotations>,
    /// The endpoints.
    #[serde(default, deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
    /// The ports of every endpoint.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}

/// An endpoint of an EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its addresses.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses: Vec<String>,
    /// Its conditions.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Conditions,
    /// Its name within the Service.
    #[serde(default, deserialize_with = "or_default")]
    pub hostname: Option<String>,
    /// The object behind it, usually a pod.
    #[serde(default, deserialize_with = "or_default")]
    pub target_ref: Option<TargetRef>,
    /// The topology zone.
    #[serde(default, deserialize_with = "or_default")]
    pub zone: Option<String>,
}

/// The conditions of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Conditions {
    /// Whether it takes traffic; unknown counts as ready.
    #[serde(default, deserialize_with = "or_default")]
    pub ready: Option<bool>,
}

/// A reference to the object behind an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct TargetRef {
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
}

/// A port of an EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct EndpointPort {
    /// Its name, which may be missing or empty.
    #[serde(default, deserialize_with = "or_default")]
    pub name: Option<String>,
    /// Its number; missing means any.
    #[serde(default, deserialize_with = "or_default")]
    pub port: Option<i32>,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(default, deserialize_with = "or_default")]
    pub protocol: Option<String>,
}

/// A legacy Endpoints object; only manifests hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Endpoints {
    /// Its name is the Service's.
    #[serde(default)]
    pub metadata: Meta,
    /// The endpoints, grouped by ports.
    #[serde(default, deserialize_with = "or_default")]
    pub subsets: Vec<Subset>,
}

/// Endpoints that share their ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Subset {
    /// Those that are ready.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses: Vec<EndpointAddress>,
    /// Their ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}

/// An address of a legacy Endpoints object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointAddress {
    /// The address.
    #[serde(default, deserialize_with = "or_default")]
    pub ip: String,
    /// Its name within the Service.
    #[serde(default, deserialize_with = "or_default")]
    pub hostname: Option<String>,
    /// The object behind it.
    #[serde(default, deserialize_with = "or_default")]
    pub target_ref: Option<TargetRef>,
}

/// A Pod; `L` is [`NoLabels`], or [`AllLabels`] where somebody reads them: the selectors of manifests, the metadata of clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(bound(deserialize = "L: Deserialize<'de> + Default"))]
pub struct Pod<L = NoLabels> {
    /// Name, version and labels.
    #[serde(default)]
    pub metadata: Meta<L>,
    /// Names and ports.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// Addresses and readiness.
    #[serde(default, deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// `spec` of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PodSpec {
    /// Its host name.
    #[serde(default, deserialize_with = "or_default")]
    pub hostname: String,
    /// The headless Service that its host name lives under.
    #[serde(default, deserialize_with = "or_default")]
    pub subdomain: String,
    /// Its containers.
    #[serde(default, deserialize_with = "or_default")]
    pub containers: Vec<Container>,
}

/// A container of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Container {
    /// Its ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<ContainerPort>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name, which may be empty.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its number.
    #[serde(default, deserialize_with = "or_default")]
    pub container_port: i32,
    /// `TCP` (also if empty), `UDP` or `SCTP`.
    #[serde(default, deserialize_with = "or_default")]
    pub protocol: String,
}

/// `status` of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PodStatus {
    /// `Running`, `Succeeded`, ...
    #[serde(default, deserialize_with = "or_default")]
    pub phase: String,
    /// The first address.
    #[serde(rename = "podIP", default, deserialize_with = "or_default")]
    pub pod_ip: String,
    /// All addresses.
    #[serde(rename = "podIPs", default, deserialize_with = "or_default")]
    pub pod_ips: Vec<PodIp>,
    /// Conditions, of which `Ready` counts.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Vec<PodCondition>,
}

/// An address of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PodIp {
    /// The address.
    #[serde(default, deserialize_with = "or_default")]
    pub ip: String,
}

/// A condition of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PodCondition {
    /// `Ready`, ...
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
}

/// Reads `null` as the default: the API leaves fields out, people write `labels:` with nothing behind.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn reads_a_slice_and_skips_what_dns_does_not_use() {
        let slice: EndpointSlice = serde_json::from_str(
            r#"{"kind":"EndpointSlice","metadata":{"name":"web-1","namespace":"shop","resourceVersion":"7",
            "labels":{"kubernetes.io/service-name":"web","x":"y"},"annotations":null,"managedFields":[{"a":[1,{}]}]},
            "endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":null},"targetRef":{"kind":"Pod","name":"p"}}],
            "ports":[{"name":"","port":80,"protocol":"TCP"},{}]}"#,
        )
        .unwrap();
        assert_eq!(slice.metadata.labels.service.as_deref(), Some("web"));
        assert_eq!(slice.endpoints[0].conditions.ready, None);
        assert_eq!(slice.endpoints[0].target_ref.as_ref().unwrap().name, "p");
        assert_eq!((slice.ports[0].port, slice.ports[1].port), (Some(80), None));
    }

    #[test]
    fn reads_null_as_absent() {
        let service: Service = serde_json::from_str(
            r#"{"metadata":{"name":"a","labels":null},"spec":{"ports":null,"clusterIP":null},"status":null}"#,
        )
        .unwrap();
        assert_eq!(service.metadata.name, "a");
        assert_eq!(service.spec, ServiceSpec::default());
    }
}
