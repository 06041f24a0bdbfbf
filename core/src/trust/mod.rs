//! Who a node is and whom it believes: its stored identity, the static list of allowed peers, who
//! may use a relay; and, of a device, its owner and what the owner grants.
//!
//! Owns the identity's stored form, the list, and with the feature `trust` all that an owner signs:
//! claims, grants, revocation, transfer, cloaking, and a device's decision by them (PROTOCOL.md,
//! sections 11 and 12). Does not own storage itself, signing (`crypto`), or the check during the
//! handshake (`handshake`).

mod allow_list;
#[cfg(feature = "trust")]
mod cbor;
#[cfg(feature = "trust")]
mod chain;
#[cfg(feature = "trust")]
mod claim;
#[cfg(feature = "trust")]
mod claim_code;
#[cfg(feature = "trust")]
mod claim_secret;
#[cfg(feature = "trust")]
mod cloak;
#[cfg(feature = "trust")]
mod cose;
#[cfg(feature = "trust")]
mod grant;
mod identity;
#[cfg(feature = "trust")]
mod note_error;
mod relay_token;
#[cfg(feature = "trust")]
mod revocation;
#[cfg(feature = "trust")]
mod services;
#[cfg(feature = "trust")]
mod state;
#[cfg(feature = "trust")]
mod stored;
#[cfg(all(test, feature = "trust", feature = "p256"))]
mod test_keys;
#[cfg(feature = "trust")]
mod transfer;
#[cfg(feature = "trust")]
mod wall_time;

pub use allow_list::{AllowError, AllowList};
pub use identity::{IDENTITY_LEN, Identity, IdentityError};
pub use relay_token::{
    issue_relay_token, relay_end_key, relay_pseudonym, sign_bind, sign_bound, verify_bind,
    verify_bound, verify_relay_token,
};

#[cfg(feature = "trust")]
pub use self::{
    cbor::CborError,
    chain::{
        CHAIN_GRANTS_MAX, CHAIN_LEN_MAX, GrantError, Permit, append_grant, authorize, decode_chain,
    },
    claim::{
        CLAIM_FAILURES_MAX, CLAIM_LEN_MAX, CLAIM_NONCE_LEN, Claim, ClaimError, Claiming,
        sign_claim, verify_claimed,
    },
    claim_code::{CLAIM_CODE_TEXT_LEN, ClaimCode},
    claim_secret::{CLAIM_SECRET_LEN, CLAIM_SECRET_TEXT_LEN, ClaimSecret, ClaimTextError},
    cloak::{
        CLOAK_AHEAD_MAX_S, CLOAK_FOR_MAX_S, CLOAK_LEN_MAX, CLOAK_STATE_LEN, CloakError,
        CloakSignError, CloakState, CloakStatement, sign_cloak,
    },
    cose::StatementError,
    grant::{
        DEPTH_MAX, GRANT_LEN_MAX, Grant, GrantFormError, GrantId, GrantSignError, Rights, Terms,
    },
    note_error::NoteError,
    revocation::{
        REVOCATION_LEN_MAX, REVOKED_IDS_MAX, REVOKED_KEYS_MAX, RevocationError, RevocationList,
        RevocationSignError, Revocations,
    },
    services::{GRANT_SERVICES_MAX, ServiceList, Services, ServicesError},
    state::{OwnerError, TRUST_STATE_LEN_MAX, TrustState, TrustStateError},
    transfer::{TRANSFER_LEN_MAX, Transfer, TransferError, sign_transfer},
    wall_time::{
        FRESH, TIME_ANSWER, TIME_LEN_MAX, TIME_NONCE_LEN, TimeStatement, WallClock, WallTime,
        WallTimeError, sign_time,
    },
};
