//! Going online: which broker, and the one-time code.

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

/// Where a broker is and who it must be.
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
            let broker = args::read(broker)?;
            if broker.reserved != 0 {
                return Err(Error::Argument("rit_broker.reserved"));
            }
            let paths = read_paths(broker.paths, broker.path_count, MAX_COPIES, "broker paths")?;
            let code = match broker.enrol_code.is_null() {
                true => None,
                false => Some(enrol_code(broker.enrol_code)?),
            };
            let address = BrokerAddress { key: PublicKey(broker.key), paths };
            Ok(inner.node.broker_connect(address, code, now)?)
        })
    }
}

/// # Safety
/// As for `args::text`.
unsafe fn enrol_code<'a>(code: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise.
    let code = unsafe { args::text(code, ENROL_CODE_MAX, "enrol_code")? };
    if code.is_empty() { Err(Error::Argument("enrol_code")) } else { Ok(code) }
}
