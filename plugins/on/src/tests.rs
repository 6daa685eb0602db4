//! Commands that run, and words that make none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use catena_testkit::{Kit, Recipe};
use tempfile::TempDir;

use crate::PLUGIN;
use crate::config::COMMANDS_MAX;

/// A log line without the random id in it.
fn masked(line: &str) -> String {
    let is_id = |word: &str| word.trim_start_matches("'on-").trim_end_matches('\'').matches('-').count() == 4;
    let words = line.split(' ').map(|word| if is_id(word) { "ID" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn log(kit: &Kit) -> Vec<String> {
    kit.log.take().iter().map(|line| masked(line)).collect()
}

fn told(line: &str) -> String {
    let errors = Recipe::new([PLUGIN], &format!(".:53 {{\n{line}\n}}")).build();
    errors.map(|_| ()).unwrap_err()[0].0.one_line()
}

/// A file that the command of a test writes.
fn file() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out").display().to_string();
    (dir, path)
}

#[test]
fn a_command_runs_at_the_start_and_is_waited_for() {
    let (_dir, path) = file();
    let kit = Kit::of([PLUGIN], &format!("on startup sh -c \"'sleep 0.1; echo up > {path}'\""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "up\n");
    assert_eq!(log(&kit), [format!("[INFO] Blocking Command \"sh -c sleep 0.1; echo up > {path}\" with ID ID")]);
}

#[test]
fn a_command_for_the_end_runs_when_the_server_is_told_to_end_and_not_at_a_reload() {
    let (_dir, path) = file();
    let kit = Kit::of([PLUGIN], &format!("on SHUTDOWN touch {path}"));
    kit.shutdown();
    assert!(!Path::new(&path).exists());
    kit.ending();
    assert!(Path::new(&path).exists());
}

#[test]
fn a_command_in_the_background_is_not_waited_for() {
    let (_dir, path) = file();
    let kit = Kit::of([PLUGIN], &format!("on startup sh -c \"'sleep 0.2; echo up > {path}'\" &"));
    assert!(!Path::new(&path).exists());
    assert_eq!(log(&kit), [format!("[INFO] Nonblocking Command \"sh -c sleep 0.2; echo up > {path}\" with ID ID")]);
    let come = (0..50).any(|_| {
        kit.wait(Duration::from_millis(50));
        Path::new(&path).exists()
    });
    assert!(come);
}

#[test]
fn what_goes_wrong_is_logged_and_the_next_command_runs() {
    let (_dir, path) = file();
    let lines = format!(
        "on startup false\non startup no-such-program x\non startup /no/such\non startup sh -c \"'kill -9 $$'\"\non startup touch {path}"
    );
    let kit = Kit::of([PLUGIN], &lines);
    assert!(Path::new(&path).exists());
    let errors: Vec<String> = log(&kit).into_iter().filter(|line| line.starts_with("[ERROR]")).collect();
    assert_eq!(
        errors,
        [
            "[ERROR] error on ID hook: exit status 1",
            "[ERROR] error on ID hook: exec: \"no-such-program\": executable file not found in $PATH",
            "[ERROR] error on ID hook: fork/exec /no/such: no such file or directory",
            "[ERROR] error on ID hook: signal: killed",
        ]
    );
}

#[test]
fn the_log_line_of_a_lone_program_ends_in_a_blank() {
    let kit = Kit::of([PLUGIN], "on startup true");
    assert_eq!(log(&kit), ["[INFO] Blocking Command \"true \" with ID ID"]);
}

#[test]
fn quotes_of_the_corefile_do_not_keep_words_together_and_inner_ones_do() {
    let (_dir, path) = file();
    drop(Kit::of([PLUGIN], &format!("on startup sh -c \"touch {path}\"")));
    assert!(!Path::new(&path).exists(), "sh -c got one word");
    drop(Kit::of([PLUGIN], &format!("on startup sh -c \"'touch {path}'\"")));
    assert!(Path::new(&path).exists());
}

#[test]
fn a_command_for_renewed_certificates_never_runs_which_is_told() {
    let kit = Kit::of([PLUGIN], "on certrenew true");
    kit.ending();
    assert!(log(&kit).is_empty());
    assert_eq!(kit.warnings, ["plugin/on: no certificate is renewed by the server, so this command never runs"]);
}

#[test]
fn wrong_words_are_told_without_the_plugin_s_name() {
    let at = "Corefile:2 - Error during parsing:";
    assert_eq!(told("on"), format!("{at} Wrong argument count or unexpected line ending after 'on'"));
    assert_eq!(told("on reload x"), format!("{at} Wrong event name or event not supported: 'reload'"));
    assert_eq!(told("on startup"), format!("{at} no command contained in ''"));
    assert_eq!(told("on startup # x"), format!("{at} no command contained in ''"));
    assert_eq!(
        told("on startup a \"'b\""),
        format!("{at} error parsing command: EOF found when expecting closing quote.")
    );
}

#[test]
fn a_block_has_at_most_256_commands() {
    let lines = |count: usize| "on shutdown true\n".repeat(count);
    drop(Kit::of([PLUGIN], &lines(COMMANDS_MAX)));
    let over = told(&lines(COMMANDS_MAX + 1));
    assert!(over.ends_with(&format!("more than {COMMANDS_MAX} commands")), "{over}");
}
