//! Who a node is and whom it believes: its stored identity, and the static list of allowed peers.
//!
//! Owns the identity's stored form and the list. Does not own storage itself, signing (`crypto`),
//! or the check during the handshake (`handshake`). Grants, claims and revocation will live here.

mod allow_list;
mod identity;

pub use allow_list::{AllowError, AllowList};
pub use identity::{IDENTITY_LEN, Identity, IdentityError};
