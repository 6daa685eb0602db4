//! Instructions of the hot paths, counted by valgrind and kept in a file: a machine's load does not change them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the counts are kept.
const FILE: &str = "bench/instructions.txt";
const HEAD: &str = "# Instructions a query, counted by `catena-bench instructions`; a change that costs more than 3 % more fails.\n\
                    # `catena-bench instructions --update` writes this file anew.\n";
const PATHS: [&str; 5] = ["read", "finish", "kubeadm-hit", "zone", "kubernetes"];
/// How often a path is walked: what both counts have in common is the start of the program.
const COUNTS: (u64, u64) = (2_000, 6_000);
/// How much more a path may take than the file says, in hundredths.
const MORE_PERCENT_MAX: u64 = 3;

/// Counts, and compares with the file or writes it.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<String, String> {
    let is_update = match options {
        [] => false,
        ["--update"] => true,
        _ => return Err("usage: catena-bench instructions [--update]".to_owned()),
    };
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok("there is no valgrind: instructions are not counted".to_owned());
    }
    if !cfg!(target_arch = "x86_64") {
        return Ok("instructions are counted on x86_64 only, where the file is from".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = target.join("release/examples/paths");
    let mut found = Vec::new();
    for path in PATHS {
        let (few, many) = (count(&program, path, COUNTS.0)?, count(&program, path, COUNTS.1)?);
        found.push((path, many.saturating_sub(few) / (COUNTS.1 - COUNTS.0)));
    }
    let file = root.join(FILE);
    if is_update {
        let mut text = HEAD.to_owned();
        for (path, count) in &found {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{path} {count}");
        }
        std::fs::write(&file, &text).map_err(|error| format!("{FILE}: {error}"))?;
        return Ok(text);
    }
    let kept = std::fs::read_to_string(&file).map_err(|error| format!("{FILE}: {error}"))?;
    compare(&kept, &found)
}

/// What the program takes in all.
fn count(program: &Path, path: &str, times: u64) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).arg(path).arg(times.to_string());
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match collected {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!(
            "{} {path}; `cargo build --release -p catena-bench --example paths` makes it:\n{text}",
            program.display()
        )),
    }
}

/// The kept counts beside those that were found. Error: a path takes too many more.
fn compare(kept: &str, found: &[(&str, u64)]) -> Result<String, String> {
    let (mut text, mut is_worse) = (String::new(), false);
    for (path, count) in found {
        let line = kept.lines().find_map(|line| line.strip_prefix(path)?.strip_prefix(' '));
        let Some(before) = line.and_then(|number| number.trim().parse::<u64>().ok()).filter(|before| *before > 0)
        else {
            return Err(format!("{FILE} says nothing of {path}; `--update` writes it anew"));
        };
        #[allow(clippy::cast_precision_loss)]
        let percent = (*count as f64 / before as f64 - 1.0) * 100.0;
        is_worse |= count * 100 > before * (100 + MORE_PERCENT_MAX);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{path:12} {before:6} -> {count:6} ({percent:+.1} %)");
    }
    if is_worse {
        Err(format!(
            "{text}more than {MORE_PERCENT_MAX} % more instructions; if that is meant, `--update` keeps the new counts"
        ))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn three_in_a_hundred_more_pass_and_another_one_fails() {
        let kept = "# said\nread 1000\nzone 2000\n";
        assert!(compare(kept, &[("read", 1030), ("zone", 100)]).unwrap().contains("+3.0 %"));
        assert!(compare(kept, &[("read", 1031)]).unwrap_err().contains("more instructions"));
    }

    #[test]
    fn a_path_that_the_file_does_not_know_fails() {
        assert!(compare("read 1000\n", &[("finish", 1)]).unwrap_err().contains("says nothing of finish"));
        assert!(compare("read 0\n", &[("read", 1)]).is_err());
    }
}
