//! A value that must not be shown: masked in `Debug` and, once made, in every log line of the process.

pub use strata_framework::Secret;
