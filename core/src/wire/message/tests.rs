//! Tests of the broker messages: round trips, limits, and bytes that are none.

use alloc::format;
use alloc::vec;
use core::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::base::{ContactId, PublicKey};

fn bytes_of(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out).unwrap();
    let (body, taken) = split(&out).unwrap().unwrap();
    assert_eq!(taken, out.len());
    body.to_vec()
}

trait Unchecked: Message + Clone + PartialEq + Debug {
    /// The encoding without the sender's checks.
    fn unchecked(&self) -> Vec<u8>;
}

impl Unchecked for ToBroker {
    fn unchecked(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut Encoder::new(&mut out));
        out
    }
}

impl Unchecked for ToNode {
    fn unchecked(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut Encoder::new(&mut out));
        out
    }
}

fn service(name: &str) -> ServiceInfo {
    ServiceInfo { name: name.into(), kind: SERVICE_TCP, port: 80 }
}

fn hello(services: Vec<ServiceInfo>, candidates: Vec<Path>) -> ToBroker {
    ToBroker::Hello {
        version: 0x7269_7401,
        abi: 1,
        firmware: "linux".into(),
        services,
        candidates,
        ownership: None,
    }
}

/// Relays of so many addresses each.
fn relays(each: &[usize]) -> Vec<RelayOffer> {
    let path = Path { ip: [255; 16], port: u16::MAX, via: 0, socket: 0, ifindex: 0 };
    let relay = |n: &usize| RelayOffer {
        paths: vec![path; *n],
        token: RelayToken([6; 38]),
        key: ContactKey([7; 32]),
        tls: vec![path; *n],
    };
    each.iter().map(relay).collect()
}

fn offer(services: Vec<ServiceInfo>, candidates: Vec<Path>) -> ToNode {
    offer_with(services, candidates, relays(&[1]))
}

fn offer_with(
    services: Vec<ServiceInfo>,
    candidates: Vec<Path>,
    relays: Vec<RelayOffer>,
) -> ToNode {
    ToNode::Offer {
        request: u32::MAX,
        role: Side::Initiator,
        contact_id: ContactId([3; 8]),
        contact_key: ContactKey([4; 32]),
        lifetime_s: u32::MAX,
        peer: PublicKey([5; 32]),
        candidates,
        services,
        relays,
        mapping: MAPPING_DEPENDENT,
        chain: vec![],
    }
}

/// As the responder gets it.
fn offer_with_chain(chain: Vec<u8>, services: Vec<ServiceInfo>) -> ToNode {
    let path = Path { ip: [255; 16], port: u16::MAX, via: 0, socket: 0, ifindex: 0 };
    let mut offer =
        offer_with(services, vec![path; CANDIDATES_MAX], relays(&[RELAY_PATHS_MAX; RELAYS_MAX]));
    if let ToNode::Offer { role, chain: of_offer, .. } = &mut offer {
        (*role, *of_offer) = (Side::Responder, chain);
    }
    offer
}

fn owned(owner: Option<PublicKey>) -> ToBroker {
    let mut hello = hello(vec![service("web")], vec![]);
    if let ToBroker::Hello { ownership, .. } = &mut hello {
        *ownership = Some(Ownership { epoch: u32::MAX, list: u64::MAX, owner });
    }
    hello
}

fn note(request: u32, body: Vec<u8>) -> Note {
    Note { request, key: PublicKey([2; 32]), kind: u8::MAX, body }
}

fn of_nodes() -> Vec<ToBroker> {
    let path = Path::v4([192, 0, 2, 1], 7480);
    vec![
        ToBroker::Enrol { code: "ABCD-EFGH".into() },
        hello(vec![service("web"), service("ssh-2_x.y")], vec![path]),
        owned(None),
        owned(Some(PublicKey([8; 32]))),
        ToBroker::Connect { request: 7, device: PublicKey([9; 32]), chain: vec![] },
        ToBroker::Connect { request: 7, device: PublicKey([9; 32]), chain: vec![0x81, 1] },
        ToBroker::TimeQuery { nonce: [3; TIME_NONCE_LEN] },
        ToBroker::Candidates {
            candidates: vec![path, Path { ip: [1; 16], port: 1, via: 0, socket: 0, ifindex: 0 }],
        },
        ToBroker::Quiet { silence_s: QUIET_MAX_S, ask_back_s: Some(1) },
        ToBroker::Quiet { silence_s: 1, ask_back_s: None },
    ]
}

