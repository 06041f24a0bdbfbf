//! Once a session is up and warm, packets are sent, received and acknowledged, bytes written and
//! read, and messages sent and received, without an allocation: firmware's heap cannot fragment
//! under traffic.

use rit_core::base::{Path, Rng, Side, Time};
use rit_core::crypto::{Secret, default_provider};
use rit_core::node::{Config, Event, FlowHandle, Node, StreamHandle};
use rit_core::relay::{Forward, Limits, Relay};
use rit_core::trust::{issue_relay_token, relay_end_key, sign_bind};
use rit_core::wire::codec::Writer;
use rit_core::wire::message::{SERVICE_UDP, ServiceInfo};
use rit_core::wire::relay::{
    BIND_OVERHEAD, Bind, ChannelId, Claims, RelayDatagram, write_bind, write_data,
};
use rit_tests::heap::{Counting, allocations};
use rit_tests::sim::host::{HostId, Machine};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{SERVICE, Trio};
use std::time::Duration;

#[global_allocator]
static HEAP: Counting = Counting;

/// Device and user, taken off the simulated net: datagrams go from hand to hand.
struct Hands {
    nodes: [Box<Node>; 2],
    paths: [Path; 2],
    streams: [StreamHandle; 2],
    flows: [FlowHandle; 2],
    now: Time,
    packets: u64,
    moved: [u64; 2],
    messages: [u64; 2],
}

impl Hands {
    fn new() -> Hands {
        let mut trio = Trio::new(1, LinkConfig::clean(Duration::from_millis(1)));
        trio.online();
        let session = trio.session();
        trio.world.app(trio.device).is_passive = true;
        let user_stream = trio.world.with(trio.user, |node, _, now| {
            node.stream_open(session, SERVICE, now).expect("a stream can be opened")
        });
        let is_incoming = |e: &Event| matches!(e, Event::StreamIncoming { .. });
        trio.expect(trio.device, Duration::from_secs(1), "the stream", is_incoming);
        let events = &trio.world.host(trio.device).events;
        let Some(Event::StreamIncoming { stream, .. }) =
            events.iter().map(|(_, event)| event).find(|e| is_incoming(e))
        else {
            panic!("no stream")
        };
        let device_stream = *stream;
        trio.world.with(trio.device, |node, _, now| {
            node.stream_accept(device_stream, now).expect("it can be accepted");
        });
        let is_open = |e: &Event| matches!(e, Event::StreamOpened { .. });
        trio.expect(trio.user, Duration::from_secs(1), "the answer", is_open);
        let flows = Self::flow(&mut trio);
        let mut take = |host: HostId| {
            let spare = trio.world.node_of(Config::default(), &[9; 32]).expect("a node");
            let spare = Machine::Node(Box::new(spare), Box::default());
            match std::mem::replace(&mut trio.world.host_mut(host).machine, spare) {
                Machine::Node(node, _) => node,
                _ => panic!("it is a node"),
            }
        };
        Hands {
            nodes: [take(trio.device), take(trio.user)],
            paths: [trio.world.path(trio.device), trio.world.path(trio.user)],
            streams: [device_stream, user_stream],
            flows,
            now: trio.world.now,
            packets: 0,
            moved: [0; 2],
            messages: [0; 2],
        }
    }

    /// A UDP flow: the device's end and the user's.
    fn flow(trio: &mut Trio) -> [FlowHandle; 2] {
        let (session, user) = (trio.session_of(trio.user), trio.user);
        trio.world.with(trio.device, |node, _, now| {
            let info = ServiceInfo { name: SERVICE.to_owned(), kind: SERVICE_UDP, port: 53 };
            node.service_add(info, now).expect("the kinds do not mix");
        });
        let flow = trio.world.with(user, |node, app, now| {
            app.udp.open(node, session, SERVICE, now).expect("a flow can be opened")
        });
        let is_open = |e: &Event| matches!(e, Event::FlowOpened { .. });
        trio.expect(user, Duration::from_secs(1), "the answer", is_open);
        let device_flow = trio.world.app(trio.device).udp.flows.keys().next();
        [*device_flow.expect("the device has it too"), flow]
    }

