//! Expectation against observation: every comparison gives the lines of a difference, none when they are equal.

use crate::value::Value;

const SECTIONS: [&str; 3] = ["answer", "authority", "additional"];

/// How the order of records and lines counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Not at all.
    Any,
    /// Records in exactly this order.
    Exact,
    /// RRsets in this order, records within one in any.
    Rrset,
}

/// How TTLs count, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Equal or one less: a second may pass between two questions.
    Exact,
    /// Equal.
    Strict,
    /// At most two more or less.
    Near,
    /// No more than that.
    Max,
    /// Not at all.
    Ignore,
}

/// The rules of one comparison.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How order counts.
    pub order: Order,
    /// How TTLs count.
    pub ttl: Ttl,
    /// Whether letter case counts.
    pub case_matters: bool,
    /// Keys and record types that do not count.
    pub ignore: Vec<String>,
}

impl Rules {
    /// The rules of a step within its case: the step's win, `ignore` adds up.
    pub fn of(case: &Value, step: &Value) -> Self {
        let mut rules = Self { order: Order::Any, ttl: Ttl::Exact, case_matters: true, ignore: Vec::new() };
        for layer in [case, step] {
            match layer.str_of("any_order") {
                Some("false") => rules.order = Order::Exact,
                Some("rrset") => rules.order = Order::Rrset,
                Some(_) => rules.order = Order::Any,
                None => {}
            }
            match layer.str_of("ttl") {
                Some("strict") => rules.ttl = Ttl::Strict,
                Some("near") => rules.ttl = Ttl::Near,
                Some("max") => rules.ttl = Ttl::Max,
                Some("ignore") => rules.ttl = Ttl::Ignore,
                Some(_) => rules.ttl = Ttl::Exact,
                None => {}
            }
            if let Some(case) = layer.str_of("case") {
                rules.case_matters = case != "ignore";
            }
            rules.ignore.extend(layer.list_of("ignore"));
        }
        rules
    }

    fn ignores(&self, what: &str) -> bool {
        self.ignore.iter().any(|one| one == what)
    }

    fn same_text(&self, one: &str, other: &str) -> bool {
        one == other || (!self.case_matters && one.to_lowercase() == other.to_lowercase())
    }
}

/// Compares any observation. With `partial` only the keys that are expected count.
pub fn observation(expected: &Value, got: &Value, rules: &Rules, partial: bool) -> Vec<String> {
    if let Some(alternatives) = expected.get("one_of") {
        let results: Vec<_> = alternatives.items().iter().map(|one| observation(one, got, rules, partial)).collect();
        let count = results.len();
        let closest = results.into_iter().min_by_key(Vec::len).unwrap_or_default();
        if closest.is_empty() && count > 0 {
            return Vec::new();
        }
        let head = format!("matches none of the {count} recorded alternatives; the closest differs in:");
        return [vec![head], closest].concat();
    }
    let (Value::Map(want), Value::Map(have)) = (expected, got) else {
        return value("", Some(expected), Some(got), rules, partial);
    };
    let mut keys: Vec<&str> = want.iter().map(|(key, _)| key.as_str()).collect();
    if !partial {
        keys.extend(have.iter().map(|(key, _)| key.as_str()).filter(|key| !expected.has(key)));
    }
    keys.retain(|key| !rules.ignores(key));
    keys.into_iter().flat_map(|key| value(key, expected.get(key), got.get(key), rules, partial)).collect()
}

