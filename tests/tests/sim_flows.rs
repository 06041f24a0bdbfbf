//! Scenarios: UDP services. Small and large messages over good and bad links, limits, expiry, idle
//! time, refusals, and that nothing grows.

use rit_core::node::{Config, Event, FlowHandle, NodeError, Reason, ServiceId, SessionId};
use rit_core::tunnel::{FLOW_IDLE_DEFAULT, MESSAGE_MAX, Refusal};
use rit_core::wire::message::{SERVICE_UDP, ServiceInfo};
use rit_tests::sim::app::Behaviour;
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{self, SERVICE, Trio};
use rit_tests::sim::udp::{Udp, UdpFlow, message};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The TCP service's name as well: the kinds do not mix.
const ECHO: &str = SERVICE;

struct Stage {
    trio: Trio,
    session: SessionId,
    service: ServiceId,
}

impl Stage {
    fn new(seed: u64, links: LinkConfig, config: Config) -> Stage {
        let mut trio = Trio::with_config(seed, links, config);
        let info = ServiceInfo { name: ECHO.to_owned(), kind: SERVICE_UDP, port: 53 };
        let service = trio.world.with(trio.device, |node, _, now| {
            let service = node.service_add(info.clone(), now).expect("the kinds do not mix");
            assert_eq!(node.service_add(info, now), Err(NodeError::Exists));
            service
        });
        trio.online();
        let session = trio.session();
        Stage { trio, session, service }
    }

    fn open(&mut self) -> Result<FlowHandle, NodeError> {
        let session = self.session;
        let user = self.trio.user;
        self.trio.world.with(user, |node, app, now| app.udp.open(node, session, ECHO, now))
    }

    fn send(&mut self, flow: FlowHandle, number: u64, len: usize) -> Result<(), NodeError> {
        let user = self.trio.user;
        self.trio
            .world
            .with(user, |node, _, now| node.datagram_send(flow, &message(number, len), None, now))
    }

    fn user(&mut self) -> &mut Udp {
        &mut self.trio.world.app(self.trio.user).udp
    }

    fn device(&mut self) -> &mut Udp {
        &mut self.trio.world.app(self.trio.device).udp
    }

    fn flow(&mut self, flow: FlowHandle) -> UdpFlow {
        self.user().flows[&flow].clone()
    }

    fn run(&mut self, time: Duration) {
        self.trio.world.run_for(time);
    }
}

fn clean() -> LinkConfig {
    LinkConfig::clean(Duration::from_millis(20))
}

#[test]
fn messages_of_every_size_come_back() {
    let mut stage = Stage::new(1, clean(), Config::default());
    let flow = stage.open().expect("it can be opened");
    // Sent with the header, the first takes one round trip.
    stage.send(flow, 0, 100).expect("it need not wait for the answer");
    stage.run(Duration::from_millis(45));
    assert!(stage.flow(flow).received.contains(&0), "{}", stage.trio.events());
    let user = stage.trio.user;
    let max = |stage: &mut Stage| {
        let max = stage.trio.world.with(user, |node, _, now| node.datagram_max(flow, now));
        max.expect("it is open")
    };
    // Packets of 1200 bytes, less 29 around the frames, 3 of the frame, 1 of the flow's ID.
    assert_eq!(max(&mut stage), 1200 - 29 - 3 - 1);
    let sizes = [8, 9, 1166, 1167, 1168, 1169, 1418, 1419, 1420, 20_000, MESSAGE_MAX];
    for (number, len) in (1..).zip(sizes) {
        stage.send(flow, number, len).expect("it can be sent");
        stage.run(SECOND);
        assert!(stage.flow(flow).received.contains(&number), "{len} bytes");
    }
    assert_eq!(stage.send(flow, 99, MESSAGE_MAX + 1), Err(NodeError::TooLarge));
    stage.trio.check_alive(stage.session, 7);
    // The path turned out to carry more.
    assert_eq!(max(&mut stage), 1452 - 29 - 3 - 1);
}

