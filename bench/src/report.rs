//! Figures as text, as tables of docs/performance.md, and as a picture.

use std::fmt::Write as _;
use std::path::Path;

use crate::rows::{Cell, Figures, Loaded, Row};

/// The document and its picture.
const FILE: &str = "docs/performance.md";
const PICTURE: &str = "docs/performance.svg";
const BAR_PIXELS: f64 = 16.0;
/// How wide a bar of so many microseconds is; longer ones are cut.
const MICROSECOND_PIXELS: f64 = 16.0;
const SHOWN_US_MAX: f64 = 45.0;

/// The tables.
pub(crate) fn text(figures: &Figures) -> String {
    let mut text = heading(&figures.versions, figures.times);
    for (row, cells) in &figures.rows {
        text.push_str(&table(row, cells));
    }
    if !figures.loaded.is_empty() {
        text.push_str(&loaded(&figures.loaded));
    }
    text
}

/// When, where and with what was measured.
pub(crate) fn heading(versions: &[(&'static str, String)], times: usize) -> String {
    let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let rounds = if times == 1 { "One round".to_owned() } else { format!("Medians of {times} rounds") };
    format!("Measured on {}, {}; {}. {rounds}.\n\n", date(), machine(), versions.join(", "))
}

fn table(row: &Row, cells: &[Cell]) -> String {
    let floor = if row.echoes > 1.0 { "two echoes" } else { "the floor" };
    let mut text = format!(
        "### {}\n\nGoal: {} x {floor}.\n\n| server | CPU us a query | x {floor} | k queries/s | p50 us | p99 us | p99.9 us | lost a million | RSS MB |\n|---|---|---|---|---|---|---|---|---|\n",
        row.title, row.goal
    );
    for cell in cells {
        let [p50, p99, p999] = cell.latency_us;
        let (name, lost, rate) = (cell.name, cell.lost_ppm, cell.rate / 1000.0);
        let _ = writeln!(
            text,
            "| {name} | {:.2} | {:.2} | {rate:.0} | {p50} | {p99} | {p999} | {lost:.0} | {:.0} |",
            cell.cpu_us,
            cell.ratio,
            mega(cell.rss)
        );
    }
    text.push('\n');
    text
}

fn loaded(loaded: &[Loaded]) -> String {
    let mut text = String::from(
        "### Loading a zone of a million A records\n\n| server | seconds to the first answer | RSS MB |\n|---|---|---|\n",
    );
    for one in loaded {
        let _ = writeln!(text, "| {} | {:.2} | {:.0} |", one.name, one.seconds, mega(one.rss));
    }
    text.push('\n');
    text
}

/// Puts tables and picture into their files.
pub(crate) fn write(root: &Path, figures: &Figures) -> Result<(), String> {
    put(root, "figures", &text(figures))?;
    std::fs::write(root.join(PICTURE), picture(figures)).map_err(|error| format!("{PICTURE}: {error}"))
}

/// Puts a text between the marks `<!-- MARK -->` and `<!-- end of MARK -->` of the document.
pub(crate) fn put(root: &Path, mark: &str, text: &str) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{FILE}: {error}");
    let file = root.join(FILE);
    let new = replaced(&std::fs::read_to_string(&file).map_err(told)?, mark, text)?;
    std::fs::write(&file, new).map_err(told)
}

fn replaced(old: &str, mark: &str, text: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- {mark} -->"), format!("<!-- end of {mark} -->"));
    let marked = old.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = marked.ok_or_else(|| format!("{FILE}: no `{begin}` and `{end}`"))?;
    Ok(format!("{head}{begin}\n\n{}\n\n{end}{tail}", text.trim_end()))
}

/// Bars of CPU a query, a group for each row.
fn picture(figures: &Figures) -> String {
    let mut body = String::new();
    let mut y = 40.0;
    for (row, cells) in &figures.rows {
        let _ = writeln!(body, "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{}</text>", row.title);
        y += 8.0;
        for cell in cells {
            let width = cell.cpu_us.min(SHOWN_US_MAX) * MICROSECOND_PIXELS;
            let colour = match cell.name {
                "Catena" => "#2a6fb0",
                "echo" => "#9a9a9a",
                _ => "#c8b37a",
            };
            let (top, text_y) = (y, y + BAR_PIXELS - 4.0);
            let _ = writeln!(
                body,
                "<text x=\"80\" y=\"{text_y}\" text-anchor=\"end\">{}</text><rect x=\"86\" y=\"{top}\" width=\"{width:.0}\" height=\"{}\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{text_y}\">{:.1}</text>",
                cell.name,
                BAR_PIXELS - 3.0,
                90.0 + width,
                cell.cpu_us
            );
            y += BAR_PIXELS;
        }
        y += 26.0;
    }
    let width = 86.0 + SHOWN_US_MAX * MICROSECOND_PIXELS + 60.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"18\" font-size=\"14\">CPU of the server a query, microseconds; less is better</text>\n{body}</svg>\n"
    )
}

#[allow(clippy::cast_precision_loss)]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// The class of the machine: cores and processor, no names.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = std::fs::read_to_string("/proc/cpuinfo")
        .map_or(cores, |text| text.lines().filter(|line| line.starts_with("processor")).count());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} cores of {}, Linux, load average {load}", std::env::consts::ARCH)
}

/// The day, UTC.
fn date() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let days = i64::try_from(since.as_secs() / 86_400).unwrap_or(0);
    // Howard Hinnant's civil_from_days: years begin in March, so that a leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let old = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n<!-- y -->\n<!-- end of y -->\n";
        let new = replaced(old, "x", "new\n\n").unwrap();
        assert_eq!(new, "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n<!-- y -->\n<!-- end of y -->\n");
        assert_eq!(replaced(&new, "x", "new").unwrap(), new);
        assert!(replaced(old, "z", "new").unwrap_err().contains("<!-- z -->"));
    }
}
