//! A relay of the simulated world: the core's state machine, and what it passes on.
//!
//! Owns the relay's secret, so that a scenario can tell a broker about it.

use super::host::{Actor, HostId, Machine};
use super::sites::INTERNET;
use super::store::WALL_START_UNIX_S;
use super::tcp::tls_paths;
use super::world::World;
use rit_core::base::{Ecn, Path, PublicKey, Rng, Time};
use rit_core::broker::RelayService;
use rit_core::crypto::{self, Secret};
use rit_core::relay::{Limits, Relay};
use rit_core::transport::Transmit;
use std::any::Any;
use std::collections::VecDeque;

/// A relay's other address: 2001:db8:fe::1.
const IPV6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A relay.
pub struct RelayHost {
    /// The state machine.
    pub relay: Relay,
    /// Datagrams between ends, on their way.
    passing: VecDeque<(Path, Vec<u8>)>,
}

impl RelayHost {
    /// A relay that takes tokens made with `secret`.
    pub fn new(secret: [u8; 32], limits: Limits) -> Self {
        let (provider, rng) = (crypto::default_provider(), Rng::from_seed(secret));
        let secret = Secret::new(secret);
        let relay = Relay::new(provider, secret, limits, rng, WALL_START_UNIX_S, Time::ZERO);
        RelayHost { relay, passing: VecDeque::new() }
    }
}

/// Puts a relay into the world, and tells the broker of it and of no other.
pub fn add_relay(world: &mut World, broker: HostId) -> HostId {
    let secret = [0x52; 32];
    let id = world.add_actor(RelayHost::new(secret, Limits::default()));
    if world.host(broker).site != INTERNET {
        let site = world.host(broker).site;
        world.place(id, site);
        let paths = world.host(id).addresses.clone();
        tell(world, broker, RelayService { paths, secret: Secret::new(secret), rate: 0 });
        return id;
    }
    let first = world.path(id);
    world.host_mut(id).addresses.push(Path { ip: IPV6, ..first });
    let mut paths = world.host(id).addresses.clone();
    paths.extend(tls_paths(world.host(id)));
    world.host_mut(id).tcp.is_listening = true;
    tell(world, broker, RelayService { paths, secret: Secret::new(secret), rate: 0 });
    id
}

fn tell(world: &mut World, broker: HostId, relay: RelayService) {
    let Machine::Broker(broker, _) = &mut world.host_mut(broker).machine else {
        panic!("it is a broker")
    };
    broker.set_relays(vec![relay]);
}

impl Actor for RelayHost {
    /// It has none.
    fn public_key(&self) -> PublicKey {
        PublicKey([0; 32])
    }

    fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        if let Some(forward) = self.relay.handle_datagram(path, datagram, now) {
            self.passing.push_back((forward.to, datagram[forward.range].to_vec()));
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        self.relay.handle_timeout(now);
    }

    fn poll_transmit(&mut self, buf: &mut [u8], _now: Time) -> Option<Transmit> {
        if let Some(transmit) = self.relay.poll_transmit(buf) {
            return Some(transmit);
        }
        let (path, datagram) = self.passing.pop_front()?;
        buf[..datagram.len()].copy_from_slice(&datagram);
        Some(Transmit { path, len: datagram.len(), ecn: Ecn::NotEct })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.relay.poll_timeout()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
