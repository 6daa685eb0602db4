//! The process's log: lines collected in memory and written to standard output by a thread of its own.
//!
//! Workers never wait for a slow standard output: a line is formatted by who has it, appended to a buffer, and the thread writes
//! whatever has come together in one call. What the buffer cannot hold is dropped and counted, and the count is told; the query log may
//! fill half of it, so that warnings and errors find room when queries flood it. [`Output::flush`] waits until all is written.

use std::fmt::{Arguments, Write as _};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use catena_core::{Clock, Level, LogSink};

use crate::system::SystemClock;

/// The most octets of lines that wait to be written; the query log may use half of them.
pub const BUFFER_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// The longest that the end of the process waits for standard output to take what is left.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `[LEVEL] plugin/NAME: message`, as CoreDNS.
    #[default]
    Text,
    /// An object a line: `time` (RFC 3339), `level`, `plugin` if there is one, `msg`.
    Json,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    dropped: u64,
    writing: bool,
    closed: bool,
}

struct Shared {
    buffer: Mutex<Buffer>,
    /// Lines came, or the end.
    filled: Condvar,
    /// Everything was written.
    emptied: Condvar,
    format: Format,
}

/// Where lines go.
pub struct Output(Arc<Shared>);

impl Output {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(format: Format, to: impl Write + Send + 'static) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            buffer: Mutex::new(Buffer::default()),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            format,
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("log".into()).stack_size(64 * 1024).spawn(move || theirs.write_all(to))?;
        Ok(Arc::new(Self(shared)))
    }

    /// A line without level or plugin: the banner and the like.
    pub fn plain(&self, text: &str) {
        let line = match self.0.format {
            Format::Text => format!("{text}\n"),
            Format::Json => json_line(SystemClock.wall(), Level::Info, None, text),
        };
        self.0.push(&line, BUFFER_OCTETS_MAX);
    }

    /// Waits until everything is written, but not longer than [`FLUSH_LIMIT`].
    pub fn flush(&self) {
        let buffer = self.0.lock();
        let busy = |buffer: &mut Buffer| buffer.writing || !buffer.lines.is_empty() || buffer.dropped > 0;
        let waited = self.0.emptied.wait_timeout_while(buffer, FLUSH_LIMIT, busy);
        drop(waited);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl LogSink for Output {
    fn line(&self, level: Level, plugin: Option<&str>, message: &Arguments<'_>) {
        let line = match self.0.format {
            Format::Text => text_line(level, plugin, message),
            Format::Json => json_line(SystemClock.wall(), level, plugin, &message.to_string()),
        };
        // INFO lines without a plugin are the query log.
        let room = if level <= Level::Info && plugin.is_none() { BUFFER_OCTETS_MAX / 2 } else { BUFFER_OCTETS_MAX };
        self.0.push(&line, room);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &str, room: usize) {
        let mut buffer = self.lock();
        if buffer.lines.len() + line.len() > room {
            buffer.dropped += 1;
            return;
        }
        let wake = buffer.lines.is_empty();
        buffer.lines.extend_from_slice(line.as_bytes());
        drop(buffer);
        if wake {
            self.filled.notify_one();
        }
    }

    fn write_all(&self, mut to: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut buffer = self.lock();
            buffer.writing = false;
            while buffer.lines.is_empty() && buffer.dropped == 0 {
                self.emptied.notify_all();
                if buffer.closed {
                    return;
                }
                buffer = self.filled.wait(buffer).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut buffer.lines, &mut batch);
            let dropped = std::mem::take(&mut buffer.dropped);
            buffer.writing = true;
            drop(buffer);
            if dropped > 0 {
                let text =
                    format_args!("{dropped} log lines were dropped: standard output is too slow for them").to_string();
                batch.extend_from_slice(self.warning(&text).as_bytes());
            }
            // There is nowhere to tell that standard output is gone; the server goes on without it.
            let _ = to.write_all(&batch).and_then(|()| to.flush());
            batch.clear();
        }
    }

    fn warning(&self, text: &str) -> String {
        match self.format {
            Format::Text => text_line(Level::Warning, None, &format_args!("{text}")),
            Format::Json => json_line(SystemClock.wall(), Level::Warning, None, text),
        }
    }
}

fn text_line(level: Level, plugin: Option<&str>, message: &Arguments<'_>) -> String {
    let mut line = String::with_capacity(160);
    // Writing to a String cannot fail.
    let _ = match plugin {
        Some(plugin) => writeln!(line, "[{}] plugin/{plugin}: {message}", level.as_str()),
        None => writeln!(line, "[{}] {message}", level.as_str()),
    };
    line
}

fn json_line(now: SystemTime, level: Level, plugin: Option<&str>, message: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut line = format!("{{\"time\":\"{}\",\"level\":\"{}\"", rfc3339(now), level.as_str().to_lowercase());
    if let Some(plugin) = plugin {
        line.push_str(&format!(",\"plugin\":{}", quoted(plugin)));
    }
    line.push_str(&format!(",\"msg\":{}}}\n", quoted(message)));
    line
}

/// A time of day in UTC with milliseconds (RFC 3339 section 5.6).
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", second % 60, since.subsec_millis())
}

