//! Fuzz target `node`: see `rit_tests::fuzz::node`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::node(data));
