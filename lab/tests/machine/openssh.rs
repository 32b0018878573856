//! OpenSSH's own client against a machine: what works with one implementation only is not SSH.

use std::process::Stdio;

use russh::keys::ssh_key::LineEnding;
use tokio::io::AsyncWriteExt as _;

use crate::delivery::OPERATOR;
use crate::world::{World, address};

#[tokio::test(flavor = "multi_thread")]
async fn ssh_logs_in_and_pipes_files() {
    let world = World::new();
    let delivery = world.delivery("cp-1");
    let machine = world.install(10, &delivery);
    world.flatcar(&machine).await;
    // The lab's proxy is not under test here: a loopback port that leads to the machine's port 22.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bound");
    let port = listener.local_addr().expect("address").port();
    let network = world.network.clone();
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            let from = OPERATOR.parse().expect("address");
            let mut inside = network.dial(from, address(10), 22).expect("open");
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await },
            );
        }
    });
    let folder = tempfile::tempdir().expect("folder");
    let (key, hosts) = (folder.path().join("key"), folder.path().join("known_hosts"));
    std::fs::write(
        &key,
        world
            .operator
            .to_openssh(LineEnding::LF)
            .expect("key")
            .as_bytes(),
    )
    .expect("written");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("mode");
    std::fs::write(&hosts, format!("node {}\n", delivery.host_key.1.trim())).expect("written");
    let ssh = async |command: &str, stdin: &[u8]| {
        let mut child = tokio::process::Command::new("ssh")
            .args(["-F", "none", "-p", &port.to_string(), "-i"])
            .arg(&key)
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", hosts.display()))
            .args([
                "-o",
                "HostKeyAlias=node",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(["core@127.0.0.1", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("ssh is installed");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(stdin).await.expect("written");
        drop(input);
        let output = child.wait_with_output().await.expect("ended");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, stdout, stderr) = ssh("sudo /opt/strata/bin/strata-node version", b"").await;
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "strata-node 1\n"),
        "{stderr}"
    );
    let content = vec![b'x'; 300_000];
    let (code, _, stderr) = ssh(
        "sudo /opt/strata/bin/strata-node put 600 /etc/strata/big",
        &content,
    )
    .await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = ssh("sudo /opt/strata/bin/strata-node put 600 /etc/passwd", b"x").await;
    assert_eq!(code, Some(64), "{stderr}");
    assert!(
        stderr.contains("is not under /etc/kubernetes or /etc/strata"),
        "{stderr}"
    );
}
