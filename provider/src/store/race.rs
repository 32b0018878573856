//! Two writers and one entry: whatever goes wrong, exactly one of them has written it.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Name, Put, Result, Store};
use crate::claim::{self, Claim};
use crate::lab_test::World;
use crate::secret::Secret;

const ROUNDS: usize = 1000;
const WRITERS: [&str; 2] = ["cp-1", "cp-2"];

/// Both do it at the same time, each in a task of its own.
pub(super) async fn both<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    act: impl Fn(usize) -> F,
) -> [T; 2] {
    let [one, two] = [0, 1].map(|writer| tokio::spawn(act(writer)));
    [one.await.unwrap(), two.await.unwrap()]
}

/// The claim of a writer. Always the same text: every new secret of a process costs its log a little, and there would be thousands.
fn of(writer: &str) -> Claim {
    Claim {
        at: jiff::Timestamp::UNIX_EPOCH,
        ..Claim::new("estate", writer, "run")
    }
}

/// The one that wrote. A change that waits for approval was not written; no other error is expected.
fn winner(round: usize, won: &[Result<bool>; 2]) -> usize {
    for error in won.iter().filter_map(|won| won.as_ref().err()) {
        assert!(error.is_pending(), "round {round}: {error}");
    }
    let winners: Vec<usize> = (0..2)
        .filter(|writer| matches!(won[*writer], Ok(true)))
        .collect();
    assert_eq!(winners.len(), 1, "round {round}: {won:?}");
    winners[0]
}

/// Races for an entry that never was.
async fn for_an_entry(stores: &[Arc<dyn Store>; 2], round: usize, entry: &Name) {
    let puts = both(|writer| {
        let (store, entry) = (stores[writer].clone(), entry.clone());
        async move {
            let value = Secret::new(WRITERS[writer].to_owned());
            store.put_if_absent(&entry, &value).await
        }
    })
    .await;
    let won = puts.map(|put| put.map(|put| matches!(put, Put::Written(_))));
    let writer = winner(round, &won);
    let read = stores[1 - writer].get(entry).await.unwrap().unwrap();
    assert_eq!(read.value.expose(), WRITERS[writer], "round {round}");
}

/// Races for the claim, which was deleted in the round before, and now and then for a fresh entry; `before` arranges what goes wrong in a
/// round.
pub(super) async fn for_entries_and_the_claim(
    stores: [Arc<dyn Store>; 2],
    before: impl AsyncFn(usize),
) {
    let mut wins = [0, 0];
    for round in 0..ROUNDS {
        before(round).await;
        if round.is_multiple_of(5) {
            let entry = Name::parse(&format!("race/{round}")).unwrap();
            for_an_entry(&stores, round, &entry).await;
        }
        let taken = both(|writer| {
            let store = stores[writer].clone();
            let claim = of(WRITERS[writer]);
            async move { claim::take(&*store, &claim).await }
        })
        .await;
        let writer = winner(round, &taken);
        wins[writer] += 1;
        let (claim, nonce) = claim::read(&*stores[writer]).await.unwrap().unwrap();
        assert_eq!(claim.node, WRITERS[writer], "round {round}");
        // A fault that is still there may meet the deletion; it happens once.
        if claim::drop_if(&*stores[writer], &nonce).await.is_err() {
            assert!(claim::drop_if(&*stores[writer], &nonce).await.unwrap());
        }
    }
    assert!(wins[0] > 0 && wins[1] > 0, "no race at all: {wins:?}");
}

/// Every fourth round something goes wrong, a different thing each time.
pub(super) async fn with_faults(
    world: &World,
    service: &str,
    faults: &[Value],
    stores: [Arc<dyn Store>; 2],
) {
    let before = async |round: usize| {
        if round.is_multiple_of(4) {
            let fault = &faults[round / 4 % faults.len()];
            world.fault(service, "*", fault.clone()).await;
        }
    };
    for_entries_and_the_claim(stores, before).await;
}

/// What can go wrong between any client and any service.
pub(super) fn usual_faults() -> Vec<Value> {
    vec![
        json!({ "status": { "code": 429, "retry_after": 1 } }),
        json!({ "status": { "code": 500 } }),
        json!({ "late_status": { "code": 500 } }),
        json!({ "status": { "code": 502, "body": "<html>Bad Gateway</html>" } }),
        json!("lose_reply"),
        json!("truncate"),
        json!("disconnect"),
        json!({ "late_status": { "code": 504 } }),
        json!({ "delay": { "seconds": 20 } }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_openings_of_a_keyring_wins() {
    let session = super::keyring::tests::Session::start();
    let open = || -> Arc<dyn Store> { Arc::new(session.store_in_memory()) };
    for_entries_and_the_claim([open(), open()], async |_| {}).await;
}

/// Names the folder of a race to a process that takes part in it.
const FOLDER: &str = "STRATA_TEST_RACE";

/// Runs itself twice: with the variable it is one of the two processes.
#[tokio::test]
async fn one_of_two_processes_wins_the_claim_in_a_folder() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return take_part(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    // The first put into an empty store makes the identity; afterwards both processes have it.
    let (first, name) = (store(folder.path(), "first"), Name::parse("x").unwrap());
    first
        .put(&name, &Secret::new("x".to_owned()))
        .await
        .unwrap();
    let start = |writer: &&str| -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::race::one_of_two_processes_wins_the_claim_in_a_folder",
            ])
            .env(FOLDER, folder.path())
            .env("STRATA_TEST_WRITER", writer)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    for mut process in WRITERS.each_ref().map(start) {
        assert!(process.wait().unwrap().success());
    }
    let wins = WRITERS.map(|writer| std::fs::read_to_string(folder.path().join(writer)).unwrap());
    for round in 0..ROUNDS {
        let (claim, _) = claim::read(&store(folder.path(), &round.to_string()))
            .await
            .unwrap()
            .unwrap();
        let won = wins.each_ref().map(|wins| wins.as_bytes()[round]);
        let expected = if claim.node == WRITERS[0] {
            *b"10"
        } else {
            *b"01"
        };
        assert_eq!(won, expected, "round {round}");
    }
}

fn store(folder: &Path, round: &str) -> super::file::File {
    let path = folder.join("stores").join(round);
    super::file::File::new(path, folder.join("identity.txt"), &[]).unwrap()
}

async fn take_part(folder: &Path) {
    let writer = std::env::var("STRATA_TEST_WRITER").unwrap();
    std::fs::write(folder.join(format!("{writer}.ready")), "").unwrap();
    while !WRITERS
        .iter()
        .all(|writer| folder.join(format!("{writer}.ready")).exists())
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut wins = String::new();
    for round in 0..ROUNDS {
        let claim = of(&writer);
        let won = claim::take(&store(folder, &round.to_string()), &claim)
            .await
            .unwrap();
        wins.push(if won { '1' } else { '0' });
    }
    std::fs::write(folder.join(&writer), wins).unwrap();
}
