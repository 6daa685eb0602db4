//! What a compiler does not check: who depends on whom, what a plugin's folder holds, where `unsafe` is.

use std::path::{Path, PathBuf};

use crate::{Outcome, differences, folders};

/// The headings of a plugin's README, in this order.
const HEADINGS: [&str; 8] =
    ["Name", "Description", "Syntax", "Metrics", "Ready", "Examples", "Differences from CoreDNS", "See also"];
/// The only file with `unsafe`.
const UNSAFE_FILE: &str = "crates/datagrams/src/batch.rs";
/// The most lines of a file of code: beyond it has more than one subject.
const FILE_LINES_MAX: usize = 800;

/// For each crate below `crates/`, the crates of the workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("corefile", &[]),
    ("core", &["corefile"]),
    ("files", &["core"]),
    ("gocompat", &["core", "corefile"]),
    ("cluster", &["core", "corefile", "gocompat"]),
    ("datagrams", &[]),
    ("upstream", &["core", "corefile", "gocompat", "datagrams"]),
    ("zone", &["core", "corefile", "files"]),
    ("server", &["core", "corefile", "datagrams"]),
    ("runtime", &["core", "corefile", "gocompat", "server", "cluster"]),
    ("stock", &["core", "*plugins*"]),
    ("catena", &["core", "corefile", "runtime", "stock", "server", "gocompat"]),
    ("testkit", &["core", "corefile"]),
    ("xtask", &[]),
    ("*plugin*", &["core", "corefile", "files", "gocompat", "cluster", "upstream", "zone"]),
];

/// Checks everything.
pub(crate) fn run(root: &Path) -> Outcome {
    let mut faults = Vec::new();
    let mut crates = 0;
    for name in folders(&root.join("crates")) {
        crates += 1;
        check_dependencies(root, &format!("crates/{name}"), &name, &mut faults);
    }
    let stock = read(&root.join("crates/stock/src/lib.rs"));
    for name in folders(&root.join("plugins")) {
        crates += 1;
        check_dependencies(root, &format!("plugins/{name}"), "*plugin*", &mut faults);
        check_plugin(root, &name, &stock, &mut faults);
    }
    let mut files = Vec::new();
    for folder in ["crates", "plugins", "tests", "bench", "examples"] {
        code_files(&root.join(folder), &mut files);
    }
    for file in &files {
        check_code(root, file, &mut faults);
    }
    if read(&root.join(differences::FILE)) != differences::text(root) {
        faults.push(format!("{}: not fresh; run `cargo xtask differences`", differences::FILE));
    }
    if faults.is_empty() { Ok(format!("tidy: {crates} crates, {} files of code", files.len())) } else { Err(faults) }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The crates of the workspace that a manifest names outside `[dev-dependencies]`.
fn own_dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies") && !section.contains("dev-dependencies") {
            let name = line.split(['.', '=', ' ']).next().unwrap_or("");
            if let Some(own) = name.strip_prefix("catena") {
                found.push(own.trim_start_matches('-').to_owned());
            }
        }
    }
    found
}

fn check_dependencies(root: &Path, folder: &str, rule: &str, faults: &mut Vec<String>) {
    let manifest = read(&root.join(folder).join("Cargo.toml"));
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == rule) else {
        faults.push(format!("{folder}: no dependency rule for this crate"));
        return;
    };
    for dependency in own_dependencies(&manifest) {
        let is_plugin = dependency.starts_with("plugin-");
        let fine = allowed.contains(&dependency.as_str()) || (is_plugin && allowed.contains(&"*plugins*"));
        if !fine {
            faults.push(format!("{folder}: may not depend on catena-{dependency}"));
        }
    }
}

fn check_plugin(root: &Path, name: &str, stock: &str, faults: &mut Vec<String>) {
    let folder = root.join("plugins").join(name);
    let code = read(&folder.join("src/lib.rs"));
    if !code.contains(&format!("PluginDef::new(\"{name}\"")) {
        faults.push(format!("plugins/{name}: src/lib.rs does not define the directive {name}"));
    }
    if !stock.contains(name) {
        faults.push(format!("plugins/{name}: not in the list of crates/stock"));
    }
    let readme = read(&folder.join("README.md"));
    let headings: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    if headings != HEADINGS {
        faults.push(format!("plugins/{name}/README.md: headings are {headings:?}, should be {HEADINGS:?}"));
    }
}

fn code_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            code_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn check_code(root: &Path, file: &Path, faults: &mut Vec<String>) {
    let code = read(file);
    let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
    if shown.starts_with("crates/xtask/") {
        return;
    }
    let lines = code.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(format!("{shown}: {lines} lines, more than {FILE_LINES_MAX}: more than one subject?"));
    }
    for (number, line) in code.lines().enumerate() {
        let words = line.split("//").next().unwrap_or("");
        let says = |word: &str| words.contains(word);
        if (says("unsafe {") || says("unsafe fn") || says("unsafe impl")) && !is_unsafe_file(&shown) {
            faults.push(format!("{shown}:{}: unsafe outside {UNSAFE_FILE}", number + 1));
        }
        if says("#[ignore") || says("todo!(") || says("unimplemented!(") {
            faults.push(format!("{shown}:{}: unfinished", number + 1));
        }
    }
}

/// A test's global allocator cannot be written without `unsafe`; it lives in a test.
fn is_unsafe_file(shown: &str) -> bool {
    shown == UNSAFE_FILE || shown.ends_with("tests/allocations.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_dependencies_do_not_count() {
        let manifest =
            "[dependencies]\ncatena-core.workspace = true\ntokio = \"1\"\n[dev-dependencies]\ncatena-testkit = {}\n";
        assert_eq!(own_dependencies(manifest), ["core"]);
    }

    #[test]
    fn the_workspace_is_tidy() {
        assert_eq!(run(&crate::root()).err().unwrap_or_default(), Vec::<String>::new());
    }
}
