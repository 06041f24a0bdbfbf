//! The one place where errors become the numbers of the C interface.
//!
//! Owns the codes, their names, and what each error of core means to a C caller. A number is never
//! used twice. Ranges: -1 to -99 the caller's mistakes, -100 to -199 passing, -200 and below fatal.

use crate::guard;
use core::ffi::{CStr, c_char};
use rit_core::node::{ConfigError, NodeError, Reason};
use rit_core::trust::IdentityError;
use rit_core::tunnel::Refusal;
use rit_core::wire::text::TextError;
#[cfg(feature = "trust")]
use rit_core::{
    crypto::SignError,
    trust::{
        ClaimTextError, CloakSignError, GrantError, GrantSignError, NoteError, RevocationSignError,
        TrustStateError,
    },
};
use thiserror::Error;

/// Done.
pub const RIT_OK: i32 = 0;

/// A pointer that must not be null is null. Nothing changed; fix the call.
pub const RIT_ERR_NULL: i32 = -1;
/// An argument is outside its range, or a reserved field is not zero. Nothing changed; fix the
/// call.
pub const RIT_ERR_ARG: i32 = -2;
/// A struct_size is that of no known version, or the struct has fields set that this library does
/// not know. Nothing changed; set struct_size to sizeof the struct, or update the library.
pub const RIT_ERR_SIZE: i32 = -3;
/// rit_config.abi_version is not the library's: header and library do not belong together.
pub const RIT_ERR_VERSION: i32 = -4;
/// Not at this point: the session is not up, the stream not accepted, already finished, and so on.
/// Nothing changed; wait for the event that the function's comment names.
pub const RIT_ERR_STATE: i32 = -5;
/// The session, stream or service handle is stale, or never was one. Nothing changed; forget it.
pub const RIT_ERR_HANDLE: i32 = -6;
/// Called from inside a callback of the same node, or while another thread is in a call on it.
/// Nothing changed; call again after the callback returned.
pub const RIT_ERR_REENTRY: i32 = -7;
/// The buffer for the answer is too small. Nothing was written.
pub const RIT_ERR_BUFFER: i32 = -8;
/// Not a service name: 1 to 63 characters of a-z 0-9 - _ and dot.
pub const RIT_ERR_NAME: i32 = -9;
/// It is there already. Nothing changed; take another name.
pub const RIT_ERR_EXISTS: i32 = -10;
/// A message longer than RIT_MESSAGE_MAX, or than a window of one of the ends. Nothing was sent;
/// send less.
pub const RIT_ERR_TOO_LARGE: i32 = -11;

/// Nothing now: no event, nothing to read, no room to write. Wait for the event; do not poll.
pub const RIT_ERR_AGAIN: i32 = -100;
/// A limit of this node, of the peer or of the broker is reached. Others are not affected; release
/// something, or try later.
pub const RIT_ERR_LIMIT: i32 = -101;
/// There is no memory for it.
pub const RIT_ERR_NOMEM: i32 = -102;
/// Neither broker nor gateway can be asked now, or the device is not online. Try later.
pub const RIT_ERR_OFFLINE: i32 = -103;
/// The broker knows no such device, or the device no such service.
pub const RIT_ERR_UNKNOWN: i32 = -104;
/// The other end does not let this node in, is not who it should be, or this node is not enrolled.
pub const RIT_ERR_DENIED: i32 = -105;
/// The service itself refused the stream, as a closed TCP port does.
pub const RIT_ERR_REFUSED: i32 = -106;
/// The peer reset the stream: its bytes that were not read are lost. Release the stream.
pub const RIT_ERR_RESET: i32 = -107;
/// The other end closed: the peer's application ended the session, or wants no more of the stream.
pub const RIT_ERR_CLOSED: i32 = -108;
/// No answer in time; or the stream's deadline passed, and what had not arrived is given up.
pub const RIT_ERR_TIMEOUT: i32 = -109;
/// The enrol code is wrong, expired or used: get a new one.
pub const RIT_ERR_CODE: i32 = -110;
/// The other end broke the protocol.
pub const RIT_ERR_PEER: i32 = -111;
/// Another process with the same identity took the link to the broker over: stop one of the two.
pub const RIT_ERR_REPLACED: i32 = -112;
/// The other end was restarted and knows nothing of it any more: open it anew.
pub const RIT_ERR_FORGOTTEN: i32 = -113;
/// A callback of rit_crypto failed. What it was for is over, nothing else: open it anew. From
/// rit_node_new: there is no node.
pub const RIT_ERR_CRYPTO: i32 = -114;

