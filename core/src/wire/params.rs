//! Transport parameters (RFC 9000 §18): those this version uses; others are skipped.

use super::codec::{Full, Reader, Truncated, Writer};
use thiserror::Error;

/// Smallest max_udp_payload_size a peer may state (RFC 9000 asks 1200): an IPv4 path of 576 bytes
/// carries that much even within a relay's header.
pub const MIN_UDP_PAYLOAD: u64 = 512;

/// What an end tells the other about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportParams {
    /// 0x01, milliseconds; 0: never idle.
    pub max_idle_timeout_ms: u64,
    /// 0x03, bytes of UDP payload it takes.
    pub max_udp_payload_size: u64,
    /// 0x04, bytes on all streams together.
    pub initial_max_data: u64,
    /// 0x05, bytes on each stream it opens.
    pub initial_max_stream_data_bidi_local: u64,
    /// 0x06, bytes on each stream the peer opens.
    pub initial_max_stream_data_bidi_remote: u64,
    /// 0x08, streams the peer may open.
    pub initial_max_streams_bidi: u64,
    /// 0x0a, shift of the ACK delay field.
    pub ack_delay_exponent: u64,
    /// 0x0b, milliseconds it may hold an ACK back.
    pub max_ack_delay_ms: u64,
    /// 0x02, what a stateless reset of its first connection ID ends with.
    pub stateless_reset_token: Option<[u8; 16]>,
    /// 0x0e, connection IDs it keeps for sending.
    pub active_connection_id_limit: u64,
    /// 0xff04de1b (draft-ietf-quic-ack-frequency-11 §3), the least microseconds it can be asked to
    /// hold an ACK back; 0: it takes no ACK_FREQUENCY.
    pub min_ack_delay_us: u64,
    /// 0x20, bytes of the DATAGRAM frames it takes (RFC 9221 §3); 0: none.
    pub max_datagram_frame_size: u64,
    /// 0x21, empty: an initiator that is the server of TLS; the responder then is the client.
    pub is_tls_server: bool,
}

/// min_ack_delay.
const MIN_ACK_DELAY: u64 = 0xff04_de1b;

/// The parameters that are numbers, in the order in which they are written.
const NUMBERS: [u64; 11] =
    [0x01, 0x03, 0x04, 0x05, 0x06, 0x08, 0x0a, 0x0b, 0x0e, 0x20, MIN_ACK_DELAY];
/// The first of them are written whatever their value is, the others unless it is that of absence.
const NUMBERS_ALWAYS: usize = 8;

impl Default for TransportParams {
    /// What holds for parameters left out (RFC 9000 §18.2).
    fn default() -> Self {
        TransportParams {
            max_idle_timeout_ms: 0,
            max_udp_payload_size: 65527,
            initial_max_data: 0,
            initial_max_stream_data_bidi_local: 0,
            initial_max_stream_data_bidi_remote: 0,
            initial_max_streams_bidi: 0,
            ack_delay_exponent: 3,
            max_ack_delay_ms: 25,
            stateless_reset_token: None,
            active_connection_id_limit: 2,
            min_ack_delay_us: 0,
            max_datagram_frame_size: 0,
            is_tls_server: false,
        }
    }
}

/// Why the peer's parameters are refused: TRANSPORT_PARAMETER_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParamsError {
    /// End inside a field, or a field longer than its value.
    #[error("malformed transport parameters")]
    Malformed,
    /// The same parameter twice.
    #[error("transport parameter {0:#x} stands twice")]
    Twice(u64),
    /// A value outside its range.
    #[error("transport parameter {0:#x} is out of range")]
    Range(u64),
}

impl From<Truncated> for ParamsError {
    fn from(_: Truncated) -> Self {
        ParamsError::Malformed
    }
}

impl TransportParams {
    /// Writes all parameters.
    pub fn write(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        let (mut own, mut absent) = (*self, TransportParams::default());
        for (place, id) in NUMBERS.into_iter().enumerate() {
            let (Some(value), Some(absent)) = (own.number(id), absent.number(id)) else { continue };
            if place < NUMBERS_ALWAYS || value != absent {
                w.varint(id)?;
                w.varint(super::codec::varint_len(*value) as u64)?;
                w.varint(*value)?;
            }
        }
        if let Some(token) = &self.stateless_reset_token {
            w.varint(0x02)?;
            w.var_bytes(token)?;
        }
        if self.is_tls_server {
            w.varint(0x21)?;
            w.var_bytes(&[])?;
        }
        Ok(())
    }

