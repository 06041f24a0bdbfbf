//! Error codes: one place that maps every error of core to a stable number with a name.

use core::ffi::{CStr, c_char};
use rit_core::node::{ConfigError, NodeError, Reason};
use rit_core::tunnel::Refusal;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $value:literal, $text:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: i32 = $value;)*

        fn describe(err: i32) -> &'static CStr {
            match err {
                $($name => $text,)*
                _ => c"unknown error",
            }
        }
    };
}

codes! {
    /// Fine.
    RIT_OK = 0, c"ok";
    /// The caller did wrong: a pointer that must not be NULL is. Nothing changed.
    RIT_ERR_NULL = -1, c"a pointer is NULL that must not be";
    /// An argument is out of its range. Nothing changed.
    RIT_ERR_ARG = -2, c"an argument is out of its range";
    /// A struct_size is none this library knows, or a reserved field is not zero. Nothing changed.
    RIT_ERR_SIZE = -3, c"struct_size is wrong or a reserved field is not zero";
    /// Header and library do not fit: rebuild with the header of the library linked.
    RIT_ERR_VERSION = -4, c"header and library are of different versions";
    /// Not possible in this state: the session is not up, the stream is finished already.
    RIT_ERR_STATE = -5, c"not possible in this state";
    /// The handle's session, stream or service is gone, or never was.
    RIT_ERR_HANDLE = -6, c"stale or unknown handle";
    /// Called from inside a callback. Call again when the outer call has returned.
    RIT_ERR_REENTRY = -7, c"called from inside a callback";
    /// The buffer is too small for the result.
    RIT_ERR_BUFFER = -8, c"the buffer is too small";
    /// Not a service name: 1 to 63 of a-z 0-9 - _ .
    RIT_ERR_NAME = -9, c"not a service name";
    /// It exists already.
    RIT_ERR_EXISTS = -10, c"it exists already";
    /// Nothing to do now: wait for the event.
    RIT_ERR_AGAIN = -100, c"nothing to do now";
    /// A limit of the configuration, the peer or the broker is reached. Try again later.
    RIT_ERR_LIMIT = -101, c"a limit is reached";
    /// Out of memory for this operation; everything else goes on.
    RIT_ERR_NOMEM = -102, c"out of memory";
    /// The broker, or the device, is not online. Wait, or try again later.
    RIT_ERR_OFFLINE = -103, c"not online";
    /// The broker does not know this device, or the device not this service.
    RIT_ERR_UNKNOWN = -104, c"unknown device or service";
    /// Not allowed: this node is not enrolled, or the peer's key is not accepted.
    RIT_ERR_DENIED = -105, c"not allowed";
    /// The service itself refused the connection.
    RIT_ERR_REFUSED = -106, c"refused by the service";
    /// The peer reset the stream.
    RIT_ERR_RESET = -107, c"reset by the peer";
    /// Closed, here or by the peer.
    RIT_ERR_CLOSED = -108, c"closed";
    /// No answer in time.
    RIT_ERR_TIMEOUT = -109, c"timed out";
    /// The enrol code is wrong, expired or used. Get a new one.
    RIT_ERR_CODE = -110, c"the enrol code is wrong, expired or used";
    /// The other end broke the protocol.
    RIT_ERR_PEER = -111, c"the other end broke the protocol";
    /// Another process uses this identity: the broker prefers the newest.
    RIT_ERR_REPLACED = -112, c"another process uses this identity";
    /// Fatal: the entropy source fails or is stuck. No node is made.
    RIT_ERR_ENTROPY = -200, c"the entropy source fails or is stuck";
    /// Fatal: the identity cannot be loaded or stored. No node is made.
    RIT_ERR_STORAGE = -201, c"state cannot be loaded or stored";
    /// Fatal: the stored identity is damaged. It is not overwritten; restore or remove it.
    RIT_ERR_IDENTITY = -202, c"the stored identity is damaged";
    /// Fatal: this library failed. Free the node and report it.
    RIT_ERR_INTERNAL = -203, c"internal error";
}

/// The name of an error code: a static text, never NULL.
///
/// Callable from everywhere, also in a callback or an interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn rit_strerror(err: i32) -> *const c_char {
    describe(err).as_ptr()
}

pub(crate) fn from_node(error: NodeError) -> i32 {
    match error {
        NodeError::StaleHandle => RIT_ERR_HANDLE,
        NodeError::Limit => RIT_ERR_LIMIT,
        NodeError::Exists => RIT_ERR_EXISTS,
        NodeError::Name => RIT_ERR_NAME,
        NodeError::Argument => RIT_ERR_ARG,
        NodeError::Offline => RIT_ERR_OFFLINE,
        NodeError::State => RIT_ERR_STATE,
        NodeError::Blocked => RIT_ERR_AGAIN,
        NodeError::Reset(_) => RIT_ERR_RESET,
        NodeError::Stopped(_) => RIT_ERR_CLOSED,
        NodeError::Internal => RIT_ERR_INTERNAL,
    }
}

pub(crate) fn from_config(_: ConfigError) -> i32 {
    RIT_ERR_ARG
}

/// Why something ended, and the peer's code if it gave one.
pub(crate) fn from_reason(reason: Reason) -> (i32, u64) {
    let err = match reason {
        Reason::Local => RIT_OK,
        Reason::Peer(code) => return (RIT_ERR_CLOSED, code),
        Reason::TimedOut => RIT_ERR_TIMEOUT,
        Reason::Untrusted | Reason::NotEnrolled => RIT_ERR_DENIED,
        Reason::Unknown => RIT_ERR_UNKNOWN,
        Reason::Offline | Reason::Unavailable => RIT_ERR_OFFLINE,
        Reason::BadCode => RIT_ERR_CODE,
        Reason::Limit => RIT_ERR_LIMIT,
        Reason::Replaced => RIT_ERR_REPLACED,
        Reason::Protocol => RIT_ERR_PEER,
        Reason::Internal => RIT_ERR_INTERNAL,
    };
    (err, 0)
}

pub(crate) fn from_refusal(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::Service => RIT_ERR_REFUSED,
        Refusal::Denied => RIT_ERR_DENIED,
        Refusal::Unknown => RIT_ERR_UNKNOWN,
        Refusal::Limit => RIT_ERR_LIMIT,
    }
}
