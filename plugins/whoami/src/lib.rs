//! *whoami* answers every query with the client's own address, port and transport.

use catena_core::name::OwnedName;
use catena_core::prelude::*;
use domain::base::Name;
use domain::base::name::RelativeName;
use domain::rdata::Srv;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("whoami", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    while words.next() {
        words.no_more_args()?;
    }
    cx.link(Whoami);
    Ok(())
}

struct Whoami;

#[async_trait]
impl Plugin for Whoami {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let client = q.client();
        // A name of 255 octets has no room for the label.
        let Some(service) = prefixed(q) else { return Reply::status(Rcode::SERVFAIL) };
        let mut answer = Answer::to(q).authoritative();
        answer.push_address(Section::Additional, q.name(), q.qclass(), 0, client.ip().to_canonical());
        answer.push(Section::Additional, &service, q.qclass(), 0, &Srv::new(0, 0, client.port(), Name::root_ref()));
        answer.into()
    }
}

fn prefixed(q: &Query) -> Option<OwnedName> {
    let label = RelativeName::vec_from_str(&format!("_{}", q.protocol().as_str())).ok()?;
    Some(domain::base::name::ToName::to_name(&domain::base::name::ToRelativeName::chain(label, q.name()).ok()?))
}
