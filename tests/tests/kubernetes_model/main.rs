//! A random cluster with a random history: after every change the plugin *kubernetes*, which follows an API server, answers as a naive
//! model does that reads the objects one by one.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "the test waits for what an API server tells")]

mod model;
mod world;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use catena_testkit::{Ask, Kit, Recipe};
use catena_tests::api::Cluster;
use model::{Options, SET_ZONE, Wanted, ZONE, arpa, wanted};
use tokio::runtime::Runtime;
use world::{ADDRESSES, CLUSTER_IPS, CLUSTERS, Change, Dice, HOSTS, NAMESPACES, PODS, SERVICES, World};

/// How many worlds there are, and how many changes each sees.
const WORLDS: u64 = 8;
const CHANGES: usize = 30;

/// How long a change may take to be seen; after an outage.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// Every name that may be there, and some that never are.
fn questions() -> Vec<(String, &'static str)> {
    let mut all: Vec<(String, &'static str)> = Vec::new();
    let mut push = |name: String, types: &[&'static str]| all.extend(types.iter().map(|qtype| (name.clone(), *qtype)));
    let dashed = |text: &str| text.replace(['.', ':'], "-");
    for zone in [ZONE, SET_ZONE] {
        push(format!("dns-version.{zone}"), &["TXT", "A"]);
        push(format!("none.{zone}"), &["A", "TXT"]);
        for namespace in NAMESPACES {
            push(format!("{namespace}.svc.{zone}"), &["A"]);
            for service in SERVICES {
                let own = format!("{service}.{namespace}.svc.{zone}");
                push(own.clone(), &["A", "AAAA", "SRV", "CNAME", "MX"]);
                push(format!("_http._tcp.{own}"), &["A", "SRV"]);
                push(format!("_dns._udp.{own}"), &["SRV"]);
                push(format!("_http._udp.{own}"), &["SRV"]);
                let hosts = HOSTS.iter().chain(&PODS).map(|host| (*host).to_owned());
                let hosts =
                    hosts.chain(ADDRESSES.iter().map(|address| dashed(address))).chain(["2001-db8-0-1--0".to_owned()]);
                for host in hosts {
                    push(format!("{host}.{own}"), &["A", "AAAA"]);
                    if zone == SET_ZONE {
                        push(format!("{host}.{}.{own}", CLUSTERS[host.len() % 2]), &["A", "SRV"]);
                    }
                }
            }
        }
    }
    for namespace in NAMESPACES {
        for address in ADDRESSES {
            push(format!("{}.{namespace}.pod.{ZONE}", dashed(address)), &["A", "AAAA"]);
        }
    }
    for address in ADDRESSES.iter().chain(&CLUSTER_IPS) {
        push(arpa(&address.parse::<IpAddr>().unwrap()), &["PTR"]);
    }
    all
}

/// What the plugin answers, in the form of the model.
fn answered(kit: &Kit, name: &str, qtype: &str) -> Wanted {
    // Names have no case (RFC 4343).
    let asked = if name.len().is_multiple_of(3) { name.to_uppercase() } else { name.to_owned() };
    let seen = kit.ask(&Ask::new(&format!("{asked} {qtype}")).tcp());
    assert!(matches!(seen.rcode.as_str(), "NOERROR" | "NXDOMAIN"), "{name} {qtype}: {seen:?}");
    let exists = seen.rcode == "NOERROR";
    assert_eq!(
        seen.authority.len(),
        usize::from(seen.answer.is_empty()),
        "an empty answer comes with the SOA record: {seen:?}"
    );
    let record = |line: &String, with_owner: bool| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = if words[3] == "SRV" { [&words[3..5], &words[6..]].concat() } else { words[3..].to_vec() };
        let rest = if words[3] == "TXT" { rest.join(" ") } else { rest.join(" ").to_lowercase() };
        let (kind, data) = rest.split_once(' ').unwrap();
        let text = format!("{} {data}", kind.to_uppercase());
        if with_owner { format!("{} {text}", words[0].to_lowercase()) } else { text }
    };
    let sorted = |lines: &[String], with_owner| {
        let mut lines: Vec<String> = lines.iter().map(|line| record(line, with_owner)).collect();
        lines.sort();
        lines
    };
    Wanted { exists, answer: sorted(&seen.answer, false), additional: sorted(&seen.additional, true) }
}

struct Lab {
    runtime: Runtime,
    cluster: Cluster,
    kit: Kit,
    world: World,
    options: Options,
    questions: Vec<(String, &'static str)>,
    history: Vec<String>,
    seed: u64,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let options = Options { shop_alone: seed % 4 == 1, ignore_empty: seed % 4 == 2, pod_names: seed % 4 == 3 };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = runtime.block_on(Cluster::start("", free)).unwrap();
        let said = [
            (options.shop_alone, "namespaces shop"),
            (options.ignore_empty, "ignore empty_service"),
            (options.pod_names, "endpoint_pod_names"),
        ];
        let said: String = said.iter().filter(|(on, _)| *on).map(|(_, line)| format!("{line}\n")).collect();
        let zones = "cluster.local clusterset.local in-addr.arpa ip6.arpa";
        let corefile = format!(
            "{zones} {{\nkubernetes {zones} {{\nendpoint http://127.0.0.1:{free}\npods verified\nmulticluster clusterset.local\n{said}}}\n}}\n"
        );
        let plugins = catena_stock::stock().iter().copied().collect::<Vec<_>>();
        let kit = Recipe::new(plugins, &corefile).build().map_err(|errors| errors[0].1.clone()).unwrap();
        Self {
            runtime,
            cluster,
            kit,
            world: World::default(),
            options,
            questions: questions(),
            history: Vec::new(),
            seed,
        }
    }

    fn change(&mut self, dice: &mut Dice) {
        let change = self.world.change(dice);
        self.history.push(format!("{change:?}"));
        match change {
            Change::Apply(object) => self.cluster.apply(&object).unwrap(),
            Change::Delete(object) => self.cluster.delete(&object).unwrap(),
        }
    }

    /// The questions that are answered otherwise than by the model.
    fn differing(&self) -> Vec<String> {
        let shown = |(name, qtype): &(String, &'static str)| {
            let (seen, wanted) = (answered(&self.kit, name, qtype), wanted(&self.world, self.options, name, qtype));
            (seen != wanted).then(|| format!("{name} {qtype}\n  seen   {seen:?}\n  wanted {wanted:?}"))
        };
        self.questions.iter().filter_map(shown).collect()
    }

    fn check(&self, within: Duration) {
        let start = Instant::now();
        loop {
            self.kit.wait(Duration::from_millis(3));
            let differing = self.differing();
            if differing.is_empty() {
                return;
            }
            if start.elapsed() > within {
                let (first, last) = (&differing[0], self.history.join("\n"));
                panic!(
                    "world {}, {:?}: {} differ, first\n{first}\nafter\n{last}",
                    self.seed,
                    self.options,
                    differing.len()
                );
            }
        }
    }

    /// Changes that the server does not see at once: the API forgets its history, or is away.
    fn miss(&mut self, dice: &mut Dice) {
        self.runtime.block_on(self.cluster.begin_outage());
        (0..5).for_each(|_| self.change(dice));
        self.cluster.compact();
        self.runtime.block_on(self.cluster.end_outage()).unwrap();
        self.check(BACK_WITHIN);
    }
}

#[test]
fn every_name_is_answered_as_the_specification_says_after_every_change() {
    std::thread::scope(|scope| {
        for seed in 0..WORLDS {
            scope.spawn(move || {
                let (mut lab, mut dice) = (Lab::new(seed), Dice(seed));
                lab.check(SEEN_WITHIN);
                for at in 0..CHANGES {
                    lab.change(&mut dice);
                    lab.check(SEEN_WITHIN);
                    if at == CHANGES / 2 {
                        lab.miss(&mut dice);
                    }
                }
            });
        }
    });
}
