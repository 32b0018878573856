//! A lab with machines only, and an SSH client that reaches them through the machine network.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::ChannelMsg;
use russh::client::{Config, Handle, Handler};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use strata_lab::calls::Calls;
use strata_lab::clock::Clock;
use strata_lab::fault::{Action, Fault, Faults};
use strata_lab::machine::{Machine, Machines, Spec};
use strata_lab::network::Network;

use crate::delivery::{Delivery, OPERATOR};

pub(crate) struct World {
    pub clock: Clock,
    pub network: Network,
    pub faults: Faults,
    pub calls: Calls,
    pub machines: Machines,
    pub operator: Arc<PrivateKey>,
}

/// What a command over SSH gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// None: the session was cut before.
    pub code: Option<u32>,
    pub stdout: String,
    pub stderr: String,
}

struct Client {
    /// Fingerprint that must match.
    expected: Option<String>,
    seen: Arc<std::sync::Mutex<Option<String>>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        *self.seen.lock().expect("free") = Some(fingerprint.clone());
        Ok(self
            .expected
            .as_ref()
            .is_none_or(|expected| *expected == fingerprint))
    }
}

pub(crate) struct Session {
    handle: Handle<Client>,
    pub fingerprint: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let (clock, network, faults, calls) = (
            Clock::new(5000.0),
            Network::default(),
            Faults::default(),
            Calls::default(),
        );
        let machines = Machines::new(
            clock.clone(),
            network.clone(),
            faults.clone(),
            calls.clone(),
        );
        let operator =
            Arc::new(PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("key"));
        Self {
            clock,
            network,
            faults,
            calls,
            machines,
            operator,
        }
    }

    pub(crate) fn delivery(&self, node: &str) -> Delivery {
        let host = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("key");
        Delivery {
            node: node.into(),
            operator_key: self.operator.public_key().to_openssh().expect("line"),
            host_key: (
                host.to_openssh(LineEnding::LF).expect("pem").to_string(),
                host.public_key().to_openssh().expect("line"),
            ),
            version: "v1.34.2".into(),
            os_version: "4230.2.3".into(),
        }
    }

    pub(crate) fn install(&self, number: u8, delivery: &Delivery) -> Arc<Machine> {
        self.install_stub(
            number,
            &delivery.node,
            delivery.stub(Some("/dev/disk/by-id/nvme-SIM-0")),
        )
    }

    pub(crate) fn install_stub(&self, number: u8, node: &str, stub: Vec<u8>) -> Arc<Machine> {
        self.machines.install(Spec {
            server_id: format!("server-{number}"),
            name: format!("home-{node}"),
            hostname: format!("home-{node}"),
            ipv4: address(number),
            ipv6: format!("2001:db8::{number}").parse().expect("address"),
            disks: vec![
                ("nvme-SIM-0".into(), 960_000_000_000),
                ("nvme-SIM-1".into(), 480_000_000_000),
            ],
            user_data: Some(stub),
            ssh_public_keys: vec![self.operator.public_key().to_openssh().expect("line")],
            bare: false,
        })
    }

    pub(crate) fn mutate(&self, where_: &str, from: &str, to: &str) {
        let action = Action::Mutate {
            where_: where_.into(),
            from: from.into(),
            to: to.into(),
        };
        self.faults.add(Fault {
            place: "machine".into(),
            target: "*".into(),
            action,
            times: Some(1),
        });
    }

    /// Steps the lab's time until something holds; gives up after a wall-clock minute.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..6000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}: {:#}", self.machines.estate());
    }

    pub(crate) async fn flatcar(&self, machine: &Arc<Machine>) {
        self.until("Flatcar up", || {
            machine.stage() == "flatcar" && machine.is_up()
        })
        .await;
    }

    pub(crate) async fn login(&self, number: u8) -> Result<Session, String> {
        self.login_from(OPERATOR, number, "core").await
    }

    pub(crate) async fn login_from(
        &self,
        from: &str,
        number: u8,
        user: &str,
    ) -> Result<Session, String> {
        let stream = self
            .network
            .dial(from.parse().expect("address"), address(number), 22)
            .map_err(|error| error.to_string())?;
        let seen = Arc::new(std::sync::Mutex::new(None));
        let client = Client {
            expected: None,
            seen: Arc::clone(&seen),
        };
        let mut handle = russh::client::connect_stream(Arc::new(Config::default()), stream, client)
            .await
            .map_err(|error| error.to_string())?;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&self.operator), None);
        let answer = handle
            .authenticate_publickey(user, key)
            .await
            .map_err(|error| error.to_string())?;
        if !answer.success() {
            return Err("permission denied".into());
        }
        let fingerprint = seen.lock().expect("free").clone().expect("seen");
        Ok(Session {
            handle,
            fingerprint,
        })
    }

    /// One verb in one session.
    /// Waits until a machine lets an operator in.
    pub(crate) async fn admitted(&self, number: u8) {
        for _ in 0..500 {
            if self.login(number).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("machine {number} lets nobody in");
    }

    /// Waits until an open session hears nothing any more: the rules are looked at again when the element's time is up.
    pub(crate) async fn silenced(&self, session: &Session) {
        for _ in 0..500 {
            if session.exec("true", b"").await.code.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the session still gets answers");
    }

    pub(crate) async fn verb(&self, number: u8, verb: &str) -> Output {
        self.login(number)
            .await
            .expect("login")
            .exec(&format!("sudo /opt/strata/bin/strata-node {verb}"), b"")
            .await
    }

    pub(crate) async fn put(&self, number: u8, mode: &str, path: &str, content: &str) -> Output {
        self.login(number)
            .await
            .expect("login")
            .exec(
                &format!("sudo /opt/strata/bin/strata-node put {mode} {path}"),
                content.as_bytes(),
            )
            .await
    }
}

impl Session {
    pub(crate) async fn exec(&self, command: &str, stdin: &[u8]) -> Output {
        let mut output = Output {
            code: None,
            stdout: String::new(),
            stderr: String::new(),
        };
        let Ok(mut channel) = self.handle.channel_open_session().await else {
            return output;
        };
        if channel.exec(true, command).await.is_err()
            || channel.data(stdin).await.is_err()
            || channel.eof().await.is_err()
        {
            return output;
        }
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    output.stdout.push_str(&String::from_utf8_lossy(&data));
                }
                ChannelMsg::ExtendedData { data, .. } => {
                    output.stderr.push_str(&String::from_utf8_lossy(&data));
                }
                ChannelMsg::ExitStatus { exit_status } => output.code = Some(exit_status),
                _ => {}
            }
        }
        output
    }
}

pub(crate) fn address(number: u8) -> IpAddr {
    format!("198.51.100.{number}").parse().expect("address")
}
