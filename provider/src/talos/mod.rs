//! Talos' own API (apid), as the provider speaks it.
//!
//! A node is dialled at its own address and verified for it; nothing is routed through another one, and the virtual address is never dialled (FN27). A
//! [`Client`] is one connection: after a reboot there is another. Texts of configurations never get into an error: a node's answer may quote them.
//! Reference: <https://docs.siderolabs.com/talos/>, "API".
//!
//! ```text
//! Client::connect(&dialer, address, &secrets)       -> Result<Client>   mutual TLS with the bundle's CA
//! Client::maintenance(&dialer, address, &trust)     -> Result<Client>   a machine without configuration, pinned or trusted on first use
//! client.{version, apply, bootstrap, services, reset, reboot, boot_id}
//! client.{members, status, alarms, leave, forfeit, remove, snapshot, recover}       etcd
//! client.{pull, upgrade, upgrade_of_old}                                             the operating system
//! client.{get, list}, client.{machine_status, configuration, schematic, hardware}   resources (COSI)
//! ```

pub mod client;
mod connect;
pub mod equipment;
mod error;
pub mod etcd;
pub mod identity;
pub mod lifecycle;
pub mod resource;

pub use self::client::Client;
pub use self::connect::Trust;
pub use self::error::Error;
