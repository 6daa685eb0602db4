//! *whoami* answers every query with the client's own address, port and transport.

use catena_core::prelude::*;
use domain::base::name::{Name, RelativeName, ToName};
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
        let label = format!("_{}", q.protocol().as_str());
        let label = RelativeName::vec_from_str(&label).ok();
        // A name of 255 octets has no room for the label.
        let service = label.and_then(|label| label.chain(q.name()).ok()).map(|chain| chain.to_vec());
        let Some(service) = service else { return Reply::status(Rcode::SERVFAIL) };
        let mut answer = Answer::to(q).authoritative();
        answer.push_address(Section::Additional, q.name(), q.qclass(), 0, client.ip().to_canonical());
        answer.push(Section::Additional, &service, q.qclass(), 0, &Srv::new(0, 0, client.port(), Name::root_ref()));
        answer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::PLUGIN;
    use catena_testkit::{check, check_config};

    #[test]
    fn tells_who_asked_and_keeps_the_case() {
        let script = "
            > Example.ORG A from 10.240.0.1:40212
            < NOERROR qr aa rd
            + Example.ORG. 0 IN A 10.240.0.1
            + _udp.Example.ORG. 0 IN SRV 0 0 40212 .";
        check([PLUGIN], "whoami", script);
    }

    #[test]
    fn takes_no_arguments() {
        let told = "plugin/whoami: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'example.org'";
        check_config([PLUGIN], "whoami example.org", told);
    }
}
