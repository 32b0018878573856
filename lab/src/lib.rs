//! The lab: a local simulation of the outside world (DESIGN.md section 8) that speaks the real protocols.
//!
//! One process runs the service APIs on loopback ports and the machines behind one CONNECT proxy. It acts on what it understands and refuses the
//! rest with `LAB-UNKNOWN`; it shares no types with the provider.

pub mod calls;
pub mod clock;
pub mod fault;
pub mod kubernetes;
pub mod machine;
pub mod network;
