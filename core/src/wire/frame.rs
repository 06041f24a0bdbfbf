//! Frames (RFC 9000 §19). Unidirectional streams, tokens and connection ID frames are not part of
//! version 1 as built; an unknown type is an error, as RFC 9000 §12.4 wants.

use super::codec::{Full, Reader, Truncated, VARINT_MAX, Writer, varint_len};
use core::ops::RangeInclusive;
use thiserror::Error;

/// Bytes of the reason phrase kept from a CONNECTION_CLOSE.
pub const MAX_REASON_LEN: usize = 128;

/// Why bytes are not a frame: FRAME_ENCODING_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Ends inside a field.
    #[error("the frame ends inside a field")]
    Truncated,
    /// Not a type of this version.
    #[error("unknown frame type {0:#x}")]
    Type(u64),
    /// A field outside its range.
    #[error("a frame field is out of range")]
    Range,
}

impl From<Truncated> for FrameError {
    fn from(_: Truncated) -> Self {
        FrameError::Truncated
    }
}

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

/// An ACK frame, its ranges checked and still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Largest packet number acknowledged.
    pub largest: u64,
    /// Delay, in units of the peer's ack_delay_exponent.
    pub delay: u64,
    /// Length of the first range minus one.
    first: u64,
    /// Further ranges.
    count: u64,
    ranges: &'a [u8],
}

impl Ack<'_> {
    /// Packet numbers acknowledged, highest range first.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let mut r = Reader::new(self.ranges);
        let mut next = Some(self.largest.saturating_sub(self.first)..=self.largest);
        core::iter::from_fn(move || {
            let current = next.take()?;
            next = read_range(&mut r, *current.start()).ok();
            Some(current)
        })
    }
}

fn read_range(r: &mut Reader<'_>, smallest: u64) -> Result<RangeInclusive<u64>, FrameError> {
    let (gap, len) = (r.varint()?, r.varint()?);
    let end = smallest.checked_sub(gap).and_then(|x| x.checked_sub(2)).ok_or(FrameError::Range)?;
    let start = end.checked_sub(len).ok_or(FrameError::Range)?;
    Ok(start..=end)
}

impl<'a> Frame<'a> {
    /// Reads the next frame of a packet's payload; `None` at its end.
    pub fn read(r: &mut Reader<'a>) -> Result<Option<Frame<'a>>, FrameError> {
        if r.is_empty() {
            return Ok(None);
        }
        let kind = r.varint()?;
        Ok(Some(match kind {
            0x00 => read_padding(r),
            0x01 => Frame::Ping,
            0x02 | 0x03 => read_ack(r, kind == 0x03)?,
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
            other => return Err(FrameError::Type(other)),
        }))
    }

    /// Whether its packet must be acknowledged (RFC 9000 §13.2).
    pub fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Frame::Padding(_) | Frame::Ack(_) | Frame::Close(_))
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

fn read_ack<'a>(r: &mut Reader<'a>, has_ecn: bool) -> Result<Frame<'a>, FrameError> {
    let (largest, delay) = (r.varint()?, r.varint()?);
    let (count, first) = (r.varint()?, r.varint()?);
    let mut smallest = largest.checked_sub(first).ok_or(FrameError::Range)?;
    let mut behind = r.clone();
    for _ in 0..count {
        smallest = *read_range(&mut behind, smallest)?.start();
    }
    let ranges = r.bytes(r.remaining() - behind.remaining())?;
    if has_ecn {
        for _ in 0..3 {
            r.varint()?;
        }
    }
    Ok(Frame::Ack(Ack { largest, delay, first, count, ranges }))
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

/// Writes ACK for `ranges`, highest first and not touching each other. Drops the oldest that do
/// not fit; fails, having written nothing that counts, if not even the first does.
pub fn write_ack(
    w: &mut Writer<'_>,
    delay: u64,
    mut ranges: impl Iterator<Item = RangeInclusive<u64>> + Clone,
) -> Result<(), Full> {
    let count = ack_ranges_that_fit(w.remaining(), delay, ranges.clone()).ok_or(Full)?;
    let Some(first) = ranges.next() else { return Err(Full) };
    w.u8(0x02)?;
    w.varint(*first.end())?;
    w.varint(delay)?;
    w.varint(count as u64)?;
    w.varint(first.end() - first.start())?;
    let mut smallest = *first.start();
    for range in ranges.take(count) {
        w.varint(smallest - range.end() - 2)?;
        w.varint(range.end() - range.start())?;
        smallest = *range.start();
    }
    Ok(())
}

fn ack_ranges_that_fit(
    room: usize,
    delay: u64,
    mut ranges: impl Iterator<Item = RangeInclusive<u64>>,
) -> Option<usize> {
    let first = ranges.next()?;
    // Two bytes for the count: a packet holds no more ranges than they can say.
    let mut used = 1 + varint_len(*first.end()) + varint_len(delay) + 2;
    used += varint_len(first.end() - first.start());
    if used > room {
        return None;
    }
    let (mut count, mut smallest) = (0, *first.start());
    for range in ranges {
        used += varint_len(smallest - range.end() - 2) + varint_len(range.end() - range.start());
        if used > room {
            break;
        }
        count += 1;
        smallest = *range.start();
    }
    Some(count)
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
    fn ack_ranges_round_trip() {
        let ranges = [90..=100, 50..=60, 0..=3];
        let bytes = written(|w| write_ack(w, 7, ranges.clone().into_iter()));
        let Ok(Some(Frame::Ack(ack))) = one(&bytes) else { panic!() };
        assert_eq!((ack.largest, ack.delay), (100, 7));
        assert_eq!(ack.ranges().collect::<Vec<_>>(), ranges);
        for cut in 1..bytes.len() {
            assert_eq!(one(&bytes[..cut]), Err(FrameError::Truncated));
        }
    }

    #[test]
    fn ack_drops_oldest_ranges_when_room_is_short() {
        let mut buf = [0; 9];
        let mut w = Writer::new(&mut buf);
        write_ack(&mut w, 0, [90..=95, 50..=60, 0..=3].into_iter()).unwrap();
        let len = w.len();
        let Ok(Some(Frame::Ack(ack))) = one(&buf[..len]) else { panic!() };
        assert_eq!(ack.ranges().collect::<Vec<_>>(), [90..=95, 50..=60]);
    }

    #[test]
    fn ack_below_zero_is_out_of_range() {
        assert_eq!(one(&[0x02, 5, 0, 0, 6]), Err(FrameError::Range));
        assert_eq!(one(&[0x02, 9, 0, 1, 2, 6, 0]), Err(FrameError::Range));
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
    fn unknown_types_and_far_offsets_are_refused() {
        assert_eq!(one(&[0x1f]), Err(FrameError::Type(0x1f)));
        let mut far = std::vec![0x0c, 0];
        far.extend_from_slice(&[0xff; 8]);
        far.push(1);
        assert_eq!(one(&far), Err(FrameError::Range));
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
