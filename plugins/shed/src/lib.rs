//! *shed* keeps the replies by UDP that wait for a socket few and fresh, and drops queries while there is no room for their replies.
//!
//! The queue itself belongs to the socket; here a query is dropped that would only put another reply out.

mod metrics;

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Protocol, ReplyQueue, Service, StartContext, Transport};

use crate::metrics::Metrics;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("shed", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let words = parse(cx.cursor())?;
    if let Some(key) = cx.keys().iter().find(|key| key.transport != Transport::Dns) {
        let shown = catena_gocompat::quote::quote(&key.to_string());
        return Err(words
            .err(format!("only plain DNS server blocks are supported; {shown} uses transport \"{}\"", key.transport)));
    }
    let metrics = Arc::new(Metrics::of(cx.metrics()));
    cx.block_settings().sockets.reply_queue = Some(ReplyQueue { dropped: metrics.dropped.clone() });
    cx.service(Arc::new(Series(Arc::clone(&metrics))));
    cx.link(Shed { metrics });
    Ok(())
}

fn parse(mut words: Cursor<'_>) -> Result<Cursor<'_>, Diagnostic> {
    let mut is_again = false;
    while words.next() {
        if std::mem::replace(&mut is_again, true) {
            return Err(words.plain_err("this plugin can only be used once per Server Block"));
        }
        if !words.remaining_args().is_empty() {
            return Err(words.arg_err());
        }
        if words.next_block() {
            return Err(words.err("shed takes no options"));
        }
    }
    Ok(words)
}

/// Shows the series of every address before anything is dropped.
struct Series(Arc<Metrics>);

#[async_trait]
impl Service for Series {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        for addr in cx.listen {
            self.0.show(&addr.to_string());
        }
        Ok(())
    }
}

struct Shed {
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Plugin for Shed {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if q.protocol() == Protocol::Udp && q.arrival().is_crowded {
            self.metrics.count_query(q);
            return Reply::silence();
        }
        next.run(q).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::{Fixed, finish};
    use catena_testkit::{Ask, Kit, Recipe, check, check_config};

    const ANSWER: PluginDef = PluginDef::new("answer", |cx| {
        cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
        Ok(())
    });

    /// Whether a query by this protocol, come to a full queue, gets a reply.
    fn replies(kit: &Kit, protocol: Protocol) -> bool {
        let mut query = kit.query(0, &Ask::new("example.org A"));
        query.arrival_mut().protocol = protocol;
        query.arrival_mut().is_crowded = true;
        let env = Arc::clone(query.env());
        let reply = kit.run(env.instance.serve(&mut query));
        finish(&mut query, reply, &mut Vec::new()).is_send()
    }

    #[test]
    fn without_load_nothing_changes_and_the_series_are_there() {
        check(
            [PLUGIN, ANSWER],
            "shed\nanswer",
            r#"
            > example.org A
            < NOERROR qr rd
            > example.org A tcp
            < NOERROR qr rd
            metric coredns_shed_dropped_total{reason="query",server="dns://:53"} 0
            metric coredns_shed_dropped_total{reason="response",server="dns://:53"} 0"#,
        );
    }

    #[test]
    fn a_query_that_comes_to_a_full_queue_gets_nothing_by_udp_and_is_counted() {
        let kit = Kit::of([PLUGIN, ANSWER], "shed\nanswer");
        assert!(!replies(&kit, Protocol::Udp));
        assert!(replies(&kit, Protocol::Tcp));
        let dropped = kit.metrics.counter("coredns_shed_dropped_total", "", &["server", "reason"]);
        assert!((dropped.with_label_values(&["dns://:53", "query"]).get() - 1.0).abs() < 0.5);
    }

    #[test]
    fn blocks_without_it_are_answered_whatever_the_queue() {
        let kit = Kit::of([PLUGIN, ANSWER], "answer");
        assert!(replies(&kit, Protocol::Udp));
    }

    #[test]
    fn one_block_is_enough_for_the_queue_of_an_address() {
        let corefile = "a:53 {\n shed\n}\nb:53 {\n}\nc:54 {\n}";
        let Ok(kit) = Recipe::new([PLUGIN], corefile).build() else { panic!("does not build") };
        let has: Vec<bool> = kit.instance().listeners().iter().map(|at| at.sockets.reply_queue.is_some()).collect();
        assert_eq!(has, [true, false]);
    }

    #[test]
    fn takes_no_words_and_is_used_once() {
        let at = "plugin/shed: Corefile:2 - Error during parsing:";
        let wrong = "Wrong argument count or unexpected line ending after '100'";
        check_config([PLUGIN], "shed 100", &format!("{at} {wrong}"));
        let at = at.replace(":2", ":3");
        check_config([PLUGIN], "shed {\n depth 10\n}", &format!("{at} shed takes no options"));
        check_config([PLUGIN], "shed\nshed", "plugin/shed: this plugin can only be used once per Server Block");
    }

    #[test]
    fn is_for_plain_dns_alone() {
        let Err(errors) = Recipe::new([PLUGIN], "dns://a:53 tls://example.org:853 {\n shed\n}").build() else {
            panic!("builds")
        };
        assert_eq!(
            errors[0].0.one_line(),
            "plugin/shed: Corefile:2 - Error during parsing: only plain DNS server blocks are supported; \
             \"tls://example.org.:853\" uses transport \"tls\""
        );
    }
}
