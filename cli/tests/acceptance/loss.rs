//! Loss, rehearsed: a second operator without the store, a stolen laptop, a lost state, a colleague who joins. One cluster serves all drills.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cold_start::{assert_only_reads, assert_ready};
use crate::day_two::cluster_text;
use crate::harness::{Lab, Project};

const NAME: &str = "shared";
const LAYERS: [&str; 4] = [
    "00-auth",
    "01-infrastructure",
    "02-services",
    "03-configuration",
];

/// A cluster with something in every layer.
fn text() -> String {
    let nodes = [("cp-1", "control-plane"), ("w-1", "worker")];
    cluster_text(NAME, &nodes).replace(
        "{cloudflare: {zone: strata.test}}",
        "{cloudflare: {zone: strata.test}, nodes: true, records: {www: {type: A, values: [192.0.2.80]}}}\nmanifests: manifests",
    )
}

fn place(project: &Project) -> PathBuf {
    let folder = project.path().join("manifests");
    fs::create_dir_all(&folder).unwrap();
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hello, namespace: default}\ndata: {a: b}\n";
    fs::write(folder.join("hello.yaml"), object).unwrap();
    project.cluster_file(NAME, &text())
}

/// A clone that shares another one's lab, and leaves it running when it goes.
struct Guest(Project);

impl std::ops::Deref for Guest {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.0
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path().join(format!(".strata/{NAME}/lab/lab.json")));
    }
}

/// Another clone, in another HOME, that reaches the same outside world and knows nothing of it.
fn newcomer(first: &Project) -> Guest {
    let second = Project::new();
    let folder = second.path().join(format!(".strata/{NAME}/lab"));
    fs::create_dir_all(&folder).unwrap();
    let description = format!(".strata/{NAME}/lab/lab.json");
    fs::copy(first.path().join(&description), folder.join("lab.json")).unwrap();
    Guest(second)
}

pub(crate) fn forget_state(project: &Project, name: &str) {
    for layer in LAYERS {
        let state = format!("terraform/{layer}/terraform.tfstate.d/{name}");
        fs::remove_dir_all(project.path().join(state)).unwrap();
    }
}

/// The plan of every layer changes nothing, outputs included.
fn assert_unchanged(project: &Project, file: &Path) {
    let plan = project
        .bootstrap(&["plan", "-c", file.to_str().unwrap()])
        .expect_code(0);
    let unchanged = plan.stdout.matches(": no changes").count();
    assert_eq!(unchanged, LAYERS.len(), "{}", plan.stdout);
}

/// Calls that order, open, mint or delete. To apply an object again as it is (a PATCH) is how objects are taken over.
fn harm(lab: &Lab) -> Vec<String> {
    let is_harm = |call: &String| {
        let is_write = !call.contains(" GET ") && !call.contains(" LIST ");
        let elsewhere = !call.starts_with("kubernetes ");
        is_write && (elsewhere || call.contains(" POST ") || call.contains(" DELETE "))
    };
    lab.calls().into_keys().filter(is_harm).collect()
}

/// What a machine says about its lock and the cluster about its tokens, to be the same before and after.
fn untouched(lab: &Lab) -> Value {
    let estate = lab.estate();
    let tokens = estate["clusters"][0]["bootstrap_tokens"].clone();
    serde_json::json!([estate["servers"], estate["dns_records"], tokens])
}

#[test]
fn what_is_lost_comes_back_and_what_is_foreign_is_left_alone() {
    let first = Project::new();
    let file = place(&first);
    let path = file.to_str().unwrap();
    first.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_unchanged(&first, &file);
    let lab = first.lab(NAME);

    a_second_operator_without_the_store(&first, &lab);
    let kit = a_kit(&first, path);
    a_new_laptop(&first, &kit);
    a_lost_state(&first, &lab, &file);
    a_colleague(&first, path);
    assert_ready(&first, NAME, 2);
}

/// Empty state, empty store: nothing is ordered, nothing is adopted, and whose the cluster is gets said.
fn a_second_operator_without_the_store(first: &Project, lab: &Lab) {
    let before = lab.estate()["servers"].clone();
    let owner = first.state(NAME, "00-auth")["outputs"]["owner"]["value"].clone();
    let owner = owner.as_str().unwrap();
    let second = newcomer(first);
    let file = place(&second);
    let path = file.to_str().unwrap();
    lab.clear_calls();
    second
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(2)
        .expect_text(owner);
    second
        .bootstrap(&["adopt", "-c", path])
        .expect_code(3)
        .expect_text("OWN-01")
        .expect_text(owner)
        .expect_text("kit restore");
    assert_eq!(lab.estate()["servers"], before, "servers changed");
    assert_only_reads(lab);
    assert!(
        !second
            .path()
            .join(format!("terraform/00-auth/terraform.tfstate.d/{NAME}"))
            .exists()
    );
}

