//! The seam between the service APIs and the simulated machines under them.
//!
//! Scaleway hands machines over and takes them back; the control API looks at them and meddles. Nothing else crosses.

use std::net::IpAddr;

use serde_json::Value;

use crate::machine::{Machines, Spec};

/// A machine as the installer hands it over: the installed system boots and acts on the user data.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Id of the server the machine belongs to.
    pub server_id: String,
    /// Name of the server.
    pub name: String,
    /// Hostname given to the installer, or the server's name.
    pub hostname: String,
    /// Public IPv4 address.
    pub ipv4: IpAddr,
    /// Public IPv6 address.
    pub ipv6: IpAddr,
    /// Path under `/dev/disk/by-id` and bytes of each disk.
    pub disks: Vec<(String, u64)>,
    /// User data, decoded.
    pub user_data: Option<Vec<u8>>,
    /// Public key lines that the installer wrote for the default user.
    pub ssh_public_keys: Vec<String>,
    /// Ordered without an installation: its disks start nothing.
    pub bare: bool,
}

/// The machines under the APIs.
pub trait Metal: Send + Sync {
    /// A freshly installed machine boots, or a bare one is handed over.
    fn install(&self, delivery: Delivery);
    /// The machine leaves: deleted, or its disks are wiped for another installation.
    fn remove(&self, server_id: &str);
    /// The machine restarts with what is on its disks.
    fn reboot(&self, server_id: &str);
    /// The machine restarts into the rescue system, which takes these public key lines.
    fn rescue(&self, server_id: &str, keys: Vec<String>);
    /// The machines for `GET /estate`.
    fn estate(&self) -> Value;
    /// Machines that left and what was on their disks, for `GET /estate`.
    fn left_behind(&self) -> Value;
    /// The clusters for `GET /estate`.
    fn clusters(&self) -> Value;
    /// Opens a port in a machine's firewall behind everyone's back; false when there is no such machine.
    fn open_port(&self, name: &str, port: u16) -> bool;
    /// A newer release of the system waits for a machine's reboot; false when it takes none.
    fn fetch_update(&self, name: &str) -> bool;
    /// Deletes a Node object behind everyone's back; false when there is none.
    fn delete_node(&self, name: &str) -> bool;
}

impl Metal for Machines {
    fn install(&self, delivery: Delivery) {
        let Delivery {
            server_id,
            name,
            hostname,
            ipv4,
            ipv6,
            disks,
            user_data,
            ssh_public_keys,
            bare,
        } = delivery;
        Machines::install(
            self,
            Spec {
                server_id,
                name,
                hostname,
                ipv4,
                ipv6,
                disks,
                user_data,
                ssh_public_keys,
                bare,
            },
        );
    }

    fn remove(&self, server_id: &str) {
        Machines::remove(self, server_id);
    }

    fn rescue(&self, server_id: &str, keys: Vec<String>) {
        Machines::rescue(self, server_id, keys);
    }

    fn reboot(&self, server_id: &str) {
        Machines::reboot(self, server_id);
    }

    fn estate(&self) -> Value {
        Machines::estate(self)
    }

    fn left_behind(&self) -> Value {
        Machines::left_behind(self)
    }

    fn clusters(&self) -> Value {
        Value::Array(
            Machines::clusters(self)
                .iter()
                .map(|cluster| cluster.estate())
                .collect(),
        )
    }

    fn open_port(&self, name: &str, port: u16) -> bool {
        Machines::open_port(self, name, port)
    }

    fn fetch_update(&self, name: &str) -> bool {
        Machines::fetch_update(self, name)
    }

    fn delete_node(&self, name: &str) -> bool {
        Machines::delete_node(self, name)
    }
}
