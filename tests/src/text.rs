//! Output and metrics without what differs from run to run.

use regex::Regex;

use crate::Error;
use crate::names::Names;

/// What is masked in lines of output, in this order.
const MASKS: [(&str, &str); 5] = [
    (r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
    (r"\b\d+(?:\.\d+)?(?:e-?\d+)?(?:ns|µs|us|ms)\b|\b\d+\.\d+(?:e-?\d+)?s\b", "<duration>"),
    (r"((?:127\.\d+\.\d+\.\d+|\[::1\]|localhost)):\d{4,5}\b", "${1}:<port>"),
    (r"\b[0-9a-f]{32,}\b", "<hash>"),
    (r"\x1b\[[0-9;]*m", ""),
];

/// The compiled patterns that texts are cleaned with.
#[derive(Debug, Clone)]
pub struct Cleaner {
    masks: Vec<(Regex, &'static str)>,
    series: Regex,
    label: Regex,
}

impl Cleaner {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// None in practice: the patterns are fixed.
    pub fn new() -> Result<Self, Error> {
        let masks = MASKS.iter().map(|(pattern, by)| Ok((compile(pattern)?, *by)));
        Ok(Self {
            masks: masks.collect::<Result<_, Error>>()?,
            series: compile(r"^(\w+)(?:\{(.*)\})?\s+(\S+)")?,
            label: compile(r#"(\w+)="((?:[^"\\]|\\.)*)""#)?,
        })
    }

    /// A text with times, durations, client ports and hashes masked, ports and folder as placeholders.
    pub fn line(&self, line: &str, names: &Names) -> String {
        let collapsed = names.collapse(line);
        let masked = self.masks.iter().fold(collapsed, |text, (mask, by)| mask.replace_all(&text, *by).into_owned());
        masked.trim_end().to_owned()
    }

    /// The series of a scrape that match a pattern, labels sorted; without values when only `presence` counts.
    pub fn metrics(&self, body: &str, wanted: &[Regex], presence: bool, names: &Names) -> Vec<String> {
        let mut lines = Vec::new();
        for found in body.lines().filter_map(|line| self.series.captures(line)) {
            let inside = found.get(2).map(|labels| labels.as_str()).unwrap_or_default();
            let mut labels: Vec<(String, String)> =
                self.label.captures_iter(inside).map(|one| (one[1].to_owned(), one[2].to_owned())).collect();
            labels.sort();
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let line = self.line(&format!("{}{labels}", &found[1]), names);
            if wanted.iter().any(|pattern| pattern.is_match(&line)) {
                lines.push(if presence { line } else { format!("{line} {}", number(&found[3])) });
            }
        }
        lines.sort();
        lines
    }
}

/// A pattern of a case.
///
/// # Errors
/// [`Error::Case`] when it is no regular expression.
pub fn compile(pattern: &str) -> Result<Regex, Error> {
    Regex::new(pattern).map_err(|err| Error::Case(format!("regular expression {pattern:?}: {err}")))
}

/// A value without a fraction as an integer, any other as it is.
fn number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.fract() == 0.0 => format!("{number:.0}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::names::Ports;

    fn names() -> Names {
        let mut names = Names::new("/tmp/case", Ports::default()).unwrap();
        names.set("PORT", "2053");
        names
    }

    #[test]
    fn what_differs_from_run_to_run_is_masked() {
        let cleaner = Cleaner::new().unwrap();
        for (line, shown) in [
            (
                "[INFO] 127.0.0.1:40123 - 12 \"A IN a. udp\" 0.000123s  ",
                "[INFO] 127.0.0.1:<port> - 12 \"A IN a. udp\" <duration>",
            ),
            ("at 2024-05-01T10:11:12.5Z [::1]:40123 took 12ms", "at <time> [::1]:<port> took <duration>"),
            (".:2053 \x1b[31mred\x1b[0m", ".:${PORT} red"),
            ("SHA512 = 0123456789abcdef0123456789abcdef", "SHA512 = <hash>"),
        ] {
            assert_eq!(cleaner.line(line, &names()), shown);
        }
    }

    #[test]
    fn what_must_not_change_is_not_masked() {
        let cleaner = Cleaner::new().unwrap();
        for line in
            ["[INFO] 192.0.2.1:53 NOERROR qr,aa,rd 42", "12 a.example.org. 300", "[ERROR] plugin/errors: 2 a. A: x"]
        {
            assert_eq!(cleaner.line(line, &names()), line);
        }
    }

    #[test]
    fn series_are_chosen_by_pattern_with_their_labels_sorted() {
        let cleaner = Cleaner::new().unwrap();
        let body = "# HELP x\nx_total{zone=\".\",server=\"dns://:2053\"} 1e+01\ny_total 3\nx_seconds 0.25\n";
        let shown = |presence| cleaner.metrics(body, &[compile("^x_").unwrap()], presence, &names());
        assert_eq!(shown(false), ["x_seconds 0.25", r#"x_total{server="dns://:${PORT}",zone="."} 10"#]);
        assert_eq!(shown(true), ["x_seconds", r#"x_total{server="dns://:${PORT}",zone="."}"#]);
    }
}
