//! Runs one case: sets the stage, performs the steps, and tells what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::api::Cluster;
use crate::case::Case;
use crate::names::{self, Names, Ports};
use crate::process::{self, Listener, Server};
use crate::text::{self, Cleaner};
use crate::upstream::Upstream;
use crate::value::Value;
use crate::{Error, tls};

/// Generous: kubernetes may hold the start for 5 s, and machines that test are slow.
const START_SECONDS: f64 = 15.0;
/// A server that must not start has ended by then.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// No case takes as long; one that does hangs.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a case is played should another process snatch its ports.
const ATTEMPTS_MAX: usize = 3;
/// What a panic looks like, in Rust and in Go.
const PANIC: &str = r"(?m)^thread '.*panicked at|^panic: |^fatal runtime error";

/// What the runs share.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The server under test.
    pub binary: PathBuf,
    /// Where free ports come from.
    pub ports: Ports,
    /// What texts are cleaned with.
    pub cleaner: Cleaner,
    /// Whether the folders of the cases stay.
    pub keep: bool,
}

/// What differs from the recording.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The step, counted from 1; 0 is the start. Without one it is no difference but a fault: a panic, a broken case.
    pub step: Option<usize>,
    /// What to show.
    pub lines: Vec<String>,
}

/// How a case went.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What differs; empty for a case that passed.
    pub problems: Vec<Problem>,
    /// The server's output.
    pub log: String,
    /// Where its files are, if they were to stay.
    pub folder: Option<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

/// Plays a case; again with other ports should one have been taken meanwhile.
pub async fn play(case: &Case, setup: &Setup) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..ATTEMPTS_MAX {
        let playing = tokio::time::timeout(CASE_TIMEOUT, play_once(case, setup)).await;
        outcome = playing.unwrap_or_else(|_| Outcome { problems: vec![hanging()], ..Outcome::default() });
        if outcome.problems.is_empty() || !outcome.log.to_lowercase().contains("address already in use") {
            break;
        }
    }
    outcome
}

async fn play_once(case: &Case, setup: &Setup) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome::default();
    let folder = match tempfile::Builder::new().prefix("conformance-").tempdir() {
        Ok(folder) => folder,
        Err(err) => {
            outcome.problems.push(fault(&Error::Io(err)));
            return outcome;
        }
    };
    let path = folder.path().canonicalize().unwrap_or_else(|_| folder.path().to_owned());
    match Stage::set(case, setup, &path).await {
        Ok(mut stage) => {
            if let Err(err) = stage.perform().await {
                let step = stage.step;
                stage.problems.push(problem(step, &err));
            }
            stage.server.stop().await;
            outcome.log = stage.server.output();
            outcome.problems = stage.problems;
        }
        Err(err) => outcome.problems.push(fault(&err)),
    }
    if text::compile(PANIC).is_ok_and(|panic| panic.is_match(&outcome.log)) {
        outcome.problems.push(Problem { step: None, lines: vec!["the server panicked".into()] });
    }
    outcome.folder = setup.keep.then(|| folder.keep());
    outcome.took = began.elapsed();
    outcome
}

fn hanging() -> Problem {
    Problem { step: None, lines: vec![format!("the case hangs: it was given up after {} s", CASE_TIMEOUT.as_secs())] }
}

fn fault(err: &Error) -> Problem {
    Problem { step: None, lines: vec![err.to_string()] }
}

/// What ends a case early is a difference if the server did it, a fault if we did.
fn problem(step: usize, err: &Error) -> Problem {
    match err {
        Error::Failed(text) => Problem { step: Some(step), lines: vec![text.clone()] },
        Error::Case(_) | Error::Io(_) => fault(err),
    }
}

/// The server with everything around it.
pub(crate) struct Stage<'a> {
    pub(crate) case: &'a Case,
    pub(crate) cleaner: &'a Cleaner,
    pub(crate) folder: &'a Path,
    pub(crate) names: Names,
    pub(crate) server: Server,
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) problems: Vec<Problem>,
    /// The step that is under way.
    pub(crate) step: usize,
    /// Whether a step made the server end.
    pub(crate) ended: bool,
}

impl<'a> Stage<'a> {
    async fn set(case: &'a Case, setup: &'a Setup, folder: &'a Path) -> Result<Self, Error> {
        let spec = &case.spec;
        let mut names = Names::new(&folder.to_string_lossy(), setup.ports.clone())?;
        if spec.to_string().contains("${HOST_IP}") {
            let address = names::host_ip();
            names.set("HOST_IP", address.ok_or_else(|| Error::Failed("this host has only loopback addresses".into()))?);
        }
        let upstreams = spec.get("upstreams").map(Value::items).unwrap_or_default();
        for (name, key) in upstreams.iter().flat_map(addresses_of) {
            let port = names.port(&key)?;
            names.set(&name, format!("127.0.0.1:{port}"));
        }
        if let Some(certs) = spec.get("certs") {
            tls::write_certificates(certs, folder)?;
        }
        for (path, text) in spec.get("files").map(Value::entries).unwrap_or_default() {
            write(folder, &names.expand(path)?, &names.expand(text.as_str().unwrap_or_default())?)?;
        }
        let mut running = BTreeMap::new();
        for one in upstreams {
            let one = names.expand_tree(one)?;
            let name = one.str_of("name").unwrap_or_default();
            let port = names.port(&format!("PORT_{name}"))?;
            let tls_port = one.has("tls").then(|| names.port(&format!("PORT_{name}_TLS"))).transpose()?;
            running.insert(name.to_owned(), Upstream::start(&one, port, tls_port, folder).await?);
        }
        let cluster = match spec.str_of("cluster") {
            Some(manifests) => Some(Cluster::start(&names.expand(manifests)?, names.port("HTTP_API")?).await?),
            None => None,
        };
        let mut args = vec!["-conf".to_owned(), "Corefile".to_owned()];
        if spec.has("args") {
            args = spec.list_of("args").iter().map(|arg| names.expand(arg)).collect::<Result<_, _>>()?;
        }
        let mut env = Vec::new();
        for (key, value) in spec.get("env").map(Value::entries).unwrap_or_default() {
            env.push((key.clone(), names.expand(value.as_str().unwrap_or_default())?));
        }
        let server = Server::new(&setup.binary, args, env, folder);
        let (problems, cleaner) = (Vec::new(), &setup.cleaner);
        Ok(Self { case, cleaner, folder, names, server, upstreams: running, cluster, problems, step: 0, ended: false })
    }

