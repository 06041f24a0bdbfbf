//! Fuzz target `revocation`: see `rit_tests::fuzz::revocation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rit_tests::fuzz::revocation(data));