fn of_brokers() -> Vec<ToNode> {
    let path = Path::v4([192, 0, 2, 1], 7480);
    vec![
        ToNode::Welcome {
            observed: path,
            enrolled: true,
            time_unix_s: u64::MAX,
            others: vec![path],
            silence_max_s: 0,
        },
        ToNode::Enrolled,
        ToNode::Refused { request: 0, reason: RefuseReason::BadCode },
        offer(vec![service("web")], vec![path]),
        offer_with_chain(vec![0x81, 1], vec![]),
        ToNode::Time { statement: vec![0xd2, 1] },
        ToNode::Presence { key: PublicKey([1; 32]), online: false },
        ToNode::Observed { observed: path, other: Some(Path { port: 1, ..path }) },
        ToNode::Observed { observed: path, other: None },
    ]
}

/// Survives whole, and no part of it is a message; nor is it one the other way.
fn survives<M: Unchecked, Other: Unchecked>(message: &M) {
    let bytes = bytes_of(message);
    assert_eq!(M::decode(&bytes).as_ref(), Ok(&Some(message.clone())));
    assert!(bytes.len() <= message.len_at_most(), "{message:?}");
    assert_eq!(Other::decode(&bytes), Err(MessageError::Malformed), "{message:?}");
    for len in 0..bytes.len() {
        assert_eq!(M::decode(&bytes[..len]), Err(MessageError::Malformed));
    }
}

#[test]
fn every_message_survives() {
    of_nodes().iter().for_each(survives::<ToBroker, ToNode>);
    of_brokers().iter().for_each(survives::<ToNode, ToBroker>);
}

#[test]
fn notes_are_the_same_both_ways() {
    for body in [vec![], vec![7; NOTE_LEN_MAX]] {
        let note = note(u32::MAX, body);
        let (to_broker, to_node) = (ToBroker::Note(note.clone()), ToNode::Note(note));
        let bytes = bytes_of(&to_broker);
        assert_eq!(bytes, bytes_of(&to_node));
        assert!(bytes.len() <= to_broker.len_at_most());
        assert_eq!(ToBroker::decode(&bytes), Ok(Some(to_broker)));
        assert_eq!(ToNode::decode(&bytes), Ok(Some(to_node)));
        for len in 0..bytes.len() {
            assert_eq!(ToBroker::decode(&bytes[..len]), Err(MessageError::Malformed));
            assert_eq!(ToNode::decode(&bytes[..len]), Err(MessageError::Malformed));
        }
    }
}

#[test]
fn limits_of_what_concerns_owners() {
    let connect = |len: usize| ToBroker::Connect {
        request: 1,
        device: PublicKey([0; 32]),
        chain: vec![7; len],
    };
    limit(&connect(CHAIN_LEN_MAX), &connect(CHAIN_LEN_MAX + 1));
    let offer = |len: usize| offer_with_chain(vec![7; len], vec![]);
    limit(&offer(CHAIN_LEN_MAX), &offer(CHAIN_LEN_MAX + 1));
    // With the services of a device too it might be longer than a message.
    limit(&offer_with_chain(vec![7; 9], vec![]), &offer_with_chain(vec![7; 9], vec![service("a")]));
    let to_broker = |request, len: usize| ToBroker::Note(note(request, vec![7; len]));
    limit(&to_broker(u32::MAX, NOTE_LEN_MAX), &to_broker(u32::MAX, NOTE_LEN_MAX + 1));
    limit(&to_broker(1, 0), &to_broker(0, 0));
    let to_node = |request, len: usize| ToNode::Note(note(request, vec![7; len]));
    limit(&to_node(u32::MAX, NOTE_LEN_MAX), &to_node(u32::MAX, NOTE_LEN_MAX + 1));
    limit(&to_node(1, 0), &to_node(0, 0));
    let time = |len: usize| ToNode::Time { statement: vec![7; len] };
    limit(&time(TIME_LEN_MAX), &time(TIME_LEN_MAX + 1));
    limit(&time(1), &time(0));
}