/// Written for its owner alone, refused without a good passphrase.
fn a_kit(first: &Project, path: &str) -> PathBuf {
    let kit = first.path().join("shared.kit");
    let to = ["kit", "-c", path, "--to", kit.to_str().unwrap()];
    first
        .bootstrap(&to)
        .expect_code(3)
        .expect_text("STRATA_KIT_PASSPHRASE_FILE");
    with_passphrase(first, "short", &to)
        .expect_code(1)
        .expect_text("12 or more");
    assert!(!kit.exists());
    with_passphrase(first, "correct horse battery", &to)
        .expect_code(0)
        .expect_text("read back");
    let mode = fs::metadata(&kit).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    kit
}

fn with_passphrase(project: &Project, passphrase: &str, arguments: &[&str]) -> crate::harness::Ran {
    let file = project.path().join("home/passphrase");
    fs::write(&file, format!("{passphrase}\n")).unwrap();
    project
        .command("./bootstrap.sh")
        .env("STRATA_KIT_PASSPHRASE_FILE", &file)
        .args(arguments)
        .output()
        .expect("bootstrap.sh starts")
        .into()
}

/// HOME, state, store and identity are gone: a fresh clone, the kit, and nothing is left to do.
fn a_new_laptop(first: &Project, kit: &Path) {
    let laptop = newcomer(first);
    place(&laptop);
    fs::remove_file(laptop.path().join("shared.yaml")).unwrap();
    let restore = ["kit", "restore", kit.to_str().unwrap()];
    with_passphrase(&laptop, "a wrong passphrase", &restore)
        .expect_code(1)
        .expect_text("passphrase is wrong");
    let file = laptop.path().join("shared.yaml");
    assert!(!file.exists());
    with_passphrase(&laptop, "correct horse battery", &restore).expect_code(0);
    assert_unchanged(&laptop, &file);
    // The same again finds everything in place; what differs is refused, named, and kept when it is replaced.
    with_passphrase(&laptop, "correct horse battery", &restore).expect_code(0);
    fs::write(&file, format!("# edited\n{}", text())).unwrap();
    with_passphrase(&laptop, "correct horse battery", &restore)
        .expect_code(3)
        .expect_text("shared.yaml")
        .expect_text("nothing was changed");
    assert!(fs::read_to_string(&file).unwrap().starts_with("# edited"));
    let replace = [restore.as_slice(), &["--overwrite"]].concat();
    with_passphrase(&laptop, "correct horse battery", &replace)
        .expect_code(0)
        .expect_text("earlier");
    assert_eq!(fs::read_to_string(&file).unwrap(), text());
}

/// The state alone is gone: `up` refuses to begin a second estate and `destroy` to forget one, `adopt` takes everything over and touches nothing.
fn a_lost_state(first: &Project, lab: &Lab, file: &Path) {
    let path = file.to_str().unwrap();
    let before = untouched(lab);
    forget_state(first, NAME);
    first
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(2)
        .expect_text("OWN-03")
        .expect_text("adopt");
    // Nothing in state is not nothing there: the servers stay, and so does what their nodes need.
    first
        .bootstrap(&["destroy", "-c", path, "--all", "--yes"])
        .expect_code(2)
        .expect_text("OWN-03")
        .expect_text("servers of this estate are there");
    lab.clear_calls();
    first
        .bootstrap(&["adopt", "-c", path])
        .expect_code(0)
        .expect_text("server taken over, none ordered: cp-1 w-1")
        .expect_text("lockdown taken over: cp-1 w-1")
        .expect_text("4 layers, no changes");
    let harm = harm(lab);
    assert!(harm.is_empty(), "adopting wrote: {harm:?}");
    assert_eq!(untouched(lab), before, "adopting changed the world");
    assert_unchanged(first, file);
    // Its init claim speaks of a cluster that lives: no word of anybody releases it.
    first
        .bootstrap(&["unlock", "-c", path, "--run", "any"])
        .expect_code(3)
        .expect_text("node cp-1")
        .expect_text("API answers");
}

