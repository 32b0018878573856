//! What a provider would deliver, written by hand from docs/delivery.md.

use std::io::Write as _;

use data_encoding::BASE64;
use serde_json::{Value, json};

pub(crate) const OPERATOR: &str = "203.0.113.7";

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn data(text: &str) -> String {
    format!("data:;base64,{}", BASE64.encode(text.as_bytes()))
}

fn file(path: &str, mode: u32, content: &str) -> Value {
    json!({"path": path, "mode": mode, "contents": {"source": data(content)}})
}

/// Section 6; `operator` none is the locked form.
pub(crate) fn rules(operator: Option<&str>, nodes: &str) -> String {
    let nodes = if nodes.is_empty() {
        String::new()
    } else {
        format!("elements = {{ {nodes} }}")
    };
    let operator = operator
        .map(|address| format!("elements = {{ {address} }}"))
        .unwrap_or_default();
    format!(
        "table inet strata
delete table inet strata
table inet strata {{
  set nodes4 {{ type ipv4_addr; flags interval; {nodes} }}
  set nodes6 {{ type ipv6_addr; flags interval; }}
  set operator4 {{ type ipv4_addr; flags interval,timeout; {operator} }}
  set operator6 {{ type ipv6_addr; flags interval,timeout; }}
  set pods4 {{ type ipv4_addr; flags interval; elements = {{ 10.244.0.0/16 }} }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept
    tcp dport 22 ip saddr @operator4 accept
    tcp dport 22 ip6 saddr @operator6 accept
    tcp dport 22 drop
    ct state established,related accept
    ct state invalid drop
    meta l4proto {{ icmp, ipv6-icmp }} accept
    udp dport 546 ip6 saddr fe80::/10 accept
    ip saddr @pods4 accept
    tcp dport 6443 accept
    ip saddr @nodes4 tcp dport {{ 2379-2380, 4240, 10250 }} accept
    ip6 saddr @nodes6 tcp dport {{ 2379-2380, 4240, 10250 }} accept
    ip saddr @nodes4 udp dport 8472 accept
    ip6 saddr @nodes6 udp dport 8472 accept
  }}
}}
"
    )
}

pub(crate) struct Delivery {
    pub node: String,
    pub operator_key: String,
    pub host_key: (String, String),
    pub version: String,
    pub os_version: String,
}

impl Delivery {
    pub(crate) fn node_ignition(&self) -> Value {
        let script = include_str!("../../../provider/src/services/flatcar/strata-node.sh");
        let raw = format!("kubernetes-{}-x86-64.raw", self.version);
        let target = format!("/opt/extensions/kubernetes/{raw}");
        json!({
            "ignition": {"version": "3.3.0"},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [self.operator_key]}]},
            "storage": {
                "files": [
                    {"path": "/etc/hostname", "mode": 420, "overwrite": true, "contents": {"source": format!("data:,{}", self.node)}},
                    file("/etc/ssh/ssh_host_ed25519_key", 384, &self.host_key.0),
                    file("/etc/ssh/ssh_host_ed25519_key.pub", 420, &self.host_key.1),
                    {"path": target, "mode": 420, "contents": {"source": format!("https://extensions.flatcar.org/extensions/{raw}")}},
                    file("/etc/modules-load.d/kubernetes.conf", 420, "overlay\nbr_netfilter\n"),
                    file("/etc/sysctl.d/99-kubernetes.conf", 420, "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\nnet.bridge.bridge-nf-call-iptables = 1\n"),
                    file("/etc/strata/nft/open.nft", 384, &rules(Some(OPERATOR), "")),
                    file("/opt/strata/bin/strata-node", 493, script),
                    file("/etc/flatcar/update.conf", 420, "REBOOT_STRATEGY=off\n")
                ],
                "links": [{"path": "/etc/extensions/kubernetes.raw", "target": target, "hard": false}]
            },
            "systemd": {"units": [
                {"name": "strata-firewall.service", "enabled": true, "contents": "[Unit]\nDescription=Strata firewall\nDefaultDependencies=no\nBefore=network-pre.target\nWants=network-pre.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/opt/strata/bin/strata-node firewall-load\n[Install]\nWantedBy=multi-user.target\n"},
                {"name": "locksmithd.service", "mask": true},
                {"name": "systemd-sysupdate.timer", "enabled": false}
            ]}
        })
    }

    pub(crate) fn installer_ignition(&self, disk: Option<&str>) -> Value {
        let node = BASE64.encode(&gzip(self.node_ignition().to_string().as_bytes()));
        let install = match disk {
            Some(disk) => format!(
                "wipefs --all --force {disk}\nflatcar-install -d {disk} -C stable -V {} -i /opt/strata/node.ign\n",
                self.os_version
            ),
            None => format!(
                "lsblk --nodeps --noheadings --paths --output NAME | grep -E '^/dev/(sd|nvme|vd)' | xargs --no-run-if-empty wipefs --all --force\nflatcar-install -s -C stable -V {} -i /opt/strata/node.ign\n",
                self.os_version
            ),
        };
        json!({
            "ignition": {"version": "3.3.0"},
            "storage": {"files": [
                {"path": "/opt/strata/node.ign", "mode": 384, "contents": {"source": format!("data:;base64,{node}"), "compression": "gzip"}},
                file("/opt/strata/install", 493, &format!("#!/bin/bash\nset -euo pipefail\n{install}systemctl reboot\n"))
            ]},
            "systemd": {"units": [{"name": "strata-install.service", "enabled": true, "contents": "[Unit]\nDescription=Install Flatcar\nAfter=network-online.target\nWants=network-online.target\n[Service]\nType=oneshot\nExecStart=/opt/strata/install\n[Install]\nWantedBy=multi-user.target\n"}]}
        })
    }

    pub(crate) fn stub(&self, disk: Option<&str>) -> Vec<u8> {
        let installer = BASE64.encode(&gzip(self.installer_ignition(disk).to_string().as_bytes()));
        let base = format!(
            "https://stable.release.flatcar-linux.net/amd64-usr/{}",
            self.os_version
        );
        format!(
            "#!/bin/bash
set -euo pipefail
mkdir -p /run/strata/root/usr/share/oem
cat > /run/strata/installer.b64 <<'STRATA'
{installer}
STRATA
base64 -d /run/strata/installer.b64 > /run/strata/installer.gz
gzip -dc /run/strata/installer.gz > /run/strata/root/usr/share/oem/config.ign
curl -fsSL --retry 5 -o /run/strata/vmlinuz {base}/flatcar_production_pxe.vmlinuz
curl -fsSL --retry 5 -o /run/strata/initrd.gz {base}/flatcar_production_pxe_image.cpio.gz
cd /run/strata/root
find usr | cpio -o -H newc | gzip -c > /run/strata/oem.cpio.gz
cat /run/strata/initrd.gz /run/strata/oem.cpio.gz > /run/strata/initrd
kexec -l /run/strata/vmlinuz --initrd=/run/strata/initrd --command-line='flatcar.first_boot=1 flatcar.autologin=0 console=tty0'
systemctl kexec
"
        )
        .into_bytes()
    }
}
