//! Fuzz target `crypto_reassembly`: see `rit_tests::fuzz::crypto_reassembly`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::crypto_reassembly(data));
