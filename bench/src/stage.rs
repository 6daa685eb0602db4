//! What every measurement stands on: the programs, a folder, an upstream, a Kubernetes API, and names to ask for.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::api::Api;
use crate::cluster::world::{World, service_name};
use crate::peers::{self, Peer, Setting, Work};
use crate::process::{Server, free_port, pin_myself};
use crate::wire;

/// The core of the server under measurement, and that of load and upstream.
pub(crate) const CORES: (&str, &str) = ("0", "1");
/// The names of zone and cache.
pub(crate) const NAMES: usize = 10_000;
pub(crate) const SERVICES: usize = 5_000;
const ENDPOINTS: usize = 10;

/// How long and how often is measured.
pub(crate) struct Effort {
    pub(crate) warm: Duration,
    pub(crate) load: Duration,
    pub(crate) paced: Duration,
    pub(crate) times: usize,
}

impl Effort {
    pub(crate) fn of(options: &[&str]) -> Self {
        let seconds = Duration::from_secs_f64;
        match options.contains(&"--quick") {
            false => Self { warm: seconds(1.5), load: seconds(3.0), paced: seconds(2.0), times: 3 },
            true => Self { warm: seconds(0.5), load: seconds(1.0), paced: seconds(0.5), times: 1 },
        }
    }
}

/// All of it; the folder and the upstream end with it.
pub(crate) struct Stage {
    pub(crate) peers: Vec<Peer>,
    pub(crate) setting: Setting,
    pub(crate) api: Api,
    pub(crate) log: PathBuf,
    /// The program, with its arguments, under which peers run; none by default.
    pub(crate) under: Vec<String>,
    own: String,
    _upstream: Server,
}

impl Stage {
    /// Finds the programs and starts upstream and API on the load's cores.
    pub(crate) fn open(root: &Path, cores: &str) -> Result<Self, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let catena = std::env::var_os("CATENA").map_or_else(|| target.join("release/catena"), PathBuf::from);
        let coredns = std::env::var_os("COREDNS").map(PathBuf::from);
        for path in coredns.iter().chain([&catena]) {
            if !path.is_file() {
                return Err(format!("{} is not there; `cargo build --release` makes Catena", path.display()));
            }
        }
        pin_myself(cores)?;
        let folder = std::env::temp_dir().join(format!("catena-bench-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("knot")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let api = Self::api(SERVICES, ENDPOINTS)?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?.display().to_string();
        let upstream = free_port()?;
        let echo = [own.clone(), "echo".to_owned(), upstream.to_string()];
        let _upstream = Server::start(cores, &[], &echo, upstream, &folder.join("upstream.log"))?;
        let zone_file = zone(&folder, NAMES)?;
        let setting = Setting {
            zone_file,
            port: 0,
            upstream,
            api: api.addr.clone(),
            workers: 1,
            cache_entries: None,
            blocks: 1,
            folder: folder.clone(),
        };
        let (peers, log) = (peers::installed(catena, coredns), folder.join("log"));
        Ok(Self { peers, setting, api, log, under: Vec::new(), own, _upstream })
    }

    /// The API of a cluster of so many Services.
    pub(crate) fn api(services: usize, endpoints: usize) -> Result<Api, String> {
        Api::start(World { services, endpoints, pods: 0 }).map_err(|error| error.to_string())
    }

    /// The echo as the server under measurement, with as many threads as the setting has workers.
    pub(crate) fn echo(&self) -> Vec<String> {
        let Setting { port, workers, .. } = self.setting;
        vec![self.own.clone(), "echo".to_owned(), port.to_string(), workers.to_string()]
    }

    /// Starts a server for some work; `None`: that is not its work. No peer: the echo.
    pub(crate) fn start(&mut self, peer: Option<usize>, work: Work, cores: &str) -> Result<Option<Server>, String> {
        self.setting.port = free_port()?;
        let command = match peer {
            None => self.echo(),
            Some(at) => match self.peers[at].command(&self.setting, work)? {
                Some(command) => self.under.iter().cloned().chain(command).collect(),
                None => return Ok(None),
            },
        };
        let workers = [("GOMAXPROCS", self.setting.workers.to_string())];
        Server::start(cores, &workers, &command, self.setting.port, &self.log).map(Some)
    }

    /// The echo and all peers: the number of each, and its name.
    pub(crate) fn everybody(&self) -> Vec<(Option<usize>, &'static str)> {
        let peers = self.peers.iter().enumerate().map(|(at, peer)| (Some(at), peer.name));
        std::iter::once((None, "echo")).chain(peers).collect()
    }

    pub(crate) fn versions(&self) -> Vec<(&'static str, String)> {
        self.peers.iter().map(|peer| (peer.name, peer.version())).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary directory harms nobody.
        let _ = std::fs::remove_dir_all(&self.setting.folder);
    }
}

/// Writes a zone of so many names.
pub(crate) fn zone(folder: &Path, names: usize) -> Result<PathBuf, String> {
    let file = folder.join(format!("zone-{names}"));
    let mut text = String::from(
        "$ORIGIN example.test.\n$TTL 3600\n@ IN SOA ns.example.test. admin.example.test. 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n",
    );
    for number in 0..names {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "n{number:07} IN A 10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    }
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// What the rows ask.
pub(crate) fn queries(work: Work) -> Result<Vec<Vec<u8>>, String> {
    queries_of(work, if work == Work::Services { SERVICES } else { NAMES })
}

/// Asks for so many names, each once, in an order in which one says nothing of the next.
pub(crate) fn queries_of(work: Work, count: usize) -> Result<Vec<Vec<u8>>, String> {
    let name = |number| match work {
        Work::Services => format!("{}.cluster.local", service_name(number)),
        Work::Blocks => format!("www.b{number:04}.test"),
        _ => format!("n{number:07}.example.test"),
    };
    shuffled(count).into_iter().map(|number| wire::query(&name(number), "A")).collect()
}

/// The numbers below `count`, shuffled the same way every time (Fisher and Yates, with Vigna's splitmix64).
fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut state = 0_u64;
    for last in (1..count).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers.swap(last, ((mixed ^ (mixed >> 31)) % (last as u64 + 1)) as usize);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_not_in_order() {
        let numbers = shuffled(1_000);
        let follow = numbers.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(follow < 20, "{follow}");
        let mut sorted = numbers;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_000).collect::<Vec<_>>());
        assert_eq!(shuffled(1), [0]);
    }
}
