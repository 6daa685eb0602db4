//! What the plugin counts.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use catena_cluster::index::Index;
use catena_core::{Metrics, Task};
use prometheus::{CounterVec, GaugeVec, Histogram, HistogramVec};

/// How often the age of the data is told.
const STALENESS_TOLD_EVERY: Duration = Duration::from_secs(1);

/// 1 ms, doubled nineteen times. Seconds.
const PROGRAMMING_BUCKETS: usize = 20;

/// The buckets of a Prometheus client that is told none. Seconds.
const REQUEST_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

pub(crate) struct Handles {
    programming: HistogramVec,
    request_duration: HistogramVec,
    limiter_duration: HistogramVec,
    requests: CounterVec,
}

impl Handles {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let buckets: Vec<f64> = (0..PROGRAMMING_BUCKETS).map(|step| 0.001 * f64::from(1_u32 << step)).collect();
        Self {
            programming: metrics.histogram(
                "coredns_kubernetes_dns_programming_duration_seconds",
                "Histogram of the time (in seconds) it took to program a dns instance.",
                &["service_kind"],
                &buckets,
            ),
            request_duration: metrics.histogram(
                "coredns_kubernetes_rest_client_request_duration_seconds",
                "Request latency in seconds. Broken down by verb and host.",
                &["verb", "host"],
                &REQUEST_BUCKETS,
            ),
            limiter_duration: metrics.histogram(
                "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
                "Client side rate limiter latency in seconds. Broken down by verb and host.",
                &["verb", "host"],
                &REQUEST_BUCKETS,
            ),
            requests: metrics.counter(
                "coredns_kubernetes_rest_client_requests_total",
                "Number of HTTP requests, partitioned by status code, method, and host.",
                &["code", "method", "host"],
            ),
        }
    }

    /// The time from the cause of a slice to its being served.
    pub(crate) fn programming(&self, headless: bool) -> Histogram {
        self.programming.with_label_values(&[if headless { "headless_with_selector" } else { "cluster_ip" }])
    }

    pub(crate) fn request(&self, host: &str, code: Option<u16>, waited: Duration, elapsed: Duration) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.requests.with_label_values(&[code.as_str(), "GET", host]).inc();
        self.limiter_duration.with_label_values(&["GET", host]).observe(waited.as_secs_f64());
        self.request_duration.with_label_values(&["GET", host]).observe(elapsed.as_secs_f64());
    }
}

/// Tells how old the data of a block may be.
pub(crate) struct Staleness {
    family: GaugeVec,
    zone: String,
}

impl Staleness {
    pub(crate) fn of(metrics: &Metrics, zone: &str) -> Self {
        let family = metrics.gauge(
            "coredns_kubernetes_stale_seconds",
            "For how many seconds the data may have been out of date; 0 while the API is followed.",
            &["zone"],
        );
        Self { family, zone: zone.to_owned() }
    }

    /// The task, and beside it the age of the index, told for as long as the task goes on.
    pub(crate) fn told_beside(&self, index: Arc<Index>, mut task: Task) -> Task {
        let (family, zone) = (self.family.clone(), self.zone.clone());
        let mut told = Box::pin(async move {
            loop {
                family.with_label_values(&[zone.as_str()]).set(index.stale_seconds() as f64);
                tokio::time::sleep(STALENESS_TOLD_EVERY).await;
            }
        });
        Box::pin(poll_fn(move |cx| {
            let _never_ends: std::task::Poll<()> = told.as_mut().poll(cx);
            task.as_mut().poll(cx)
        }))
    }

    /// Nobody follows any more.
    pub(crate) fn forget(&self) {
        // It may not have been told yet.
        let _unknown = self.family.remove_label_values(&[self.zone.as_str()]);
    }
}

/// Reads RFC 3339 as time since 1970; `None` if it is none.
pub(crate) fn rfc3339(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once('T')?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone_at);
    let mut date = date
        .splitn(3, '-')
        .map(|part| part.parse::<i64>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit())));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (seconds, fraction) = clock(time)?;
    let offset = match zone {
        "Z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if zone.starts_with('-') { -60 * minutes } else { 60 * minutes }
        }
    };
    let since = days(year, month, day) * 86400 + seconds - offset;
    Some(Duration::from_secs(u64::try_from(since).ok()?) + fraction)
}

/// Seconds within a day and what is below a second.
fn clock(time: &str) -> Option<(i64, Duration)> {
    let mut parts = time.splitn(3, ':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let [hours, minutes, seconds] = [hours, minutes, seconds].map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (hours?, minutes?, seconds?);
    let in_range = (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..61).contains(&seconds);
    in_range.then(|| (hours * 3600 + minutes * 60 + seconds, Duration::from_secs_f64(fraction)))
}

/// Days since 1970, the Gregorian calendar counted from March on so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// How long ago a moment was; none if it is to come.
pub(crate) fn since(moment: Duration, now: std::time::SystemTime) -> Option<Duration> {
    now.duration_since(UNIX_EPOCH).ok()?.checked_sub(moment)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn moments_are_read_with_fractions_and_offsets() {
        let seconds = |text: &str| rfc3339(text).map(|since| since.as_secs_f64());
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(seconds("2024-02-29T12:30:15.5Z"), Some(1_709_209_815.5));
        assert_eq!(seconds("2024-03-01T00:30:00+01:00"), seconds("2024-02-29T23:30:00Z"));
        assert_eq!(seconds("2023-12-31T23:00:00-02:00"), seconds("2024-01-01T01:00:00Z"));
        for bad in [
            "",
            "yesterday",
            "2024-13-01T00:00:00Z",
            "2024-01-01T25:00:00Z",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00+x",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