/// What is to be signed would be no grant, list or transfer that a device could accept. Nothing was
/// written; rit_node_last_error says what is wrong.
pub const RIT_ERR_GRANT: i32 = -115;

/// The entropy callback failed, or what it gives is evidently not random. There is no node.
pub const RIT_ERR_ENTROPY: i32 = -200;
/// The load or store callback failed. There is no node.
pub const RIT_ERR_STORAGE: i32 = -201;
/// What is stored as identity is damaged or of a later version; it is left as it is. There is no
/// node. Restoring a copy keeps the node's name; erasing the slot makes a new node.
pub const RIT_ERR_IDENTITY: i32 = -202;
/// What is stored as trust state is damaged or of a later version; it is left as it is. The node
/// goes on without an owner's rule: it lets in those of rit_peer_allow alone.
pub const RIT_ERR_TRUST: i32 = -204;
/// A promise of this library was broken. As the answer of a call: the node is unusable, free it.
/// As an event's error: only what the event names is lost. Please report it.
pub const RIT_ERR_INTERNAL: i32 = -203;

/// Why a call failed, with what `rit_node_last_error` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("{0} is null")]
    Null(&'static str),
    #[error("{0} is out of range")]
    Argument(&'static str),
    #[error("struct_size of {0} is of no known version, or bytes past the known ones are set")]
    Size(&'static str),
    #[error("the header has ABI version {0}, the library another one")]
    Version(u32),
    #[error("called from inside a callback, or from two threads at once")]
    Reentry,
    #[error("the buffer {0} is too small")]
    Buffer(&'static str),
    #[error("more than {0} {1}")]
    TooMany(usize, &'static str),
    #[error("out of memory")]
    Memory,
    #[error("nothing to tell or to send now")]
    Nothing,
    #[error("there is no rit_io.recv")]
    NoRecv,
    #[error("rit_io.send was given everything")]
    HasSend,
    #[error("there is no rit_io.tcp_write, or the library is built without TCP")]
    NoTcp,
    #[error("this build has C's heap")]
    #[cfg_attr(target_os = "none", allow(dead_code))] // not where the library has its own heap
    NoHeap,
    #[error("the heap has its memory")]
    HeapTaken,
    #[error("there is no owner's rule, or the library is built without trust")]
    NoTrust,
    #[cfg(feature = "trust")]
    #[error("rit_trust_start was called before")]
    TrustStarted,
    #[cfg(feature = "trust")]
    #[error(transparent)]
    Trust(#[from] TrustStateError),
    #[cfg(feature = "trust")]
    #[error(transparent)]
    ClaimText(#[from] ClaimTextError),
    #[cfg(feature = "trust")]
    #[error(transparent)]
    Grant(#[from] GrantSignError),
    #[cfg(feature = "trust")]
    #[error(transparent)]
    Chain(#[from] GrantError),
    #[cfg(feature = "trust")]
    #[error(transparent)]
    Revoked(#[from] RevocationSignError),
    #[cfg(feature = "trust")]
    #[error(transparent)]
    Cloak(#[from] CloakSignError),
    #[cfg(feature = "trust")]
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("the peer was not allowed")]
    NotAllowed,
    #[error("entropy: {0}")]
    Entropy(&'static str),
    #[error("the {0} callback failed with {1}")]
    Storage(&'static str, i32),
    #[cfg_attr(not(feature = "own-crypto"), expect(dead_code))]
    #[error("rit_crypto.{0} failed with {1}")]
    Crypto(&'static str, i32),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("internal error")]
    Internal,
}

impl Error {
    /// The number of the C interface.
    pub(crate) fn code(self) -> i32 {
        match self {
            Error::Null(_) => RIT_ERR_NULL,
            Error::Argument(_) | Error::Config(_) | Error::Text(_) => RIT_ERR_ARG,
            Error::Size(_) => RIT_ERR_SIZE,
            Error::Version(_) => RIT_ERR_VERSION,
            Error::Reentry => RIT_ERR_REENTRY,
            Error::Buffer(_) => RIT_ERR_BUFFER,
            Error::TooMany(..) => RIT_ERR_LIMIT,
            Error::Memory => RIT_ERR_NOMEM,
            Error::Nothing => RIT_ERR_AGAIN,
            Error::NoRecv | Error::HasSend | Error::NoTcp | Error::NoHeap | Error::HeapTaken => {
                RIT_ERR_STATE
            }
            Error::NoTrust => RIT_ERR_STATE,
            #[cfg(feature = "trust")]
            Error::TrustStarted => RIT_ERR_STATE,
            #[cfg(feature = "trust")]
            Error::Trust(_) => RIT_ERR_TRUST,
            #[cfg(feature = "trust")]
            Error::ClaimText(_) => RIT_ERR_ARG,
            #[cfg(feature = "trust")]
            Error::Grant(GrantSignError::Sign(_))
            | Error::Revoked(RevocationSignError::Sign(_))
            | Error::Cloak(CloakSignError::Sign(_))
            | Error::Sign(_) => RIT_ERR_CRYPTO,
            #[cfg(feature = "trust")]
            Error::Cloak(CloakSignError::TooLong) => RIT_ERR_ARG,
            #[cfg(feature = "trust")]
            Error::Grant(_) | Error::Revoked(_) | Error::Chain(_) => RIT_ERR_GRANT,
            Error::NotAllowed => RIT_ERR_UNKNOWN,
            Error::Entropy(_) => RIT_ERR_ENTROPY,
            Error::Storage(..) => RIT_ERR_STORAGE,
            Error::Crypto(..) => RIT_ERR_CRYPTO,
            Error::Identity(_) => RIT_ERR_IDENTITY,
            Error::Node(error) => node_code(error),
            Error::Internal => RIT_ERR_INTERNAL,
        }
    }
}

fn node_code(error: NodeError) -> i32 {
    match error {
        NodeError::StaleHandle => RIT_ERR_HANDLE,
        NodeError::Limit => RIT_ERR_LIMIT,
        NodeError::Exists => RIT_ERR_EXISTS,
        NodeError::Name => RIT_ERR_NAME,
        NodeError::Argument => RIT_ERR_ARG,
        NodeError::TooLarge => RIT_ERR_TOO_LARGE,
        NodeError::Buffer(_) => RIT_ERR_BUFFER,
        NodeError::Offline => RIT_ERR_OFFLINE,
        NodeError::State => RIT_ERR_STATE,
        NodeError::Blocked => RIT_ERR_AGAIN,
        NodeError::Reset(_) => RIT_ERR_RESET,
        NodeError::Stopped(_) => RIT_ERR_CLOSED,
        NodeError::Expired => RIT_ERR_TIMEOUT,
        NodeError::Crypto => RIT_ERR_CRYPTO,
        NodeError::Memory => RIT_ERR_NOMEM,
        NodeError::Internal => RIT_ERR_INTERNAL,
    }
}

/// The number of why a stream was not opened.
pub(crate) fn refusal_code(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::Service => RIT_ERR_REFUSED,
        Refusal::Denied => RIT_ERR_DENIED,
        Refusal::Unknown => RIT_ERR_UNKNOWN,
        Refusal::Limit => RIT_ERR_LIMIT,
    }
}

/// The number of why another node did not do what its owner said.
#[cfg(feature = "trust")]
pub(crate) fn note_code(error: NoteError) -> i32 {
    match error {
        NoteError::NoOwners | NoteError::Unclaimed | NoteError::Closed => RIT_ERR_STATE,
        NoteError::Claimed => RIT_ERR_EXISTS,
        NoteError::NotOwner | NoteError::Proof | NoteError::Locked => RIT_ERR_DENIED,
        NoteError::Device
        | NoteError::Epoch
        | NoteError::Older
        | NoteError::Nonce
        | NoteError::Time => RIT_ERR_GRANT,
        NoteError::Busy => RIT_ERR_AGAIN,
        NoteError::Store => RIT_ERR_STORAGE,
        NoteError::Malformed | NoteError::Other(_) => RIT_ERR_PEER,
    }
}

/// The number of why a session or the link to the broker ended, and the peer's code.
pub(crate) fn reason_code(reason: Reason) -> (i32, u64) {
    let error = match reason {
        Reason::Local => RIT_OK,
        Reason::Peer(code) => return (RIT_ERR_CLOSED, code),
        Reason::TimedOut => RIT_ERR_TIMEOUT,
        Reason::Untrusted | Reason::NotEnrolled | Reason::NotPermitted => RIT_ERR_DENIED,
        Reason::Unknown => RIT_ERR_UNKNOWN,
        Reason::Offline | Reason::Unavailable => RIT_ERR_OFFLINE,
        Reason::BadCode => RIT_ERR_CODE,
        Reason::Limit => RIT_ERR_LIMIT,
        Reason::Replaced => RIT_ERR_REPLACED,
        Reason::Forgotten => RIT_ERR_FORGOTTEN,
        Reason::Protocol => RIT_ERR_PEER,
        Reason::Crypto => RIT_ERR_CRYPTO,
        Reason::Memory => RIT_ERR_NOMEM,
        Reason::Internal => RIT_ERR_INTERNAL,
    };
    (error, 0)
}

/// The library's RIT_ABI_VERSION, for comparison with the header's. Callable anywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_abi_version() -> u32 {
    crate::RIT_ABI_VERSION
}

/// The library's version as text, such as "0.1.0"; good for ever. Callable anywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A short English description of an error code; good for ever, never null, also for numbers that
/// are no code; empty in a library built without texts. Callable anywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_strerror(err: i32) -> *const c_char {
    if !cfg!(feature = "log") {
        return c"".as_ptr();
    }
    guard::run(|| describe(err)).unwrap_or(c"internal error").as_ptr()
}

fn describe(err: i32) -> &'static CStr {
    match err {
        RIT_OK => c"no error",
        RIT_ERR_NULL => c"a pointer is null",
        RIT_ERR_ARG => c"an argument is out of range",
        RIT_ERR_SIZE => c"struct_size is not known",
        RIT_ERR_VERSION => c"header and library have different ABI versions",
        RIT_ERR_STATE => c"not possible in this state",
        RIT_ERR_HANDLE => c"stale or unknown handle",
        RIT_ERR_REENTRY => c"called from inside a callback",
        RIT_ERR_BUFFER => c"the buffer is too small",
        RIT_ERR_NAME => c"not a service name",
        RIT_ERR_EXISTS => c"it exists already",
        RIT_ERR_TOO_LARGE => c"the message is too large",
        RIT_ERR_AGAIN => c"nothing now, wait for the event",
        RIT_ERR_LIMIT => c"a limit is reached",
        RIT_ERR_NOMEM => c"out of memory",
        RIT_ERR_OFFLINE => c"offline",
        RIT_ERR_UNKNOWN => c"unknown device or service",
        RIT_ERR_DENIED => c"access denied",
        RIT_ERR_REFUSED => c"the service refused",
        RIT_ERR_RESET => c"reset by the peer",
        RIT_ERR_CLOSED => c"closed by the peer",
        RIT_ERR_TIMEOUT => c"timed out",
        RIT_ERR_CODE => c"the enrol code is wrong, expired or used",
        RIT_ERR_PEER => c"the other end broke the protocol",
        RIT_ERR_REPLACED => c"replaced by another process with the same identity",
        RIT_ERR_FORGOTTEN => c"the other end was restarted",
        RIT_ERR_CRYPTO => c"the integrator's crypto failed",
        RIT_ERR_GRANT => c"not a grant or list that a device would accept",
        RIT_ERR_ENTROPY => c"the entropy source fails",
        RIT_ERR_STORAGE => c"the storage fails",
        RIT_ERR_IDENTITY => c"the stored identity is damaged",
        RIT_ERR_TRUST => c"the stored trust state is damaged",
        RIT_ERR_INTERNAL => c"internal error",
        _ => c"not an error code",
    }
}
