//! The steps of a case: those that observe are compared with the recording, the others act.

use regex::Regex;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::case::{kind_of, label_of};
use crate::client::{self, Target};
use crate::compare::{self, Order, Rules};
use crate::http;
use crate::process::status_number;
use crate::run::{Problem, Stage};
use crate::text::compile;
use crate::upstream::Upstream;
use crate::value::Value;

/// How long servers may take to write what they write after the reply, in seconds.
const LATE: [(&str, f64); 4] = [("log", 2.0), ("metrics", 2.0), ("upstream_queries", 1.0), ("api_requests", 1.0)];
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// How long `wait_log` waits and how long an end may take, in seconds.
const WAIT_SECONDS: f64 = 10.0;
/// What a change of the cluster is given to reach the server, in seconds.
const SETTLE_SECONDS: f64 = 0.3;
/// An upstream notes a query before it answers: this is what the reply is given to arrive and to be stored.
const STORE_TIME: Duration = Duration::from_millis(50);
/// The most often a step is repeated.
const REPEAT_MAX: usize = 1000;

fn seconds(step: &Value, key: &str, default: f64) -> Result<Duration, Error> {
    let seconds = step.number_of(key)?.unwrap_or(default);
    Duration::try_from_secs_f64(seconds).map_err(|err| Error::Case(format!("{key}: {err}")))
}

