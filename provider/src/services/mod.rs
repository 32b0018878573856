//! One module per outside service: its client and the resources that use it. Services never import each other.

pub mod cloudflare;
pub mod dns;
pub mod flatcar;
pub mod scaleway;
pub mod secret;
