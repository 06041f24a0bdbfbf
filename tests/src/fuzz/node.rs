//! placeholder

/// x
pub fn node(_data: &[u8]) {}
