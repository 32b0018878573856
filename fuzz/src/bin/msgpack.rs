//! The target `msgpack`: see the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| strata_fuzz::msgpack(input));
