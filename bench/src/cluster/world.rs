//! A cluster that is a function of its size: every object is written when it is asked for, so the API server needs no memory for it.

/// How many namespaces there are.
const NAMESPACES: usize = 100;
/// The most endpoints of one slice, as the controller of EndpointSlices has it.
const SLICE_ENDPOINTS_MAX: usize = 100;

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// How many Services.
    pub(crate) services: usize,
    /// How many endpoints each of them has, one slice for each hundred.
    pub(crate) endpoints: usize,
    /// How many pods.
    pub(crate) pods: usize,
}

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Namespaces,
    Services,
    Slices,
    Pods,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::Namespaces, Self::Services, Self::Slices, Self::Pods];

    /// The kind that is listed at this path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/api/v1/namespaces" => Some(Self::Namespaces),
            "/api/v1/services" => Some(Self::Services),
            "/apis/discovery.k8s.io/v1/endpointslices" => Some(Self::Slices),
            "/api/v1/pods" => Some(Self::Pods),
            _ => None,
        }
    }

    /// `apiVersion` and `kind` of its objects.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Namespaces => ("v1", "Namespace"),
            Self::Services => ("v1", "Service"),
            Self::Slices => ("discovery.k8s.io/v1", "EndpointSlice"),
            Self::Pods => ("v1", "Pod"),
        }
    }
}

/// The name of a Service, in front of the cluster's zone.
pub(crate) fn service_name(number: usize) -> String {
    format!("service-{number:05}.{}.svc", namespace(number))
}

fn namespace(number: usize) -> String {
    format!("namespace-{:02}", number % NAMESPACES)
}

/// An address: the start of a range and a number in it.
fn address(range: [u8; 4], number: usize) -> String {
    let number = u32::from_be_bytes(range).wrapping_add(u32::try_from(number).unwrap_or(0));
    std::net::Ipv4Addr::from(number).to_string()
}

fn uid(kind: usize, number: usize) -> String {
    format!("6f9619ff-8b86-{kind:04x}-b42d-{number:012x}")
}

impl World {
    /// How many objects of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Namespaces => NAMESPACES,
            Kind::Services => self.services,
            Kind::Slices => self.services * self.slices_each(),
            Kind::Pods => self.pods,
        }
    }

    fn slices_each(&self) -> usize {
        self.endpoints.div_ceil(SLICE_ENDPOINTS_MAX)
    }

    /// Writes an object as an API server does, with what DNS has no use for.
    pub(crate) fn write(&self, kind: Kind, number: usize, version: u64, text: &mut String) {
        match kind {
            Kind::Namespaces => text.push_str(&namespace_object(number, version)),
            Kind::Services => text.push_str(&service(number, version)),
            Kind::Slices => self.slice(number, version, text),
            Kind::Pods => text.push_str(&pod(number, version)),
        }
    }

    fn slice(&self, number: usize, version: u64, text: &mut String) {
        let owner = number / self.slices_each();
        let first = (number % self.slices_each()) * SLICE_ENDPOINTS_MAX;
        let meta = meta(&format!("service-{owner:05}-{number:05x}"), &namespace(owner), 3, number, version);
        text.push_str(&format!(
            r#"{{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",{meta},"labels":{{"app":"service-{owner:05}","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"service-{owner:05}"}},"ownerReferences":[{{"apiVersion":"v1","kind":"Service","name":"service-{owner:05}","uid":"{}","controller":true,"blockOwnerDeletion":true}}],{MANAGED_SLICE}}},"addressType":"IPv4","endpoints":["#,
            uid(2, owner)
        ));
        for at in first..self.endpoints.min(first + SLICE_ENDPOINTS_MAX) {
            let all = owner * self.endpoints + at;
            if at > first {
                text.push(',');
            }
            text.push_str(&format!(
                r#"{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"targetRef":{{"kind":"Pod","namespace":"{}","name":"service-{owner:05}-7d4b9c6f5-{at:05x}","uid":"{}"}},"nodeName":"node-{:04}","zone":"zone-{}"}}"#,
                address([10, 16, 0, 1], all),
                namespace(owner),
                uid(4, all),
                all % 500,
                all % 3
            ));
        }
        text.push_str(r#"],"ports":[{"name":"http","protocol":"TCP","port":8080},{"name":"metrics","protocol":"TCP","port":9090}]}"#);
    }
}

