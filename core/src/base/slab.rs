//! Slots with generations, so that a handle used after its thing is gone is told apart.

use super::growth;
use alloc::vec::Vec;

/// Slot and generation in one number; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

impl Handle {
    /// Its slot: the same for all that were in it, one after the other.
    #[cfg(feature = "media")]
    pub(crate) fn slot(self) -> u32 {
        self.0 as u32
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// A bounded table of `T` by [`Handle`].
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    limit: usize,
}

impl<T> Slab<T> {
    /// An empty table that holds at most `limit` values.
    pub fn new(limit: usize) -> Self {
        Slab { slots: Vec::new(), free: Vec::new(), limit }
    }

    /// Stores `value`; gives it back if the table is full.
    pub fn insert(&mut self, value: T) -> Result<Handle, T> {
        if self.len() >= self.limit {
            return Err(value);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                if cfg!(not(feature = "std")) {
                    self.slots.reserve_exact(1);
                }
                // Removing never needs memory.
                self.free.reserve(self.slots.len() + 1);
                self.slots.push(Slot { generation: 1, value: None });
                (self.slots.len() - 1) as u32
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        Ok(Handle((u64::from(slot.generation) << 32) | u64::from(index)))
    }

    /// The memory that another value needs.
    pub fn growth(&self) -> usize {
        if self.free.is_empty() {
            growth::<Slot<T>>(self.slots.len(), self.slots.capacity())
        } else {
            0
        }
    }

    /// The value, unless it was removed.
    pub fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.0 as u32 as usize)?;
        if u64::from(slot.generation) == handle.0 >> 32 { slot.value.as_ref() } else { None }
    }

    /// The value to change, unless it was removed.
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slots.get_mut(handle.0 as u32 as usize)?;
        if u64::from(slot.generation) == handle.0 >> 32 { slot.value.as_mut() } else { None }
    }

    /// Takes the value out; its handle is stale from now on.
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        let index = handle.0 as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if u64::from(slot.generation) != handle.0 >> 32 {
            return None;
        }
        let value = slot.value.take()?;
        // Generation 0 is skipped so that no handle is ever 0.
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(index);
        Some(value)
    }

    /// How many values are stored.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `insert` would be refused.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// All values with their handles, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let handle = Handle((u64::from(slot.generation) << 32) | index as u64);
            slot.value.as_ref().map(|value| (handle, value))
        })
    }

    /// The handles in use, in slot order.
    pub fn handles(&self) -> Vec<Handle> {
        self.iter().map(|(handle, _)| handle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_handles_and_limit() {
        let mut slab = Slab::new(2);
        let a = slab.insert('a').unwrap();
        let b = slab.insert('b').unwrap();
        assert_eq!(slab.insert('c'), Err('c'));
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        let c = slab.insert('c').unwrap();
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!(slab.get(Handle(0)), None);
    }
}
