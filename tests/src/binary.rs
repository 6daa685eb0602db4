//! The server under test: which one it is, and what it is made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::Error;

/// Names another server than the workspace's own.
pub const BINARY_VARIABLE: &str = "CATENA_BIN";
/// How deep sources are searched.
const FOLDERS_MAX: usize = 8;

/// A server binary.
#[derive(Debug, Clone)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// The names that its `-plugins` prints.
    pub plugins: BTreeSet<String>,
    /// Whether it is CoreDNS itself, from which nothing may differ.
    pub is_reference: bool,
}

impl Binary {
    /// The server that `CATENA_BIN` names, else the one that the workspace builds. It is built here when it is
    /// missing or older than its sources, in the profile of this test.
    ///
    /// # Errors
    /// [`Error::Failed`] when there is none, or when it does not answer `-plugins`.
    pub fn find(workspace: &Path) -> Result<Self, Error> {
        let path = match std::env::var_os(BINARY_VARIABLE) {
            Some(path) => PathBuf::from(path),
            None => built(workspace)?,
        };
        let path = path.canonicalize().map_err(|err| Error::Failed(format!("{}: {err}", path.display())))?;
        let listed = print(&path, "-plugins")?;
        let plugins: BTreeSet<String> = listed.split_whitespace().map(str::to_owned).collect();
        if plugins.is_empty() {
            // Every case would be skipped, and the test would pass.
            return Err(Error::Failed(format!("{} -plugins lists nothing", path.display())));
        }
        let is_reference = print(&path, "-version")?.starts_with("CoreDNS-");
        Ok(Self { path, plugins, is_reference })
    }
}

fn print(path: &Path, flag: &str) -> Result<String, Error> {
    let output = Command::new(path).arg(flag).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Failed(format!("{} {flag}: {}: {text}", path.display(), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn built(workspace: &Path) -> Result<PathBuf, Error> {
    let unknown = || Error::Failed("this test is in no target folder".into());
    // TARGET/PROFILE/deps/conformance-HASH
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or_else(unknown)?;
    let target = profile.parent().ok_or_else(unknown)?;
    let binary = profile.join(format!("catena{}", std::env::consts::EXE_SUFFIX));
    let made = binary.metadata().and_then(|found| found.modified()).ok();
    let sources = ["crates", "plugins"].map(|folder| newest(&workspace.join(folder), FOLDERS_MAX));
    if made.is_some_and(|made| sources.into_iter().flatten().all(|source| source <= made)) {
        return Ok(binary);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "catena", "--bin", "catena"]).current_dir(workspace);
    command.arg("--target-dir").arg(target);
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    if command.status()?.success() { Ok(binary) } else { Err(Error::Failed("the server does not build".into())) }
}

/// When the newest source below a folder was written.
fn newest(folder: &Path, depth: usize) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let times = entries.filter_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return if depth == 0 { None } else { newest(&path, depth - 1) };
        }
        let is_source = path.extension().is_some_and(|kind| kind == "rs" || kind == "toml");
        is_source.then(|| entry.metadata().ok()?.modified().ok()).flatten()
    });
    times.max()
}
