//! Chores of the workspace: `cargo xtask tidy`, `cargo xtask differences`, `cargo xtask new-plugin NAME`, `cargo xtask bench ARGS...`.

mod differences;
mod new_plugin;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask tidy | differences | new-plugin NAME | bench ARGS...

  tidy             checks dependency rules, plugin folders, where `unsafe` is, and that generated documents are fresh
  differences      writes docs/coredns-differences.md anew from the plugins' READMEs and the recorded cases
  new-plugin NAME  makes plugins/NAME and its line in crates/stock
  bench ARGS...    makes the release build and runs catena-bench: `bench cluster`, `bench run`, `bench instructions`";

#[allow(clippy::disallowed_macros)]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = root();
    let done = match args[..] {
        ["tidy"] => tidy::run(&root),
        ["differences"] => differences::write(&root),
        ["new-plugin", name] => new_plugin::run(&root, name),
        ["bench", ref args @ ..] => bench(&root, args),
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

/// Makes the release build and measures it.
fn bench(root: &Path, args: &[&str]) -> Outcome {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |words: &[&str]| -> Result<(), Vec<String>> {
        let status = Command::new(&cargo).args(words).current_dir(root).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(vec![format!("cargo {}: {status}", words.join(" "))]),
            Err(error) => Err(vec![format!("cargo: {error}")]),
        }
    };
    run(&["build", "--release", "-p", "catena", "-p", "catena-bench", "--bins", "--example", "paths"])?;
    run(&[&["run", "--quiet", "--release", "-p", "catena-bench", "--bin", "catena-bench", "--"], args].concat())?;
    Ok(String::new())
}

/// What a chore says in the end, or everything that is wrong.
type Outcome = Result<String, Vec<String>>;

/// The workspace's folder, two above this crate: where cargo runs it, which need not be where it was compiled.
fn root() -> PathBuf {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let here = Path::new(&here);
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The names of the folders below one, sorted.
fn folders(of: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(of) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
