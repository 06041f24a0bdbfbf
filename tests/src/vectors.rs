//! Test vectors of the protocol: what the bytes are, computed from fixed inputs.
//!
//! `tests/vectors/protocol.txt` holds what this module computed once; from then on the two must
//! agree, so that no change of the core moves a byte unnoticed. A second implementation checks
//! itself against the file alone. Packet protection is done here by hand from RFC 9001 §5, so that
//! the core's own code is compared with it rather than with itself.

use rit_core::base::{ContactId, Path, PublicKey, Side};
use rit_core::crypto::{
    self, DirectionKeys, Provider, RawKey, Secret, Suite, broker_contact, contact_secrets,
    expand_label, session_secrets,
};
use rit_core::wire::VERSION;
use rit_core::wire::ack;
use rit_core::wire::cid::Cid;
use rit_core::wire::codec::{Full, Writer};
use rit_core::wire::frame as frames;
use rit_core::wire::message::{
    ContactKey, Message, Note, Ownership, RefuseReason, ServiceInfo, ToBroker, ToNode,
};
use rit_core::wire::packet::{self, TAG_LEN, TruncatedPn};
use rit_core::wire::params::TransportParams;
use rit_core::wire::text::{Uri, key_to_text};
use std::fmt::Write;

const HEAD: &str = "\
# Test vectors of the rit protocol, version 1. Numbers are hexadecimal byte strings unless they
# say otherwise. Made by `RIT_MAKE_VECTORS=1 cargo test -p rit-tests --test vectors`; what each
# value means is told in core/PROTOCOL.md.
";

/// The whole file.
pub fn text(p: &dyn Provider) -> String {
    let mut out = Out(HEAD.to_owned());
    key_schedule(&mut out, p);
    for (name, suite) in
        [("aes128gcm", Suite::Aes128Gcm), ("chacha20poly1305", Suite::ChaCha20Poly1305)]
    {
        packet_keys(&mut out, p, name, suite);
        one_rtt_packet(&mut out, p, name, suite);
    }
    contact_packet(&mut out, p);
    names(&mut out, p);
    transport_params(&mut out);
    all_frames(&mut out);
    messages(&mut out);
    texts(&mut out);
    out.0
}

/// Bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Out(String);

impl Out {
    fn section(&mut self, name: &str) {
        self.0.push_str(&format!("\n[{name}]\n"));
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        writeln!(self.0, "{name} = {}", hex(bytes)).expect("a string takes everything");
    }

    fn message(&mut self, name: &str, message: &impl Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).expect("the message is within its limits");
        self.bytes(name, &bytes);
    }

    fn number(&mut self, name: &str, number: u64) {
        writeln!(self.0, "{name} (decimal) = {number}").expect("a string takes everything");
    }
}

/// A fixed input: consecutive bytes from `first`.
fn input<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first.wrapping_add(i as u8))
}

fn key_schedule(out: &mut Out, p: &dyn Provider) {
    let broker = PublicKey(input(0x00));
    let (id, key) = broker_contact(p, &broker);
    out.section("broker contact");
    out.bytes("broker_public_key", &broker.0);
    out.bytes("contact_id", &id.0);
    out.bytes("contact_key", key.as_bytes());

    let (contact_key, dcid) = (Secret::new(input(0x20)), input::<16>(0x40));
    let (initiator, responder) = contact_secrets(p, &contact_key, &dcid);
    out.section("contact secrets");
    out.bytes("contact_key", contact_key.as_bytes());
    out.bytes("dcid", &dcid);
    out.bytes("initiator_secret", initiator.as_bytes());
    out.bytes("responder_secret", responder.as_bytes());

    let (exporter_secret, context_hash) = (input(0x60), input(0x80));
    let (initiator, responder) = session_secrets(p, &contact_key, &exporter_secret, &context_hash);
    out.section("session secrets");
    out.bytes("contact_key", contact_key.as_bytes());
    out.bytes("exporter_secret", &exporter_secret);
    out.bytes("context_hash", &context_hash);
    out.bytes("initiator_secret", initiator.as_bytes());
    out.bytes("responder_secret", responder.as_bytes());
}