#[test]
fn what_comes_over_bad_links_is_whole_and_comes_once() {
    for seed in 0..20 {
        let mut stage = Stage::new(seed, LinkConfig::hostile(), Config::default());
        let flows: Vec<_> = (0..4).map(|_| stage.open().expect("below the limit")).collect();
        let (mut small, mut large) = (0, 0);
        for number in 0..500 {
            let is_large = number % 25 == 0;
            let len = if is_large { 20_000 } else { 8 + number as usize * 2 };
            let sent = stage.send(flows[number as usize % 4], number, len);
            *if is_large { &mut large } else { &mut small } += u64::from(sent.is_ok());
            stage.run(Duration::from_millis(30));
        }
        stage.run(SECOND * 20);
        let dropped = stage.device().dropped;
        let received: Vec<u64> =
            flows.iter().flat_map(|flow| stage.user().flows[flow].received.clone()).collect();
        let came = |is_large: bool| received.iter().filter(|n| (*n % 25 == 0) == is_large).count();
        // One in twenty is lost each way, and one in a hundred damaged.
        assert!(came(false) as u64 > small * 3 / 4, "{seed}: {} of {small}", came(false));
        assert!(came(true) as u64 + dropped >= large, "{seed}: {} of {large}", came(true));
        assert!(small > 400 && large > 15, "{small} {large}");
    }
}

