//! Who a node is and whom it believes: its stored identity, and the static list of allowed peers,
//! and who may use a relay.
//!
//! Owns the identity's stored form and the list. Does not own storage itself, signing (`crypto`),
//! or the check during the handshake (`handshake`). Grants, claims and revocation will live here.

mod allow_list;
mod identity;
mod relay_token;

pub use allow_list::{AllowError, AllowList};
pub use identity::{IDENTITY_LEN, Identity, IdentityError};
pub use relay_token::{
    issue_relay_token, relay_end_key, relay_pseudonym, sign_bind, sign_bound, verify_bind,
    verify_bound, verify_relay_token,
};
