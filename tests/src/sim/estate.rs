//! A device with an owner: the cast and the acts of scenarios about trust.
//!
//! Owns setting the stage: who is there, claiming, making grants and lists as an owner's program
//! does, and asking for sessions with them. What happens then is the scenario's.

use super::host::{Actor, Disk, HostId};
use super::net::LinkConfig;
use super::trio::service_info;
use super::world::World;
use rit_core::base::PublicKey;
use rit_core::crypto;
use rit_core::node::{Config, Event, NodeError, ServiceId, SessionId, TrustEvent};
use rit_core::trust::{
    ClaimSecret, CloakState, GrantId, Revocations, Rights, Services, Terms, TrustState,
    append_grant,
};
use rit_core::wire::message::{NOTE_CLOAK, NOTE_REVOKED, NOTE_TRANSFER};
use std::time::Duration;

/// The services of the device.
pub const WEB: &str = "web";
/// The other one.
pub const SHELL: &str = "shell";
/// The secret the device was made with.
pub const SECRET: [u8; 15] = [0x5e; 15];
/// Longer than anything takes here.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Broker, device, owner and two users in a world.
pub struct Estate {
    /// Where they live.
    pub world: World,
    /// Introduces.
    pub broker: HostId,
    /// Offers [`WEB`] and [`SHELL`], and obeys whoever owns it.
    pub device: HostId,
    /// Who is to own it.
    pub owner: HostId,
    /// Somebody.
    pub user: HostId,
    /// Somebody else.
    pub other: HostId,
    /// [`WEB`] of the device.
    pub web: ServiceId,
    /// [`SHELL`] of the device.
    pub shell: ServiceId,
    grants: u8,
}

/// The device's claim secret.
pub fn secret() -> ClaimSecret {
    ClaimSecret::new(SECRET)
}

fn is_online(event: &Event) -> bool {
    matches!(event, Event::BrokerOnline)
}

/// Whether the session is over by this event.
pub fn is_down(event: &Event) -> bool {
    matches!(event, Event::SessionDown { .. })
}

/// Whether a session came up by this event.
pub fn is_up(event: &Event) -> bool {
    matches!(event, Event::SessionUp { .. })
}