/// The key of RFC 6979 §A.2.5.
fn names(out: &mut Out, p: &dyn Provider) {
    let point = [
        0x04, 0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb, 0x74, 0xc6, 0x35,
        0x6d, 0x68, 0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61, 0xfa, 0x6c, 0xe6, 0x69, 0x62, 0x2e, 0x60,
        0xf2, 0x9f, 0xb6, 0x79, 0x03, 0xfe, 0x10, 0x08, 0xb8, 0xbc, 0x99, 0xa4, 0x1a, 0xe9, 0xe9,
        0x56, 0x28, 0xbc, 0x64, 0xf2, 0xf1, 0xb2, 0x0c, 0x2d, 0x7e, 0x9f, 0x51, 0x77, 0xa3, 0xc2,
        0x94, 0xd4, 0x46, 0x22, 0x99,
    ];
    out.section("names");
    for (kind, key) in [("ed25519", RawKey::Ed25519(input(0))), ("p256", RawKey::P256(point))] {
        out.bytes(&format!("{kind}_subject_public_key_info"), &key.to_spki());
        out.bytes(&format!("{kind}_name"), &key.name(p).0);
    }
}

fn packet_keys(out: &mut Out, p: &dyn Provider, name: &str, suite: Suite) {
    let secret = Secret::new(input(0xa0));
    let (mut key, mut iv, mut hp) = ([0; 32], [0; 12], [0; 32]);
    let len = suite.key_len();
    expand_label(p, &secret, b"quic key", b"", &mut key[..len]);
    expand_label(p, &secret, b"quic iv", b"", &mut iv);
    expand_label(p, &secret, b"quic hp", b"", &mut hp[..len]);
    out.section(&format!("packet keys {name}"));
    out.bytes("secret", secret.as_bytes());
    out.bytes("key", &key[..len]);
    out.bytes("iv", &iv);
    out.bytes("hp", &hp[..len]);
}

fn contact_packet(out: &mut Out, p: &dyn Provider) {
    let secret = Secret::new(input(0xa0));
    let (dcid, scid, pn) = (input::<16>(0x40), input::<8>(0x50), 0u64);
    let payload = written(|w| {
        frames::write_crypto(w, 0, 32)?.copy_from_slice(&input::<32>(0xc0));
        frames::write_ping(w)
    });
    let mut buf = vec![0; 512];
    let mut w = Writer::new(&mut buf);
    let (to, from) = (Cid::new(&dcid).expect("16 bytes"), Cid::new(&scid).expect("8 bytes"));
    let truncated = TruncatedPn::new(pn, None);
    packet::write_long(&mut w, &to, &from, truncated, payload.len() + TAG_LEN).expect("it fits");
    let header_len = w.len();
    let packet =
        protect(p, Suite::CONTACT, &secret, pn, &buf[..header_len], truncated.len, &payload);
    out.section("contact packet");
    out.bytes("secret", secret.as_bytes());
    out.bytes("dcid", &dcid);
    out.bytes("scid", &scid);
    out.number("packet_number", pn);
    out.bytes("header", &buf[..header_len]);
    out.bytes("payload", &payload);
    out.bytes("packet", &packet);
}

fn one_rtt_packet(out: &mut Out, p: &dyn Provider, name: &str, suite: Suite) {
    let secret = Secret::new(input(0xe0));
    let (dcid, pn, acked) = (input::<8>(0x50), 654_360_564u64, 654_360_000);
    let payload = written(|w| {
        frames::write_stream(w, 4, 1000, 12, true)?.copy_from_slice(b"hello, world");
        Ok(())
    });
    let mut buf = vec![0; 512];
    let mut w = Writer::new(&mut buf);
    let truncated = TruncatedPn::new(pn, Some(acked));
    packet::write_short(&mut w, &Cid::local(dcid), truncated, false).expect("it fits");
    let header_len = w.len();
    let packet = protect(p, suite, &secret, pn, &buf[..header_len], truncated.len, &payload);
    out.section(&format!("1-rtt packet {name}"));
    out.bytes("secret", secret.as_bytes());
    out.bytes("dcid", &dcid);
    out.number("packet_number", pn);
    out.number("largest_acked", acked);
    out.bytes("header", &buf[..header_len]);
    out.bytes("payload", &payload);
    out.bytes("packet", &packet);
}

