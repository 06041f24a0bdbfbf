//! Reaching the peer: the addresses it may be at, tried all at once, and the best of those that
//! answer, for as long as the session lasts.
//!
//! Owns which address is tried when. Does not own what is sent there (`transport`), nor who knows
//! the addresses (`broker`).

mod first_flight;
#[cfg(feature = "lan")]
mod lan;
#[cfg(not(feature = "lan"))]
#[path = "no_lan.rs"]
mod lan;
mod lan_groups;
mod nat64;
#[cfg(not(feature = "search"))]
#[path = "no_port_search.rs"]
mod port_search;
#[cfg(feature = "search")]
mod port_search;
mod relay_end;
mod search;
mod traffic;

pub use first_flight::{FirstFlight, MAX_COPIES};
pub use lan::Lan;
pub use lan_groups::{LAN_GROUPS, LAN_PORT};
pub use nat64::{by_nat64, is_by_nat64};
pub use port_search::{MAX_PROBES, PortSearch, SEARCH_TIME};
pub use relay_end::{RELAY_OVERHEAD, RelayEnd, TlsUse};
pub use search::{MAX_CANDIDATES, Search, Tried};
pub use traffic::{Counts, Traffic};