    async fn perform(&mut self) -> Result<(), Error> {
        self.server.start()?;
        match self.case.spec.str_of("start") {
            Some(start @ ("fails" | "exits")) => return self.must_end(start).await,
            _ => self.must_listen().await?,
        }
        for (at, step) in self.case.steps().iter().enumerate() {
            self.step = at + 1;
            self.perform_step(step).await?;
            if let Some(status) = self.server.ended().filter(|_| !self.ended) {
                return Err(Error::Failed(format!("the server ended with status {}", process::status_number(status))));
            }
        }
        Ok(())
    }

    /// Waits until the server listens on all that its Corefile names.
    pub(crate) async fn must_listen(&mut self) -> Result<(), Error> {
        let corefile = std::fs::read_to_string(self.folder.join("Corefile")).unwrap_or_default();
        let http: Vec<u16> =
            self.names.ports_named("HTTP").filter(|(name, _)| *name != "HTTP_API").map(|(_, port)| port).collect();
        let mut wanted = process::listeners(&corefile, &http)?;
        if self.case.spec.has("listens") {
            wanted = self.listens()?;
        } else if let Some(port) = self.names.get("PORT").filter(|_| wanted.is_empty()) {
            // As with `-dns.port ${PORT}`.
            let port = port.parse().map_err(|_| Error::Case("PORT is no port".into()))?;
            wanted.extend(["udp", "tcp"].map(|proto| Listener { proto, port }));
        }
        let seconds = self.case.spec.number_of("startup_timeout")?.unwrap_or(START_SECONDS);
        let missing = self.server.wait_listening(&wanted, Duration::from_secs_f64(seconds)).await;
        if let Some(status) = self.server.ended() {
            let status = process::status_number(status);
            return Err(Error::Failed(format!("the server ended at its start with status {status}")));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = missing.iter().map(|one| format!("{} {}", one.proto, one.port)).collect();
        let missing = self.names.collapse(&missing.join(", "));
        Err(Error::Failed(format!("the server does not listen on {missing} after {seconds} s")))
    }

    /// `listens:` of the case, such as `[udp PORT, tcp HTTP]`.
    fn listens(&mut self) -> Result<BTreeSet<Listener>, Error> {
        let mut wanted = BTreeSet::new();
        for line in self.case.spec.list_of("listens") {
            let (proto, name) = line.split_once(' ').unwrap_or((&line, "PORT"));
            let proto = if proto == "udp" { "udp" } else { "tcp" };
            wanted.insert(Listener { proto, port: self.names.port(name)? });
        }
        Ok(wanted)
    }

    /// A server that must not start ends with a status other than 0, and says why.
    async fn must_end(&mut self, start: &str) -> Result<(), Error> {
        let status = self.server.wait_end(END_TIMEOUT).await;
        let status = status.ok_or_else(|| Error::Failed("the server runs, though it should have ended".into()))?;
        let number = process::status_number(status);
        let mut wrong = Vec::new();
        if number < 0 {
            wrong.push(format!("the server was ended by signal {}", -number));
        }
        if (number == 0) != (start == "exits") {
            wrong.push(format!("start: {start}: the server ended with status {number}"));
        }
        let output = self.server.output();
        for pattern in self.case.spec.list_of("stderr_has") {
            if !text::compile(&format!("(?im){pattern}"))?.is_match(&output) {
                wrong.push(format!("output: nothing matches /{pattern}/i"));
            }
        }
        if !wrong.is_empty() {
            self.problems.push(Problem { step: Some(0), lines: wrong });
        }
        Ok(())
    }

    /// Writes a file of the case in one go: a server that watches it never sees half of it.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        write(self.folder, path, text)
    }
}

fn write(folder: &Path, path: &str, text: &str) -> Result<(), Error> {
    let target = folder.join(path);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut fresh = target.clone().into_os_string();
    fresh.push(".new");
    std::fs::write(&fresh, text)?;
    Ok(std::fs::rename(&fresh, &target)?)
}

/// The placeholders of an upstream's addresses, each with that of its port.
fn addresses_of(upstream: &Value) -> Vec<(String, String)> {
    let name = upstream.str_of("name").unwrap_or_default();
    let mut found = vec![(name.to_owned(), format!("PORT_{name}"))];
    if upstream.has("tls") {
        found.push((format!("{name}_TLS"), format!("PORT_{name}_TLS")));
    }
    found
}
