//! A resolver for the names of what is reached: DNS (RFC 1035) by UDP at a loopback address.
//!
//! Owns its socket, its thread and what is answered: A below `rit`, no data for other types there,
//! and REFUSED elsewhere, as it asks nobody. Messages are read and written by `simple-dns`.
//! Invariants: an answer fits into 512 octets, so none is ever cut off; what is no query gets
//! FORMERR, or where not even that can be addressed, nothing; the address is the loopback's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use simple_dns::rdata::{A, OPT, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, TYPE};
use simple_dns::{Question, ResourceRecord};

use crate::error::{Error, Exit, other};
use crate::hostnames::{DOMAIN, Table};

const HEADER_LEN: usize = 12;
/// A query is one name, and perhaps some options.
const QUERY_MAX: usize = 4096;
/// With a name of 255 octets, so many addresses and an option stay below 512.
const ANSWERS_MAX: usize = 12;
/// Addresses come and go with sessions.
const TTL_S: u32 = 5;

/// Answers until it is dropped.
pub(crate) struct Resolver {
    table: Arc<Mutex<Table>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
}

/// Where to listen, as it is written: port 53 without one.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let at: SocketAddr = match text.parse() {
        Ok(at) => at,
        Err(_no_port) => {
            let ip = text.parse().map_err(|_neither| "ADDRESS[:PORT], such as 127.0.0.153:53")?;
            SocketAddr::new(ip, 53)
        }
    };
    if at.ip().is_loopback() { Ok(at) } else { Err(format!("{} is no loopback address", at.ip())) }
}

