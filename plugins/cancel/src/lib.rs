//! *cancel* gives queries a deadline after which no plugin starts anything new for them.

use std::time::Duration;

use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::quote::quote;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("cancel", setup);

/// How long a query has if the Corefile does not say: a little more than clients wait.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(5001);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    let mut timeout = DEFAULT_TIMEOUT;
    while words.next() {
        timeout = match words.remaining_args()[..] {
            [] => DEFAULT_TIMEOUT,
            [arg] => read(arg).map_err(|told| words.plain_err(told))?,
            _ => return Err(words.arg_err()),
        };
    }
    cx.link(Cancel(timeout));
    Ok(())
}

/// Reads a time above zero.
fn read(arg: &str) -> Result<Duration, String> {
    let span = GoDuration::parse(arg).map_err(|_| format!("invalid duration: {}", quote(arg)))?;
    let positive = span.to_std().filter(|span| !span.is_zero());
    positive.ok_or_else(|| format!("invalid negative duration: {}", quote(arg)))
}

struct Cancel(Duration);

#[async_trait]
impl Plugin for Cancel {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        // A deadline beyond the end of time is none.
        if let Some(deadline) = q.now().checked_add(self.0) {
            q.set_deadline(deadline);
        }
        next.run(q).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::Duration;

    use super::PLUGIN;
    use catena_core::Fixed;
    use catena_core::prelude::*;
    use catena_testkit::{Ask, Kit, check, check_config};

    /// Answers, also after the deadline.
    const BELOW: PluginDef = PluginDef::new("below", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| Answer::to(q).with_rcode(Rcode::NXDOMAIN).into()));
        Ok(())
    });

    /// Looks another name up, and gives what comes back.
    struct LooksUp;

    #[async_trait]
    impl Plugin for LooksUp {
        async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
            if q.is_internal() { next.run(q).await } else { q.lookup(q.name(), Rtype::A).await.unwrap() }
        }
    }
    const LOOKS_UP: PluginDef = PluginDef::new("looks_up", |cx: &mut Setup<'_>| {
        cx.link(LooksUp);
        Ok(())
    });

    /// Whether a query is overdue so many milliseconds after its chain began.
    fn is_overdue(body: &str, after_ms: u64) -> bool {
        let kit = Kit::of([PLUGIN, BELOW], &format!("{body}\nbelow"));
        let mut query = kit.query(0, &Ask::new("example.org A"));
        drop(kit.run(kit.instance().serve(&mut query)));
        kit.clock.advance(Duration::from_millis(after_ms));
        query.is_overdue()
    }

    #[test]
    fn a_query_is_overdue_after_the_given_time() {
        assert!(!is_overdue("cancel 100ms", 99));
        assert!(is_overdue("cancel 100ms", 100));
    }

    #[test]
    fn without_a_time_it_is_overdue_after_five_seconds() {
        assert!(!is_overdue("cancel", 5000));
        assert!(is_overdue("cancel", 5001));
    }

    #[test]
    fn the_last_of_several_counts() {
        assert!(!is_overdue("cancel 1ms\ncancel", 5000));
        assert!(is_overdue("cancel\ncancel 1ms", 1));
    }

    #[test]
    fn the_longest_time_is_taken() {
        assert!(!is_overdue("cancel 2562047h", 1_000_000));
    }

    #[test]
    fn a_query_without_it_is_never_overdue() {
        assert!(!is_overdue("", 1_000_000));
    }

    #[test]
    fn what_the_chain_says_is_the_reply() {
        check([PLUGIN, BELOW], "cancel 1ns\nbelow", "> example.org A\n< NXDOMAIN qr rd");
    }

    #[test]
    fn a_look_up_keeps_the_deadline_of_its_query() {
        let late = PluginDef::new("late", |cx: &mut Setup<'_>| {
            cx.link(Fixed(|q: &mut Query| {
                let rcode = if q.is_overdue() { Rcode::SERVFAIL } else { Rcode::NOERROR };
                Answer::to(q).with_rcode(rcode).into()
            }));
            Ok(())
        });
        // The clock stands still, so only a deadline that has passed already can be seen.
        let kit = Kit::of([PLUGIN, LOOKS_UP, late], "looks_up\nlate");
        let mut query = kit.query(0, &Ask::new("example.org A"));
        query.set_deadline(query.now());
        assert_eq!(kit.run(kit.instance().serve(&mut query)).rcode(), Some(Rcode::SERVFAIL));
    }

    #[test]
    fn wrong_times_are_told() {
        for arg in ["5", "soon", "1 s"] {
            let told = match arg {
                "1 s" => "plugin/cancel: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 's'".to_owned(),
                _ => format!("plugin/cancel: invalid duration: \"{arg}\""),
            };
            check_config([PLUGIN], &format!("cancel {arg}"), &told);
        }
        for arg in ["0s", "-1s"] {
            check_config(
                [PLUGIN],
                &format!("cancel {arg}"),
                &format!("plugin/cancel: invalid negative duration: \"{arg}\""),
            );
        }
    }
}
