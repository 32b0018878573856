//! The keyring store against a real gnome-keyring on a bus of its own, and against `secret-tool`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::store::race::{self, Race};

/// A session bus with an unlocked keyring; both end with it.
pub(in crate::store) struct Session {
    bus: Child,
    address: String,
    folder: tempfile::TempDir,
}

/// Says the bus's address, then waits until its input ends. `$1` starts the keyring.
const SCRIPT: &str = r#"set -eu; printf '%s' test-password | $1 >/dev/null; echo "$DBUS_SESSION_BUS_ADDRESS"; cat >/dev/null"#;
/// `--unlock` makes the default keyring and opens it with the password from the input.
const UNLOCKED: &str = "gnome-keyring-daemon --daemonize --components=secrets --unlock";
/// A bus that starts no service by itself, and so has no keyring.
const BARE: &str = r#"<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"#;

impl Session {
    pub(in crate::store) fn start() -> Self {
        Self::with(UNLOCKED, None)
    }

    fn with(keyring: &str, configuration: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("dbus-run-session");
        if let Some(text) = configuration {
            let path = folder.path().join("bus.conf");
            std::fs::write(&path, text).unwrap();
            command.arg(format!("--config-file={}", path.display()));
        }
        let mut bus = command
            .args(["--", "sh", "-c", SCRIPT, "sh", keyring])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", folder.path())
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-run-session is installed (`make tools`)");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "the bus or the keyring did not start");
        Self {
            bus,
            address,
            folder,
        }
    }

    /// The store as another process would open it.
    pub(in crate::store) fn store(&self) -> Keyring {
        store(&self.address, self.folder.path())
    }

    fn secret_tool(&self, arguments: &[&str], input: &str) -> String {
        let mut tool = Command::new("secret-tool")
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("secret-tool is installed (`make tools`)");
        tool.stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = tool.wait_with_output().unwrap();
        assert!(output.status.success(), "secret-tool {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The script ends when its input does, the bus with the script, the keyring with the bus.
        drop(self.bus.stdin.take());
        let _ended = self.bus.wait();
    }
}

fn store(address: &str, folder: &Path) -> Keyring {
    Keyring {
        bus: Some(address.to_owned()),
        limit: Duration::from_secs(20),
        line: Line::new(folder, "home"),
        ..Keyring::new("home")
    }
}

/// The same with items that are never written to a disk.
fn in_memory(address: &str, folder: &Path) -> Keyring {
    Keyring {
        collection: "session",
        ..store(address, folder)
    }
}

const ATTRIBUTES: [&str; 4] = ["strata-cluster", "home", "strata-entry", "ssh/operator"];

fn operator() -> Name {
    Name::parse("ssh/operator").unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn secret_tool_reads_what_we_write_and_we_read_what_it_writes() {
    let session = Session::start();
    let store = session.store();
    store.put(&operator(), &secret("of ours\n")).await.unwrap();
    let lookup =
        |session: &Session| session.secret_tool(&[&["lookup"], &ATTRIBUTES[..]].concat(), "");
    assert_eq!(lookup(&session), "of ours\n");
    let before = store.get(&operator()).await.unwrap().unwrap();

    let label = "--label=strata home: ssh/operator";
    session.secret_tool(
        &[&["store", label], &ATTRIBUTES[..]].concat(),
        "of a person",
    );
    let entry = session.store().get(&operator()).await.unwrap().unwrap();
    assert_eq!(entry.value.expose(), "of a person");
    assert_ne!(entry.nonce, before.nonce);
    let kept = store
        .delete(&operator(), Condition::Nonce(&before.nonce))
        .await
        .unwrap();
    assert_eq!(kept, Deleted::Changed);
    let Put::Exists(entry) = store
        .put_if_absent(&operator(), &secret("x"))
        .await
        .unwrap()
    else {
        panic!("what a person stored was not seen")
    };
    assert_eq!(entry.value.expose(), "of a person");

    store.put(&operator(), &secret("again ours")).await.unwrap();
    assert_eq!(lookup(&session), "again ours");
    assert_eq!(store.list("ssh/").await.unwrap(), [operator()]);
    assert_eq!(
        store.delete(&operator(), Condition::Any).await.unwrap(),
        Deleted::Removed
    );
    assert!(session.store().get(&operator()).await.unwrap().is_none());
}

#[tokio::test]
async fn another_cluster_has_entries_of_its_own() {
    let session = Session::start();
    let (home, away) = (
        session.store(),
        Keyring {
            cluster: "away".into(),
            ..session.store()
        },
    );
    home.put(&operator(), &secret("home")).await.unwrap();
    assert!(away.get(&operator()).await.unwrap().is_none());
    assert!(away.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_locked_keyring_is_an_error_in_time() {
    let session = Session::start();
    let store = session.store();
    store.put(&operator(), &secret("value")).await.unwrap();
    let service = store.service().await.unwrap();
    let collection = service.get_default_collection().await.unwrap();
    collection.lock().await.unwrap();
    // Nobody is there to answer the prompt.
    let patient = Keyring {
        limit: Duration::from_secs(5),
        ..session.store()
    };
    for error in [
        patient.get(&operator()).await.unwrap_err(),
        patient.put(&operator(), &secret("x")).await.unwrap_err(),
    ] {
        let text = error.to_string().to_lowercase();
        assert!(text.contains("unlock"), "{text}");
        assert!(!error.is_missing(), "{text}");
    }
}

#[tokio::test]
async fn without_a_keyring_the_error_says_what_to_do() {
    let session = Session::with("true", Some(BARE));
    let error = session.store().get(&operator()).await.unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    let nowhere = Keyring {
        bus: Some("unix:path=/nowhere/bus".into()),
        ..session.store()
    };
    let error = nowhere.get(&operator()).await.unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
}

#[tokio::test]
async fn who_waits_in_line_too_long_is_told() {
    let session = Session::start();
    let holder = session.store();
    let _turn = holder.line.turn().await.unwrap();
    let waiting = Keyring {
        limit: Duration::from_millis(50),
        ..session.store()
    };
    let error = waiting.get(&operator()).await.unwrap_err();
    assert!(error.to_string().contains("within 0.05 s"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_wins() {
    if let Some(place) = race::invited() {
        let (address, folder) = place.split_once(' ').unwrap();
        return race::take_part(&in_memory(address, Path::new(folder))).await;
    }
    let session = Session::start();
    let place = format!("{} {}", session.address, session.folder.path().display());
    let referee = Arc::new(in_memory(&session.address, session.folder.path()));
    let test = "store::keyring::tests::one_of_two_processes_wins";
    let race = Race::start(test, &place, referee).await;
    race.run(async |_| {}).await;
}
