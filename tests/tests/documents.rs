//! What readers are shown works: the Corefiles in READMEs, the example, and those that distributions ship.

#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
