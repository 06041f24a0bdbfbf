//! Room in memory, asked for before it is needed, where running out must not end the program.
//!
//! Owns the question and nothing else. The collections of this crate, and the TLS library, ask for
//! memory in a way that ends the program when there is none. So whoever is about to keep some asks
//! here first, and does not do it if the answer is no. As one thread drives all nodes of such a
//! program, nobody else takes the memory in between. Invariant: whoever keeps memory leaves
//! [`Reserve::spare`] bytes free in one piece, which is more than any call needs that keeps none:
//! what comes, timeouts, reading and closing always work.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What is to stay free. All zero: memory is not counted, and nothing asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// In one piece, whatever is kept. A datagram is not looked at where less than half of it is
    /// free, as if it were lost.
    pub spare: usize,
    /// What a connection takes until it is up, with all that TLS needs on the way.
    pub connection: usize,
    /// What TLS needs in passing for the next message of a handshake.
    pub step: usize,
}

impl Reserve {
    /// Whether so many bytes may be kept.
    pub fn allows(&self, bytes: usize) -> bool {
        self.spare == 0 || bytes == 0 || has_room(bytes.saturating_add(self.spare))
    }

    /// Whether there may be another connection.
    pub fn allows_connection(&self) -> bool {
        self.allows(self.connection)
    }

    /// Whether TLS may go on.
    pub fn allows_step(&self) -> bool {
        self.allows(self.step)
    }

    /// Whether there is enough for what a datagram may bring.
    pub fn allows_datagram(&self) -> bool {
        self.spare == 0 || has_room(self.spare / 2)
    }
}

/// Aligned as nothing else is, so that a test's allocator tells these requests from all others.
#[repr(align(64))]
struct Piece {
    _bytes: [u8; 64],
}

/// Whether so many bytes could be had now in one piece.
pub fn has_room(bytes: usize) -> bool {
    let mut pieces = Vec::<Piece>::new();
    let has_room = pieces.try_reserve_exact(bytes.div_ceil(size_of::<Piece>())).is_ok();
    // Seen from outside, or the compiler would leave the request out and say yes.
    core::hint::black_box(&mut pieces);
    has_room
}

/// Appends to a queue that holds few things as a rule. It never has room for many more than it held
/// at once, where memory is counted.
pub fn push_few<T>(queue: &mut VecDeque<T>, item: T) {
    if cfg!(not(feature = "std")) {
        queue.reserve_exact(1);
    }
    queue.push_back(item);
}

/// The bytes that a vector with this length and capacity asks for when it takes one more, at most.
pub fn growth<T>(len: usize, capacity: usize) -> usize {
    if len < capacity { 0 } else { (capacity * 2).max(4) * size_of::<T>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_reserve_nothing_is_asked_and_with_one_the_answer_is_true() {
        let none = Reserve::default();
        assert!(none.allows(usize::MAX) && none.allows_datagram() && none.allows_step());
        let some = Reserve { spare: 1000, connection: 1 << (usize::BITS - 1), step: 10 };
        assert!(some.allows(0) && some.allows(10_000) && some.allows_datagram());
        assert!(some.allows_step() && !some.allows_connection());
        assert!(has_room(0) && !has_room(1 << (usize::BITS - 1)));
    }

    #[test]
    fn growth_is_what_a_vector_asks_for() {
        let mut list = Vec::<u64>::new();
        for i in 0..100 {
            let (expected, before) = (growth::<u64>(list.len(), list.capacity()), list.capacity());
            list.push(i);
            let asked = if list.capacity() > before { list.capacity() * 8 } else { 0 };
            assert_eq!(asked, expected);
        }
    }
}
