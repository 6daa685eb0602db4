use crate::process::Program;

const PLAIN: &str = "example.org:0 {\n whoami\n}\n";

#[test]
fn a_start_tells_zones_and_version_and_term_ends_it_well() {
    let mut program = Program::start(PLAIN, &["-pidfile", "pid"]);
    assert!(program.seen[0].starts_with("maxprocs: "));
    assert_eq!(program.seen[1..3], ["example.org.:0".to_owned(), format!("Catena-{}", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(std::fs::read_to_string(program.path("pid")).unwrap(), format!("{}\n", program.pid()));
    program.signal("TERM");
    assert_eq!(program.end(), (Some(0), String::new()));
    assert_eq!(program.seen.last().unwrap(), "[INFO] SIGTERM: Shutting down servers then terminating");
    assert!(!program.path("pid").exists());
}

#[test]
fn as_many_descriptors_are_had_as_are_allowed() {
    let program = Program::start_limited(PLAIN, 64);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
    let words: Vec<&str> =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap().split_whitespace().collect();
    assert_ne!(words[0], "64");
    assert_eq!(words[0], words[1]);
}

#[test]
fn what_listens_nowhere_says_so_and_ends_well() {
    for corefile in ["unix://x {\n whoami\n}\n", ".:0 {\n bind 127.0.0.1 {\n except 127.0.0.1\n }\n whoami\n}\n"] {
        let mut program = Program::start(corefile, &["-pidfile", "pid"]);
        assert_eq!(program.end(), (Some(0), String::new()));
        assert!(program.seen.last().unwrap().starts_with("[WARNING] Nothing is listened on"), "{:?}", program.seen);
        assert!(!program.path("pid").exists());
    }
}

#[test]
fn an_interrupt_ends_it_well_too_and_a_second_one_by_force() {
    let mut program = Program::start(PLAIN, &[]);
    program.signal("INT");
    assert_eq!(program.end().0, Some(0));
    let mut lame = Program::start(".:0 {\n health 127.0.0.1:0 {\n lameduck 1m\n }\n whoami\n}\n", &["-pidfile", "pid"]);
    lame.signal("INT");
    lame.wait_for("[INFO] plugin/health: Going into lameduck mode for 1m0s");
    assert!(!lame.path("pid").exists());
    lame.signal("INT");
    assert_eq!(lame.end().0, Some(2));
    assert_eq!(lame.seen.last().unwrap(), "[INFO] SIGINT: Force quit");
}

#[test]
fn quit_does_not_wait() {
    let mut program =
        Program::start(".:0 {\n health 127.0.0.1:0 {\n lameduck 1m\n }\n whoami\n}\n", &["-pidfile", "pid"]);
    program.signal("QUIT");
    assert_eq!(program.end().0, Some(0));
    assert_eq!(program.seen.last().unwrap(), "[INFO] SIGQUIT: Quitting process immediately");
    assert!(!program.path("pid").exists());
}

#[test]
fn a_hang_up_is_ignored_and_an_upgrade_is_refused() {
    let mut program = Program::start(PLAIN, &[]);
    program.signal("HUP");
    program.signal("USR2");
    program.wait_for("[ERROR] SIGUSR2: upgrading: not supported");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn usr1_reloads_the_file() {
    let mut program = Program::start(PLAIN, &[]);
    program.signal("USR1");
    program.wait_for("[INFO] Reloading complete");
    std::fs::write(program.path("Corefile"), "nosuch {").unwrap();
    program.signal("USR1");
    program.wait_for("[ERROR] SIGUSR1: starting with listener file descriptors: ");
    std::fs::remove_file(program.path("Corefile")).unwrap();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let mut program = Program::start("", &["-p", "0"]);
    assert!(program.seen.contains(&".:0".to_owned()), "{:?}", program.seen);
    program.signal("USR1");
    program.wait_for("[ERROR] SIGUSR1: no Caddyfile loader with which to reload Caddyfile");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn a_file_without_server_blocks_is_the_default_at_the_start_and_no_reason_to_reload() {
    let mut program = Program::start("# no server blocks\n", &["-p", "0"]);
    assert!(program.seen.contains(&".:0".to_owned()), "{:?}", program.seen);
    // A file that is being written is empty for a moment.
    program.signal("USR1");
    program.wait_for("[ERROR] Restart failed: the Corefile has no server block");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn quiet_starts_print_no_banner_and_a_pid_file_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c");
    std::fs::write(&config, ".:0 {\n reload\n whoami\n}\n").unwrap();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_catena"))
        .args(["-conf", config.to_str().unwrap(), "-quiet", "-pidfile", "/no/pid"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines[1], "[ERROR] Could not write pidfile: open /no/pid: no such file or directory");
    assert!(lines[2].starts_with("[INFO] plugin/reload: Running configuration SHA512 = "), "{lines:?}");
    assert!(lines[3].starts_with("[INFO] SIGTERM"), "{lines:?}");
}

#[test]
fn json_lines_are_objects_from_the_first_to_the_last() {
    let mut program = Program::start(".:0 {\n reload\n whoami\n}\n", &["-log-format", "json"]);
    program.signal("TERM");
    program.end();
    let objects: Vec<serde_json::Value> = program.seen.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().all(|object| object["time"].is_string() && object["level"].is_string()));
    let reload = objects.iter().find(|object| object["plugin"] == "reload").unwrap();
    assert!(reload["msg"].as_str().unwrap().starts_with("Running configuration SHA512 = "));
    assert_eq!(objects.last().unwrap()["msg"], "SIGTERM: Shutting down servers then terminating");
}

/// An API server that takes connections and says nothing, so that a start waits for it.
#[test]
fn a_reload_that_takes_its_time_keeps_no_signal_waiting() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut program = Program::start(PLAIN, &[]);
    let slow = format!(
        ".:0 {{\n kubernetes cluster.local {{\n endpoint http://{}\n startup_timeout 5s\n }}\n}}\n",
        silent.local_addr().unwrap()
    );
    std::fs::write(program.path("Corefile"), slow).unwrap();
    let begun = std::time::Instant::now();
    program.signal("USR1");
    program.wait_for("[INFO] Reloading");
    program.signal("QUIT");
    assert_eq!(program.end().0, Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(3));
}
