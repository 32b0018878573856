//! Nodes, lockdown and cluster against the lab, whose machines act on what they get.

mod accident;
mod certificates;
mod life;
mod proof;
mod restore;
mod site;
mod upgrade;
