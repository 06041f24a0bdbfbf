//! Fuzz target `cloak`: see `rit_tests::fuzz::cloak`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::cloak(data));
