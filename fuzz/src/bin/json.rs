//! The target `json`: see the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| strata_fuzz::json(input));
