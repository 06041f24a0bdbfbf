//! Text forms of keys and broker addresses, and the loopback address of a service.

use crate::error::{RIT_ERR_ARG, RIT_ERR_NAME, RIT_ERR_NULL, RIT_OK};
use crate::structs;
use core::ffi::c_char;
use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::tunnel::loopback_address;
use rit_core::wire::message::is_service_name;
use rit_core::wire::text::{Uri, key_from_text, key_to_text};

/// Bytes of a key in text with its NUL: 52 of a-z 2-7.
pub const RIT_KEY_TEXT_LEN: usize = 53;

fn code(result: Result<(), i32>) -> i32 {
    result.err().unwrap_or(RIT_OK)
}

/// Writes a key as text of RIT_KEY_TEXT_LEN bytes, NUL-ended.
///
/// RIT_ERR_NULL. Callable from everywhere, like all functions that take no node.
#[unsafe(no_mangle)]
pub extern "C" fn rit_key_to_text(key: *const u8, out: *mut c_char) -> i32 {
    code(
        structs::key(key).and_then(|key| {
            structs::put_text(out, RIT_KEY_TEXT_LEN, &key_to_text(&PublicKey(key)))
        }),
    )
}

/// Reads a key from NUL-ended text into 32 bytes.
///
/// RIT_ERR_ARG (not a key), RIT_ERR_NULL. out is written only on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_key_from_text(text: *const c_char, out: *mut u8) -> i32 {
    code(structs::text(text).and_then(|text| {
        let key = key_from_text(text).map_err(|_| RIT_ERR_ARG)?;
        structs::bytes_mut(out, key.0.len())?.copy_from_slice(&key.0);
        Ok(())
    }))
}

/// Takes rit://KEY@HOST[:PORT] apart: key gets 32 bytes, host a NUL-ended name or address (of an IPv6
/// address without its brackets), port 7480 if there is none. Resolving the host is the port's work.
///
/// RIT_ERR_ARG (not such an address), RIT_ERR_BUFFER (host_cap), RIT_ERR_NULL. Outputs are written only
/// on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_uri_parse(
    uri: *const c_char,
    key: *mut u8,
    host: *mut c_char,
    host_cap: usize,
    port: *mut u16,
) -> i32 {
    code(structs::text(uri).and_then(|text| {
        let uri: Uri = text.parse().map_err(|_| RIT_ERR_ARG)?;
        if key.is_null() || host.is_null() || port.is_null() {
            return Err(RIT_ERR_NULL);
        }
        structs::put_text(host, host_cap, &uri.host)?;
        structs::bytes_mut(key, uri.key.0.len())?.copy_from_slice(&uri.key.0);
        structs::put(port, uri.port)
    }))
}

/// Writes the stable loopback address 127.x.y.z of a device's service: out[0] is 127. Count attempt up
/// from 0 where something else listens there.
///
/// RIT_ERR_NAME, RIT_ERR_ARG, RIT_ERR_NULL.
#[unsafe(no_mangle)]
pub extern "C" fn rit_loopback_address(
    device: *const u8,
    service: *const c_char,
    attempt: u32,
    out: *mut u8,
) -> i32 {
    code(structs::key(device).and_then(|device| {
        let service = structs::text(service)?;
        if !is_service_name(service) {
            return Err(RIT_ERR_NAME);
        }
        let address = loopback_address(default_provider(), &PublicKey(device), service, attempt);
        structs::bytes_mut(out, address.len())?.copy_from_slice(&address);
        Ok(())
    }))
}
