//! Proxmox VE as every service here uses it: machines, files, tasks, and what one process knows of a cluster.
//!
//! ```text
//! cx.provider.proxmox().await?                the cluster, under the token of `PROXMOX_VE_API_TOKEN`
//! proxmox.client                              its API
//! proxmox.deliver(cx, &guest, &cidata)        an image into the drive of a machine, and start it
//! proxmox.withdraw(cx, &guest)                the image out of the drive and off the storage
//! proxmox.client.interfaces(host, vm_id)      what the guest agent says of addresses
//! ```

pub mod access;
pub mod cidata;
pub mod client;
pub mod connect;
pub mod delivery;
pub mod error;
pub mod marks;
pub mod order;
pub mod task;
pub mod trust;
pub mod wire;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use self::client::Client;
use self::error::Error;
use self::wire::Machine;

pub use self::cidata::Cidata;
pub use self::delivery::{Delivered, Guest};
pub use self::marks::Marks;

/// A cluster as one process sees it.
pub struct Proxmox {
    /// The API.
    pub client: Client,
    /// One listing of all machines serves every refresh, until something is written.
    snapshot: tokio::sync::Mutex<Option<Arc<Vec<Machine>>>>,
    /// The number that is free is nobody's until it is used: one at a time.
    order: tokio::sync::Mutex<()>,
    /// All changes of access share one lock of the cluster: one at a time.
    access: tokio::sync::Mutex<()>,
    /// Machines that this process is making.
    making: Mutex<HashSet<u32>>,
}

impl Proxmox {
    /// A cluster behind this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            snapshot: tokio::sync::Mutex::default(),
            order: tokio::sync::Mutex::default(),
            access: tokio::sync::Mutex::default(),
            making: Mutex::default(),
        }
    }

    /// The listing that serves every refresh of the process. That a machine is not in it is a hint, not a proof: the token may not see it.
    pub async fn snapshot(&self) -> Result<Arc<Vec<Machine>>, Error> {
        let mut snapshot = self.snapshot.lock().await;
        if let Some(machines) = snapshot.as_ref() {
            return Ok(machines.clone());
        }
        let machines = Arc::new(self.client.machines().await?);
        *snapshot = Some(machines.clone());
        Ok(machines)
    }

    /// Something is about to be written: the listing is out of date.
    pub fn touched(&self) {
        // Whoever holds it is listing just now; what they get is as old as their question.
        if let Ok(mut snapshot) = self.snapshot.try_lock() {
            *snapshot = None;
        }
    }
}