fn value(key: &str, expected: Option<&Value>, got: Option<&Value>, rules: &Rules, partial: bool) -> Vec<String> {
    if SECTIONS.contains(&key) || key == "records" {
        return indent(key, records(&texts(expected), &texts(got), rules, key == "records"));
    }
    if let (Some(want @ Value::Map(_)), Some(have @ Value::Map(_))) = (expected, got) {
        // What is ignored in a message is not ignored inside its EDNS.
        let inner = Rules { ignore: if key == "edns" { Vec::new() } else { rules.ignore.clone() }, ..rules.clone() };
        return observation(want, have, &inner, partial).iter().map(|line| format!("{key} {line}")).collect();
    }
    let head = if key.is_empty() { String::new() } else { format!("{key}: ") };
    if matches!(expected, Some(Value::List(_))) || matches!(got, Some(Value::List(_))) {
        let (want, have) = (texts(expected), texts(got));
        if want == have || (sorted(&want) == sorted(&have) && rules.order != Order::Exact) {
            return Vec::new();
        }
        if key == "flags" || key == "question" {
            return vec![format!("{head}expected {}, got {}", show(expected), show(got))];
        }
        return indent(key, lines(&want, &have));
    }
    match (expected.and_then(Value::as_str), got.and_then(Value::as_str)) {
        (Some(want), Some(have)) if rules.same_text(want, have) => Vec::new(),
        (Some(want), Some(have)) if want.contains('\n') || have.contains('\n') => {
            let split = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
            indent(key, lines(&split(want), &split(have)))
        }
        (None, None) if expected.is_none() && got.is_none() => Vec::new(),
        _ => vec![format!("{head}expected {}, got {}", show(expected), show(got))],
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.map(Value::items).unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn sorted(lines: &[String]) -> Vec<&String> {
    let mut lines: Vec<&String> = lines.iter().collect();
    lines.sort();
    lines
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".into(), ToString::to_string)
}

fn indent(key: &str, lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return lines;
    }
    let head = if key.is_empty() { "lines:".into() } else { format!("{key}:") };
    std::iter::once(head).chain(lines.into_iter().map(|line| format!("  {line}"))).collect()
}

/// What is missing, what is extra; or that only the order differs.
fn lines(expected: &[String], got: &[String]) -> Vec<String> {
    let (missing, extra) = unmatched(expected, got, |one, other| one == other);
    if missing.is_empty() && extra.is_empty() {
        return another_order("lines", got);
    }
    minus_plus(&missing, &extra)
}

fn minus_plus(missing: &[&String], extra: &[&String]) -> Vec<String> {
    let missing = missing.iter().map(|line| format!("- {line}"));
    missing.chain(extra.iter().map(|line| format!("+ {line}"))).collect()
}

fn another_order(what: &str, got: &[String]) -> Vec<String> {
    let head = format!("the same {what} in another order; got:");
    std::iter::once(head).chain(got.iter().map(|line| format!("  {line}"))).collect()
}

/// Pairs off what is the same, each line once; the rest of both sides.
fn unmatched<'a>(
    expected: &'a [String],
    got: &'a [String],
    same: impl Fn(&str, &str) -> bool,
) -> (Vec<&'a String>, Vec<&'a String>) {
    let mut left: Vec<&String> = got.iter().collect();
    let mut missing = Vec::new();
    for line in expected {
        match left.iter().position(|other| same(line, other)) {
            Some(at) => {
                left.remove(at);
            }
            None => missing.push(line),
        }
    }
    (missing, left)
}

/// Two sections. `pinned`: a transfer starts and ends with its SOA, in whatever order the rest comes.
fn records(expected: &[String], got: &[String], rules: &Rules, pinned: bool) -> Vec<String> {
    let kept = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !rules.ignores(Record::of(line).kind)).cloned().collect()
    };
    let (want, have) = (kept(expected), kept(got));
    if pinned {
        for (one, other) in [(want.first(), have.first()), (want.last(), have.last())] {
            if let (Some(one), Some(other)) = (one, other)
                && !same(one, other, rules)
            {
                return vec![format!("- {one}"), format!("+ {other}")];
            }
        }
    }
    if rules.order == Order::Rrset && rrset_order(&want) != rrset_order(&have) {
        let head = "RRsets in another order; got:".to_owned();
        return std::iter::once(head).chain(have.iter().map(|line| format!("  {line}"))).collect();
    }
    let in_order = want.len() == have.len() && want.iter().zip(&have).all(|(one, other)| same(one, other, rules));
    if in_order {
        return Vec::new();
    }
    let (missing, extra) = unmatched(&want, &have, |one, other| same(one, other, rules));
    match (missing.is_empty() && extra.is_empty(), rules.order) {
        (true, Order::Exact) => another_order("records", &have),
        (true, _) => Vec::new(),
        (false, _) => minus_plus(&missing, &extra),
    }
}

/// A record's line in its parts: `NAME TTL CLASS TYPE RDATA`.
struct Record<'a> {
    name: &'a str,
    ttl: &'a str,
    class: &'a str,
    kind: &'a str,
    rdata: &'a str,
}

impl<'a> Record<'a> {
    fn of(line: &'a str) -> Self {
        let mut parts = line.splitn(5, ' ');
        let mut next = || parts.next().unwrap_or_default();
        Self { name: next(), ttl: next(), class: next(), kind: next(), rdata: next() }
    }
}

fn rrset_order(lines: &[String]) -> Vec<(&str, &str)> {
    let mut heads: Vec<(&str, &str)> = Vec::new();
    for record in lines.iter().map(|line| Record::of(line)) {
        if !heads.contains(&(record.name, record.kind)) {
            heads.push((record.name, record.kind));
        }
    }
    heads
}

fn same(expected: &str, got: &str, rules: &Rules) -> bool {
    let (want, have) = (Record::of(expected), Record::of(got));
    let pairs = [(want.name, have.name), (want.class, have.class), (want.kind, have.kind), (want.rdata, have.rdata)];
    pairs.into_iter().all(|(one, other)| rules.same_text(one, other)) && same_ttl(want.ttl, have.ttl, rules.ttl)
}

fn same_ttl(expected: &str, got: &str, rule: Ttl) -> bool {
    let (Ok(want), Ok(have)) = (expected.parse::<i64>(), got.parse::<i64>()) else {
        return rule == Ttl::Ignore || expected == got;
    };
    match rule {
        Ttl::Ignore => true,
        Ttl::Strict => have == want,
        Ttl::Exact => have == want || have == want - 1,
        Ttl::Near => (have - want).abs() <= 2,
        Ttl::Max => have <= want,
    }
}
