//! The simulated machines.
