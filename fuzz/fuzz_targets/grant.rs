//! Fuzz target `grant`: see `rit_tests::fuzz::grant`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::grant(data));
