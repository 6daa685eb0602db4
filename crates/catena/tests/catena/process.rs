//! Starting the program and listening to it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The longest that anything here waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the program to its end, in a directory and with something on standard input.
pub(crate) fn run_in(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut child = command(dir, args).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs the program to its end, somewhere and with nothing on standard input.
pub(crate) fn run(args: &[&str]) -> Output {
    run_in(Path::new("/"), args, "")
}

pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
    command.current_dir(dir).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("GOMAXPROCS");
    command
}

/// The program at work in a directory of its own.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    pub(crate) seen: Vec<String>,
    pub(crate) dir: tempfile::TempDir,
}

impl Program {
    /// Starts it with a Corefile, or without one if that is empty, and waits for the version line.
    pub(crate) fn start(corefile: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if !corefile.is_empty() {
            std::fs::write(dir.path().join("Corefile"), corefile).unwrap();
        }
        Self::listen_to(command(dir.path(), args), dir)
    }

    /// The same with so few descriptors allowed, where more could be had.
    pub(crate) fn start_limited(corefile: &str, descriptors: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Corefile"), corefile).unwrap();
        let mut shell = Command::new("sh");
        let script = format!("ulimit -S -n {descriptors} && exec {}", env!("CARGO_BIN_EXE_catena"));
        shell.current_dir(dir.path()).args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::listen_to(shell, dir)
    }

    fn listen_to(mut command: Command, dir: tempfile::TempDir) -> Self {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let (send, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut program = Self { child, lines, seen: Vec::new(), dir };
        program.wait_for("linux/");
        program
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line with this in it.
    pub(crate) fn wait_for(&mut self, part: &str) {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("no {part:?} after {:#?}", self.seen) };
            let found = line.contains(part);
            self.seen.push(line);
            if found {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; gives exit code and what stood on standard error. The rest of the lines is in `seen`.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        self.seen.extend(self.lines.iter());
        (code, error)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
