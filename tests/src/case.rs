//! Case files: loading, checking, naming of steps, and what a case needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::names;
use crate::value::{self, Value};

const COMPARE_KEYS: &[&str] = &["any_order", "ttl", "ignore", "case"];
const CASE_KEYS: &[&str] = &[
    "about",
    "files",
    "certs",
    "servers",
    "upstreams",
    "cluster",
    "steps",
    "args",
    "env",
    "start",
    "stderr_has",
    "startup_timeout",
    "listens",
    "skip",
    "mmdb",
    "services",
];
const SEEN_KEYS: &[&str] = &["note", "expect", "eventually"];
const DNS_KEYS: &[&str] = &[
    "proto",
    "port",
    "host",
    "from",
    "timeout",
    "id",
    "flags",
    "opcode",
    "edns",
    "tsig",
    "repeat",
    "all_seen",
    "method",
    "path",
    "tls_name",
    "client_cert",
    "validate",
    "linger",
    "proxy",
];

/// Every kind of step with the keys it may have beside its own; `see` marks those that observe.
const STEPS: &[(&str, bool, &[&[&str]])] = &[
    ("query", true, &[SEEN_KEYS, COMPARE_KEYS, DNS_KEYS]),
    ("notify", true, &[SEEN_KEYS, COMPARE_KEYS, DNS_KEYS]),
    ("raw", true, &[SEEN_KEYS, COMPARE_KEYS, DNS_KEYS, &["framed"]]),
    ("transfer", true, &[SEEN_KEYS, COMPARE_KEYS, DNS_KEYS, &["serial"]]),
    ("pipeline", true, &[SEEN_KEYS, COMPARE_KEYS, DNS_KEYS]),
    ("http", true, &[SEEN_KEYS, COMPARE_KEYS, &["metrics", "presence", "timeout"]]),
    ("log", true, &[SEEN_KEYS, COMPARE_KEYS, &["timeout"]]),
    ("upstream_queries", true, &[SEEN_KEYS, COMPARE_KEYS, &["show"]]),
    ("api_requests", true, &[SEEN_KEYS, COMPARE_KEYS]),
    ("wait_log", false, &[&["note", "timeout"]]),
    ("write", false, &[&["note"]]),
    ("remove", false, &[&["note"]]),
    ("sleep", false, &[&["note"]]),
    ("upstream", false, &[&["note"]]),
    ("signal", false, &[&["note", "exits", "expect", "timeout"]]),
    ("restart", false, &[&["note"]]),
    ("apply", false, &[&["note", "settle"]]),
    ("delete", false, &[&["note", "settle"]]),
    ("outage", false, &[&["note"]]),
    ("compact", false, &[&["note"]]),
    ("etcd_put", false, &[&["note"]]),
    ("etcd_delete", false, &[&["note"]]),
];

/// The directives of CoreDNS 1.14.7, to find out which of them a case uses.
const DIRECTIVES: &str = "root metadata geoip cancel proxyproto quic grpc_server https https3 timeouts multisocket reload \
    nsid bufsize bind debug trace ready health pprof shed prometheus errors log dnstap local dns64 any chaos loadbalance \
    tsig rewrite autopath acl cache header dnssec tls minimal template transfer hosts route53 azure clouddns k8s_external \
    kubernetes file auto secondary etcd loop forward grpc erratic whoami on sign view nomad";

/// A case: what to stage, what to do, and what CoreDNS answered then.
#[derive(Debug, Clone)]
pub struct Case {
    /// `FAMILY/NAME`.
    pub name: String,
    /// The case as written, placeholders not yet filled in.
    pub spec: Value,
    /// The recording beside it; a null when there is none.
    pub golden: Value,
}