/// RFC 9001 §5.3 and §5.4: seals the payload, then masks first byte and packet number.
fn protect(
    p: &dyn Provider,
    suite: Suite,
    secret: &Secret,
    pn: u64,
    header: &[u8],
    pn_len: usize,
    payload: &[u8],
) -> Vec<u8> {
    let keys = DirectionKeys::new(p, suite, secret);
    let mut body = payload.to_vec();
    body.resize(payload.len() + TAG_LEN, 0);
    keys.packet.seal(pn, header, &mut body).expect("the payload can be sealed");
    let pn_offset = header.len() - pn_len;
    let mut packet = header.to_vec();
    packet.extend_from_slice(&body);
    let sample = packet[pn_offset + 4..pn_offset + 20].try_into().expect("16 bytes");
    let mask = keys.header.mask(&sample).expect("built-in crypto does not fail");
    packet[0] ^= mask[0] & if packet[0] & 0x80 != 0 { 0x0f } else { 0x1f };
    for (byte, mask) in packet[pn_offset..pn_offset + pn_len].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
    }
    packet
}

fn transport_params(out: &mut Out) {
    let params = TransportParams {
        max_idle_timeout_ms: 30_000,
        max_udp_payload_size: 1452,
        initial_max_data: 4_194_304,
        initial_max_stream_data_bidi_local: 262_144,
        initial_max_stream_data_bidi_remote: 262_144,
        initial_max_streams_bidi: 1024,
        ack_delay_exponent: 3,
        max_ack_delay_ms: 25,
        max_datagram_frame_size: 1452,
        ..TransportParams::default()
    };
    out.section("transport parameters");
    out.number("max_idle_timeout_ms", params.max_idle_timeout_ms);
    out.number("max_udp_payload_size", params.max_udp_payload_size);
    out.number("initial_max_data", params.initial_max_data);
    out.number("initial_max_stream_data_bidi_local", params.initial_max_stream_data_bidi_local);
    out.number("initial_max_stream_data_bidi_remote", params.initial_max_stream_data_bidi_remote);
    out.number("initial_max_streams_bidi", params.initial_max_streams_bidi);
    out.number("ack_delay_exponent", params.ack_delay_exponent);
    out.number("max_ack_delay_ms", params.max_ack_delay_ms);
    out.number("max_datagram_frame_size", params.max_datagram_frame_size);
    out.bytes("encoded", &written(|w| params.write(w)));
}

fn all_frames(out: &mut Out) {
    out.section("frames");
    out.bytes("ping", &written(frames::write_ping));
    let ranges = [90..=100, 70..=80, 3..=3];
    out.bytes("ack", &written(|w| ack::write_ack(w, 1250, ranges.iter().cloned(), None)));
    out.bytes("reset_stream", &written(|w| frames::write_reset_stream(w, 4, 7, 70_000)));
    out.bytes("stop_sending", &written(|w| frames::write_stop_sending(w, 8, 9)));
    let crypto = |w: &mut Writer<'_>| {
        frames::write_crypto(w, 1200, 4)?.copy_from_slice(&input::<4>(0x01));
        Ok(())
    };
    out.bytes("crypto", &written(crypto));
    let stream = |fin: bool| {
        written(|w| {
            frames::write_stream(w, 4, 1 << 20, 3, fin)?.copy_from_slice(b"abc");
            Ok(())
        })
    };
    out.bytes("stream", &stream(false));
    out.bytes("stream_fin", &stream(true));
    out.bytes("max_data", &written(|w| frames::write_max_data(w, 4_194_304)));
    out.bytes("max_stream_data", &written(|w| frames::write_max_stream_data(w, 4, 524_288)));
    out.bytes("max_streams", &written(|w| frames::write_max_streams(w, 2048)));
    out.bytes("data_blocked", &written(|w| frames::write_data_blocked(w, 4_194_304)));
    let blocked = written(|w| frames::write_stream_data_blocked(w, 4, 262_144));
    out.bytes("stream_data_blocked", &blocked);
    let challenge = input(0x10);
    out.bytes("path_challenge", &written(|w| frames::write_path_challenge(w, &challenge)));
    out.bytes("path_response", &written(|w| frames::write_path_response(w, &challenge)));
    let close = |is_application| frames::Close { is_application, code: 0x10a, reason: b"why" };
    out.bytes("connection_close", &written(|w| frames::write_close(w, &close(false))));
    out.bytes("application_close", &written(|w| frames::write_close(w, &close(true))));
    out.bytes("handshake_done", &written(frames::write_handshake_done));
    let datagram = |w: &mut Writer<'_>| {
        frames::write_datagram(w, 5)?.copy_from_slice(b"\x04abcd");
        Ok(())
    };
    out.bytes("datagram", &written(datagram));
}

