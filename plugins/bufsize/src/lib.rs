//! *bufsize* lowers the UDP size that clients offer, for what comes after it and for the reply.

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("bufsize", setup);

/// The size without an argument, octets: what fits every path (DNS flag day 2020).
const SIZE_DEFAULT: u16 = 1232;
/// The smallest size, octets (RFC 6891 section 6.2.3).
const SIZE_MIN: u16 = 512;
/// The largest size, octets (RFC 6891 section 6.2.5).
const SIZE_MAX: u16 = 4096;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let size = parse(&mut cx.cursor())?;
    cx.link(Bufsize { size });
    Ok(())
}

/// CoreDNS reads the first use only.
fn parse(words: &mut Cursor<'_>) -> Result<u16, Diagnostic> {
    words.next();
    // CoreDNS: the plugin's name stands twice in front of its errors.
    let fault = |words: &Cursor<'_>| words.arg_err().with_prefix("bufsize");
    match words.remaining_args()[..] {
        [] => Ok(SIZE_DEFAULT),
        [size] => match size.parse() {
            Ok(size @ SIZE_MIN..=SIZE_MAX) => Ok(size),
            _ => Err(fault(words).with_label(format!("a number from {SIZE_MIN} to {SIZE_MAX}"))),
        },
        _ => Err(fault(words)),
    }
}

struct Bufsize {
    size: u16,
}

#[async_trait]
impl Plugin for Bufsize {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if let Some(edns) = q.edns_mut() {
            edns.udp_size = edns.udp_size.min(self.size);
        }
        next.run(q).await
    }
}

#[cfg(test)]
mod tests {
    use super::PLUGIN;
    use catena_core::Fixed;
    use catena_core::prelude::*;
    use catena_testkit::{check, check_config};

    const NOTHING: PluginDef = PluginDef::new("nothing", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
        Ok(())
    });

    fn size_told(argument: &str, offered: u16) -> u16 {
        let kit = catena_testkit::Kit::of([PLUGIN, NOTHING], &format!("bufsize {argument}\nnothing"));
        kit.ask(&catena_testkit::Ask::new("example.org A").edns(offered, false)).edns.map_or(0, |edns| edns.0)
    }

    #[test]
    fn a_larger_size_is_lowered_and_a_smaller_one_stays() {
        assert_eq!(size_told("1000", 4096), 1000);
        assert_eq!(size_told("1000", 700), 700);
        assert_eq!(size_told("", 4096), 1232);
    }

    #[test]
    fn the_limits_themselves_are_taken() {
        assert_eq!(size_told("512", 4096), 512);
        assert_eq!(size_told("4096", 5000), 4096);
    }

    #[test]
    fn a_query_without_edns_stays_so() {
        check([PLUGIN, NOTHING], "bufsize\nnothing", "> example.org A\n < NOERROR qr rd");
    }

    #[test]
    fn sizes_beyond_the_limits_are_errors() {
        for size in ["511", "4097", "x", "-1", "1232 4096"] {
            let word = size.split(' ').next_back().unwrap_or(size);
            let told = format!(
                "plugin/bufsize: plugin/bufsize: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after '{word}'"
            );
            check_config([PLUGIN], &format!("bufsize {size}"), &told);
        }
    }
}
