//! Secrets by name: made once into the store, known to Terraform by fingerprint and public parts alone.

pub mod ephemeral;
pub mod folder;
pub mod kind;
pub mod resource;
pub mod sealed;
