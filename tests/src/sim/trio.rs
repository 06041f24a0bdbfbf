//! The usual cast: a broker, a device that offers services, a user that reaches them.
//!
//! Owns setting the stage (enrolment, allow-list, services, a session); what happens then is the
//! scenario's.

use super::host::{HostId, Machine};
use super::hostile::HostileBroker;
use super::nat::NatConfig;
use super::net::LinkConfig;
use super::relay::add_relay;
use super::sites::INTERNET;
use super::world::World;
use rit_core::base::Path;
use rit_core::node::{Config, Event, ServiceId, SessionId};
use rit_core::wire::message::ServiceInfo;
use std::time::Duration;

/// The service every device offers, a name that is searched for in captures.
pub const SERVICE: &str = "secret-service-name";
/// The device's one-time code.
pub const DEVICE_CODE: &str = "device-code-1";
/// The user's one-time code.
pub const USER_CODE: &str = "user-code-1";

/// The address of a broker that has IPv6 too.
const BROKER_IPV6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Broker, device and user in a world.
pub struct Trio {
    /// Where they live.
    pub world: World,
    /// Introduces.
    pub broker: HostId,
    /// Offers [`SERVICE`].
    pub device: HostId,
    /// Reaches it.
    pub user: HostId,
    /// The device's service.
    pub service: ServiceId,
}

impl Trio {
    /// Three hosts that know of each other, not yet connected.
    pub fn new(seed: u64, links: LinkConfig) -> Self {
        Self::with_config(seed, links, Config::default())
    }

    /// The same with a configuration for device and user.
    pub fn with_config(seed: u64, links: LinkConfig, config: Config) -> Self {
        Self::in_world(World::new(seed, links), config)
    }

    /// The same in a world that is there already.
    pub fn in_world(mut world: World, config: Config) -> Self {
        let broker = world.add_broker(Config::default());
        let mut trio = Self::cast(world, broker, config);
        trio.world.store(broker).add_code(DEVICE_CODE, 3600);
        trio.world.store(broker).add_code(USER_CODE, 3600);
        trio
    }

    /// A device and a user with a broker that is none.
    pub fn with_hostile_broker(seed: u64, links: LinkConfig) -> Self {
        let mut world = World::new(seed, links);
        let broker = world.add_actor(HostileBroker::new([seed as u8; 32]));
        Self::cast(world, broker, Config::default())
    }

    /// Device and user each at a site of their own behind boxes like these; without any they are on
    /// the internet. The broker is there, with two IPv4 sockets and one of IPv6, and a relay; both
    /// listen for TCP too.
    pub fn behind(seed: u64, links: LinkConfig, device: &[NatConfig], user: &[NatConfig]) -> Self {
        Self::behind_with(seed, links, Config::default(), device, user)
    }

    /// The same with a configuration for device and user.
    pub fn behind_with(
        seed: u64,
        links: LinkConfig,
        config: Config,
        device: &[NatConfig],
        user: &[NatConfig],
    ) -> Self {
        Self::in_world(World::new(seed, links), config).behind_boxes(device, user)
    }

    /// Device and user of a new trio taken behind boxes, and the broker made as complete as
    /// [`Trio::behind`] has it.
    pub fn behind_boxes(self, device: &[NatConfig], user: &[NatConfig]) -> Self {
        let mut trio = self;
        let broker = trio.world.host_mut(trio.broker);
        let first = broker.path();
        let second = Path { port: first.port + 1000, ..first };
        broker.addresses.push(second);
        if let Machine::Broker(broker, _) = &mut broker.machine {
            broker.set_others(vec![second]);
        }
        broker.addresses.push(Path { ip: BROKER_IPV6, ..first });
        broker.tcp.is_listening = true;
        add_relay(&mut trio.world, trio.broker);
        trio.place(trio.device, device);
        trio.place(trio.user, user);
        trio
    }

    /// Takes a host to a site of its own behind boxes like these, and tells it its addresses there.
    pub fn place(&mut self, host: HostId, boxes: &[NatConfig]) {
        if !boxes.is_empty() {
            let site = self.world.add_site(INTERNET, boxes);
            self.world.place(host, site);
        }
        self.tell_addresses(host);
    }

    /// Tells a host its own addresses, as its port does.
    pub fn tell_addresses(&mut self, host: HostId) {
        let own = self.world.host(host).addresses.clone();
        self.world.with(host, |node, _, now| {
            node.set_local_paths(&own, now).expect("memory is not counted here");
        });
    }

    fn cast(mut world: World, broker: HostId, config: Config) -> Self {
        let device = world.add_node(config.clone());
        let user = world.add_node(config);
        let user_key = world.key(user);
        let service = world.with(device, |node, _, now| {
            node.peer_allow(user_key).expect("there is room for a peer");
            node.service_add(service_info(SERVICE), now).expect("there is room for a service")
        });
        Trio { world, broker, device, user, service }
    }

