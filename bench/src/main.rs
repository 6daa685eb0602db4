//! What a query costs: Catena beside a bare echo, its peers and CoreDNS, on loopback and on this machine.
//!
//! `catena-bench run` measures every row of docs/performance.md and writes its tables and picture. Servers run on one core, the load on
//! another; what a query costs is what the kernel has charged the server for, over the queries that it answered.
#![allow(clippy::disallowed_methods)]

mod cluster;
mod echo;
mod instructions;
mod load;
mod peers;
mod process;
mod report;
mod rows;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: catena-bench run [--quick] [--write] [ROW...] | echo PORT | load PORT FILE SECONDS [RATE] | cluster [--quick] | instructions [--update]

  run      measures the rows, all or those named; --write puts tables and picture into docs
           CATENA=PATH and COREDNS=PATH name binaries; without, target/release/catena and no CoreDNS
  echo     answers on 127.0.0.1:PORT with one fixed record, for an hour at most
  load     asks 127.0.0.1:PORT what the file says, a NAME TYPE a line; RATE: queries a second, else as many as get answers
  instructions  counts the instructions of the hot paths and compares them with those in bench/instructions.txt
  cluster  measures a large Kubernetes cluster: time to ready, memory, CPU a look-up";

/// What a measurement says in the end, or everything that is wrong.
type Outcome = Result<String, Vec<String>>;

#[allow(clippy::disallowed_macros)]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["run", ref options @ ..] => rows::run(&root(), options).map_err(|fault| vec![fault]),
        ["echo", port] => number(port).and_then(echo::serve).map_err(|fault| vec![fault]),
        ["load", port, file, seconds] => ask(port, file, seconds, None).map_err(|fault| vec![fault]),
        ["load", port, file, seconds, rate] => ask(port, file, seconds, Some(rate)).map_err(|fault| vec![fault]),
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

fn ask(port: &str, file: &str, seconds: &str, rate: Option<&str>) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let mut load = load::Load::new(wire::queries(&text)?);
    load.rate = rate.map(number).transpose()?;
    Ok(load.run(number(port)?, Duration::from_secs(number(seconds)?))?.to_string())
}

/// The workspace's folder, one above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
