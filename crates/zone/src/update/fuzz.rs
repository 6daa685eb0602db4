//! What must hold for all octets that come as an update: shared by the fuzz target and the replay of its corpus.

use catena_core::Rtype;

use super::{Update, apply};
use crate::Builder;
use crate::zonefile::{Options, read_zone};
use crate::{Difference, Zone, is_newer};

/// The zone that is updated.
const ZONE: &str = "@ 60 IN SOA ns admin 4294967295 7200 3600 1209600 300
@ 60 IN NS ns
@ 60 IN NS ns.example.net.
ns 60 IN A 192.0.2.53
a 60 IN A 192.0.2.1
a 60 IN A 192.0.2.2
a 60 IN TXT \"x\"
alias 60 IN CNAME a
d 60 IN DNAME example.net.
sub 60 IN NS ns.sub
ns.sub 60 IN A 192.0.2.54
* 60 IN MX 10 a
b.c 60 IN SRV 1 2 3 a
";

fn zone() -> Option<Zone> {
    let origin = b"\x07example\x03org\0";
    let mut builder = Builder::new(origin);
    let mut sink = |record: crate::RecordRef<'_>| builder.push(record).map(drop).map_err(|error| error.to_string());
    read_zone(ZONE.as_bytes(), &Options::new("zone", origin), &mut sink).ok()?;
    builder.finish().ok()
}

/// Reads any octets as a message and lets it change a zone, twice.
///
/// # Panics
/// When something that must hold does not.
pub fn fuzz_one(message: &[u8]) {
    let Ok(update) = Update::read(message) else { return };
    let Some(mut zone) = zone() else { panic!("the zone is one") };
    for _ in 0..2 {
        let Ok(Some(step)) = apply(&update, &zone) else { return };
        zone = check(&step, &zone);
    }
}

fn check(step: &Difference, old: &Zone) -> Zone {
    let new = match step.apply(old) {
        Ok(new) => new,
        Err(error) => panic!("{error}: {step:?}"),
    };
    assert!(is_newer(new.serial(), old.serial()) && new.serial() == step.to, "{step:?}");
    let servers = new.records_of(new.apex(), Rtype::NS).count();
    assert!(servers > 0, "no name server is left: {step:?}");
    for record in new.records().filter(|record| record.rtype == Rtype::CNAME) {
        let all = new
            .names()
            .find(|name| name.name() == record.owner)
            .map_or(0, |name| name.records().filter(|one| one.rtype != Rtype::from_int(25)).count());
        assert_eq!(all, 1, "an alias with other records: {step:?}");
    }
    let between = Difference::between(old, &new);
    assert_eq!((between.removed.len(), between.added.len()), (step.removed.len(), step.added.len()), "{step:?}");
    new
}