/// A time of day in UTC as Go's `log` package writes it: `2006/01/02 15:04:05`.
#[must_use]
pub fn go_date(time: SystemTime) -> String {
    let text = rfc3339(time);
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{} {}", date.replace('-', "/"), clock.get(..8).unwrap_or(""))
}

/// Year, month and day of a number of days after 1970-01-01, in the Gregorian calendar.
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year; 146,097 days are 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::sync::mpsc;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Kept {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Writes nothing until it is told to.
    struct Stuck(mpsc::Receiver<()>, Kept);

    impl Write for Stuck {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(octets)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn text_lines_have_a_level_and_a_plugin_and_no_time() {
        let kept = Kept::default();
        let output = Output::start(Format::Text, kept.clone()).unwrap();
        output.line(Level::Error, Some("errors"), &format_args!("2 x A: {}", 7));
        output.line(Level::Info, None, &format_args!("SIGTERM"));
        output.plain(".:53");
        output.flush();
        assert_eq!(kept.text(), "[ERROR] plugin/errors: 2 x A: 7\n[INFO] SIGTERM\n.:53\n");
    }

    #[test]
    fn json_lines_are_objects() {
        let line = json_line(
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_709_210_096_789),
            Level::Warning,
            Some("x"),
            "a \"b\"\n",
        );
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["time"], "2024-02-29T12:34:56.789Z");
        assert_eq!(
            (&read["level"], &read["plugin"], &read["msg"]),
            (&"warning".into(), &"x".into(), &"a \"b\"\n".into())
        );
        assert_eq!(line.lines().count(), 1);
        let bare: serde_json::Value =
            serde_json::from_str(&json_line(SystemTime::UNIX_EPOCH, Level::Info, None, "")).unwrap();
        assert!(bare.get("plugin").is_none());
    }

    #[test]
    fn days_become_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_780, (2026, 11, 23))] {
            assert_eq!(civil(days), date);
        }
    }

    #[test]
    fn a_stuck_output_keeps_nobody_waiting_and_its_losses_are_told() {
        let (go, wait) = mpsc::channel();
        let kept = Kept::default();
        let output = Output::start(Format::Text, Stuck(wait, kept.clone())).unwrap();
        let long = "x".repeat(1000);
        for _ in 0..BUFFER_OCTETS_MAX / 1000 {
            output.line(Level::Info, None, &format_args!("{long}"));
        }
        // The query log is full; an error still has room.
        output.line(Level::Error, None, &format_args!("still heard"));
        drop(go);
        output.flush();
        let text = kept.text();
        assert!(text.contains("[ERROR] still heard\n"));
        assert!(text.contains("log lines were dropped"), "{}", text.len());
        assert!(text.len() < BUFFER_OCTETS_MAX);
    }
}