#[test]
fn the_bytes_are_those_of_the_description() {
    assert_eq!(bytes_of(&ToNode::Enrolled), [0x82, 6, 0xa0]);
    let refused = ToNode::Refused { request: 1, reason: RefuseReason::Other(200) };
    assert_eq!(bytes_of(&refused), [0x82, 7, 0xa2, 0, 1, 1, 0x18, 200]);
    assert_eq!(bytes_of(&ToBroker::Enrol { code: "A".into() }), [0x82, 1, 0xa1, 0, 0x61, b'A']);
    let mut connect = vec![0x82, 3, 0xa2, 0, 5, 1, 0x58, 32];
    connect.extend([8; 32]);
    assert_eq!(
        bytes_of(&ToBroker::Connect { request: 5, device: PublicKey([8; 32]), chain: vec![] }),
        connect.as_slice()
    );
    let mut welcome = vec![0x82, 5, 0xa4, 0, 0x82, 0x50];
    welcome.extend(Path::v4([1, 2, 3, 4], 5).ip);
    welcome.extend([5, 1, 0xf5, 2, 6, 3, 0x80]);
    let path = Path::v4([1, 2, 3, 4], 5);
    let message = ToNode::Welcome {
        observed: path,
        enrolled: true,
        time_unix_s: 6,
        others: vec![],
        silence_max_s: 0,
    };
    assert_eq!(bytes_of(&message), welcome);
    let mut note = vec![0x82, 12, 0xa4, 0, 5, 1, 0x58, 32];
    note.extend([2; 32]);
    note.extend([2, 0x18, 255, 3, 0x42, 1, 2]);
    assert_eq!(bytes_of(&ToNode::Note(self::note(5, vec![1, 2]))), note);
    let mut query = vec![0x82, 13, 0xa1, 0, 0x50];
    query.extend([9; 16]);
    assert_eq!(bytes_of(&ToBroker::TimeQuery { nonce: [9; 16] }), query);
    let time = ToNode::Time { statement: vec![1, 2, 3] };
    assert_eq!(bytes_of(&time), [0x82, 14, 0xa1, 0, 0x43, 1, 2, 3]);
}

#[test]
fn reasons_keep_their_numbers() {
    for code in 0..=u8::MAX {
        assert_eq!(RefuseReason::from_code(code).code(), code);
    }
}

#[test]
fn unknown_types_are_skipped() {
    for bytes in [
        &[0x82, 15, 0xa0][..],
        &[0x82, 0, 0xa0],
        &[0x82, 0x18, 99, 0x9f, 1, 0x9f, 0xff, 0xff],
        &[0x82, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255, 0xf6],
    ] {
        assert_eq!(ToBroker::decode(bytes), Ok(None), "{bytes:02x?}");
        assert_eq!(ToNode::decode(bytes), Ok(None), "{bytes:02x?}");
    }
}

#[test]
fn unknown_fields_are_skipped() {
    let mut bytes = Vec::new();
    let mut e = minicbor::Encoder::new(&mut bytes);
    e.array(2).unwrap().u8(7).unwrap().map(5).unwrap();
    e.i8(-1).unwrap().str("earlier").unwrap();
    e.u8(0).unwrap().u32(3).unwrap();
    e.u8(9).unwrap().begin_array().unwrap().u8(1).unwrap().map(0).unwrap().end().unwrap();
    e.u8(1).unwrap().u8(4).unwrap();
    e.u32(100_000).unwrap().tag(minicbor::data::Tag::new(1)).unwrap().u8(1).unwrap();
    let refused = ToNode::Refused { request: 3, reason: RefuseReason::Offline };
    assert_eq!(ToNode::decode(&bytes), Ok(Some(refused)));
    assert_eq!(ToNode::decode(&[0x82, 6, 0xa1, 0, 0x80]), Ok(Some(ToNode::Enrolled)));
}

#[test]
fn lists_of_a_hello_may_be_absent() {
    let bytes = [0x82, 2, 0xa3, 0, 1, 1, 2, 2, 0x60];
    let message = ToBroker::Hello {
        version: 1,
        abi: 2,
        firmware: String::new(),
        services: vec![],
        candidates: vec![],
        ownership: None,
    };
    assert_eq!(ToBroker::decode(&bytes), Ok(Some(message)));
}

