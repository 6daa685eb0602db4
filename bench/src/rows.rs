//! The rows: for each kind of work, everybody who can do it, side by side and several times.

use std::path::Path;

use crate::load::{Load, Measured};
use crate::peers::Work;
use crate::process::Server;
use crate::stage::{CORES, Effort, Stage, queries, zone};
use crate::{paced, report, wire};

/// The names of the zone whose loading is timed.
const ZONE_NAMES: usize = 1_000_000;

/// A row of the table.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) work: Work,
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
    stage: Stage,
    effort: Effort,
    /// Who could not be measured, and why.
    faults: Vec<String>,
}

/// Measures the rows that are named, or all.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let is_wanted = |id: &str| named.is_empty() || named.contains(&id);
    if let Some(name) = named.iter().find(|name| **name != "load" && !ROWS.iter().any(|row| row.id == **name)) {
        return Err(format!("no row `{name}`"));
    }
    let figures = measure_all(Stage::open(root, CORES.1)?, Effort::of(options), is_wanted)?;
    if options.contains(&"--write") {
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

fn measure_all(stage: Stage, effort: Effort, is_wanted: impl Fn(&str) -> bool) -> Result<Figures, String> {
    let (versions, times) = (stage.versions(), effort.times);
    let mut bench = Bench { stage, effort, faults: Vec::new() };
    let mut figures = Figures { versions, rows: Vec::new(), loaded: Vec::new(), faults: Vec::new(), times };
    for row in ROWS.iter().filter(|row| is_wanted(row.id)) {
        figures.rows.push((row, bench.row(row)?));
    }
    if is_wanted("load") {
        figures.loaded = bench.load_zone()?;
    }
    figures.faults = bench.faults;
    Ok(figures)
}

impl Bench {
    fn row(&mut self, row: &Row) -> Result<Vec<Cell>, String> {
        let load = Load::new(queries(row.work)?);
        let mut rounds: Vec<Vec<(&'static str, Single)>> = Vec::new();
        for _ in 0..self.effort.times {
            let mut round = Vec::new();
            for (peer, name) in self.stage.everybody() {
                let Some(server) = self.stage.start(peer, row.work, CORES.0)? else { continue };
                match self.one(server, &load) {
                    Ok(single) => round.push((name, single)),
                    Err(fault) => self.faults.push(format!("{}: {name}: {fault}", row.id)),
                }
            }
            rounds.push(round);
        }
        Ok(medians(row, &rounds))
    }

    fn one(&self, mut server: Server, load: &Load) -> Result<Single, String> {
        server.wait(&load.queries[0], &self.stage.log)?;
        let port = server.port;
        load.run(port, self.effort.warm)?;
        let before = server.cpu();
        let full = load.run(port, self.effort.load)?;
        let spent = server.cpu().saturating_sub(before);
        let rss = server.rss();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let half = (full.rate() / 2.0) as u32;
        let paced = paced::run(&load.queries, half.max(1), port, self.effort.paced)?;
        if full.with_answer * 100 < full.answered * 99 {
            return Err(format!("too many replies without an answer: {full}"));
        }
        let cpu_us = full.cpu_us(spent);
        Ok(Single { cpu_us, load: full, paced: paced.measured, rss })
    }

    /// Times how long everybody with zones takes for a large one.
    fn load_zone(&mut self) -> Result<Vec<Loaded>, String> {
        self.stage.setting.zone_file = zone(&self.stage.setting.folder, ZONE_NAMES)?;
        let last = wire::query(&format!("n{:07}.example.test", ZONE_NAMES - 1), "A")?;
        let mut loaded = Vec::new();
        for (peer, name) in self.stage.everybody().into_iter().skip(1) {
            let mut found = Vec::new();
            for _ in 0..self.effort.times {
                let Some(mut server) = self.stage.start(peer, Work::Zone, CORES.0)? else { break };
                if let Err(fault) = server.wait(&last, &self.stage.log) {
                    self.faults.push(format!("load: {name}: {fault}"));
                    break;
                }
                found.push((server.ready.as_secs_f64(), server.rss()));
            }
            found.sort_by(|one, other| one.0.total_cmp(&other.0));
            if let Some((seconds, rss)) = found.get(found.len() / 2) {
                loaded.push(Loaded { name, seconds: *seconds, rss: *rss });
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

pub(crate) fn median<T: Copy>(mut values: Vec<T>, compare: fn(&T, &T) -> std::cmp::Ordering) -> Option<T> {
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
