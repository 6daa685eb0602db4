//! `docs/coredns-differences.md`, collected from the plugins' READMEs, the core's own list and the recorded cases.

use std::path::Path;

use crate::{Outcome, folders};

/// The document.
pub(crate) const FILE: &str = "docs/coredns-differences.md";
/// What differs outside of plugins.
const CORE_FILE: &str = "docs/differences-core.md";
/// The recorded cases that differ on purpose, a reason each.
const CASES_FILE: &str = "tests/conformance/differences.yaml";
/// The heading of a README that holds a plugin's differences.
const HEADING: &str = "## Differences from CoreDNS";

/// Writes the document.
pub(crate) fn write(root: &Path) -> Outcome {
    std::fs::write(root.join(FILE), text(root)).map_err(|error| vec![format!("{FILE}: {error}")])?;
    Ok(format!("{FILE} is fresh"))
}

/// The document as it should be.
pub(crate) fn text(root: &Path) -> String {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut out = String::from(
        "# Differences from CoreDNS 1.14.7\n\nMade by `cargo xtask differences` from `docs/differences-core.md` and the plugins' READMEs; do not edit.\n",
    );
    out.push_str(&read(CORE_FILE));
    for plugin in folders(&root.join("plugins")) {
        let readme = read(&format!("plugins/{plugin}/README.md"));
        let section: Vec<&str> = readme
            .lines()
            .skip_while(|line| *line != HEADING)
            .skip(1)
            .take_while(|line| !line.starts_with("## "))
            .collect();
        let section = section.join("\n").trim().to_owned();
        if !section.is_empty() && section != "None." {
            out.push_str(&format!("\n## {plugin}\n\n{section}\n"));
        }
    }
    let cases = read(CASES_FILE);
    let cases: Vec<&str> = cases.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect();
    if !cases.is_empty() {
        out.push_str("\n## Recorded cases that differ on purpose\n\n");
        for case in cases {
            out.push_str(&format!("* {case}\n"));
        }
    }
    out
}
