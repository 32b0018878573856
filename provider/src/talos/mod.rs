//! Talos' own API (apid), as the provider speaks it: certificates minted from the cluster's bundle, one connection per step, errors that say what to do.

pub mod identity;
