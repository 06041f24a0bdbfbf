//! Fuzz target `identify`: see `rit_tests::fuzz::identify`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::identify(data));