impl Stage<'_> {
    /// Performs one step as it stands in the case.
    pub(crate) async fn perform_step(&mut self, raw: &Value) -> Result<(), Error> {
        let Some((kind, observes)) = kind_of(raw) else { return Err(Error::Case("a step of no kind".into())) };
        let step = self.names.expand_tree(raw)?;
        if !observes {
            let value = step.get(kind).cloned().unwrap_or_else(|| Value::text(""));
            return self.act(kind, &value, &step).await;
        }
        let late = LATE.iter().find(|(one, _)| *one == kind || step.has(one)).map_or(0.0, |(_, late)| *late);
        let end = Instant::now() + seconds(&step, "eventually", late)?;
        let label = label_of(raw);
        let (expected, partial) = match raw.get("expect") {
            Some(expected) => (expected, true),
            None => (self.case.recorded(self.step, &label)?, false),
        };
        // Bodies and lines of output are observed with their placeholders put back.
        let shown_as_text = matches!(kind, "http" | "log");
        let expected = if shown_as_text { expected.clone() } else { self.names.expand_tree(expected)? };
        let rules = Rules::of(&self.case.spec, &step);
        let diff = loop {
            let seen = self.observe(kind, &step, &rules).await?;
            let diff = judge(&expected, &seen, &rules, partial, step.is_true("all_seen"));
            if diff.is_empty() || Instant::now() >= end {
                break diff;
            }
            sleep(RETRY_EVERY).await;
        };
        if let Some(name) = step.str_of("upstream_queries") {
            self.upstream(name)?.forget();
            sleep(STORE_TIME).await;
        }
        if !diff.is_empty() {
            let head = format!("step {}: {label}", self.step);
            let lines = std::iter::once(head).chain(diff.iter().map(|line| format!("  {line}"))).collect();
            self.problems.push(Problem { step: Some(self.step), lines });
        }
        Ok(())
    }

    /// The distinct observations of a step: one, or several with `repeat:`.
    async fn observe(&mut self, kind: &str, step: &Value, rules: &Rules) -> Result<Vec<Value>, Error> {
        let mut seen: Vec<Value> = Vec::new();
        for _ in 0..step.number_of("repeat")?.unwrap_or(1).min(REPEAT_MAX) {
            let got = self.see(kind, step, rules).await?;
            if seen.iter().all(|one| !compare::observation(&got, one, rules, false).is_empty()) {
                seen.push(got);
            }
        }
        Ok(seen)
    }

    async fn see(&mut self, kind: &str, step: &Value, rules: &Rules) -> Result<Value, Error> {
        match kind {
            "http" => self.see_http(step).await,
            "log" => self.see_log(step),
            "upstream_queries" => self.see_upstream_queries(step),
            "api_requests" => {
                let pattern = compile(step.str_of(kind).unwrap_or_default())?;
                let requests = self.cluster()?.requests();
                Ok(Value::texts(requests.into_iter().filter(|line| pattern.is_match(line))))
            }
            _ => {
                let target = Target::of(step, &mut self.names, self.folder)?;
                match kind {
                    "pipeline" => client::pipeline(step, self.step, rules.order == Order::Exact, &target).await,
                    "transfer" => client::transfer(step, self.step, &target).await,
                    _ => client::ask(step, self.step, &target).await,
                }
            }
        }
    }

    async fn see_http(&mut self, step: &Value) -> Result<Value, Error> {
        let spec = step.get("http").cloned().unwrap_or_else(|| Value::text(""));
        let port = spec.str_of("port").unwrap_or("HTTP");
        let port = port.parse().or_else(|_| self.names.port(port))?;
        let limit = seconds(step, "timeout", client::REPLY_TIMEOUT.as_secs_f64())?;
        let (mut seen, body) = match http::ask(&spec, port, limit).await? {
            http::Answer::Status(status, body) => (vec![("status".to_owned(), Value::text(status.to_string()))], body),
            http::Answer::Nothing(why) => (vec![("reply".to_owned(), Value::text(why))], String::new()),
        };
        if step.has("metrics") {
            let wanted = patterns(step, "metrics")?;
            let lines = self.cleaner.metrics(&body, &wanted, step.is_true("presence"), &self.names);
            seen.push(("metrics".into(), Value::texts(lines)));
        } else if !body.is_empty() {
            seen.push(("body".into(), Value::text(self.cleaner.line(&body, &self.names))));
        }
        Ok(Value::Map(seen))
    }

    fn see_log(&self, step: &Value) -> Result<Value, Error> {
        let wanted = patterns(step, "log")?;
        let output = self.server.output();
        let lines = output.lines().map(|line| self.cleaner.line(line, &self.names));
        Ok(Value::texts(lines.filter(|line| wanted.iter().any(|pattern| pattern.is_match(line)))))
    }

    fn see_upstream_queries(&self, step: &Value) -> Result<Value, Error> {
        let seen = self.upstream(step.str_of("upstream_queries").unwrap_or_default())?.seen();
        Ok(match step.str_of("show") {
            Some("count") => Value::Map(vec![("count".into(), Value::text(seen.len().to_string()))]),
            Some("full") => Value::texts(seen.into_iter().map(|one| one.full)),
            _ => Value::texts(seen.into_iter().map(|one| one.name)),
        })
    }

    async fn act(&mut self, kind: &str, value: &Value, step: &Value) -> Result<(), Error> {
        let text = value.as_str().unwrap_or_default();
        match kind {
            "write" => self.write(value.str_of("path").unwrap_or_default(), value.str_of("text").unwrap_or_default()),
            "remove" => Ok(std::fs::remove_file(self.folder.join(text))?),
            "sleep" => {
                sleep(seconds(step, "sleep", 0.0)?).await;
                Ok(())
            }
            "wait_log" => self.wait_log(text, seconds(step, "timeout", WAIT_SECONDS)?).await,
            "signal" => self.signal(text, step).await,
            "restart" => {
                self.server.stop().await;
                self.server.start()?;
                self.ended = false;
                self.must_listen().await
            }
            "upstream" => value.entries().iter().try_for_each(|(name, change)| self.upstream(name)?.change(change)),
            "apply" | "delete" => {
                let cluster = self.cluster()?;
                if kind == "apply" {
                    cluster.apply(text)?
                } else {
                    cluster.delete(text)?
                };
                sleep(seconds(step, "settle", SETTLE_SECONDS)?).await;
                Ok(())
            }
            "compact" => {
                self.cluster()?.compact();
                Ok(())
            }
            "outage" => self.outage(text).await,
            _ => Err(Error::Case(format!("{kind}: this harness lacks that step"))),
        }
    }

    async fn wait_log(&mut self, pattern: &str, limit: Duration) -> Result<(), Error> {
        let regex = compile(&format!("(?m){pattern}"))?;
        if self.server.wait_log(&regex, limit).await {
            return Ok(());
        }
        let seconds = limit.as_secs_f64();
        Err(Error::Failed(format!("step {}: wait_log: nothing matches /{pattern}/ within {seconds} s", self.step)))
    }

    /// TERM, INT, QUIT and KILL are expected to end the server, the first three with status 0.
    async fn signal(&mut self, name: &str, step: &Value) -> Result<(), Error> {
        self.server.signal(name).await?;
        let ends = matches!(name, "TERM" | "INT" | "QUIT" | "KILL");
        if step.str_of("exits").map_or(!ends, |exits| exits != "true") {
            return Ok(());
        }
        self.ended = true;
        let status = self.server.wait_end(seconds(step, "timeout", WAIT_SECONDS)?).await;
        let status =
            status.ok_or_else(|| Error::Failed(format!("step {}: signal {name}: the server still runs", self.step)))?;
        let wanted = step.number_of("expect")?.unwrap_or(if name == "KILL" { -9 } else { 0 });
        if status_number(status) != wanted {
            let line =
                format!("step {}: signal {name}: expected status {wanted}, got {}", self.step, status_number(status));
            self.problems.push(Problem { step: Some(self.step), lines: vec![line] });
        }
        Ok(())
    }

    async fn outage(&mut self, text: &str) -> Result<(), Error> {
        let cluster = self.cluster.as_mut().ok_or_else(|| Error::Case("the case has no `cluster:`".into()))?;
        if matches!(text, "on" | "true") {
            cluster.begin_outage().await;
            return Ok(());
        }
        cluster.end_outage().await
    }

    fn upstream(&self, name: &str) -> Result<&Upstream, Error> {
        self.upstreams.get(name).ok_or_else(|| Error::Case(format!("no upstream named {name}")))
    }

    fn cluster(&self) -> Result<&crate::api::Cluster, Error> {
        self.cluster.as_ref().ok_or_else(|| Error::Case("the case has no `cluster:`".into()))
    }
}

