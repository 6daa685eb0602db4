//! What a name asks for: the labels left of the zone.

use catena_core::{Question, Zone};

/// What the labels say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'q> {
    /// The zone itself, `svc` or `pod` in it: there, but without records.
    Top,
    /// `ns.dns`: the name servers.
    NameServer,
    /// `dns-version`.
    Version,
    /// `NAMESPACE.svc` or `NAMESPACE.pod`.
    Namespace { namespace: &'q [u8], pods: bool },
    /// `[DETAIL.]NAME.NAMESPACE.svc` or `.pod`.
    Name { name: &'q [u8], namespace: &'q [u8], pods: bool, detail: Detail<'q> },
    /// No such name can be.
    Nothing,
}

/// What part of a Service is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detail<'q> {
    /// All of it.
    Whole,
    /// One endpoint.
    Endpoint(&'q [u8]),
    /// One endpoint of one of a set of clusters.
    Member { endpoint: &'q [u8], cluster: &'q [u8] },
    /// Ports by name and protocol, underscores removed; empty means any.
    Port { name: &'q [u8], protocol: &'q [u8] },
    /// The endpoints of a topology zone; if there are none and `prefer`, all of them.
    Zone { zone: Box<[u8]>, prefer: bool },
}

/// What names mean, beside the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Nothing.
    Plain,
    /// `TOPOLOGYZONE.pin._zone` and `.prefer._zone`.
    Zonal,
    /// `ENDPOINT.CLUSTER` where neither begins with an underscore.
    Multicluster,
}

/// Reads a question's lower-case name. CoreDNS: plugin/kubernetes/parse.go.
pub(crate) fn parse<'q>(question: &'q Question, zone: &Zone, grammar: Grammar) -> Asked<'q> {
    let labels = Labels::of(question, zone);
    // The labels from right to left.
    let last = |nth: usize| labels.count.checked_sub(nth + 1).and_then(|at| labels.get(at));
    match (labels.count, last(0), last(1)) {
        (0, ..) | (1, Some(b"svc" | b"pod"), _) => return Asked::Top,
        (1, Some(b"dns-version"), _) => return Asked::Version,
        (2, Some(b"dns"), Some(b"ns")) => return Asked::NameServer,
        _ => {}
    }
    let (Some(kind @ (b"svc" | b"pod")), Some(namespace)) = (last(0), last(1)) else { return Asked::Nothing };
    let pods = kind == b"pod";
    let Some(name) = last(2) else { return Asked::Namespace { namespace, pods } };
    let detail = match (labels.count, last(3), last(4)) {
        (4, Some(endpoint), _) => Detail::Endpoint(endpoint),
        (5, Some(cluster), Some(endpoint))
            if grammar == Grammar::Multicluster && !cluster.starts_with(b"_") && !endpoint.starts_with(b"_") =>
        {
            Detail::Member { endpoint, cluster }
        }
        (5, Some(protocol), Some(port)) => Detail::Port { name: stripped(port), protocol: stripped(protocol) },
        (6.., Some(b"_zone"), Some(directive @ (b"pin" | b"prefer"))) if grammar == Grammar::Zonal && !pods => {
            Detail::Zone { zone: labels.joined(labels.count - 5), prefer: directive == b"prefer" }
        }
        (3, ..) => Detail::Whole,
        _ => return Asked::Nothing,
    };
    Asked::Name { name, namespace, pods, detail }
}

fn stripped(label: &[u8]) -> &[u8] {
    label.strip_prefix(b"_").unwrap_or(label)
}

/// The labels of a name that stand left of a zone.
struct Labels<'q> {
    question: &'q Question,
    count: usize,
}

impl<'q> Labels<'q> {
    fn of(question: &'q Question, zone: &Zone) -> Self {
        Self { question, count: question.labels().count().saturating_sub(zone.labels()) }
    }

