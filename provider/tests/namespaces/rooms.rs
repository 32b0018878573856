//! A test in namespaces of its own: the test binary starts itself again inside them, as the operator, and the operator starts it as the node.
//!
//! The kernel cleans up: all processes live in one PID namespace, whose first process is the operator, and end with it, however it ends; interfaces, rules and
//! mounts end with the last process in them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Which process of a test this is; unset in the one that the test runner started.
const ROOM: &str = "STRATA_TEST_ROOM";
/// A folder that operator and node share.
const PLACE: &str = "STRATA_TEST_PLACE";

/// Where the operator is.
pub(crate) const OPERATOR4: &str = "10.77.0.1";
/// The same.
pub(crate) const OPERATOR6: &str = "fd77::1";
/// Where the node is.
pub(crate) const NODE4: &str = "10.77.0.2";
/// The same.
pub(crate) const NODE6: &str = "fd77::2";
/// Where the second node is.
pub(crate) const SECOND4: &str = "10.77.0.3";
/// The same.
pub(crate) const SECOND6: &str = "fd77::3";
/// The switch that all nodes hang on, which is the operator's interface as well.
pub(crate) const CABLE: &str = "operator0";

/// What a test has around it.
pub(crate) struct Room {
    /// The test's name.
    test: String,
    /// Shared by all its processes.
    pub(crate) place: PathBuf,
    /// Whether this is the process that a test starts as its second client.
    pub(crate) is_client: bool,
}

/// Runs a test as the operator of a node.
pub(crate) fn inside<T: AsyncFn(Room)>(body: T) {
    // The name of a closure is the one of the function around it, and a name that is wrong would run nothing.
    let path = std::any::type_name_of_val(&body);
    let test = path
        .split("::")
        .skip(1)
        .take_while(|part| !part.starts_with('{'))
        .collect::<Vec<_>>()
        .join("::");
    let room = std::env::var(ROOM).unwrap_or_default();
    if room.is_empty() {
        return enter(&test);
    }
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if room == "node" {
        runtime.block_on(super::node::run(&place));
    }
    let is_client = room == "client";
    runtime.block_on(body(Room {
        test,
        place: place.clone(),
        is_client,
    }));
    if !is_client {
        std::fs::write(place.join("passed"), "").unwrap();
    }
}

/// The first process: makes the namespaces and waits for what happens in them.
fn enter(test: &str) {
    for (tool, package) in [
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("sshd", "openssh-server"),
        ("sudo", "sudo"),
    ] {
        let found = path()
            .split(':')
            .any(|folder| Path::new(folder).join(tool).exists());
        assert!(
            found,
            "{tool} is missing: install the package {package}, or run .ci/tools as root"
        );
    }
    let place = tempfile::tempdir().unwrap();
    // A folder that only its owner may enter is no place for sshd's user.
    std::fs::set_permissions(
        place.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let output = again(test, "operator", place.path())
        .output()
        .expect("unshare starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let node = std::fs::read_to_string(place.path().join("node.log")).unwrap_or_default();
    assert!(
        output.status.success() && place.path().join("passed").exists(),
        "in its namespaces the test did not pass (they need root):\n{}{}\nthe node's log:\n{node}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// This program again, in new namespaces: the test it runs, and as whom.
fn again(test: &str, room: &str, place: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--net",
        "--uts",
        "--ipc",
        "--pid",
        "--mount-proc",
    ]);
    command.args(["--fork", "--kill-child", "--"]);
    command.arg(std::env::current_exe().unwrap());
    dress(&mut command, test, room, place);
    command
}

fn dress(command: &mut Command, test: &str, room: &str, place: &Path) {
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROOM, room)
        .env(PLACE, place)
        .env("PATH", path())
        .env("HOME", place)
        .env("STRATA_IDENTITY", place.join("identity"));
}

/// The stand-ins first; sshd and nft lie where a person's PATH may not look.
fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("/usr/local/sbin:{own}:/usr/sbin:/sbin")
}

