//! The closed list of things the provider does on a node: the verbs of `strata-node` (docs/delivery.md, section 5).
//!
//! The same verbs run over SSH before lockdown ([`crate::ssh`]) and in a one-shot pod after it ([`crate::kubernetes::door`]). There is no
//! way to run anything else: neither channel takes text.

use std::net::IpAddr;
use std::time::Duration;

/// The script that Ignition put on every node.
pub const SCRIPT: &str = "/opt/strata/bin/strata-node";

/// One thing to do on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Prints the script's version: proof that the way in works.
    Version,
    /// Writes a file; the content comes on standard input.
    Put {
        /// Octal digits, like `0600`.
        mode: &'static str,
        /// Below `/etc/kubernetes/` or `/etc/strata/`.
        path: String,
    },
    /// Makes the node's own host key and prints it.
    HostKey,
    /// `kubeadm init`.
    KubeadmInit,
    /// `kubeadm join`.
    KubeadmJoin,
    /// `kubeadm reset`, keys and discovery file removed.
    KubeadmReset,
    /// Discards what is on the machine's disks. It serves nobody afterwards.
    Wipe,
    /// Puts another version of kubeadm, kubelet and kubectl on the node.
    Extension {
        /// With the `v`.
        version: String,
    },
    /// The same, then upgrades what runs on the node.
    Kubernetes {
        /// With the `v`.
        version: String,
        /// What kubeadm does.
        step: Upgrade,
    },
    /// Saves a snapshot of etcd on the node, and prints size and hash.
    Snapshot,
    /// Prints one part of that snapshot, as base64 with a hash.
    SnapshotPart {
        /// From 0; parts are of 4 MiB.
        number: usize,
    },
    /// `kubeadm init` over the snapshot that was put at `/etc/strata/restore.db`.
    KubeadmRestore {
        /// Name of the only member of etcd.
        name: String,
        /// Its address.
        address: IpAddr,
    },
    /// When the control plane's certificates end; [`crate::expiry::parse`] reads it.
    Certs,
    /// Renews certificates that end within 60 days, and restarts what uses them.
    CertsRenew,
    /// Maps a name in `/etc/hosts`.
    Hosts {
        /// The endpoint's name.
        name: String,
        /// The node's own address.
        address: IpAddr,
    },
    /// etcd members as JSON.
    Members,
    /// Asks every etcd member whether it can commit; fails when one cannot.
    EtcdHealth,
    /// Removes an etcd member.
    MemberRemove {
        /// As `etcdctl` takes it.
        id: u64,
    },
    /// Dry check of the locked rules.
    LockCheck,
    /// Arms the timer that restores the open rules, then applies the locked ones.
    LockArm {
        /// Until the restore.
        seconds: u64,
    },
    /// Stops the timer and makes the locked rules permanent.
    Confirm,
    /// Back to the open rules.
    Unlock,
    /// Sets the node sets to exactly these addresses.
    Peers(Vec<IpAddr>),
    /// Lets an address in on port 22 for a while: the window closes by itself and cuts what is open (FN1).
    SshOpen {
        /// Who comes.
        address: IpAddr,
        /// For how long, at most [`LONGEST_WINDOW`].
        seconds: u64,
    },
    /// Takes more keys for a while, or with 0 seconds none any more (FN1). What was taken before goes.
    SshKeys {
        /// For how long, at most [`LONGEST_WINDOW`].
        seconds: u64,
        /// Lines of `authorized_keys`.
        lines: Vec<String>,
    },
    /// Prints the table.
    Rules,
    /// Prints the kubelet's last 50 lines.
    Journal,
    /// Prints since when an update of the system waits for a reboot, in seconds since 1970; nothing when none does.
    Updates,
    /// Reboots the machine. Through the door the pod may die with it: its end proves little, a new `bootID` of the Node proves it.
    Reboot,
}

/// Four hours: a window is for a look, not for a working day.
pub const LONGEST_WINDOW: u64 = 14_400;

/// What kubeadm does for an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// `kubeadm upgrade apply`: this node and the cluster's configuration, on the first control plane.
    Apply,
    /// `kubeadm upgrade node`: this node to what the configuration says, on all others.
    Node,
}

impl Upgrade {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Node => "node",
        }
    }
}

/// An argument that the script must not be given.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A shell could take it for its own.
    #[error(
        "the verb `{verb}` cannot take the argument `{argument}`: only letters, digits and ._:/@,=- are sent to a node"
    )]
    Characters {
        /// What should run.
        verb: &'static str,
        /// What it was given.
        argument: String,
    },
    /// A window without an end, or with a far one.
    #[error("a window of {seconds} s is not possible: 1 s to {LONGEST_WINDOW} s (4 h) are")]
    Window {
        /// As asked for.
        seconds: u64,
    },
}

