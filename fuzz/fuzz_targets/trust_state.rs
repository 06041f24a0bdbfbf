//! Fuzz target `trust_state`: see `rit_tests::fuzz::trust_state`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::trust_state(data));
