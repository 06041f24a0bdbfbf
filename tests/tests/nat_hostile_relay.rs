//! Scenarios: a relay that drops, delays, reorders, doubles, alters, replays, forges, turns round,
//! lies, and points at a victim.
//!
//! The session ends or goes on, every byte that arrives is as it was sent, the relay reads nothing,
//! and nobody it points at gets more than three times what it sent there in his name.

use rit_core::base::Path;
use rit_core::broker::RelayService;
use rit_core::crypto::Secret;
use rit_core::node::{Event, SessionId};
use rit_core::wire::relay::DATA_OVERHEAD;
use rit_tests::sim::app::PLAINTEXT_MARKER;
use rit_tests::sim::host::HostId;
use rit_tests::sim::hostile::HostileBroker;
use rit_tests::sim::hostile_relay::{HostileRelay, Misdeeds};
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::seeds;
use rit_tests::sim::sites::open;
use rit_tests::sim::trio::{SERVICE, Trio};
use std::time::Duration;

const SEEDS: u64 = 60;
const DELAY: Duration = Duration::from_millis(20);
/// After this a session that goes on has moved its bytes, and one that does not has ended.
const LIMIT: Duration = Duration::from_secs(240);
const BYTES: u64 = 100_000;
const SECRET: [u8; 32] = [7; 32];
/// What goes beyond three times: the search for paths asks an address it was shown once more often
/// than that. To become 0.
const SEARCH_EXCESS: u64 = 0;
const VICTIM: Path = Path {
    ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 66],
    port: 53,
    via: 0,
    socket: 0,
    ifindex: 0,
};

/// Ends that reach each other through a relay only, and ends that need none.
fn boxes(needs_relay: bool) -> NatConfig {
    match needs_relay {
        true => NatConfig::v4(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent),
        false => open(rit_tests::sim::nat::Family::V4),
    }
}

struct Stage {
    trio: Trio,
    relay: HostId,
}

impl Stage {
    fn new(seed: u64, needs_relay: bool, misdeeds: Misdeeds) -> Self {
        let mut trio = Trio::with_hostile_broker(seed, LinkConfig::clean(DELAY));
        let relay = HostileRelay::new(Secret::new(SECRET), [seed as u8; 32]);
        let relay = trio.world.add_actor(relay);
        trio.world.actor::<HostileRelay>(relay).misdeeds = misdeeds;
        let service = RelayService {
            paths: vec![trio.world.path(relay)],
            secret: Secret::new(SECRET),
            rate: 0,
        };
        trio.world.actor::<HostileBroker>(trio.broker).relays = vec![service];
        trio.place(trio.device, &[boxes(needs_relay)]);
        trio.place(trio.user, &[boxes(needs_relay)]);
        trio.world.capture = Some(Vec::new());
        trio.connect_host(trio.device, None);
        trio.connect_host(trio.user, None);
        let hosts = [trio.device, trio.user];
        let is_met = trio.world.run_until(Duration::from_secs(60), |world| {
            hosts.iter().all(|host| world.host(*host).has_event(|e| *e == Event::BrokerOnline))
        });
        assert!(is_met, "seed {seed}: not online: {}", trio.events());
        Stage { trio, relay }
    }

    /// Asks for a session and, once it is up, for bytes; none if it never comes up.
    fn begin(&mut self) -> Option<SessionId> {
        let session = self.trio.ask_for_session();
        let user = self.trio.user;
        let is_told =
            |event: &Event| matches!(event, Event::SessionUp { .. } | Event::SessionDown { .. });
        let is_met = self.trio.world.run_until(LIMIT, |world| world.host(user).has_event(is_told));
        assert!(is_met, "neither up nor down: {}", self.trio.events());
        if self.trio.world.host(user).has_event(is_down) {
            return None;
        }
        self.trio.open_flow(session, 1, BYTES, BYTES);
        Some(session)
    }

