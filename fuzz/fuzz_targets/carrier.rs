//! Fuzz target `carrier`: see `rit_tests::fuzz::carrier`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::carrier(data));
