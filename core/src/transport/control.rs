//! Frames of the connection itself, rather than of a stream: said once, and again if lost.

use super::ack_frequency::AckFrequencyControl;
use super::cids::Cids;
use super::sent::{SentFrame, SentPackets};
use crate::wire::codec::{Full, Writer};
use crate::wire::frame;

pub(super) struct Control {
    /// HANDSHAKE_DONE is to be said.
    pub(super) handshake_done: bool,
    /// The peer is to see where we are, though there is nothing to say.
    pub(super) is_to_show: bool,
    pub(super) ack_frequency: AckFrequencyControl,
    pub(super) cids: Cids,
}

impl Control {
    pub(super) fn new(cids: Cids) -> Self {
        let ack_frequency = AckFrequencyControl::default();
        Control { handshake_done: false, is_to_show: false, ack_frequency, cids }
    }

    pub(super) fn has_pending(&self) -> bool {
        self.handshake_done || self.ack_frequency.is_pending || self.cids.has_pending()
    }

    /// Writes what is to be said, as far as there is room.
    pub(super) fn write(&mut self, w: &mut Writer<'_>, sent: &mut SentPackets) -> Result<(), Full> {
        if self.handshake_done {
            frame::write_handshake_done(w)?;
            self.handshake_done = false;
            sent.push_frame(SentFrame::HandshakeDone);
        }
        if self.ack_frequency.is_pending {
            frame::write_ack_frequency(w, &self.ack_frequency.frame())?;
            self.ack_frequency.on_sent();
            sent.push_frame(SentFrame::AckFrequency);
        }
        self.cids.write(w, sent)
    }

    /// A packet with this frame is lost.
    pub(super) fn on_lost(&mut self, frame: &SentFrame) {
        match frame {
            SentFrame::HandshakeDone => self.handshake_done = true,
            SentFrame::AckFrequency => self.ack_frequency.on_lost(),
            _ => self.cids.on_lost(frame),
        }
    }
}
