//! Ignition 3.3.0 (docs/delivery.md sections 3 and 4, contracts of Ignition: a newer version than the image's is refused and the machine
//! does not boot). Serialised from types, never from text: Ignition ignores a misspelt key, so there must be none to misspell.

mod unit;

use data_encoding::BASE64;
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use std::io::Write as _;

use self::unit::{FIREWALL_UNIT, INSTALL_UNIT, Unit, certificate_units, snapshot_units};
use super::{Error, STRATA_NODE, check, is_version};

/// The version that every Flatcar since 3185 reads.
const VERSION: &str = "3.3.0";

/// Keys of a window (verb `ssh-keys`), tried before those of the user and never in place of them: without the file there are none.
pub const SSHD: &str = "AuthorizedKeysCommand /usr/bin/cat /run/strata/window-keys\nAuthorizedKeysCommandUser nobody\n";

/// What one node starts with. No `Debug`: it holds the single-use private host key.
pub struct NodeIgnition<'a> {
    /// Name of the node: hostname and name of the Node.
    pub name: &'a str,
    /// Control planes renew their certificates by themselves.
    pub control_plane: bool,
    /// The operator's public key, one line.
    pub ssh_public_key: &'a str,
    /// Single-use host key in OpenSSH's format. It authenticates the first contact and is replaced then.
    pub host_private_key: &'a str,
    /// Its public half, one line.
    pub host_public_key: &'a str,
    /// Kubernetes version with the `v`.
    pub kubernetes_version: &'a str,
    /// SHA-256 of the extension in hex, when it is pinned.
    pub extension_sha256: Option<&'a str>,
    /// How control planes save snapshots of etcd on their own disk.
    pub snapshots: Snapshots,
    /// Whether the node fetches operating system updates. It never reboots by itself either way.
    pub updates: bool,
    /// The nft file of the first boot.
    pub open_rules: &'a str,
}

/// Snapshots of etcd on a control plane.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    /// Seconds between two.
    pub every: u64,
    /// How many are kept.
    pub keep: u32,
}

impl Default for Snapshots {
    /// Seven days.
    fn default() -> Self {
        Self {
            every: 6 * 3600,
            keep: 28,
        }
    }
}

