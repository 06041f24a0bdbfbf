//! Fuzz target `frame`: see `rit_tests::fuzz::frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::frame(data));