fn messages(out: &mut Out) {
    let key = PublicKey(input(0x00));
    let contact_key = ContactKey(input(0x20));
    let place = Path::v4([192, 0, 2, 1], 7480);
    let service = ServiceInfo { name: "web".to_owned(), kind: 0, port: 80 };
    let (services, candidates) = (vec![service], vec![place]);
    let offer = |request, role, services| ToNode::Offer {
        request,
        role,
        contact_id: ContactId(input(0x40)),
        contact_key: contact_key.clone(),
        lifetime_s: 120,
        peer: key,
        candidates: candidates.clone(),
        services,
        relays: vec![],
        mapping: 0,
        chain: vec![],
    };
    let hello = ToBroker::Hello {
        version: VERSION,
        abi: 1,
        firmware: "fw 1.0".to_owned(),
        services: services.clone(),
        candidates: candidates.clone(),
        ownership: None,
    };
    let welcome = ToNode::Welcome {
        observed: place,
        enrolled: true,
        time_unix_s: 1_750_000_000,
        others: vec![],
        silence_max_s: 0,
    };
    out.section("broker messages, with their length");
    out.message("enrol", &ToBroker::Enrol { code: "ABCD-1234".into() });
    out.message("hello", &hello);
    out.message("connect", &ToBroker::Connect { request: 7, device: key, chain: vec![] });
    out.message("candidates", &ToBroker::Candidates { candidates: candidates.clone() });
    out.message("welcome", &welcome);
    out.message("enrolled", &ToNode::Enrolled);
    out.message("refused", &ToNode::Refused { request: 7, reason: RefuseReason::Offline });
    out.message("offer_to_initiator", &offer(7, Side::Initiator, services));
    out.message("offer_to_responder", &offer(0, Side::Responder, Vec::new()));
    out.message("presence", &ToNode::Presence { key, online: true });
    of_owners(out, hello, offer(0, Side::Responder, Vec::new()));
}

/// Messages that concern ownership and grants.
fn of_owners(out: &mut Out, mut hello: ToBroker, mut offer: ToNode) {
    let key = PublicKey(input(0x00));
    let grants = input::<8>(0x80).to_vec();
    if let ToBroker::Hello { ownership, .. } = &mut hello {
        let owner = Some(PublicKey(input(0x60)));
        *ownership = Some(Ownership { epoch: 3, list: 9, owner });
    }
    if let ToNode::Offer { chain, .. } = &mut offer {
        chain.clone_from(&grants);
    }
    out.message("hello_with_ownership", &hello);
    out.message(
        "connect_with_chain",
        &ToBroker::Connect { request: 7, device: key, chain: grants },
    );
    out.message("offer_with_chain", &offer);
    let body = input::<4>(0x90).to_vec();
    out.message("note", &ToNode::Note(Note { request: 7, key, kind: 5, body }));
    out.message("time_query", &ToBroker::TimeQuery { nonce: input(0xa0) });
    out.message("time", &ToNode::Time { statement: input::<4>(0xb0).to_vec() });
}

fn texts(out: &mut Out) {
    let key = PublicKey(input(0x00));
    let uri = Uri { key, host: "2001:db8::1".to_owned(), port: 7480 };
    out.section("text");
    out.bytes("key", &key.0);
    writeln!(out.0, "key_text (text) = {}", key_to_text(&key)).expect("a string takes everything");
    writeln!(out.0, "uri (text) = {uri}").expect("a string takes everything");
}

fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut buf = vec![0; 512];
    let mut w = Writer::new(&mut buf);
    write(&mut w).expect("it fits into 512 bytes");
    let len = w.len();
    buf.truncate(len);
    buf
}

/// The providers that must agree, by name.
pub fn providers() -> [(&'static str, &'static dyn Provider); 2] {
    [("ring", crypto::ring()), ("rustcrypto", crypto::rustcrypto())]
}
