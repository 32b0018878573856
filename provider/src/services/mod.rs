//! One module per outside service: its client and the resources that use it. Services never import each other.

pub mod attribute;
pub mod cloudflare;
pub mod dns;
pub mod factory;
pub mod flatcar;
pub mod kubeadm;
pub mod kubernetes;
pub mod lockdown;
pub mod operator;
pub mod proxmox;
pub mod scaleway;
pub mod secret;
pub mod talos;
