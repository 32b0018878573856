//! What every connection of the provider goes through: one dialer, one crypto provider, one HTTP client.
//!
//! - [`dial::Dialer`]: TCP, direct or through the lab's CONNECT proxy, with the refusals of FN9.
//! - [`crypto::install`]: rustls uses ring; call before the first TLS configuration (idempotent).
//! - [`connect::Connector`]: a `tower::Service<Uri>` over the dialer (plain or TLS), for hyper and for kube.
//! - [`client::Client`]: JSON over HTTP with one limiter per credential, retries of idempotent requests, redaction and tracing.

pub mod client;
pub mod connect;
pub mod crypto;
pub mod dial;
pub(crate) mod pause;
mod redirect;
mod silence;
