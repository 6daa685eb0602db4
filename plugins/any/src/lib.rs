//! *any* answers queries of type ANY with one HINFO record, so that nobody gets all there is about a name.

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("any", setup);

/// The TTL of the record, seconds: the number of the RFC that describes it.
const TTL: u32 = 8482;
/// Its rdata: two character strings, CPU and OS (RFC 1035 section 3.3.2).
const HINFO: &[u8] = b"\x0dANY obsoleted\x0cSee RFC 8482";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    words.no_more_args()?;
    cx.link(Any);
    Ok(())
}

struct Any;

#[async_trait]
impl Plugin for Any {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if q.qtype() != Rtype::ANY {
            return next.run(q).await;
        }
        let mut answer = Answer::to(q);
        answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::HINFO, Class::IN, TTL, HINFO);
        answer.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_testkit::{check, check_config};

    #[test]
    fn a_query_for_everything_gets_one_record_in_the_case_of_the_question() {
        let script = r#"
            > A.example.ORG ANY
            < NOERROR qr rd
            = A.example.ORG. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"
            > a.example.org ANY tcp
            = a.example.org. 8482 IN HINFO "ANY obsoleted" "See RFC 8482""#;
        check([PLUGIN], "any", script);
    }

    #[test]
    fn other_types_pass() {
        check([PLUGIN], "any", "> example.org HINFO\n < SERVFAIL qr rd");
    }

    #[test]
    fn takes_neither_arguments_nor_a_block() {
        let at = "plugin/any: Corefile:2 - Error during parsing:";
        let told = format!("{at} Wrong argument count or unexpected line ending after 'x'");
        check_config([PLUGIN], "any x", &told);
        check_config([PLUGIN], "any {\nx\n}", &format!("{at} Unexpected token '{{', expecting argument"));
    }
}
