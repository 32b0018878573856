//! The SSH server of a machine: a real one over the in-process stream, with the host key that lies in the machine's files.
//!
//! It offers public keys only and runs `sudo /opt/strata/bin/strata-node VERB ...`, `true`, `uname -a` and what [`rescue`] knows. Like `sshd.socket` it reads the host key
//! anew for every connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session,
    VerifiedPublicKey,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet};

use crate::network::Serve;

use super::rescue;
use super::shell::{Streams, UNKNOWN};
use super::state::{Machine, Stage};

/// Where sshd looks for its key.
pub(crate) const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

/// Where a node says where more keys are, and how.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-strata.conf";
const ASKS: &str = "AuthorizedKeysCommand /usr/bin/cat ";

/// A new key pair: the private file's text and the public line.
pub(crate) fn new_key(comment: &str) -> Option<(String, String)> {
    let mut key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).ok()?;
    key.set_comment(comment);
    let public = key.public_key().to_openssh().ok()?;
    // ssh-keygen writes the space before the comment even when there is none.
    let public = if comment.is_empty() {
        format!("{} \n", public.trim_end())
    } else {
        format!("{public}\n")
    };
    Some((key.to_openssh(LineEnding::LF).ok()?.to_string(), public))
}

/// Makes a host key when there is none, as every distribution does at boot.
pub(crate) fn ensure_host_key(machine: &Machine) {
    let mut state = machine.state();
    if !state.files.is_file(HOST_KEY)
        && let Some((private, public)) = new_key("")
    {
        let _ = state.files.put(HOST_KEY, private.as_bytes(), 0o600);
        let _ = state
            .files
            .put(&format!("{HOST_KEY}.pub"), public.as_bytes(), 0o644);
    }
}

fn host_key(machine: &Machine) -> Option<PrivateKey> {
    PrivateKey::from_openssh(machine.state().files.read(HOST_KEY).ok()?).ok()
}

/// `SHA256:...` of the host key, as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(machine: &Machine) -> Option<String> {
    host_key(machine).map(|key| key.public_key().fingerprint(HashAlg::Sha256).to_string())
}

/// Serves one connection.
pub(crate) fn serve(machine: Arc<Machine>) -> Serve {
    Box::new(move |stream| {
        Box::pin(async move {
            // Without a readable key sshd ends at once: the connection opens and closes.
            let Some(key) = host_key(&machine) else {
                return;
            };
            let config = Config {
                methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
                auth_rejection_time: Duration::from_millis(1),
                auth_rejection_time_initial: Some(Duration::ZERO),
                keys: vec![key],
                inactivity_timeout: None,
                ..Config::default()
            };
            let server = Server {
                machine,
                user: String::new(),
                sessions: HashMap::new(),
            };
            if let Ok(session) = russh::server::run_stream(Arc::new(config), stream, server).await {
                let _ = session.await;
            }
        })
    })
}

struct Server {
    machine: Arc<Machine>,
    user: String,
    sessions: HashMap<ChannelId, Exec>,
}

/// A command and what came on its standard input so far.
#[derive(Default)]
struct Exec {
    command: Option<Vec<String>>,
    stdin: Vec<u8>,
    ended: bool,
}

impl Server {
    fn knows(&self, user: &str, key: &PublicKey) -> bool {
        let state = self.machine.state();
        let wanted = match state.stage {
            Stage::Ubuntu => "ubuntu",
            Stage::Rescue => rescue::USER,
            _ => "core",
        };
        let asked = state.files.text(DROP_IN).and_then(|text| {
            let path = text.lines().find_map(|line| line.strip_prefix(ASKS))?;
            state.files.text(path.trim())
        });
        let mut lines = state
            .authorized_keys
            .iter()
            .map(String::as_str)
            .chain(asked.as_deref().unwrap_or_default().lines());
        user == wanted
            && lines.any(|line| {
                PublicKey::from_openssh(line.trim())
                    .is_ok_and(|known| known.key_data() == key.key_data())
            })
    }

