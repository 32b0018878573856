//! SSH to a node: public key in, pinned host key, and nothing but the verbs of `strata-node`.
//!
//! Guarantees: no trust on first use, but in the platform's rescue system ([`rescue`]) - the host key is known beforehand and any other is an error of its own; no shell, no terminal, no
//! forwarding; a verb's standard input never appears in an error. Left out: waiting and retrying, which belong to the caller
//! ([`meet`] shows how), and every key type but those the pinned key has.
//!
//! ```text
//! ssh::connect(&dialer, &Target { .. })   -> Session
//! session.run(&Verb::KubeadmInit, b"")    -> Output { stdout, stderr }     error when the exit code is not 0
//! ssh::meet(cx, &dialer, &target, &policy, asked)    -> Option<Session>    waits for a new machine
//! ssh::own_host_key(session)              -> the line of the node's own host key, made there just now
//! ```

mod contact;
mod error;
pub mod rescue;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, Preferred};

pub use self::contact::{meet, own_host_key};
pub use self::error::Error;
use crate::http::dial::Dialer;
use crate::secret::Secret;
use crate::verb::{SCRIPT, Verb};

/// A healthy node answers within this; a closed port takes all of it.
const CONNECT: Duration = Duration::from_secs(3);
/// Greeting, key exchange and authentication on a machine that is busy with its first boot.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Output of a verb is a log; more than this is cut, so that a mad command cannot fill the memory.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The node's address.
    pub address: String,
    /// Port 22 outside tests.
    pub port: u16,
    /// `core` on Flatcar.
    pub user: String,
    /// OpenSSH private key of the operator.
    pub private_key: Secret<String>,
    /// The host key that must answer.
    pub host_key: HostKey,
}

/// The pinned host key.
#[derive(Debug, Clone, PartialEq)]
pub struct HostKey(PublicKey);

impl HostKey {
    /// Reads a public key line, or the public half of an OpenSSH private key.
    ///
    /// # Errors
    /// The text is neither. It is not quoted: it could be a private key with a typing error.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let public = if text.trim_start().starts_with("-----BEGIN") {
            PrivateKey::from_openssh(text).map(|key| key.public_key().clone())
        } else {
            PublicKey::from_openssh(text.trim())
        };
        public.map(Self).map_err(|source| Error::Key {
            what: "host key",
            source: Box::new(source.into()),
        })
    }

    /// `SHA256:...`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }
}

/// What a verb printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error: warnings, since the verb succeeded.
    pub stderr: String,
}

/// An authenticated connection. Dropping it closes it.
pub struct Session {
    handle: client::Handle<Pinned>,
    address: String,
}

/// Checks the server's key and remembers what else answered, for the error.
struct Pinned {
    /// `None`: whoever answers, once, where nobody can know the key.
    expected: Option<PublicKey>,
    other: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        offered: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = offered else {
            return Ok(false);
        };
        let expected = self.expected.as_ref();
        if expected.is_some_and(|expected| key.key_data() == expected.key_data()) {
            return Ok(true);
        }
        *self.other.lock().expect("no panic while held") =
            Some(key.fingerprint(HashAlg::Sha256).to_string());
        Ok(expected.is_none())
    }
}

/// Connects, checks the host key and logs in.
pub async fn connect(dialer: &Dialer, target: &Target) -> Result<Session, Error> {
    let address = target.address.clone();
    let key =
        PrivateKey::from_openssh(target.private_key.expose().as_bytes()).map_err(|source| {
            Error::Key {
                what: "private key",
                source: Box::new(source.into()),
            }
        })?;
    let stream = dialer
        .dial(&address, target.port, CONNECT)
        .await
        .map_err(|source| Error::Unreachable {
            address: address.clone(),
            source,
        })?;
    let other = Arc::new(Mutex::new(None));
    let handler = Pinned {
        expected: Some(target.host_key.0.clone()),
        other: Arc::clone(&other),
    };
    let handshake = async {
        let mut handle =
            client::connect_stream(Arc::new(config(Some(&target.host_key.0))), stream, handler)
                .await?;
        let signer = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let answer = handle.authenticate_publickey(&target.user, signer).await?;
        Ok::<_, russh::Error>((handle, answer.success()))
    };
    let outcome = tokio::time::timeout(HANDSHAKE, handshake).await;
    let outcome = outcome.unwrap_or(Err(russh::Error::ConnectionTimeout));
    if let Some(answered) = other.lock().expect("no panic while held").take() {
        return Err(Error::HostKey {
            address,
            expected: target.host_key.fingerprint(),
            answered,
        });
    }
    match outcome {
        Ok((handle, true)) => Ok(Session { handle, address }),
        Ok((_, false)) => Err(Error::Denied {
            address,
            user: target.user.clone(),
        }),
        // The server has no key of the pinned one's type: it is not the machine we know.
        Err(russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Key,
            ..
        }) => Err(Error::HostKey {
            address,
            expected: target.host_key.fingerprint(),
            answered: "a key of another type".into(),
        }),
        Err(source) => Err(Error::Handshake {
            address,
            source: Box::new(source),
        }),
    }
}

