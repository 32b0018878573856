//! Mistakes in a schema do not compile, and the compiler says what is wrong in our words.
//!
//! Each file in `mistakes/` is compiled; what rustc prints is beside it. After a change of a message:
//! `TRYBUILD=overwrite cargo test -p strata-derive --test mistakes`, then read the difference.

#[test]
fn the_compiler_says_what_is_wrong() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
