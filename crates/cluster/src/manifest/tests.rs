#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Manifests on disk, and what the index shows of them.

use std::os::unix::fs::symlink;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::index::{Keep, Observer, ServiceKind};

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn log(&self, _level: Level, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

struct Lab {
    folder: TempDir,
    index: Arc<Index>,
    log: Arc<Log>,
    manifests: Option<Manifests>,
}

impl Lab {
    fn of(text: &str) -> Self {
        let log = Arc::new(Log::default());
        let index = Arc::new(Index::new(Keep::default(), log.clone()));
        let mut lab = Self { folder: TempDir::new().unwrap(), index, log, manifests: None };
        lab.write("lab.yaml", text);
        lab.open(vec![lab.folder.path().to_owned()]);
        lab
    }

    fn open(&mut self, paths: Vec<PathBuf>) {
        let manifests = Manifests::read(paths).unwrap();
        manifests.fill(&self.index);
        self.manifests = Some(manifests);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn look(&mut self) -> bool {
        let mut manifests = self.manifests.take().unwrap();
        let changed = manifests.look(&self.index);
        manifests.fill(&self.index);
        self.manifests = Some(manifests);
        changed
    }

    /// `LABEL ADDRESS PORT`, a line for every endpoint and port.
    fn endpoints(&self, service: &str) -> Vec<String> {
        let Some(entry) = self.index.service(b"default", service.as_bytes()) else { return Vec::new() };
        let ports = entry.endpoints().flat_map(|(slice, endpoint)| {
            let shown = |port: &crate::Port| {
                format!("{} {} {:?}", endpoint.label(), endpoint.address, port.number.unwrap_or(0))
            };
            slice.ports().iter().map(shown).collect::<Vec<_>>()
        });
        ports.collect()
    }

    fn has(&self, service: &str) -> bool {
        self.index.service(b"default", service.as_bytes()).is_some_and(|entry| entry.service().is_some())
    }
}

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}\n"
    )
}

const WEB: &str = "
kind: Service
metadata: {name: web}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
";

fn pod(name: &str, spec: &str, status: &str) -> String {
    format!(
        "---\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: web, tier: a}}}}\nspec: {spec}\nstatus: {status}\n"
    )
}

#[test]
fn a_selector_finds_its_ready_pods_and_their_named_ports() {
    let named = |port: u16| format!("{{containers: [{{ports: [{{name: http, containerPort: {port}}}]}}]}}");
    let lab = Lab::of(
        &[
            WEB.to_owned(),
            pod("ready", &named(8080), "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}"),
            pod("waiting", &named(8080), "{podIP: 10.0.0.2, conditions: [{type: Ready, status: 'False'}]}"),
            pod("silent", &named(8081), "{podIP: 10.0.0.3}"),
            pod("done", &named(8080), "{podIP: 10.0.0.4, phase: Succeeded}"),
            pod("unaddressed", &named(8080), "{}"),
            pod("unnamed", "{}", "{podIP: 10.0.0.5}"),
        ]
        .concat(),
    );
    assert!(lab.index.is_synced());
    assert_eq!(lab.endpoints("web"), ["10-0-0-5 10.0.0.5 0", "10-0-0-1 10.0.0.1 8080", "10-0-0-3 10.0.0.3 8081"]);
}

#[test]
fn a_pod_with_the_services_subdomain_goes_by_its_host_name() {
    let lab = Lab::of(
        &[
            WEB.to_owned(),
            pod("a", "{hostname: db-0, subdomain: web}", "{podIP: 10.0.0.1}"),
            pod("b", "{hostname: x, subdomain: other}", "{podIP: 10.0.0.2}"),
        ]
        .concat(),
    );
    assert_eq!(lab.endpoints("web"), ["db-0 10.0.0.1 0", "10-0-0-2 10.0.0.2 0"]);
}

#[test]
fn only_families_that_the_service_has_are_taken() {
    let dual = "{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}";
    let addresses = |spec: &str| {
        let service = format!("kind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, {spec}}}\n");
        Lab::of(&[service, pod("a", "{}", dual)].concat()).endpoints("web").len()
    };
    assert_eq!(addresses("clusterIP: None"), 1);
    assert_eq!(addresses("clusterIP: None, ipFamilies: [IPv4, IPv6]"), 2);
    assert_eq!(addresses("clusterIPs: [10.96.0.1, 'fd00:96::1']"), 2);
}

