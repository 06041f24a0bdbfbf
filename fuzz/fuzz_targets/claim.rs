//! Fuzz target `claim`: see `rit_tests::fuzz::claim`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::claim(data));
