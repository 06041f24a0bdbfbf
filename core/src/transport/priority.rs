//! How streams of a connection stand to each other when both have data to send (RFC 9218).

/// Shares of a connection, numbered from 0.
pub const SHARES_MAX: usize = 64;
/// The weight of a stream that has no share: as that of RFC 7540 §5.3.5.
pub const WEIGHT_DEFAULT: u16 = 16;
/// The largest weight.
pub const WEIGHT_MAX: u16 = 256;

/// Urgency and incremental flag (RFC 9218 §4). A local property of the sending side: the peer is
/// not told, and each end sets its own.
///
/// Data of the most urgent level that has any goes first, and nothing of a lower level goes as long
/// as there is some: strict, as RFC 9218 §10 suggests, so a lower level starves while higher ones
/// keep the path full. Only data waits; resets, requests to stop and limits are sent ahead of it.
/// Within a level the streams that are not incremental go first, the lowest number to its end; the
/// incremental ones then take turns: of a packet, or of several where the path is fast. What each
/// gets of the level is as their weights, see [`Connection::stream_set_share`].
///
/// [`Connection::stream_set_share`]: super::Connection::stream_set_share
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    urgency: u8,
    is_incremental: bool,
}

impl Priority {
    /// How many urgencies there are.
    pub const LEVELS: usize = 8;

    /// `urgency` from 0, first, to 7, last; `None` beyond.
    pub const fn new(urgency: u8, is_incremental: bool) -> Option<Self> {
        if (urgency as usize) < Self::LEVELS {
            Some(Priority { urgency, is_incremental })
        } else {
            None
        }
    }

    /// 0, first, to 7, last.
    pub const fn urgency(self) -> u8 {
        self.urgency
    }

    /// Whether parts of it are of use to the receiver: it takes turns with others.
    pub const fn is_incremental(self) -> bool {
        self.is_incremental
    }

    pub(super) fn level(self) -> usize {
        usize::from(self.urgency)
    }
}

impl Default for Priority {
    /// Urgency 3 as in RFC 9218 §4.1; incremental, unlike §4.2: streams carry TCP connections, and
    /// none of them may hold up the others.
    fn default() -> Self {
        Priority { urgency: 3, is_incremental: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgencies_at_and_over_the_limit() {
        assert_eq!(Priority::new(7, false).map(Priority::urgency), Some(7));
        assert_eq!(Priority::new(8, false), None);
        let default = Priority::default();
        assert_eq!((default.urgency(), default.is_incremental()), (3, true));
    }
}
