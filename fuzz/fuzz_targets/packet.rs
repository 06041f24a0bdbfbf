//! Fuzz target `packet`: see `rit_tests::fuzz::packet`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::packet(data));