impl Verb {
    /// The verb's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Put { .. } => "put",
            Self::HostKey => "host-key",
            Self::KubeadmInit => "kubeadm-init",
            Self::KubeadmJoin => "kubeadm-join",
            Self::KubeadmReset => "kubeadm-reset",
            Self::Wipe => "wipe",
            Self::Extension { .. } => "extension",
            Self::Kubernetes { .. } => "kubernetes",
            Self::Snapshot => "snapshot",
            Self::SnapshotPart { .. } => "snapshot-part",
            Self::KubeadmRestore { .. } => "kubeadm-restore",
            Self::Certs => "certs",
            Self::CertsRenew => "certs-renew",
            Self::Hosts { .. } => "hosts",
            Self::Members => "members",
            Self::EtcdHealth => "etcd-health",
            Self::MemberRemove { .. } => "member-remove",
            Self::LockCheck => "lock-check",
            Self::LockArm { .. } => "lock-arm",
            Self::Confirm => "confirm",
            Self::Unlock => "unlock",
            Self::Peers(_) => "peers",
            Self::SshOpen { .. } => "ssh-open",
            Self::SshKeys { .. } => "ssh-keys",
            Self::Rules => "rules",
            Self::Journal => "journal",
            Self::Updates => "updates",
            Self::Reboot => "reboot",
        }
    }

    /// How long it may take on a node that works. A download and new static pods, whose images are pulled, take longest.
    pub fn patience(&self) -> Duration {
        match self {
            Self::Kubernetes { .. } | Self::Extension { .. } => Duration::from_mins(20),
            _ => Duration::from_mins(3),
        }
    }

    /// The verb and its arguments as words of the command line.
    ///
    /// # Errors
    /// An argument has characters that a shell could take for its own, or a window is too long.
    pub fn words(&self) -> Result<Vec<String>, Refused> {
        let arguments = match self {
            Self::Put { mode, path } => vec![(*mode).to_owned(), path.clone()],
            Self::Hosts { name, address } | Self::KubeadmRestore { name, address } => {
                vec![name.clone(), address.to_string()]
            }
            Self::SnapshotPart { number } => vec![number.to_string()],
            Self::Extension { version } => vec![version.clone()],
            Self::Kubernetes { version, step } => vec![version.clone(), step.word().to_owned()],
            Self::MemberRemove { id } => vec![format!("{id:x}")],
            Self::LockArm { seconds } => vec![seconds.to_string()],
            // To nft a timeout of 0 is none at all.
            Self::SshOpen { seconds, .. } if !(1..=LONGEST_WINDOW).contains(seconds) => {
                return Err(Refused::Window { seconds: *seconds });
            }
            Self::SshKeys { seconds, .. } if *seconds > LONGEST_WINDOW => {
                return Err(Refused::Window { seconds: *seconds });
            }
            Self::SshKeys { seconds, lines } => std::iter::once(seconds.to_string())
                .chain(lines.iter().map(|line| {
                    data_encoding::BASE64URL.encode(format!("{}\n", line.trim()).as_bytes())
                }))
                .collect(),
            Self::SshOpen { address, seconds } => vec![address.to_string(), seconds.to_string()],
            Self::Peers(addresses) => addresses.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        if let Some(bad) = arguments.iter().find(|argument| !is_plain(argument)) {
            return Err(Refused::Characters {
                verb: self.name(),
                argument: bad.clone(),
            });
        }
        Ok(std::iter::once(self.name().to_owned())
            .chain(arguments)
            .collect())
    }
}

fn is_plain(argument: &str) -> bool {
    !argument.is_empty()
        && argument
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:/@,=-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_verb_and_its_arguments() {
        let put = Verb::Put {
            mode: "0600",
            path: "/etc/strata/nft/locked.nft".into(),
        };
        assert_eq!(
            put.words().unwrap(),
            ["put", "0600", "/etc/strata/nft/locked.nft"]
        );
        assert_eq!(
            Verb::MemberRemove { id: 0xa8b6_6000 }.words().unwrap(),
            ["member-remove", "a8b66000"]
        );
        let upgrade = Verb::Kubernetes {
            version: "v1.35.0".into(),
            step: Upgrade::Apply,
        };
        assert_eq!(upgrade.words().unwrap(), ["kubernetes", "v1.35.0", "apply"]);
        let peers = Verb::Peers(vec![
            "198.51.100.10".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
        ]);
        assert_eq!(
            peers.words().unwrap(),
            ["peers", "198.51.100.10", "2001:db8::1"]
        );
        let window = Verb::SshOpen {
            address: "2001:db8::7".parse().unwrap(),
            seconds: 1800,
        };
        assert_eq!(window.words().unwrap(), ["ssh-open", "2001:db8::7", "1800"]);
        assert_eq!(Verb::Reboot.words().unwrap(), ["reboot"]);
        let keys = Verb::SshKeys {
            seconds: 60,
            lines: vec!["ssh-ed25519 AAAA+/8= on call".into()],
        };
        let words = keys.words().unwrap();
        assert_eq!(words[..2], ["ssh-keys", "60"]);
        let line = data_encoding::BASE64URL
            .decode(words[2].as_bytes())
            .unwrap();
        assert_eq!(line, b"ssh-ed25519 AAAA+/8= on call\n");
    }

    #[test]
    fn a_window_ends_and_not_in_days() {
        for (seconds, possible) in [(0, false), (1, true), (14_400, true), (14_401, false)] {
            let window = Verb::SshOpen {
                address: "203.0.113.7".parse().unwrap(),
                seconds,
            };
            assert_eq!(window.words().is_ok(), possible, "{seconds}");
        }
    }

    #[test]
    fn nothing_a_shell_could_read_gets_through() {
        for name in [
            "api.example.org;reboot",
            "a b",
            "$(id)",
            "",
            "a\nb",
            "`x`",
            "*",
        ] {
            let verb = Verb::Hosts {
                name: name.into(),
                address: "198.51.100.10".parse().unwrap(),
            };
            assert!(verb.words().is_err(), "{name:?}");
        }
    }
}
