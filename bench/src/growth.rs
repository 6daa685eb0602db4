//! What a query costs and what memory is taken by how much there is: Services, names of a zone, entries of a cache, server blocks.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cluster::api::Api;
use crate::cluster::world::Kind;
use crate::load::Load;
use crate::peers::Work;
use crate::process::Server;
use crate::report;
use crate::rows::median;
use crate::stage::{CORES, Effort, Stage, queries_of, zone};

const SIZES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
const BLOCKS: [usize; 3] = [10, 100, 1_000];
/// The endpoints of each Service.
const ENDPOINTS: usize = 1;
/// How long everything may take to be listed, and every name to be asked for once.
const READY_MAX: Duration = Duration::from_secs(300);
const KINDS: [Kind; 3] = [Kind::Namespaces, Kind::Services, Kind::Slices];
/// The growth of memory that is told from noise, bytes.
const SEEN_MIN: u64 = 2 << 20;
/// The most of which instructions are counted, which takes thirty times as long, and of how many queries.
const COUNTED_MAX: usize = 100_000;
const COUNTED: [usize; 2] = [2_000, 22_000];
/// Caches of 48 KB and 1 MB, as a core of today has for itself.
const VALGRIND: &str =
    "valgrind --tool=cachegrind --cache-sim=yes --cachegrind-out-file=/dev/null --D1=49152,12,64 --LL=1048576,16,64";
/// Catena is the first of the peers.
const CATENA: usize = 0;

struct Growing {
    id: &'static str,
    title: &'static str,
    work: Work,
    sizes: &'static [usize],
}

const GROWING: [Growing; 4] = [
    Growing { id: "services", title: "Services, with one endpoint each", work: Work::Services, sizes: &SIZES },
    Growing { id: "zone", title: "Names of a zone", work: Work::Zone, sizes: &SIZES },
    Growing { id: "cache", title: "Entries of the cache", work: Work::Cache, sizes: &SIZES },
    Growing { id: "blocks", title: "Server blocks", work: Work::Blocks, sizes: &BLOCKS },
];

/// What valgrind counts of a query.
#[derive(Clone, Copy)]
struct Counts {
    instructions: f64,
    /// Reads and writes of data that the first and the second cache did not have.
    misses: [f64; 2],
}

/// What was measured with so many of them.
struct Cell {
    count: usize,
    cpu_us: f64,
    ratio: f64,
    rss: u64,
    counts: Option<Counts>,
}

/// Measures everything, or what is named.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let (mut stage, effort) = (Stage::open(root, CORES.1)?, Effort::of(options));
    let mut text = report::heading(&stage.versions()[..1], effort.times);
    for growing in GROWING.iter().filter(|growing| named.is_empty() || named.contains(&growing.id)) {
        let cells = growing.sizes.iter().map(|count| measure(&mut stage, growing.work, *count, &effort));
        text.push_str(&table(growing, &cells.collect::<Result<Vec<_>, _>>()?));
    }
    if options.contains(&"--write") {
        report::put(root, "growth", &text)?;
    }
    Ok(text)
}

fn measure(stage: &mut Stage, work: Work, count: usize, effort: &Effort) -> Result<Cell, String> {
    let load = Load::new(queries_of(work, count)?);
    let told = |fault| format!("{count}: {fault}");
    let mut found = Vec::new();
    for _ in 0..effort.times {
        found.push(one(stage, work, &load, effort).map_err(told)?);
    }
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    let counts = (has_valgrind && count <= COUNTED_MAX).then(|| counted(stage, work, &load)).transpose();
    let of = |figure: &dyn Fn(&(f64, f64, u64)) -> f64| median(found.iter().map(figure).collect(), f64::total_cmp);
    Ok(Cell {
        count,
        cpu_us: of(&|one| one.0).unwrap_or(0.0),
        ratio: of(&|one| one.0 / one.1).unwrap_or(0.0),
        rss: found.iter().map(|one| one.2).max().unwrap_or(0),
        counts: counts.map_err(told)?,
    })
}

/// What a query costs, what it costs the echo, and the memory.
fn one(stage: &mut Stage, work: Work, load: &Load, effort: &Effort) -> Result<(f64, f64, u64), String> {
    let echo = stage.start(None, work, CORES.0)?.ok_or("no echo")?;
    let (echo_us, _) = cost(stage, echo, load, effort)?;
    let (server, _api) = full(stage, work, load)?;
    let (cpu_us, rss) = cost(stage, server, load, effort)?;
    Ok((cpu_us, echo_us, rss))
}