#[test]
fn what_is_not_a_message() {
    for bytes in [
        &[][..],
        &[0x82],
        &[0x82, 6],
        &[0x81, 6],
        &[0x83, 6, 0xa0, 0xa0],
        &[0x9f, 6, 0xa0, 0xff],
        &[0x82, 0x20, 0xa0],
        &[0x82, 0x61, b'a', 0xa0],
        &[0xa0],
        &[0xff],
        &[0x82, 6, 0xa0, 0],
        &[0x82, 10, 0xa0, 0],
        &[0x82, 7, 0xa1, 0, 1],
        &[0x82, 7, 0xa2, 0, 1, 1, 0x19, 1, 0],
        &[0x82, 7, 0xa2, 0, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1],
        &[0x82, 1, 0xa1, 0, 0x61, 0xff],
        &[0x82, 1, 0xa1, 0, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0x82, 4, 0xa1, 0, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0x82, 3, 0xa2, 0, 1, 1, 0x41, 1],
        &[0x82, 12, 0xa0],
        &[0x82, 13, 0xa1, 0, 0x41, 1],
        &[0x82, 14, 0xa1, 0, 0x61, b'a'],
    ] {
        let malformed = MessageError::Malformed;
        assert_eq!(ToBroker::decode(bytes), Err(malformed), "{bytes:02x?}");
        assert_eq!(ToNode::decode(bytes), Err(malformed), "{bytes:02x?}");
    }
}

/// At its limit a message goes both ways; over it, it can neither be sent nor received.
fn limit<M: Unchecked>(at: &M, over: &M) {
    let bytes = bytes_of(at);
    assert_eq!(M::decode(&bytes).unwrap().as_ref(), Some(at));
    assert!(bytes.len() <= at.len_at_most(), "{at:?}");
    let mut out = vec![1];
    assert_eq!(over.encode(&mut out), Err(MessageError::Value), "{over:?}");
    assert_eq!(out, [1]);
    assert_eq!(M::decode(&over.unchecked()), Err(MessageError::Value), "{over:?}");
}

#[test]
fn limits_of_lists_and_texts() {
    let path = Path { ip: [255; 16], port: u16::MAX, via: 0, socket: 0, ifindex: 0 };
    let web = |n: usize| vec![service("web"); n];
    let paths = |n: usize| vec![path; n];
    let named = |len: usize| vec![service(&"a".repeat(len))];
    let code = |len: usize| ToBroker::Enrol { code: EnrolCode("a".repeat(len)) };
    let firmware = |len: usize| ToBroker::Hello {
        version: 1,
        abi: 1,
        firmware: "a".repeat(len),
        services: vec![],
        candidates: vec![],
        ownership: None,
    };
    limit(&code(CODE_LEN_MAX), &code(CODE_LEN_MAX + 1));
    limit(&code(1), &code(0));
    let quiet = |silence_s, ask_back_s| ToBroker::Quiet { silence_s, ask_back_s };
    limit(&quiet(QUIET_MAX_S, None), &quiet(QUIET_MAX_S + 1, None));
    limit(&quiet(1, Some(QUIET_MAX_S)), &quiet(1, Some(QUIET_MAX_S + 1)));
    limit(&quiet(1, Some(1)), &quiet(0, Some(1)));
    limit(&quiet(1, Some(1)), &quiet(1, Some(0)));
    limit(&firmware(FIRMWARE_LEN_MAX), &firmware(FIRMWARE_LEN_MAX + 1));
    limit(&hello(web(SERVICES_MAX), vec![]), &hello(web(SERVICES_MAX + 1), vec![]));
    limit(&offer(web(SERVICES_MAX), vec![]), &offer(web(SERVICES_MAX + 1), vec![]));
    limit(&hello(named(63), vec![]), &hello(named(64), vec![]));
    limit(&hello(named(1), vec![]), &hello(named(0), vec![]));
    limit(&hello(vec![], paths(CANDIDATES_MAX)), &hello(vec![], paths(CANDIDATES_MAX + 1)));
    limit(&offer(vec![], paths(CANDIDATES_MAX)), &offer(vec![], paths(CANDIDATES_MAX + 1)));
    limit(
        &ToBroker::Candidates { candidates: paths(CANDIDATES_MAX) },
        &ToBroker::Candidates { candidates: paths(CANDIDATES_MAX + 1) },
    );
    let related = |each: &[usize]| offer_with(vec![], vec![], relays(each));
    limit(&related(&[1; RELAYS_MAX]), &related(&[1; RELAYS_MAX + 1]));
    limit(&related(&[RELAY_PATHS_MAX]), &related(&[RELAY_PATHS_MAX + 1]));
    limit(&related(&[1]), &related(&[0]));
    let by_tls = |count: usize, port| {
        let mut relays = relays(&[1]);
        relays[0].tls = vec![Path { port, ..relays[0].paths[0] }; count];
        offer_with(vec![], vec![], relays)
    };
    limit(&by_tls(RELAY_PATHS_MAX, 443), &by_tls(RELAY_PATHS_MAX + 1, 443));
    limit(&by_tls(1, 443), &by_tls(1, 0));
    let to = |port| ToBroker::Candidates {
        candidates: vec![Path { ip: [0; 16], port, via: 0, socket: 0, ifindex: 0 }],
    };
    limit(&to(1), &to(0));
    let connect =
        |request| ToBroker::Connect { request, device: PublicKey([0; 32]), chain: vec![] };
    limit(&connect(u32::MAX), &connect(0));
}

