//! What the smallest library answers: functions are there, but not what they need.

use crate::broker::{rit_broker, rit_gateway_connect, rit_gateway_forget};
use crate::crypto::rit_crypto;
use crate::error::{RIT_ERR_ARG, RIT_ERR_STATE, RIT_OK};
use crate::io::rit_io;
use crate::node::{rit_node, rit_node_free, rit_node_new};
use crate::session::{rit_session_open, rit_target};
use core::ffi::c_void;
use core::ptr;

unsafe extern "C" fn now_us(_: *mut c_void) -> u64 {
    1
}

unsafe extern "C" fn entropy(_: *mut c_void, buf: *mut u8, len: usize) -> i32 {
    static NEXT: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);
    for i in 0..len {
        let byte = NEXT.fetch_add(37, core::sync::atomic::Ordering::Relaxed);
        // SAFETY: the library gave room for len bytes.
        unsafe { buf.add(i).write(byte ^ (i / 7) as u8) };
    }
    0
}

fn make(crypto: *const rit_crypto) -> (*mut rit_node, i32) {
    // SAFETY: numbers and nullable pointers.
    let mut io: rit_io = unsafe { core::mem::zeroed() };
    io.struct_size = size_of::<rit_io>() as u32;
    io.now_us = Some(now_us);
    io.entropy = Some(entropy);
    io.crypto = crypto;
    let mut error = 77;
    // SAFETY: good pointers.
    let node = unsafe { rit_node_new(ptr::null(), &io, &mut error) };
    (node, error)
}

#[test]
fn without_an_initiator_no_session_is_opened() {
    let (node, error) = make(ptr::null());
    assert_eq!(error, RIT_OK);
    // SAFETY: numbers and nullable pointers.
    let mut target: rit_target = unsafe { core::mem::zeroed() };
    target.struct_size = size_of::<rit_target>() as u32;
    target.device = [3; 32];
    let mut session = 77;
    // SAFETY: good pointers.
    assert_eq!(unsafe { rit_session_open(node, &target, &mut session) }, RIT_ERR_STATE);
    assert_eq!(session, 77);
    // SAFETY: it came from rit_node_new.
    unsafe { rit_node_free(node) };
}

#[cfg(not(feature = "gateway"))]
#[test]
fn without_gateways_none_is_known() {
    let (node, error) = make(ptr::null());
    assert_eq!(error, RIT_OK);
    // SAFETY: numbers and nullable pointers.
    let mut path: crate::io::rit_path = unsafe { core::mem::zeroed() };
    path.struct_size = size_of::<crate::io::rit_path>() as u32;
    path.port = 1;
    // SAFETY: as above.
    let mut gateway: rit_broker = unsafe { core::mem::zeroed() };
    gateway.struct_size = size_of::<rit_broker>() as u32;
    (gateway.paths, gateway.path_count) = (&path, 1);
    // SAFETY: good pointers; it came from rit_node_new.
    unsafe {
        assert_eq!(rit_gateway_connect(node, &gateway), RIT_ERR_STATE);
        assert_eq!(rit_gateway_forget(node), RIT_ERR_STATE);
        rit_node_free(node);
    }
}

#[test]
fn without_own_crypto_there_must_be_none() {
    // SAFETY: numbers and nullable pointers.
    let mut crypto: rit_crypto = unsafe { core::mem::zeroed() };
    crypto.struct_size = size_of::<rit_crypto>() as u32;
    let (node, error) = make(&crypto);
    assert!(node.is_null());
    assert_eq!(error, RIT_ERR_ARG);
}