fn config(host_key: Option<&PublicKey>) -> client::Config {
    // Without this a server with several host keys may present another one than the pinned.
    let preferred = host_key.map_or_else(Preferred::default, |key| Preferred {
        key: Cow::Owned(vec![key.algorithm()]),
        ..Preferred::default()
    });
    client::Config {
        // `kubeadm` is silent for minutes: keepalives tell a busy node from a dead one.
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 4,
        nodelay: true,
        preferred,
        ..client::Config::default()
    }
}

impl Session {
    /// Runs one verb and waits for its end.
    ///
    /// # Errors
    /// [`Error::Verb`] when it exits with something else than 0, [`Error::Lost`] when the connection ended before it did.
    pub async fn run(&self, verb: &Verb, stdin: &[u8]) -> Result<Output, Error> {
        let command = format!("sudo {SCRIPT} {}", verb.words()?.join(" "));
        self.execute(verb.name(), command, stdin).await
    }

    async fn execute(
        &self,
        verb: &'static str,
        command: String,
        stdin: &[u8],
    ) -> Result<Output, Error> {
        let lost = |source| Error::Lost {
            address: self.address.clone(),
            verb,
            source,
        };
        let mut channel = self
            .handle
            .channel_open_session()
            .await
            .map_err(|source| lost(Some(Box::new(source))))?;
        channel
            .exec(true, command)
            .await
            .map_err(|source| lost(Some(Box::new(source))))?;
        if !stdin.is_empty() {
            channel
                .data_bytes(stdin.to_vec())
                .await
                .map_err(|source| lost(Some(Box::new(source))))?;
        }
        channel
            .eof()
            .await
            .map_err(|source| lost(Some(Box::new(source))))?;
        let (mut stdout, mut stderr, mut code) = (Vec::new(), Vec::new(), None);
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => append(&mut stdout, &data),
                ChannelMsg::ExtendedData { data, .. } => append(&mut stderr, &data),
                ChannelMsg::ExitStatus { exit_status } => code = Some(i64::from(exit_status)),
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    append(
                        &mut stderr,
                        format!("\nended by signal {signal_name:?}").as_bytes(),
                    );
                    code = Some(-1);
                }
                ChannelMsg::Failure => {
                    return Err(Error::Verb {
                        address: self.address.clone(),
                        verb,
                        code: -1,
                        stderr: "the server refused to run a command".into(),
                    });
                }
                _ => {}
            }
        }
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        match code {
            Some(0) => Ok(Output { stdout, stderr }),
            Some(code) => Err(Error::Verb {
                address: self.address.clone(),
                verb,
                code,
                stderr: last_lines(&stderr),
            }),
            None => Err(lost(None)),
        }
    }

    /// Writes a file on the node.
    pub async fn put(&self, mode: &'static str, path: &str, content: &[u8]) -> Result<(), Error> {
        self.run(
            &Verb::Put {
                mode,
                path: path.into(),
            },
            content,
        )
        .await
        .map(drop)
    }

    /// Says goodbye; without it the server notices on its own.
    pub async fn close(self) {
        let _server_may_be_gone = self
            .handle
            .disconnect(Disconnect::ByApplication, "", "en")
            .await;
    }
}

fn append(buffer: &mut Vec<u8>, data: &[u8]) {
    let room = OUTPUT_LIMIT.saturating_sub(buffer.len());
    buffer.extend_from_slice(&data[..data.len().min(room)]);
}

/// The end of a log says why; kubeadm's beginning says what it did right.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
