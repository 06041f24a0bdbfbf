//! Frames (RFC 9000 §19, RFC 9221 §4; draft-ietf-quic-ack-frequency). Unidirectional streams and
//! tokens are not part of version 1; an unknown type is an error, as RFC 9000 §12.4 wants.

use super::ack::{self, Ack};
use super::cid::{Cid, MAX_CID_LEN};
pub use super::codec::FrameError;
use super::codec::{Full, Reader, VARINT_MAX, Writer, varint_len};

/// Bytes of the reason phrase kept from a CONNECTION_CLOSE.
pub const MAX_REASON_LEN: usize = 128;

/// One frame; byte strings borrow from the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// As many PADDING frames as stood in a row.
    Padding(usize),
    /// Asks for an acknowledgement.
    Ping,
    /// ACK with or without ECN counts.
    Ack(Ack<'a>),
    /// RESET_STREAM.
    ResetStream {
        /// The stream.
        id: u64,
        /// Application error code.
        code: u64,
        /// Bytes sent before.
        final_size: u64,
    },
    /// STOP_SENDING.
    StopSending {
        /// The stream.
        id: u64,
        /// Application error code.
        code: u64,
    },
    /// CRYPTO.
    Crypto {
        /// Offset in the CRYPTO stream.
        offset: u64,
        /// Its bytes.
        data: &'a [u8],
    },
    /// STREAM.
    Stream(Stream<'a>),
    /// MAX_DATA.
    MaxData(u64),
    /// MAX_STREAM_DATA.
    MaxStreamData {
        /// The stream.
        id: u64,
        /// The new limit.
        max: u64,
    },
    /// MAX_STREAMS, bidirectional.
    MaxStreams(u64),
    /// DATA_BLOCKED.
    DataBlocked(u64),
    /// STREAM_DATA_BLOCKED.
    StreamDataBlocked {
        /// The stream.
        id: u64,
        /// The limit it stands at.
        limit: u64,
    },
    /// STREAMS_BLOCKED, bidirectional.
    StreamsBlocked(u64),
    /// PATH_CHALLENGE.
    PathChallenge([u8; 8]),
    /// PATH_RESPONSE.
    PathResponse([u8; 8]),
    /// CONNECTION_CLOSE.
    Close(Close<'a>),
    /// HANDSHAKE_DONE.
    HandshakeDone,
    /// NEW_CONNECTION_ID.
    NewConnectionId(NewConnectionId),
    /// RETIRE_CONNECTION_ID, of this sequence number.
    RetireConnectionId(u64),
    /// ACK_FREQUENCY.
    AckFrequency(AckFrequency),
    /// IMMEDIATE_ACK: acknowledge this packet at once.
    ImmediateAck,
    /// DATAGRAM.
    Datagram(Datagram<'a>),
}

/// A NEW_CONNECTION_ID frame (RFC 9000 §19.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewConnectionId {
    /// Its sequence number.
    pub sequence: u64,
    /// IDs with a lower sequence number are to be retired.
    pub retire_prior_to: u64,
    /// The ID.
    pub cid: Cid,
    /// What a stateless reset of this ID ends with.
    pub token: [u8; 16],
}

/// An ACK_FREQUENCY frame (draft-ietf-quic-ack-frequency-11 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckFrequency {
    /// Later frames have higher ones.
    pub sequence: u64,
    /// Ack-eliciting packets that may come before an ACK is due.
    pub threshold: u64,
    /// Microseconds an ACK may be held back.
    pub max_delay_us: u64,
    /// Packets out of order by this many make an ACK due; 0: none do.
    pub reordering: u64,
}

/// A DATAGRAM frame (RFC 9221 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The data.
    pub data: &'a [u8],
    /// Bytes of the whole frame, which max_datagram_frame_size bounds.
    pub frame_len: usize,
}

/// A STREAM frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The stream.
    pub id: u64,
    /// Offset of the data.
    pub offset: u64,
    /// The data.
    pub data: &'a [u8],
    /// Whether the stream ends behind the data.
    pub fin: bool,
}

