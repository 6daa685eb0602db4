//! The rows: for each kind of work, everybody who can do it, side by side and several times.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::api::Api;
use crate::cluster::world::{World, service_name};
use crate::load::{Load, Measured};
use crate::peers::{self, Peer, Setting, Work};
use crate::process::{Server, free_port, pin_myself};
use crate::{report, wire};

/// The core of the server under measurement, and that of load and upstream.
const CORES: (usize, usize) = (0, 1);
/// The names of zone and cache.
const NAMES: usize = 10_000;
/// The names of the zone whose loading is timed.
const ZONE_NAMES: usize = 1_000_000;
const SERVICES: usize = 5_000;
const ENDPOINTS: usize = 10;

/// How long and how often is measured.
struct Effort {
    warm: Duration,
    load: Duration,
    paced: Duration,
    times: usize,
}

const FULL: Effort =
    Effort { warm: Duration::from_millis(1500), load: Duration::from_secs(3), paced: Duration::from_secs(2), times: 3 };
const QUICK: Effort = Effort {
    warm: Duration::from_millis(500),
    load: Duration::from_secs(1),
    paced: Duration::from_millis(500),
    times: 1,
};

/// A row of the table.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    work: Work,
    /// What Catena should not cost more than, as a multiple of the floor.
    pub(crate) goal: f64,
    /// How many echoes the floor is.
    pub(crate) echoes: f64,
}

/// All rows but that of loading a zone.
pub(crate) const ROWS: [Row; 5] = [
    Row { id: "cache", title: "Answer from a cache or store, short chain", work: Work::Cache, goal: 1.15, echoes: 1.0 },
    Row { id: "kubeadm", title: "The same behind kubeadm's chain", work: Work::Kubeadm, goal: 1.25, echoes: 1.0 },
    Row { id: "zone", title: "Authoritative zone, 10,000 names", work: Work::Zone, goal: 1.15, echoes: 1.0 },
    Row {
        id: "services",
        title: "A Kubernetes Service of 5,000, no cache",
        work: Work::Services,
        goal: 1.3,
        echoes: 1.0,
    },
    Row { id: "forward", title: "Forward, no cache", work: Work::Forward, goal: 1.15, echoes: 2.0 },
];

/// What was measured of one server: medians.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    /// CPU a query, microseconds.
    pub(crate) cpu_us: f64,
    /// Its cost over that of the floor measured with it.
    pub(crate) ratio: f64,
    pub(crate) rate: f64,
    /// At half of that rate, microseconds.
    pub(crate) latency_us: [usize; 3],
    /// Lost of a million queries.
    pub(crate) lost_ppm: f64,
    pub(crate) rss: u64,
}

/// How long a server took to load a large zone, and what it took.
pub(crate) struct Loaded {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    pub(crate) rss: u64,
}

struct Single {
    cpu_us: f64,
    load: Measured,
    paced: Measured,
    rss: u64,
}

struct Bench {
    peers: Vec<Peer>,
    setting: Setting,
    effort: Effort,
    log: PathBuf,
    /// Who could not be measured, and why.
    faults: Vec<String>,
}

/// Measures the rows that are named, or all.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let has = |option| options.contains(&option);
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let is_wanted = |id: &str| named.is_empty() || named.contains(&id);
    if let Some(name) = named.iter().find(|name| **name != "load" && !ROWS.iter().any(|row| row.id == **name)) {
        return Err(format!("no row `{name}`"));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let catena = std::env::var_os("CATENA").map_or_else(|| target.join("release/catena"), PathBuf::from);
    let coredns = std::env::var_os("COREDNS").map(PathBuf::from);
    for path in coredns.iter().chain([&catena]) {
        if !path.is_file() {
            return Err(format!("{} is not there; `cargo build --release` makes Catena", path.display()));
        }
    }
    pin_myself(CORES.1)?;
    let folder = std::env::temp_dir().join(format!("catena-bench-{}", std::process::id()));
    let done = measure_all(&folder, peers::installed(catena, coredns), has("--quick"), is_wanted);
    // A folder that stays behind in the temporary directory harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    let figures = done?;
    if has("--write") {
        report::write(root, &figures)?;
    }
    let mut text = report::text(&figures);
    figures.faults.iter().for_each(|fault| text.push_str(&format!("{fault}\n")));
    Ok(text)
}