    /// Whether the bytes asked for came, each as it was sent (the application checks them).
    fn is_done(&mut self) -> bool {
        let user = self.trio.user;
        self.trio.world.run_until(LIMIT, |world| {
            !world.app_ref(user).done.is_empty() || world.host(user).has_event(is_down)
        });
        self.trio.world.app(user).done.first().is_some_and(|flow| flow.received == BYTES)
    }

    /// Bytes that the two ends sent to the victim.
    fn bytes_to_victim(&self) -> u64 {
        let capture = self.trio.world.capture.as_ref().expect("it captures");
        let to_victim = capture.iter().filter(|(_, datagram)| datagram.dst.ip == VICTIM.ip);
        to_victim.map(|(_, datagram)| datagram.bytes.len() as u64).sum()
    }
}

fn is_down(event: &Event) -> bool {
    matches!(event, Event::SessionDown { .. })
}

/// With these, the session must go on; and with all of them at once.
fn bearable() -> Vec<(&'static str, Misdeeds)> {
    let none = Misdeeds::default();
    vec![
        ("nothing", none.clone()),
        ("drop", Misdeeds { drop_ppm: 100_000, ..none.clone() }),
        ("delay", Misdeeds { delay: Duration::from_millis(100), ..none.clone() }),
        ("duplicate", Misdeeds { duplicate_ppm: 500_000, ..none.clone() }),
        ("alter", Misdeeds { alter_ppm: 100_000, ..none.clone() }),
        ("replay", Misdeeds { replay_ppm: 500_000, ..none.clone() }),
        ("reflect", Misdeeds { reflect_ppm: 500_000, ..none.clone() }),
        ("forge", Misdeeds { forge_ppm: 500_000, ..none.clone() }),
        ("lie", Misdeeds { observed: Some(VICTIM), lies_of_peer: true, ..none }),
        ("all", all_at_once(50_000)),
    ]
}

fn all_at_once(ppm: u32) -> Misdeeds {
    Misdeeds {
        drop_ppm: ppm,
        delay: Duration::from_millis(60),
        duplicate_ppm: ppm,
        alter_ppm: ppm,
        replay_ppm: ppm,
        reflect_ppm: ppm,
        forge_ppm: ppm,
        observed: Some(VICTIM),
        lies_of_peer: true,
    }
}

#[test]
fn what_can_be_borne_is_borne() {
    for (name, misdeeds) in bearable() {
        seeds::run(name, SEEDS / 10, |seed| {
            let mut stage = Stage::new(seed, true, misdeeds.clone());
            assert!(stage.begin().is_some(), "no session: {}", stage.trio.events());
            assert!(stage.is_done(), "not done: {}", stage.trio.events());
            assert_eq!(stage.bytes_to_victim(), 0);
            let relay = stage.trio.world.actor::<HostileRelay>(stage.relay);
            assert!(relay.relayed > 100, "it was to go through the relay");
        });
    }
}

#[test]
fn what_cannot_be_borne_ends_the_session_and_never_hangs_it() {
    seeds::run("unbearable", SEEDS, |seed| {
        let mut stage = Stage::new(seed, true, all_at_once(50_000 + seed as u32 * 15_000));
        if stage.begin().is_some() {
            stage.is_done();
        }
        let user = stage.trio.user;
        let is_over = stage.trio.world.host(user).has_event(is_down);
        let is_done = !stage.trio.world.app(user).done.is_empty();
        assert!(is_over || is_done, "it hangs: {}", stage.trio.events());
        assert_eq!(stage.bytes_to_victim(), 0);
    });
}

#[test]
fn a_relay_that_swallows_all_ends_the_session_and_does_no_harm_where_it_is_not_needed() {
    let swallow = Misdeeds { drop_ppm: 1_000_000, ..Misdeeds::default() };
    let mut stage = Stage::new(1, true, swallow.clone());
    assert!(stage.begin().is_none(), "{}", stage.trio.events());
    for misdeeds in [swallow, all_at_once(500_000)] {
        let mut stage = Stage::new(2, false, misdeeds);
        assert!(stage.begin().is_some(), "{}", stage.trio.events());
        assert!(stage.is_done(), "{}", stage.trio.events());
    }
}

