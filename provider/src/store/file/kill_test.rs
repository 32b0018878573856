//! A writing process is killed at random moments, again and again, and nothing that it was told to be written is lost.
//!
//! The test binary starts itself: with [`VICTIM`] in its environment the test is the writer. What it was promised it prints, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rand::RngExt as _;

use super::*;

/// Folder of the store that the writer writes to.
const VICTIM: &str = "STRATA_TEST_VICTIM";
/// The first number that it counts from.
const FROM: &str = "STRATA_TEST_VICTIM_FROM";
/// File with the recipient that it shares the store with.
const READER: &str = "reader.txt";
/// How often it is killed at least: about three seconds on a machine with nothing else to do.
const ROUNDS: u64 = 20;
/// How much it has to have been promised by then: on a busy machine it takes more rounds.
const PROMISES: usize = 100;

fn open(folder: &Path) -> File {
    let identity = folder.join("identity.txt");
    File::new(folder.join("store"), identity, &[]).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A number and as many characters as it says: a torn value shows.
fn value(number: u64) -> Secret<String> {
    let length = usize::try_from(number % 5000).unwrap();
    Secret::new(format!("{number}:{}", "x".repeat(length)))
}

fn number(entry: &Entry) -> u64 {
    let (number, rest) = entry.value.expose().split_once(':').unwrap();
    let number = number.parse().unwrap();
    assert_eq!(rest.len() as u64, number % 5000, "a torn entry");
    number
}

/// Writes until it is killed.
fn write_for_ever(folder: &Path, from: u64) {
    let store = open(folder);
    let reader = fs::read_to_string(folder.join(READER)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let say = |word: &str, entry: &str, number: u64| {
        let mut out = io::stdout().lock();
        writeln!(out, "{word} {entry} {number}").unwrap();
        out.flush().unwrap();
    };
    for number in from.. {
        let replaced = format!("replaced/{}", number % 3);
        runtime
            .block_on(store.put(&name(&replaced), &value(number)))
            .unwrap();
        say("there", &replaced, number);
        let once = format!("once/{number}");
        let put = store.0.put_if_absent(&name(&once), &value(number)).unwrap();
        assert!(matches!(put, Put::Written(_)));
        say("there", &once, number);
        if number >= from + 5 {
            let old = format!("once/{}", number - 5);
            say("going", &old, 0);
            store.0.delete(&name(&old), None).unwrap();
            say("gone", &old, 0);
        }
        if number % 7 == 0 {
            runtime.block_on(store.share(&reader)).unwrap();
        }
    }
}

/// What was promised, over all rounds.
#[derive(Default)]
struct Promised {
    there: BTreeMap<String, u64>,
    gone: BTreeSet<String>,
    count: usize,
}

impl Promised {
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [word, entry, number] = words[..] else {
            return; // what the test harness prints
        };
        self.count += 1;
        match word {
            "there" => {
                self.there.insert(entry.into(), number.parse().unwrap());
            }
            "going" => {
                self.there.remove(entry);
            }
            "gone" => {
                self.gone.insert(entry.into());
            }
            _ => self.count -= 1,
        }
    }

    /// A new process looks.
    fn check(&self, folder: &Path) {
        let store = open(folder).0;
        let mut found = BTreeMap::new();
        for name in store.list("").unwrap() {
            let entry = store.get(&name).unwrap().expect("a listed entry");
            found.insert(name.to_string(), number(&entry));
        }
        for (entry, number) in &self.there {
            // The put that was under way may have been through.
            let least = found
                .get(entry)
                .unwrap_or_else(|| panic!("{entry} is lost"));
            assert!(least >= number, "{entry}: {least} instead of {number}");
        }
        for entry in &self.gone {
            assert!(!found.contains_key(entry), "{entry} is back");
        }
    }
}

#[test]
fn a_writer_that_is_killed_at_any_moment_loses_nothing() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        let from = std::env::var(FROM).unwrap().parse().unwrap();
        return write_for_ever(Path::new(&folder), from);
    }
    let folder = tempfile::tempdir().unwrap();
    let reader = Identity::generate().to_public().to_string();
    fs::write(folder.path().join(READER), reader).unwrap();
    let (mut promised, mut rounds) = (Promised::default(), 0);
    while rounds < ROUNDS || promised.count < PROMISES {
        rounds += 1;
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::file::kill_test::a_writer_that_is_killed_at_any_moment_loses_nothing",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(VICTIM, folder.path())
            .env(FROM, (rounds * 100_000).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(victim.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            // A line without its end was cut off, and promises nothing.
            while output.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
                sender.send(line.trim_end().to_owned()).unwrap();
                line.clear();
            }
        });
        let mut begun = false;
        while !begun {
            let line = lines
                .recv_timeout(Duration::from_secs(30))
                .expect("the writer writes");
            promised.take(&line);
            begun = line.starts_with("there ");
        }
        std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..40_000)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        reader.join().unwrap();
        for line in lines {
            promised.take(&line);
        }
        promised.check(folder.path());
    }
}
