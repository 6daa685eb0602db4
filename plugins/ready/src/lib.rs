//! *ready* tells over HTTP whether all plugins that take time to be useful have become so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use catena_core::prelude::*;
use catena_core::{BindFailure, HttpReply, HttpSite, Log, Readiness, SiteClose};
use catena_gocompat::address::{listen_address, port_fault};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("ready", setup);

const ADDR_DEFAULT: &str = ":8181";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = parse(&mut cx.cursor())?;
    if let (Some(fault), Some(span)) = (port_fault(&config.addr), config.span) {
        // CoreDNS goes on without the page and says nothing.
        cx.warn(Diagnostic::warning(format!("plugin/ready: there will be no page: {fault}")).with_span(span));
    }
    let watched = cx.shared::<Watched>();
    // CoreDNS: the last block that has the directive decides for all.
    watched.continuously.store(config.continuously, Ordering::Relaxed);
    let of_block = Arc::clone(&watched);
    cx.on_linked(move |linked| {
        for (plugin, readiness) in linked.readiness() {
            of_block.add(plugin, Arc::clone(readiness));
        }
        Ok(())
    });
    let log = cx.log();
    cx.http(HttpSite {
        plugin: "ready",
        addr: config.addr,
        path: "/ready",
        handler: Arc::new(move || respond(&watched, &log)),
        tls: None,
        on_failure: BindFailure::Silent,
        close: SiteClose::Before,
        span: config.span,
    });
    Ok(())
}

struct Config {
    addr: String,
    span: Option<catena_core::Span>,
    continuously: bool,
}

fn parse(words: &mut Cursor<'_>) -> Result<Config, Diagnostic> {
    let mut config = Config { addr: ADDR_DEFAULT.to_owned(), span: None, continuously: false };
    words.next();
    config.span = words.span();
    if let Some(addr) = listen_address(words)? {
        config.addr = addr.text.to_string();
        config.span = Some(addr.span);
    }
    while words.next_block() {
        if words.val() != "monitor" {
            return Err(words.unknown_property(&["monitor"]));
        }
        config.continuously = match words.remaining_args()[..] {
            ["until-ready"] => false,
            ["continuously"] => true,
            [other] => {
                let fault = words.err(format!("monitor type '{other}' not supported"));
                return Err(words.with_nearest(fault, &["until-ready", "continuously"]));
            }
            _ => return Err(words.arg_err()),
        };
    }
    if words.next() {
        return Err(words.plain_err("this plugin can only be used once per Server Block"));
    }
    Ok(config)
}

/// The plugins that are asked, those of all server blocks that have the directive.
#[derive(Default)]
struct Watched {
    continuously: AtomicBool,
    plugins: Mutex<BTreeMap<&'static str, Vec<Asked>>>,
}

/// A plugin of one server block.
struct Asked {
    readiness: Arc<dyn Readiness>,
    was_ready: bool,
}

impl Watched {
    fn add(&self, plugin: &'static str, readiness: Arc<dyn Readiness>) {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.entry(plugin).or_default().push(Asked { readiness, was_ready: false });
    }

    /// The names of plugins that are not ready, sorted. One that was ready is not asked again, unless that is wished.
    fn unready(&self) -> Vec<&'static str> {
        let ask_again = self.continuously.load(Ordering::Relaxed);
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unready = Vec::new();
        for (name, blocks) in plugins.iter_mut() {
            let mut all = true;
            for asked in blocks {
                if !asked.was_ready || ask_again {
                    asked.was_ready = asked.readiness.ready();
                }
                all &= asked.was_ready;
            }
            if !all {
                unready.push(*name);
            }
        }
        unready
    }
}

