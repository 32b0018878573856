//! The platform's rescue system: the one place where whoever answers is believed, because it makes a host key at each boot that nobody can know. What is done in there
//! is as closed a list as everywhere else, and holds no secret of a cluster: it brings back the rules of the first boot, or it runs the one script that installs a machine
//! which nothing of the cluster has reached yet.

use std::sync::{Arc, Mutex};

use russh::client;
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg};

use super::{CONNECT, Error, HANDSHAKE, Pinned, Session, config};
use crate::http::dial::Dialer;
use crate::secret::Secret;

/// Who logs in where.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The machine's address.
    pub address: String,
    /// As the platform names it.
    pub user: String,
    /// OpenSSH private key of the operator.
    pub private_key: Secret<String>,
}

/// What is done in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Mounts Flatcar's root.
    Mount,
    /// Deletes the locked rules, so that those of the first boot count again.
    Unlock,
    /// Unmounts it.
    Unmount,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Mount, Self::Unlock, Self::Unmount];

    /// The command.
    pub fn command(self) -> &'static str {
        match self {
            Self::Mount => "sudo mount /dev/disk/by-label/ROOT /mnt",
            Self::Unlock => "sudo rm --force /mnt/etc/strata/nft/current.nft",
            Self::Unmount => "sudo umount /mnt",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Unlock => "rm",
            Self::Unmount => "umount",
        }
    }
}

/// Connects to whoever answers. Also returns the fingerprint of the host key, to be told.
pub async fn connect(dialer: &Dialer, guest: &Guest) -> Result<(Session, String), Error> {
    let address = guest.address.clone();
    let key =
        PrivateKey::from_openssh(guest.private_key.expose().as_bytes()).map_err(|source| {
            Error::Key {
                what: "private key",
                source: Box::new(source.into()),
            }
        })?;
    let stream = dialer
        .dial(&address, 22, CONNECT)
        .await
        .map_err(|source| Error::Unreachable {
            address: address.clone(),
            source,
        })?;
    let other = Arc::new(Mutex::new(None));
    let handler = Pinned {
        expected: None,
        other: Arc::clone(&other),
    };
    let handshake = async {
        let mut handle = client::connect_stream(Arc::new(config(None)), stream, handler).await?;
        let signer = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let answer = handle.authenticate_publickey(&guest.user, signer).await?;
        Ok::<_, russh::Error>((handle, answer.success()))
    };
    let outcome = tokio::time::timeout(HANDSHAKE, handshake).await;
    match outcome.unwrap_or(Err(russh::Error::ConnectionTimeout)) {
        Ok((handle, true)) => {
            let seen = other.lock().expect("no panic while held").take();
            Ok((Session { handle, address }, seen.unwrap_or_default()))
        }
        Ok((_, false)) => Err(Error::Denied {
            address,
            user: guest.user.clone(),
        }),
        Err(source) => Err(Error::Handshake {
            address,
            source: Box::new(source),
        }),
    }
}

/// Does one step.
///
/// # Errors
/// It exited with something else than 0, or the connection ended before it did.
pub async fn run(session: &Session, step: Step) -> Result<(), Error> {
    let done = session
        .execute(step.name(), step.command().to_owned(), b"")
        .await;
    done.map(drop)
}

/// Runs a script as root, with the lock that keeps a run that was cut off and the next one from writing one disk at the same time: the next waits.
const INSTALL: &str = "sudo flock --close --timeout 3600 /run/strata-install.lock bash -s";

/// Runs the script that installs the machine, and waits for its end.
///
/// # Errors
/// [`Error::Verb`] with the end of what it said when it failed, [`Error::Lost`] when the connection ended before it did: it may still be running then.
pub async fn install(session: &Session, script: &Secret<String>) -> Result<(), Error> {
    let done = session
        .execute("install", INSTALL.to_owned(), script.expose().as_bytes())
        .await;
    done.map(drop)
}