/// A CONNECTION_CLOSE frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// By the application (0x1d) rather than the transport (0x1c).
    pub is_application: bool,
    /// Error code.
    pub code: u64,
    /// UTF-8 by convention; not checked.
    pub reason: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the next frame of a packet's payload; `None` at its end.
    pub fn read(r: &mut Reader<'a>) -> Result<Option<Frame<'a>>, FrameError> {
        if r.is_empty() {
            return Ok(None);
        }
        let before = r.remaining();
        let kind = r.varint()?;
        Ok(Some(match kind {
            0x00 => read_padding(r),
            0x01 => Frame::Ping,
            0x02 | 0x03 => Frame::Ack(ack::read(r, kind == 0x03)?),
            0x04 => {
                Frame::ResetStream { id: r.varint()?, code: r.varint()?, final_size: r.varint()? }
            }
            0x05 => Frame::StopSending { id: r.varint()?, code: r.varint()? },
            0x06 => read_crypto(r)?,
            0x08..=0x0f => read_stream(r, kind as u8)?,
            0x10 => Frame::MaxData(r.varint()?),
            0x11 => Frame::MaxStreamData { id: r.varint()?, max: r.varint()? },
            0x12 => Frame::MaxStreams(stream_count(r)?),
            0x14 => Frame::DataBlocked(r.varint()?),
            0x15 => Frame::StreamDataBlocked { id: r.varint()?, limit: r.varint()? },
            0x16 => Frame::StreamsBlocked(stream_count(r)?),
            0x1a => Frame::PathChallenge(r.array()?),
            0x1b => Frame::PathResponse(r.array()?),
            0x1c | 0x1d => read_close(r, kind == 0x1d)?,
            0x1e => Frame::HandshakeDone,
            0x18 => read_new_connection_id(r)?,
            0x19 => Frame::RetireConnectionId(r.varint()?),
            0x1f => Frame::ImmediateAck,
            0xaf => Frame::AckFrequency(AckFrequency {
                sequence: r.varint()?,
                threshold: r.varint()?,
                max_delay_us: r.varint()?,
                reordering: r.varint()?,
            }),
            0x30 | 0x31 => read_datagram(r, kind == 0x31, before)?,
            other => return Err(FrameError::Type(other)),
        }))
    }

    /// Whether its packet must be acknowledged (RFC 9000 §13.2).
    pub fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Frame::Padding(_) | Frame::Ack(_) | Frame::Close(_))
    }

    /// Whether it asks about a path and says nothing of where the peer is (RFC 9000 §9.1).
    pub fn is_probing(&self) -> bool {
        matches!(
            self,
            Frame::PathChallenge(_)
                | Frame::PathResponse(_)
                | Frame::NewConnectionId(_)
                | Frame::Padding(_)
        )
    }

    /// Whether a contact packet may carry it (RFC 9000 §12.4, Initial).
    pub fn is_allowed_in_contact(&self) -> bool {
        matches!(self, Frame::Padding(_) | Frame::Ping | Frame::Ack(_) | Frame::Crypto { .. })
            || matches!(self, Frame::Close(close) if !close.is_application)
    }
}

fn read_padding<'a>(r: &mut Reader<'a>) -> Frame<'a> {
    let mut count = 1;
    while r.peek() == Some(0) && r.u8().is_ok() {
        count += 1;
    }
    Frame::Padding(count)
}

fn read_crypto<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, FrameError> {
    let offset = r.varint()?;
    let data = r.var_bytes()?;
    check_end(offset, data.len())?;
    Ok(Frame::Crypto { offset, data })
}

fn read_stream<'a>(r: &mut Reader<'a>, kind: u8) -> Result<Frame<'a>, FrameError> {
    let id = r.varint()?;
    let offset = if kind & 0x04 != 0 { r.varint()? } else { 0 };
    let data = if kind & 0x02 != 0 { r.var_bytes()? } else { r.rest() };
    check_end(offset, data.len())?;
    Ok(Frame::Stream(Stream { id, offset, data, fin: kind & 0x01 != 0 }))
}

fn read_close<'a>(r: &mut Reader<'a>, is_application: bool) -> Result<Frame<'a>, FrameError> {
    let code = r.varint()?;
    if !is_application {
        r.varint()?; // the frame type at fault
    }
    let reason = r.var_bytes()?;
    let reason = reason.get(..MAX_REASON_LEN).unwrap_or(reason);
    Ok(Frame::Close(Close { is_application, code, reason }))
}

