//! A server with a plugin of its own: *sinkhole* answers names on a list with NXDOMAIN.
//!
//! `cargo run -p example-custom-plugin -- -conf examples/custom-plugin/Corefile`

use std::process::ExitCode;

use catena_core::prelude::*;

/// The entry for the plugin list.
const SINKHOLE: PluginDef = PluginDef::new("sinkhole", setup);

fn main() -> ExitCode {
    catena::main(catena::stock().before("cache", SINKHOLE))
}

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    let mut names = Vec::new();
    while words.next() {
        let line = words.remaining_args();
        if line.is_empty() {
            return Err(words.arg_err());
        }
        names.extend(line);
    }
    cx.link(Sinkhole { zones: Zones::from_args(names) });
    Ok(())
}

struct Sinkhole {
    zones: Zones,
}

#[async_trait]
impl Plugin for Sinkhole {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if self.zones.longest(q.lower().as_slice(), q.question().labels()).is_none() {
            return next.run(q).await;
        }
        Answer::to(q).with_rcode(Rcode::NXDOMAIN).into()
    }
}

#[cfg(test)]
mod tests {
    use super::SINKHOLE;
    use catena_testkit::{check, check_config};

    #[test]
    fn names_on_the_list_do_not_exist() {
        check([SINKHOLE], "sinkhole ads.example.org", "> a.ADS.example.org A\n < NXDOMAIN qr rd");
    }

    #[test]
    fn other_names_pass() {
        check([SINKHOLE], "sinkhole ads.example.org", "> www.example.org A\n < SERVFAIL qr rd");
    }

    #[test]
    fn needs_a_name() {
        let told = "plugin/sinkhole: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'sinkhole'";
        check_config([SINKHOLE], "sinkhole", told);
    }
}
