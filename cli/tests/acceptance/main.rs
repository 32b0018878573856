//! The main job, end to end, with the real `terraform`, `kubectl` and `bootstrap.sh` against the lab.
//!
//! Each test works in a folder of its own (`harness::Project`), so they run side by side. What a toy would fail is in here.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bucket;
mod canary;
mod cold_start;
mod day_two;
mod examples;
mod failures;
mod faults;
mod harness;
mod loss;
mod mutations;
mod node_rescue;
mod rescue_install;
mod rollback;
mod sealing;
mod table;
mod talos;
mod talos_cold;
mod talos_day_two;
mod talos_faults;
mod talos_lockdown;
mod talos_vpn;
mod wrong_files;
