//! Text forms of keys and broker addresses, and the loopback address of a service. No node needed.

use crate::args;
use crate::error::{Error, RIT_OK};
use crate::guard;
use crate::memory;
use crate::service::service_name;
use crate::{RIT_KEY_LEN, RIT_KEY_TEXT_LEN};
use core::ffi::c_char;
use rit_core::base::PublicKey;
use rit_core::crypto;
use rit_core::node::NodeError;
use rit_core::tunnel::loopback_address;
use rit_core::wire::message::is_service_name;
use rit_core::wire::text::{self, HOST_LEN_MAX, KEY_TEXT_LEN, TextError, Uri};

/// Memory for the longest text that these functions make on the way.
const TEXT_ROOM: usize = 1024;
/// Longest text that can be a `rit://` address.
const URI_LEN_MAX: usize = "rit://@[]:65535".len() + KEY_TEXT_LEN + HOST_LEN_MAX;

const _: () = assert!(RIT_KEY_TEXT_LEN == KEY_TEXT_LEN + 1 && RIT_KEY_LEN == 32);

/// Copies as much of a text as fits before its NUL. No room at all: nothing is written.
pub(crate) fn copy_cut(text: &str, out: &mut [u8]) {
    let room = out.len().saturating_sub(1);
    let mut len = text.len().min(room);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    for (to, from) in out.iter_mut().zip(text.bytes().take(len).chain([0])) {
        *to = from;
    }
}

/// Writes a text and its NUL, or nothing.
///
/// # Safety
/// `out` is null or points to `cap` writable bytes.
unsafe fn write(text: &str, out: *mut c_char, cap: usize, name: &'static str) -> Result<(), Error> {
    if text.len() >= cap {
        return Err(Error::Buffer(name));
    }
    // SAFETY: the caller's promise.
    copy_cut(text, unsafe { args::bytes_mut(out.cast(), cap, name)? });
    Ok(())
}

fn run(act: impl FnOnce() -> Result<(), Error>) -> i32 {
    let act = || memory::check(TEXT_ROOM).and_then(|()| act());
    guard::run(act).unwrap_or(Err(Error::Internal)).map_or_else(Error::code, |()| RIT_OK)
}

/// Takes a broker's address, rit://KEY@HOST:PORT, apart. HOST is a name, an IPv4 address, or an
/// IPv6 address in brackets; without a PORT it is 7480. Resolving the host is the caller's.
///
/// key: gets 32 bytes. host: gets the host without brackets and with a NUL, if that fits host_cap
/// bytes (254 always do). port: gets the UDP port in host order. All are written, or none.
/// Errors: NULL, ARG (not such an address), BUFFER (host_cap). Callable in a callback, not in an
/// ISR.
/// cbindgen:ptrs-as-arrays=[[key; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_uri_parse(
    uri: *const c_char,
    key: *mut u8,
    host: *mut c_char,
    host_cap: usize,
    port: *mut u16,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    run(|| unsafe {
        let uri: Uri = args::text(uri, URI_LEN_MAX, "uri")?.parse()?;
        let key = args::place(key.cast::<[u8; 32]>(), "key")?;
        let port = args::place(port, "port")?;
        args::place(host, "host")?;
        write(&uri.host, host, host_cap, "host")?;
        key.write(uri.key.0);
        port.write_unaligned(uri.port);
        Ok(())
    })
}

/// Writes a key as text: 52 characters of a-z and 2-7, and a NUL. Each key has exactly one text.
///
/// key: 32 bytes. out: room for RIT_KEY_TEXT_LEN bytes. Errors: NULL. Callable in a callback, not
/// in an ISR.
/// cbindgen:ptrs-as-arrays=[[key; RIT_KEY_LEN], [out; RIT_KEY_TEXT_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_key_to_text(key: *const u8, out: *mut c_char) -> i32 {
    // SAFETY: as the header asks of the caller.
    run(|| unsafe {
        let key = PublicKey(args::key(key, "key")?);
        args::place(out, "out")?;
        write(&text::key_to_text(&key), out, RIT_KEY_TEXT_LEN, "out")
    })
}

/// Reads a key's text.
///
/// text: 52 characters and a NUL. out: gets 32 bytes. Errors: NULL, ARG (not a key's text).
/// Callable in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[out; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_key_from_text(text: *const c_char, out: *mut u8) -> i32 {
    // SAFETY: as the header asks of the caller.
    run(|| unsafe {
        // A longer text is no key either.
        let text = match args::text(text, KEY_TEXT_LEN, "text") {
            Err(Error::Argument(_)) => return Err(Error::Text(TextError::Key)),
            text => text?,
        };
        let out = args::place(out.cast::<[u8; 32]>(), "out")?;
        out.write(text::key_from_text(text)?.0);
        Ok(())
    })
}

/// The loopback address, 127.x.y.z, at which a device's service belongs on the user's machine: the
/// same everywhere and always, so that bookmarks and known_hosts stay true.
///
/// device: its public key, 32 bytes. service: its name. attempt: 0; if something else listens at
/// that address and port already, 1, and so on. out: gets four bytes, 127 first. Errors: NULL,
/// NAME. Callable in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[device; RIT_KEY_LEN], [out; 4]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_loopback_address(
    device: *const u8,
    service: *const c_char,
    attempt: u32,
    out: *mut u8,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    run(|| unsafe {
        let device = PublicKey(args::key(device, "device")?);
        let service = service_name(service)?;
        if !is_service_name(service) {
            return Err(Error::Node(NodeError::Name));
        }
        let out = args::place(out.cast::<[u8; 4]>(), "out")?;
        out.write(loopback_address(crypto::default_provider(), &device, service, attempt));
        Ok(())
    })
}
