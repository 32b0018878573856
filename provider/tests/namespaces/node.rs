//! The first process of the node: makes its mounts (`node.sh`), then listens as Flatcar does - `sshd.socket`, which starts an sshd for each connection - and in
//! place of the API server passes 6443 on to the operator's process, where the lab serves the API.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UdpSocket, UnixStream};
use tokio::process::Command;

/// Runs until the operator ends.
pub(crate) async fn run(place: &Path) -> ! {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/namespaces/node.sh");
    let made = Command::new("bash").arg(script).arg(place).status().await;
    assert!(made.unwrap().success(), "node.sh failed");
    let ssh = TcpListener::bind("[::]:22").await.unwrap();
    let api = TcpListener::bind("[::]:6443").await.unwrap();
    // A kubelet, and a service behind a NodePort, as far as they accept connections.
    for port in [10250, 30080] {
        let listener = TcpListener::bind(("::", port)).await.unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    }
    let dhcp = UdpSocket::bind("[::]:546").await.unwrap();
    tokio::spawn(note(dhcp, place.join("dhcp")));
    let socket = Arc::new(place.join("api.sock"));
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = api.accept().await {
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                if let Ok(mut inside) = UnixStream::connect(&*socket).await {
                    let _ended = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    std::fs::write(place.join("node-ready"), "").unwrap();
    loop {
        let (connection, _) = ssh.accept().await.unwrap();
        let connection = connection.into_std().unwrap();
        connection.set_nonblocking(false).unwrap();
        let input: std::os::fd::OwnedFd = connection.into();
        let output = input.try_clone().unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd")
            .args(["-i", "-e"])
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .spawn()
            .unwrap();
        tokio::spawn(async move { sshd.wait().await });
    }
}

/// Writes down what arrives where DHCPv6 answers do.
async fn note(socket: UdpSocket, file: std::path::PathBuf) {
    let mut buffer = [0; 64];
    while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .await
            .unwrap();
        file.write_all(&buffer[..length]).await.unwrap();
        file.flush().await.unwrap();
    }
}
