//! Cloudflare DNS: <https://developers.cloudflare.com/api/resources/dns/>. Only the client; the resource is in `services/dns`.

pub mod client;
