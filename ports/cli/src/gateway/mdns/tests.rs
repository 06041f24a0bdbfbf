//! Answers as responders send them, and as nobody should.

use rit_core::base::Rng;
use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, AAAA, PTR, SRV};

use super::*;

fn record(owner: &str, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(owner).unwrap().into_owned(), CLASS::IN, 120, data)
}

fn pointer(owner: &str, to: &str) -> ResourceRecord<'static> {
    record(owner, RData::PTR(PTR(Name::new(to).unwrap().into_owned())))
}

fn place(owner: &str, host: &str, port: u16) -> ResourceRecord<'static> {
    let target = Name::new(host).unwrap().into_owned();
    record(owner, RData::SRV(SRV { priority: 0, weight: 0, port, target }))
}

fn address(owner: &str, address: [u8; 4]) -> ResourceRecord<'static> {
    record(owner, RData::A(A { address: u32::from_be_bytes(address) }))
}

fn answer(id: u16, records: Vec<ResourceRecord<'static>>) -> Vec<u8> {
    let mut packet = Packet::new_reply(id);
    packet.answers = records;
    packet.build_bytes_vec_compressed().unwrap()
}

fn hvac(id: u16) -> Vec<u8> {
    answer(
        id,
        vec![
            pointer(TYPES, "_http._tcp.local"),
            pointer("_http._tcp.local", r"HVAC\. Roof._http._tcp.local"),
            place(r"hvac\. roof._http._tcp.local", "HVAC.local", 80),
            address("hvac.local", [192, 168, 1, 20]),
            record("hvac.local", RData::AAAA(AAAA { address: 0xfd00 << 112 | 5 })),
        ],
    )
}

#[test]
fn a_service_is_told() {
    let mut heard = Heard::default();
    heard.take(&hvac(7), 7);
    let (services, names) = heard.into_services();
    let [only] = &services[..] else { panic!("{services:?}") };
    assert_eq!((&*only.label, &*only.kind, only.port), ("HVAC. Roof", "_http._tcp.local", 80));
    let v4 = IpAddr::from([192, 168, 1, 20]);
    assert_eq!(only.addresses, [v4, "fd00::5".parse().unwrap()]);
    assert_eq!(names[&v4], "hvac");
}

#[test]
fn questions_follow_what_is_known() {
    let mut heard = Heard::default();
    let first = heard.questions();
    assert!(first.contains(&(TYPES.to_owned(), TYPE::PTR)));
    assert!(first.contains(&("_http._tcp.local".to_owned(), TYPE::PTR)));
    assert_eq!(heard.questions(), []);
    heard.take(&answer(7, vec![pointer(TYPES, "_own._tcp.local")]), 7);
    assert_eq!(heard.questions(), [("_own._tcp.local".to_owned(), TYPE::PTR)]);
    heard.take(&answer(7, vec![pointer("_own._tcp.local", "x._own._tcp.local")]), 7);
    assert_eq!(heard.questions(), [("x._own._tcp.local".to_owned(), TYPE::SRV)]);
    heard.take(&answer(7, vec![place("x._own._tcp.local", "x.local", 9)]), 7);
    let asked = heard.questions();
    let name = "x.local".to_owned();
    assert_eq!(asked, [(name.clone(), TYPE::A), (name, TYPE::AAAA)]);
    let bytes = query(9, &asked).unwrap();
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.id(), packet.questions.len()), (9, 2));
    assert_eq!(query(9, &[("a".repeat(64), TYPE::A)]), None);
}

#[test]
fn what_was_not_asked_for() {
    let mut heard = Heard::default();
    heard.take(&hvac(8), 7);
    let mut question = hvac(7);
    question[2] &= 0x7f;
    heard.take(&question, 7);
    // A place of an instance that nobody listed, and addresses that are nobody's.
    heard.take(&answer(7, vec![place("x._http._tcp.local", "x.local", 80)]), 7);
    heard.take(&answer(7, vec![address("x.local", [127, 0, 0, 1])]), 7);
    heard.take(&answer(7, vec![address("x.local", [169, 254, 169, 254])]), 7);
    heard.take(&answer(7, vec![pointer("www.example", "_http._tcp.local")]), 7);
    assert!(heard.instances.is_empty() && heard.hosts.is_empty() && heard.kinds.is_empty());
    assert!(!is_responder(&"192.168.1.20:5354".parse().unwrap()));
    assert!(is_responder(&"192.168.1.20:5353".parse().unwrap()));
}

/// However much is told, no more is kept than there is room for.
#[test]
fn no_more_than_there_is_room_for() {
    let mut heard = Heard::default();
    for i in 0..2000_u16 {
        let [high, low] = i.to_be_bytes();
        let records = vec![
            pointer(TYPES, &format!("_t{i}._tcp.local")),
            pointer("_http._tcp.local", &format!("i{i}._http._tcp.local")),
            place(&format!("i{i}._http._tcp.local"), &format!("h{i}.local"), 80),
            address(&format!("h{i}.local"), [10, 0, high, low]),
            address("one.local", [10, 1, high, low]),
        ];
        heard.take(&answer(7, records), 7);
    }
    assert_eq!(heard.kinds.len(), TYPES_MAX);
    assert_eq!(heard.instances.len(), INSTANCES_MAX);
    assert_eq!(heard.hosts.len(), HOSTS_MAX);
    assert_eq!(heard.hosts["one.local"].len(), ADDRESSES_MAX);
    assert_eq!(heard.into_services().0.len(), INSTANCES_MAX);
}

#[test]
fn noise_does_no_harm() {
    let mut rng = Rng::from_seed([6; 32]);
    let good = hvac(7);
    let mut heard = Heard::default();
    for _ in 0..20_000 {
        let mut bent = good.clone();
        let mut dice = [0; 9];
        rng.fill(&mut dice);
        for pair in dice[..8].chunks(2) {
            let at = usize::from(pair[0]) % bent.len();
            bent[at] = pair[1];
        }
        if dice[8] < 64 {
            bent.truncate(usize::from(dice[8]) * good.len() / 64);
        }
        let id =
            u16::from_be_bytes([bent.first().copied().unwrap_or(0), *bent.get(1).unwrap_or(&0)]);
        heard.take(&bent, id);
        let questions = heard.questions();
        let _ = questions.chunks(QUESTIONS_MAX).filter_map(|some| query(7, some)).count();
    }
    let (services, _) = heard.into_services();
    assert!(services.len() <= INSTANCES_MAX);
}
