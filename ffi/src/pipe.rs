//! Quality of a session: how full the pipe to the peer is, and the congestion controller that fills
//! it.

use crate::args::{Answer, Versioned};
use crate::error::Error;
use crate::node::{command, rit_node};
use crate::session::rit_session;
#[cfg(feature = "media")]
use core::time::Duration;
#[cfg(feature = "media")]
use rit_core::{node::SessionId, transport::Congestion, transport::DEFAULT_TARGET};

/// rit_session_set_congestion: CUBIC (RFC 9438), for bulk: fills the path and its queues. The
/// default.
pub const RIT_CONGESTION_CUBIC: u32 = 0;
/// rit_session_set_congestion: keeps what it sends from queueing for much longer than a target, on
/// links whose rate varies (cellular, Wi-Fi); for interactive media and for control beside them.
pub const RIT_CONGESTION_DELAY_BOUNDED: u32 = 1;

/// The longest target in microseconds: a second.
#[cfg(feature = "media")]
const TARGET_MAX_US: u32 = 1_000_000;

/// How full the pipe to a session's peer is.
///
/// A sender that makes its own bytes, as a camera does, asks before it makes the next ones: it has
/// room for about forecast_bytes - queued_bytes in the next 100 ms. While delay_us is large,
/// drain_rate is what the path carries, and a rate to aim at is somewhat below it. While it is
/// small, drain_rate is no more than what was sent: go on as before, and try a little more from
/// time to time. examples-c/camera.c does so.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_pipe {
    /// sizeof(struct rit_pipe); set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved0: u32,
    /// Bytes of streams and messages that wait in the library.
    pub queued_bytes: u64,
    /// Bytes sent, with headers, of which nothing is known yet.
    pub in_flight_bytes: u64,
    /// Bytes a second, with headers, that arrived at the peer in the last 200 ms; 0 before it is
    /// known. A path that is not full would carry more.
    pub drain_rate: u64,
    /// Microseconds that queues on the way add: the last round trip less the shortest on this path.
    pub queueing_delay_us: u64,
    /// Microseconds that a byte written now waits, here and on the way, beyond what an empty path
    /// takes; no more than a minute. What may leave at once by the congestion controller does not
    /// count as waiting here.
    pub delay_us: u64,
    /// Bytes, with headers, that will be delivered within the next 100 ms with a probability of
    /// about 95 %, by how the path varied lately; 0 before it is known. As with drain_rate, a path
    /// that is not full would deliver more.
    pub forecast_bytes: u64,
    /// 0.
    pub reserved: [u64; 3],
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_pipe {
    const NAME: &'static str = "rit_pipe";
}

/// How full the pipe is. The caller sets out->struct_size. Of a session that sends by CUBIC,
/// drain_rate and forecast_bytes are measured from the first call of this or rit_session_watch on.
///
/// Errors: NULL, SIZE, HANDLE, STATE (the session is not up, or the library is built without
/// `media`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_pipe(
    node: *mut rit_node,
    session: rit_session,
    out: *mut rit_pipe,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let answer = Answer::new(out)?;
            #[cfg(not(feature = "media"))]
            return left_out((inner, now, session, answer));
            #[cfg(feature = "media")]
            {
                let pipe = inner.node.session_pipe(SessionId(session), now)?;
                answer.write(rit_pipe {
                    struct_size: 0,
                    reserved0: 0,
                    queued_bytes: pipe.queued,
                    in_flight_bytes: pipe.in_flight,
                    drain_rate: pipe.rate,
                    queueing_delay_us: pipe.queueing_delay.as_micros() as u64,
                    delay_us: pipe.delay().as_micros() as u64,
                    forecast_bytes: pipe.forecast,
                    reserved: [0; 3],
                });
                Ok(())
            }
        })
    }
}

/// Asks for SESSION_PIPE events: one when rit_pipe.delay_us rises above high_us, one when it falls
/// below low_us after that, and so on.
///
/// low_us: less than high_us. high_us: 0 ends it; low_us is 0 then too.
/// Errors: NULL, ARG (low_us), HANDLE, STATE (the library is built without `media`), REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_watch(
    node: *mut rit_node,
    session: rit_session,
    low_us: u32,
    high_us: u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            if low_us >= high_us && (low_us, high_us) != (0, 0) {
                return Err(Error::Argument("low_us"));
            }
            #[cfg(not(feature = "media"))]
            return left_out((inner, now, session));
            #[cfg(feature = "media")]
            {
                let [low, high] = [low_us, high_us].map(|us| Duration::from_micros(us.into()));
                let thresholds = (high_us > 0).then_some((low, high));
                Ok(inner.node.session_watch(SessionId(session), thresholds, now)?)
            }
        })
    }
}

/// Which congestion controller this end sends by on the session; the peer chooses its own. Another
/// than before begins as on a new session. It may be called at any time once the session is up.
///
/// congestion: RIT_CONGESTION_*. target_us: of DELAY_BOUNDED, how long what is sent may queue on
/// the way, to 1 s; 0: 60 ms. Less of it is less delay and, where the link varies, less throughput.
/// 0 for CUBIC.
/// Errors: NULL, ARG (congestion, target_us), HANDLE, STATE (the session is not up, or the library
/// is built without `media`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_set_congestion(
    node: *mut rit_node,
    session: rit_session,
    congestion: u32,
    target_us: u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            #[cfg(not(feature = "media"))]
            return left_out((inner, now, session, congestion, target_us));
            #[cfg(feature = "media")]
            {
                let _ = now;
                let congestion = self::congestion(congestion, target_us)?;
                Ok(inner.node.session_set_congestion(SessionId(session), congestion)?)
            }
        })
    }
}

#[cfg(feature = "media")]
fn congestion(congestion: u32, target_us: u32) -> Result<Congestion, Error> {
    match (congestion, target_us) {
        (RIT_CONGESTION_CUBIC, 0) => Ok(Congestion::Cubic),
        (RIT_CONGESTION_DELAY_BOUNDED, 0) => {
            Ok(Congestion::DelayBounded { target: DEFAULT_TARGET })
        }
        (RIT_CONGESTION_DELAY_BOUNDED, 1..=TARGET_MAX_US) => {
            Ok(Congestion::DelayBounded { target: Duration::from_micros(target_us.into()) })
        }
        (RIT_CONGESTION_CUBIC | RIT_CONGESTION_DELAY_BOUNDED, _) => {
            Err(Error::Argument("target_us"))
        }
        _ => Err(Error::Argument("congestion")),
    }
}

#[cfg(not(feature = "media"))]
fn left_out<T>(_: T) -> Result<(), Error> {
    Err(rit_core::node::NodeError::State.into())
}