/// The configuration of a node's first boot.
pub fn node_ignition(node: &NodeIgnition<'_>) -> Result<String, Error> {
    let name_fits = (1..=63).contains(&node.name.len())
        && node
            .name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !node.name.starts_with('-')
        && !node.name.ends_with('-');
    check(
        "name",
        name_fits,
        "a host name of small letters, digits and inner hyphens",
    )?;
    check(
        "ssh_public_key",
        is_public_key(node.ssh_public_key),
        "one line with an SSH public key",
    )?;
    check(
        "host_public_key",
        is_public_key(node.host_public_key),
        "one line with an SSH public key",
    )?;
    let private = node.host_private_key.trim();
    let private_fits = private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----")
        && private.ends_with("-----END OPENSSH PRIVATE KEY-----");
    check(
        "host_private_key",
        private_fits,
        "a private key in OpenSSH's format",
    )?;
    let number = node
        .kubernetes_version
        .strip_prefix('v')
        .unwrap_or_default();
    check(
        "kubernetes_version",
        is_version(number),
        "a version like v1.34.2",
    )?;
    let hash_fits = node
        .extension_sha256
        .is_none_or(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    check("extension_sha256", hash_fits, "64 hex digits")?;
    check(
        "open_rules",
        node.open_rules.starts_with("table inet strata\n"),
        "the nft file of the table inet strata",
    )?;

    let image = format!("kubernetes-{}-x86-64.raw", node.kubernetes_version);
    let stored = format!("/opt/extensions/kubernetes/{image}");
    let server = if node.updates {
        ""
    } else {
        "SERVER=disabled\n"
    };
    let files = vec![
        File::text("/etc/hostname", 0o644, &format!("{}\n", node.name)),
        File::text(
            "/etc/ssh/ssh_host_ed25519_key",
            0o600,
            &format!("{private}\n"),
        ),
        File::text(
            "/etc/ssh/ssh_host_ed25519_key.pub",
            0o644,
            &format!("{}\n", node.host_public_key.trim()),
        ),
        File {
            path: stored.clone(),
            mode: 0o644,
            overwrite: true,
            contents: Contents {
                source: format!("https://extensions.flatcar.org/extensions/{image}"),
                compression: None,
                verification: node.extension_sha256.map(|hash| Verification {
                    hash: format!("sha256-{}", hash.to_ascii_lowercase()),
                }),
            },
        },
        File::text(
            "/etc/modules-load.d/kubernetes.conf",
            0o644,
            "overlay\nbr_netfilter\n",
        ),
        // rp_filter: strict checks drop what Cilium sends through its own interfaces.
        File::text(
            "/etc/sysctl.d/99-kubernetes.conf",
            0o644,
            "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.conf.all.rp_filter = 0\nnet.ipv4.conf.default.rp_filter = 0\n",
        ),
        File::text("/etc/strata/nft/open.nft", 0o600, node.open_rules),
        File::text("/etc/ssh/sshd_config.d/10-strata.conf", 0o600, SSHD),
        File::text("/opt/strata/bin/strata-node", 0o755, STRATA_NODE),
        File::text(
            "/etc/flatcar/update.conf",
            0o644,
            &format!("REBOOT_STRATEGY=off\n{server}"),
        ),
    ];
    let config = Config {
        ignition: Version { version: VERSION },
        passwd: Some(Passwd {
            users: vec![User {
                name: "core",
                ssh_authorized_keys: vec![node.ssh_public_key.trim().to_owned()],
            }],
        }),
        storage: Storage {
            files,
            links: vec![Link {
                path: "/etc/extensions/kubernetes.raw",
                target: stored,
                overwrite: true,
            }],
        },
        systemd: Systemd {
            units: vec![
                Unit {
                    name: "strata-firewall.service",
                    enabled: Some(true),
                    mask: None,
                    contents: Some(FIREWALL_UNIT.to_owned()),
                },
                // Reboots belong to one actor, and that is not locksmithd.
                Unit {
                    name: "locksmithd.service",
                    enabled: None,
                    mask: Some(true),
                    contents: None,
                },
                // It would change the kubelet under kubeadm's feet.
                Unit {
                    name: "systemd-sysupdate.timer",
                    enabled: Some(false),
                    mask: None,
                    contents: None,
                },
            ],
        },
    };
    let mut config = config;
    if node.control_plane {
        config.systemd.units.extend(certificate_units(node.name));
        config.systemd.units.extend(snapshot_units(node.snapshots));
    }
    Ok(serialise(&config))
}

/// The configuration of Flatcar in memory: it carries the node's configuration and the script that installs.
pub(super) fn installer(node: &str, script: &str) -> String {
    let config = Config {
        ignition: Version { version: VERSION },
        passwd: None,
        storage: Storage {
            files: vec![
                File {
                    path: "/opt/strata/node.ign".to_owned(),
                    mode: 0o600,
                    overwrite: true,
                    contents: Contents {
                        source: data_url(&gzip(node.as_bytes())),
                        compression: Some("gzip"),
                        verification: None,
                    },
                },
                File::text("/opt/strata/install", 0o755, script),
            ],
            links: Vec::new(),
        },
        systemd: Systemd {
            units: vec![Unit {
                name: "strata-install.service",
                enabled: Some(true),
                mask: None,
                contents: Some(INSTALL_UNIT.to_owned()),
            }],
        },
    };
    serialise(&config)
}

fn serialise(config: &Config) -> String {
    serde_json::to_string(config).expect("only texts, numbers and lists")
}

/// gzip without a date, so that equal input gives equal output.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

fn data_url(bytes: &[u8]) -> String {
    format!("data:;base64,{}", BASE64.encode(bytes))
}

fn is_public_key(text: &str) -> bool {
    let line = text.trim();
    !line.contains(['\n', '\r'])
        && line
            .split(' ')
            .nth(1)
            .is_some_and(|key| key.starts_with("AAAA"))
        && ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|kind| line.starts_with(kind))
}

#[derive(Serialize)]
struct Config {
    ignition: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    passwd: Option<Passwd>,
    storage: Storage,
    systemd: Systemd,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
struct Passwd {
    users: Vec<User>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    name: &'static str,
    ssh_authorized_keys: Vec<String>,
}

#[derive(Serialize)]
struct Storage {
    files: Vec<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
}

/// JSON has no octal: the mode goes out as the decimal number it is.
#[derive(Serialize)]
struct File {
    path: String,
    mode: u32,
    overwrite: bool,
    contents: Contents,
}

impl File {
    fn text(path: &str, mode: u32, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            overwrite: true,
            contents: Contents {
                source: data_url(text.as_bytes()),
                compression: None,
                verification: None,
            },
        }
    }
}

