//! Replays every case of `conformance/` against the server and shows each difference.
//!
//! `cargo test -p catena-tests --test conformance -- [PART-OF-A-NAME…] [--jobs N] [--repeat N] [--keep] [--verbose]`

#![allow(clippy::disallowed_macros, reason = "a test says what it found")]

use catena_tests::Error;
use catena_tests::binary::Binary;
use catena_tests::case::{self, Case};
use catena_tests::lists::{self, Lists};
use catena_tests::names::Ports;
use catena_tests::run::{self, Outcome, Setup};
use catena_tests::text::Cleaner;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Cases that are played at the same time.
const JOBS: usize = 4;
/// Lines of the server's output that a failure shows.
const LOG_LINES: usize = 12;

/// What the command line asks for.
struct Options {
    parts: Vec<String>,
    jobs: usize,
    repeat: usize,
    keep: bool,
    verbose: bool,
    list: bool,
}

impl Options {
    /// Reads the arguments; those of Rust's own test harness are passed over.
    fn parse(mut args: impl Iterator<Item = String>) -> Self {
        let (parts, jobs, repeat) = (Vec::new(), JOBS, 1);
        let mut options = Self { parts, jobs, repeat, keep: false, verbose: false, list: false };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--jobs" | "--test-threads" => options.jobs = number(args.next(), JOBS),
                "--repeat" => options.repeat = number(args.next(), 1),
                "--keep" => options.keep = true,
                "--verbose" | "--nocapture" | "--no-capture" => options.verbose = true,
                // Rust's own harness would play only what is marked `ignored`, and no case is.
                "--ignored" => options.parts = vec!["(none)".into()],
                "--list" => options.list = true,
                "--format" | "--color" | "--skip" | "-Z" => drop(args.next()),
                other if other.starts_with('-') => {}
                part => options.parts.push(part.to_owned()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| name.contains(part.as_str()))
    }
}

fn number(text: Option<String>, default: usize) -> usize {
    text.and_then(|text| text.parse().ok()).filter(|number| *number > 0).unwrap_or(default)
}

/// What became of a case.
enum Verdict {
    Passed,
    /// Differs as one of the lists says.
    Known(String),
    Skipped(String),
    Failed(Vec<String>),
}

fn main() -> ExitCode {
    let options = Options::parse(std::env::args().skip(1));
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Io)
        .and_then(|runtime| runtime.block_on(replay(&options)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("conformance: {err}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the cases and says how they went; whether all is as it should be.
async fn replay(options: &Options) -> Result<bool, Error> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.join("conformance");
    let paths = case::find(&root)?;
    let names: BTreeSet<String> = paths.iter().map(|path| case::name_of(path)).collect();
    let lists = lists::read(&[&root.join("differences.yaml"), &root.join("later.yaml")], &names)?;
    let cases = load(&paths, options)?;
    if options.list {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return Ok(true);
    }
    if cases.is_empty() {
        return Ok(report(Vec::new(), false));
    }
    let binary = Binary::find(package.parent().unwrap_or(package))?;
    println!("replaying {} of {} cases against {}", cases.len(), paths.len(), binary.path.display());
    let lists = if binary.is_reference { Lists::new() } else { lists };
    let setup =
        Setup { binary: binary.path.clone(), ports: Ports::default(), cleaner: Cleaner::new()?, keep: options.keep };
    let verdicts = play_all(cases, Arc::new(setup), &Arc::new(binary), &lists, options).await;
    Ok(report(verdicts, options.verbose))
}

fn load(paths: &[PathBuf], options: &Options) -> Result<Vec<Case>, Error> {
    let wanted = paths.iter().filter(|path| options.wants(&case::name_of(path)));
    wanted.map(|path| Case::load(path)).collect()
}

async fn play_all(
    cases: Vec<Case>,
    setup: Arc<Setup>,
    binary: &Arc<Binary>,
    lists: &Lists,
    options: &Options,
) -> Vec<(String, Verdict)> {
    let gate = Arc::new(Semaphore::new(options.jobs));
    let mut playing = JoinSet::new();
    let mut verdicts = Vec::new();
    for case in cases.into_iter().flat_map(|case| std::iter::repeat_n(case, options.repeat)) {
        let missing: Vec<String> = case.directives().difference(&binary.plugins).cloned().collect();
        let reason = case
            .unsupported()
            .or_else(|| (!missing.is_empty()).then(|| format!("the server has no {}", missing.join(", "))));
        if let Some(reason) = reason {
            verdicts.push((case.name, Verdict::Skipped(reason)));
            continue;
        }
        let (gate, setup, known) = (Arc::clone(&gate), Arc::clone(&setup), lists.get(&case.name).cloned());
        playing.spawn(async move {
            let _turn = gate.acquire_owned().await;
            let outcome = run::play(&case, &setup).await;
            let verdict = match known {
                None if outcome.problems.is_empty() => Verdict::Passed,
                None => Verdict::Failed(shown(&case, &outcome, None)),
                Some(known) => match known.contradicted_by(&outcome) {
                    None => Verdict::Known(format!("{}: {}", known.list, known.reason)),
                    Some(why) => Verdict::Failed(shown(&case, &outcome, Some(why))),
                },
            };
            (case.name, verdict)
        });
    }
    while let Some(done) = playing.join_next().await {
        verdicts.push(done.unwrap_or_else(|err| ("a case".into(), Verdict::Failed(vec![err.to_string()]))));
    }
    verdicts.sort_by(|one, other| one.0.cmp(&other.0));
    verdicts
}

/// What a failure shows: what the case is about, the differences, the end of the server's output.
fn shown(case: &Case, outcome: &Outcome, why: Option<String>) -> Vec<String> {
    let mut lines = vec![case.about().to_owned()];
    lines.extend(why);
    lines.extend(outcome.problems.iter().flat_map(|problem| problem.lines.iter().cloned()));
    let log: Vec<&str> = outcome.log.lines().collect();
    if !log.is_empty() {
        lines.push("server output (end):".into());
        lines.extend(log.iter().skip(log.len().saturating_sub(LOG_LINES)).map(|line| format!("  | {line}")));
    }
    lines.extend(outcome.folder.as_ref().map(|folder| format!("kept: {}", folder.display())));
    lines
}

fn report(verdicts: Vec<(String, Verdict)>, verbose: bool) -> bool {
    let (mut passed, mut failed, mut skipped, mut known) = (0, 0, 0, 0);
    for (name, verdict) in verdicts {
        match verdict {
            Verdict::Passed => {
                passed += 1;
                if verbose {
                    println!("ok      {name}");
                }
            }
            Verdict::Known(reason) => {
                known += 1;
                println!("differs {name}: {reason}");
            }
            Verdict::Skipped(reason) => {
                skipped += 1;
                println!("skipped {name}: {reason}");
            }
            Verdict::Failed(lines) => {
                failed += 1;
                println!("\nFAILED  {name}");
                lines.iter().for_each(|line| println!("  {line}"));
            }
        }
    }
    if known > 0 {
        println!("{known} differ as listed");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}
