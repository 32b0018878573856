//! Core's own checks, made before core makes them: it would report them in Go terms, and taint what was created.
//!
//! Verdicts only, as pure functions: each gives the faults that core would find, and nothing else. What is done about
//! them is decided elsewhere ([`crate::repair`]). The real Terraform judges the same values in
//! `tests/terraform_legality.rs`.

mod compatible;
mod config;
mod fault;
mod marks;
mod part;
mod plan;
mod result;

#[cfg(test)]
mod tests;

pub(crate) use compatible::fits;
pub(crate) use config::config;
pub(crate) use fault::diagnostics;
pub use fault::{Fault, Law};
pub(crate) use marks::needs_elements;
pub(crate) use part::is_absent;
pub(crate) use plan::{plan, replacements};
pub(crate) use result::{deleted, object, opened, result, second_plan, stored};
