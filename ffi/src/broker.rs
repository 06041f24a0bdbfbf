//! Going online: which broker, and the one-time code; and which gateway stands in for it.

use crate::RIT_KEY_LEN;
use crate::args::{self, Versioned};
use crate::error::Error;
use crate::io::rit_path;
use crate::node::{command, read_paths, rit_node};
use core::ffi::c_char;
use rit_core::base::PublicKey;
use rit_core::node::BrokerAddress;
use rit_core::traverse::MAX_COPIES;

/// Longest enrol code.
const ENROL_CODE_MAX: usize = rit_core::wire::message::CODE_LEN_MAX;

/// Where a broker is, or a gateway that is one, and who it must be.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_broker {
    /// sizeof(struct rit_broker).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Its public key: whoever answers at its addresses must prove to hold it. From rit_uri_parse.
    pub key: [u8; RIT_KEY_LEN],
    /// Its addresses, 1 to 8; all are tried at once.
    pub paths: *const rit_path,
    /// How many.
    pub path_count: usize,
    /// The one-time code from the broker's operator, 1 to 64 bytes; null once enrolled. It is
    /// used only if the broker does not know this node yet.
    pub enrol_code: *const c_char,
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_broker {
    const NAME: &'static str = "rit_broker";
}

/// Connects to a broker and stays connected, trying again by itself with growing pauses of up to a
/// minute. Events: BROKER_ONLINE and BROKER_OFFLINE, as often as that changes; ENROLLED; or
/// ENROL_REFUSED, and then the node waits for the next call of this function.
///
/// broker: copied with all it points to. Errors: NULL, ARG (no path, a port 0, length of the code),
/// SIZE, LIMIT (more than 8 paths), STATE (a link is up or being made), REENTRY, INTERNAL. Between
/// attempts a call replaces broker and code. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_broker_connect(node: *mut rit_node, broker: *const rit_broker) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let (address, code) = read_broker(broker)?;
            Ok(inner.node.broker_connect(address, code, now)?)
        })
    }
}

/// Tells the node of a gateway of its LAN: a node that its operator lets be broker and relay there.
/// While the broker of rit_broker_connect is online, nothing is said to the gateway. Once it has
/// not been for 3 s, the node calls the gateway, again and again with pauses of up to 15 s, and
/// both ends of new sessions meet there; it goes on calling the broker, with pauses of up to 20 s.
/// When the broker has been online for 60 s, the gateway is left. Sessions go on through all of
/// that. So the broker's absence is noticed sooner, idle links ask for an answer each 28.5 s.
///
/// Whoever answers must prove to hold the gateway's key, so that its addresses may come from where
/// nobody vouches for them, such as mDNS. Call this again whenever they are others: they are used
/// from the next attempt on, a link that is up is left alone, and the same again changes nothing.
/// Another key takes the place of the former gateway, and ends the link to it.
///
/// Events: GATEWAY_ONLINE and GATEWAY_OFFLINE. rit_session_open works while either is online, and
/// where the broker does not find the device, and the gateway is online too, it asks there before
/// the session is given up. What asks for a fresh word of the broker (rit_service.must_be_fresh,
/// and grants that are to be fresh) is refused while only the gateway is online.
///
/// gateway: copied with all it points to, as of rit_broker_connect; enrol_code: of the gateway.
/// Errors: NULL, ARG (as there), SIZE, LIMIT (more than 8 paths), STATE (the library is built
/// without `gateway`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_gateway_connect(
    node: *mut rit_node,
    gateway: *const rit_broker,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let (address, code) = read_broker(gateway)?;
            #[cfg(not(feature = "gateway"))]
            return left_out((inner, now, address, code));
            #[cfg(feature = "gateway")]
            Ok(inner.node.gateway_connect(address, code, now)?)
        })
    }
}

/// There is no gateway any more: a link to it is closed, with GATEWAY_OFFLINE if it was online, and
/// it is not called again. Sessions go on. Without a gateway nothing happens.
///
/// Errors: NULL, STATE (the library is built without `gateway`), REENTRY, INTERNAL. Not in a
/// callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_gateway_forget(node: *mut rit_node) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            #[cfg(not(feature = "gateway"))]
            return left_out((inner, now));
            #[cfg(feature = "gateway")]
            {
                inner.node.gateway_forget(now);
                Ok(())
            }
        })
    }
}

#[cfg(not(feature = "gateway"))]
fn left_out<T>(_: T) -> Result<(), Error> {
    Err(rit_core::node::NodeError::State.into())
}

/// # Safety
/// As the header asks of the caller for a `rit_broker`.
unsafe fn read_broker<'a>(
    broker: *const rit_broker,
) -> Result<(BrokerAddress, Option<&'a str>), Error> {
    // SAFETY: the caller's promise.
    unsafe {
        let broker = args::read(broker)?;
        if broker.reserved != 0 {
            return Err(Error::Argument("rit_broker.reserved"));
        }
        let paths = read_paths(broker.paths, broker.path_count, MAX_COPIES, "broker paths")?;
        let code = match broker.enrol_code.is_null() {
            true => None,
            false => Some(enrol_code(broker.enrol_code)?),
        };
        Ok((BrokerAddress { key: PublicKey(broker.key), paths }, code))
    }
}

/// # Safety
/// As for `args::text`.
unsafe fn enrol_code<'a>(code: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise.
    let code = unsafe { args::text(code, ENROL_CODE_MAX, "enrol_code")? };
    if code.is_empty() { Err(Error::Argument("enrol_code")) } else { Ok(code) }
}