impl Room {
    /// The same test in another process, with the operator's network.
    pub(crate) fn client(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        dress(&mut command, &self.test, "client", &self.place);
        command.spawn().unwrap()
    }

    /// Starts the node, which finds what it needs in the shared folder, and connects it.
    pub(crate) fn node(&self) -> Node {
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["link", "add", CABLE, "type", "bridge"]);
        for address in [OPERATOR4, OPERATOR6] {
            run("ip", &assign(address, CABLE));
        }
        run("ip", &["link", "set", CABLE, "up"]);
        self.node_at(&self.place, [NODE4, NODE6])
    }

    /// Starts one more, which has a folder of its own in the shared one.
    pub(crate) fn node_at(&self, place: &Path, addresses: [&str; 2]) -> Node {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.place.join("node.log"))
            .unwrap();
        let mut unshare = tokio::process::Command::from(again(&self.test, "node", place));
        let child = unshare
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let ready = place.join("node-ready");
        within(Duration::from_secs(20), "the node to start", || {
            ready.exists().then_some(())
        });
        let node = Node {
            process: child_of(child.id().unwrap()),
        };
        let process = node.process.to_string();
        let port = format!("port{process}");
        let end = ["peer", "name", "node0", "netns", &process];
        run(
            "ip",
            &[&["link", "add", &port, "type", "veth"][..], &end].concat(),
        );
        run("ip", &["link", "set", &port, "master", CABLE, "up"]);
        for address in addresses {
            node.run(&[&["ip"][..], &assign(address, "node0")].concat());
        }
        node.run(&["ip", "link", "set", "node0", "up"]);
        node
    }
}

fn assign<'a>(address: &'a str, device: &'a str) -> Vec<&'a str> {
    // Without a search for doubles an address works at once.
    let (length, options) = if address.contains(':') {
        ("64", &["nodad"][..])
    } else {
        ("24", &[][..])
    };
    let network: &str = Box::leak(format!("{address}/{length}").into_boxed_str());
    [&["address", "add", network, "dev", device], options].concat()
}

/// A machine as far as the kernel makes one.
#[derive(Clone)]
pub(crate) struct Node {
    /// Its first process, as the operator counts.
    process: u32,
}

impl Node {
    /// Before there is one.
    pub(crate) fn none() -> Self {
        Self { process: 0 }
    }

    /// A command with all of the node's namespaces: what a privileged pod with `nsenter --target 1` gets.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.process));
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--"]);
        command.args(words);
        command
    }

    /// Runs it there and returns its output.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        said(words, &self.command(words).output().unwrap())
    }

    /// The rules in its kernel, with the numbers that change when something is loaded anew.
    pub(crate) fn rules(&self) -> String {
        self.run(&["nft", "--handle", "list", "ruleset"])
    }

    /// Whether the rules that are loaded leave no way to port 22.
    pub(crate) fn is_locked(&self) -> bool {
        let rules = self.run(&["nft", "list", "table", "inet", "strata"]);
        rules.contains("tcp dport 22 drop") && !rules.contains("10.77.0.1")
    }

    /// The timers that are armed.
    pub(crate) fn timers(&self) -> Vec<String> {
        let list = "cd /run/timers 2>/dev/null && ls -d *.timer 2>/dev/null || true";
        let listed = self.run(&["sh", "-c", list]);
        listed.lines().map(str::to_owned).collect()
    }
}

/// Runs a command on the operator's side.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    said(&[&[program], arguments].concat(), &output)
}

fn said(words: &[&str], output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Looks until it is so.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// unshare forks and stays; the node is its child.
fn child_of(parent: u32) -> u32 {
    within(Duration::from_secs(5), "the child of unshare", || {
        let processes = std::fs::read_dir("/proc").unwrap();
        processes.filter_map(Result::ok).find_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            let is_child = status
                .lines()
                .any(|line| line.split_whitespace().eq(["PPid:", &parent.to_string()]));
            is_child.then_some(process)
        })
    })
}
