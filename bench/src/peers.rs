//! Who is measured, and how each is told what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a server is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Answers from a cache, or from a zone where a server has no cache.
    Cache,
    /// Answers from a cache behind the plugins of kubeadm's Corefile.
    Kubeadm,
    /// Answers from a zone.
    Zone,
    /// Answers for Services, without a cache.
    Services,
    /// Asks another server every time.
    Forward,
    /// Answers behind kubeadm's chain, of which the cache lets the cluster's names pass.
    Cluster,
    /// Answers from one of many server blocks, each with a small zone.
    Blocks,
}

/// Where things are.
pub(crate) struct Setting {
    pub(crate) folder: PathBuf,
    pub(crate) zone_file: PathBuf,
    /// The port of the server that is measured.
    pub(crate) port: u16,
    /// The port of the echo that is its upstream.
    pub(crate) upstream: u16,
    /// The Kubernetes API, `127.0.0.1:PORT`.
    pub(crate) api: String,
    /// How many threads or processes are to serve.
    pub(crate) workers: usize,
    /// How many entries a cache may have, if not as many as by default.
    pub(crate) cache_entries: Option<usize>,
    /// How many server blocks [`Work::Blocks`] has.
    pub(crate) blocks: usize,
}

/// Gives a server's configuration and arguments, in which `@CONF@` is its file; `None`: that is not its work.
type Configure = fn(&Setting, Work) -> Option<(String, Vec<String>)>;

/// A server program.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    program: PathBuf,
    version: (&'static str, bool),
    configure: Configure,
}

impl Peer {
    /// The command that starts it for this work; `None`: that is not its work.
    pub(crate) fn command(&self, setting: &Setting, work: Work) -> Result<Option<Vec<String>>, String> {
        let Some((text, args)) = (self.configure)(setting, work) else { return Ok(None) };
        let file = setting.folder.join("conf");
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let shown = |path: &Path| path.display().to_string();
        let args = args.into_iter().map(|arg| arg.replace("@CONF@", &shown(&file)));
        Ok(Some(std::iter::once(shown(&self.program)).chain(args).collect()))
    }

    /// What it calls its version: the first word with a digit and a point.
    pub(crate) fn version(&self) -> String {
        let Ok(output) = Command::new(&self.program).arg(self.version.0).output() else { return String::new() };
        let text = if self.version.1 { output.stderr } else { output.stdout };
        let text = String::from_utf8_lossy(&text).into_owned();
        let is_version = |word: &&str| word.contains('.') && word.contains(|c: char| c.is_ascii_digit());
        let word = text.split_whitespace().find(is_version).unwrap_or("");
        word.trim_start_matches("CoreDNS-").trim_start_matches("Catena-").trim_end_matches(',').to_owned()
    }
}

/// The programs that are installed, Catena first.
pub(crate) fn installed(catena: PathBuf, coredns: Option<PathBuf>) -> Vec<Peer> {
    let peer = |name, program: PathBuf, version, configure| Peer { name, program, version, configure };
    let mut found = vec![peer("Catena", catena, ("-version", false), corefile as Configure)];
    let debian: [(&str, &str, (&str, bool), Configure); 5] = [
        ("NSD", "nsd", ("-v", true), nsd),
        ("Knot", "knotd", ("--version", false), knot),
        ("dnsmasq", "dnsmasq", ("--version", false), dnsmasq),
        ("unbound", "unbound", ("-V", false), unbound),
        ("dnsdist", "dnsdist", ("--version", false), dnsdist),
    ];
    for (name, program, version, configure) in debian {
        let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
        let place = places.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
        found.extend(place.map(|program| peer(name, program, version, configure)));
    }
    found.extend(coredns.map(|program| peer("CoreDNS", program, ("-version", false), corefile)));
    found
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The cache has room for all names: with the usual 9,984 a few of 10,000 would be asked for again and again.
const CACHE_ENTRIES: usize = 20_000;

fn corefile(setting: &Setting, work: Work) -> Option<(String, Vec<String>)> {
    let Setting { port, upstream, api, zone_file, .. } = setting;
    let zone_file = zone_file.display();
    let kubeadm = |cache: &str| {
        format!(
            "errors\n health 127.0.0.1:0\n ready 127.0.0.1:0\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n  endpoint http://{api}\n  \
             pods insecure\n  fallthrough in-addr.arpa ip6.arpa\n  ttl 30\n }}\n prometheus 127.0.0.1:0\n forward . 127.0.0.1:{upstream} {{\n  \
             max_concurrent 1000\n }}\n cache 3600{cache}\n loop\n reload\n loadbalance"
        )
    };
    let plugins = match work {
        Work::Cache => {
            let entries = setting.cache_entries.unwrap_or(CACHE_ENTRIES);
            format!("cache 3600 {{\n  success {entries}\n }}\n forward . 127.0.0.1:{upstream}")
        }
        Work::Kubeadm => kubeadm(&format!(" {{\n  success {CACHE_ENTRIES}\n }}")),
        Work::Cluster => kubeadm(" {\n  disable success cluster.local\n  disable denial cluster.local\n }"),
        Work::Zone => format!("file {zone_file} example.test"),
        Work::Services => format!("errors\n kubernetes cluster.local {{\n  endpoint http://{api}\n }}"),
        Work::Forward => format!("forward . 127.0.0.1:{upstream}"),
        Work::Blocks => {
            let block = |number| format!("b{number:04}.test:{port} {{\n bind 127.0.0.1\n file {zone_file}\n}}\n");
            return Some(((0..setting.blocks).map(block).collect(), words("-conf @CONF@")));
        }
    };
    Some((format!(".:{port} {{\n bind 127.0.0.1\n {plugins}\n}}\n"), words("-conf @CONF@")))
}

fn nsd(setting: &Setting, work: Work) -> Option<(String, Vec<String>)> {
    if !matches!(work, Work::Cache | Work::Zone) {
        return None;
    }
    let (folder, port, workers) = (setting.folder.display(), setting.port, setting.workers);
    let text = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n zonesdir: \"{folder}\"\n pidfile: \"\"\n database: \"\"\n \
         xfrdfile: \"{folder}/xfrd.state\"\n zonelistfile: \"{folder}/zone.list\"\n xfrdir: \"{folder}\"\n server-count: {workers}\n \
         rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n zonefiles-check: no\n reuseport: yes\nremote-control:\n control-enable: no\n\
         zone:\n name: example.test\n zonefile: \"{}\"\n",
        setting.zone_file.display()
    );
    Some((text, words("-d -c @CONF@")))
}