    /// The label at a place counted from the left.
    fn get(&self, at: usize) -> Option<&'q [u8]> {
        let wire = self.question.lower().as_slice();
        let start = self.question.labels().suffix_start(self.question.labels().count().checked_sub(at)?)?;
        let length = usize::from(*wire.get(start)?);
        wire.get(start + 1..start + 1 + length)
    }

    /// The first labels with dots between them: a topology zone may have dots.
    fn joined(&self, count: usize) -> Box<[u8]> {
        let labels: Vec<&[u8]> = (0..count).filter_map(|at| self.get(at)).collect();
        labels.join(&b"."[..]).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::{Class, Rtype, name};

    fn shown(text: &str, grammar: Grammar) -> String {
        let question = Question::new(name::owned(text).unwrap().for_slice(), Rtype::A, Class::IN);
        let zone = Zone::parse("cluster.local").unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        match parse(&question, &zone, grammar) {
            Asked::Top => "top".to_owned(),
            Asked::NameServer => "name server".to_owned(),
            Asked::Version => "version".to_owned(),
            Asked::Nothing => "nothing".to_owned(),
            Asked::Namespace { namespace, pods } => format!("{} {pods}", text(namespace)),
            Asked::Name { name, namespace, pods, detail } => {
                let detail = match detail {
                    Detail::Whole => String::new(),
                    Detail::Endpoint(label) => format!(" endpoint {}", text(label)),
                    Detail::Member { endpoint, cluster } => {
                        format!(" endpoint {} of {}", text(endpoint), text(cluster))
                    }
                    Detail::Port { name, protocol } => format!(" port {}/{}", text(name), text(protocol)),
                    Detail::Zone { zone, prefer } => format!(" zone {} {prefer}", text(&zone)),
                };
                format!("{} in {} {pods}{detail}", text(name), text(namespace))
            }
        }
    }

    #[test]
    fn names_are_read_from_right_to_left() {
        for (name, expected) in [
            ("cluster.local", "top"),
            ("SVC.cluster.local", "top"),
            ("pod.cluster.local", "top"),
            ("shop.cluster.local", "nothing"),
            ("dns-version.cluster.LOCAL", "version"),
            ("NS.dns.cluster.local", "name server"),
            ("Shop.svc.cluster.local", "shop false"),
            ("shop.pod.cluster.local", "shop true"),
            ("Web.shop.svc.cluster.local", "web in shop false"),
            ("10-0-0-1.shop.pod.cluster.local", "10-0-0-1 in shop true"),
            ("a.web.shop.svc.cluster.local", "web in shop false endpoint a"),
            ("_http._TCP.web.shop.svc.cluster.local", "web in shop false port http/tcp"),
            ("http.tcp.web.shop.svc.cluster.local", "web in shop false port http/tcp"),
            ("_._tcp.web.shop.svc.cluster.local", "web in shop false port /tcp"),
            ("a.b.c.web.shop.svc.cluster.local", "nothing"),
            ("a.b.c.d.cluster.local", "nothing"),
        ] {
            assert_eq!(shown(name, Grammar::Plain), expected, "{name}");
        }
    }

    #[test]
    fn a_topology_zone_may_have_dots() {
        let name = "eu.West-1.pin._zone.web.shop.svc.cluster.local";
        assert_eq!(shown(name, Grammar::Zonal), "web in shop false zone eu.west-1 false");
        assert_eq!(shown(name, Grammar::Plain), "nothing");
        assert_eq!(shown("a.prefer._zone.web.shop.svc.cluster.local", Grammar::Zonal), "web in shop false zone a true");
        assert_eq!(shown("a.near._zone.web.shop.svc.cluster.local", Grammar::Zonal), "nothing");
        assert_eq!(shown("a.pin._zone.web.shop.pod.cluster.local", Grammar::Zonal), "nothing");
    }
    #[test]
    fn a_set_of_clusters_has_endpoints_by_cluster_and_no_topology_zones() {
        let base = "web.shop.svc.cluster.local";
        for (labels, expected) in [
            ("DB-0.East", "web in shop false endpoint db-0 of east"),
            ("_http._tcp", "web in shop false port http/tcp"),
            ("_http.tcp", "web in shop false port http/tcp"),
            ("http._tcp", "web in shop false port http/tcp"),
            ("db-0", "web in shop false endpoint db-0"),
            ("a.pin._zone", "nothing"),
        ] {
            assert_eq!(shown(&format!("{labels}.{base}"), Grammar::Multicluster), expected, "{labels}");
        }
    }
}
