//! Nodes, lockdown and cluster against the lab, whose machines act on what they get.

mod accident;
mod life;
mod site;