    /// A tenth of a millisecond: both write and read what they can, and hand over what they send.
    fn turn(&mut self, buf: &mut [u8], data: &mut [u8]) {
        self.now = self.now + Duration::from_micros(100);
        for i in 0..2 {
            // Through every queue there is: none of them is made anew.
            let (urgency, is_incremental) = ((self.packets % 8) as u8, self.packets % 3 == 0);
            self.nodes[i]
                .stream_set_priority(self.streams[i], urgency, is_incremental, self.now)
                .expect("a stream that is open");
            let _ = self.nodes[i].stream_write(self.streams[i], data, self.now);
            let (message, expiry) = (&data[..1000], Some(Duration::from_millis(20)));
            let _ = self.nodes[i].datagram_send(self.flows[i], message, expiry, self.now);
            while let Some(sent) = self.nodes[i].poll_transmit(buf, self.now) {
                self.packets += 1;
                // One in a hundred is lost.
                if sent.path == self.paths[1 - i] && self.packets % 100 != 0 {
                    let datagram = &mut buf[..sent.len];
                    self.nodes[1 - i].handle_datagram(self.paths[i], sent.ecn, datagram, self.now);
                }
            }
            self.nodes[1 - i].handle_timeout(self.now);
            while let Ok(len) = self.nodes[1 - i].stream_read(self.streams[1 - i], data, self.now) {
                self.moved[i] += len as u64;
            }
            while self.nodes[1 - i].datagram_recv(self.flows[1 - i], data, self.now).is_ok() {
                self.messages[i] += 1;
            }
            while self.nodes[1 - i].poll_event().is_some() {}
            let _ = self.nodes[i].poll_timeout();
        }
    }
}

#[test]
fn a_warm_session_allocates_nothing() {
    let mut hands = Hands::new();
    let (mut buf, mut data) = (vec![0; 2000], vec![7; 16 * 1024]);
    for _ in 0..20_000 {
        hands.turn(&mut buf, &mut data);
    }
    (hands.packets, hands.moved, hands.messages) = (0, [0; 2], [0; 2]);
    let ((), allocations) = allocations(|| {
        for _ in 0..5_000 {
            hands.turn(&mut buf, &mut data);
        }
    });
    assert!(hands.packets > 10_000, "{}", hands.packets);
    assert!(hands.moved.iter().all(|moved| *moved > 5_000_000), "{:?}", hands.moved);
    assert!(hands.messages.iter().all(|messages| *messages > 1000), "{:?}", hands.messages);
    assert_eq!(allocations, 0, "in {} packets", hands.packets);
}

/// A relay's two ends, both proven; how many allocations passing on took.
#[test]
fn a_relay_passes_on_without_allocating() {
    let secret = Secret::new([7; 32]);
    let (provider, rng) = (default_provider(), Rng::from_seed([1; 32]));
    let (limits, now) = (Limits::default(), Time::ZERO);
    let mut relay = Relay::new(provider, secret.clone(), limits, rng, 0, now);
    let paths = [Path::v4([10, 0, 0, 1], 1), Path::v4([10, 0, 0, 2], 2)];
    let sides = [Side::Initiator, Side::Responder];
    let channel = ChannelId([1; 8]);
    let mut buf = [0; 1500];
    let mut bind = |relay: &mut Relay, at: usize, sequence, cookie| {
        let claims = Claims { channel, side: sides[at], rate: 20, expires_min: 9, node: [9; 8] };
        let token = issue_relay_token(provider, &secret, &claims);
        let mut bytes = [0; BIND_OVERHEAD];
        let bind = Bind { token, sequence, cookie };
        write_bind(&mut Writer::new(&mut bytes), &bind, sides[at]).expect("it fits");
        sign_bind(provider, &relay_end_key(provider, &secret, &token), &mut bytes);
        assert_eq!(relay.handle_datagram(paths[at], &mut bytes, now), None);
        let sent = relay.poll_transmit(&mut buf).expect("an answer");
        let Ok(RelayDatagram::Bound(bound)) = RelayDatagram::parse(&buf[..sent.len]) else {
            panic!("no answer")
        };
        bound.cookie
    };
    for at in [0, 1] {
        let cookie = bind(&mut relay, at, 1, [0; 8]);
        bind(&mut relay, at, 2, cookie);
    }
    let together = 8 * 1300;
    let mut data = [[0; 1300]; 2];
    for (side, data) in sides.iter().zip(&mut data) {
        write_data(&mut Writer::new(data), *side, channel).expect("it fits");
    }
    let mut runs = data.each_ref().map(|data| data.repeat(8));
    let ((), allocations) = allocations(|| {
        for i in 0..100_000_u64 {
            let (from, to) = ((i % 2) as usize, 1 - (i % 2) as usize);
            let now = Time::from_micros(i * 2000);
            let forward = relay.handle_datagram(paths[from], &mut data[from], now);
            assert_eq!(forward, Some(Forward { to: paths[to], range: 0..1300 }));
            let all = relay.handle_datagrams(paths[from], &mut runs[from], 1300, now);
            assert_eq!(all.0, together);
            assert!(relay.poll_transmit(&mut []).is_none() && relay.poll_timeout().is_some());
            // What no channel is for costs no memory either.
            assert!(relay.handle_datagram(paths[to], &mut data[from], now).is_none());
        }
    });
    assert_eq!(allocations, 0);
}
