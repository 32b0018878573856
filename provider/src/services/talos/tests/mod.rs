//! Whole clusters of simulated Talos machines: bring-up, drift, removal, upgrades, and what goes wrong in between.

mod accident;
mod health;
mod life;
mod site;
mod upgrade;
mod vpn;