/// The beginning of `metadata`, open for more.
fn meta(name: &str, namespace: &str, kind: usize, number: usize, version: u64) -> String {
    let uid = uid(kind, number);
    format!(
        r#""metadata":{{"name":"{name}","namespace":"{namespace}","uid":"{uid}","resourceVersion":"{version}","creationTimestamp":"2026-01-01T00:00:00Z""#
    )
}

fn namespace_object(number: usize, version: u64) -> String {
    let (name, uid) = (namespace(number), uid(1, number));
    format!(
        r#"{{"kind":"Namespace","apiVersion":"v1","metadata":{{"name":"{name}","uid":"{uid}","resourceVersion":"{version}","creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"kubernetes.io/metadata.name":"{name}"}}}},"spec":{{"finalizers":["kubernetes"]}},"status":{{"phase":"Active"}}}}"#
    )
}

fn service(number: usize, version: u64) -> String {
    let meta = meta(&format!("service-{number:05}"), &namespace(number), 2, number, version);
    let ip = address([172, 16, 0, 1], number);
    format!(
        r#"{{"kind":"Service","apiVersion":"v1",{meta},"labels":{{"app":"service-{number:05}","app.kubernetes.io/managed-by":"Helm"}},"annotations":{{"meta.helm.sh/release-name":"service-{number:05}"}},{MANAGED_SERVICE}}},"spec":{{"ports":[{{"name":"http","protocol":"TCP","port":80,"targetPort":8080}},{{"name":"metrics","protocol":"TCP","port":9090,"targetPort":9090}}],"selector":{{"app":"service-{number:05}"}},"clusterIP":"{ip}","clusterIPs":["{ip}"],"type":"ClusterIP","sessionAffinity":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster"}},"status":{{"loadBalancer":{{}}}}}}"#
    )
}

fn pod(number: usize, version: u64) -> String {
    let meta =
        meta(&format!("deployment-{:04}-7d4b9c6f5-{number:05x}", number / 10), &namespace(number), 4, number, version);
    let ip = address([10, 64, 0, 1], number);
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1",{meta},"labels":{{"app":"deployment-{:04}","pod-template-hash":"7d4b9c6f5"}},{MANAGED_SERVICE}}},"spec":{{"volumes":[{{"name":"kube-api-access","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}}],"defaultMode":420}}}}],"containers":[{{"name":"server","image":"registry.example.org/server:1.2.3","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"resources":{{"limits":{{"memory":"128Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}},"imagePullPolicy":"IfNotPresent"}}],"restartPolicy":"Always","nodeName":"node-{:04}","serviceAccountName":"default"}},"status":{{"phase":"Running","conditions":[{{"type":"Ready","status":"True"}}],"hostIP":"192.0.2.1","podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"startTime":"2026-01-01T00:00:00Z"}}}}"#,
        number / 10,
        number % 500
    )
}

/// Who set which field, as an API server keeps it with every object.
const MANAGED_SERVICE: &str = r#""managedFields":[{"manager":"helm","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:meta.helm.sh/release-name":{}},"f:labels":{".":{},"f:app":{},"f:app.kubernetes.io/managed-by":{}}},"f:spec":{"f:internalTrafficPolicy":{},"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:selector":{},"f:sessionAffinity":{},"f:type":{}}}}]"#;
const MANAGED_SLICE: &str = r#""managedFields":[{"manager":"kube-controller-manager","operation":"Update","apiVersion":"discovery.k8s.io/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:addressType":{},"f:endpoints":{},"f:metadata":{"f:labels":{".":{},"f:app":{},"f:endpointslice.kubernetes.io/managed-by":{},"f:kubernetes.io/service-name":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"6f9619ff\"}":{}}},"f:ports":{}}}]"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_holds_a_hundred_endpoints_and_the_rest_goes_into_the_next() {
        let world = World { services: 2, endpoints: 150, pods: 0 };
        assert_eq!(world.count(Kind::Slices), 4);
        let endpoints = |number| {
            let mut text = String::new();
            world.write(Kind::Slices, number, 1, &mut text);
            (text.matches("\"addresses\"").count(), text.contains("\"name\":\"service-00001-"))
        };
        assert_eq!(endpoints(0), (100, false));
        assert_eq!(endpoints(3), (50, true));
    }

    #[test]
    fn addresses_go_on_across_octets() {
        assert_eq!(address([10, 16, 0, 1], 255), "10.16.1.0");
    }
}
