//! What readers are shown works: the Corefiles in READMEs, the example, and those that distributions ship.

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use catena_tests::binary::Binary;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What `catena check` says of a text, seen from the workspace's folder.
fn check(corefile: &str, shown: &str) -> Output {
    let binary = Binary::find(&workspace()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Corefile");
    std::fs::write(&file, corefile).unwrap();
    let output = Command::new(&binary.path).arg("check").arg(&file).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{shown}:\n{corefile}\n{}", String::from_utf8_lossy(&output.stdout));
    output
}

/// The blocks of a Markdown text that are fenced as ```corefile.
fn corefiles_in(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        match &mut open {
            Some(text) if line.trim() == "```" => {
                found.push(std::mem::take(text));
                open = None;
            }
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line.trim() == "```corefile" => open = Some(String::new()),
            None => {}
        }
    }
    found
}

#[test]
fn every_corefile_in_the_plugins_readmes_loads() {
    let mut count = 0;
    for entry in std::fs::read_dir(workspace().join("plugins")).unwrap() {
        let readme = entry.unwrap().path().join("README.md");
        let found = corefiles_in(&std::fs::read_to_string(&readme).unwrap());
        assert!(!found.is_empty(), "{} has no example", readme.display());
        for corefile in found {
            check(&corefile, &readme.display().to_string());
            count += 1;
        }
    }
    assert!(count >= 19, "there are {count} examples only");
}

#[test]
fn every_corefile_in_the_documents_loads() {
    for document in ["README.md", "docs/architecture.md", "docs/writing-a-plugin.md"] {
        let text = std::fs::read_to_string(workspace().join(document)).unwrap();
        for corefile in corefiles_in(&text) {
            check(&corefile, document);
        }
    }
}

#[test]
fn the_example_loads_without_a_warning() {
    let output = check(&std::fs::read_to_string(workspace().join("Corefile.example")).unwrap(), "Corefile.example");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn every_corefile_that_distributions_ship_loads() {
    let folder = workspace().join("tests/fixtures/corefiles");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        check(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string());
        count += 1;
    }
    assert_eq!(count, 8);
}

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the test then tells.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A shipped Corefile with ports, addresses and cluster changed, and nothing else.
fn adapted(corefile: &str, port: &str, folder: &Path) -> String {
    let resolv_conf = folder.join("resolv.conf");
    // Nobody listens there: outside names are SERVFAIL.
    std::fs::write(&resolv_conf, "nameserver 127.0.0.9\n").unwrap();
    let lab = workspace().join("examples/lab");
    let mut out = String::new();
    for line in corefile.lines() {
        let mut line = line
            .replace(":5353 {", &format!(":{port} {{"))
            .replace(":53 {", &format!(":{port} {{"))
            .replace("/etc/resolv.conf", &resolv_conf.display().to_string())
            .replace("169.254.20.10 10.96.0.10", "127.0.0.1 127.0.0.2")
            .replace("10.96.0.11", "127.0.0.9");
        let word = line.split_whitespace().next().unwrap_or("").to_owned();
        match word.as_str() {
            "health" | "ready" | "prometheus" => {
                let block = if line.contains('{') { " {" } else { "" };
                line = format!("{word} 127.0.0.1:{}{block}", free_port());
            }
            "kubernetes" => line.push_str(&format!("\n manifests {}", lab.display())),
            _ => {}
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Asks for the A records of a name; the code and the number of answers.
fn ask(port: &str, name: &str) -> Option<(u8, u8)> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.send_to(&query, format!("127.0.0.1:{port}")).unwrap();
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).ok()?;
    (len >= 12 && reply[..2] == [0, 7]).then(|| (reply[3] & 15, reply[7]))
}

#[test]
#[allow(clippy::disallowed_methods)]
fn every_corefile_that_distributions_ship_answers() {
    let binary = Binary::find(&workspace()).unwrap();
    for entry in std::fs::read_dir(workspace().join("tests/fixtures/corefiles")).unwrap() {
        let path = entry.unwrap().path();
        let corefile = std::fs::read_to_string(&path).unwrap();
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("Corefile");
        std::fs::write(&file, adapted(&corefile, &port, folder.path())).unwrap();
        let child = Command::new(&binary.path).arg("-conf").arg(&file).stdout(Stdio::null()).spawn().unwrap();
        let mut running = Running(child);
        let until = Instant::now() + Duration::from_secs(20);
        let is_cluster = corefile.contains("kubernetes");
        // A service of the cluster; where the file forwards the cluster to another server, its failure.
        let wanted = if is_cluster { (0, 1) } else { (2, 0) };
        loop {
            let told = ask(&port, "nginx.default.svc.cluster.local");
            if told == Some(wanted) {
                break;
            }
            assert_eq!(running.0.try_wait().unwrap(), None, "{} ended", path.display());
            assert!(Instant::now() < until, "{}: {told:?}", path.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
