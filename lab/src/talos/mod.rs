//! Simulated machines that run Talos Linux, as a hypervisor starts and stops them (contracts/talos.md).
//!
//! A machine boots what its disk holds, takes its configuration from the disk, else from a `cidata` image, else waits for one in maintenance,
//! and then serves the real API on port 50000. Control planes carry etcd and one shared `kubernetes::ControlPlane`; the virtual address follows one of
//! them. What the lab does not understand in a configuration is refused with `LAB-UNKNOWN`.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::calls::Calls;
use crate::clock::Clock;
use crate::fault::Faults;
use crate::network::Network;

/// The three files of a `cidata` image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cidata {
    /// `meta-data`: instance id and hostname.
    pub meta_data: String,
    /// `network-config`, version 1 or 2; may be empty.
    pub network_config: String,
    /// `user-data`: the machine configuration itself.
    pub user_data: String,
}

/// What a hypervisor starts a machine with.
#[derive(Debug, Clone)]
pub struct PowerOn {
    /// The hypervisor's id, `pve1/120`.
    pub vm: String,
    /// Its name on the hypervisor.
    pub name: String,
    /// SMBIOS uuid.
    pub uuid: String,
    /// Address of its network card, upper or lower case.
    pub mac: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the system disk in bytes.
    pub disk_bytes: u64,
    /// File that was imported into the disk, such as `talos-<schematic>-v1.13.9-nocloud-amd64.qcow2`: version and schematic are read from it. Only
    /// counts when the disk is new; without one nothing boots.
    pub image: Option<String>,
    /// The `cidata` image in the drive, if there is one.
    pub cidata: Option<Cidata>,
}

/// All Talos machines of the lab; clones share them.
#[derive(Clone)]
pub struct TalosMachines {
    _clock: Clock,
}

impl TalosMachines {
    /// No machines yet.
    pub fn new(clock: Clock, _network: Network, _faults: Faults, _calls: Calls) -> Self {
        Self { _clock: clock }
    }

    /// Switches a machine on; one that is on already stays as it is. What its disk holds is kept per `vm` until `remove`.
    pub fn power_on(&self, _start: PowerOn) {}

    /// Cuts a machine's power.
    pub fn power_off(&self, _vm: &str) {}

    /// Presses the reset button.
    pub fn restart(&self, _vm: &str) {}

    /// Takes the image out of the drive while the machine runs.
    pub fn eject(&self, _vm: &str) {}

    /// Takes a machine away with its disk.
    pub fn remove(&self, _vm: &str) {}

    /// Whether a machine is on: it may have switched itself off.
    pub fn is_on(&self, _vm: &str) -> bool {
        false
    }

    /// What the guest agent reports: network card, address and length of the prefix of each; empty while no agent answers.
    pub fn addresses(&self, _vm: &str) -> Vec<(String, IpAddr, u8)> {
        Vec::new()
    }

    /// The truth for `GET /estate`.
    pub fn estate(&self) -> Value {
        json!([])
    }
}