fn read_new_connection_id<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, FrameError> {
    let (sequence, retire_prior_to) = (r.varint()?, r.varint()?);
    let len = usize::from(r.u8()?);
    if retire_prior_to > sequence || !(1..=MAX_CID_LEN).contains(&len) {
        return Err(FrameError::Range);
    }
    let cid = Cid::new(r.bytes(len)?).ok_or(FrameError::Range)?;
    let new = NewConnectionId { sequence, retire_prior_to, cid, token: r.array()? };
    Ok(Frame::NewConnectionId(new))
}

fn read_datagram<'a>(
    r: &mut Reader<'a>,
    has_len: bool,
    before: usize,
) -> Result<Frame<'a>, FrameError> {
    let data = if has_len { r.var_bytes()? } else { r.rest() };
    Ok(Frame::Datagram(Datagram { data, frame_len: before - r.remaining() }))
}

fn stream_count(r: &mut Reader<'_>) -> Result<u64, FrameError> {
    let count = r.varint()?;
    if count > 1 << 60 { Err(FrameError::Range) } else { Ok(count) }
}

fn check_end(offset: u64, len: usize) -> Result<(), FrameError> {
    if offset + len as u64 > VARINT_MAX { Err(FrameError::Range) } else { Ok(()) }
}

/// Writes PING.
pub fn write_ping(w: &mut Writer<'_>) -> Result<(), Full> {
    w.u8(0x01)
}

/// Writes RESET_STREAM.
pub fn write_reset_stream(
    w: &mut Writer<'_>,
    id: u64,
    code: u64,
    final_size: u64,
) -> Result<(), Full> {
    write_varints(w, &[0x04, id, code, final_size])
}

/// Writes STOP_SENDING.
pub fn write_stop_sending(w: &mut Writer<'_>, id: u64, code: u64) -> Result<(), Full> {
    write_varints(w, &[0x05, id, code])
}

/// Writes MAX_DATA.
pub fn write_max_data(w: &mut Writer<'_>, max: u64) -> Result<(), Full> {
    write_varints(w, &[0x10, max])
}

/// Writes MAX_STREAM_DATA.
pub fn write_max_stream_data(w: &mut Writer<'_>, id: u64, max: u64) -> Result<(), Full> {
    write_varints(w, &[0x11, id, max])
}

/// Writes MAX_STREAMS, bidirectional.
pub fn write_max_streams(w: &mut Writer<'_>, max: u64) -> Result<(), Full> {
    write_varints(w, &[0x12, max])
}

/// Writes DATA_BLOCKED.
pub fn write_data_blocked(w: &mut Writer<'_>, limit: u64) -> Result<(), Full> {
    write_varints(w, &[0x14, limit])
}

/// Writes STREAM_DATA_BLOCKED.
pub fn write_stream_data_blocked(w: &mut Writer<'_>, id: u64, limit: u64) -> Result<(), Full> {
    write_varints(w, &[0x15, id, limit])
}

/// Writes PATH_CHALLENGE.
pub fn write_path_challenge(w: &mut Writer<'_>, data: &[u8; 8]) -> Result<(), Full> {
    write_whole(w, 9, |w| w.u8(0x1a).and_then(|()| w.bytes(data)))
}

/// Writes PATH_RESPONSE.
pub fn write_path_response(w: &mut Writer<'_>, data: &[u8; 8]) -> Result<(), Full> {
    write_whole(w, 9, |w| w.u8(0x1b).and_then(|()| w.bytes(data)))
}

/// Writes HANDSHAKE_DONE.
pub fn write_handshake_done(w: &mut Writer<'_>) -> Result<(), Full> {
    w.u8(0x1e)
}

/// Writes NEW_CONNECTION_ID.
pub fn write_new_connection_id(w: &mut Writer<'_>, new: &NewConnectionId) -> Result<(), Full> {
    let NewConnectionId { sequence, retire_prior_to, cid, token } = new;
    let varints = varint_len(*sequence) + varint_len(*retire_prior_to);
    write_whole(w, 1 + varints + 1 + cid.len() + token.len(), |w| {
        write_varints(w, &[0x18, *sequence, *retire_prior_to])?;
        w.u8(cid.len() as u8)?;
        w.bytes(cid.as_bytes())?;
        w.bytes(token)
    })
}

