//! A Corefile in a ConfigMap, from the API to the answer.

#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use catena_tests::api::Cluster;
use catena_tests::binary::Binary;
use catena_tests::process::Server;
use regex::Regex;

/// The longest that anything here waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// A moment in which nothing should happen.
const MOMENT: Duration = Duration::from_millis(500);

/// A manifest of the ConfigMap `dns/names` with these keys.
fn map(keys: &[(&str, &str)]) -> String {
    let mut manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: names, namespace: dns}\ndata:\n".to_owned();
    for (key, text) in keys {
        let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
        manifest.push_str(&format!("  {key}: |\n{indented}"));
    }
    manifest
}

/// A server block on a port of 127.0.0.1.
fn block(port: u16, inside: &str) -> String {
    format!("example.org:{port} {{\n    bind 127.0.0.1\n    {inside}\n}}\n")
}

/// An answer of one address to every question.
fn template(last_octet: u8) -> String {
    format!("template IN A {{\n        answer \"{{{{ .Name }}}} 60 IN A 192.0.2.{last_octet}\"\n    }}")
}

fn free_port() -> u16 {
    loop {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if UdpSocket::bind(addr).is_ok() {
            return addr.port();
        }
    }
}

/// A server, the API that it reads its Corefile from, and where it answers.
struct World {
    cluster: Cluster,
    server: Server,
    port: u16,
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts an API with these manifests, and a server that is told of the ConfigMap `dns/names` by a kubeconfig.
    async fn start(port: u16, manifests: &str) -> Self {
        let (api_port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let cluster = Cluster::start(manifests, api_port).await.unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{api_port}'}}}}]\nusers: [{{name: x, user: {{}}}}]\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        let binary = Binary::find(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap();
        let args = ["-conf", "configmap:dns/names", "-kubeconfig", "kubeconfig"].map(str::to_owned).to_vec();
        let mut server = Server::new(&binary.path, args, Vec::new(), folder.path());
        server.start().unwrap();
        Self { cluster, server, port, _folder: folder }
    }

    /// The same with a ConfigMap of one Corefile, and waits until it is in force.
    async fn answering(port: u16, keys: &[(&str, &str)], last_octet: u8) -> Self {
        let world = Self::start(port, &map(keys)).await;
        world.answers(last_octet).await;
        world
    }

    async fn says(&mut self, line: &str) {
        let found = self.server.wait_log(&Regex::new(line).unwrap(), PATIENCE).await;
        assert!(found, "never: {line}\n{}", self.server.output());
    }

    /// The last octet of the address that the server answers with.
    async fn answer(&self) -> Option<u8> {
        let port = self.port;
        let ask = move || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            socket.set_read_timeout(Some(MOMENT)).ok()?;
            let query = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01";
            socket.send_to(query, (Ipv4Addr::LOCALHOST, port)).ok()?;
            let mut reply = [0; 512];
            let length = socket.recv(&mut reply).ok()?;
            (reply[7] > 0).then(|| reply[length - 1])
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    async fn answers(&self, last_octet: u8) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.answer().await != Some(last_octet) {
            assert!(tokio::time::Instant::now() < end, "never: {last_octet}\n{}", self.server.output());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn edit(&self, keys: &[(&str, &str)]) {
        self.cluster.apply(&map(keys)).unwrap();
    }

    fn lines_with(&self, part: &str) -> usize {
        self.server.output().lines().filter(|line| line.contains(part)).count()
    }

    /// The message of the latest Event of this type and reason.
    async fn has_event(&self, kind: &str, reason: &str) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut events = self.cluster.events().into_iter();
            if let Some((_, _, message)) = events.rfind(|event| event.0 == kind && event.1 == reason) {
                return message;
            }
            assert!(tokio::time::Instant::now() < end, "no {reason}: {:?}", self.cluster.events());
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_in_force_at_once_and_nothing_but_that_object_is_asked_for() {
    let port = free_port();
    let world = World::answering(port, &[("Corefile", &block(port, &template(1)))], 1).await;
    world.edit(&[("Corefile", &block(port, &template(2)))]);
    world.answers(2).await;
    assert_eq!(world.has_event("Normal", "CorefileLoaded").await, "the Corefile is in force");
    let asked = "/api/v1/namespaces/dns/configmaps fieldSelector=metadata.name=names";
    assert_eq!(world.cluster.requests(), [asked, "/api/v1/namespaces/dns/events"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_keeps_the_running_server_and_is_told_with_its_place() {
    let port = free_port();
    let page_port = free_port();
    let good = block(port, &format!("prometheus 127.0.0.1:{page_port}\n    {}", template(1)));
    let mut world = World::answering(port, &[("Corefile", &good)], 1).await;
    world.edit(&[("Corefile", &good.replace("template IN", "templat IN"))]);
    world.says("configmap/dns/names/Corefile:4 - Error during parsing: Unknown directive 'templat'").await;
    world.says("--> configmap/dns/names/Corefile:4:5").await;
    let told = world.has_event("Warning", "CorefileRejected").await;
    assert!(told.contains("did you mean `template`?"), "{told}");
    world.answers(1).await;
    let page = tokio::task::spawn_blocking(move || metrics(page_port)).await.unwrap();
    assert!(page.contains("\ncoredns_reload_failed_total 1\n"), "{page}");
    assert!(page.contains("\ncoredns_configmap_stale_seconds 0\n"), "{page}");
    world.edit(&[("Corefile", &good)]);
    world.has_event("Normal", "CorefileLoaded").await;
}

fn metrics(port: u16) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_are_imported_like_files_of_one_directory() {
    let port = free_port();
    let main = block(port, "import *.override\n    import one");
    let keys = |one, last_octet| [("Corefile", main.clone()), ("one", one), ("b.override", template(last_octet))];
    let with = |keys: [(&'static str, String); 3]| {
        move |world: &World| {
            world.edit(&keys.each_ref().map(|(key, text)| (*key, text.as_str())));
        }
    };
    let first = keys("errors".to_owned(), 3);
    let mut world = World::answering(port, &first.each_ref().map(|(key, text)| (*key, text.as_str())), 3).await;
    with(keys("errors".to_owned(), 4))(&world);
    world.answers(4).await;
    with(keys("errors\nnosuch".to_owned(), 4))(&world);
    world.says("configmap/dns/names/one:2 - Error during parsing: Unknown directive 'nosuch'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_api_and_configmap_changes_no_answer_and_is_said_once() {
    let port = free_port();
    let corefile = |last_octet| block(port, &template(last_octet));
    let mut world = World::answering(port, &[("Corefile", &corefile(1))], 1).await;
    world.cluster.begin_outage().await;
    world.says("ERROR.*configmap/dns/names/Corefile: .*; the configuration in force stays").await;
    tokio::time::sleep(MOMENT * 4).await;
    assert_eq!(world.lines_with("the configuration in force stays"), 1);
    world.answers(1).await;
    world.edit(&[("Corefile", &corefile(2))]);
    world.cluster.end_outage().await.unwrap();
    world.says("configmap/dns/names/Corefile: in step again").await;
    world.answers(2).await;
    // The version that the watch would go on from is gone.
    world.cluster.compact();
    world.edit(&[("Corefile", &corefile(3))]);
    world.answers(3).await;
    world.cluster.delete(&map(&[])).unwrap();
    world.says("there is no ConfigMap names in namespace dns; the configuration in force stays").await;
    world.answers(3).await;
    world.edit(&[("Corefile", &corefile(4))]);
    world.answers(4).await;
    world.edit(&[("Caddyfile", "x")]);
    world.says("the ConfigMap has no key Corefile; its keys are: Caddyfile; the configuration in force stays").await;
    world.answers(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_forbidden_are_said_once_and_are_no_error() {
    let port = free_port();
    let world = World::answering(port, &[("Corefile", &block(port, &template(1)))], 1).await;
    world.cluster.forbid_events();
    for last_octet in 2..5 {
        world.edit(&[("Corefile", &block(port, &template(last_octet)))]);
        world.answers(last_octet).await;
    }
    tokio::time::sleep(MOMENT).await;
    assert_eq!(
        world.lines_with("[INFO] configmap/dns/names/Corefile: no Events are put on it: events is forbidden"),
        1
    );
    assert_eq!(world.lines_with("ERROR"), 0, "{}", world.server.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_the_configmap_and_a_bad_one_ends_it() {
    let port = free_port();
    let mut world = World::start(port, &map(&[]).replace("name: names", "name: others")).await;
    world.says("waiting for configmap/dns/names/Corefile: there is no ConfigMap names in namespace dns").await;
    world.edit(&[("Corefile", "nosuch {")]);
    let ended = world.server.wait_end(PATIENCE).await.unwrap();
    assert_eq!(ended.code(), Some(1));
    world.says("configmap/dns/names/Corefile:1").await;
    world.has_event("Warning", "CorefileRejected").await;
}

#[test]
fn the_manifests_to_start_from_have_a_good_corefile() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let binary = Binary::find(workspace).unwrap();
    let file = workspace.join("examples/configmap/configmap.yaml");
    let checked = std::process::Command::new(&binary.path).arg("check").arg(file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