fn knot(setting: &Setting, work: Work) -> Option<(String, Vec<String>)> {
    if !matches!(work, Work::Cache | Work::Zone) {
        return None;
    }
    let (folder, port, workers) = (setting.folder.display(), setting.port, setting.workers);
    let text = format!(
        "server:\n    listen: 127.0.0.1@{port}\n    rundir: {folder}\n    udp-workers: {workers}\n    tcp-workers: 1\n    background-workers: 1\n\
         database:\n    storage: {folder}/knot\nzone:\n  - domain: example.test\n    file: {}\n    zonefile-sync: -1\n    \
         journal-content: none\n",
        setting.zone_file.display()
    );
    Some((text, words("-c @CONF@")))
}

fn dnsmasq(setting: &Setting, work: Work) -> Option<(String, Vec<String>)> {
    if setting.workers > 1 {
        return None;
    }
    let size = match work {
        Work::Cache => 20_000,
        Work::Forward => 0,
        _ => return None,
    };
    let Setting { port, upstream, .. } = setting;
    let args = format!(
        "-k -C @CONF@ --port={port} --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts --server=127.0.0.1#{upstream} \
         --cache-size={size} --dns-forward-max=10000 --user=root --pid-file="
    );
    Some((String::new(), words(&args)))
}

fn unbound(setting: &Setting, work: Work) -> Option<(String, Vec<String>)> {
    let no_cache = match work {
        Work::Cache => "no",
        Work::Forward => "yes",
        _ => return None,
    };
    let Setting { port, upstream, folder, workers, .. } = setting;
    let text = format!(
        "server:\n interface: 127.0.0.1\n port: {port}\n do-not-query-localhost: no\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n \
         directory: \"{}\"\n num-threads: {workers}\n so-reuseport: yes\n module-config: \"iterator\"\n local-zone: \"test.\" nodefault\n msg-cache-size: 32m\n rrset-cache-size: 64m\n use-syslog: no\n \
         so-rcvbuf: 1m\n outgoing-range: 4096\n num-queries-per-thread: 2048\nremote-control:\n control-enable: no\n\
         forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{upstream}\n forward-no-cache: {no_cache}\n",
        folder.display()
    );
    Some((text, words("-d -c @CONF@")))
}

fn dnsdist(setting: &Setting, work: Work) -> Option<(String, Vec<String>)> {
    let cache = match work {
        Work::Cache => "getPool(\"\"):setCache(newPacketCache(100000))\n",
        Work::Forward => "",
        _ => return None,
    };
    let Setting { port, upstream, workers, .. } = setting;
    let listeners: String = (0..*workers)
        .map(|at| {
            let call = if at == 0 { "setLocal" } else { "addLocal" };
            format!("{call}(\"127.0.0.1:{port}\", {{reusePort=true}})\n")
        })
        .collect();
    let text = format!(
        "setSecurityPollSuffix(\"\")\n{listeners}newServer({{address=\"127.0.0.1:{upstream}\"}}):setUp()\n{cache}"
    );
    Some((text, words("--supervised -C @CONF@")))
}