#[test]
fn slices_and_endpoints_of_the_files_win_over_the_selector() {
    let endpoints = "---\nkind: Endpoints\nmetadata: {name: web}\nsubsets:\n- {addresses: [{ip: 10.9.0.1, hostname: h}], notReadyAddresses: [{ip: 10.9.0.2}], ports: [{port: 81}]}\n";
    let lab = Lab::of(&[WEB.to_owned(), pod("a", "{}", "{podIP: 10.0.0.1}"), endpoints.to_owned()].concat());
    assert_eq!(lab.endpoints("web"), ["h 10.9.0.1 81"]);
    let slice = "---\nkind: EndpointSlice\nmetadata: {name: web-x, labels: {kubernetes.io/service-name: web}}\nendpoints: [{addresses: [10.8.0.1]}]\nports: [{port: 82}]\n";
    let lab = Lab::of(&[WEB.to_owned(), pod("a", "{}", "{podIP: 10.0.0.1}"), slice.to_owned()].concat());
    assert_eq!(lab.endpoints("web"), ["10-8-0-1 10.8.0.1 82"]);
}

#[test]
fn a_namespace_that_objects_live_in_exists() {
    let lab =
        Lab::of("kind: Service\nmetadata: {name: a, namespace: shop}\n---\nkind: Namespace\nmetadata: {name: empty}\n");
    assert!(lab.index.has_namespace(b"shop") && lab.index.has_namespace(b"EMPTY"));
    assert!(!lab.index.has_namespace(b"default"));
}

#[test]
fn a_service_without_an_address_is_answered_by_its_pods() {
    let lab = Lab::of(
        &[
            "kind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}}\n".to_owned(),
            pod("a", "{}", "{podIP: 10.0.0.1}"),
        ]
        .concat(),
    );
    assert_eq!(lab.index.service(b"default", b"web").unwrap().service().unwrap().kind, ServiceKind::Headless);
    assert_eq!(lab.endpoints("web"), ["10-0-0-1 10.0.0.1 0"]);
}

#[test]
fn edits_new_files_and_deleted_files_are_seen() {
    let mut lab = Lab::of(&service("one"));
    assert!(!lab.look());
    lab.write("lab.yaml", &service("two"));
    lab.write("more.json", r#"{"kind": "Service", "metadata": {"name": "three"}}"#);
    lab.write("notes.txt", "kind: [");
    lab.write(".hidden.yaml", "kind: [");
    assert!(lab.look());
    assert!(!lab.has("one") && lab.has("two") && lab.has("three"));
    fs::remove_file(lab.folder.path().join("lab.yaml")).unwrap();
    assert!(!lab.look(), "an editor may be about to write it again");
    assert!(lab.look());
    assert!(!lab.has("two") && lab.has("three"));
}

#[test]
fn a_file_that_was_emptied_is_believed_at_the_second_look() {
    let mut lab = Lab::of(&service("one"));
    lab.write("lab.yaml", "");
    assert!(!lab.look(), "it may be about to be written");
    assert!(lab.has("one"));
    assert!(lab.look());
    assert!(!lab.has("one"));
}

#[test]
fn a_file_that_is_emptied_and_written_never_loses_its_objects() {
    let mut lab = Lab::of(&service("one"));
    for text in ["kind: [", &service("one")] {
        lab.write("lab.yaml", "");
        assert!(!lab.look());
        assert!(lab.has("one"));
        lab.write("lab.yaml", text);
        lab.look();
        assert!(lab.has("one"));
    }
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe, folder.path().to_owned()] {
        let errors = Manifests::read(vec![path]).unwrap_err();
        assert_eq!(errors[0].message, "not a regular file");
    }
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_and_is_said_once() {
    let mut lab = Lab::of(&service("one"));
    lab.write("lab.yaml", "kind: Service\nmetadata: {name: one}\nspec: {ports: [{port: many}]}\n");
    assert!(!lab.look());
    assert!(!lab.look());
    assert!(lab.has("one"));
    let log = lab.log.0.lock().unwrap().clone();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("lab.yaml:3:23: ") && log[0].ends_with("; keeping its last good objects"), "{log:?}");
    lab.write("lab.yaml", &service("two"));
    assert!(lab.look());
    assert!(lab.has("two"));
}

