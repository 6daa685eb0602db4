use std::path::Path;

use crate::process::{run, run_in, text};

#[test]
fn help_is_a_success_and_a_wrong_flag_is_not() {
    let help = run(&["-h"]);
    assert_eq!((help.status.code(), help.stdout.len()), (Some(0), 0));
    assert!(text(&help.stderr).starts_with("Usage of "));
    let wrong = run(&["--nosuch"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).starts_with("flag provided but not defined: -nosuch\nUsage of "));
}

#[test]
fn further_words_are_refused_with_the_date() {
    let output = run(&["a", "b"]);
    assert_eq!(output.status.code(), Some(1));
    let line = text(&output.stderr);
    assert!(line.starts_with("20") && line.ends_with(" extra command line arguments: [a b]\n"), "{line}");
    assert_eq!(line.find(" extra"), Some("2006/01/02 15:04:05".len()));
}

#[test]
fn a_pipe_without_a_writer_is_told_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let looked = |directive: &str| {
        run_in(dir.path(), &["check", "-"], &format!(".:0 {{\n root {}\n {directive}\n}}\n", dir.path().display()))
    };
    let import = looked(&format!("import {}", dir.path().join("pipe").display()));
    assert_eq!(import.status.code(), Some(1));
    assert!(text(&import.stdout).contains("not a regular file"), "{}", text(&import.stdout));
    assert_eq!(looked(&format!("forward . {}", dir.path().join("pipe").display())).status.code(), Some(1));
    assert_eq!(looked("hosts pipe").status.code(), Some(0), "the file may be another one later");
}

#[test]
fn the_corefile_may_be_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, ".:0 {\n whoami\n}\n")
    });
    let output = run(&["check", pipe.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    writer.join().unwrap().unwrap();
}

#[test]
fn a_configmap_that_cannot_be_one_or_cannot_be_reached_is_told() {
    let told = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let wrong = told(&["-conf", "configmap:kube-system"]);
    assert_eq!(wrong, "loading Caddyfile via flag: configmap:kube-system: '' is no name of a ConfigMap\n");
    let missing = told(&["-conf", "configmap:kube-system/coredns", "-kubeconfig", "/no/file"]);
    assert!(missing.starts_with("configmap/kube-system/coredns/Corefile: /no/file: "), "{missing}");
}

#[test]
fn version_and_plugins_are_told_on_standard_output() {
    let version = run(&["-version"]);
    let lines: Vec<String> = text(&version.stdout).lines().map(str::to_owned).collect();
    assert_eq!((version.status.code(), lines.len()), (Some(0), 2));
    assert_eq!(lines[0], format!("Catena-{}", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("linux/") && lines[1].contains(", rust"));
    let plugins = text(&run(&["-plugins"]).stdout);
    let names: Vec<&str> = plugins.lines().collect();
    assert!(plugins.ends_with("\n\n") && names.contains(&"whoami"));
    // `on` is no plugin of a server type: it is last. An empty line ends the list.
    assert!(names[..names.len() - 2].is_sorted() && names.ends_with(&["on", ""]), "{names:?}");
}

#[test]
fn a_start_that_fails_says_why_on_standard_error_in_one_line_and_below_it_in_full() {
    let output = run_in(Path::new("/"), &["-conf", "stdin"], ".:53 {\n whoami\n nosuch\n}\n");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("/dev/stdin:3 - Error during parsing: Unknown directive 'nosuch'\nerror: "), "{error}");
    assert!(error.contains("--> /dev/stdin:3:2"), "{error}");
    assert!(text(&output.stdout).starts_with("maxprocs: "));
    let missing = run(&["-conf", "/no/file"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(text(&missing.stderr), "loading Caddyfile via flag: open /no/file: no such file or directory\n");
}

#[test]
fn check_tells_what_a_start_would_say_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad"), ". {\n whoani\n}\n").unwrap();
    // Port 1 could not be had, and the interface is not there.
    std::fs::write(dir.path().join("good"), ".:1 {\n bind nosuch0\n whoami\n}\n").unwrap();
    let bad = run_in(dir.path(), &["check", "bad"], "");
    assert_eq!(bad.status.code(), Some(1));
    let told = text(&bad.stdout);
    assert!(told.starts_with("bad:2 - Error during parsing: Unknown directive 'whoani'\n"), "{told}");
    assert!(told.contains("did you mean `whoami`?"), "{told}");
    let good = run_in(dir.path(), &["check", "good"], "");
    assert_eq!((good.status.code(), text(&good.stdout).as_str()), (Some(0), "good: OK\n"));
    let piped = run_in(dir.path(), &["check", "-"], "whoami.example.org\nwhoami\n");
    assert_eq!((piped.status.code(), text(&piped.stdout).as_str()), (Some(0), "/dev/stdin: OK\n"));
    assert_eq!(run_in(dir.path(), &["check", "missing"], "").status.code(), Some(1));
    assert_eq!(run_in(dir.path(), &["check"], "").status.code(), Some(2));
    for wish in ["-h", "--help"] {
        let help = run(&["check", wish]);
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help.stderr).contains(" check FILE|-\n"), "{}", text(&help.stderr));
    }
}