fn respond(watched: &Watched, log: &Log) -> HttpReply {
    let unready = watched.unready().join(",");
    if unready.is_empty() {
        return HttpReply::text(200, "OK");
    }
    log.info(format_args!("Plugins not ready: {unready:?}"));
    HttpReply::text(503, unready)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_testkit::{Kit, Recipe, check_config};
    use std::sync::atomic::AtomicU64;

    /// A plugin whose occurrences are ready from the second, third... time on that they are asked, as their argument says.
    const SLOW: PluginDef = PluginDef::new("slow", |cx| {
        let mut words = cx.cursor();
        words.next();
        let (from, to) = words.one_arg()?.split_once('-').unwrap();
        let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
        let asked = AtomicU64::new(0);
        cx.readiness(Arc::new(move || (from..to).contains(&asked.fetch_add(1, Ordering::Relaxed))));
        Ok(())
    });
    const NEVER: PluginDef = PluginDef::new("never", |cx| {
        cx.readiness(Arc::new(|| false));
        Ok(())
    });

    fn kit(corefile: &str) -> Kit {
        Recipe::new([PLUGIN, SLOW, NEVER], corefile).build().ok().unwrap()
    }

    fn ask(kit: &Kit) -> (u16, String) {
        let reply = kit.http("/ready");
        (reply.status, String::from_utf8(reply.body).unwrap())
    }

    #[test]
    fn nobody_to_wait_for_is_ready() {
        assert_eq!(ask(&kit(". {\n ready\n}")), (200, "OK".to_owned()));
    }

    #[test]
    fn plugins_that_are_not_ready_are_named_in_order_and_logged() {
        let kit = kit(". {\n ready\n slow 1-9\n never\n}");
        assert_eq!(ask(&kit), (503, "never,slow".to_owned()));
        assert_eq!(kit.log.lines(), ["[INFO] plugin/ready: Plugins not ready: \"never,slow\""]);
        assert_eq!(ask(&kit), (503, "never".to_owned()));
    }

    #[test]
    fn what_was_ready_once_stays_so_unless_it_is_watched_continuously() {
        let once = kit(". {\n ready\n slow 0-1\n}");
        let always = kit(". {\n ready {\n monitor continuously\n }\n slow 0-1\n}");
        assert_eq!((ask(&once).0, ask(&always).0), (200, 200));
        assert_eq!((ask(&once).0, ask(&always).0), (200, 503));
    }

    #[test]
    fn only_blocks_with_the_directive_take_part_and_every_one_of_them_does() {
        let kit = kit("a. {\n ready\n slow 0-9\n}\nb. {\n never\n}\nc. {\n ready\n slow 1-9\n}");
        assert_eq!(ask(&kit), (503, "slow".to_owned()));
        assert_eq!(ask(&kit).0, 200);
    }

    #[test]
    fn a_port_that_is_no_number_is_told_by_the_check() {
        let warning = "plugin/ready: there will be no page: listen tcp: address foo: invalid port";
        assert_eq!(kit(". {\n ready :foo\n}").warnings, [warning]);
        assert_eq!(kit(". {\n ready :8181\n}").warnings, [""; 0]);
    }

    #[test]
    fn faults_are_told() {
        let parsing = "Corefile:2 - Error during parsing:";
        for (body, told) in [
            ("ready\nready", "this plugin can only be used once per Server Block"),
            ("ready foo", "address foo: missing port in address"),
        ] {
            check_config([PLUGIN], body, &format!("plugin/ready: {told}"));
        }
        let count = "Wrong argument count or unexpected line ending after";
        check_config([PLUGIN], "ready :1 :2", &format!("plugin/ready: {parsing} {count} ':2'"));
        let third = "plugin/ready: Corefile:3 - Error during parsing:";
        for (body, told) in [
            ("ready {\n monitor never\n}", "monitor type 'never' not supported"),
            ("ready {\n other\n}", "unknown property 'other'"),
            ("ready {\n monitor\n}", &format!("{count} 'monitor'")),
        ] {
            check_config([PLUGIN], body, &format!("{third} {told}"));
        }
    }
}
