//! The truth about everything in the lab, and changes to it behind everyone's back.
//!
//! `GET /estate` is byte-equal when nothing changed: fixed order, and nothing in it moves by itself once machines have settled.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cloudflare::Cloudflare;
use crate::headscale::{self, Headscale};
use crate::infisical::{Denial, Infisical, Login};
use crate::metal::Metal;
use crate::network::Network;
use crate::proxmox::Proxmox;
use crate::proxy::{OPERATOR_V4, operator_for};
use crate::s3::S3;
use crate::scaleway::Scaleway;
use crate::talos::TalosMachines;
use crate::vault::Vault;

/// Everything there is; clones share it.
#[derive(Clone)]
pub struct Estate {
    /// Scaleway.
    pub scaleway: Scaleway,
    /// Cloudflare.
    pub cloudflare: Cloudflare,
    /// Infisical.
    pub infisical: Infisical,
    /// Vault.
    pub vault: Vault,
    /// Object storage.
    pub s3: S3,
    /// Proxmox.
    pub proxmox: Proxmox,
    /// Headscale.
    pub headscale: Headscale,
    /// The machine network.
    pub network: Network,
    /// Machines of Scaleway.
    pub metal: Arc<dyn Metal>,
    /// Machines that run Talos.
    pub talos: TalosMachines,
}

/// One out-of-band change, as `POST /estate` takes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A server by name, hostname, node tag or id.
    DeleteServer(String),
    /// Records by name and type.
    DeleteRecord {
        /// Full name.
        name: String,
        /// `A`, `AAAA`, ...
        #[serde(rename = "type")]
        kind: String,
        /// Only the record with this content.
        #[serde(default)]
        content: Option<String>,
    },
    /// What a Talos machine complains about from now on; without a message it no longer does.
    Complain {
        /// The hypervisor's id, `pve1/120`.
        vm: String,
        /// Id of the diagnostic.
        id: String,
        /// What it says.
        #[serde(default)]
        message: Option<String>,
    },
    /// A Node object by name.
    DeleteNode(String),
    /// A port in a machine's firewall.
    OpenPort {
        /// Node name.
        node: String,
        /// TCP port.
        port: u16,
    },
    /// Flatcar publishes a release, and the machine of this node fetches it: from now on it waits for a reboot.
    FetchUpdate(String),
    /// A tag on a server.
    AddTag {
        /// Server name, hostname, node tag or id.
        server: String,
        /// The tag.
        tag: String,
    },
    /// How many machines of an hourly offer, by name, are left in a zone.
    SetStock {
        /// Zone.
        zone: String,
        /// Name of the offer.
        offer: String,
        /// Machines.
        machines: u32,
    },
    /// A record, in Cloudflare's words.
    AddRecord(Value),
    /// How logging in to Infisical is set up from now on.
    SetUpLogin(Login),
    /// What the identity may not do in Infisical; replaces what was said before.
    RestrictIdentity(Vec<Denial>),
    /// A virtual machine on Proxmox.
    DeleteVm(u32),
    /// A template of a virtual machine on Proxmox, with a disk of 10 GiB, as somebody made it by hand.
    MakeTemplate {
        /// Its number.
        vmid: u32,
        /// Host.
        host: String,
    },
    /// An option of a virtual machine, or its `lock`; an empty value takes it away.
    ChangeVm {
        /// Its number.
        vmid: u32,
        /// Option in Proxmox's words.
        option: String,
        /// Its value.
        value: String,
    },
    /// A file on a storage of Proxmox.
    DeleteFile {
        /// Host.
        host: String,
        /// Full name, `local:iso/x.iso`.
        volume: String,
    },
    /// A host of Proxmox is cut off from the others, or connected again.
    ConnectHost {
        /// Host.
        host: String,
        /// Whether the others reach it.
        online: bool,
    },
    /// Proxmox serves a new certificate of the same CA.
    RenewCertificate,
    /// Headscale becomes another release, like `0.26`.
    SetHeadscaleVersion(String),
    /// A machine of somebody else, by its name, comes into the VPN.
    AddVpnNode(String),
    /// A node leaves the VPN, by its name.
    DeleteVpnNode(String),
    /// The time of Headscale's API key is over.
    ExpireVpnApiKey,
    /// A user of Headscale goes.
    DeleteVpnUser(String),
}

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// What should change does not exist.
    #[error("there is no {what} {name:?}; known: {known}")]
    Nothing {
        /// Kind of thing.
        what: &'static str,
        /// Name asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// The DNS service refused.
    #[error(transparent)]
    Record(#[from] crate::cloudflare::ChangeError),
    /// No certificate could be made.
    #[error("making a certificate: {0}")]
    Certificate(String),
}

/// What a probe asks: a TCP connection from one place to another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Node name, address, or absent for the operator.
    #[serde(default)]
    from: Option<String>,
    /// Node name, DNS name or address.
    to: String,
    /// TCP port.
    port: u16,
}

