//! Running out of memory: the library as devices have it, without the standard library, on a heap
//! of any size, through a device's whole life.
//!
//! Owns the heap of one thread ([`arena`]), a device, a user and a broker on a wire in virtual time
//! ([`world`]), and the device's life ([`life`]). What must hold is in `tests/`.

pub mod arena;
pub mod life;
pub mod world;

/// The heap that a device of [`world::small_config`] needs at least, as rit.h says.
pub const MINIMUM: usize = if size_of::<usize>() == 8 { 32 * 1024 } else { 24 * 1024 };

/// What stays free whatever the library keeps, and what it asks for where it makes a connection: as
/// in ffi/src/memory.rs.
pub const SPARE: usize = if size_of::<usize>() == 8 { 2048 } else { 1536 };
/// See [`SPARE`].
pub const CONNECTION: usize = if size_of::<usize>() == 8 { 12 * 1024 } else { 10 * 1024 };