#[test]
fn a_directory_that_is_gone_keeps_its_last_good_objects_until_it_is_back() {
    let mut lab = Lab::of(&service("one"));
    let (here, away) = (lab.folder.path().to_owned(), lab.folder.path().with_extension("away"));
    fs::rename(&here, &away).unwrap();
    for _ in 0..4 {
        assert!(!lab.look());
    }
    assert!(lab.has("one"));
    let log = lab.log.0.lock().unwrap().clone();
    assert!(log.len() == 1 && log[0].ends_with("keeping its last good objects"), "{log:?}");
    fs::rename(&away, &here).unwrap();
    lab.write("lab.yaml", &service("two"));
    assert!(lab.look());
    assert!(lab.has("two") && !lab.has("one"));
}

#[test]
fn a_swapped_symbolic_link_is_seen() {
    let mut lab = Lab::of(&service("one"));
    let (folder, link) = (lab.folder.path().to_owned(), lab.folder.path().join("..data"));
    fs::create_dir(folder.join("..2")).unwrap();
    fs::write(folder.join("..2/lab.yaml"), service("two")).unwrap();
    fs::create_dir(folder.join("..1")).unwrap();
    fs::rename(folder.join("lab.yaml"), folder.join("..1/lab.yaml")).unwrap();
    symlink("..1", &link).unwrap();
    symlink("..data/lab.yaml", folder.join("lab.yaml")).unwrap();
    lab.open(vec![folder.clone()]);
    assert!(lab.has("one"));
    symlink("..2", folder.join("..next")).unwrap();
    fs::rename(folder.join("..next"), &link).unwrap();
    assert!(lab.look());
    assert!(lab.has("two") && !lab.has("one"));
}

#[test]
fn reading_reports_every_broken_file_and_a_missing_path() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.yaml"), "a: [").unwrap();
    fs::write(folder.path().join("b.yaml"), "kind: Pod\nmetadata: {}\n").unwrap();
    let missing = folder.path().join("missing.yaml");
    let errors = Manifests::read(vec![folder.path().to_owned(), missing.clone()]).unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!((errors[1].line, errors[1].column), (2, 11));
    assert!(errors[2].to_string().starts_with(&missing.display().to_string()));
}

#[tokio::test]
async fn the_watch_follows_an_edit() {
    let mut lab = Lab::of(&service("one"));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(lab.manifests.take().unwrap().watch(Arc::clone(&lab.index), Duration::from_millis(10)));
    lab.write("lab.yaml", &service("two"));
    for _ in 0..500 {
        if lab.has("two") && !lab.has("one") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the edit was not seen");
}

#[test]
fn a_file_may_be_as_large_as_the_limit_and_no_larger() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.yaml");
    fs::write(&path, "kind: List\nitems: []\n#").unwrap();
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_len(FILE_BYTES_MAX + 1).unwrap();
    let errors = Manifests::read(vec![path.clone()]).unwrap_err();
    assert_eq!(errors[0].message, format!("larger than {FILE_BYTES_MAX} bytes"));
    file.set_len(FILE_BYTES_MAX).unwrap();
    // It is taken, and found to hold zeros that no manifest has.
    assert!(Manifests::read(vec![path]).unwrap_err()[0].line > 0);
}

#[test]
fn there_may_be_as_many_files_as_the_limit_and_no_more() {
    let folder = TempDir::new().unwrap();
    for number in 0..FILES_MAX {
        fs::write(folder.path().join(format!("{number}.yaml")), "").unwrap();
    }
    assert!(Manifests::read(vec![folder.path().to_owned()]).is_ok());
    fs::write(folder.path().join("more.yaml"), "").unwrap();
    let errors = Manifests::read(vec![folder.path().to_owned()]).unwrap_err();
    assert_eq!(errors[0].message, format!("more than {FILES_MAX} files"));
}
