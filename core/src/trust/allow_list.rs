//! The static list of peers that may open a session.
//!
//! Bounded: each entry is memory for as long as the node lives. Empty means nobody.

use alloc::vec::Vec;

use thiserror::Error;

use crate::base::{PublicKey, Set};

/// Why a key was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AllowError {
    /// The list is at its limit; forbid another key first.
    #[error("the list of allowed peers is full")]
    Full,
}

/// Keys of the peers that may open a session with this node.
#[derive(Clone, Debug)]
pub struct AllowList {
    keys: Set<PublicKey>,
    limit: usize,
}

impl AllowList {
    /// A list that allows nobody yet and at most `limit` peers ever.
    pub fn new(limit: usize) -> Self {
        AllowList { keys: Set::new(), limit }
    }

    /// Allows `key`; allowing it twice changes nothing.
    pub fn allow(&mut self, key: PublicKey) -> Result<(), AllowError> {
        if self.keys.contains(&key) {
            return Ok(());
        }
        if self.keys.len() >= self.limit {
            return Err(AllowError::Full);
        }
        self.keys.insert(key);
        Ok(())
    }

    /// The memory that another key needs.
    pub(crate) fn growth(&self) -> usize {
        (self.keys.len() + 1) * size_of::<PublicKey>()
    }

    /// No longer allows `key`; says whether it was allowed.
    pub fn forbid(&mut self, key: &PublicKey) -> bool {
        self.keys.remove(key)
    }

    /// Whether `key` is allowed.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.keys.contains(key)
    }

    /// How many keys are allowed.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody is allowed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All allowed keys, in order.
    pub fn to_vec(&self) -> Vec<PublicKey> {
        self.keys.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_its_limit_and_no_more() {
        let key = |byte| PublicKey([byte; 32]);
        let mut list = AllowList::new(2);
        assert!(list.is_empty() && !list.contains(&key(1)));
        assert_eq!(list.allow(key(2)), Ok(()));
        assert_eq!(list.allow(key(1)), Ok(()));
        assert_eq!(list.allow(key(1)), Ok(()), "twice is once");
        assert_eq!(list.allow(key(3)), Err(AllowError::Full));
        assert!(!list.contains(&key(3)));
        assert_eq!(list.to_vec(), [key(1), key(2)]);
        assert!(list.forbid(&key(1)) && !list.forbid(&key(1)));
        assert_eq!(list.allow(key(3)), Ok(()));
        assert_eq!((list.len(), list.contains(&key(1))), (2, false));
        assert_eq!(AllowList::new(0).allow(key(1)), Err(AllowError::Full));
    }
}
