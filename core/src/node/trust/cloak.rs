//! Cloaking, and that the owner switches it off for a while: then the node answers who asks who is
//! there.
//!
//! Owns the window, which is kept in memory alone, and how often is answered. Does not own what a
//! statement must say (`crate::trust`), nor the bytes of a probe (`crate::wire`). Invariants: while
//! there is no window a probe is what any stranger's datagram is, before anybody looks at it; the
//! window ends with the ownership, and by itself.

use super::super::{Node, NodeError};
use super::{Trust, TrustEvent};
use crate::base::{Ecn, Path, Time};
use crate::transport::Transmit;
use crate::trust::{CloakState, WallClock};
use crate::wire::identify::{Identification, Probe};
use alloc::collections::VecDeque;
use core::time::Duration;

/// What a node says that it is.
const PRODUCT: &str = concat!("librit ", env!("CARGO_PKG_VERSION"));
/// One answer in so long, and as many as so at once.
const ANSWER_EVERY: Duration = Duration::from_millis(100);
const BURST: usize = 10;

/// Whether the device may be found, and what it last took of its owner about that.
#[derive(Default)]
pub(super) struct Cloak {
    pub(super) state: CloakState,
    window: Option<Window>,
}

/// The cloak is off.
struct Window {
    until: Time,
    /// The same by the owner's clock.
    ends_s: u64,
    /// When the next answer would be due if they came evenly.
    due: Time,
    answers: VecDeque<(Path, Probe)>,
}

/// What a statement asked for.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) state: CloakState,
    /// Until when; in the past where it closes.
    until: Time,
    ends_s: u64,
}

impl Opening {
    pub(super) fn new(
        state: CloakState,
        (for_s, ends_s): (u32, u64),
        clock: &WallClock,
        now: Time,
    ) -> Self {
        let until = now + Duration::from_secs(for_s.into());
        let until = clock.when(ends_s).map_or(until, |end| until.min(end));
        Opening { state, until, ends_s }
    }
}

impl Cloak {
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.window.as_ref().map(|window| window.until)
    }

    /// Whether it was off.
    fn close(&mut self) -> bool {
        self.window.take().is_some()
    }
}

impl Window {
    /// Whether one more may be answered: the generic cell rate algorithm.
    fn may_answer(&mut self, now: Time) -> bool {
        let early = ANSWER_EVERY * (BURST as u32 - 1);
        if self.answers.len() >= BURST || self.due > now + early {
            return false;
        }
        self.due = self.due.max(now) + ANSWER_EVERY;
        true
    }
}

impl Trust {
    fn open_window(&mut self, now: Time) -> Option<&mut Window> {
        let window = self.device.as_mut()?.cloak.window.as_mut()?;
        Some(window).filter(|window| now < window.until)
    }
}

impl Node {
    /// What was stored of the statements by which the owner lets this device be found, so that none
    /// works twice; after [`Node::set_trust`]. `State`: this node obeys no owner.
    pub fn set_cloak_state(&mut self, state: CloakState) -> Result<(), NodeError> {
        let device = self.trust.device.as_mut().ok_or(NodeError::State)?;
        device.cloak.state = state;
        Ok(())
    }

    /// For how long the node will answer who asks who is there; `None`: it answers nobody.
    pub fn uncloaked_for(&self, now: Time) -> Option<Duration> {
        let window = self.trust.device.as_ref()?.cloak.window.as_ref()?;
        Some(window.until.since(now)).filter(|left| !left.is_zero())
    }

    /// Whether a datagram needs nobody else to look at it: it was a probe that is answered, or came
    /// where nothing but a probe is expected.
    pub(in super::super) fn take_probe(&mut self, path: Path, datagram: &[u8], now: Time) -> bool {
        let window = self.trust.open_window(now).filter(|_| !path.is_tls());
        let is_for_probes = path.socket == Path::IDENTIFY;
        let probe = window.and_then(|window| Some((window, Probe::parse(datagram).ok()?)));
        let Some((window, probe)) = probe else {
            self.endpoint.datagrams_dropped += u64::from(is_for_probes);
            return is_for_probes;
        };
        if window.may_answer(now) {
            window.answers.push_back((path, probe));
        } else {
            self.endpoint.datagrams_dropped += 1;
        }
        true
    }

    /// The next answer, if there is room for it in `buf`.
    pub(in super::super) fn poll_identification(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let window = self.trust.device.as_mut()?.cloak.window.as_mut()?;
        let (path, probe) = window.answers.pop_front()?;
        let key = self.endpoint.public_key();
        let len = Identification::new(&probe, key, PRODUCT).write(buf).ok()?;
        Some(Transmit { path, len, ecn: Ecn::NotEct })
    }

    /// A statement is stored: what it says is so.
    pub(super) fn set_cloak(&mut self, opening: Opening, now: Time) {
        let Some(device) = &mut self.trust.device else { return };
        let Opening { state, until, ends_s } = opening;
        device.cloak.state = state;
        if until <= now {
            return self.cloak_at_once();
        }
        let answers = VecDeque::with_capacity(BURST);
        device.cloak.window = Some(Window { until, ends_s, due: now, answers });
        self.tell_cloak(now);
    }

    /// There is nothing any more that it could be off by.
    pub(super) fn cloak_at_once(&mut self) {
        let cloak = self.trust.device.as_mut().map(|device| &mut device.cloak);
        if cloak.is_some_and(Cloak::close) {
            self.tell_owner_event(TrustEvent::Cloaked);
        }
    }

    /// The time came, or more is known of it: the window is over, or is sooner.
    pub(super) fn check_cloak(&mut self, now: Time) {
        let clock = &self.trust.clock;
        let cloak = self.trust.device.as_mut().map(|device| &mut device.cloak);
        let Some(window) = cloak.and_then(|cloak| cloak.window.as_mut()) else { return };
        let end = clock.when(window.ends_s).unwrap_or(window.until);
        let is_sooner = end < window.until;
        window.until = window.until.min(end);
        if window.until <= now {
            self.cloak_at_once();
        } else if is_sooner {
            self.tell_cloak(now);
        }
    }

    fn tell_cloak(&mut self, now: Time) {
        let left_s = self.uncloaked_for(now).unwrap_or_default().as_millis().div_ceil(1000);
        self.tell_owner_event(TrustEvent::Uncloaked { left_s: left_s as u32 });
    }
}
