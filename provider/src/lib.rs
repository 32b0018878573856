//! The Strata provider as a library: clients, store and resources. `main.rs` serves it; the cli and the tests use it directly.
//!
//! Direction of dependency: `http` and `store` know no service; a service's client knows `http`; a resource knows its client and
//! `store`; `provider.rs` knows all resources. Services never import each other.

pub mod absence;
pub mod access;
pub mod claim;
pub mod configuration;
pub mod credential;
pub mod drain;
pub mod echo;
pub mod environment;
pub mod expiry;
pub mod firewall;
pub mod functions;
pub mod headscale;
pub mod http;
pub mod kubernetes;
#[cfg(test)]
mod lab_test;
pub mod marker;
pub mod pinned;
pub mod pkcs8;
pub mod pki;
pub mod private_file;
pub mod provider;
pub mod proxmox;
pub mod reboot;
pub mod rsa_key;
pub mod s3;
pub mod sealed;
pub mod secret;
pub mod services;
pub mod snapshot;
pub mod ssh;
pub mod store;
pub mod stub;
pub mod talos;
pub mod talos_secrets;
pub mod teleport;
pub mod verb;
pub mod wipe;
