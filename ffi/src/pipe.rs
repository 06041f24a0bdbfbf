//! Quality of a session: how full the pipe to the peer is, the congestion controller that fills it,
//! and who has which share of it.

use crate::args::{Answer, Versioned};
use crate::error::Error;
use crate::node::{command, rit_node};
use crate::service::rit_service_id;
use crate::session::rit_session;
use crate::stream::rit_stream;
#[cfg(feature = "media")]
use core::time::Duration;
#[cfg(feature = "media")]
use rit_core::node::{ServiceId, SessionId, StreamHandle};
#[cfg(feature = "media")]
use rit_core::transport::{Congestion, DEFAULT_TARGET};

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
/// the way, to 1 s; 0: 80 ms. Less of it is less delay and, where the link varies, less throughput.
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

/// Makes the stream one of those that have a share together, and gives that share a weight. While
/// streams of an urgency wait that take turns (rit_stream_set_priority, is_incremental 1), each
/// share has of what this end sends as much as its weight is of all their weights, whichever of its
/// streams have it; a stream without a share counts as one of weight 16. What a share does not use
/// goes to the others. Messages of flows are not in it: at most each second packet begins with them
/// while streams wait.
///
/// share: 0 to 31, a number of your choice within the session. weight: 1 to 256; the last one set
/// is that of the share.
/// Errors: NULL, ARG (share, weight), HANDLE, STATE (as for other functions, or the library is
/// built without `media`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_set_share(
    node: *mut rit_node,
    stream: rit_stream,
    share: u32,
    weight: u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let share = u8::try_from(share).map_err(|_| Error::Argument("share"))?;
            let weight = u16::try_from(weight).map_err(|_| Error::Argument("weight"))?;
            #[cfg(not(feature = "media"))]
            return left_out((inner, now, stream, share, weight));
            #[cfg(feature = "media")]
            Ok(inner.node.stream_set_share(StreamHandle(stream), share, weight, now)?)
        })
    }
}

/// How streams of a service offered here begin, those that come from now on: with this urgency,
/// incremental, and, all of a session together, with a share of this weight (see
/// rit_stream_set_share, whose numbers are others'). So a bundle of services has its parts without
/// a look at each stream. It concerns what this end sends. Flows of UDP services have none.
///
/// urgency: 0, first, to 7, last; 3 is that of all others. weight: 1 to 256; 16 is that of a stream
/// without a share.
/// Errors: NULL, ARG (urgency, weight), HANDLE, STATE (the library is built without `media`),
/// REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_service_set_priority(
    node: *mut rit_node,
    service: rit_service_id,
    urgency: u32,
    weight: u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let urgency = u8::try_from(urgency).map_err(|_| Error::Argument("urgency"))?;
            let weight = u16::try_from(weight).map_err(|_| Error::Argument("weight"))?;
            #[cfg(not(feature = "media"))]
            return left_out((inner, service, urgency, weight));
            #[cfg(feature = "media")]
            Ok(inner.node.service_set_priority(ServiceId(service), urgency, weight)?)
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