#[test]
fn a_relay_that_dies_later_ends_the_session() {
    let mut stage = Stage::new(3, true, Misdeeds::default());
    assert!(stage.begin().is_some(), "{}", stage.trio.events());
    stage.trio.world.run_for(5 * DELAY);
    stage.trio.world.host_mut(stage.relay).is_running = false;
    assert!(!stage.is_done());
    let hosts = [stage.trio.user, stage.trio.device];
    let is_met = stage
        .trio
        .world
        .run_until(LIMIT, |world| hosts.iter().all(|host| world.host(*host).has_event(is_down)));
    assert!(is_met, "{}", stage.trio.events());
}

#[test]
fn the_relay_reads_nothing() {
    let mut stage = Stage::new(4, true, Misdeeds::default());
    assert!(stage.begin().is_some(), "{}", stage.trio.events());
    assert!(stage.is_done(), "{}", stage.trio.events());
    let keys = [stage.trio.device, stage.trio.user].map(|host| stage.trio.world.key(host));
    let secrets = [SERVICE.as_bytes(), PLAINTEXT_MARKER, &keys[0].0[..8], &keys[1].0[..8]];
    let relay = stage.trio.world.actor::<HostileRelay>(stage.relay);
    assert!(relay.overheard.len() > 100);
    for (_, datagram) in &relay.overheard {
        for secret in secrets {
            assert!(!datagram.windows(secret.len()).any(|window| window == secret));
        }
    }
}

/// The relay does not relay what it gets: it unwraps that and sends it to the other end as if the
/// victim had. Each is a packet that the end has not seen, from where its peer may have moved.
#[test]
fn a_victim_gets_no_more_than_three_times_what_was_sent_in_his_name() {
    seeds::run("victim", SEEDS, |seed| {
        let mut stage = Stage::new(seed, false, Misdeeds::default());
        let ends = [stage.trio.device, stage.trio.user];
        let paths = ends.map(|host| stage.trio.world.path(host));
        stage.trio.world.net.set_up(paths[0], paths[1], false);
        assert!(stage.begin().is_some(), "{}", stage.trio.events());
        stage.trio.world.run_for(Duration::from_millis(seed * 5));
        let relay = stage.relay;
        stage.trio.world.actor::<HostileRelay>(relay).misdeeds.drop_ppm =
            if seed % 2 == 0 { 1_000_000 } else { 500_000 };
        let mut sent = 0;
        for _ in 0..150 {
            stage.trio.world.actor::<HostileRelay>(relay).overheard.clear();
            stage.trio.world.run_for(Duration::from_millis(10));
            let overheard = stage.trio.world.actor::<HostileRelay>(relay).overheard.clone();
            for (to, data) in overheard {
                let to = ends[usize::from(to == paths[1])];
                let wrapping = if seed % 3 == 0 { 0 } else { DATA_OVERHEAD };
                sent += (data.len() - wrapping) as u64;
                stage.trio.world.inject(VICTIM, to, &data[wrapping..]);
            }
            let got = stage.bytes_to_victim();
            assert!(got <= 3 * sent + SEARCH_EXCESS, "{got} bytes for {sent}");
        }
        assert!(sent > 0, "nothing was sent in his name");
        stage.trio.world.actor::<HostileRelay>(relay).misdeeds.drop_ppm = 0;
        let is_done = stage.is_done();
        let is_over = stage.trio.world.host(stage.trio.user).has_event(is_down);
        assert!(is_done || is_over, "it hangs: {}", stage.trio.events());
        let got = stage.bytes_to_victim();
        assert!(got <= 3 * sent + SEARCH_EXCESS, "{got} bytes for {sent}");
    });
}
