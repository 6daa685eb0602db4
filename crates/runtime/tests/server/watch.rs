use std::path::Path;
use std::sync::Arc;

use catena_runtime::Source;

use crate::kit::{Kit, ask, text, until};

const GOOD: &str = ".:0 {\n often\n whoami\n}";
const EMPTY: &str = ".:0 {\n often\n}";

async fn watched(path: &Path) -> Kit {
    let kit = Kit::try_start(Source::File(path.to_owned())).await.ok().unwrap();
    let server = Arc::clone(&kit.server);
    tokio::spawn(async move { server.watch().await });
    kit
}

fn count(kit: &Kit, part: &str) -> usize {
    kit.log.lines().iter().filter(|line| line.contains(part)).count()
}

#[tokio::test]
async fn a_changed_file_comes_into_force_and_its_hash_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Corefile");
    std::fs::write(&path, GOOD).unwrap();
    let kit = watched(&path).await;
    std::fs::write(&path, EMPTY).unwrap();
    until("a reload", || count(&kit, "Reloading complete") == 1).await;
    assert_eq!(ask(kit.addr().await).await, Some(5));
    let hash = catena_runtime::hash(&text(EMPTY), &catena_runtime::Disk).unwrap();
    assert_eq!(kit.metric(&format!("coredns_reload_version_info{{hash=\"sha512\",value=\"{hash}\"}}")), Some(1.0));
    let line = format!("[INFO] plugin/reload: Running configuration SHA512 = {hash}");
    assert!(kit.log.lines().contains(&line));
    kit.end().await;
}

#[tokio::test]
async fn a_version_that_does_not_come_into_force_is_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Corefile");
    std::fs::write(&path, GOOD).unwrap();
    let kit = watched(&path).await;
    std::fs::write(&path, ".:0 {\n nosuch\n}").unwrap();
    until("a failure", || count(&kit, "plugin/reload: Corefile changed but reload failed") == 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(count(&kit, "Corefile changed but reload failed"), 1);
    assert_eq!(kit.metric("coredns_reload_failed_total"), Some(1.0));
    // Back to what runs: nothing to do. Then something new.
    std::fs::write(&path, GOOD).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(count(&kit, "Reloading complete"), 0);
    std::fs::write(&path, EMPTY).unwrap();
    until("a reload", || count(&kit, "Reloading complete") == 1).await;
    kit.end().await;
}

#[tokio::test]
async fn a_file_that_does_not_parse_is_told_once_and_one_that_is_missing_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Corefile");
    std::fs::write(&path, GOOD).unwrap();
    let kit = watched(&path).await;
    std::fs::write(&path, ".:0 {\n often\n").unwrap();
    until("a warning", || count(&kit, "[WARNING] plugin/reload: Corefile parse failed: ") == 1).await;
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(kit.log.lines().iter().filter(|line| line.contains("WARNING") || line.contains("ERROR")).count(), 1);
    assert_eq!(kit.metric("coredns_reload_failed_total"), Some(1.0));
    assert_eq!(ask(kit.addr().await).await, Some(0));
    kit.end().await;
}

#[tokio::test]
async fn a_mounted_configmap_is_followed_through_its_links() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, text) in [("..1", GOOD), ("..2", EMPTY)] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("Corefile"), text).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/Corefile", at("Corefile")).unwrap();
    let kit = watched(&at("Corefile")).await;
    std::os::unix::fs::symlink("..2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    until("a reload", || count(&kit, "Reloading complete") == 1).await;
    kit.end().await;
}

#[tokio::test]
async fn a_reload_on_demand_does_not_end_the_watching() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Corefile");
    std::fs::write(&path, GOOD).unwrap();
    let kit = watched(&path).await;
    kit.server.reload().await.unwrap();
    assert_eq!(count(&kit, "Reloading complete"), 1);
    std::fs::write(&path, EMPTY).unwrap();
    until("a reload", || count(&kit, "Reloading complete") == 2).await;
    kit.end().await;
}

#[tokio::test]
async fn without_the_setting_the_watching_ends_and_with_it_it_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Corefile");
    std::fs::write(&path, GOOD).unwrap();
    let kit = watched(&path).await;
    std::fs::write(&path, ".:0 {\n whoami\n}").unwrap();
    until("a reload", || count(&kit, "Reloading complete") == 1).await;
    std::fs::write(&path, GOOD).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(count(&kit, "Reloading complete"), 1);
    kit.server.reload().await.unwrap();
    std::fs::write(&path, EMPTY).unwrap();
    until("a reload", || count(&kit, "Reloading complete") == 3).await;
    kit.end().await;
}
