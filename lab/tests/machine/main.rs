//! Machines from the stub to a locked node, driven with a real SSH client as docs/delivery.md says.

mod boot;
mod cluster;
mod delivery;
mod firewall;
mod openssh;
mod world;
