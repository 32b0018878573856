//! What Elastic Metal and IAM send and take: wire names, and the questions that one object answers by itself.
//!
//! Unknown keys are ignored, missing ones defaulted, unknown enum words kept as text: the API grows without notice.

use std::collections::BTreeSet;
use std::net::IpAddr;

use data_encoding::BASE64;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use crate::secret::Secret;
use crate::stub;

/// The limit of the vendor's own client for user data, before base64.
pub const USER_DATA_LIMIT: usize = 127_998;

/// A server, as far as we read it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Server {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Description.
    #[serde(default)]
    pub description: String,
    /// Time of the order, RFC 3339.
    #[serde(default)]
    pub created_at: String,
    /// Project that pays.
    #[serde(default)]
    pub project_id: String,
    /// Delivery: `ordered`, `delivering`, `ready`, `deleting` ...
    pub status: String,
    /// Offer, hourly or monthly.
    #[serde(default)]
    pub offer_id: String,
    /// Name of the offer.
    #[serde(default)]
    pub offer_name: String,
    /// Ours and those the API adds.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Empty until allocated; in no fixed order.
    #[serde(default)]
    pub ips: Vec<Ip>,
    /// Null when never installed.
    #[serde(default)]
    pub install: Option<Install>,
    /// Whether it refuses to be deleted.
    #[serde(default)]
    pub protected: bool,
    /// Options, also those that are on their way in or out.
    #[serde(default)]
    pub options: Vec<ServerOption>,
    /// Name in Scaleway's DNS; empty at first.
    #[serde(default)]
    pub domain: String,
    /// `normal` or `rescue`.
    #[serde(default)]
    pub boot_type: String,
    /// The rescue system, while it runs. Its password is not kept.
    #[serde(default)]
    pub rescue_server: Option<RescueServer>,
    /// What is kept of the user data.
    #[serde(default, deserialize_with = "witness")]
    pub user_data: UserData,
}

/// How one logs in to the rescue system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RescueServer {
    /// User.
    pub user: String,
}

/// User data as far as it is no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserData {
    /// Whether the API still returns any.
    pub is_there: bool,
    /// Whom port 22 of the machine that it makes admits, if it says so.
    pub admits: Vec<IpNet>,
}

/// Base64 of the beginning of a stub, in which it says what it is for. A multiple of four, so that it can be read alone.
const BEGINNING: usize = 4096;

fn witness<'de, D: Deserializer<'de>>(from: D) -> Result<UserData, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    let beginning = text.get(..BEGINNING).unwrap_or(&text);
    let bytes = BASE64.decode(beginning.as_bytes()).unwrap_or_default();
    Ok(UserData {
        is_there: !text.is_empty(),
        admits: stub::admits(&String::from_utf8_lossy(&bytes)),
    })
}

/// An address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ip {
    /// Id.
    #[serde(default)]
    pub id: String,
    /// The address; IPv6 may come zero-padded, so it is parsed.
    pub address: IpAddr,
    /// Its name in reverse DNS.
    #[serde(default)]
    pub reverse: String,
}

/// An option of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServerOption {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// `option_status_enable`, `_enabling`, `_disabling`, `_error`.
    pub status: String,
    /// May be switched on and off.
    pub manageable: bool,
    /// When it ends by itself.
    pub expires_at: Option<String>,
}

impl ServerOption {
    /// Whether `wanted` is its id or its name.
    pub fn is_called(&self, wanted: &str) -> bool {
        self.id == wanted || self.name.eq_ignore_ascii_case(wanted)
    }

    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.status == "option_status_disabling"
    }
}

/// The installation of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Install {
    /// Installed OS.
    #[serde(default)]
    pub os_id: String,
    /// Host name given at installation.
    #[serde(default)]
    pub hostname: String,
    /// Keys given at installation.
    #[serde(default)]
    pub ssh_key_ids: BTreeSet<String>,
    /// `to_install`, `installing`, `completed`, `error`.
    #[serde(default)]
    pub status: String,
}

impl Server {
    /// Its IPv4 address, once allocated.
    pub fn ipv4(&self) -> Option<IpAddr> {
        self.ips.iter().map(|ip| ip.address).find(IpAddr::is_ipv4)
    }

    /// Its IPv6 address, once allocated.
    pub fn ipv6(&self) -> Option<IpAddr> {
        self.ips.iter().map(|ip| ip.address).find(IpAddr::is_ipv6)
    }

    /// An address with its reverse name.
    pub fn ip(&self, is_ipv6: bool) -> Option<&Ip> {
        self.ips.iter().find(|ip| ip.address.is_ipv6() == is_ipv6)
    }

    /// Whether an installation of this system, name and keys is under way.
    pub fn is_being_installed_as(&self, wanted: &NewInstall) -> bool {
        self.install.as_ref().is_some_and(|install| {
            matches!(install.status.as_str(), "to_install" | "installing")
                && install.os_id == wanted.os_id
                && install.hostname == wanted.hostname
                && install.ssh_key_ids == wanted.ssh_key_ids
        })
    }

    /// Whether it has the option that private networks need.
    pub fn may_have_networks(&self) -> bool {
        self.options
            .iter()
            .any(|option| option.is_called("Private Network"))
    }

    /// State of its installation; empty when there is none.
    pub fn install_status(&self) -> &str {
        self.install
            .as_ref()
            .map_or("", |install| install.status.as_str())
    }