/// Writes RETIRE_CONNECTION_ID.
pub fn write_retire_connection_id(w: &mut Writer<'_>, sequence: u64) -> Result<(), Full> {
    write_varints(w, &[0x19, sequence])
}

/// Writes ACK_FREQUENCY.
pub fn write_ack_frequency(w: &mut Writer<'_>, frame: &AckFrequency) -> Result<(), Full> {
    let AckFrequency { sequence, threshold, max_delay_us, reordering } = *frame;
    write_varints(w, &[0xaf, sequence, threshold, max_delay_us, reordering])
}

/// Writes IMMEDIATE_ACK.
pub fn write_immediate_ack(w: &mut Writer<'_>) -> Result<(), Full> {
    w.u8(0x1f)
}

/// Writes CONNECTION_CLOSE; the reason is cut to what fits.
pub fn write_close(w: &mut Writer<'_>, close: &Close<'_>) -> Result<(), Full> {
    let head = 1 + varint_len(close.code) + usize::from(!close.is_application) + 2;
    let room = w.remaining().checked_sub(head).ok_or(Full)?;
    let reason = &close.reason[..close.reason.len().min(room).min(MAX_REASON_LEN)];
    w.u8(if close.is_application { 0x1d } else { 0x1c })?;
    w.varint(close.code)?;
    if !close.is_application {
        w.u8(0)?;
    }
    w.var_bytes(reason)
}

/// Bytes of a CRYPTO frame's header for data at `offset`, up to `len` bytes of it.
pub fn crypto_header_len(offset: u64, len: usize) -> usize {
    1 + varint_len(offset) + varint_len(len as u64)
}

/// Writes a CRYPTO frame's header and gives out the place of its `len` bytes.
pub fn write_crypto<'w>(
    w: &'w mut Writer<'_>,
    offset: u64,
    len: usize,
) -> Result<&'w mut [u8], Full> {
    write_varints(w, &[0x06, offset, len as u64])?;
    w.take(len)
}

/// Bytes of a STREAM frame's header, with offset and length fields, for up to `len` bytes of data.
pub fn stream_header_len(id: u64, offset: u64, len: usize) -> usize {
    1 + varint_len(id) + varint_len(offset) + varint_len(len as u64)
}

/// Writes a STREAM frame's header (offset and length always there) and gives out the place of its
/// `len` bytes.
pub fn write_stream<'w>(
    w: &'w mut Writer<'_>,
    id: u64,
    offset: u64,
    len: usize,
    fin: bool,
) -> Result<&'w mut [u8], Full> {
    write_varints(w, &[0x0e | u64::from(fin), id, offset, len as u64])?;
    w.take(len)
}

/// Bytes of a DATAGRAM frame with a length field around `len` bytes of data.
pub fn datagram_frame_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Writes a DATAGRAM frame's header, with the length field, and gives out the place of its `len`
/// bytes. All of the frame or nothing.
pub fn write_datagram<'w>(w: &'w mut Writer<'_>, len: usize) -> Result<&'w mut [u8], Full> {
    if w.remaining() < datagram_frame_len(len) {
        return Err(Full);
    }
    write_varints(w, &[0x31, len as u64])?;
    w.take(len)
}

fn write_varints(w: &mut Writer<'_>, values: &[u64]) -> Result<(), Full> {
    let len = values.iter().map(|v| varint_len(*v)).sum();
    write_whole(w, len, |w| values.iter().try_for_each(|v| w.varint(*v)))
}

