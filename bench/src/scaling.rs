//! What a query costs two workers, compared with one: both have two cores, which the load has too.

use std::fmt::Write as _;
use std::path::Path;

use crate::load::Load;
use crate::paced;
use crate::report;
use crate::rows::{ROWS, Row, median};
use crate::stage::{Effort, Stage, queries};

/// The cores of everybody.
const CORES: &str = "0,1";
/// The sockets of the load that leaves no rest, and the queries of each in flight: enough sockets for equal shares of two listeners.
const SOCKETS: (usize, usize) = (32, 8);
/// Queries a second for each worker in the load that leaves rest.
const RATE: u32 = 20_000;

/// CPU a query, microseconds.
struct Single {
    /// As many queries as get answers.
    full: f64,
    /// [`RATE`] a second in all, and [`RATE`] a second for each worker.
    paced: [f64; 2],
}

/// One worker's cost in microseconds, and what two of them take of it.
struct Cell {
    name: &'static str,
    full: [f64; 2],
    paced: [f64; 3],
    /// The rate that one and two workers held.
    rate: [f64; 2],
}

/// Measures the rows that are named, or all.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let mut bench = Bench { stage: Stage::open(root, CORES)?, effort: Effort::of(options), faults: Vec::new() };
    let mut text = report::heading(&bench.stage.versions(), bench.effort.times);
    for row in ROWS.iter().filter(|row| named.is_empty() || named.contains(&row.id)) {
        let cells = bench.row(row)?;
        text.push_str(&table(row, &cells));
    }
    if options.contains(&"--write") {
        report::put(root, "scaling", &text)?;
    }
    Ok(text + &bench.faults.join("\n"))
}

struct Bench {
    stage: Stage,
    effort: Effort,
    /// Who could not be measured, and why.
    faults: Vec<String>,
}

impl Bench {
    fn row(&mut self, row: &Row) -> Result<Vec<Cell>, String> {
        let mut load = Load::new(queries(row.work)?);
        load.sockets = SOCKETS;
        let mut found: Vec<(&'static str, Vec<Cell>)> = Vec::new();
        for _ in 0..self.effort.times {
            for (peer, name) in self.stage.everybody() {
                match self.both(peer, name, row, &load) {
                    Ok(None) => {}
                    Ok(Some(cell)) => match found.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, cells)) => cells.push(cell),
                        None => found.push((name, vec![cell])),
                    },
                    Err(fault) => self.faults.push(format!("{}: {name}: {fault}", row.id)),
                }
            }
        }
        Ok(found.into_iter().map(|(name, cells)| medians(name, &cells)).collect())
    }

    /// One worker and then two; `None`: that is not its work.
    fn both(
        &mut self,
        peer: Option<usize>,
        name: &'static str,
        row: &Row,
        load: &Load,
    ) -> Result<Option<Cell>, String> {
        let Some((one, one_rate)) = self.workers(1, peer, row, load)? else { return Ok(None) };
        let Some((two, two_rate)) = self.workers(2, peer, row, load)? else { return Ok(None) };
        Ok(Some(Cell {
            name,
            full: [one.full, two.full / one.full],
            paced: [one.paced[0], two.paced[0] / one.paced[0], two.paced[1] / one.paced[0]],
            rate: [one_rate, two_rate],
        }))
    }

    fn workers(
        &mut self,
        count: u32,
        peer: Option<usize>,
        row: &Row,
        load: &Load,
    ) -> Result<Option<(Single, f64)>, String> {
        self.stage.setting.workers = count as usize;
        let Some(mut server) = self.stage.start(peer, row.work, CORES)? else { return Ok(None) };
        server.wait(&load.queries[0], &self.stage.log)?;
        load.run(server.port, self.effort.warm)?;
        let before = server.cpu();
        let full = load.run(server.port, self.effort.load)?;
        let full_us = full.cpu_us(server.cpu().saturating_sub(before));
        let mut single = Single { full: full_us, paced: [0.0; 2] };
        for (place, rate) in [RATE, RATE * count].into_iter().enumerate() {
            let before = server.cpu();
            let found = paced::run(&load.queries, rate, server.port, self.effort.paced)?;
            single.paced[place] = found.measured.cpu_us(server.cpu().saturating_sub(before));
        }
        Ok(Some((single, full.rate())))
    }
}

fn medians(name: &'static str, cells: &[Cell]) -> Cell {
    let of = |figure: &dyn Fn(&Cell) -> f64| median(cells.iter().map(figure).collect(), f64::total_cmp).unwrap_or(0.0);
    Cell {
        name,
        full: [0, 1].map(|at| of(&|cell| cell.full[at])),
        paced: [0, 1, 2].map(|at| of(&|cell| cell.paced[at])),
        rate: [0, 1].map(|at| of(&|cell| cell.rate[at])),
    }
}

fn table(row: &Row, cells: &[Cell]) -> String {
    let thousand = RATE / 1000;
    let mut text = format!(
        "### {}: one worker and two\n\n| server | one, full, us | two, x of it | k queries/s, one -> two | one at {thousand} k/s, us | two at {thousand} k/s, x of it | two at {} k/s, x of it |\n|---|---|---|---|---|---|---|\n",
        row.title,
        2 * thousand
    );
    for cell in cells {
        let ([one, two], [paced, same, double], [rate, rates]) = (cell.full, cell.paced, cell.rate);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {one:.2} | {two:.2} | {:.0} -> {:.0} | {paced:.2} | {same:.2} | {double:.2} |",
            cell.name,
            rate / 1000.0,
            rates / 1000.0
        );
    }
    text.push('\n');
    text
}