/// Everything that was measured.
pub(crate) struct Figures {
    pub(crate) versions: Vec<(&'static str, String)>,
    pub(crate) rows: Vec<(&'static Row, Vec<Cell>)>,
    pub(crate) loaded: Vec<Loaded>,
    /// Who could not be measured, and why.
    pub(crate) faults: Vec<String>,
    pub(crate) times: usize,
}

fn measure_all(
    folder: &Path,
    peers: Vec<Peer>,
    quick: bool,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Figures, String> {
    std::fs::create_dir_all(folder.join("knot")).map_err(|error| format!("{}: {error}", folder.display()))?;
    let world = World { services: SERVICES, endpoints: ENDPOINTS, pods: 0 };
    let api = Api::start(world).map_err(|error| error.to_string())?;
    let setting = Setting {
        zone_file: zone(folder, NAMES)?,
        folder: folder.to_path_buf(),
        port: 0,
        upstream: free_port()?,
        api: api.addr.clone(),
    };
    let own = std::env::current_exe().map_err(|error| error.to_string())?.display().to_string();
    let echo = |port: u16| vec![own.clone(), "echo".to_owned(), port.to_string()];
    let _upstream = Server::start(CORES.1, &echo(setting.upstream), setting.upstream, &folder.join("upstream.log"))?;
    let versions = peers.iter().map(|peer| (peer.name, peer.version())).collect();
    let effort = if quick { QUICK } else { FULL };
    let mut bench = Bench { peers, setting, effort, log: folder.join("log"), faults: Vec::new() };
    let mut figures =
        Figures { versions, rows: Vec::new(), loaded: Vec::new(), faults: Vec::new(), times: bench.effort.times };
    for row in ROWS.iter().filter(|row| is_wanted(row.id)) {
        figures.rows.push((row, bench.row(row, &echo)?));
    }
    if is_wanted("load") {
        figures.loaded = bench.load_zone()?;
    }
    figures.faults = bench.faults;
    Ok(figures)
}

fn zone(folder: &Path, names: usize) -> Result<PathBuf, String> {
    let file = folder.join(format!("zone-{names}"));
    let mut text = String::from(
        "$ORIGIN example.test.\n$TTL 3600\n@ IN SOA ns.example.test. admin.example.test. 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n",
    );
    for number in 0..names {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "n{number:07} IN A 10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    }
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn queries(work: Work) -> Result<Vec<Vec<u8>>, String> {
    let count = if work == Work::Services { SERVICES } else { NAMES };
    // A step without a common divisor visits all of them, far apart.
    let numbers = (0..count).map(|at| at * 7919 % count);
    let name = |number| match work {
        Work::Services => format!("{}.cluster.local", service_name(number)),
        _ => format!("n{number:07}.example.test"),
    };
    numbers.map(|number| wire::query(&name(number), "A")).collect()
}

impl Bench {
    fn row(&mut self, row: &Row, echo: &dyn Fn(u16) -> Vec<String>) -> Result<Vec<Cell>, String> {
        let load = Load::new(queries(row.work)?);
        let mut rounds: Vec<Vec<(&'static str, Single)>> = Vec::new();
        for _ in 0..self.effort.times {
            let mut round = Vec::new();
            self.setting.port = free_port()?;
            round.push(("echo", self.one(&echo(self.setting.port), row, &load)?));
            for at in 0..self.peers.len() {
                self.setting.port = free_port()?;
                let Some(command) = self.peers[at].command(&self.setting, row.work)? else { continue };
                let name = self.peers[at].name;
                match self.one(&command, row, &load) {
                    Ok(single) => round.push((name, single)),
                    Err(fault) => self.faults.push(format!("{}: {name}: {fault}", row.id)),
                }
            }
            rounds.push(round);
        }
        Ok(medians(row, &rounds))
    }

    fn one(&self, command: &[String], row: &Row, load: &Load) -> Result<Single, String> {
        let mut server = Server::start(CORES.0, command, self.setting.port, &self.log)?;
        server.wait(&queries(row.work)?[0], &self.log)?;
        let port = server.port;
        load.run(port, self.effort.warm)?;
        let before = server.cpu();
        let full = load.run(port, self.effort.load)?;
        let spent = server.cpu().saturating_sub(before);
        let rss = server.rss();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let half = (full.rate() / 2.0) as u32;
        let paced = load.at(half.max(1)).run(port, self.effort.paced)?;
        if full.with_answer * 100 < full.answered * 99 {
            return Err(format!("too many replies without an answer: {full}"));
        }
        #[allow(clippy::cast_precision_loss)]
        let cpu_us = spent.as_secs_f64() * 1e6 / full.answered.max(1) as f64;
        Ok(Single { cpu_us, load: full, paced, rss })
    }

    /// Times how long everybody with zones takes for a large one.
    fn load_zone(&mut self) -> Result<Vec<Loaded>, String> {
        self.setting.zone_file = zone(&self.setting.folder, ZONE_NAMES)?;
        let last = wire::query(&format!("n{:07}.example.test", ZONE_NAMES - 1), "A")?;
        let mut loaded = Vec::new();
        for at in 0..self.peers.len() {
            let mut found = Vec::new();
            for _ in 0..self.effort.times {
                self.setting.port = free_port()?;
                let Some(command) = self.peers[at].command(&self.setting, Work::Zone)? else { break };
                let mut server = Server::start(CORES.0, &command, self.setting.port, &self.log)?;
                if let Err(fault) = server.wait(&last, &self.log) {
                    self.faults.push(format!("load: {}: {fault}", self.peers[at].name));
                    break;
                }
                found.push((server.ready.as_secs_f64(), server.rss()));
            }
            found.sort_by(|one, other| one.0.total_cmp(&other.0));
            if let Some((seconds, rss)) = found.get(found.len() / 2) {
                loaded.push(Loaded { name: self.peers[at].name, seconds: *seconds, rss: *rss });
            }
        }
        Ok(loaded)
    }
}

/// The floor of a round: so many echoes, or NSD where it is cheaper.
fn floor(row: &Row, round: &[(&'static str, Single)]) -> f64 {
    let costs = round.iter().filter(|(name, _)| matches!(*name, "echo" | "NSD")).map(|(_, single)| single.cpu_us);
    costs.fold(f64::INFINITY, f64::min) * row.echoes
}

fn median<T: Copy>(mut values: Vec<T>, compare: fn(&T, &T) -> std::cmp::Ordering) -> Option<T> {
    values.sort_by(compare);
    values.get(values.len() / 2).copied()
}

fn medians(row: &Row, rounds: &[Vec<(&'static str, Single)>]) -> Vec<Cell> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let cell = |name: &'static str| {
        let singles: Vec<(&Single, f64)> =
            rounds.iter().filter_map(|round| Some((find(round, name)?, floor(row, round)))).collect();
        let of = |figure: &dyn Fn(&Single, f64) -> f64| {
            median(singles.iter().map(|(single, floor)| figure(single, *floor)).collect(), f64::total_cmp)
                .unwrap_or(0.0)
        };
        let latency = |which: usize| {
            median(singles.iter().map(|(single, _)| single.paced.latency_us[which]).collect(), usize::cmp).unwrap_or(0)
        };
        Cell {
            name,
            cpu_us: of(&|single, _| single.cpu_us),
            ratio: of(&|single, floor| single.cpu_us / floor),
            rate: of(&|single, _| single.load.rate()),
            latency_us: [0, 1, 2].map(latency),
            #[allow(clippy::cast_precision_loss)]
            lost_ppm: of(&|single, _| single.load.lost as f64 * 1e6 / single.load.answered.max(1) as f64),
            rss: singles.iter().map(|(single, _)| single.rss).max().unwrap_or(0),
        }
    };
    first.iter().map(|(name, _)| cell(name)).collect()
}

fn find<'a>(round: &'a [(&'static str, Single)], name: &str) -> Option<&'a Single> {
    round.iter().find(|(known, _)| *known == name).map(|(_, single)| single)
}
