//! What a large cluster costs: time to ready, memory, CPU for a look-up.

pub(crate) mod api;
mod load;
mod process;
pub(crate) mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Outcome;
use crate::process::pin_myself;
use api::Api;
use process::Server;
use world::{Kind, World};

/// The core of the server under measurement, and that of API server and load.
const CORES: (&str, &str) = ("0", "1");
/// How often a start is measured; the median counts.
const STARTS: usize = 3;
/// How long memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(3);
/// How long queries are asked before, and while, CPU is counted.
const LOAD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// How long a list of everything may take after a restart.
const RELIST_MAX: Duration = Duration::from_secs(120);
/// The sizes: so many Services of [`ENDPOINTS`] endpoints.
const SIZES: [usize; 2] = [5_000, 20_000];
const ENDPOINTS: usize = 10;
const PODS: usize = 20_000;

/// The server block of kubeadm, on loopback, without `lameduck`: `cache` lets the cluster's names pass.
const COREFILE: &str = ".:@PORT@ {
    bind 127.0.0.1
    errors
    health 127.0.0.1:0
    ready 127.0.0.1:@READY@
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint http://@API@
        pods @PODS@
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:0
    forward . 127.0.0.1:9
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    reload
    loadbalance
}
";

/// What was measured of one binary in one world.
struct Figures {
    ready: Duration,
    steady: u64,
    peak: u64,
    /// CPU a query; none if nobody asked.
    query: Option<Duration>,
}

/// Measures `target/release/catena` or the file of `CATENA`, and that of `COREDNS` beside it.
pub(crate) fn run(root: &Path, options: &[&str]) -> Outcome {
    let quick = match options {
        [] => false,
        ["--quick"] => true,
        _ => return Err(vec!["usage: [CATENA=PATH] [COREDNS=PATH] catena-bench cluster [--quick]".to_owned()]),
    };
    measure_all(root, quick).map_err(|fault| vec![fault])
}

fn measure_all(root: &Path, quick: bool) -> Result<String, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let catena = std::env::var_os("CATENA").map_or_else(|| target.join("release/catena"), PathBuf::from);
    let mut binaries = vec![("catena", catena)];
    binaries.extend(std::env::var_os("COREDNS").map(|path| ("coredns", PathBuf::from(path))));
    for (_, path) in &binaries {
        if !path.is_file() {
            return Err(format!("{} is not there; `cargo build --release` makes it", path.display()));
        }
    }
    pin_myself(CORES.1)?;
    let folder = std::env::temp_dir().join(format!("catena-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut text = String::from(
        "The API server speaks JSON to both; CoreDNS would take protobuf of a real one, in less time and memory.\n",
    );
    for (name, binary) in &binaries {
        let told = measure(name, binary, &folder, quick);
        text.push_str(&told.map_err(|fault| format!("{name}: {fault}"))?);
    }
    // A folder that stays behind in the temporary directory harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(text)
}

#[allow(clippy::cast_precision_loss)]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

#[allow(clippy::cast_precision_loss)]
fn measure(name: &str, binary: &Path, folder: &Path, quick: bool) -> Result<String, String> {
    let mut text = String::new();
    let mut worlds = Vec::new();
    for services in SIZES.into_iter().take(if quick { 1 } else { SIZES.len() }) {
        let world = World { services, endpoints: ENDPOINTS, pods: 0 };
        let found = one(binary, folder, world, "insecure", true)?;
        text.push_str(&format!(
            "{name:8} {services:6} x {ENDPOINTS}: ready {:.2} s, RSS {:.1} MB, peak of a re-list {:.1} MB ({:.2} of steady), {:.1} us of CPU a look-up\n",
            found.ready.as_secs_f64(),
            mega(found.steady),
            mega(found.peak),
            found.peak as f64 / found.steady as f64,
            found.query.unwrap_or_default().as_secs_f64() * 1e6,
        ));
        worlds.push(found);
    }
    if let [small, large] = &worlds[..] {
        let more = (SIZES[1] - SIZES[0]) * ENDPOINTS;
        let each = large.steady.saturating_sub(small.steady) as f64 / more as f64;
        text.push_str(&format!(
            "{name:8} memory grows by {each:.0} bytes an endpoint, its Service and slice included\n"
        ));
    }
    let world = World { services: SIZES[0], endpoints: ENDPOINTS, pods: PODS };
    let verified = one(binary, folder, world, "verified", false)?;
    let without = worlds.first().map_or(0, |small| small.steady);
    text.push_str(&format!(
        "{name:8} pods verified, {PODS} pods: RSS {:.1} MB, {:+.1} MB; peak of a re-list {:.1} MB\n",
        mega(verified.steady),
        mega(verified.steady) - mega(without),
        mega(verified.peak)
    ));
    Ok(text)
}

/// Measures one world: starts, steady memory, load if it is wanted, and a restart of the API.
fn one(binary: &Path, folder: &Path, world: World, pods: &str, loaded: bool) -> Result<Figures, String> {
    let mut kinds = vec![Kind::Namespaces, Kind::Services, Kind::Slices];
    kinds.extend((pods == "verified").then_some(Kind::Pods));
    let api = Api::start(world).map_err(|error| error.to_string())?;
    let corefile = COREFILE.replace("@API@", &api.addr).replace("@PODS@", pods);
    let start = || Server::start(binary, CORES.0, &corefile, folder);
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        starts.push(start()?.ready);
    }
    api.restart();
    let server = start()?;
    starts.push(server.ready);
    starts.sort_unstable();
    if !api.wait_listed(&kinds, RELIST_MAX) {
        return Err("the objects were not listed".to_owned());
    }
    std::thread::sleep(SETTLE);
    let steady = server.memory("VmRSS")?;
    server.forget_peak()?;
    api.restart();
    if !api.wait_listed(&kinds, RELIST_MAX) {
        return Err("the objects were not listed again after the restart of the API".to_owned());
    }
    std::thread::sleep(SETTLE);
    let peak = server.memory("VmHWM")?;
    let query = if loaded { Some(cost(&server, world.services)?) } else { None };
    Ok(Figures { ready: starts[starts.len() / 2], steady, peak, query })
}

/// CPU a query.
fn cost(server: &Server, services: usize) -> Result<Duration, String> {
    load::ask(server.port, services, LOAD.0)?;
    let before = server.cpu()?;
    let answered = load::ask(server.port, services, LOAD.1)?;
    let spent = server.cpu()?.saturating_sub(before);
    Ok(Duration::from_secs_f64(spent.as_secs_f64() / f64::from(u32::try_from(answered).unwrap_or(u32::MAX))))
}