#[test]
fn a_flow_goes_on_while_the_path_changes() {
    for seed in 0..24 {
        let mut stage = Stage::new(seed, clean(), Config::default());
        let flow = stage.open().expect("it can be opened");
        let (user, device, session) = (stage.trio.user, stage.trio.device, stage.session);
        for (step, number) in (0..6).zip((1..).step_by(20)) {
            match (seed + step) % 4 {
                0 => stage.trio.world.move_host(device),
                1 => stage.trio.world.move_host(user),
                2 => stage.trio.world.net.set_default(LinkConfig { mtu: 1200, ..clean() }),
                _ => stage
                    .trio
                    .world
                    .with(user, |node, _, _| node.session_update_keys(session))
                    .expect("it is up"),
            }
            // Longer than a keep-alive: who moved has been heard of.
            stage.run(SECOND * 15);
            for number in number..number + 20 {
                stage.send(flow, number, 8 + number as usize * 7).expect("it can be sent");
                stage.run(Duration::from_millis(10));
            }
            stage.run(SECOND);
            let received = stage.flow(flow).received;
            let missing = (number..number + 20).filter(|n| !received.contains(n)).count();
            assert_eq!(missing, 0, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_message_too_late_to_send_is_not_sent() {
    let slow = LinkConfig { rate_bytes_per_s: Some(125_000), ..clean() };
    let mut stage = Stage::new(3, slow, Config::default());
    let flow = stage.open().expect("it can be opened");
    stage.run(SECOND);
    stage.trio.open_flow(stage.session, 1, 2_000_000, 0);
    stage.run(SECOND * 2);
    let user = stage.trio.user;
    let sent = stage.trio.world.with(user, |node, _, now| {
        let expiry = Some(Duration::from_millis(30));
        let send = |n| node.datagram_send(flow, &message(n, 1000), expiry, now).is_ok();
        (0..200).map(send).filter(|is_sent| *is_sent).count()
    });
    assert!((60..=65).contains(&sent), "{sent} into 65536 bytes");
    stage.run(SECOND * 20);
    let unsent = stage.trio.world.with(user, |node, _, _| node.stats().messages_unsent);
    let came = stage.flow(flow).received.len();
    assert!(unsent > 20, "{unsent} of {sent} given up");
    assert!(came > 0 && came + unsent as usize <= sent, "{came} came, {unsent} were given up");
}

#[test]
fn an_idle_flow_ends_and_one_in_use_does_not() {
    let mut stage = Stage::new(4, clean(), Config::default());
    let (busy, idle) = (stage.open().expect("one"), stage.open().expect("two"));
    stage.send(idle, 0, 100).expect("it can be sent");
    for number in 0..10 {
        stage.send(busy, number, 100).expect("it can be sent");
        stage.run(FLOW_IDLE_DEFAULT / 2 - SECOND);
        let is_over = stage.user().closed.len() == 1;
        assert_eq!(is_over, number >= 2, "after {number} messages");
    }
    let (of_user, reason) = stage.user().closed[0].clone();
    assert_eq!((of_user.received.len(), reason), (1, Reason::Peer(0)));
    assert_eq!(stage.device().closed[0].1, Reason::TimedOut);
    assert_eq!(stage.flow(busy).received.len(), 10);
    let (user, service) = (stage.trio.user, stage.service);
    let sent = stage.trio.world.with(user, |node, _, now| node.datagram_send(idle, b"", None, now));
    assert_eq!(sent, Err(NodeError::StaleHandle));
    // Another time, within its bounds.
    let device = stage.trio.device;
    let mut set = |seconds: u64| {
        stage.trio.world.with(device, |node, _, _| {
            node.service_set_flow_idle(service, Duration::from_secs(seconds))
        })
    };
    assert_eq!((set(29), set(30)), (Err(NodeError::Argument), Ok(())));
    stage.open().expect("three");
    stage.run(SECOND * 29);
    assert_eq!(stage.user().closed.len(), 1);
    stage.run(SECOND * 2);
    assert_eq!(stage.user().closed.len(), 2, "the one opened since");
}

#[test]
fn flows_at_the_limit_of_either_end() {
    let config = trio::config(|config| config.max_flows = 4);
    let mut stage = Stage::new(5, clean(), config);
    stage.device().is_sloppy = true;
    let flows: Vec<_> = (0..4).map(|_| stage.open().expect("below the limit")).collect();
    assert_eq!(stage.open(), Err(NodeError::Limit));
    stage.run(SECOND);
    let close = |stage: &mut Stage, flow| {
        let user = stage.trio.user;
        stage.user().flows.remove(&flow);
        stage.trio.world.with(user, |node, _, now| node.flow_close(flow, now)).expect("it is open");
    };
    // The device lets go of none: those that are over may be as many again.
    let mut flow = flows[0];
    for number in 0..4 {
        close(&mut stage, flow);
        flow = stage.open().expect("there is room here");
        stage.send(flow, number, 100).expect("it can be sent");
        stage.run(SECOND);
        assert!(stage.flow(flow).received.contains(&number), "{number} is over, not in the way");
    }
    close(&mut stage, flow);
    let refused = stage.open().expect("there is room here");
    stage.run(SECOND);
    assert_eq!(stage.flow(refused).refused, Some(Refusal::Limit));
    stage.send(flows[1], 10, 100).expect("the others are not affected");
    let device = stage.trio.device;
    stage.trio.world.with(device, |node, app, now| app.udp.close_ended(node, now));
    let again = stage.open().expect("the refused one is gone");
    stage.send(again, 20, 100).expect("it can be sent");
    stage.run(SECOND);
    let is_back = |stage: &mut Stage, flow, number| stage.flow(flow).received.contains(&number);
    assert!(is_back(&mut stage, again, 20) && is_back(&mut stage, flows[1], 10));
}

#[test]
fn at_the_limit_one_closed_makes_room_for_one_opened() {
    let config = trio::config(|config| config.max_flows = 4);
    let mut stage = Stage::new(12, clean(), config);
    let mut flows: Vec<_> = (0..4).map(|_| stage.open().expect("below the limit")).collect();
    stage.run(SECOND);
    for number in 0..100 {
        let (oldest, user) = (flows.remove(0), stage.trio.user);
        stage.user().flows.remove(&oldest);
        let session = stage.session;
        // In one packet, most likely.
        let flow = stage.trio.world.with(user, |node, app, now| {
            node.flow_close(oldest, now).expect("it is open");
            let flow = app.udp.open(node, session, ECHO, now).expect("there is room here");
            node.datagram_send(flow, &message(number, 100), None, now).expect("it can be sent");
            flow
        });
        flows.push(flow);
        stage.run(Duration::from_millis(60));
        assert!(stage.flow(flow).received.contains(&number), "{:?}", stage.flow(flow).refused);
    }
}

#[test]
fn refusals_say_why() {
    let mut stage = Stage::new(6, clean(), Config::default());
    for refusal in [Refusal::Service, Refusal::Denied, Refusal::Unknown, Refusal::Limit] {
        stage.device().behaviour = Behaviour::Refuse(refusal);
        let flow = stage.open().expect("it can be opened");
        stage.send(flow, 1, 2000).expect("it can be sent");
        stage.run(SECOND);
        assert_eq!(stage.flow(flow).refused, Some(refusal));
    }
    // No UDP service of this name, and no TCP service once it is removed.
    let (user, session) = (stage.trio.user, stage.session);
    let flow = stage
        .trio
        .world
        .with(user, |node, app, now| app.udp.open(node, session, "nothing", now))
        .expect("it can be opened");
    stage.run(SECOND);
    assert_eq!(stage.flow(flow).refused, Some(Refusal::Unknown));
    let bad = stage.trio.world.with(user, |node, _, now| node.flow_open(session, "Upper", now));
    assert_eq!(bad, Err(NodeError::Name));
    let tcp = stage.trio.service;
    stage.trio.world.with(stage.trio.device, |node, _, now| {
        node.service_remove(tcp, now).expect("it is there");
    });
    stage.trio.open_flow(session, 1, 10, 10);
    let is_unknown =
        |e: &Event| matches!(e, Event::StreamRefused { refusal: Refusal::Unknown, .. });
    stage.trio.expect(user, SECOND, "the refusal", is_unknown);
}

#[test]
fn thousands_of_flows_leave_nothing_behind() {
    let mut stage = Stage::new(7, clean(), Config::default());
    for number in 0..2000 {
        let flow = stage.open().expect("there is room");
        let len = if number % 10 == 0 { 20_000 } else { 500 };
        stage.send(flow, number, len).expect("it can be sent");
        stage.run(Duration::from_millis(100));
        stage.send(flow, number + 10_000, 500).expect("it can be sent");
        stage.run(Duration::from_millis(100));
        assert_eq!(stage.flow(flow).received.len(), 2, "flow {number}");
        let user = stage.trio.user;
        stage.user().flows.remove(&flow);
        stage.trio.world.with(user, |node, _, now| node.flow_close(flow, now)).expect("it is open");
    }
    stage.run(SECOND * 5);
    for host in [stage.trio.user, stage.trio.device] {
        let stats = stage.trio.world.with(host, |node, _, _| node.stats());
        assert_eq!((stats.flows, stats.buffered_bytes), (0, 0));
        assert!(stats.buffer_memory < 4096, "{stats:?}");
    }
    assert_eq!(stage.device().closed.len(), 2000);
}

#[test]
fn what_is_not_read_is_bounded_and_costs_its_flow_only() {
    let mut stage = Stage::new(8, clean(), Config::default());
    let (flow, other) = (stage.open().expect("one"), stage.open().expect("two"));
    stage.run(SECOND);
    stage.device().is_deaf = true;
    let device = stage.trio.device;
    for number in 0..5000 {
        let len = if number % 10 == 0 { 10_000 } else { 1000 };
        let _ = stage.send(flow, number, len);
        stage.run(Duration::from_millis(1));
    }
    let stats = stage.trio.world.with(device, |node, _, _| node.stats());
    assert!(stats.messages_unread > 4000, "{stats:?}");
    assert!(stats.buffer_memory < 600_000, "{stats:?}");
    stage.send(other, 1, 100).expect("it can be sent");
    stage.run(SECOND);
    stage.device().is_deaf = false;
    let flows: Vec<_> = stage.device().flows.keys().copied().collect();
    for flow in flows {
        stage.trio.world.with(device, |node, app, now| app.udp.receive(node, flow, now));
    }
    stage.run(SECOND);
    assert!(stage.flow(other).received.contains(&1));
    stage.trio.check_alive(stage.session, 1);
}

#[test]
fn without_datagrams_all_goes_on_the_stream() {
    let config = trio::config(|config| config.transport.datagram_queue = 0);
    let mut stage = Stage::new(9, LinkConfig::hostile(), config);
    let flow = stage.open().expect("it can be opened");
    for number in 0..200 {
        stage.send(flow, number, 8 + number as usize * 10).expect("it can be sent");
        stage.run(Duration::from_millis(50));
    }
    stage.run(SECOND * 10);
    assert_eq!(stage.flow(flow).received.len() as u64 + stage.device().dropped, 200);
}

#[test]
fn a_message_as_large_as_the_window_goes_and_one_more_byte_does_not() {
    let config = trio::config(|config| {
        config.transport.stream_window = 4096;
        config.transport.stream_send_buffer = 8192;
    });
    let mut stage = Stage::new(10, clean(), config);
    let flow = stage.open().expect("it can be opened");
    stage.run(SECOND);
    assert_eq!(stage.send(flow, 1, 4095), Err(NodeError::TooLarge));
    for number in 2..12 {
        stage.send(flow, number, 4094).expect("it can be sent");
        stage.run(SECOND);
        assert!(stage.flow(flow).received.contains(&number));
    }
    stage.send(flow, 20, 4094).expect("it can be sent");
    stage.send(flow, 21, 4094).expect("it can be sent");
    assert_eq!(stage.send(flow, 22, 4094), Err(NodeError::Limit));
}

#[test]
fn the_end_of_a_session_is_the_end_of_its_flows() {
    let mut stage = Stage::new(11, clean(), Config::default());
    let flow = stage.open().expect("it can be opened");
    stage.run(SECOND);
    let (user, device, session) = (stage.trio.user, stage.trio.device, stage.session);
    stage.trio.world.with(user, |node, _, now| node.session_close(session, 0, now)).expect("up");
    stage.run(SECOND);
    assert_eq!(stage.send(flow, 1, 10), Err(NodeError::StaleHandle));
    for host in [user, device] {
        assert_eq!(stage.trio.world.with(host, |node, _, _| node.stats().flows), 0);
    }
}
