//! What a list of a million names takes and costs: `cargo run --release -p catena-plugin-blocklist --example size`.

#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_macros)]

use std::fmt::Write as _;
use std::time::Instant;

use catena_core::prelude::*;
use catena_core::{Fixed, PluginDef};
use catena_plugin_blocklist::PLUGIN;
use catena_testkit::{Ask, Kit, Recipe};

const NAMES: usize = 1_000_000;
const ROUNDS: usize = 400_000;
/// Different names that are asked for, more than a processor's cache has places for.
const QUERIES: usize = 20_000;

const LAST: PluginDef = PluginDef::new("last", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
    Ok(())
});

/// The octets of memory that the process has, and the most that it had.
fn memory() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Names as long as those of public lists: about 22 octets.
fn name(number: usize) -> String {
    format!("ad{:x}.host{}.test", number.wrapping_mul(2_654_435_761) & 0xf_ffff, number / 16)
}

fn kit(body: &str) -> Kit {
    let corefile = format!(". {{\n{body}\nlast\n}}\n");
    Recipe::new([PLUGIN, LAST], &corefile).build().map_err(|_| "does not build").unwrap()
}

/// Nanoseconds that a query takes which no list has.
fn per_query(kit: &Kit) -> f64 {
    let instance = kit.instance();
    let mut queries: Vec<Query> = (0..QUERIES)
        .map(|number| kit.query(0, &Ask::new(&format!("www.site{number}.shop{number}.example.com A"))))
        .collect();
    let started = Instant::now();
    kit.run(async {
        for round in 0..ROUNDS {
            let q = &mut queries[round % QUERIES];
            let reply = instance.serve(q).await;
            if let catena_core::Body::Answer(answer) = reply.body {
                q.recycle(answer);
            }
        }
    });
    started.elapsed().as_nanos() as f64 / ROUNDS as f64
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (folder.path().join("large"), folder.path().join("small"));
    let mut text = String::new();
    for number in 0..NAMES {
        writeln!(text, "{}", name(number)).unwrap();
    }
    println!("file: {:.1} MB, {:.1} octets a name", text.len() as f64 / 1e6, text.len() as f64 / NAMES as f64 - 1.0);
    std::fs::write(&large, &text).unwrap();
    std::fs::write(&small, "one.example.net\n").unwrap();
    drop(text);
    let none = kit("");
    let one = kit(&format!("blocklist {{\nlist {}\n}}", small.display()));
    let before = memory();
    let started = Instant::now();
    let all = kit(&format!("blocklist {{\nlist {}\n}}", large.display()));
    let took = started.elapsed();
    let after = memory();
    println!("memory: {:.1} MB more", (after.0 - before.0) as f64 / 1e6);
    println!("most memory so far: {:.1} MB before, {:.1} MB after", before.1 as f64 / 1e6, after.1 as f64 / 1e6);
    println!("reading: {:.0} ms", took.as_secs_f64() * 1e3);
    println!("entries: {:?}", all.metric("coredns_blocklist_entries{list=\"large\"}"));
    for (what, kit) in [("no blocklist", &none), ("a list of one", &one), ("a list of a million", &all)] {
        println!("{what}: {:.0} ns a query", per_query(kit));
    }
    assert_eq!(all.ask_for(&format!("x.{} A", name(7))).rcode, "NXDOMAIN");
}
