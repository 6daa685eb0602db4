//! How many CPUs the process may use: affinity, the quota of its control group, or what `GOMAXPROCS` says.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The most workers.
pub const WORKERS_MAX: usize = 256;

/// How many workers there should be, and why. Shown as CoreDNS shows it after `maxprocs: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// `GOMAXPROCS` is set; the number is that of the CPUs if its value is none.
    Environment {
        /// How many.
        count: usize,
        /// The value.
        value: String,
    },
    /// There is no quota: the CPUs of the process's affinity.
    Cpus(usize),
    /// The quota, rounded down.
    Quota(usize),
    /// The quota is less than one CPU.
    Minimum,
}

impl Parallelism {
    /// How many workers there should be.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Environment { count, .. } | Self::Cpus(count) | Self::Quota(count) => *count,
            Self::Minimum => 1,
        }
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { value, .. } => write!(f, "Honoring GOMAXPROCS={value:?} as set in environment"),
            Self::Cpus(count) => write!(f, "Leaving GOMAXPROCS={count}: CPU quota undefined"),
            Self::Quota(count) => write!(f, "Updating GOMAXPROCS={count}: determined from CPU quota"),
            Self::Minimum => write!(f, "Updating GOMAXPROCS=1: using minimum allowed GOMAXPROCS"),
        }
    }
}

/// How many workers this process should have: as `GOMAXPROCS` says, else as many as it may use CPUs by quota (cgroup v1 and v2, rounded
/// down, one at least) and affinity.
#[must_use]
pub fn available_workers() -> Parallelism {
    decide(std::env::var("GOMAXPROCS").ok(), Path::new("/"))
}

fn decide(environment: Option<String>, root: &Path) -> Parallelism {
    let cpus = allowed_cpus(root).clamp(1, WORKERS_MAX);
    if let Some(value) = environment.filter(|value| !value.is_empty()) {
        let count = value.parse().ok().filter(|count| *count > 0).unwrap_or(cpus).min(WORKERS_MAX);
        return Parallelism::Environment { count, value };
    }
    match quota(root) {
        None => Parallelism::Cpus(cpus),
        Some(quota) if quota < 1.0 => Parallelism::Minimum,
        // Rounded down; never more workers than CPUs.
        Some(quota) => Parallelism::Quota((quota as usize).min(cpus)),
    }
}

/// The CPUs of the process's affinity, as the kernel lists them: `0-3,8`.
fn allowed_cpus(root: &Path) -> usize {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let counted = list.map(|list| list.trim().split(',').filter_map(range_len).sum());
    counted.filter(|count| *count > 0).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn range_len(range: &str) -> Option<usize> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (last + 1).checked_sub(first)
}

/// The CPU quota of the process's control group, in CPUs.
fn quota(root: &Path) -> Option<f64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let v1 = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|controller| controller == "cpu").then_some(path)
    });
    if let Some(path) = v1
        && let Some(folder) = group_folder(root, &mounts, "cgroup", Some("cpu"), path)
    {
        let (quota, period) = (number(&folder.join("cpu.cfs_quota_us"))?, number(&folder.join("cpu.cfs_period_us"))?);
        return (quota > 0.0 && period > 0.0).then(|| quota / period);
    }
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = group_folder(root, &mounts, "cgroup2", None, path)?;
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next().map_or(Some(100_000.0), |word| word.parse().ok())?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where a control group is mounted. In mountinfo the fourth and fifth words are the root and the place of a mount, and behind a single
/// `-` stand the type of the file system, its source and its options (proc(5)).
fn group_folder(root: &Path, mounts: &str, kind: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (found, options) = (system.next()?, system.nth(1)?);
        if found != kind || controller.is_some_and(|wanted| !options.split(',').any(|option| option == wanted)) {
            return None;
        }
        let mut words = mount.split(' ').skip(3);
        let (mount_root, place) = (words.next()?, words.next()?);
        // In a container the group's path may be that of the host: what the mount does not show is left out.
        let below = Path::new(path).strip_prefix(mount_root).unwrap_or(Path::new(""));
        Some(root.join(place.trim_start_matches('/')).join(below))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const V2: &str = "0::/pod\n";
    const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A root directory with these files, the process being allowed CPUs 0-3 and 8.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let status = ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-3,8\n");
        for (path, text) in files.iter().chain([&status]) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn shown(environment: Option<&str>, files: &[(&str, &str)]) -> String {
        let folder = root(files);
        let found = decide(environment.map(str::to_owned), folder.path());
        format!("{} {found}", found.count())
    }

    #[test]
    fn without_a_quota_the_affinity_counts() {
        assert_eq!(shown(None, &[]), "5 Leaving GOMAXPROCS=5: CPU quota undefined");
    }

    #[test]
    fn the_environment_counts_most() {
        let quota = [
            ("proc/self/cgroup", V2),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/pod/cpu.max", "100000 100000\n"),
        ];
        assert_eq!(shown(Some("3"), &quota), "3 Honoring GOMAXPROCS=\"3\" as set in environment");
    }

    #[test]
    fn a_value_of_the_environment_that_is_no_number_leaves_the_cpus() {
        assert_eq!(shown(Some("many"), &[]), "5 Honoring GOMAXPROCS=\"many\" as set in environment");
        assert_eq!(shown(Some("0"), &[]), "5 Honoring GOMAXPROCS=\"0\" as set in environment");
    }

    #[test]
    fn there_are_never_more_workers_than_may_be() {
        let folder = root(&[]);
        assert_eq!(decide(Some("256".into()), folder.path()).count(), WORKERS_MAX);
        assert_eq!(decide(Some("257".into()), folder.path()).count(), WORKERS_MAX);
    }

    #[test]
    fn a_quota_of_version_2_is_rounded_down() {
        let with = |max| {
            shown(
                None,
                &[("proc/self/cgroup", V2), ("proc/self/mountinfo", V2_MOUNT), ("sys/fs/cgroup/pod/cpu.max", max)],
            )
        };
        assert_eq!(with("290000 100000\n"), "2 Updating GOMAXPROCS=2: determined from CPU quota");
        assert_eq!(with("50000 100000\n"), "1 Updating GOMAXPROCS=1: using minimum allowed GOMAXPROCS");
        assert_eq!(with("max 100000\n"), "5 Leaving GOMAXPROCS=5: CPU quota undefined");
        assert_eq!(with("900000\n"), "5 Updating GOMAXPROCS=5: determined from CPU quota");
    }

    #[test]
    fn a_quota_of_version_1_is_found_in_its_own_tree() {
        let mount = "33 23 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro master:1 - cgroup cgroup rw,cpu,cpuacct\n";
        let files = [
            ("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(shown(None, &files), "3 Updating GOMAXPROCS=3: determined from CPU quota");
        let mut endless = files;
        endless[2].1 = "-1\n";
        assert_eq!(shown(None, &endless), "5 Leaving GOMAXPROCS=5: CPU quota undefined");
    }
}