impl Resolver {
    pub(crate) fn open(at: SocketAddr) -> Result<Resolver, Error> {
        let socket = UdpSocket::bind(at).map_err(|error| {
            Error::new(Exit::Failed, format!("cannot answer names at {at}: {error}"))
                .advice("Choose another: --resolver 127.0.0.153:5353. Ports below 1024 need root.")
        })?;
        // So that the end is noticed.
        socket.set_read_timeout(Some(Duration::from_millis(250))).map_err(other)?;
        let address = socket.local_addr().map_err(other)?;
        let (table, is_over) = (Arc::default(), Arc::default());
        let (its_table, its_end) = (Arc::clone(&table), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || serve(&socket, &its_table, &its_end));
        Ok(Resolver { table, is_over, thread: Some(thread), address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers these from now on.
    pub(crate) fn set(&self, table: Table) {
        *lock(&self.table) = table;
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, table: &Mutex<Table>, is_over: &AtomicBool) {
    let mut buffer = [0; QUERY_MAX];
    while !is_over.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let answer = answer(&lock(table), &buffer[..len]);
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer; `None`: it is none that can be answered, or an answer itself.
fn answer(table: &Table, query: &[u8]) -> Option<Vec<u8>> {
    let (id, flags) = (query.get(..2)?, query.get(2)?);
    if query.len() < HEADER_LEN || flags & 0x80 != 0 {
        return None;
    }
    let mut reply = Packet::new_reply(u16::from_be_bytes([id[0], id[1]]));
    let Ok(query) = Packet::parse(query) else {
        *reply.rcode_mut() = RCODE::FormatError;
        return reply.build_bytes_vec().ok();
    };
    *reply.opcode_mut() = query.opcode();
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    if query.opt().is_some() {
        *reply.opt_mut() = Some(OPT { opt_codes: vec![], udp_packet_size: 512, version: 0 });
    }
    let (code, addresses) = match (&query.questions[..], query.opcode()) {
        (_, opcode) if opcode != OPCODE::StandardQuery => (RCODE::NotImplemented, vec![]),
        ([question], _) => {
            reply.questions.push(question.clone());
            look_up(table, question)
        }
        _ => (RCODE::FormatError, vec![]),
    };
    if matches!(code, RCODE::NoError | RCODE::NameError) {
        reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    }
    *reply.rcode_mut() = code;
    for address in addresses {
        let name = reply.questions[0].qname.clone();
        let data = RData::A(A { address: u32::from(address) });
        reply.answers.push(ResourceRecord::new(name, CLASS::IN, TTL_S, data));
    }
    reply.build_bytes_vec_compressed().ok()
}

fn look_up(table: &Table, question: &Question<'_>) -> (RCODE, Vec<Ipv4Addr>) {
    let Some(name) = text(&question.qname) else { return (RCODE::Refused, vec![]) };
    let is_ours = name == DOMAIN || name.ends_with(&format!(".{DOMAIN}"));
    let is_internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    if !is_ours || !is_internet {
        return (RCODE::Refused, vec![]);
    }
    let Some(addresses) = table.get(&name) else {
        // What is above a name is there, with nothing of its own (RFC 8020).
        let above = format!(".{name}");
        let is_above = name == DOMAIN || table.keys().any(|name| name.ends_with(&above));
        return (if is_above { RCODE::NoError } else { RCODE::NameError }, vec![]);
    };
    match question.qtype {
        QTYPE::TYPE(TYPE::A) | QTYPE::ANY => {
            (RCODE::NoError, addresses.iter().take(ANSWERS_MAX).copied().collect())
        }
        _ => (RCODE::NoError, vec![]),
    }
}

/// A name in lower case; `None`: there are octets in it that no name of ours has.
fn text(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !label.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|c| c.to_ascii_lowercase() as char));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::base::Rng;

    fn table() -> Table {
        let all: Vec<Ipv4Addr> = (1..=20).map(|last| Ipv4Addr::new(127, 1, 2, last)).collect();
        Table::from([
            ("web.garage.rit".to_owned(), [all[0]].into()),
            ("a.b.garage.rit".to_owned(), [all[1]].into()),
            ("garage.rit".to_owned(), all.into_iter().collect()),
        ])
    }

    fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        *packet.opt_mut() = Some(OPT { opt_codes: vec![], udp_packet_size: 1232, version: 0 });
        let name = Name::new_unchecked(name);
        packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
        packet.build_bytes_vec().unwrap()
    }

    fn asked(name: &str, kind: TYPE) -> (RCODE, usize) {
        let bytes = answer(&table(), &query(name, kind)).unwrap();
        assert!(bytes.len() <= 512);
        let reply = Packet::parse(&bytes).unwrap();
        assert_eq!((reply.id(), reply.questions.len()), (7, 1));
        assert!(reply.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED));
        assert!(!reply.has_flags(PacketFlag::TRUNCATION) && reply.opt().is_some());
        (reply.rcode(), reply.answers.len())
    }

    #[test]
    fn names_are_answered() {
        for name in ["web.garage.rit", "WEB.Garage.RIT"] {
            let bytes = answer(&table(), &query(name, TYPE::A)).unwrap();
            let reply = Packet::parse(&bytes).unwrap();
            let [only] = &reply.answers[..] else { panic!("{reply:?}") };
            assert_eq!(only.rdata, RData::A(A { address: 0x7f01_0201 }));
            assert_eq!((only.ttl, only.name.to_string()), (TTL_S, name.to_owned()));
        }
        assert_eq!(asked("web.garage.rit", TYPE::AAAA), (RCODE::NoError, 0));
        assert_eq!(asked("garage.rit", TYPE::A), (RCODE::NoError, ANSWERS_MAX));
        for above in ["rit", "b.garage.rit"] {
            assert_eq!(asked(above, TYPE::A), (RCODE::NoError, 0), "{above}");
        }
        assert_eq!(asked("ssh.garage.rit", TYPE::A), (RCODE::NameError, 0));
        for strange in ["example.org", "brit", "garage.rit.example", "a b.rit"] {
            assert_eq!(asked(strange, TYPE::A), (RCODE::Refused, 0), "{strange}");
        }
    }

    #[test]
    fn the_longest_name_fits() {
        let longest = format!(
            "{}.{}.{}.{}.rit",
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(57)
        );
        let mut table = table();
        let all = table["garage.rit"].clone();
        table.insert(longest.clone(), all);
        let bytes = answer(&table, &query(&longest, TYPE::A)).unwrap();
        assert_eq!(Packet::parse(&bytes).unwrap().answers.len(), ANSWERS_MAX);
        assert!(bytes.len() <= 512, "{}", bytes.len());
    }

    #[test]
    fn what_is_no_query() {
        let good = query("web.garage.rit", TYPE::A);
        for len in 0..good.len() {
            let bytes = answer(&table(), &good[..len]);
            assert_eq!(bytes.is_some(), len >= HEADER_LEN, "{len}");
            if let Some(bytes) = bytes {
                assert_eq!(Packet::parse(&bytes).unwrap().rcode(), RCODE::FormatError, "{len}");
            }
        }
        let mut reply = good.clone();
        reply[2] |= 0x80;
        assert_eq!(answer(&table(), &reply), None);
        let mut two = Packet::parse(&good).unwrap();
        two.questions.push(two.questions[0].clone());
        let bytes = answer(&table(), &two.build_bytes_vec().unwrap()).unwrap();
        assert_eq!(Packet::parse(&bytes).unwrap().rcode(), RCODE::FormatError);
        let mut notify = good;
        notify[2] = 4 << 3;
        let bytes = answer(&table(), &notify).unwrap();
        assert_eq!(Packet::parse(&bytes).unwrap().rcode(), RCODE::NotImplemented);
    }

    #[test]
    fn noise_does_no_harm() {
        let (mut rng, table) = (Rng::from_seed([5; 32]), table());
        let good = query("web.garage.rit", TYPE::A);
        for _ in 0..20_000 {
            let mut dice = [0; 80];
            rng.fill(&mut dice);
            let len = usize::from(dice[0]) % 80;
            let _ = answer(&table, &dice[..len]);
            let mut bent = good.clone();
            for pair in dice[..6].chunks(2) {
                let at = usize::from(pair[0]) % bent.len();
                bent[at] = pair[1];
            }
            assert!(answer(&table, &bent).is_none_or(|reply| reply.len() <= 512));
        }
    }

    #[test]
    fn only_at_the_loopback() {
        assert_eq!(address("127.0.0.153"), Ok("127.0.0.153:53".parse().unwrap()));
        assert_eq!(address("[::1]:5353"), Ok("[::1]:5353".parse().unwrap()));
        for wrong in ["", "53", "0.0.0.0:53", "192.0.2.1", "localhost:53", "127.0.0.1:65536"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn by_a_socket() {
        let resolver = Resolver::open("127.0.0.1:0".parse().unwrap()).unwrap();
        resolver.set(table());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(resolver.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.send(b"x").unwrap();
        client.send(&query("web.garage.rit", TYPE::A)).unwrap();
        let mut bytes = [0; 600];
        let len = client.recv(&mut bytes).unwrap();
        assert_eq!(Packet::parse(&bytes[..len]).unwrap().answers.len(), 1);
        assert!(Resolver::open(resolver.address()).is_err());
    }
}