impl Estate {
    /// All are online; nobody owns the device.
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(seed, LinkConfig::clean(Duration::from_millis(20)));
        let broker = world.add_broker(Config::default());
        let mut estate = Self::cast(world, broker);
        for (n, host) in estate.nodes().into_iter().enumerate() {
            estate.world.store(broker).add_code(&format!("code-{n}"), 3600);
            estate.connect(host, Some(&format!("code-{n}")));
        }
        estate.all_online();
        estate
    }

    /// The same with a broker that is none.
    pub fn with_broker(seed: u64, broker: impl Actor + 'static) -> Self {
        let mut world = World::new(seed, LinkConfig::clean(Duration::from_millis(20)));
        let broker = world.add_actor(broker);
        let mut estate = Self::cast(world, broker);
        estate.nodes().into_iter().for_each(|host| estate.connect(host, None));
        estate.all_online();
        estate
    }

    /// The same, and the owner has claimed the device.
    pub fn claimed(seed: u64) -> Self {
        let mut estate = Self::new(seed);
        estate.claim();
        estate
    }

    pub(super) fn cast(mut world: World, broker: HostId) -> Self {
        let [device, owner, user, other] = [(); 4].map(|()| world.add_node(Config::default()));
        let (web, shell) = obey(&mut world, device, TrustState::new());
        Estate { world, broker, device, owner, user, other, web, shell, grants: 0 }
    }

    /// All nodes.
    pub fn nodes(&self) -> [HostId; 4] {
        [self.device, self.owner, self.user, self.other]
    }

    /// Points a node at the broker.
    pub fn connect(&mut self, host: HostId, code: Option<&str>) {
        let broker = self.world.broker_address(self.broker);
        self.world.with(host, |node, _, now| {
            node.broker_connect(broker, code, now).expect("the broker's address is sound");
        });
    }

    pub(super) fn all_online(&mut self) {
        for host in self.nodes() {
            self.expect(host, "to be online", is_online);
        }
    }

    /// Puts a fresh process in the device's place, with what was stored.
    pub fn restart_device(&mut self) {
        self.restart_device_alone();
        self.connect(self.device, None);
        self.expect(self.device, "to be online", is_online);
    }

    /// The same, and it calls nobody yet.
    pub fn restart_device_alone(&mut self) {
        let provider = crypto::default_provider();
        let stored = self.world.host(self.device).stored.clone();
        let state = stored.map_or_else(TrustState::new, |stored| {
            TrustState::decode(provider, &stored).expect("what was stored can be read")
        });
        let cloak = self.world.host(self.device).stored_cloak.clone();
        let cloak = cloak.map(|stored| {
            CloakState::decode(provider, &stored).expect("what was stored can be read")
        });
        self.world.restart_node(self.device, Config::default());
        (self.web, self.shell) = obey(&mut self.world, self.device, state);
        self.world.with(self.device, |node, _, _| {
            node.set_cloak_state(cloak.unwrap_or_default()).expect("it obeys an owner");
        });
    }

    /// Waits for an event at a host; panics with all events if it does not come.
    pub fn expect(&mut self, host: HostId, what: &str, is_it: impl Fn(&Event) -> bool) {
        let is_met = self.world.run_until(LIMIT, |world| world.host(host).has_event(&is_it));
        assert!(is_met, "seed {}: {what} did not come: {}", self.world.seed, self.events());
    }

    /// All events, for messages.
    pub fn events(&self) -> String {
        let of = |host: HostId| format!("{:?}: {:?}\n", host, self.world.host(host).events);
        self.nodes().map(of).concat()
    }

    /// Forgets what was told so far.
    pub fn forget(&mut self) {
        self.nodes().into_iter().for_each(|host| self.world.host_mut(host).events.clear());
    }

    /// What a host was told of owners, in order.
    pub fn trust_events(&self, host: HostId) -> Vec<TrustEvent> {
        let of_trust = |(_, event): &(_, Event)| match event {
            Event::Trust(event) => Some(event.clone()),
            _ => None,
        };
        self.world.host(host).events.iter().filter_map(of_trust).collect()
    }

    /// The device's state.
    pub fn state(&self) -> &TrustState {
        self.world.node(self.device).trust_state().expect("the device obeys owners")
    }

    // ---- what owners do

    /// The owner claims the device; gives the epoch.
    pub fn claim(&mut self) -> u32 {
        self.claim_by(self.owner, secret()).expect("the claim is good")
    }

    /// Somebody claims the device; gives what comes of it.
    pub fn claim_by(&mut self, host: HostId, secret: ClaimSecret) -> Result<u32, TrustEvent> {
        let device = self.world.key(self.device);
        let asked = self.world.with(host, |node, _, now| node.claim_device(device, secret, now));
        match self.answer(host, asked) {
            TrustEvent::DeviceClaimed { epoch, .. } => Ok(epoch),
            other => Err(other),
        }
    }

    /// What comes of a request that a host just made.
    fn answer(&mut self, host: HostId, asked: Result<u32, NodeError>) -> TrustEvent {
        let asked = asked.expect("a note can be sent");
        let is_answer = |event: &TrustEvent| match *event {
            TrustEvent::DeviceClaimed { request, .. }
            | TrustEvent::ClaimRefused { request, .. }
            | TrustEvent::NoteAnswered { request, .. }
            | TrustEvent::NoteFailed { request, .. } => request == asked,
            _ => false,
        };
        self.expect(
            host,
            "an answer",
            |event| matches!(event, Event::Trust(event) if is_answer(event)),
        );
        self.trust_events(host).into_iter().find(is_answer).expect("it came")
    }

    /// Sends a note to the device and gives the byte of the answer, or what came instead.
    pub fn note(&mut self, from: HostId, kind: u8, body: &[u8]) -> Result<u8, TrustEvent> {
        let device = self.world.key(self.device);
        let asked = self.world.with(from, |node, _, now| node.send_note(device, kind, body, now));
        match self.answer(from, asked) {
            TrustEvent::NoteAnswered { kind: 7, body, .. } if body.len() == 1 => Ok(body[0]),
            other => Err(other),
        }
    }

    /// What the owner says in a grant of all to this host, before `change`.
    pub fn terms(&mut self, to: HostId, change: impl FnOnce(&mut Terms<'_>)) -> Terms<'static> {
        self.grants += 1;
        let mut terms = Terms {
            device: self.world.key(self.device),
            subject: self.world.key(to),
            id: GrantId([self.grants; 16]),
            issued_s: self.unix_s(),
            not_before_s: None,
            expires_s: None,
            epoch: self.state().epoch(),
            rights: Rights::USE,
            depth: 0,
            must_be_fresh: false,
            services: Services::ALL,
        };
        change(&mut terms);
        terms
    }

    /// A chain of one grant by the owner to this host.
    pub fn grant(&mut self, to: HostId, change: impl FnOnce(&mut Terms<'_>)) -> Vec<u8> {
        let terms = self.terms(to, change);
        self.append(&[], self.owner, &terms)
    }

    /// The chain with one more grant by this host.
    pub fn append(&self, chain: &[u8], by: HostId, terms: &Terms<'_>) -> Vec<u8> {
        let grant = terms.sign(&self.world.signer(by)).expect("the terms are sound");
        append_grant(chain, &grant).expect("the chain is within its limits")
    }

    /// The number of the grant that was made last.
    pub fn last_grant(&self) -> GrantId {
        GrantId([self.grants; 16])
    }

    /// The owner's list with this number.
    pub fn list(&self, number: u64, ids: &[GrantId], keys: &[PublicKey]) -> Vec<u8> {
        let revocations =
            Revocations { number, floor_s: 0, ids: ids.to_vec(), keys: keys.to_vec() };
        let device = self.world.key(self.device);
        let (epoch, issued_s) = (self.state().epoch(), self.unix_s());
        let signer = self.world.signer(self.owner);
        revocations.sign(&device, epoch, issued_s, &signer).expect("the list is within its limits")
    }

    /// The owner revokes these grants; gives the answer.
    pub fn revoke(&mut self, number: u64, ids: &[GrantId]) -> Result<u8, TrustEvent> {
        let list = self.list(number, ids, &[]);
        self.note(self.owner, NOTE_REVOKED, &list)
    }

    /// The statement by which the owner gives the device to `to`.
    pub fn transfer_to(&self, to: HostId) -> Vec<u8> {
        let (device, epoch) = (self.world.key(self.device), self.state().epoch());
        let signer = self.world.signer(self.owner);
        rit_core::trust::sign_transfer(&device, epoch, &self.world.key(to), &signer)
            .expect("the owner signs")
    }

    /// The owner gives the device to `to`; gives the answer.
    pub fn transfer(&mut self, to: HostId) -> Result<u8, TrustEvent> {
        let statement = self.transfer_to(to);
        self.note(self.owner, NOTE_TRANSFER, &statement)
    }

    /// The owner's statement that the device may be found for so long from now on.
    pub fn cloak_off(&self, number: u64, for_s: u32) -> Vec<u8> {
        let (device, epoch) = (self.world.key(self.device), self.state().epoch());
        let signer = self.world.signer(self.owner);
        rit_core::trust::sign_cloak(&device, epoch, number, self.unix_s(), for_s, &signer)
            .expect("the owner signs")
    }

    /// The owner lets the device be found; gives the answer.
    pub fn uncloak(&mut self, number: u64, for_s: u32) -> Result<u8, TrustEvent> {
        let statement = self.cloak_off(number, for_s);
        self.note(self.owner, NOTE_CLOAK, &statement)
    }

    // ---- sessions

    /// The time of day, as the broker and owners know it.
    pub fn unix_s(&self) -> u64 {
        super::store::WALL_START_UNIX_S + self.world.now.as_micros() / 1_000_000
    }

    /// Asks for a session with this chain.
    pub fn ask(&mut self, host: HostId, chain: &[u8]) -> SessionId {
        let device = self.world.key(self.device);
        self.world.with(host, |node, _, now| {
            node.session_open_with(device, chain, now).expect("a session can be asked for")
        })
    }

    /// Asks for a session that comes up.
    pub fn session(&mut self, host: HostId, chain: &[u8]) -> SessionId {
        let asked = self.ask(host, chain);
        self.expect(
            host,
            "a session",
            |event| matches!(event, Event::SessionUp { session, .. } if *session == asked),
        );
        // The other end is told a flight later.
        self.world.run_for(Duration::from_secs(1));
        asked
    }

    /// Asks for a session that does not come up, and tells nothing to the device's application.
    pub fn no_session(&mut self, host: HostId, chain: &[u8]) {
        let ups = |estate: &Self, host| {
            let events = &estate.world.host(host).events;
            events.iter().filter(|(_, event)| is_up(event)).count()
        };
        let before = ups(self, self.device);
        let asked = self.ask(host, chain);
        self.expect(
            host,
            "the end of the session",
            |event| matches!(event, Event::SessionDown { session, .. } if *session == asked),
        );
        assert_eq!(ups(self, self.device), before, "{}", self.events());
    }

    /// Whether the session is over at this host.
    pub fn is_over(&self, host: HostId, ended: SessionId) -> bool {
        self.world.host(host).has_event(
            |event| matches!(event, Event::SessionDown { session, .. } if *session == ended),
        )
    }

    /// Opens a stream to a service and moves bytes both ways; whether it was let.
    pub fn can_use(&mut self, host: HostId, session: SessionId, service: &str) -> bool {
        let before = self.world.app(host).done.len();
        let stream = self.world.with(host, |node, app, now| {
            app.open(node, session, (service, 7, 3_000, 3_000), now).expect("the session is up")
        });
        let is_met = self.world.run_until(LIMIT, |world| {
            let app = world.app_ref(host);
            app.done.len() > before
                || app.flows.get(&stream).is_some_and(|flow| flow.refused.is_some())
        });
        assert!(is_met, "no answer: {}", self.events());
        self.world.app(host).flows.remove(&stream);
        self.world.app(host).done.len() > before
    }

    /// Lets the device's storage do so from now on.
    pub fn set_disk(&mut self, disk: Disk) {
        self.world.host_mut(self.device).disk = disk;
    }
}

/// Makes a node a device that obeys the owner of this state; its services.
fn obey(world: &mut World, device: HostId, state: TrustState) -> (ServiceId, ServiceId) {
    world.with(device, |node, _, now| {
        node.set_trust(state, Some(secret()), now).expect("memory is not counted here");
        let mut add = |name| node.service_add(service_info(name), now).expect("there is room");
        (add(WEB), add(SHELL))
    })
}
