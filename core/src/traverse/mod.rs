//! Reaching the peer: the addresses it may be at, tried all at once, and the best of those that
//! answer, for as long as the session lasts.
//!
//! Owns which address is tried when. Does not own what is sent there (`transport`), nor who knows
//! the addresses (`broker`).

mod first_flight;
mod lan;
mod nat64;
mod port_search;
mod relay_end;
mod search;
mod traffic;

pub use first_flight::{FirstFlight, MAX_COPIES};
pub use lan::{LAN_GROUPS, LAN_PORT, Lan};
pub use nat64::{by_nat64, is_by_nat64};
pub use port_search::{MAX_PROBES, PortSearch, SEARCH_TIME};
pub use relay_end::{RELAY_OVERHEAD, RelayEnd, TlsUse};
pub use search::{MAX_CANDIDATES, Search, Tried};
pub use traffic::{Counts, Traffic};
