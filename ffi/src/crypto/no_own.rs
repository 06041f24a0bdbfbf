//! In place of `own` where the integrator's crypto is left out: there must be none.

use super::rit_crypto;
use crate::error::Error;
use alloc::sync::Arc;
use rit_core::crypto::{self, Provider, Signer};

/// What a node computes with: what is built in.
pub(crate) struct Used;

impl Used {
    /// Refuses a table.
    ///
    /// # Safety
    /// None: it is not read.
    pub(crate) unsafe fn read(crypto: *const rit_crypto) -> Result<Used, Error> {
        if crypto.is_null() {
            return Ok(Used);
        }
        Err(Error::Argument("rit_io.crypto, in a library built without own-crypto,"))
    }

    /// The provider.
    ///
    /// # Safety
    /// None: it is there for ever.
    pub(crate) unsafe fn provider(&self) -> &'static dyn Provider {
        crypto::default_provider()
    }

    /// No key is held elsewhere.
    ///
    /// # Safety
    /// None: nothing is read.
    pub(crate) unsafe fn signer(&self) -> Result<Option<Arc<dyn Signer>>, Error> {
        Ok(None)
    }
}
