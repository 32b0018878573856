//! Two processes and one entry: whatever goes wrong, exactly one of them has written it.
//!
//! A test of a race runs itself twice more. [`invited`] tells the two that they take part, and where the store is; each connects to the
//! referee's socket, does what it says and answers how it went. The referee tells both at the same time, looks, and cleans up.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Name, Put, Result, Store};
use crate::claim::{self, Claim};
use crate::http::client::PATIENCE;
use crate::lab_test::World;
use crate::secret::Secret;

const ROUNDS: usize = 1000;
const WRITERS: [&str; 2] = ["cp-1", "cp-2"];
/// What is raced for when it is not an entry.
const CLAIM: &str = "claim";
/// Socket of the referee, where the store is, and which of the two it is: for a process that takes part.
const SOCKET: &str = "STRATA_TEST_RACE";
const PLACE: &str = "STRATA_TEST_RACE_PLACE";
const WRITER: &str = "STRATA_TEST_RACE_WRITER";

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

/// Where the store is, when this process is one of the two.
pub(super) fn invited() -> Option<String> {
    std::env::var(PLACE).ok()
}

/// Does what the referee says until it hangs up.
pub(super) async fn take_part(store: &dyn Store) {
    PATIENCE
        .set(Duration::from_secs(2))
        .expect("nobody else in this process");
    let variable = |name| std::env::var(name).unwrap();
    let (socket, writer) = (variable(SOCKET), variable(WRITER));
    let (read, mut write) = UnixStream::connect(socket).await.unwrap().into_split();
    let mut orders = BufReader::new(read).lines();
    write
        .write_all(format!("{writer}\n").as_bytes())
        .await
        .unwrap();
    while let Ok(Some(order)) = orders.next_line().await {
        let answer = match written(store, &order, &writer).await {
            Ok(true) => "won".to_owned(),
            Ok(false) => "lost".to_owned(),
            Err(error) if error.is_pending() => "pending".to_owned(),
            Err(error) => format!("failed: {error}").replace('\n', " "),
        };
        write
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .unwrap();
    }
}

async fn written(store: &dyn Store, order: &str, writer: &str) -> Result<bool> {
    if order == CLAIM {
        return claim::take(store, &of(writer)).await;
    }
    let value = Secret::new(writer.to_owned());
    let put = store.put_if_absent(&Name::parse(order)?, &value).await?;
    Ok(matches!(put, Put::Written(_)))
}

/// One of the two processes, from the referee's side.
struct Writer {
    process: Child,
    stream: BufReader<UnixStream>,
}

impl Writer {
    async fn answer(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        let read = tokio::time::timeout(Duration::from_mins(2), read).await;
        assert!(
            read.expect("a writer that answers").unwrap() > 0,
            "a writer ended"
        );
        line.trim_end().to_owned()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Of a race that was lost to a failed check; one that ended has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two processes and whoever watches them.
pub(super) struct Race {
    writers: [Writer; 2],
    referee: Arc<dyn Store>,
}

impl Race {
    /// `test` is the path of the test that calls this, `place` what [`invited`] gives there.
    pub(super) async fn start(test: &str, place: &str, referee: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("referee");
        let listener = UnixListener::bind(&socket).unwrap();
        let start = |writer: &str| -> Child {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test])
                .env(SOCKET, &socket)
                .env(PLACE, place)
                .env(WRITER, writer)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut writers = Vec::new();
        // One after the other: who connects is who was started last.
        for name in WRITERS {
            let process = start(name);
            let accepted = tokio::time::timeout(Duration::from_mins(1), listener.accept()).await;
            let (stream, _) = accepted.expect("a writer that comes").unwrap();
            let stream = BufReader::new(stream);
            let mut writer = Writer { process, stream };
            assert_eq!(writer.answer().await, name);
            writers.push(writer);
        }
        let writers = writers.try_into().ok().expect("as many as there are names");
        Self { writers, referee }
    }

    /// Tells both, and gives the one that wrote. A change that waits for approval was not written; no other error is expected.
    async fn winner(&mut self, round: usize, order: &str) -> usize {
        for writer in &mut self.writers {
            let line = format!("{order}\n");
            writer.stream.write_all(line.as_bytes()).await.unwrap();
        }
        let [one, two] = &mut self.writers;
        let answers = [one.answer().await, two.answer().await];
        let known = |answer: &String| ["won", "lost", "pending"].contains(&answer.as_str());
        assert!(answers.iter().all(known), "round {round}: {answers:?}");
        let winners: Vec<usize> = (0..2).filter(|at| answers[*at] == "won").collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        winners[0]
    }

    /// Races for the claim, which was deleted in the round before, and now and then for a fresh entry; `before` arranges what goes wrong in
    /// a round.
    pub(super) async fn run(mut self, before: impl AsyncFn(usize)) {
        let mut wins = [0, 0];
        for round in 0..ROUNDS {
            before(round).await;
            if round.is_multiple_of(5) {
                let entry = Name::parse(&format!("race/{round}")).unwrap();
                let writer = self.winner(round, entry.as_str()).await;
                let read = self.referee.get(&entry).await.unwrap().unwrap();
                assert_eq!(read.value.expose(), WRITERS[writer], "round {round}");
            }
            let writer = self.winner(round, CLAIM).await;
            wins[writer] += 1;
            let (claim, nonce) = claim::read(&*self.referee).await.unwrap().unwrap();
            assert_eq!(claim.node, WRITERS[writer], "round {round}");
            // A fault that is still there may meet the deletion; it happens once.
            if claim::drop_if(&*self.referee, &nonce).await.is_err() {
                assert!(claim::drop_if(&*self.referee, &nonce).await.unwrap());
            }
        }
        assert!(wins[0] > 0 && wins[1] > 0, "no race at all: {wins:?}");
    }

    /// The same where every fourth round something goes wrong, a different thing each time, and three times nothing comes at all.
    pub(super) async fn run_with(self, world: &World, service: &str, faults: &[Value]) {
        let before = async |round: usize| {
            if round % 300 == 100 {
                // Three seconds of the wall: longer than a writer waits.
                let silence = json!({ "delay": { "seconds": 4500 } });
                world.fault(service, "*", silence).await;
            } else if round.is_multiple_of(4) {
                let fault = &faults[round / 4 % faults.len()];
                world.fault(service, "*", fault.clone()).await;
            }
        };
        self.run(before).await;
    }
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
