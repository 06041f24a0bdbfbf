//! Fuzz target `connection`: see `rit_tests::fuzz::connection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::connection(data));
