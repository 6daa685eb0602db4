//! A server as a process of its own: signals, pid file, banner, exit codes. CoreDNS: `coremain`, `sigtrap`.

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use catena_core::{Exit, Level, Log, LogSink};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::banner::{version_lines, zone_lines};
use crate::go_error;
use crate::load::Failure;
use crate::server::{Options, Server, listens};
use crate::sink::Output;

/// The exit code of a server that was told to end and did, and of one that has nothing to listen on.
pub const EXIT_ENDED: u8 = 0;
/// The exit code of a server that could not start, or that a plugin ended.
pub const EXIT_FATAL: u8 = 1;
/// The exit code of wrong flags, and of a second SIGINT.
pub const EXIT_FORCED: u8 = 2;

/// How the process behaves beside serving.
#[derive(Clone, Debug, Default)]
pub struct ProcessOptions {
    /// Where the process id is written.
    pub pidfile: Option<PathBuf>,
    /// Nothing is printed at the start.
    pub quiet: bool,
}

/// Ends the process for a plugin.
pub struct ProcessExit(pub Arc<Output>);

impl Exit for ProcessExit {
    fn fatal(&self, plugin: &'static str, message: &str) {
        self.0.line(Level::Fatal, Some(plugin), &format_args!("{message}"));
        self.0.flush();
        std::process::exit(i32::from(EXIT_FATAL));
    }
}

/// Runs a server until a signal ends it, and gives the exit code. A failure to start is written to standard error.
pub async fn run(options: Options, process: &ProcessOptions, output: &Arc<Output>) -> u8 {
    let log = options.log.clone();
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fatal(output, &Failure::plain(format!("signals: {}", go_error(&error)))),
    };
    let (product, workers) = (options.product.clone(), options.workers);
    let starting = Server::start(options);
    let started = tokio::select! {
        started = starting => started,
        code = signals.before_start(&log) => return code,
    };
    let server = match started {
        Ok(server) => server,
        Err(failure) => return fatal(output, &failure),
    };
    if !process.quiet {
        for line in zone_lines(&*server.instance().await, workers) {
            output.plain(&line);
        }
    }
    let pidfile = PidFile::write(process.pidfile.as_deref(), &log);
    server.tell_hash().await;
    if !process.quiet {
        for line in version_lines(&product) {
            output.plain(&line);
        }
    }
    if !listens(&*server.instance().await) {
        log.warning("Nothing is listened on: no server block leaves an address. The process ends");
        server.end_services().await;
        pidfile.remove();
        server.close().await;
        return EXIT_ENDED;
    }
    tokio::select! {
        // A look that is under way when the process ends is finished or forgotten as a whole: it runs as a task of its own.
        () = server.watch() => EXIT_ENDED,
        code = attend(&server, &mut signals, &pidfile, &log) => code,
    }
}

fn fatal(output: &Output, failure: &Failure) -> u8 {
    output.flush();
    complain(&failure.whole());
    EXIT_FATAL
}

/// Writes a line to standard error; if that is gone, nobody wants to know.
pub fn complain(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Obeys signals until one of them ends the process. A reload does not keep the others waiting.
async fn attend(server: &Arc<Server>, signals: &mut Signals, pidfile: &PidFile, log: &Log) -> u8 {
    let mut reloads = Reloads { server, log, current: None, again: false };
    loop {
        let received = tokio::select! {
            () = reloads.work() => continue,
            received = signals.next() => received,
        };
        match received {
            Received::Int => {
                log.info("SIGINT: Shutting down");
                pidfile.remove();
                return signals.until(server.end_services(), true, pidfile, log).await;
            }
            Received::Term => {
                log.info("SIGTERM: Shutting down servers then terminating");
                let end = async {
                    server.end_services().await;
                    pidfile.remove();
                    server.close().await;
                };
                return signals.until(end, false, pidfile, log).await;
            }
            Received::Quit => return quit(pidfile, log),
            Received::Usr1 => reloads.ask(),
            Received::Usr2 => log.error("SIGUSR2: upgrading: not supported; start a new process instead"),
            Received::Hup => {}
        }
    }
}

/// Reloads by signal: one at a time, and one more if it was asked for meanwhile.
struct Reloads<'a> {
    server: &'a Arc<Server>,
    log: &'a Log,
    current: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    again: bool,
}

