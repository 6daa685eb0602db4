//! *sign* is killed at any moment, while it signs and while it makes and replaces keys: what is there is old or new, whole.
//!
//! `CATENA_KILL_ROUNDS` says how often; by default it is as often as fits into half a minute.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_macros, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use catena_tests::binary::Binary;
use catena_zone::dnssec::{PublicKey, key_tag};
use catena_zone::zonefile::{Options, read_zone};
use tempfile::TempDir;

/// How long one test may kill if nobody says how often.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The rounds of each test if nobody says another number.
const ROUNDS: u64 = 25;
/// How long after the beginning of a file a kill may come, microseconds.
const WRITING_MICROS: u64 = 4000;
/// How long a start may take to its end.
const START_MAX: Duration = Duration::from_secs(30);

/// A server that is started and killed.
struct Victim {
    folder: TempDir,
    binary: PathBuf,
    /// How long it takes from its start until everything is done.
    busy: Duration,
    random: u64,
}

impl Victim {
    /// A folder with a zone of so many hosts. The body of `sign` has `{folder}` for it.
    fn new(zone: &str, body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        std::fs::write(folder.path().join("db"), zone).unwrap();
        let at = folder.path().display().to_string();
        let body = body.replace("{folder}", &at);
        let text = format!("example.org:0 {{\nbind 127.0.0.1\nsign {at}/db {{\ndirectory {at}\n{body}\n}}\n}}\n");
        std::fs::write(folder.path().join("Corefile"), text).unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let binary = Binary::find(workspace).unwrap().path;
        let random = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
        Self { folder, binary, busy: Duration::ZERO, random }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signed(&self) -> PathBuf {
        self.file("db.example.org.signed")
    }

    fn spawn(&self) -> Child {
        let corefile = self.file("Corefile");
        Command::new(&self.binary)
            .arg("-conf")
            .arg(corefile)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts it and kills it: every other time at a random moment before it is through or soon after, every other time when it is just writing
    /// a file, or a few milliseconds later.
    fn kill_anywhere(&mut self, round: u64) {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let mut server = self.spawn();
        if round.is_multiple_of(2) {
            let span = self.busy.as_micros() as u64 * 11 / 10;
            std::thread::sleep(Duration::from_micros(self.random % span.max(1)));
        } else {
            let begun = Instant::now();
            while self.unfinished() == 0 && begun.elapsed() < self.busy * 2 {
                std::hint::spin_loop();
            }
            std::thread::sleep(Duration::from_micros(self.random % WRITING_MICROS));
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts it and waits for at least so long, and until it has done everything.
    fn run_whole(&mut self, least: Duration, is_done: impl Fn(&Self) -> bool) {
        let mut server = self.spawn();
        let begun = Instant::now();
        while begun.elapsed() < least || !is_done(self) {
            assert!(begun.elapsed() < START_MAX, "it does not come to an end");
            std::thread::sleep(Duration::from_millis(1));
        }
        if least.is_zero() {
            self.busy = begun.elapsed();
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The names of all files.
    fn names(&self) -> BTreeSet<String> {
        let of = |folder: PathBuf| std::fs::read_dir(folder).unwrap().flatten();
        let entries = of(self.folder.path().to_path_buf()).chain(of(self.file("keys")));
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Files that have not come into their place.
    fn unfinished(&self) -> usize {
        self.names().iter().filter(|name| name.starts_with("unfinished-")).count()
    }

    /// Has other programs verify the zone, if there is one; tells whether there is.
    fn verify(&self, option: &str) -> bool {
        if !self.signed().exists() {
            return false;
        }
        for (program, args) in
            [("dnssec-verify", &[option, "-o", "example.org"][..]), ("ldns-verify-zone", &["-V", "1"])]
        {
            let Ok(output) = Command::new(program).args(args).arg(self.signed()).output() else { continue };
            let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{program}: {said}");
        }
        true
    }
}

/// Kills in rounds: as often as asked for, or as long as there is time.
fn rounds(mut round: impl FnMut(u64)) -> u64 {
    let asked: Option<u64> = std::env::var("CATENA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let begun = Instant::now();
    let mut count = 0;
    while asked.map_or(count < ROUNDS && begun.elapsed() < TIME_MAX, |asked| count < asked) {
        round(count);
        count += 1;
    }
    count
}

#[test]
fn a_server_killed_while_it_signs_leaves_the_old_zone_or_the_new_one() {
    let hosts = 500;
    let zone = |version: u64| {
        let mut zone = format!(
            "@ 60 IN SOA ns admin 1 7200 3600 1209600 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n@ 60 IN TXT v{version}\n"
        );
        (0..hosts).for_each(|host| zone.push_str(&format!("h{host} 60 IN TXT v{version}\n")));
        zone
    };
    let ksk = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keys/Kexample.org.+013+56657");
    let mut victim = Victim::new(&zone(0), &format!("key file {}", ksk.display()));
    let has = |victim: &Victim, version: u64| {
        let text = std::fs::read_to_string(victim.signed()).unwrap_or_default();
        text.matches(&format!("\tTXT\t\"v{version}\"")).count() == hosts + 1
    };
    victim.run_whole(Duration::ZERO, |victim| has(victim, 0));
    let (mut new, mut left) = (0, 0);
    let count = rounds(|round| {
        let version = round + 1;
        std::fs::write(victim.file("db"), zone(version)).unwrap();
        // It is newer than the signed one, however coarse the clock of the file system is.
        let later = SystemTime::now() + Duration::from_secs(1);
        std::fs::File::open(victim.file("db")).unwrap().set_modified(later).unwrap();
        victim.kill_anywhere(round);
        let is_new = has(&victim, version);
        assert!(is_new || has(&victim, version - 1), "round {round}: neither the old zone nor the new one");
        assert!(victim.verify("-z"));
        new += u64::from(is_new);
        left += victim.unfinished();
        victim.run_whole(Duration::ZERO, |victim| has(victim, version) && victim.unfinished() == 0);
    });
    println!("signing: {count} kills, the new zone was in its place after {new}, {left} unfinished files cleaned up");
}

/// The state file of the managed keys: the name and the stage of each.
fn state(victim: &Victim) -> Option<Vec<(String, String)>> {
    let text = std::fs::read_to_string(victim.file("keys/Kexample.org.state")).ok()?;
    assert!(text.ends_with("\nend\n"), "{text}");
    let keys = text.lines().filter_map(|line| line.strip_prefix("key "));
    Some(keys.map(|key| key.split(' ').collect::<Vec<_>>()).map(|words| (words[0].into(), words[2].into())).collect())
}

/// The tags of the keys of the signed zone.
fn published(victim: &Victim) -> BTreeSet<u16> {
    let mut tags = BTreeSet::new();
    let Ok(text) = std::fs::read(victim.signed()) else { return tags };
    read_zone(&text, &Options::new("signed", &[0]), &mut |record| {
        if record.rtype == catena_core::Rtype::DNSKEY {
            tags.insert(key_tag(record.rdata));
        }
        Ok(())
    })
    .unwrap();
    tags
}

fn tag_of(name: &str) -> u16 {
    name.rsplit('+').next().unwrap().parse().unwrap()
}

/// Whatever the moment: the keys that the state has in use have both files, of one key, and nobody else can read the private one.
fn check_keys(victim: &Victim) {
    let keys = state(victim).unwrap_or_default();
    for (name, _) in keys.iter().filter(|(_, stage)| !matches!(&**stage, "generated" | "removed")) {
        let read = |ending: &str| std::fs::read(victim.file(&format!("keys/{name}.{ending}"))).unwrap();
        PublicKey::read(&read("key")).unwrap().with_private(&read("private")).unwrap();
    }
    for entry in std::fs::read_dir(victim.file("keys")).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_str().unwrap().ends_with(".private") {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

/// Whether everything that a start has to do is done: the zone is as the state says, and no file is there that belongs to no key.
fn is_settled(victim: &Victim) -> bool {
    let Some(keys) = state(victim) else { return false };
    let is_published = |stage: &str| matches!(stage, "published" | "ready" | "active" | "retired");
    let names: BTreeSet<String> = keys.iter().map(|(name, _)| name.clone()).collect();
    let tags = keys.iter().map(|(name, _)| tag_of(name)).collect::<BTreeSet<_>>();
    let files = std::fs::read_dir(victim.file("keys")).unwrap().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.strip_suffix(".key").or(name.strip_suffix(".private")).map(str::to_owned)
    });
    let files: Vec<String> = files.collect();
    keys.iter().all(|(_, stage)| is_published(stage))
        && tags == published(victim)
        && files.len() == 2 * names.len()
        && files.iter().all(|file| names.contains(file))
        && victim.unfinished() == 0
}

#[test]
fn a_server_killed_while_it_replaces_keys_goes_on_where_it_was() {
    // Nothing is kept in caches, so every start is a step of a rollover.
    let mut zone = "@ 0 IN SOA ns admin 1 7200 3600 1209600 0\n@ 0 IN NS ns\nns 0 IN A 192.0.2.53\n".to_owned();
    (0..40).for_each(|host| zone.push_str(&format!("h{host} 0 IN TXT host\n")));
    let times = "zsk_lifetime 1s\nksk_lifetime 1s\nksk_submission after 0s\npropagation_delay 0s\nparent_ds_ttl 0s\nparent_propagation_delay 0s";
    let body = format!("key managed {{folder}}/keys ED25519\n{times}");
    // One that is left alone shows how long it takes; the other makes its first keys under fire.
    let [mut model, mut victim] = [Victim::new(&zone, &body), Victim::new(&zone, &body)];
    model.run_whole(Duration::ZERO, is_settled);
    victim.busy = model.busy;
    let (mut seen, mut stages, mut left, mut half) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    let count = rounds(|round| {
        victim.kill_anywhere(round);
        check_keys(&victim);
        if victim.verify("-x") {
            half += u64::from(!is_settled(&victim));
        }
        left += victim.unfinished();
        // What there is to do is not seen from outside, so it gets twice its time.
        victim.run_whole(2 * model.busy, is_settled);
        check_keys(&victim);
        assert!(victim.verify("-x"));
        for (name, stage) in state(&victim).unwrap() {
            stages.insert(format!("{} {stage}", tag_of(&name)));
            seen.insert(name);
        }
    });
    println!(
        "keys: {count} kills, {} keys in {} stages, {half} states half done, {left} unfinished files cleaned up",
        seen.len(),
        stages.len()
    );
    assert!(seen.len() > 2 || count < 10, "no key was replaced");
}
