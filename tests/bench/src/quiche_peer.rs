//! quiche, with BoringSSL: buffers of the caller, taken in in place, as ours.
//!
//! What differs: it reads the clock itself, so its time is real; its pacing is off, because nobody
//! here waits; its responder shows an X.509 certificate that nobody checks. BoringSSL takes
//! AES-128-GCM where the processor has AES instructions.

use crate::bulk::{BLOCK, BURST, Pair, WINDOW};
use boring::asn1::Asn1Time;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::ssl::{SslContextBuilder, SslMethod};
use boring::x509::X509;
use quiche::{Config, Connection, ConnectionId, PROTOCOL_VERSION, RecvInfo};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The first bidirectional stream of the initiator.
const STREAM: u64 = 0;
/// The largest datagram there is.
const MAX_DATAGRAM: usize = 9000;

/// Two connected ends and a stream.
pub struct Quiche {
    a: Connection,
    b: Connection,
    bytes: Vec<u8>,
    lens: Vec<usize>,
    block: Vec<u8>,
    largest: usize,
}

impl Quiche {
    /// Connected; the stream opens with its first byte.
    pub fn new(datagram: usize) -> Quiche {
        let [a_id, b_id] = [[1; 8], [2; 8]].map(|id| ConnectionId::from_vec(id.to_vec()));
        let (mut client, mut server) = (config(datagram, false), config(datagram, true));
        let a = quiche::connect(Some("bench"), &a_id, a_address(), b_address(), &mut client);
        let b = quiche::accept(&b_id, None, b_address(), a_address(), &mut server);
        let mut pair = Quiche {
            a: a.expect("it opens"),
            b: b.expect("it accepts"),
            bytes: vec![0; BURST * MAX_DATAGRAM],
            lens: Vec::with_capacity(BURST),
            block: vec![7; BLOCK],
            largest: 0,
        };
        while !pair.a.is_established() || !pair.b.is_established() {
            let moved = pair.forward() + pair.backward();
            assert!(moved > 0, "the handshake stands still");
        }
        pair
    }
}

fn a_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), 7001))
}

fn b_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 7002))
}

fn config(datagram: usize, is_server: bool) -> Config {
    let mut tls = SslContextBuilder::new(SslMethod::tls()).expect("there is memory");
    if is_server {
        let key = private_key();
        tls.set_certificate(&certificate(&key)).expect("it is well-formed");
        tls.set_private_key(&key).expect("it is the certificate's");
    }
    let mut config =
        Config::with_boring_ssl_ctx_builder(PROTOCOL_VERSION, tls).expect("it is supported");
    config.verify_peer(false);
    config.set_application_protos(&[b"bench"]).expect("one name");
    config.set_max_send_udp_payload_size(datagram);
    config.set_max_recv_udp_payload_size(datagram);
    config.set_initial_max_data(WINDOW);
    config.set_max_connection_window(WINDOW);
    config.set_max_stream_window(WINDOW);
    config.set_initial_max_stream_data_bidi_local(WINDOW);
    config.set_initial_max_stream_data_bidi_remote(WINDOW);
    config.set_initial_max_streams_bidi(1);
    config.enable_pacing(false);
    config
}

fn private_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("the curve is known");
    PKey::from_ec_key(EcKey::generate(&group).expect("there is entropy")).expect("a key")
}

/// A certificate with nothing in it but the key; the peer does not check it.
fn certificate(key: &PKey<Private>) -> X509 {
    let mut builder = X509::builder().expect("there is memory");
    builder.set_version(2).expect("version 3");
    builder.set_pubkey(key).expect("a key");
    let times = [0, 365].map(|days| Asn1Time::days_from_now(days).expect("a date"));
    builder.set_not_before(&times[0]).expect("a date");
    builder.set_not_after(&times[1]).expect("a date");
    builder.sign(key, MessageDigest::sha256()).expect("it signs");
    builder.build()
}

/// A burst of one end's datagrams, taken in by the other.
fn burst(
    from: &mut Connection,
    to: &mut Connection,
    info: RecvInfo,
    bytes: &mut [u8],
    lens: &mut Vec<usize>,
) {
    lens.clear();
    let mut start = 0;
    while lens.len() < BURST {
        let Ok((len, _)) = from.send(&mut bytes[start..start + MAX_DATAGRAM]) else { break };
        lens.push(len);
        start += len;
    }
    let mut start = 0;
    for len in lens.iter() {
        to.recv(&mut bytes[start..start + len], info).expect("the peer is honest");
        start += len;
    }
    settle(from);
    settle(to);
}

/// What whoever drives a connection does after each batch.
fn settle(end: &mut Connection) {
    if end.timeout() == Some(Duration::ZERO) {
        end.on_timeout();
    }
}

impl Pair for Quiche {
    fn write(&mut self, room: usize) -> usize {
        self.a.stream_send(STREAM, &self.block[..room], false).unwrap_or(0)
    }

    fn forward(&mut self) -> usize {
        let info = RecvInfo { from: a_address(), to: b_address() };
        burst(&mut self.a, &mut self.b, info, &mut self.bytes, &mut self.lens);
        self.largest = self.lens.iter().copied().max().unwrap_or(0).max(self.largest);
        self.lens.len()
    }

    fn read(&mut self) -> usize {
        let mut read = 0;
        while let Ok((n @ 1.., _)) = self.b.stream_recv(STREAM, &mut self.block) {
            read += n;
        }
        read
    }

    fn backward(&mut self) -> usize {
        let info = RecvInfo { from: b_address(), to: a_address() };
        burst(&mut self.b, &mut self.a, info, &mut self.bytes, &mut self.lens);
        self.lens.len()
    }

    fn wait(&mut self) {
        let timers = [self.a.timeout(), self.b.timeout()];
        // Sleeping takes no CPU time, which is what counts.
        std::thread::sleep(timers.into_iter().flatten().min().unwrap_or_default());
        settle(&mut self.a);
        settle(&mut self.b);
    }

    fn take_largest(&mut self) -> usize {
        std::mem::take(&mut self.largest)
    }
}
