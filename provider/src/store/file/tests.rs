//! The file store: what survives a crash, who wins a race, and how absence, denial and failure differ.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::store::race::{self, Race};

struct Fixture {
    folder: tempfile::TempDir,
    store: File,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    Fixture { folder, store }
}

fn open(folder: &Path) -> File {
    File::new(
        folder.join("store"),
        folder.join("private/identity.txt"),
        &[],
    )
    .unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn what_was_put_is_read_by_another_process() {
    let Fixture { folder, store } = fixture();
    assert!(store.get(&name("ssh/operator")).await.unwrap().is_none());
    let nonce = store
        .put(&name("ssh/operator"), &secret("value\nwith lines\n"))
        .await
        .unwrap();
    let entry = open(folder.path())
        .get(&name("ssh/operator"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(entry.value.expose(), "value\nwith lines\n");
    assert_eq!(entry.nonce, nonce);
    let mode = fs::metadata(folder.path().join("private/identity.txt"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = fs::read(folder.path().join("store/ssh/operator.age")).unwrap();
    assert!(!bytes.windows(5).any(|window| window == b"value"));
}

#[tokio::test]
async fn every_put_has_its_own_nonce() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let first = store.put(&name("x"), &secret("same")).await.unwrap();
    let second = store.put(&name("x"), &secret("same")).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(
        store
            .delete(&name("x"), Condition::Nonce(&first))
            .await
            .unwrap(),
        Deleted::Changed
    );
    assert_eq!(
        store
            .delete(&name("x"), Condition::Nonce(&second))
            .await
            .unwrap(),
        Deleted::Removed
    );
    assert_eq!(
        store.delete(&name("x"), Condition::Any).await.unwrap(),
        Deleted::Absent
    );
}

#[tokio::test]
async fn put_if_absent_keeps_what_is_there() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    assert!(matches!(
        store
            .put_if_absent(&name("x"), &secret("one"))
            .await
            .unwrap(),
        Put::Written(_)
    ));
    let Put::Exists(entry) = store
        .put_if_absent(&name("x"), &secret("two"))
        .await
        .unwrap()
    else {
        panic!("written twice")
    };
    assert_eq!(entry.value.expose(), "one");
}

#[tokio::test]
async fn one_of_two_processes_wins() {
    if let Some(folder) = race::invited() {
        return race::take_part(&open(Path::new(&folder))).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // The first put into an empty store makes the identity; afterwards both processes have it.
    store.put(&name("warm-up"), &secret("x")).await.unwrap();
    let test = "store::file::tests::one_of_two_processes_wins";
    let race = Race::start(test, folder.path().to_str().unwrap(), Arc::new(store)).await;
    race.run(async |_| {}).await;
}

#[tokio::test]
async fn a_crash_before_the_rename_leaves_the_old_entry() {
    let Fixture { folder, store } = fixture();
    store.put(&name("x"), &secret("old")).await.unwrap();
    // A process that died in mid-write leaves a temporary file; it is neither an entry nor in the way.
    fs::write(folder.path().join("store/.put-abc123"), b"half").unwrap();
    let (pending, _) = store.0.write(&name("x"), &secret("new")).unwrap();
    let (_file, _path) = pending.keep().unwrap();
    assert_eq!(
        store.get(&name("x")).await.unwrap().unwrap().value.expose(),
        "old"
    );
    assert_eq!(store.list("").await.unwrap(), [name("x")]);
    store.put(&name("x"), &secret("newer")).await.unwrap();
    assert_eq!(
        store.get(&name("x")).await.unwrap().unwrap().value.expose(),
        "newer"
    );
}

#[tokio::test]
async fn a_truncated_entry_is_a_failure_and_not_absence() {
    let Fixture { folder, store } = fixture();
    store.put(&name("x"), &secret("value")).await.unwrap();
    let path = folder.path().join("store/x.age");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(
        store.get(&name("x")).await,
        Err(Error::Failed { .. })
    ));
    assert!(
        store
            .put_if_absent(&name("x"), &secret("other"))
            .await
            .is_err()
    );
    assert_eq!(fs::read(&path).unwrap().len(), bytes.len() / 2);
}

#[tokio::test]
async fn a_foreign_identity_is_denied_and_a_missing_one_is_not_replaced() {
    let Fixture { folder, store } = fixture();
    store.put(&name("x"), &secret("value")).await.unwrap();
    let other = File::new(
        folder.path().join("store"),
        folder.path().join("other.txt"),
        &[],
    )
    .unwrap();
    assert!(other.get(&name("x")).await.unwrap_err().is_denied());
    assert!(
        other
            .put(&name("y"), &secret("value"))
            .await
            .unwrap_err()
            .is_denied()
    );
    assert!(!folder.path().join("other.txt").exists());
    let fresh = Identity::generate();
    fs::write(
        folder.path().join("other.txt"),
        fresh.to_string().expose_secret(),
    )
    .unwrap();
    assert!(other.get(&name("x")).await.unwrap_err().is_denied());
    assert!(other.get(&name("absent")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_second_recipient_reads_what_the_first_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let second = Identity::generate();
    let path = folder.path().join("second.txt");
    fs::write(
        &path,
        format!("# comment\n\n{}\n", second.to_string().expose_secret()),
    )
    .unwrap();
    let store = File::new(
        folder.path().join("store"),
        folder.path().join("first.txt"),
        &[second.to_public().to_string()],
    )
    .unwrap();
    store.put(&name("x"), &secret("shared")).await.unwrap();
    let reader = File::new(folder.path().join("store"), path, &[]).unwrap();
    assert_eq!(
        reader
            .get(&name("x"))
            .await
            .unwrap()
            .unwrap()
            .value
            .expose(),
        "shared"
    );
}

#[tokio::test]
async fn list_is_sorted_and_ignores_what_is_not_an_entry() {
    let Fixture { folder, store } = fixture();
    assert!(store.list("").await.unwrap().is_empty());
    for entry in ["nodes/b/host-key", "nodes/a/host-key", "pki"] {
        store.put(&name(entry), &secret("x")).await.unwrap();
    }
    fs::write(folder.path().join("store/README.md"), "x").unwrap();
    assert_eq!(
        store.list("nodes/").await.unwrap(),
        [name("nodes/a/host-key"), name("nodes/b/host-key")]
    );
    store
        .delete(&name("nodes/a/host-key"), Condition::Any)
        .await
        .unwrap();
    assert!(!folder.path().join("store/nodes/a").exists());
    assert!(folder.path().join("store/nodes/b").exists());
}

#[tokio::test]
async fn the_fingerprint_key_is_made_once() {
    let Fixture { folder, store } = fixture();
    assert!(
        super::super::fingerprint::key(&store)
            .await
            .unwrap()
            .is_none()
    );
    let first = super::super::fingerprint::key_or_make(&store)
        .await
        .unwrap();
    let second = super::super::fingerprint::key(&open(folder.path()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.expose(), second.expose());
    assert_eq!(first.expose().len(), 32);
}

#[tokio::test]
async fn a_new_recipient_reads_everything_and_nobody_loses_it() {
    let Fixture { folder, store } = fixture();
    for entry in ["a", "b/c"] {
        store.put(&name(entry), &secret(entry)).await.unwrap();
    }
    let person = |file: &str| {
        let (path, identity) = (folder.path().join(file), Identity::generate());
        fs::write(&path, identity.to_string().expose_secret()).unwrap();
        let recipient = identity.to_public().to_string();
        let store = File::new(folder.path().join("store"), path, &[]).unwrap();
        (recipient, store)
    };
    let (second, theirs) = person("second.txt");
    assert!(theirs.get(&name("a")).await.unwrap_err().is_denied());
    let shared = store.share(&second).await.unwrap();
    assert_eq!(shared.written, 2);
    assert_eq!(shared.recipients.len(), 2);
    assert!(shared.recipients.contains(&second));
    for entry in ["a", "b/c"] {
        for reader in [&store, &theirs] {
            let read = reader.get(&name(entry)).await.unwrap().unwrap();
            assert_eq!(read.value.expose(), entry);
        }
    }
    // Broken off or repeated, it ends in the same.
    assert_eq!(
        store.share(&second).await.unwrap().recipients,
        shared.recipients
    );
    // Who knows of two, while three can read, is stopped before the first write.
    let (third, _) = person("third.txt");
    let all = File::new(
        folder.path().join("store"),
        folder.path().join("private/identity.txt"),
        &shared.recipients,
    )
    .unwrap();
    all.share(&third).await.unwrap();
    let before = fs::read(folder.path().join("store/a.age")).unwrap();
    let error = store.share(&second).await.unwrap_err().to_string();
    assert!(error.contains("3 recipients and only 2"), "{error}");
    assert_eq!(fs::read(folder.path().join("store/a.age")).unwrap(), before);
    let error = store.share("age1nonsense").await.unwrap_err().to_string();
    assert!(error.contains("age-keygen"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_meanwhile_is_neither_lost_nor_left_out() {
    let Fixture { folder, store } = fixture();
    for number in 0..10 {
        store
            .put(&name(&format!("e/{number}")), &secret("old"))
            .await
            .unwrap();
    }
    let path = folder.path().join("second.txt");
    let second = Identity::generate();
    fs::write(&path, second.to_string().expose_secret()).unwrap();
    let writer = open(folder.path());
    let writing = tokio::spawn(async move {
        for number in 0..10 {
            for entry in [format!("e/{number}"), format!("new/{number}")] {
                writer.put(&name(&entry), &secret("new")).await.unwrap();
            }
        }
    });
    store.share(&second.to_public().to_string()).await.unwrap();
    writing.await.unwrap();
    // The writer may have been the last to write, with its old list: that is what a second time is for.
    store.share(&second.to_public().to_string()).await.unwrap();
    let theirs = File::new(folder.path().join("store"), path, &[]).unwrap();
    let names = theirs.list("").await.unwrap();
    assert_eq!(names.len(), 20);
    for name in names {
        let entry = theirs.get(&name).await.unwrap().unwrap();
        assert_eq!(entry.value.expose(), "new", "{name}");
    }
}