/// Two servers under valgrind, of which one is asked more: what both have in common is start and end.
fn counted(stage: &mut Stage, work: Work, load: &Load) -> Result<Counts, String> {
    let mut found = Vec::new();
    for limit in COUNTED {
        stage.under = VALGRIND.split_whitespace().map(str::to_owned).collect();
        let server = full(stage, work, load);
        stage.under.clear();
        let (server, _api) = server?;
        Load { limit, ..Load::new(load.queries.clone()) }.run(server.port, READY_MAX)?;
        server.end(READY_MAX)?;
        let log = std::fs::read_to_string(&stage.log).map_err(|error| error.to_string())?;
        found.push(["I   refs:", "D1  misses:", "LLd misses:"].map(|line| figure(&log, line)));
    }
    // A miss less at the start of the second server is none less a query.
    let more = |at: usize| ((found[1][at] - found[0][at]) / (COUNTED[1] - COUNTED[0]) as f64).max(0.0);
    Ok(Counts { instructions: more(0), misses: [more(1), more(2)] })
}

/// The number behind some words of valgrind's summary.
fn figure(log: &str, words: &str) -> f64 {
    let behind = log.lines().find_map(|line| line.split_once(words)).map_or("", |(_, behind)| behind);
    let number = behind.split_whitespace().next().unwrap_or("0").replace(',', "");
    number.parse().unwrap_or(0.0)
}

/// A server with so many of them, each of which was asked for once, and the API that it has them from.
fn full(stage: &mut Stage, work: Work, load: &Load) -> Result<(Server, Option<Api>), String> {
    let count = load.queries.len();
    let mut api = None;
    match work {
        Work::Services => {
            let cluster = Stage::api(count, ENDPOINTS)?;
            stage.setting.api.clone_from(&cluster.addr);
            api = Some(cluster);
        }
        Work::Zone => stage.setting.zone_file = zone(&stage.setting.folder, count)?,
        // A cache of a size may have to forget before it is full.
        Work::Cache => stage.setting.cache_entries = Some(2 * count),
        _ => {
            stage.setting.blocks = count;
            stage.setting.zone_file = stage.setting.folder.join("block");
            let text =
                "$TTL 60\n@ IN SOA ns admin 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\nwww IN A 10.0.0.1\n";
            std::fs::write(&stage.setting.zone_file, text).map_err(|error| error.to_string())?;
        }
    }
    let mut server = stage.start(Some(CATENA), work, CORES.0)?.ok_or("that is not its work")?;
    server.wait(&load.queries[0], &stage.log)?;
    if api.as_ref().is_some_and(|api| !api.wait_listed(&KINDS, READY_MAX)) {
        return Err("the objects were not listed".to_owned());
    }
    // What is kept from the first time on is there then, and nothing may be missing.
    let once = Load { limit: count, ..Load::new(load.queries.clone()) }.run(server.port, READY_MAX)?;
    if once.with_answer * 1000 < count as u64 * 999 {
        return Err(format!("not everything has an answer: {once}"));
    }
    Ok((server, api))
}

fn cost(stage: &Stage, mut server: Server, load: &Load, effort: &Effort) -> Result<(f64, u64), String> {
    server.wait(&load.queries[0], &stage.log)?;
    load.run(server.port, effort.warm)?;
    let before = server.cpu();
    let full = load.run(server.port, effort.load)?;
    Ok((full.cpu_us(server.cpu().saturating_sub(before)), server.rss()))
}

fn table(growing: &Growing, cells: &[Cell]) -> String {
    let mut text = format!(
        "### {}\n\n| how many | CPU us a query | x the echo, asked the same | instructions | misses of 48 KB | misses of 1 MB | RSS MB | bytes for each more |\n|---|---|---|---|---|---|---|---|\n",
        growing.title
    );
    let mut before: Option<&Cell> = None;
    for cell in cells {
        let (cpu, ratio, rss) = (cell.cpu_us, cell.ratio, cell.rss as f64 / 1e6);
        let counts = cell.counts.map_or_else(
            || " | | ".to_owned(),
            |Counts { instructions, misses: [small, large] }| format!("{instructions:.0} | {small:.1} | {large:.1}"),
        );
        let each = before.map_or_else(String::new, |before| each_more(before, cell));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {cpu:.2} | {ratio:.2} | {counts} | {rss:.1} | {each} |", cell.count);
        before = Some(cell);
    }
    text.push('\n');
    text
}

/// The memory for each that one cell has more than another; nothing where that is lost in the memory of the program.
fn each_more(before: &Cell, cell: &Cell) -> String {
    let more = cell.rss.saturating_sub(before.rss);
    if more < SEEN_MIN { String::new() } else { (more / (cell.count - before.count).max(1) as u64).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_out_of_a_summary() {
        let log =
            "==1== I   refs:      178,107,693\n==1== D1  misses:        581,608  (   305,350 rd   +    276,258 wr)\n";
        assert!((figure(log, "I   refs:") - 178_107_693.0).abs() < 0.5);
        assert!((figure(log, "D1  misses:") - 581_608.0).abs() < 0.5);
        assert!(figure(log, "LLd misses:").abs() < 0.5);
    }
}
