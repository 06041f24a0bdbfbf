//! Fuzz bodies over `wire`: what is read must be in bounds, and what is written back must read
//! the same.

use rit_core::wire::ack::{self, Ack};
use rit_core::wire::codec::{Reader, Writer};
use rit_core::wire::frame::{self as frames, Datagram, Frame};
use rit_core::wire::identify::{ANSWER_LEN_MAX, Identification, Probe};
use rit_core::wire::packet::{self, Header, SAMPLE_LEN, TruncatedPn};
use rit_core::wire::params::TransportParams;

/// Packet headers, packet numbers and transport parameters.
pub fn packet(data: &[u8]) {
    let mut rest = data;
    while let Ok(header) = Header::parse(rest) {
        assert!(header.pn_offset + 4 + SAMPLE_LEN <= header.len && header.len <= rest.len());
        check_long_header(rest, &header);
        rest = &rest[header.len..];
        if rest.is_empty() {
            break;
        }
    }
    check_packet_number(data);
    if let Ok(params) = TransportParams::read(data) {
        let mut buf = [0; 256];
        let mut w = Writer::new(&mut buf);
        params.write(&mut w).expect("all parameters fit into 256 bytes");
        let len = w.len();
        assert_eq!(TransportParams::read(&buf[..len]), Ok(params));
    }
}

fn check_long_header(bytes: &[u8], header: &Header) {
    let Some(scid) = header.scid else { return };
    let payload_len = header.len - header.pn_offset - 4;
    let mut buf = vec![0; 128 + payload_len];
    let mut w = Writer::new(&mut buf);
    let pn = TruncatedPn { value: 7, len: 4 };
    if packet::write_long(&mut w, &header.dcid, &scid, pn, payload_len).is_err() {
        assert!(bytes.len() > 0x3000, "only a huge packet cannot be written");
        return;
    }
    let head = w.len();
    let again = Header::parse(&buf[..head + payload_len]).expect("what was written reads");
    assert_eq!((again.dcid, again.scid), (header.dcid, header.scid));
    assert_eq!(again.len - again.pn_offset, header.len - header.pn_offset);
}

/// A truncated packet number reads as itself by a peer that is no further behind than its ACKs say
/// and no further ahead than the packets in between (RFC 9000 A.2, A.3).
fn check_packet_number(data: &[u8]) {
    let mut r = Reader::new(data);
    let (Ok(acked), Ok(ahead)) = (r.varint(), r.varint()) else { return };
    let (acked, ahead) = (acked >> 1, 1 + (ahead & 0xff_ffff));
    let pn = acked + ahead;
    let truncated = TruncatedPn::new(pn, Some(acked));
    let value = u64::from(truncated.value) & ((1u64 << (8 * truncated.len)) - 1);
    let seen = r.varint().unwrap_or(0) % ahead;
    let expected = acked + seen + 1;
    assert_eq!(packet::expand_pn(expected, value, truncated.len), pn);
    // Whatever a stranger claims: no overflow.
    packet::expand_pn(expected, value ^ 0xff, truncated.len);
}

/// Probes who is there, and answers.
pub fn identify(data: &[u8]) {
    if let Ok(probe) = Probe::parse(data) {
        assert_eq!(probe.encode(), data, "there is one encoding");
    }
    if let Ok(answer) = Identification::parse(data) {
        let mut buf = [0; ANSWER_LEN_MAX];
        let len = answer.write(&mut buf).expect("what was read can be written");
        assert_eq!(&buf[..len], data, "there is one encoding");
    }
}

/// Frames.
pub fn frame(data: &[u8]) {
    let mut r = Reader::new(data);
    let mut left = r.remaining();
    while let Ok(Some(frame)) = Frame::read(&mut r) {
        assert!(r.remaining() < left, "a frame took no bytes");
        left = r.remaining();
        let _ = (frame.is_ack_eliciting(), frame.is_allowed_in_contact());
        check_frame(&frame);
    }
}