impl Case {
    /// Reads `FAMILY/NAME.yaml` and `FAMILY/NAME.golden.yaml`.
    ///
    /// # Errors
    /// When a file cannot be read, is no YAML, or has a key that no case has.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let name = name_of(path);
        let spec = value::parse(&std::fs::read_to_string(path)?).map_err(|err| err.within(&name))?;
        check(&spec).map_err(|err| err.within(&name))?;
        let golden = path.with_extension("golden.yaml");
        let golden = if golden.exists() { std::fs::read_to_string(&golden)? } else { String::new() };
        Ok(Self { golden: value::parse(&golden).map_err(|err| err.within(&name))?, name, spec })
    }

    /// The one sentence on what the case shows.
    pub fn about(&self) -> &str {
        self.spec.str_of("about").unwrap_or_default()
    }

    /// The steps in their order.
    pub fn steps(&self) -> &[Value] {
        self.spec.get("steps").map(Value::items).unwrap_or_default()
    }

    /// What the reference gave at that step, counted from 1.
    ///
    /// # Errors
    /// [`Error::Failed`] when there is no recording, or one of another step.
    pub fn recorded(&self, number: usize, label: &str) -> Result<&Value, Error> {
        let steps = self.golden.get("steps").map(Value::items).unwrap_or_default();
        let at = number.to_string();
        let entry = steps.iter().find(|one| one.str_of("step") == Some(&at));
        let entry = entry.ok_or_else(|| Error::Failed(format!("step {number}: {label}: is not recorded")))?;
        if entry.str_of("what") != Some(label) {
            return Err(Error::Failed(format!("step {number}: {label}: was changed since it was recorded")));
        }
        entry.get("expect").ok_or_else(|| Error::Failed(format!("step {number}: {label}: the recording is empty")))
    }

    /// The directives that the case's Corefiles use: first words of lines, at most one brace deep.
    pub fn directives(&self) -> BTreeSet<String> {
        let files = self.spec.get("files").map(Value::entries).unwrap_or_default();
        let files = files.iter().filter(|(name, _)| !name.contains("db.")).map(|(_, text)| text);
        let written = self.steps().iter().filter_map(|step| step.get("write")?.get("text"));
        files.chain(written).filter_map(Value::as_str).flat_map(directives_of).collect()
    }

    /// Why this harness cannot play the case, if it cannot.
    pub fn unsupported(&self) -> Option<String> {
        if let Some(reason) = self.spec.str_of("skip") {
            return Some(reason.into());
        }
        if let Some(key) = ["servers", "services", "mmdb"].into_iter().find(|key| self.spec.has(key)) {
            return Some(format!("needs `{key}:`, which this harness lacks"));
        }
        if self.spec.to_string().contains("${HOST_IP}") && names::host_ip().is_none() {
            return Some("this host has only loopback addresses".into());
        }
        self.steps().iter().find_map(unsupported_step)
    }
}

fn unsupported_step(step: &Value) -> Option<String> {
    let lacks = |what: &str| Some(format!("needs `{what}`, which this harness lacks"));
    if let Some(key) = ["tsig", "validate", "client_cert"].into_iter().find(|key| step.has(key)) {
        return lacks(key);
    }
    match step.str_of("proto") {
        None | Some("udp" | "tcp" | "tls") => None,
        Some(proto) => lacks(&format!("proto: {proto}")),
    }
}

fn directives_of(text: &str) -> BTreeSet<String> {
    let known: BTreeSet<&str> = DIRECTIVES.split_whitespace().collect();
    let mut used = BTreeSet::new();
    let mut depth = 0_usize;
    for line in text.lines() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        if let Some(first) = words.first().filter(|first| depth <= 1 && known.contains(**first)) {
            used.insert((*first).to_owned());
        }
        depth += words.iter().filter(|word| word.ends_with('{')).count();
        depth = depth.saturating_sub(words.iter().filter(|word| **word == "}").count());
    }
    used
}

