//! Fuzz target `relay`: see `rit_tests::fuzz::relay`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::relay(data));
