//! What a query costs: Catena beside a bare echo, its peers and CoreDNS, on loopback and on this machine.
//!
//! `catena-bench run` measures every row of docs/performance.md and writes its tables and picture. Servers run on one core, the load on
//! another; what a query costs is what the kernel has charged the server for, over the queries that it answered.
#![allow(clippy::disallowed_methods)]

mod changes;
mod cluster;
mod echo;
mod growth;
mod instructions;
mod load;
mod paced;
mod peers;
mod process;
mod report;
mod rows;
mod scaling;
mod stage;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: catena-bench COMMAND

  run [--quick] [--write] [ROW...]      measures the rows, all or those named
  scaling [--quick] [--write] [ROW...]  what a query costs two workers, and one
  changes [--quick] [--write] [nothing] [reload] [relist]
                                        queries lost, and latencies, while a server is reconfigured or a cluster listed again
  growth [--quick] [--write] [services] [zone] [cache] [blocks]
                                        what a query costs and what memory is taken by how much there is
  cluster [--quick]                     measures a large Kubernetes cluster: time to ready, memory, CPU a look-up
  instructions [--update]               counts the instructions of the hot paths and compares them with those in bench/instructions.txt
  echo PORT [THREADS]                   answers on 127.0.0.1:PORT with one fixed record, for an hour at most
  load PORT FILE SECONDS [RATE]         asks 127.0.0.1:PORT what the file says, a NAME TYPE a line; RATE: queries a second, else as many as
                                        get answers
  api SERVICES ENDPOINTS                plays a Kubernetes API with so many Services of so many endpoints and tells its address, until
                                        standard input ends; a line there is a restart of it

  --write puts the figures into docs. CATENA=PATH and COREDNS=PATH name binaries; without, target/release/catena and no CoreDNS";

/// What a measurement says in the end, or everything that is wrong.
type Outcome = Result<String, Vec<String>>;

#[allow(clippy::disallowed_macros)]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["run", ref options @ ..] => rows::run(&root(), options).map_err(|fault| vec![fault]),
        ["scaling", ref options @ ..] => scaling::run(&root(), options).map_err(|fault| vec![fault]),
        ["changes", ref options @ ..] => changes::run(&root(), options).map_err(|fault| vec![fault]),
        ["growth", ref options @ ..] => growth::run(&root(), options).map_err(|fault| vec![fault]),
        ["echo", port, ref threads @ ..] => echo(port, threads).map_err(|fault| vec![fault]),
        ["load", port, file, seconds] => ask(port, file, seconds, None).map_err(|fault| vec![fault]),
        ["load", port, file, seconds, rate] => ask(port, file, seconds, Some(rate)).map_err(|fault| vec![fault]),
        ["api", services, endpoints] => serve_api(services, endpoints).map_err(|fault| vec![fault]),
        ["instructions", ref options @ ..] => instructions::run(&root(), options).map_err(|fault| vec![fault]),
        ["cluster", ref options @ ..] => cluster::run(&root(), options),
        _ => Err(vec![USAGE.to_owned()]),
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            ExitCode::FAILURE
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits"))
}

fn echo(port: &str, threads: &[&str]) -> Result<String, String> {
    let threads = threads.first().map_or(Ok(1), |count| number(count))?;
    echo::serve(number(port)?, threads)
}

fn ask(port: &str, file: &str, seconds: &str, rate: Option<&str>) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let (queries, port, time) = (wire::queries(&text)?, number(port)?, Duration::from_secs(number(seconds)?));
    let Some(rate) = rate else { return Ok(load::Load::new(queries).run(port, time)?.to_string()) };
    let found = paced::run(&queries, number(rate)?, port, time)?;
    Ok(format!("{} left_out={}", found.measured, found.left_out))
}

/// The API of a cluster, for as long as standard input is open; a line on it drops all connections and what was listed.
#[allow(clippy::disallowed_macros)]
fn serve_api(services: &str, endpoints: &str) -> Result<String, String> {
    let world = cluster::world::World { services: number(services)?, endpoints: number(endpoints)?, pods: 0 };
    let api = cluster::api::Api::start(world).map_err(|error| error.to_string())?;
    println!("{}", api.addr);
    std::io::stdin().lines().map_while(Result::ok).for_each(|_| api.restart());
    Ok("api: nobody has orders any more".to_owned())
}

/// The workspace's folder, one above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