impl Estate {
    /// The truth.
    pub fn view(&self) -> Value {
        let (servers, ssh_keys) = self.scaleway.estate();
        json!({
            "servers": servers,
            "ssh_keys": ssh_keys,
            "dns_records": self.cloudflare.estate(),
            "machines": self.metal.estate(),
            "talos": self.talos.estate(),
            "left_behind": self.metal.left_behind(),
            "clusters": self.clusters(),
            "infisical": self.infisical.estate(),
            "vault": self.vault.estate(),
            "s3": self.s3.estate(),
            "proxmox": self.proxmox.estate(),
            "headscale": self.headscale.estate(),
        })
    }

    /// Clusters of machines, then those of Talos machines.
    fn clusters(&self) -> Value {
        let mut clusters = self.metal.clusters();
        if let Value::Array(all) = &mut clusters {
            all.extend(self.talos.clusters().iter().map(|cluster| cluster.estate()));
        }
        clusters
    }

    /// Lets steps that are due happen now, after the clock was moved by hand.
    pub fn settle(&self) {
        self.scaleway.settle();
    }

    /// Does one change.
    pub fn change(&self, change: Change) -> Result<(), ChangeError> {
        let nothing = |what, name: String, done: bool| {
            let known = self.scaleway.names().join(", ");
            if done {
                Ok(())
            } else {
                Err(ChangeError::Nothing { what, name, known })
            }
        };
        match change {
            Change::DeleteServer(name) => {
                let done = self.scaleway.vanish(&name);
                nothing("server", name, done)
            }
            Change::Complain { vm, id, message } => {
                let done = self.talos.complain(&vm, &id, message.as_deref());
                nothing("Talos machine", vm, done)
            }
            Change::DeleteRecord {
                name,
                kind,
                content,
            } => {
                let removed = self.cloudflare.uproot(&name, &kind, content.as_deref());
                if removed > 0 {
                    return Ok(());
                }
                let records = self.cloudflare.estate();
                let known: Vec<String> = records
                    .iter()
                    .map(|record| format!("{} {}", record["name"], record["type"]))
                    .collect();
                Err(ChangeError::Nothing {
                    what: "record",
                    name: format!("{name} {kind}"),
                    known: known.join(", "),
                })
            }
            Change::DeleteNode(name) => {
                let done = self.metal.delete_node(&name) | self.talos.delete_node(&name);
                nothing("node", name, done)
            }
            Change::OpenPort { node, port } => {
                let done = self.metal.open_port(&node, port);
                nothing("machine", node, done)
            }
            Change::FetchUpdate(node) => {
                let done = self.metal.fetch_update(&node);
                nothing("machine that takes updates", node, done)
            }
            Change::AddTag { server, tag } => {
                let done = self.scaleway.add_tag(&server, &tag);
                nothing("server", server, done)
            }
            Change::SetStock {
                zone,
                offer,
                machines,
            } => {
                let done = self.scaleway.set_stock(&zone, &offer, machines);
                nothing("offer", offer, done)
            }
            Change::AddRecord(record) => Ok(self.cloudflare.plant(record)?),
            Change::SetUpLogin(login) => {
                self.infisical.set_up_login(login);
                Ok(())
            }
            Change::RestrictIdentity(denials) => {
                self.infisical.restrict(denials);
                Ok(())
            }
            Change::DeleteVm(vmid) => {
                let done = self.proxmox.vanish(vmid);
                nothing("virtual machine", vmid.to_string(), done)
            }
            Change::MakeTemplate { vmid, host } => {
                let done = self.proxmox.make_template(vmid, &host);
                nothing("host, or free number", format!("{host} {vmid}"), done)
            }
            Change::ChangeVm {
                vmid,
                option,
                value,
            } => {
                let done = self.proxmox.meddle(vmid, &option, &value);
                nothing("virtual machine", vmid.to_string(), done)
            }
            Change::DeleteFile { host, volume } => {
                let done = self.proxmox.remove_file(&host, &volume);
                nothing("file", format!("{host} {volume}"), done)
            }
            Change::ConnectHost { host, online } => {
                let done = self.proxmox.set_online(&host, online);
                nothing("host", host, done)
            }
            Change::RenewCertificate => {
                let renewed = self.proxmox.rotate();
                renewed.map_err(|error| ChangeError::Certificate(error.to_string()))
            }
            Change::SetHeadscaleVersion(text) => match headscale::Version::parse(&text) {
                Some(version) => {
                    self.headscale.set_version(version);
                    Ok(())
                }
                None => Err(ChangeError::Nothing {
                    what: "release of Headscale",
                    name: text,
                    known: "0.26 to 0.30".into(),
                }),
            },
            Change::AddVpnNode(name) => {
                self.headscale.add_foreign(&name);
                Ok(())
            }
            Change::DeleteVpnNode(name) => {
                let done = self.headscale.delete_node(&name);
                nothing("node of the VPN", name, done)
            }
            Change::ExpireVpnApiKey => {
                self.headscale.expire_api_key();
                Ok(())
            }
            Change::DeleteVpnUser(name) => {
                self.headscale.delete_user(&name);
                Ok(())
            }
        }
    }

