//! What a query costs and what memory is taken by how much there is: Services, names of a zone, entries of a cache, server blocks.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::cluster::world::Kind;
use crate::load::Load;
use crate::peers::Work;
use crate::process::Server;
use crate::report;
use crate::rows::median;
use crate::stage::{CORES, Effort, Stage, queries_of, zone};

const SIZES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
const BLOCKS: [usize; 3] = [10, 100, 1_000];
/// With `--quick`.
const QUICK_MAX: usize = 100_000;
/// The endpoints of each Service.
const ENDPOINTS: usize = 1;
/// How long everything may take to be listed, and every name to be asked for once.
const READY_MAX: Duration = Duration::from_secs(300);
const KINDS: [Kind; 3] = [Kind::Namespaces, Kind::Services, Kind::Slices];
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

/// What was measured with so many of them.
struct Cell {
    count: usize,
    cpu_us: f64,
    ratio: f64,
    rss: u64,
}

/// Measures everything, or what is named.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let (mut stage, effort) = (Stage::open(root, CORES.1)?, Effort::of(options));
    let mut text = report::heading(&stage.versions()[..1], effort.times);
    for growing in GROWING.iter().filter(|growing| named.is_empty() || named.contains(&growing.id)) {
        let is_quick = options.contains(&"--quick");
        let sizes = growing.sizes.iter().copied().filter(|size| !is_quick || *size <= QUICK_MAX);
        let cells = sizes.map(|count| medians(&mut stage, growing.work, count, &effort));
        text.push_str(&table(growing, &cells.collect::<Result<Vec<_>, _>>()?));
    }
    if options.contains(&"--write") {
        report::put(root, "growth", &text)?;
    }
    Ok(text)
}

fn medians(stage: &mut Stage, work: Work, count: usize, effort: &Effort) -> Result<Cell, String> {
    let load = Load::new(queries_of(work, count)?);
    let mut found = Vec::new();
    for _ in 0..effort.times {
        found.push(one(stage, work, &load, effort).map_err(|fault| format!("{count}: {fault}"))?);
    }
    let of = |figure: &dyn Fn(&(f64, f64, u64)) -> f64| median(found.iter().map(figure).collect(), f64::total_cmp);
    let (cpu_us, ratio) = (of(&|one| one.0).unwrap_or(0.0), of(&|one| one.0 / one.1).unwrap_or(0.0));
    Ok(Cell { count, cpu_us, ratio, rss: found.iter().map(|one| one.2).max().unwrap_or(0) })
}

/// What a query costs, what it costs the echo, and the memory.
fn one(stage: &mut Stage, work: Work, load: &Load, effort: &Effort) -> Result<(f64, f64, u64), String> {
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
    let echo = stage.start(None, work, CORES.0)?.ok_or("no echo")?;
    let (echo_us, _) = cost(stage, echo, load, effort)?;
    let mut server = stage.start(Some(CATENA), work, CORES.0)?.ok_or("that is not its work")?;
    server.wait(&load.queries[0], &stage.log)?;
    if api.is_some_and(|api| !api.wait_listed(&KINDS, READY_MAX)) {
        return Err("the objects were not listed".to_owned());
    }
    // Everything is asked for once: what is kept from then on is there, and nothing may be missing.
    let once = Load { limit: count, ..Load::new(load.queries.clone()) }.run(server.port, READY_MAX)?;
    if once.with_answer * 1000 < count as u64 * 999 {
        return Err(format!("not everything has an answer: {once}"));
    }
    let (cpu_us, rss) = cost(stage, server, load, effort)?;
    Ok((cpu_us, echo_us, rss))
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
        "### {}\n\n| how many | CPU us a query | x the echo, asked the same | RSS MB | bytes for each more |\n|---|---|---|---|---|\n",
        growing.title
    );
    let mut before: Option<&Cell> = None;
    for cell in cells {
        let each = before.map_or_else(String::new, |before| {
            let (more, count) = (cell.rss.saturating_sub(before.rss), cell.count - before.count);
            // What the first few take is lost in that of the program.
            if cell.count < 10_000 && count > 1 && more < 1 << 20 {
                String::new()
            } else {
                (more / count as u64).to_string()
            }
        });
        let (cpu, ratio, rss) = (cell.cpu_us, cell.ratio, cell.rss as f64 / 1e6);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {cpu:.2} | {ratio:.2} | {rss:.1} | {each} |", cell.count);
        before = Some(cell);
    }
    text.push('\n');
    text
}