/// All of a frame or nothing: half a frame would spoil the packet.
fn write_whole(
    w: &mut Writer<'_>,
    len: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    if w.remaining() < len { Err(Full) } else { write(w) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn one(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
        Frame::read(&mut Reader::new(bytes))
    }

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
        let mut buf = [0; 256];
        let mut w = Writer::new(&mut buf);
        write(&mut w).unwrap();
        let len = w.len();
        buf[..len].to_vec()
    }

    #[test]
    fn stream_and_close_round_trip() {
        let bytes = written(|w| {
            write_stream(w, 4, 1000, 3, true)?.copy_from_slice(b"abc");
            write_close(w, &Close { is_application: false, code: 7, reason: b"why" })
        });
        let mut r = Reader::new(&bytes);
        let stream = Stream { id: 4, offset: 1000, data: b"abc", fin: true };
        assert_eq!(Frame::read(&mut r), Ok(Some(Frame::Stream(stream))));
        let close = Close { is_application: false, code: 7, reason: b"why" };
        assert_eq!(Frame::read(&mut r), Ok(Some(Frame::Close(close))));
        assert_eq!(Frame::read(&mut r), Ok(None));
    }

    #[test]
    fn datagrams_with_and_without_length_tell_how_long_they_are() {
        let bytes = written(|w| {
            write_datagram(w, 3)?.copy_from_slice(b"abc");
            write_datagram(w, 0).map(|_| ())
        });
        assert_eq!(bytes, [0x31, 3, b'a', b'b', b'c', 0x31, 0]);
        let mut r = Reader::new(&bytes);
        let frame = Frame::Datagram(Datagram { data: b"abc", frame_len: 5 });
        assert!(frame.is_ack_eliciting() && !frame.is_allowed_in_contact());
        assert_eq!(Frame::read(&mut r), Ok(Some(frame)));
        let empty = Datagram { data: b"", frame_len: 2 };
        assert_eq!(Frame::read(&mut r), Ok(Some(Frame::Datagram(empty))));
        let to_the_end = Datagram { data: b"rest", frame_len: 5 };
        assert_eq!(one(b"\x30rest"), Ok(Some(Frame::Datagram(to_the_end))));
        // A length in eight bytes counts as eight.
        let wide = Datagram { data: b"a", frame_len: 10 };
        assert_eq!(one(b"\x31\xc0\0\0\0\0\0\0\x01a"), Ok(Some(Frame::Datagram(wide))));
        assert_eq!(one(&[0x31, 4, 1, 2, 3]), Err(FrameError::Truncated));
        let mut buf = [0; 5];
        let mut w = Writer::new(&mut buf);
        assert!(write_datagram(&mut w, 4).is_err());
        assert!(w.is_empty() && write_datagram(&mut w, 3).is_ok());
    }

    #[test]
    fn unknown_types_and_far_offsets_are_refused() {
        assert_eq!(one(&[0x20]), Err(FrameError::Type(0x20)));
        let mut far = std::vec![0x0c, 0];
        far.extend_from_slice(&[0xff; 8]);
        far.push(1);
        assert_eq!(one(&far), Err(FrameError::Range));
    }

    #[test]
    fn connection_ids_and_ack_frequency_round_trip() {
        let cid = Cid::local([7; 8]);
        let new = NewConnectionId { sequence: 3, retire_prior_to: 2, cid, token: [9; 16] };
        let frequency =
            AckFrequency { sequence: 1, threshold: 70, max_delay_us: 20_000, reordering: 1 };
        let bytes = written(|w| {
            write_new_connection_id(w, &new)?;
            write_retire_connection_id(w, 70)?;
            write_ack_frequency(w, &frequency)?;
            write_immediate_ack(w)
        });
        let mut r = Reader::new(&bytes);
        let all = [
            Frame::NewConnectionId(new),
            Frame::RetireConnectionId(70),
            Frame::AckFrequency(frequency),
            Frame::ImmediateAck,
        ];
        for frame in all {
            assert!(frame.is_ack_eliciting() && !frame.is_allowed_in_contact());
            assert_eq!(Frame::read(&mut r), Ok(Some(frame)));
        }
        let mut too_late = bytes.clone();
        too_late[2] = 4;
        assert_eq!(one(&too_late), Err(FrameError::Range), "retires itself");
        for len in [0, 21] {
            let mut bad = bytes.clone();
            bad[3] = len;
            assert_eq!(one(&bad), Err(FrameError::Range), "ID of {len} bytes");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut r = Reader::new(&bytes);
            while let Ok(Some(frame)) = Frame::read(&mut r) {
                if let Frame::Ack(ack) = frame { ack.ranges().count(); }
            }
        }
    }
}