/// What a person supplies comes on standard input; neither what is there nor what the cluster stands on is written over.
fn put_by_hand(project: &Project, path: &str) {
    let put = |name: &str, value: &str, more: &[&str]| {
        let file = project.path().join("home/value");
        fs::write(&file, value).unwrap();
        let ran: crate::harness::Ran = project
            .command("./bootstrap.sh")
            .args(["store", "put", name, "-c", path])
            .args(more)
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap()
            .into();
        assert!(!ran.text().contains(value.trim()), "{}", ran.text());
        ran
    };
    put("team/token", "first-value\n", &[]).expect_code(0);
    put("team/token", "second-value\n", &[])
        .expect_code(3)
        .expect_text("--replace");
    put("team/token", "third-value\n", &["--replace"]).expect_code(0);
    put("pki", "no-authority\n", &["--replace"])
        .expect_code(3)
        .expect_text("Strata's own entry");
    let listed = project
        .bootstrap(&["store", "list", "-c", path])
        .expect_code(0);
    assert!(listed.stdout.lines().any(|name| name == "team/token"));
}

/// One more person: every entry is for both, and the file says what to write down.
fn a_colleague(first: &Project, path: &str) {
    use strata_provider::store::{Store, file::File};
    let key = age::x25519::Identity::generate();
    let recipient = key.to_public().to_string();
    let names = first
        .bootstrap(&["store", "list", "-c", path])
        .expect_code(0);
    assert!(
        names.stdout.lines().any(|name| name == "pki"),
        "{}",
        names.stdout
    );
    put_by_hand(first, path);
    first
        .bootstrap(&["store", "add-recipient", &recipient, "-c", path])
        .expect_code(0)
        .expect_text(&format!("{recipient}]"));
    let identity = first.path().join("home/colleague.txt");
    let text = age::secrecy::ExposeSecret::expose_secret(&key.to_string()).to_owned();
    fs::write(&identity, text).unwrap();
    let folder = first.path().join(format!(".strata/{NAME}/store"));
    let store = File::new(folder, identity, &[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let read = names.stdout.lines().map(|name| {
        let name = strata_provider::store::Name::parse(name).unwrap();
        runtime.block_on(store.get(&name)).unwrap().is_some()
    });
    assert!(read.collect::<Vec<_>>().iter().all(|read| *read));
}

/// Two of three control planes burned, and then everything: a snapshot of etcd, the kit, and the same cluster is back.
#[test]
fn a_burned_cluster_comes_back_from_a_snapshot() {
    let first = Project::new();
    let name = NAME;
    let nodes = [
        ("cp-1", "control-plane"),
        ("cp-2", "control-plane"),
        ("cp-3", "control-plane"),
        ("w-1", "worker"),
    ];
    let file = first.cluster_file(name, &cluster_text(name, &nodes));
    let path = file.to_str().unwrap();
    first.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let lab = first.lab(name);
    note(&first, "before");
    first
        .bootstrap(&["backup", "-c", path])
        .expect_code(0)
        .expect_text("sealed with a key of the cluster's PKI");
    let kept = snapshots(&first);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let snapshot = kept[0].to_str().unwrap();
    let kit = a_kit(&first, path);
    note(&first, "after");

    // While a control plane stands, nothing is restored: it may carry a cluster, or a piece of one.
    let restore = ["restore", snapshot, "-c", path];
    first
        .bootstrap(&restore)
        .expect_code(3)
        .expect_text("the API answers at one of cp-1 cp-2 cp-3");
    for server in ["cp-2", "cp-3"] {
        lab.change(serde_json::json!({"delete_server": format!("{name}-{server}")}));
    }
    // Not without being asked, and then by the pipeline: the survivor's machine is replaced, once.
    first
        .bootstrap(&restore)
        .expect_code(3)
        .expect_text("1 of 3 control planes left: cp-1")
        .expect_text("--yes");
    let id = |node: &str| lab.servers()[&format!("{name}-{node}")]["id"].clone();
    let (worker, survivor) = (id("w-1"), id("cp-1"));
    first
        .bootstrap(&["restore", snapshot, "-c", path, "--yes"])
        .expect_code(0)
        .expect_text("the machine of cp-1, by the next up")
        .expect_text("w-1 find the API again");
    assert_eq!(id("cp-1"), survivor, "nothing is destroyed before `up`");
    rebuilt(&first, path);
    assert_ne!(id("cp-1"), survivor);
    assert_eq!(
        lab.servers()[&format!("{name}-w-1")]["id"],
        worker,
        "the worker stood all the time"
    );
    assert_ready(&first, name, 4);

    // All burned, the laptop too.
    for server in lab.servers().keys() {
        lab.change(serde_json::json!({"delete_server": server}));
    }
    let laptop = newcomer(&first);
    with_passphrase(
        &laptop,
        "correct horse battery",
        &["kit", "restore", kit.to_str().unwrap()],
    )
    .expect_code(0);
    let path = format!("{name}.yaml");
    let copy = laptop.path().join("copy.etcd.age");
    fs::copy(&kept[0], &copy).unwrap();
    laptop
        .bootstrap(&["restore", copy.to_str().unwrap(), "-c", &path])
        .expect_code(0);
    rebuilt(&laptop, &path);
    assert_ready(&laptop, name, 4);
}

/// A ConfigMap of this name, to be found again or missed.
fn note(project: &Project, name: &str) {
    let made = project.kubectl(NAME, &["create", "configmap", name, "--from-literal=a=b"]);
    made.expect_code(0);
}

fn snapshots(project: &Project) -> Vec<PathBuf> {
    let folder = project.path().join(format!(".strata/{NAME}/snapshots"));
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// `up` builds what burned, with what the snapshot had and nothing later, under the same authority; then there is nothing left to do.
fn rebuilt(project: &Project, path: &str) {
    let up = project.bootstrap(&["-c", path, "--yes"]);
    assert!(matches!(up.code, 0 | 4), "{}", up.text());
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let found = project
        .kubectl(NAME, &["get", "configmap", "--output", "name"])
        .expect_code(0);
    assert!(
        found.stdout.contains("configmap/before"),
        "{}",
        found.stdout
    );
    assert!(
        !found.stdout.contains("configmap/after"),
        "{}",
        found.stdout
    );
}

/// The claim of a run that is over goes; that of a run at work, or of nobody knows which, stays. No cluster is needed for that.
#[test]
fn a_claim_is_released_only_when_its_run_is_over() {
    use strata_provider::{
        claim::{self, Claim, process::Process},
        store::Store,
    };
    let project = Project::new();
    let name = "claimed";
    let file = project.cluster_file(name, &cluster_text(name, &[("cp-1", "control-plane")]));
    let path = file.to_str().unwrap();
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let store = project.store(name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let estate = strata_provider::store::Name::parse("estate").unwrap();
    let owner = strata_provider::secret::Secret::new("estate-1".to_owned());
    runtime.block_on(store.put(&estate, &owner)).unwrap();
    let take = |claim: &Claim| assert!(runtime.block_on(claim::take(&store, claim)).unwrap());
    let unlock = |more: &[&str]| project.bootstrap(&[&["unlock", "-c", path], more].concat());

    unlock(&[])
        .expect_code(0)
        .expect_text("nobody holds the claim");
    // This very test is the run: it is at work.
    let mine = Claim::new("estate-1", "cp-1", "run-1");
    take(&mine);
    unlock(&[])
        .expect_code(3)
        .expect_text("at work on this machine");
    unlock(&["--run", "run-1"]).expect_code(3);
    let ended = |mut process: Process| {
        process.started += 1;
        process
    };
    let (_, nonce) = runtime.block_on(claim::read(&store)).unwrap().unwrap();
    assert!(runtime.block_on(claim::drop_if(&store, &nonce)).unwrap());
    take(&Claim {
        process: mine.process.clone().map(ended),
        ..mine.clone()
    });
    unlock(&[]).expect_code(0).expect_text("has ended");
    // From elsewhere it takes the name of the run, and who and when are shown.
    let elsewhere = |mut process: Process| {
        (process.boot, process.host) = ("another".into(), "tower".into());
        process
    };
    take(&Claim {
        process: mine.process.clone().map(elsewhere),
        ..mine.clone()
    });
    unlock(&[])
        .expect_code(3)
        .expect_text("node cp-1")
        .expect_text("tower")
        .expect_text("--run run-1");
    unlock(&["--run", "run-2"]).expect_code(3);
    unlock(&["--run", "run-1"])
        .expect_code(0)
        .expect_text("released");
    // Nobody else's, whatever is said.
    take(&Claim::new("estate-2", "cp-1", "run-1"));
    unlock(&["--run", "run-1"])
        .expect_code(3)
        .expect_text("estate-2");
    assert!(runtime.block_on(claim::read(&store)).unwrap().is_some());
}
