//! Fuzz target `message`: see `rit_tests::fuzz::message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::message(data));
