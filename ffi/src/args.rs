//! Arguments from C: nothing is believed that can be checked.
//!
//! Owns null checks, `struct_size`, slices and strings. A struct of a newer caller is longer; it is
//! taken if the bytes this version does not know are zero, which means "not used". There is no
//! older version yet, so no shorter struct.

use crate::error::Error;
use core::ptr;
use core::slice;

/// No struct of this interface will ever be larger: a bound on what a wild size makes us read.
const STRUCT_SIZE_MAX: usize = 4096;

/// A struct that begins with its own size.
///
/// # Safety
/// `repr(C)`, the first field is `struct_size: u32`, there is no padding, and any bytes are a
/// value.
pub(crate) unsafe trait Versioned: Copy {
    /// For the error's text.
    const NAME: &'static str;
}

/// The struct_size of `*ptr`, if this library can work with it.
///
/// # Safety
/// `ptr` is null or points to at least four readable bytes.
unsafe fn checked_size<T: Versioned>(ptr: *const T) -> Result<usize, Error> {
    if ptr.is_null() {
        return Err(Error::Null(T::NAME));
    }
    // SAFETY: not null; every such struct begins with its u32 size.
    let size = unsafe { ptr.cast::<u32>().read_unaligned() } as usize;
    if (size_of::<T>()..=STRUCT_SIZE_MAX).contains(&size) {
        Ok(size)
    } else {
        Err(Error::Size(T::NAME))
    }
}

/// Copies a struct that the caller filled in.
///
/// # Safety
/// `ptr` is null or points to a struct of as many readable bytes as its struct_size says.
pub(crate) unsafe fn read<T: Versioned>(ptr: *const T) -> Result<T, Error> {
    // SAFETY: the caller's promise.
    let size = unsafe { checked_size(ptr)? };
    // SAFETY: `size` bytes are readable, and that is at least size_of::<T>().
    let unknown = unsafe {
        slice::from_raw_parts(ptr.cast::<u8>().add(size_of::<T>()), size - size_of::<T>())
    };
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Error::Size(T::NAME));
    }
    // SAFETY: as above, and any bytes are a value of T.
    Ok(unsafe { ptr.read_unaligned() })
}

/// Copies an array of structs. The first one's struct_size is the distance between them.
///
/// # Safety
/// `ptr` is null or points to `count` such structs.
pub(crate) unsafe fn read_array<T: Versioned>(
    ptr: *const T,
    count: usize,
    mut each: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let stride = unsafe { checked_size(ptr)? };
    for index in 0..count {
        // SAFETY: inside the caller's array.
        let element = unsafe { ptr.byte_add(index * stride) };
        // SAFETY: as above.
        if unsafe { checked_size(element)? } != stride {
            return Err(Error::Size(T::NAME));
        }
        // SAFETY: as above.
        each(unsafe { read(element)? })?;
    }
    Ok(())
}

/// Where an answer goes: a struct whose struct_size the caller has set.
pub(crate) struct Answer<T: Versioned> {
    ptr: *mut T,
    size: usize,
}

impl<T: Versioned> Answer<T> {
    /// Checks it before any work is done.
    ///
    /// # Safety
    /// `ptr` is null or points to a struct of as many writable bytes as its struct_size says, for
    /// as long as the result lives.
    pub(crate) unsafe fn new(ptr: *mut T) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let size = unsafe { checked_size(ptr)? };
        Ok(Answer { ptr, size })
    }

    /// Writes all of it; what this version does not know becomes zero. struct_size stays.
    pub(crate) fn write(self, value: T) {
        let own = size_of::<T>();
        // SAFETY: `size` bytes are writable by the promise given to `new`, and size >= own.
        unsafe {
            self.ptr.write_unaligned(value);
            ptr::write_bytes(self.ptr.cast::<u8>().add(own), 0, self.size - own);
            self.ptr.cast::<u32>().write_unaligned(self.size as u32);
        }
    }
}

/// A buffer of the caller's. Null is fine for no bytes.
///
/// # Safety
/// `ptr` is null or points to `len` readable bytes, for as long as the result is used.
pub(crate) unsafe fn bytes<'a>(
    ptr: *const u8,
    len: usize,
    name: &'static str,
) -> Result<&'a [u8], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() {
        return Err(Error::Null(name));
    }
    if len > isize::MAX as usize {
        return Err(Error::Argument(name));
    }
    // SAFETY: the caller's promise, checked as far as can be.
    Ok(unsafe { slice::from_raw_parts(ptr, len) })
}

/// A buffer of the caller's to write to; it must not be one of those it also reads from.
///
/// # Safety
/// `ptr` is null or points to `len` writable bytes, for as long as the result is used.
pub(crate) unsafe fn bytes_mut<'a>(
    ptr: *mut u8,
    len: usize,
    name: &'static str,
) -> Result<&'a mut [u8], Error> {
    if len == 0 {
        return Ok(&mut []);
    }
    if ptr.is_null() {
        return Err(Error::Null(name));
    }
    if len > isize::MAX as usize {
        return Err(Error::Argument(name));
    }
    // SAFETY: the caller's promise, checked as far as can be.
    Ok(unsafe { slice::from_raw_parts_mut(ptr, len) })
}

/// A copy of 32 bytes.
///
/// # Safety
/// `ptr` is null or points to 32 readable bytes.
pub(crate) unsafe fn key(ptr: *const u8, name: &'static str) -> Result<[u8; 32], Error> {
    if ptr.is_null() {
        return Err(Error::Null(name));
    }
    // SAFETY: the caller's promise; bytes need no alignment.
    Ok(unsafe { ptr.cast::<[u8; 32]>().read() })
}

/// A text that ends with NUL after at most `max` bytes.
///
/// # Safety
/// `ptr` is null or points to a text that ends with NUL or has more than `max` readable bytes; it
/// stays as it is for as long as the result is used.
pub(crate) unsafe fn text<'a>(
    ptr: *const core::ffi::c_char,
    max: usize,
    name: &'static str,
) -> Result<&'a str, Error> {
    if ptr.is_null() {
        return Err(Error::Null(name));
    }
    let mut len = 0;
    // SAFETY: no byte after the NUL is looked at.
    while unsafe { ptr.add(len).read() } != 0 {
        len += 1;
        if len > max {
            return Err(Error::Argument(name));
        }
    }
    // SAFETY: these bytes were just read.
    let bytes = unsafe { slice::from_raw_parts(ptr.cast::<u8>(), len) };
    core::str::from_utf8(bytes).map_err(|_| Error::Argument(name))
}

/// A place for an answer that may not be null.
pub(crate) fn place<T>(ptr: *mut T, name: &'static str) -> Result<*mut T, Error> {
    if ptr.is_null() { Err(Error::Null(name)) } else { Ok(ptr) }
}