fn patterns(step: &Value, key: &str) -> Result<Vec<Regex>, Error> {
    step.list_of(key).iter().map(|pattern| compile(pattern)).collect()
}

/// The first observation that differs; with `all_seen` also the alternatives that never came.
fn judge(expected: &Value, seen: &[Value], rules: &Rules, partial: bool, all_seen: bool) -> Vec<String> {
    let diffs = seen.iter().map(|one| compare::observation(expected, one, rules, partial));
    if let Some(diff) = diffs.into_iter().find(|diff| !diff.is_empty()) {
        return diff;
    }
    let alternatives = expected.get("one_of").filter(|_| all_seen).map(Value::items).unwrap_or_default();
    let never = |one: &&Value| seen.iter().all(|got| !compare::observation(one, got, rules, partial).is_empty());
    alternatives.iter().filter(never).map(|one| format!("this alternative never came: {one}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::value::parse;

    #[test]
    fn an_alternative_that_never_came_is_told_when_all_are_wanted() {
        let expected = parse("one_of: [{reply: none}, {reply: closed}]").unwrap();
        let (seen, none) = ([parse("reply: none").unwrap()], parse("{}").unwrap());
        let rules = Rules::of(&none, &none);
        assert!(judge(&expected, &seen, &rules, false, false).is_empty());
        assert_eq!(judge(&expected, &seen, &rules, false, true), ["this alternative never came: {reply: closed}"]);
    }
}
