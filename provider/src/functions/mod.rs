//! The provider's functions: thin, pure, one file each. What they compute lives in `strata-cluster` and `services/flatcar`.

pub mod cluster;
