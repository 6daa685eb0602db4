//! The top of a zone, and the names of its name server. CoreDNS: plugin/k8s_external/apex.go.

use catena_cluster::External as Cluster;
use catena_core::prelude::*;

use crate::records::{Records, type_of};

/// The reply to a question for the zone's own name.
pub(crate) fn answer(records: &Records<'_>, cluster: &dyn Cluster, q: &mut Query) -> Box<Answer> {
    let mut answer = Answer::to(q).authoritative();
    match q.qtype() {
        Rtype::SOA => records.soa(&mut answer, Section::Answer),
        Rtype::NS => {
            records.ns(&mut answer);
            if let Some(owner) = records.below_apex(b"ns1", q.name().as_slice()) {
                for address in cluster.name_servers(records.config.headless) {
                    records.address(&mut answer, Section::Additional, &owner, address);
                }
            }
        }
        _ => records.soa(&mut answer, Section::Authority),
    }
    answer
}

/// The reply to a question for a name at or below the label of `apex`: that label has no records, `ns1` below it has the addresses of the
/// name server, and nothing else is there.
pub(crate) fn below(records: &Records<'_>, cluster: &dyn Cluster, q: &mut Query, zone: &Zone) -> Box<Answer> {
    let mut answer = Answer::to(q).authoritative();
    let labels = q.question().labels().count() - zone.labels();
    let first = q.lower().iter().next().map(|label| label.as_slice() == b"ns1");
    match (labels, first) {
        (1, _) => {}
        (2, Some(true)) => {
            for address in cluster.name_servers(records.config.headless) {
                if type_of(address) == q.qtype() {
                    records.address(&mut answer, Section::Answer, q.name().as_slice(), address);
                }
            }
        }
        _ => answer.rcode = Rcode::NXDOMAIN,
    }
    if answer.count(Section::Answer) == 0 {
        records.soa(&mut answer, Section::Authority);
    }
    answer
}
