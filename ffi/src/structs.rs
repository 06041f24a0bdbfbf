//! Reading and writing C structs that begin with their own size, so that they can grow at the end.

use crate::error::{RIT_ERR_ARG, RIT_ERR_NULL, RIT_ERR_SIZE};
use core::ffi::{CStr, c_char};

/// A larger struct than this is a wild size, not a later version.
const MAX_STRUCT: usize = 4096;

/// A `repr(C)` struct of plain data whose first field is `uint32_t struct_size`.
///
/// # Safety
/// Any bytes must be a valid value: integers, pointers and optional functions only.
pub(crate) unsafe trait Sized32: Copy {}

/// Copies a struct in. A later version's longer struct is taken if what we do not know is zero.
pub(crate) fn read<T: Sized32>(ptr: *const T) -> Result<T, i32> {
    let size = declared_size(ptr)?;
    // SAFETY: the caller of the C function promises `struct_size` readable bytes at `ptr`.
    let extra = unsafe {
        core::slice::from_raw_parts(ptr.cast::<u8>().add(size_of::<T>()), size - size_of::<T>())
    };
    if extra.iter().any(|byte| *byte != 0) {
        return Err(RIT_ERR_SIZE);
    }
    // SAFETY: as above; `T` is plain data, so any bytes are a value.
    Ok(unsafe { ptr.read_unaligned() })
}

/// Writes a struct out behind its size, which stays what the caller said.
pub(crate) fn write<T: Sized32>(ptr: *mut T, value: &T) -> Result<(), i32> {
    declared_size(ptr)?;
    let skip = size_of::<u32>();
    // SAFETY: the caller promises `struct_size >= size_of::<T>()` writable bytes at `ptr`; a caller's
    // struct does not overlap our local value.
    unsafe {
        let from = core::ptr::from_ref(value).cast::<u8>().add(skip);
        core::ptr::copy_nonoverlapping(from, ptr.cast::<u8>().add(skip), size_of::<T>() - skip);
    }
    Ok(())
}

fn declared_size<T: Sized32>(ptr: *const T) -> Result<usize, i32> {
    if ptr.is_null() {
        return Err(RIT_ERR_NULL);
    }
    // SAFETY: not null, and every such struct begins with its size.
    let size = unsafe { ptr.cast::<u32>().read_unaligned() } as usize;
    if (size_of::<T>()..=MAX_STRUCT).contains(&size) { Ok(size) } else { Err(RIT_ERR_SIZE) }
}

/// Borrows bytes in. A null pointer is fine for no bytes.
pub(crate) fn bytes<'a>(ptr: *const u8, len: usize) -> Result<&'a [u8], i32> {
    match (ptr.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(RIT_ERR_NULL),
        (_, len) if len > isize::MAX as usize => Err(RIT_ERR_ARG),
        // SAFETY: the caller promises `len` readable bytes for the time of the call.
        _ => Ok(unsafe { core::slice::from_raw_parts(ptr, len) }),
    }
}

/// Borrows a buffer to fill. A null pointer is fine for no bytes.
pub(crate) fn bytes_mut<'a>(ptr: *mut u8, len: usize) -> Result<&'a mut [u8], i32> {
    match (ptr.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(RIT_ERR_NULL),
        (_, len) if len > isize::MAX as usize => Err(RIT_ERR_ARG),
        // SAFETY: the caller promises `len` writable bytes, used by nobody else during the call.
        _ => Ok(unsafe { core::slice::from_raw_parts_mut(ptr, len) }),
    }
}

/// Borrows a NUL-ended text in.
pub(crate) fn text<'a>(ptr: *const c_char) -> Result<&'a str, i32> {
    if ptr.is_null() {
        return Err(RIT_ERR_NULL);
    }
    // SAFETY: the caller promises a NUL-ended string for the time of the call.
    unsafe { CStr::from_ptr(ptr) }.to_str().map_err(|_| RIT_ERR_ARG)
}

/// Writes one value out.
pub(crate) fn put<T>(ptr: *mut T, value: T) -> Result<(), i32> {
    if ptr.is_null() {
        return Err(RIT_ERR_NULL);
    }
    // SAFETY: the caller promises room for one `T`.
    unsafe { ptr.write_unaligned(value) };
    Ok(())
}

/// Reads a key of 32 bytes.
pub(crate) fn key(ptr: *const u8) -> Result<[u8; 32], i32> {
    let mut key = [0; 32];
    key.copy_from_slice(bytes(ptr, 32)?);
    Ok(key)
}

/// Writes a NUL-ended text; `RIT_ERR_BUFFER` if it does not fit.
pub(crate) fn put_text(out: *mut c_char, cap: usize, value: &str) -> Result<(), i32> {
    let out = bytes_mut(out.cast(), cap)?;
    if value.len() >= out.len() {
        return Err(crate::error::RIT_ERR_BUFFER);
    }
    out[..value.len()].copy_from_slice(value.as_bytes());
    out[value.len()] = 0;
    Ok(())
}