    /// Who logs in to the rescue system, while it runs.
    pub fn rescue_user(&self) -> Option<&str> {
        let rescue = self.rescue_server.as_ref()?;
        let runs = self.boot_type == "rescue" && self.status == "ready";
        runs.then_some(rescue.user.as_str())
    }

    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.status == "deleting"
    }
}

/// The body of a reinstallation and part of an order. What is not given is sent as null.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewInstall {
    /// OS to install.
    pub os_id: String,
    /// Host name.
    pub hostname: String,
    /// IAM keys of root or the OS's user.
    pub ssh_key_ids: BTreeSet<String>,
    /// User to make.
    pub user: Option<String>,
    /// Password of the user.
    #[serde(serialize_with = "exposed")]
    pub password: Option<Secret<String>>,
    /// User of the system's web service.
    pub service_user: Option<String>,
    /// Password of that one.
    #[serde(serialize_with = "exposed")]
    pub service_password: Option<Secret<String>>,
    /// How to divide the disks; null for the API's own way.
    pub partitioning_schema: Option<serde_json::Value>,
}

// serde's `serialize_with` hands over a reference to the field as it is.
#[allow(clippy::ref_option)]
fn exposed<S: serde::Serializer>(data: &Option<Secret<String>>, to: S) -> Result<S::Ok, S::Error> {
    data.as_ref().map(Secret::expose).serialize(to)
}

/// The body of an order.
#[derive(Debug, Clone, Serialize)]
pub struct NewServer {
    /// Hourly or monthly twin: decides the billing.
    pub offer_id: String,
    /// Project that pays.
    pub project_id: String,
    /// Name.
    pub name: String,
    /// Description, may be empty.
    pub description: String,
    /// Our tags and marks.
    pub tags: BTreeSet<String>,
    /// What to install; none is a bare machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<NewInstall>,
    /// Options to switch on at delivery.
    pub option_ids: Vec<String>,
    /// Refuse deletion.
    pub protected: bool,
    /// Cloud-init data, sent as base64.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "encoded")]
    pub user_data: Option<Secret<String>>,
}

// serde's `serialize_with` hands over a reference to the field as it is.
#[allow(clippy::ref_option)]
fn encoded<S: serde::Serializer>(data: &Option<Secret<String>>, to: S) -> Result<S::Ok, S::Error> {
    data.as_ref()
        .map(|data| BASE64.encode(data.expose().as_bytes()))
        .serialize(to)
}

/// What can be changed in place; absent keys keep their value.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServerPatch {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All tags of ours; the API's own labels are never sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
    /// Refuse deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Base64; the empty text burns what was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
}

impl ServerPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An IAM SSH key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SshKey {
    /// Id.
    pub id: String,
    /// Name, not unique.
    pub name: String,
    /// Type and material; the API drops the comment.
    pub public_key: String,
    /// Like `256 MD5:6b:cd:... (ssh-ed25519)`.
    #[serde(default)]
    pub fingerprint: String,
    /// Project.
    #[serde(default)]
    pub project_id: String,
    /// Disabled keys are not installed.
    #[serde(default)]
    pub disabled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_server_is_read_without_its_user_data() {
        let server: Server = serde_json::from_value(serde_json::json!({
            "id": "a", "name": "n", "status": "ready", "zone": "fr-par-2", "new_key": {"x": 1}, "user_data": "c2VjcmV0",
            "ips": [{"id": "1", "address": "2001:0bc8:1201:0021:0000:0000:0000:0001", "version": "IPv6", "reverse": ""},
                    {"id": "2", "address": "51.159.52.1", "version": "IPv4", "reverse": ""}],
            "install": {"os_id": "o", "status": "installing", "ssh_key_ids": ["b", "a"], "hostname": ""}, "tags": ["x", "RemoteAccess"]
        }))
        .unwrap();
        assert_eq!(server.ipv4().unwrap().to_string(), "51.159.52.1");
        assert_eq!(server.ipv6().unwrap().to_string(), "2001:bc8:1201:21::1");
        assert_eq!(server.install_status(), "installing");
        assert!(
            server.user_data.is_there && server.user_data.admits.is_empty() && !server.protected
        );
        assert!(!format!("{server:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn user_data_is_sent_as_base64_and_left_out_when_there_is_none() {
        let mut server = NewServer {
            offer_id: "o".into(),
            project_id: "p".into(),
            name: "n".into(),
            description: String::new(),
            tags: BTreeSet::new(),
            install: Some(NewInstall {
                os_id: "o".into(),
                password: Some(Secret::new("p4ss".into())),
                ..NewInstall::default()
            }),
            option_ids: Vec::new(),
            protected: false,
            user_data: Some(Secret::new("#!/bin/bash".into())),
        };
        assert_eq!(
            serde_json::to_value(&server).unwrap()["user_data"],
            "IyEvYmluL2Jhc2g="
        );
        let install = serde_json::to_value(&server.install).unwrap();
        assert_eq!(
            (&install["password"], &install["service_user"]),
            (&"p4ss".into(), &serde_json::Value::Null)
        );
        assert!(!format!("{server:?}").contains("p4ss"));
        (server.user_data, server.install) = (None, None);
        let bare = serde_json::to_value(&server).unwrap();
        assert_eq!((bare.get("user_data"), bare.get("install")), (None, None));
    }
}
