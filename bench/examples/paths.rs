//! `paths NAME COUNT`: walks one of the hot paths so often, always with the same input. `catena-bench instructions` counts what that takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::disallowed_macros
)]

use std::fmt::Write as _;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use catena_core::{Answer, Arrival, Intake, PluginDef, Protocol, Rtype, Section, Transport, finish};
use catena_testkit::{Ask, Kit, Recipe};

/// The names of zone and cluster.
const NAMES: usize = 1_000;

/// The plugins of kubeadm's Corefile that a query passes before its answer is found in the cache, and a source behind it.
const KUBEADM: [PluginDef; 5] = [
    catena_plugin_prometheus::PLUGIN,
    catena_plugin_errors::PLUGIN,
    catena_plugin_loadbalance::PLUGIN,
    catena_plugin_cache::PLUGIN,
    catena_plugin_file::PLUGIN,
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let count = args.get(2).and_then(|text| text.parse().ok()).expect("paths NAME COUNT");
    match args[1].as_str() {
        "read" => read(count),
        "kubeadm-hit" => {
            walk(&kit(KUBEADM, "errors\nprometheus 127.0.0.1:0\nloadbalance\ncache 30\nfile /zone"), &zone_name, count)
        }
        "zone" => walk(&kit([catena_plugin_file::PLUGIN], "file /zone"), &zone_name, count),
        "kubernetes" => kubernetes(count),
        "finish" => write(count),
        other => panic!("no path `{other}`"),
    }
}

fn zone_name(number: usize) -> String {
    format!("n{number:04}.example.test")
}

fn kit(plugins: impl IntoIterator<Item = PluginDef>, body: &str) -> Kit {
    let mut zone = String::from(
        "$ORIGIN example.test.\n$TTL 3600\n@ IN SOA ns admin 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n",
    );
    for number in 0..NAMES {
        writeln!(zone, "n{number:04} IN A 10.0.{}.{}", number >> 8, number & 255).unwrap();
    }
    // Zone files are read from the disk, and once.
    let path = std::env::temp_dir().join(format!("catena-paths-{}.zone", std::process::id()));
    std::fs::write(&path, &zone).unwrap();
    let body = body.replace("/zone", &format!("{} example.test {{\nreload 0\n}}", path.display()));
    let built = Recipe::new(plugins, &format!(". {{\n{body}\n}}\n")).build();
    std::fs::remove_file(&path).unwrap();
    built.unwrap_or_else(|faults| panic!("{}", faults.into_iter().map(|(_, text)| text).collect::<String>()))
}

fn arrival(kit: &Kit, ask: &Ask) -> Arrival {
    Arrival {
        client: ask.client,
        local: ask.local,
        protocol: Protocol::Udp,
        transport: Transport::Dns,
        listener: 0,
        received: catena_core::Clock::now(&*kit.clock),
        is_crowded: false,
    }
}

fn ask(name: &str) -> Ask {
    Ask::new(&format!("{name} A")).edns(1232, false)
}

/// A message becomes a query.
fn read(count: usize) {
    let kit = kit([catena_plugin_file::PLUGIN], "file /zone");
    let ask = ask("n0001.example.test");
    let (message, arrival) = (ask.message(), arrival(&kit, &ask));
    let mut query = kit.query(0, &ask);
    for _ in 0..count {
        assert_eq!(black_box(query.read(black_box(&message), arrival.clone())), Intake::Serve);
    }
}

/// From the message to the octets of the reply, each name in turn; all were asked for once before.
fn walk(kit: &Kit, name: &dyn Fn(usize) -> String, count: usize) {
    let asks: Vec<Ask> = (0..NAMES).map(|number| ask(&name(number))).collect();
    let messages: Vec<Vec<u8>> = asks.iter().map(Ask::message).collect();
    let arrival = arrival(kit, &asks[0]);
    let mut query = kit.query(0, &asks[0]);
    let instance = Arc::clone(kit.instance());
    let mut out = Vec::new();
    for at in 0..NAMES + count {
        assert_eq!(query.read(&messages[at * 7919 % NAMES], arrival.clone()), Intake::Serve);
        let reply = ready(instance.serve(&mut query));
        finish(&mut query, reply, &mut out);
        assert!(out[3] & 15 == 0 && out[7] > 0, "{} has no answer", asks[at * 7919 % NAMES].message().len());
    }
}

/// An answer that is there becomes octets.
fn write(count: usize) {
    let kit = kit([catena_plugin_file::PLUGIN], "file /zone");
    let mut query = kit.query(0, &ask("n0001.example.test"));
    let mut out = Vec::new();
    for _ in 0..count {
        let mut answer = Answer::to(&mut query);
        for last in 1..=4 {
            answer.push_address(Section::Answer, query.name(), query.qclass(), 30, [192, 0, 2, last].into());
        }
        finish(&mut query, answer.into(), &mut out);
        assert_eq!((out[7], query.qtype()), (4, Rtype::A));
    }
}

/// Services of a cluster that lies in files.
fn kubernetes(count: usize) {
    let folder = std::env::temp_dir().join(format!("catena-paths-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::from("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n");
    for number in 0..NAMES {
        write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: s{number:04}\n  namespace: default\nspec:\n  clusterIP: 10.1.{}.{}\n  \
             clusterIPs: [10.1.{}.{}]\n  ports:\n  - name: http\n    port: 80\n    protocol: TCP\n",
            number >> 8,
            number & 255,
            number >> 8,
            number & 255
        )
        .unwrap();
    }
    std::fs::write(folder.join("services.yaml"), text).unwrap();
    let kit = kit(
        [catena_plugin_kubernetes::PLUGIN],
        &format!("kubernetes cluster.local {{\n manifests {}\n}}", folder.display()),
    );
    walk(&kit, &|number| format!("s{number:04}.default.svc.cluster.local"), count);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What a future gives that does not wait.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
