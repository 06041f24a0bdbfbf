//! What the tests share: the deterministic simulator, the fuzz targets' bodies, test vectors.
//!
//! Everything here drives `rit-core` through its public interface, as an integrator would.

pub mod fuzz;
pub mod heap;
pub mod sim;
pub mod source;
pub mod vectors;
