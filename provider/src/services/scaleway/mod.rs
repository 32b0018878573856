//! Scaleway Elastic Metal and the IAM SSH keys it installs: <https://www.scaleway.com/en/developers/api/elastic-metal/>.
//!
//! `client` speaks HTTP in the words of `wire`; `order` places an order at most once; `poll` shares list calls between waiters; the rest are resources.

mod accessories;
pub mod bmc;
pub mod catalogue;
pub mod client;
mod contact;
mod converge;
pub mod fabric;
pub mod offer;
pub mod order;
pub mod os;
pub mod poll;
mod rescue;
pub mod server;
pub mod ssh_key;
pub mod wire;