#[derive(Serialize)]
struct Contents {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
}

#[derive(Serialize)]
struct Verification {
    hash: String,
}

#[derive(Serialize)]
struct Link {
    path: &'static str,
    target: String,
    overwrite: bool,
}

#[derive(Serialize)]
struct Systemd {
    units: Vec<Unit>,
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    pub(crate) fn node() -> NodeIgnition<'static> {
        NodeIgnition {
            name: "cp-1",
            control_plane: true,
            ssh_public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE operator",
            host_private_key: "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n",
            host_public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH",
            kubernetes_version: "v1.34.2",
            extension_sha256: None,
            snapshots: Snapshots::default(),
            updates: true,
            open_rules: "table inet strata\n",
        }
    }

    /// Data URLs as text, so that a change shows as what it is.
    fn readable(text: &str) -> Value {
        let mut config: Value = serde_json::from_str(text).unwrap();
        for file in config["storage"]["files"].as_array_mut().unwrap() {
            let source = file["contents"]["source"].as_str().unwrap().to_owned();
            if let Some(data) = source.strip_prefix("data:;base64,") {
                let text = String::from_utf8(BASE64.decode(data.as_bytes()).unwrap()).unwrap();
                file["contents"]["source"] = if text == STRATA_NODE {
                    "(strata-node.sh)".into()
                } else {
                    text.into()
                };
            }
        }
        config
    }

    #[test]
    fn the_configuration_of_a_node() {
        let config = readable(&node_ignition(&node()).unwrap());
        insta::assert_snapshot!(serde_json::to_string_pretty(&config).unwrap());
    }

    #[test]
    fn only_control_planes_renew_certificates_each_on_its_own_day() {
        let worker = node_ignition(&NodeIgnition {
            control_plane: false,
            ..node()
        });
        assert!(!worker.unwrap().contains("strata-certs"));
        let days: std::collections::BTreeSet<String> = ["cp-1", "cp-2", "cp-3"]
            .iter()
            .map(|name| certificate_units(name)[1].contents.clone().unwrap())
            .collect();
        assert_eq!(days.len(), 3, "{days:?}");
    }

    #[test]
    fn a_pinned_extension_is_verified_and_updates_can_be_off() {
        let hash = "AB".repeat(32);
        let text = node_ignition(&NodeIgnition {
            extension_sha256: Some(&hash),
            updates: false,
            ..node()
        })
        .unwrap();
        assert!(text.contains(&format!(
            "\"verification\":{{\"hash\":\"sha256-{}\"}}",
            "ab".repeat(32)
        )));
        assert!(readable(&text).to_string().contains("SERVER=disabled"));
    }

    #[test]
    fn wrong_input_is_refused_without_quoting_it() {
        let wrong = [
            (
                "name",
                NodeIgnition {
                    name: "CP 1",
                    ..node()
                },
            ),
            (
                "ssh_public_key",
                NodeIgnition {
                    ssh_public_key: "ssh-ed25519 AAAA\nssh-ed25519 AAAA",
                    ..node()
                },
            ),
            (
                "host_private_key",
                NodeIgnition {
                    host_private_key: "s3cret",
                    ..node()
                },
            ),
            (
                "kubernetes_version",
                NodeIgnition {
                    kubernetes_version: "1.34.2",
                    ..node()
                },
            ),
            (
                "kubernetes_version",
                NodeIgnition {
                    kubernetes_version: "v1.34.2-x86-64.raw?",
                    ..node()
                },
            ),
            (
                "extension_sha256",
                NodeIgnition {
                    extension_sha256: Some("abc"),
                    ..node()
                },
            ),
            (
                "open_rules",
                NodeIgnition {
                    open_rules: "",
                    ..node()
                },
            ),
        ];
        for (field, node) in wrong {
            let error = node_ignition(&node).unwrap_err().to_string();
            assert!(
                error.starts_with(field) && !error.contains("s3cret"),
                "{error}"
            );
        }
    }

    #[test]
    fn equal_input_gives_equal_bytes() {
        assert_eq!(
            installer("{}", "#!/bin/bash\n"),
            installer("{}", "#!/bin/bash\n")
        );
    }
}