    /// Reads the peer's.
    pub fn read(bytes: &[u8]) -> Result<Self, ParamsError> {
        let mut params = TransportParams::default();
        let mut r = Reader::new(bytes);
        let mut seen = 0u64;
        while !r.is_empty() {
            let id = r.varint()?;
            let mut field = Reader::new(r.var_bytes()?);
            // Only those used here are counted; bit 63 is none of theirs.
            let bit = if id == MIN_ACK_DELAY { 63 } else { id };
            if bit < 64 {
                if seen & (1 << bit) != 0 {
                    return Err(ParamsError::Twice(id));
                }
                seen |= 1 << bit;
            }
            if id == 0x02 {
                let token = field.array().map_err(|_| ParamsError::Malformed)?;
                params.stateless_reset_token = Some(token);
            } else if id == 0x21 {
                params.is_tls_server = true;
            } else if let Some(number) = params.number(id) {
                *number = field.varint()?;
            } else {
                continue;
            }
            if !field.is_empty() {
                return Err(ParamsError::Malformed);
            }
        }
        params.check()?;
        Ok(params)
    }

    /// The parameter of this ID, if it is a number.
    fn number(&mut self, id: u64) -> Option<&mut u64> {
        Some(match id {
            0x01 => &mut self.max_idle_timeout_ms,
            0x03 => &mut self.max_udp_payload_size,
            0x04 => &mut self.initial_max_data,
            0x05 => &mut self.initial_max_stream_data_bidi_local,
            0x06 => &mut self.initial_max_stream_data_bidi_remote,
            0x08 => &mut self.initial_max_streams_bidi,
            0x0a => &mut self.ack_delay_exponent,
            0x0b => &mut self.max_ack_delay_ms,
            0x0e => &mut self.active_connection_id_limit,
            MIN_ACK_DELAY => &mut self.min_ack_delay_us,
            0x20 => &mut self.max_datagram_frame_size,
            _ => return None,
        })
    }

    fn check(&self) -> Result<(), ParamsError> {
        let max_ack_delay_us = self.max_ack_delay_ms.saturating_mul(1000);
        let bad = [
            (0x03, self.max_udp_payload_size < MIN_UDP_PAYLOAD),
            (0x08, self.initial_max_streams_bidi > 1 << 60),
            (0x0a, self.ack_delay_exponent > 20),
            (0x0b, self.max_ack_delay_ms >= 1 << 14),
            (0x0e, self.active_connection_id_limit < 2),
            (MIN_ACK_DELAY, self.min_ack_delay_us > max_ack_delay_us),
        ];
        match bad.iter().find(|(_, is_bad)| *is_bad) {
            Some((id, _)) => Err(ParamsError::Range(*id)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_delay_is_asked_for_within_its_limits() {
        let read = |us: u64, times: usize| {
            let mut buf = [0; 64];
            let mut w = Writer::new(&mut buf);
            for _ in 0..times {
                w.varint(MIN_ACK_DELAY).and_then(|()| w.u8(4)).unwrap();
                w.u32(0x8000_0000 | us as u32).unwrap();
            }
            let len = w.len();
            TransportParams::read(&buf[..len]).map(|params| params.min_ack_delay_us)
        };
        assert_eq!((read(25_000, 1), read(0, 0)), (Ok(25_000), Ok(0)));
        assert_eq!(read(25_001, 1), Err(ParamsError::Range(MIN_ACK_DELAY)));
        assert_eq!(read(1_000, 2), Err(ParamsError::Twice(MIN_ACK_DELAY)));
    }

    #[test]
    fn round_trip_skip_and_refuse() {
        let stateless_reset_token = Some([7; 16]);
        let params = TransportParams {
            initial_max_data: 70_000,
            stateless_reset_token,
            ..Default::default()
        };
        let mut buf = [0; 200];
        let mut w = Writer::new(&mut buf);
        params.write(&mut w).unwrap();
        w.varint(0x4321).unwrap();
        w.var_bytes(b"later").unwrap();
        let len = w.len();
        assert_eq!(TransportParams::read(&buf[..len]), Ok(params));
        assert_eq!(TransportParams::read(&buf[..len - 1]), Err(ParamsError::Malformed));
        assert_eq!(TransportParams::read(&[0x04, 1, 9, 0x04, 1, 9]), Err(ParamsError::Twice(4)));
        assert_eq!(TransportParams::read(&[0x04, 2, 9, 9]), Err(ParamsError::Malformed));
        assert_eq!(TransportParams::read(&[0x0a, 1, 21]), Err(ParamsError::Range(0x0a)));
        for len in [15, 17] {
            let mut token = std::vec![0x02, len];
            token.resize(2 + usize::from(len), 7);
            assert_eq!(TransportParams::read(&token), Err(ParamsError::Malformed));
        }
        let largest_varint = [0x0b, 8, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(TransportParams::read(&largest_varint), Err(ParamsError::Range(0x0b)));
        assert_eq!(TransportParams::read(&[0x0e, 1, 1]), Err(ParamsError::Range(0x0e)));
        assert_eq!(TransportParams::read(&[0x0a, 1, 20]).unwrap().ack_delay_exponent, 20);
    }
}
