//! A LAN with a gateway: device, user and another one behind a box, their owner and their broker
//! outside, and inside a broker and relay for when the line is cut.
//!
//! Owns setting the stage and cutting the line. What happens then is the scenario's.

use super::estate::{Estate, LIMIT};
use super::host::{Actor, HostId};
use super::nat::{Filtering, Mapping, NatConfig};
use super::net::LinkConfig;
use super::relay::add_relay;
use super::sites::{INTERNET, SiteId};
use super::world::World;
use rit_core::base::Time;
use rit_core::node::{BrokerAddress, Config, Event, Reason, SessionId};
use std::time::Duration;

/// The cast, and the gateway.
pub struct Lan {
    /// Of whom the owner and the broker are outside.
    pub estate: Estate,
    /// Broker for the LAN, with a relay.
    pub gateway: HostId,
    /// Where all the others are.
    pub site: SiteId,
    outside: LinkConfig,
}

impl Lan {
    /// All are online at the outer broker and know the gateway, which knows them; the owner has
    /// claimed the device.
    pub fn new(seed: u64) -> Self {
        Self::with_gateway(seed, |world, site| {
            let gateway = world.add_broker(Config::default());
            world.place(gateway, site);
            add_relay(world, gateway);
            gateway
        })
    }

    /// The same with somebody else in the gateway's place.
    pub fn with_actor(seed: u64, actor: impl Actor + 'static) -> Self {
        Self::with_gateway(seed, |world, site| {
            let gateway = world.add_actor(actor);
            world.place(gateway, site);
            gateway
        })
    }

    fn with_gateway(seed: u64, gateway: impl FnOnce(&mut World, SiteId) -> HostId) -> Self {
        let outside = LinkConfig::clean(Duration::from_millis(20));
        let mut world = World::new(seed, outside.clone());
        let broker = world.add_broker(Config::default());
        add_relay(&mut world, broker);
        let home = NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
        let site = world.add_site(INTERNET, &[NatConfig { is_hairpinning: false, ..home }]);
        world.net.set_site_default(site, LinkConfig::clean(Duration::from_millis(1)));
        let gateway = gateway(&mut world, site);
        let estate = Estate::cast(world, broker);
        let mut lan = Lan { estate, gateway, site, outside };
        for member in lan.members() {
            lan.estate.world.place(member, site);
            lan.tell_addresses(member);
        }
        for (n, host) in lan.estate.nodes().into_iter().enumerate() {
            lan.estate.world.store(broker).add_code(&format!("code-{n}"), 3600);
            lan.estate.connect(host, Some(&format!("code-{n}")));
        }
        lan.estate.all_online();
        lan.estate.claim();
        for member in lan.members() {
            lan.admit(member);
            lan.know(member);
        }
        lan
    }

    /// Who is inside.
    pub fn members(&self) -> [HostId; 3] {
        [self.estate.device, self.estate.user, self.estate.other]
    }

    /// Tells a host its own addresses, as its port does.
    pub fn tell_addresses(&mut self, host: HostId) {
        let own = self.estate.world.host(host).addresses.clone();
        self.estate.world.with(host, |node, _, now| {
            node.set_local_paths(&own, now).expect("memory is not counted here");
        });
    }

    /// The gateway takes this node, if it is a broker.
    pub fn admit(&mut self, host: HostId) {
        let key = self.estate.world.key(host);
        if let super::host::Machine::Broker(_, store) =
            &mut self.estate.world.host_mut(self.gateway).machine
        {
            store.enrolled.insert(key);
        }
    }

    /// Where the gateway is.
    pub fn address(&self) -> BrokerAddress {
        self.estate.world.broker_address(self.gateway)
    }

    /// Tells a node of the gateway.
    pub fn know(&mut self, host: HostId) {
        let address = self.address();
        self.know_at(host, address, None);
    }

    /// Tells a node of a gateway at this address.
    pub fn know_at(&mut self, host: HostId, address: BrokerAddress, code: Option<&str>) {
        self.estate.world.with(host, |node, _, now| {
            node.gateway_connect(address, code, now).expect("the address is sound");
        });
    }

    /// Nothing passes between the LAN and the internet any more.
    pub fn cut(&mut self) {
        self.estate.world.net.set_default(LinkConfig { up: false, ..self.outside.clone() });
    }

    /// It does again.
    pub fn heal(&mut self) {
        self.estate.world.net.set_default(self.outside.clone());
    }

    /// Cuts the line and waits until all members are online at the gateway.
    pub fn cut_and_wait(&mut self) {
        self.estate.forget();
        self.cut();
        for member in self.members() {
            self.estate.expect(member, "the gateway", is_gateway_online);
        }
    }

    /// Heals it and waits until all members are online at the broker.
    pub fn heal_and_wait(&mut self) {
        self.estate.forget();
        self.heal();
        for member in self.members() {
            self.estate.expect(member, "the broker", |event| *event == Event::BrokerOnline);
        }
    }

    /// Lets `limit` pass until the session is up at its end; whether it is.
    pub fn comes_up(&mut self, host: HostId, asked: SessionId, limit: Duration) -> bool {
        let is_it =
            |event: &Event| matches!(event, Event::SessionUp { session, .. } if *session == asked);
        self.estate.world.run_until(limit, |world| world.host(host).has_event(is_it))
    }

    /// When a host was last told so.
    pub fn told_at(&self, host: HostId, is_it: impl Fn(&Event) -> bool) -> Option<Time> {
        let events = &self.estate.world.host(host).events;
        events.iter().rev().find(|(_, event)| is_it(event)).map(|(at, _)| *at)
    }

    /// How often a host was told so.
    pub fn count(&self, host: HostId, is_it: impl Fn(&Event) -> bool) -> usize {
        let events = &self.estate.world.host(host).events;
        events.iter().filter(|(_, event)| is_it(event)).count()
    }

    /// Opens a stream of that many bytes each way, to run while the scenario goes on.
    pub fn begin_transfer(&mut self, host: HostId, session: SessionId, bytes: u64) {
        self.estate.world.with(host, |node, app, now| {
            app.open(node, session, (super::estate::WEB, 9, bytes, bytes), now)
                .expect("the session is up");
        });
    }

    /// Waits until no stream of a host is left; each was checked byte by byte.
    pub fn end_transfers(&mut self, host: HostId, count: usize) {
        let is_met = self.estate.world.run_until(LIMIT, |world| world.app_ref(host).is_idle());
        assert!(is_met, "seed {}: it goes on: {}", self.estate.world.seed, self.estate.events());
        let app = self.estate.world.app_ref(host);
        let broken = app.done.iter().filter(|flow| flow.reset.or(flow.stopped).is_some()).count();
        assert_eq!((app.done.len(), broken), (count, 0), "seed {}", self.estate.world.seed);
    }
}

/// Whether the gateway took the node.
pub fn is_gateway_online(event: &Event) -> bool {
    *event == Event::GatewayOnline
}

/// Whether the gateway was left because the broker is back.
pub fn is_gateway_left(event: &Event) -> bool {
    *event == Event::GatewayOffline(Reason::Local)
}

/// Whether the session was lost, whatever the reason.
pub fn is_lost(event: &Event) -> bool {
    matches!(event, Event::SessionDown { .. })
}
