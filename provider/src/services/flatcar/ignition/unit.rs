//! The units that systemd gets on a node, as they are written.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Snapshots;

#[derive(Serialize)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mask: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contents: Option<String>,
}

impl Unit {
    fn of(name: &'static str, enabled: Option<bool>, contents: String) -> Self {
        Self {
            name,
            enabled,
            mask: None,
            contents: Some(contents),
        }
    }
}

pub(super) const FIREWALL_UNIT: &str = "[Unit]
Description=Strata firewall
DefaultDependencies=no
After=local-fs.target
Wants=network-pre.target
Before=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/opt/strata/bin/strata-node firewall-load

[Install]
WantedBy=multi-user.target
";

/// On the node itself, for accidents that leave the node: a wrong `kubectl delete`, a bad upgrade.
pub(super) fn snapshot_units(snapshots: Snapshots) -> [Unit; 2] {
    let Snapshots { every, keep } = snapshots;
    let service = format!(
        "[Unit]
Description=Save a snapshot of etcd
ConditionPathExists=/etc/kubernetes/manifests/etcd.yaml

[Service]
Type=oneshot
ExecStart=/opt/strata/bin/strata-node snapshot-keep {keep}
"
    );
    let timer = format!(
        "[Unit]
Description=Save a snapshot of etcd

[Timer]
OnBootSec=15min
OnUnitActiveSec={every}s

[Install]
WantedBy=timers.target
"
    );
    [
        Unit::of("strata-snapshot.service", None, service),
        Unit::of("strata-snapshot.timer", Some(true), timer),
    ]
}

const CERTIFICATES_UNIT: &str = "[Unit]
Description=Renew the certificates of the control plane
ConditionPathExists=/etc/kubernetes/manifests/kube-apiserver.yaml
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=/opt/strata/bin/strata-node certs-renew
Restart=on-failure
RestartSec=1h
";

/// Once a month, and not on all control planes at once: day, hour and minute come from the node's name.
pub(super) fn certificate_units(name: &str) -> [Unit; 2] {
    let hash = Sha256::digest(name);
    let (day, hour, minute) = (hash[0] % 28 + 1, hash[1] % 24, hash[2] % 60);
    let timer = format!(
        "[Unit]
Description=Renew the certificates of the control plane

[Timer]
OnCalendar=*-*-{day:02} {hour:02}:{minute:02}:00
Persistent=true

[Install]
WantedBy=timers.target
"
    );
    [
        Unit::of("strata-certs.service", None, CERTIFICATES_UNIT.to_owned()),
        Unit::of("strata-certs.timer", Some(true), timer),
    ]
}

pub(super) const INSTALL_UNIT: &str = "[Unit]
Description=Install Flatcar on disk
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=/opt/strata/install

[Install]
WantedBy=multi-user.target
";
