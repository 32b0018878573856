//! Chooses the process's crypto library once: ring, which builds with a C compiler alone.

/// Installs ring as rustls' default provider. A second call, or a provider installed by the caller, changes nothing.
pub fn install() {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
