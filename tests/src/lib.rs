//! Deterministic simulator and helpers for the tests.