#[test]
fn all_limits_at_once_fit() {
    let path = Path { ip: [255; 16], port: u16::MAX, via: 0, socket: 0, ifindex: 0 };
    let longest = ServiceInfo { name: "a".repeat(63), kind: u8::MAX, port: u16::MAX };
    survives::<ToNode, ToBroker>(&offer_with(
        vec![longest.clone(); SERVICES_MAX],
        vec![path; CANDIDATES_MAX],
        relays(&[RELAY_PATHS_MAX; RELAYS_MAX]),
    ));
    survives::<ToNode, ToBroker>(&offer_with_chain(vec![u8::MAX; CHAIN_LEN_MAX], vec![]));
    survives::<ToBroker, ToNode>(&ToBroker::Hello {
        version: u32::MAX,
        abi: u32::MAX,
        firmware: "a".repeat(FIRMWARE_LEN_MAX),
        services: vec![longest; SERVICES_MAX],
        candidates: vec![path; CANDIDATES_MAX],
        ownership: Some(Ownership {
            epoch: u32::MAX,
            list: u64::MAX,
            owner: Some(PublicKey([255; 32])),
        }),
    });
}

#[test]
fn names_of_services() {
    for name in ["a", "0", "web-1_x.y", "-"] {
        assert!(is_service_name(name));
    }
    for name in ["", "Web", "a b", "a/b", "ä", "a\0"] {
        assert!(!is_service_name(name));
        let message = hello(vec![service(name)], vec![]);
        assert_eq!(ToBroker::decode(&message.unchecked()), Err(MessageError::Value));
    }
}

#[test]
fn length_limit_of_the_stream() {
    let skipped = |len: usize| {
        let mut bytes = vec![0x82, 15, 0x59];
        bytes.extend(((len - 5) as u16).to_be_bytes());
        bytes.resize(len, 0);
        bytes
    };
    assert_eq!(ToNode::decode(&skipped(MESSAGE_LEN_MAX)), Ok(None));
    assert_eq!(ToNode::decode(&skipped(MESSAGE_LEN_MAX + 1)), Err(MessageError::TooLong));
    assert_eq!(split(&[0x10, 0x01]), Err(MessageError::TooLong));
    assert_eq!(split(&[0x10, 0x00]), Ok(None));
    assert_eq!(split(&[]), Ok(None));
    assert_eq!(split(&[0x10]), Ok(None));
    assert_eq!(split(&[0, 0, 9]), Ok(Some((&[][..], 2))));
    assert_eq!(split(&[0, 1, 9, 9]), Ok(Some((&[9][..], 3))));
    assert_eq!(split(&[0, 2, 9]), Ok(None));
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?} {:?}", offer(vec![], vec![]), ToBroker::Enrol { code: "HUSH".into() });
    assert!(!text.contains("HUSH") && !text.contains("4, 4"), "{text}");
}

/// Bytes that look enough like a message to get past the first checks.
fn near_message() -> impl Strategy<Value = Vec<u8>> {
    let mut all: Vec<_> = of_nodes().iter().map(bytes_of).collect();
    all.extend(of_brokers().iter().map(bytes_of));
    all.push(bytes_of(&ToNode::Note(note(5, vec![1, 2]))));
    (prop::sample::select(all), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        },
    )
}

/// What is read can be sent.
fn is_consistent<M: Unchecked>(bytes: &[u8]) {
    if let Ok(Some(message)) = M::decode(bytes) {
        assert_eq!(M::decode(&bytes_of(&message)), Ok(Some(message)));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = split(&bytes);
        let mut known = vec![0x82, bytes.first().map_or(1, |b| b % 15)];
        known.extend(&bytes);
        for bytes in [bytes, known] {
            is_consistent::<ToBroker>(&bytes);
            is_consistent::<ToNode>(&bytes);
        }
    }

    #[test]
    fn what_is_read_can_be_sent(bytes in near_message()) {
        is_consistent::<ToBroker>(&bytes);
        is_consistent::<ToNode>(&bytes);
    }
}