/// Every case below a folder of families, in the order of their names.
///
/// # Errors
/// When a folder cannot be read.
pub fn find(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for family in std::fs::read_dir(root)? {
        let family = family?.path();
        if !family.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&family)? {
            let file = file?.path();
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".yaml") && !name.ends_with(".golden.yaml") {
                found.push(file);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `FAMILY/NAME` of a case file.
pub fn name_of(path: &Path) -> String {
    let part = |part: Option<&std::ffi::OsStr>| part.map(|one| one.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}/{}", part(path.parent().and_then(Path::file_name)), part(path.file_stem()))
}

/// Catches misspelt keys: a key that is silently passed over would be a test that tests nothing.
fn check(spec: &Value) -> Result<(), Error> {
    let wrong = |text: String| Err(Error::Case(text));
    let known = |key: &str| CASE_KEYS.contains(&key) || COMPARE_KEYS.contains(&key);
    if let Some((key, _)) = spec.entries().iter().find(|(key, _)| !known(key)) {
        return wrong(format!("unknown key {key:?}"));
    }
    if !spec.has("about") {
        return wrong("`about:` is missing".into());
    }
    let start = spec.str_of("start").unwrap_or("ok");
    if !["ok", "fails", "exits"].contains(&start) {
        return wrong("start: ok, fails or exits".into());
    }
    if start == "fails" && spec.list_of("stderr_has").is_empty() {
        return wrong("`start: fails` needs `stderr_has:`, or any broken server would pass".into());
    }
    let steps = spec.get("steps").map(Value::items).unwrap_or_default();
    if start == "ok" && steps.is_empty() && !spec.has("skip") {
        return wrong("no steps".into());
    }
    for (at, step) in steps.iter().enumerate() {
        check_step(step).map_err(|err| err.within(&format!("step {}", at + 1)))?;
    }
    Ok(())
}

fn check_step(step: &Value) -> Result<(), Error> {
    let Some((kind, _, groups)) = STEPS.iter().find(|(kind, ..)| step.has(kind)) else {
        return Err(Error::Case("is of no known kind".into()));
    };
    let known = |key: &str| key == *kind || groups.iter().any(|group| group.contains(&key));
    if let Some((key, _)) = step.entries().iter().find(|(key, _)| !known(key)) {
        return Err(Error::Case(format!("{kind}: unknown key {key:?}")));
    }
    if step.get("expect").is_some_and(Value::is_null) {
        return Err(Error::Case(format!("{kind}: `expect:` is empty and would assert nothing")));
    }
    Ok(())
}

/// The kind of a step, and whether it observes.
pub fn kind_of(step: &Value) -> Option<(&'static str, bool)> {
    STEPS.iter().find(|(kind, ..)| step.has(kind)).map(|(kind, sees, _)| (*kind, *sees))
}

/// The longest label; recordings cut theirs there as well.
const LABEL_CHARS_MAX: usize = 160;

/// One line that names a step, built from the text of the case before placeholders are filled in. It is the one
/// that recordings hold, so a changed step no longer matches its recording.
pub fn label_of(step: &Value) -> String {
    let Some((kind, _)) = kind_of(step) else { return String::new() };
    let value = step.get(kind);
    let or = |key: &str, default: &'static str| value.and_then(|one| one.str_of(key)).unwrap_or(default).to_owned();
    let what = match (kind, value) {
        ("http", _) => format!("{} {} {}", or("method", "GET"), or("port", "HTTP"), or("path", "/")),
        ("write", _) => or("path", ""),
        ("apply" | "delete", _) => "objects".into(),
        ("pipeline", Some(list)) => list.items().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        (_, Some(Value::List(items))) => {
            let quoted: Vec<String> = items.iter().filter_map(Value::as_str).map(quoted).collect();
            format!("[{}]", quoted.join(", "))
        }
        (_, value) => value.map(ToString::to_string).unwrap_or_default(),
    };
    let proto = step.str_of("proto").filter(|proto| *proto != "udp").map(|proto| format!(" ({proto})"));
    let note = step.str_of("note").map(|note| format!(" — {note}"));
    let text = format!("{kind} {what}{}{}", proto.unwrap_or_default(), note.unwrap_or_default());
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LABEL_CHARS_MAX).collect()
}

/// A text in quotes, as recordings show the items of a list.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for one in text.chars() {
        match one {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            one if one == quote => out.extend(['\\', one]),
            one => out.push(one),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn step(text: &str) -> Value {
        value::parse(text).unwrap()
    }

    #[test]
    fn labels_are_those_of_the_recordings() {
        assert_eq!(label_of(&step("query: a.example.org A")), "query a.example.org A");
        assert_eq!(label_of(&step("{query: a A, proto: tcp, note: again}")), "query a A (tcp) — again");
        assert_eq!(label_of(&step("http: {path: /ready}")), "http GET HTTP /ready");
        assert_eq!(label_of(&step(r"log: ['a\.b', 'it''s']")), r#"log ['a\\.b', "it's"]"#);
    }

    #[test]
    fn misspelt_keys_are_errors() {
        assert!(check(&step("{about: x, steps: [{query: a A}]}")).is_ok());
        assert!(check(&step("{about: x, stepz: [], steps: [{query: a A}]}")).is_err());
        assert!(check(&step("{about: x, steps: [{query: a A, prto: tcp}]}")).is_err());
        assert!(check(&step("{about: x, steps: [{querry: a A}]}")).is_err());
        assert!(check(&step("{about: x, start: fails}")).is_err());
    }

    #[test]
    fn directives_are_found_at_the_head_of_lines_and_not_inside_their_blocks() {
        let text = ".:53 {\n    hosts {\n        log x\n    }\n    cache # forward\n}\n";
        assert_eq!(directives_of(text).into_iter().collect::<Vec<_>>(), ["cache", "hosts"]);
    }

    #[test]
    fn a_case_that_needs_what_the_harness_lacks_says_so() {
        let case = |spec: &str| Case { name: "x/y".into(), spec: step(spec), golden: step("") };
        assert_eq!(case("{about: x, steps: [{query: a A, proto: tls}]}").unsupported(), None);
        let reason = case("{about: x, steps: [{query: a A, proto: grpc}]}").unsupported().unwrap();
        assert!(reason.contains("grpc"), "{reason}");
    }
}
