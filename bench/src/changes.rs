//! What clients notice while a server takes a new configuration, or a whole cluster again: queries lost, and how long they wait.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::cluster::api::Api;
use crate::cluster::world::Kind;
use crate::load::Load;
use crate::paced::{self, Paced};
use crate::peers::Work;
use crate::process::Server;
use crate::report;
use crate::stage::{CORES, Stage, queries};

/// Queries a second that both servers hold; the other rate is half of what each holds.
const RATE: u32 = 10_000;
/// How long a load takes, and when something happens in it.
const TIME: Duration = Duration::from_secs(15);
const BEGIN: Duration = Duration::from_secs(1);
/// How long after a reload was asked for latencies count, and after a list was given whole.
const SPAN: Duration = Duration::from_secs(2);
const RELOADS: u32 = 4;
/// The names in the cache are to be there before.
const FILL_MAX: Duration = Duration::from_secs(20);
const KINDS: [Kind; 3] = [Kind::Namespaces, Kind::Services, Kind::Slices];
/// How long the first list may take.
const LIST_MAX: Duration = Duration::from_secs(60);

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Reload,
    Relist,
}

const CHANGES: [(Change, &str, &str); 3] = [
    (Change::Nothing, "nothing", "nothing"),
    (Change::Reload, "reload", "reload of the Corefile, four times"),
    (Change::Relist, "relist", "the API is new, all is listed again"),
];

/// Measures Catena and the CoreDNS that is named, through all changes or those that are.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let named: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let is_wanted = |id: &str| named.is_empty() || named.contains(&id);
    let effort = Effort { is_quick: options.contains(&"--quick"), is_wanted: &is_wanted };
    let mut stage = Stage::open(root, CORES.1)?;
    let mut text = report::heading(&stage.versions(), 1);
    text.push_str(
        "| server | queries/s | what happens | lost | p50 us | p99 us | p99.9 us | longest ms | left out |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for (peer, name) in stage.everybody() {
        if matches!(name, "Catena" | "CoreDNS") {
            measure(&mut stage, peer, name, &effort, &mut text)?;
        }
    }
    if options.contains(&"--write") {
        report::put(root, "changes", &text)?;
    }
    Ok(text)
}

/// What is measured.
struct Effort<'a> {
    /// At one rate only.
    is_quick: bool,
    is_wanted: &'a dyn Fn(&str) -> bool,
}

fn measure(
    stage: &mut Stage,
    peer: Option<usize>,
    name: &str,
    effort: &Effort<'_>,
    text: &mut String,
) -> Result<(), String> {
    let mut asked = queries(Work::Services)?;
    asked.extend(queries(Work::Cache)?);
    let load = Load::new(asked);
    let Some(mut server) = stage.start(peer, Work::Cluster, CORES.0)? else { return Ok(()) };
    server.wait(&load.queries[0], &stage.log)?;
    if !stage.api.wait_listed(&KINDS, LIST_MAX) {
        return Err(format!("{name}: the objects were not listed"));
    }
    let once = Load { limit: load.queries.len(), ..Load::new(load.queries.clone()) };
    once.run(server.port, FILL_MAX)?;
    let held = load.run(server.port, Duration::from_secs(1))?.rate();
    let rates = [RATE, (held / 2.0) as u32];
    for rate in rates.into_iter().take(if effort.is_quick { 1 } else { rates.len() }) {
        for (change, _, told) in CHANGES.into_iter().filter(|(_, id, _)| (effort.is_wanted)(id)) {
            let (found, spans) = upset(&stage.api, &server, &load, rate, change)?;
            text.push_str(&line(name, rate, told, &found, &spans));
        }
    }
    Ok(())
}

/// Runs a load while things happen. Gives when they did, from and to.
fn upset(
    api: &Api,
    server: &Server,
    load: &Load,
    rate: u32,
    change: Change,
) -> Result<(Paced, Vec<(Duration, Duration)>), String> {
    std::thread::scope(|scope| {
        let (over, is_over) = channel::<()>();
        let doing = scope.spawn(move || act(api, server, change, &is_over));
        let found = paced::run(&load.queries, rate, server.port, TIME);
        drop(over);
        let spans = doing.join().map_err(|_| "what was to happen did not".to_owned())?;
        Ok((found?, spans?))
    })
}

fn act(
    api: &Api,
    server: &Server,
    change: Change,
    is_over: &Receiver<()>,
) -> Result<Vec<(Duration, Duration)>, String> {
    let begun = Instant::now();
    let rest = |time| matches!(is_over.recv_timeout(time), Err(RecvTimeoutError::Timeout));
    rest(BEGIN);
    match change {
        Change::Nothing => Ok(vec![(Duration::ZERO, TIME)]),
        Change::Reload => {
            let mut spans = Vec::new();
            for _ in 0..RELOADS {
                let at = begun.elapsed();
                server.signal("USR1");
                spans.push((at, at + SPAN));
                rest(SPAN + BEGIN);
            }
            Ok(spans)
        }
        Change::Relist => {
            let at = begun.elapsed();
            api.restart();
            if !api.wait_listed(&KINDS, TIME.saturating_sub(at)) {
                return Err("the objects were not listed again".to_owned());
            }
            Ok(vec![(at, begun.elapsed() + SPAN)])
        }
    }
}

fn line(name: &str, rate: u32, told: &str, found: &Paced, spans: &[(Duration, Duration)]) -> String {
    let is_within = |at: Duration| spans.iter().any(|(from, to)| (*from..=*to).contains(&at));
    let within = found.samples.iter().filter(|sample| is_within(sample.at));
    let latencies: Vec<u32> = within.map(|sample| sample.latency_us).collect();
    let longest = f64::from(latencies.iter().max().copied().unwrap_or(0)) / 1000.0;
    let [p50, p99, p999] = paced::percentiles(latencies);
    let (lost, left_out) = (found.measured.lost, found.left_out);
    let took: f64 = spans.iter().map(|(from, to)| to.saturating_sub(*from).as_secs_f64()).sum();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "| {name} | {rate} | {told} ({took:.1} s) | {lost} | {p50} | {p99} | {p999} | {longest:.1} | {left_out} |"
    );
    text
}