    /// Starts the command once it has the input it reads.
    fn start(&mut self, channel: ChannelId, handle: Handle) {
        let Some(exec) = self.sessions.get_mut(&channel) else {
            return;
        };
        // `put` is the one verb that reads standard input, beside the rescue system's script; a client may leave it open for the others.
        let reads = exec.command.as_ref().is_some_and(|words| {
            words.get(2).is_some_and(|verb| verb == "put") || is_installation(words)
        });
        if reads && !exec.ended {
            return;
        }
        let Some(words) = exec.command.take() else {
            return;
        };
        let stdin = std::mem::take(&mut exec.stdin);
        let machine = Arc::clone(&self.machine);
        tokio::spawn(async move {
            let Some((code, streams)) = run(&machine, words, stdin).await else {
                return;
            };
            let _ = handle.data(channel, streams.stdout).await;
            let _ = handle.extended_data(channel, 1, streams.stderr).await;
            let _ = handle
                .exit_status_request(channel, u32::try_from(code).unwrap_or(255))
                .await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
    }
}

/// A script for the rescue system, under the lock that keeps two from writing one disk.
fn is_installation(words: &[String]) -> bool {
    words.join(" ") == "sudo flock --close --timeout 3600 /run/strata-install.lock bash -s"
}

async fn run(machine: &Arc<Machine>, words: Vec<String>, stdin: Vec<u8>) -> Option<(i32, Streams)> {
    let mut streams = Streams::default();
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let verb = match texts.as_slice() {
        ["sudo", "/opt/strata/bin/strata-node", verb, ..] => *verb,
        ["true"] => "true",
        ["uname", "-a"] => "uname",
        ["sudo", "mount" | "rm" | "umount", ..] => "rescue",
        _ if is_installation(&words) => "install",
        _ => "refused",
    };
    machine.world.calls.count("ssh", "EXEC", verb);
    match texts.as_slice() {
        ["true"] => {}
        ["uname", "-a"] => {
            let state = machine.state();
            let release = state.release.as_ref().map_or_else(
                || "ubuntu".to_owned(),
                |release| format!("flatcar {}", release.version),
            );
            streams.say(&format!(
                "Linux {} 6.6.0-strata-lab #1 SMP simulated {release} x86_64 GNU/Linux",
                state.hostname
            ));
        }
        ["sudo", "/opt/strata/bin/strata-node", ..] => {
            return machine.run_verb(words[2..].to_vec(), stdin).await;
        }
        _ if is_installation(&words) && machine.state().stage == Stage::Rescue => {
            return machine.run_in_rescue(stdin).await;
        }
        _ => {
            if let Some(code) = rescue::run(machine, &texts, &mut streams) {
                return Some((code, streams));
            }
            streams.refuse(&format!("the command `{}` over SSH", words.join(" ")));
            return Some((UNKNOWN, streams));
        }
    }
    Some((0, streams))
}

impl Handler for Server {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.knows(user, offer.public_key) {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        if !self.knows(user, key.public_key) {
            return Ok(Auth::reject());
        }
        user.clone_into(&mut self.user);
        self.machine.world.calls.count("ssh", "LOGIN", user);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.sessions.insert(channel.id(), Exec::default());
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(data).into_owned();
        if let Some(exec) = self.sessions.get_mut(&channel) {
            // The closed list has no character a shell would treat; anything else is refused word for word.
            let plain = command
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._:/@,=- ".contains(c));
            exec.command = Some(if plain {
                command.split_whitespace().map(str::to_owned).collect()
            } else {
                vec![command]
            });
        }
        session.channel_success(channel)?;
        self.start(channel, session.handle());
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(exec) = self.sessions.get_mut(&channel) {
            exec.stdin.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(exec) = self.sessions.get_mut(&channel) {
            exec.ended = true;
        }
        self.start(channel, session.handle());
        Ok(())
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)?;
        Ok(())
    }
}