impl Reloads<'_> {
    fn ask(&mut self) {
        if self.current.is_some() {
            self.again = true;
            return;
        }
        let (server, log) = (self.server, self.log);
        self.current = Some(Box::pin(async move {
            log.info("SIGUSR1: Reloading");
            if let Err(failure) = server.reload().await {
                log.error(format_args!("SIGUSR1: {failure}"));
            }
        }));
    }

    /// Waits for the reload that is under way, without end if there is none.
    async fn work(&mut self) {
        let Some(current) = self.current.as_mut() else { return std::future::pending().await };
        current.await;
        self.current = None;
        if std::mem::take(&mut self.again) {
            self.ask();
        }
    }
}

fn quit(pidfile: &PidFile, log: &Log) -> u8 {
    log.info("SIGQUIT: Quitting process immediately");
    pidfile.remove();
    EXIT_ENDED
}

enum Received {
    Int,
    Term,
    Quit,
    Hup,
    Usr1,
    Usr2,
}

struct Signals {
    int: Signal,
    term: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.int.recv() => Received::Int,
            _ = self.term.recv() => Received::Term,
            _ = self.quit.recv() => Received::Quit,
            _ = self.hup.recv() => Received::Hup,
            _ = self.usr1.recv() => Received::Usr1,
            _ = self.usr2.recv() => Received::Usr2,
        }
    }

    /// A signal that ends the process before the server has started: there is nothing to shut down yet.
    async fn before_start(&mut self, log: &Log) -> u8 {
        loop {
            match self.next().await {
                Received::Int => log.info("SIGINT: Shutting down"),
                Received::Term => log.info("SIGTERM: Shutting down servers then terminating"),
                Received::Quit => log.info("SIGQUIT: Quitting process immediately"),
                Received::Hup | Received::Usr1 | Received::Usr2 => continue,
            }
            return EXIT_ENDED;
        }
    }

    /// Waits for the end of the server; meanwhile the second SIGINT ends the process by force, and SIGQUIT does so at once.
    async fn until(
        &mut self,
        end: impl Future<Output = ()>,
        mut interrupted: bool,
        pidfile: &PidFile,
        log: &Log,
    ) -> u8 {
        let mut end = std::pin::pin!(end);
        loop {
            let received = tokio::select! {
                () = end.as_mut() => return EXIT_ENDED,
                received = self.next() => received,
            };
            match received {
                Received::Int if interrupted => {
                    log.info("SIGINT: Force quit");
                    pidfile.remove();
                    return EXIT_FORCED;
                }
                Received::Int => {
                    log.info("SIGINT: Shutting down");
                    interrupted = true;
                }
                Received::Quit => return quit(pidfile, log),
                Received::Term | Received::Hup | Received::Usr1 | Received::Usr2 => {}
            }
        }
    }
}

/// The file that holds the process id while the server runs.
struct PidFile(Option<PathBuf>);

impl PidFile {
    fn write(path: Option<&Path>, log: &Log) -> Self {
        let Some(path) = path else { return Self(None) };
        match write_pid(path) {
            Ok(()) => Self(Some(path.to_path_buf())),
            Err(error) => {
                log.error(format_args!("Could not write pidfile: open {}: {}", path.display(), go_error(&error)));
                Self(None)
            }
        }
    }

    fn remove(&self) {
        if let Some(path) = &self.0 {
            // Somebody else may have taken it away.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn write_pid(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::NoLog;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_pid_file_is_written_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let log = Log::new(Arc::new(NoLog));
        let file = PidFile::write(Some(&path), &log);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o133, 0);
        file.remove();
        assert!(!path.exists());
        PidFile::write(Some(&dir.path().join("no/pid")), &log).remove();
    }
}