    /// Tries a connection and says whether and why.
    pub fn probe(&self, probe: &Probe) -> Result<Value, ChangeError> {
        let unknown = |name: &str| ChangeError::Nothing {
            what: "node or address",
            name: name.to_owned(),
            known: self.scaleway.names().join(", "),
        };
        let mut targets = self.network.resolve(&probe.to);
        if targets.is_empty() {
            let server = self.scaleway.addresses_of(&probe.to);
            let address = server
                .map(|(ipv4, _)| ipv4.into())
                .or_else(|| self.talos.address_of(&probe.to));
            targets.push(address.ok_or_else(|| unknown(&probe.to))?);
        }
        let to = targets[0];
        let from: IpAddr = match probe.from.as_deref() {
            None | Some("operator") => operator_for(to),
            Some(name) => match (name.parse(), self.scaleway.addresses_of(name)) {
                (Ok(address), _) => address,
                (_, Some((ipv4, ipv6))) => {
                    if to.is_ipv4() {
                        ipv4.into()
                    } else {
                        ipv6.into()
                    }
                }
                (Err(_), None) => self.talos.address_of(name).ok_or_else(|| unknown(name))?,
            },
        };
        let (connected, reason) = match self.network.dial(from, to, probe.port) {
            Ok(_) => (
                true,
                format!(
                    "{to} accepts connections from {from} on port {}",
                    probe.port
                ),
            ),
            Err(error) => (false, error.to_string()),
        };
        Ok(json!({ "connected": connected, "reason": reason }))
    }
}

/// Where the operator's connections come from, for `GET /operator-address`.
pub fn operator_address() -> Value {
    json!({ "ipv4": OPERATOR_V4, "ipv6": crate::proxy::OPERATOR_V6 })
}