    /// Points device and user at the broker with their codes.
    pub fn connect(&mut self) {
        self.connect_host(self.device, Some(DEVICE_CODE));
        self.connect_host(self.user, Some(USER_CODE));
    }

    /// Points one host at the broker.
    pub fn connect_host(&mut self, host: HostId, code: Option<&str>) {
        let broker = self.world.broker_address_for(self.broker, host);
        self.world.with(host, |node, _, now| {
            node.broker_connect(broker, code, now).expect("the broker's address is sound");
        });
    }

    /// Connects both and waits until both are enrolled and online.
    pub fn online(&mut self) {
        self.connect();
        let hosts = [self.device, self.user];
        let seed = self.world.seed;
        let is_met = self.world.run_until(Duration::from_secs(60), |world| {
            hosts.iter().all(|&host| {
                let host = world.host(host);
                host.has_event(|e| matches!(e, Event::BrokerOnline))
                    && host.has_event(|e| matches!(e, Event::Enrolled))
            })
        });
        assert!(is_met, "seed {seed}: not online: {:?}", self.events());
    }

    /// Asks for a session and waits until both ends say it is up; the user's end.
    pub fn session(&mut self) -> SessionId {
        let session = self.ask_for_session();
        let (user, device) = (self.user, self.device);
        let seed = self.world.seed;
        let is_met = self.world.run_until(Duration::from_secs(60), |world| {
            [user, device]
                .iter()
                .all(|&host| world.host(host).has_event(|e| matches!(e, Event::SessionUp { .. })))
        });
        assert!(is_met, "seed {seed}: no session: {:?}", self.events());
        session
    }

    /// Asks for a session.
    pub fn ask_for_session(&mut self) -> SessionId {
        let device_key = self.world.key(self.device);
        self.world.with(self.user, |node, _, now| {
            node.session_open(device_key, now).expect("a session can be asked for")
        })
    }

    /// Waits for an event at a host; panics with all events if it does not come.
    pub fn expect(&mut self, host: HostId, limit: Duration, what: &str, is_it: fn(&Event) -> bool) {
        let is_met = self.world.run_until(limit, |world| world.host(host).has_event(is_it));
        let seed = self.world.seed;
        assert!(is_met, "seed {seed}: {what} did not come: {:?}", self.events());
    }

    /// All events of device and user, for messages.
    pub fn events(&self) -> String {
        let of = |host: HostId| &self.world.host(host).events;
        let broker = &self.world.host(self.broker).broker_events;
        format!("device {:?}, user {:?}, broker {broker:?}", of(self.device), of(self.user))
    }

    /// The session a host has up; the last it was told of.
    pub fn session_of(&self, host: HostId) -> SessionId {
        let up = self.world.host(host).events.iter().rev().find_map(|(_, event)| match event {
            Event::SessionUp { session, .. } => Some(*session),
            _ => None,
        });
        up.expect("the host has a session")
    }

    /// Forgets events and streams so far, so that the scenario can start anew.
    pub fn forget(&mut self) {
        for host in [self.device, self.user] {
            self.world.host_mut(host).events.clear();
            self.world.app(host).flows.clear();
        }
    }

    /// Puts a fresh broker process with the same identity and database in the old one's place.
    pub fn restart_broker(&mut self, config: Config) {
        self.world.restart_broker(self.broker, config);
    }

    /// Opens a stream from the user that sends and asks back this many bytes.
    pub fn open_flow(&mut self, session: SessionId, key: u64, send: u64, back: u64) {
        self.world.with(self.user, |node, app, now| {
            app.open(node, session, (SERVICE, key, send, back), now)
                .expect("a stream can be opened")
        });
    }

    /// Waits until both applications have no stream left.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let (user, device) = (self.user, self.device);
        self.world.run_until(limit, |world| {
            world.app_ref(user).is_idle() && world.app_ref(device).is_idle()
        })
    }

    /// Checks that the session still carries data: one stream, both ways.
    pub fn check_alive(&mut self, session: SessionId, key: u64) {
        let user = self.user;
        let before = self.world.app(user).done.len();
        self.open_flow(session, key, 5_000, 5_000);
        let seed = self.world.seed;
        let is_met = self
            .world
            .run_until(Duration::from_secs(30), |world| world.app_ref(user).done.len() > before);
        assert!(is_met, "seed {seed}: the session is dead: {:?}", self.events());
        let flow = self.world.app(user).done.last().expect("it is done");
        assert_eq!(flow.received, 5_000);
    }
}

/// The default configuration but for what `change` does.
pub fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// A TCP service of this name.
pub fn service_info(name: &str) -> ServiceInfo {
    ServiceInfo { name: name.to_owned(), kind: 0, port: 80 }
}
