//! The client against a russh server on loopback: host key, login, verbs, a connection that breaks.

use std::sync::Arc;

use russh::keys::{Algorithm, PrivateKey, PublicKey, ssh_key::LineEnding};
use russh::server::{self, Auth, Msg, Session as ServerSession};
use russh::{Channel, ChannelId};
use tokio::net::TcpListener;

use super::{Error, HostKey, Output, Target, connect};
use crate::http::dial::Dialer;
use crate::verb::Verb;

/// Echoes the command and its standard input; `rules` fails, `reboot`-like `lock-arm` breaks the connection.
struct Node {
    operator: PublicKey,
    command: String,
    stdin: Vec<u8>,
}

impl server::Handler for Node {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = user == "core" && key.public_key.key_data() == self.operator.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        self.command = String::from_utf8_lossy(command).into_owned();
        session.channel_success(channel)?;
        if self.command.ends_with("lock-arm 120") {
            return Err(russh::Error::Disconnect);
        }
        Ok(())
    }

    async fn data(
        &mut self,
        _: ChannelId,
        data: &[u8],
        _: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        self.stdin.extend_from_slice(data);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        let code = if self.command.ends_with("rules") {
            session.extended_data(channel, 1, b"progress\nno such table".to_vec())?;
            1
        } else {
            let answer = format!("{}|{}", self.command, String::from_utf8_lossy(&self.stdin));
            session.data(channel, answer.into_bytes())?;
            0
        };
        session.exit_status_request(channel, code)?;
        session.close(channel)
    }
}

fn key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

/// A node and the target that fits it.
async fn node() -> (Dialer, Target) {
    let (host, operator) = (key(), key());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target {
        address: "127.0.0.1".into(),
        port,
        user: "core".into(),
        private_key: operator
            .to_openssh(LineEnding::LF)
            .unwrap()
            .to_string()
            .into(),
        host_key: HostKey::parse(&host.public_key().to_openssh().unwrap()).unwrap(),
    };
    let config = Arc::new(server::Config {
        keys: vec![host],
        auth_rejection_time: std::time::Duration::ZERO,
        ..server::Config::default()
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let node = Node {
                operator: operator.public_key().clone(),
                command: String::new(),
                stdin: Vec::new(),
            };
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, node).await {
                    let _ended = session.await;
                }
            });
        }
    });
    (Dialer::loopback(), target)
}

#[tokio::test]
async fn a_verb_runs_with_its_arguments_and_standard_input() {
    let (dialer, target) = node().await;
    let session = connect(&dialer, &target).await.unwrap();
    let put = Verb::Put {
        mode: "0600",
        path: "/etc/strata/kubeadm.yaml".into(),
    };
    let output = session.run(&put, b"kind: A").await.unwrap();
    let expected = "sudo /opt/strata/bin/strata-node put 0600 /etc/strata/kubeadm.yaml|kind: A";
    assert_eq!(
        output,
        Output {
            stdout: expected.into(),
            stderr: String::new()
        }
    );
}

#[tokio::test]
async fn a_failing_verb_says_why() {
    let (dialer, target) = node().await;
    let session = connect(&dialer, &target).await.unwrap();
    let error = session.run(&Verb::Rules, b"").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`rules` on 127.0.0.1 failed with code 1: progress\nno such table"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn another_host_key_is_an_error_of_its_own() {
    let (dialer, mut target) = node().await;
    target.host_key = HostKey::parse(&key().to_openssh(LineEnding::LF).unwrap()).unwrap();
    let error = connect(&dialer, &target).await.err().unwrap();
    assert!(
        matches!(&error, Error::HostKey { expected, answered, .. } if *expected == target.host_key.fingerprint() && answered.starts_with("SHA256:")),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn an_unknown_operator_is_refused_by_name() {
    let (dialer, mut target) = node().await;
    target.private_key = key().to_openssh(LineEnding::LF).unwrap().to_string().into();
    let error = connect(&dialer, &target).await.err().unwrap();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
}

#[tokio::test]
async fn a_broken_connection_admits_that_the_effect_is_unknown() {
    let (dialer, target) = node().await;
    let session = connect(&dialer, &target).await.unwrap();
    let error = session
        .run(&Verb::LockArm { seconds: 120 }, b"")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Lost {
                verb: "lock-arm",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.is_transient());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let (dialer, mut target) = node().await;
    target.port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = connect(&dialer, &target).await.err().unwrap();
    assert!(error.is_unreachable() && error.is_transient());
}