fn check_frame(frame: &Frame<'_>) {
    let mut buf = vec![0; 8192];
    let mut w = Writer::new(&mut buf);
    let is_written = match frame {
        Frame::Padding(_) => return,
        Frame::StreamsBlocked(_) => return,
        Frame::Ack(ack) => return check_ack(ack),
        Frame::Ping => frames::write_ping(&mut w).is_ok(),
        Frame::ResetStream { id, code, final_size } => {
            frames::write_reset_stream(&mut w, *id, *code, *final_size).is_ok()
        }
        Frame::StopSending { id, code } => frames::write_stop_sending(&mut w, *id, *code).is_ok(),
        Frame::Crypto { offset, data } => frames::write_crypto(&mut w, *offset, data.len())
            .map(|room| room.copy_from_slice(data))
            .is_ok(),
        Frame::Stream(stream) => {
            let (id, offset, len, fin) = (stream.id, stream.offset, stream.data.len(), stream.fin);
            frames::write_stream(&mut w, id, offset, len, fin)
                .map(|room| room.copy_from_slice(stream.data))
                .is_ok()
        }
        Frame::MaxData(max) => frames::write_max_data(&mut w, *max).is_ok(),
        Frame::MaxStreamData { id, max } => {
            frames::write_max_stream_data(&mut w, *id, *max).is_ok()
        }
        Frame::MaxStreams(max) => frames::write_max_streams(&mut w, *max).is_ok(),
        Frame::DataBlocked(limit) => frames::write_data_blocked(&mut w, *limit).is_ok(),
        Frame::StreamDataBlocked { id, limit } => {
            frames::write_stream_data_blocked(&mut w, *id, *limit).is_ok()
        }
        Frame::PathChallenge(data) => frames::write_path_challenge(&mut w, data).is_ok(),
        Frame::PathResponse(data) => frames::write_path_response(&mut w, data).is_ok(),
        Frame::Close(close) => frames::write_close(&mut w, close).is_ok(),
        Frame::Datagram(datagram) => return check_datagram(datagram),
        Frame::HandshakeDone => frames::write_handshake_done(&mut w).is_ok(),
        Frame::NewConnectionId(new) => frames::write_new_connection_id(&mut w, new).is_ok(),
        Frame::RetireConnectionId(sequence) => {
            frames::write_retire_connection_id(&mut w, *sequence).is_ok()
        }
        Frame::AckFrequency(frame) => frames::write_ack_frequency(&mut w, frame).is_ok(),
        Frame::ImmediateAck => frames::write_immediate_ack(&mut w).is_ok(),
    };
    assert!(is_written, "{frame:?} was read and cannot be written");
    let len = w.len();
    let mut r = Reader::new(&buf[..len]);
    assert_eq!(Frame::read(&mut r).as_ref(), Ok(&Some(frame.clone())));
    assert!(r.is_empty());
}

/// What is written always has a length field, and the shortest one.
fn check_datagram(datagram: &Datagram<'_>) {
    let len = datagram.data.len();
    assert!(datagram.frame_len > len);
    let mut buf = vec![0; frames::datagram_frame_len(len)];
    let mut w = Writer::new(&mut buf);
    let room = frames::write_datagram(&mut w, len).expect("there is room to the byte");
    room.copy_from_slice(datagram.data);
    let again = Datagram { data: datagram.data, frame_len: buf.len() };
    let mut r = Reader::new(&buf);
    assert_eq!(Frame::read(&mut r), Ok(Some(Frame::Datagram(again))));
    assert!(r.is_empty());
}

fn check_ack(ack: &Ack<'_>) {
    let ranges: Vec<_> = ack.ranges().collect();
    assert_eq!(ranges.first().map(|range| *range.end()), Some(ack.largest));
    assert!(ranges.windows(2).all(|pair| *pair[1].end() + 1 < *pair[0].start()));
    for room in [20, 64, 8192] {
        let mut buf = vec![0; room];
        let mut w = Writer::new(&mut buf);
        if ack::write_ack(&mut w, ack.delay, ranges.iter().cloned(), ack.ecn).is_err() {
            assert!(room < 8192, "an ACK of one packet did not fit into {room} bytes");
            continue;
        }
        let len = w.len();
        let mut r = Reader::new(&buf[..len]);
        let Ok(Some(Frame::Ack(again))) = Frame::read(&mut r) else {
            panic!("an ACK that was written does not read")
        };
        assert_eq!(again.ecn, ack.ecn);
        let kept: Vec<_> = again.ranges().collect();
        assert_eq!(kept[..], ranges[..kept.len()]);
        assert!(r.is_empty() && (room < 8192 || kept.len() == ranges.len()));
    }
}
