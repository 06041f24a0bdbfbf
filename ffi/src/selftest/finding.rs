//! What the self-test can find: a number each, what is measured with it, and a sentence that says
//! what to do.
//!
//! Numbers below RIT_SELFTEST_NOTE are faults; those from there on say what was not tested. Each is
//! told once at most, so the list of findings has its room from the start.

use super::texts::text;
use crate::args::Versioned;
use crate::error::Error;
use alloc::vec::Vec;
use core::ffi::c_char;

/// rit_io.now_us went back. value: by how many microseconds.
pub const RIT_SELFTEST_CLOCK_BACK: u32 = 1;
/// It does not move, or only each second. value: what it stands at.
pub const RIT_SELFTEST_CLOCK_STILL: u32 = 2;
/// It counts too slowly: milliseconds, perhaps. value: what it counted during work that takes at
/// least wanted.
pub const RIT_SELFTEST_CLOCK_SLOW: u32 = 3;
/// It counts too fast: nanoseconds or cycles, perhaps. value: what it counted during work that
/// takes at most wanted. Without rit_selftest_config.cpu_mhz only the grossest case is noticed.
pub const RIT_SELFTEST_CLOCK_FAST: u32 = 4;
/// It began anew. value: the last time before that.
pub const RIT_SELFTEST_CLOCK_WRAPS: u32 = 5;
/// It leapt forward by more than half an hour. value: by how many microseconds.
pub const RIT_SELFTEST_CLOCK_LEAPS: u32 = 6;

/// rit_io.entropy failed. value: which call, from 1.
pub const RIT_SELFTEST_ENTROPY_FAILS: u32 = 10;
/// It does not write all bytes. value: the first that it leaves as it was, from 0.
pub const RIT_SELFTEST_ENTROPY_SHORT: u32 = 11;
/// It writes past the end. value: what it was asked for.
pub const RIT_SELFTEST_ENTROPY_LONG: u32 = 12;
/// It gives one value only. value: that.
pub const RIT_SELFTEST_ENTROPY_CONSTANT: u32 = 13;
/// It gives the same 16 bytes again. value: which call, from 1.
pub const RIT_SELFTEST_ENTROPY_REPEATS: u32 = 14;
/// Some values are far more frequent than others. value: chi squared of 2048 bytes; wanted: what it
/// is at most by chance.
pub const RIT_SELFTEST_ENTROPY_BIASED: u32 = 15;
/// It gave the same when the test ran before. value: how often the test ran before.
pub const RIT_SELFTEST_ENTROPY_RESET: u32 = 16;

/// rit_selftest_timeout was not called. value: microseconds waited; wanted: microseconds set.
pub const RIT_SELFTEST_TIMER_NEVER: u32 = 20;
/// It was called too early. value: microseconds after it was set; wanted: microseconds set.
pub const RIT_SELFTEST_TIMER_EARLY: u32 = 21;
/// It was called too late. value: microseconds after it was set; wanted: microseconds set.
pub const RIT_SELFTEST_TIMER_LATE: u32 = 22;
/// A deadline was not replaced by the next. value and wanted as in TIMER_EARLY.
pub const RIT_SELFTEST_TIMER_NOT_REPLACED: u32 = 23;
/// UINT64_MAX did not stop it. value: microseconds after that.
pub const RIT_SELFTEST_TIMER_NOT_STOPPED: u32 = 24;
/// It went off for a deadline that is 49 days away. value and wanted as in TIMER_EARLY.
pub const RIT_SELFTEST_TIMER_CUT: u32 = 25;
/// It did not go off for a deadline in the past. value: microseconds waited.
pub const RIT_SELFTEST_TIMER_PAST: u32 = 26;

/// rit_io.load failed. value: its answer.
pub const RIT_SELFTEST_STORAGE_LOAD: u32 = 30;
/// rit_io.store failed. value: its answer; wanted: 0.
pub const RIT_SELFTEST_STORAGE_STORE: u32 = 31;
/// There is something in a slot in which nothing was ever stored. value: its length; wanted: 0.
pub const RIT_SELFTEST_STORAGE_NOT_EMPTY: u32 = 32;
/// load answers another length than was stored. value: its answer; wanted: what was stored.
pub const RIT_SELFTEST_STORAGE_LENGTH: u32 = 33;
/// load gives other bytes than were stored. value: the first that differs, from 0; wanted: how many
/// were stored.
pub const RIT_SELFTEST_STORAGE_DIFFERS: u32 = 34;
/// What was stored before the reset is not there any more.
pub const RIT_SELFTEST_STORAGE_FORGETS: u32 = 35;
/// Storing in one slot changed another.
pub const RIT_SELFTEST_STORAGE_MIXED: u32 = 36;

/// No datagram came back. value: how many were sent.
pub const RIT_SELFTEST_SOCKET_SILENT: u32 = 40;
/// rit_io.send failed. value: its answer; wanted: the datagram's length.
pub const RIT_SELFTEST_SOCKET_SEND: u32 = 41;
/// rit_io.send answers the length, which counts as a failure. value: its answer; wanted: 0.
pub const RIT_SELFTEST_SOCKET_SEND_LENGTH: u32 = 42;
/// Datagrams of some lengths do not come back. value: the first such length.
pub const RIT_SELFTEST_SOCKET_SIZE: u32 = 43;
/// A datagram is handed in cut short. value: its length; wanted: what was sent.
pub const RIT_SELFTEST_SOCKET_CUT: u32 = 44;
/// A datagram is handed in with more than was sent. value: its length; wanted: what was sent.
pub const RIT_SELFTEST_SOCKET_LONG: u32 = 45;
/// A datagram comes back altered. value: the first byte that differs, from 0; wanted: its length.
pub const RIT_SELFTEST_SOCKET_ALTERED: u32 = 46;
/// rit_io.send kept the pointer: what came back was written to the buffer after the call. value:
/// the datagram's length.
pub const RIT_SELFTEST_SOCKET_KEPT: u32 = 47;
/// A datagram is handed in twice. value: its length.
pub const RIT_SELFTEST_SOCKET_TWICE: u32 = 48;
/// The bytes of rit_path.port are swapped. value: the port; wanted: what it should be.
pub const RIT_SELFTEST_SOCKET_PORT_ORDER: u32 = 49;
/// The bytes of rit_path.ip are swapped. value: the last four, the first of them highest; wanted:
/// what they should be.
pub const RIT_SELFTEST_SOCKET_IP_ORDER: u32 = 50;
/// An IPv4 address is not written as ::ffff:a.b.c.d. value: the first byte of rit_path.ip that is
/// wrong, from 0.
pub const RIT_SELFTEST_SOCKET_IP_FORM: u32 = 51;
/// A datagram comes from another address or port than it was sent to. value: the port; wanted: the
/// port it was sent to.
pub const RIT_SELFTEST_SOCKET_FROM: u32 = 52;
/// rit_path.ifindex is set though nothing was sent with it. value: that.
pub const RIT_SELFTEST_SOCKET_INTERFACE: u32 = 53;
/// rit_path.socket is not 0. value: that; wanted: 0.
pub const RIT_SELFTEST_SOCKET_NUMBER: u32 = 54;
/// A rit_path that was handed in is not valid. value: what rit_node_receive answers.
pub const RIT_SELFTEST_SOCKET_PATH: u32 = 55;
/// rit_io.recv answers more than there is room for.
pub const RIT_SELFTEST_SOCKET_RECV: u32 = 56;
/// rit_io.send_batch does not send each datagram by itself. value: how many came; wanted: how many
/// should.
pub const RIT_SELFTEST_SOCKET_BATCH: u32 = 57;

/// There is too little memory. value: bytes that could be had; wanted: rit_selftest_config.heap.
pub const RIT_SELFTEST_HEAP_SMALL: u32 = 60;
/// A block is not aligned. value: its address modulo wanted; wanted: the alignment.
pub const RIT_SELFTEST_HEAP_ALIGN: u32 = 61;
/// Blocks overlap, or memory does not hold what is written. value: the block's length.
pub const RIT_SELFTEST_HEAP_OVERLAP: u32 = 62;
/// What was given back cannot be had again. value: after how many bytes; wanted: bytes at a time.
pub const RIT_SELFTEST_HEAP_LEAKS: u32 = 63;

/// SHA-256 computes wrong.
pub const RIT_SELFTEST_CRYPTO_SHA256: u32 = 70;
/// HMAC-SHA-256 computes wrong.
pub const RIT_SELFTEST_CRYPTO_HMAC: u32 = 71;
/// AES-128-GCM computes wrong.
pub const RIT_SELFTEST_CRYPTO_AES_GCM: u32 = 72;
/// ChaCha20-Poly1305 computes wrong.
pub const RIT_SELFTEST_CRYPTO_CHACHA20: u32 = 73;
/// X25519 computes wrong.
pub const RIT_SELFTEST_CRYPTO_X25519: u32 = 74;
/// Ed25519 computes wrong.
pub const RIT_SELFTEST_CRYPTO_ED25519: u32 = 75;

/// The library was called from inside a callback. value: RIT_SELFTEST_STAGE_*.
pub const RIT_SELFTEST_REENTRY: u32 = 80;

/// From this number on it is no fault, but something that was not tested.
pub const RIT_SELFTEST_NOTE: u32 = 1000;
/// The clock has not passed 2^32 yet. value: how far it is.
pub const RIT_SELFTEST_NOTE_CLOCK: u32 = 1000;
/// Timers and sockets were not tested, because the clock is wrong.
pub const RIT_SELFTEST_NOTE_AFTER_CLOCK: u32 = 1001;
/// There is no rit_io.set_timer.
pub const RIT_SELFTEST_NOTE_TIMER: u32 = 1002;
/// There is no rit_io.load and store.
pub const RIT_SELFTEST_NOTE_STORAGE: u32 = 1003;
/// Whether storage and entropy outlive a reset. value: how often the test has run.
pub const RIT_SELFTEST_NOTE_RESET: u32 = 1004;
/// There is no rit_selftest_config.echo.
pub const RIT_SELFTEST_NOTE_SOCKET: u32 = 1005;
/// Of several datagrams sent at once some were lost. value: how many came; wanted: how many were
/// sent.
pub const RIT_SELFTEST_NOTE_BURST: u32 = 1006;

/// How many findings there may be.
const FINDINGS_MAX: usize = 64;

/// What the self-test found.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct rit_finding {
    /// sizeof(struct rit_finding); set by the caller.
    pub struct_size: u32,
    /// RIT_SELFTEST_*; from RIT_SELFTEST_NOTE on it is no fault.
    pub code: u32,
    /// What was measured; the code's comment says what it is.
    pub value: i64,
    /// What it should have been; 0 where the code's comment names none.
    pub wanted: i64,
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_finding {
    const NAME: &'static str = "rit_finding";
}

/// What was found, each code once, in the order it was found.
pub(crate) struct Findings {
    found: Vec<rit_finding>,
    fetched: usize,
}

impl Findings {
    pub(crate) fn new() -> Result<Findings, Error> {
        let mut found = Vec::new();
        found.try_reserve_exact(FINDINGS_MAX).map_err(|_| Error::Memory)?;
        Ok(Findings { found, fetched: 0 })
    }

    pub(crate) fn tell(&mut self, code: u32, value: i64, wanted: i64) {
        if !self.has(code) && self.found.len() < FINDINGS_MAX {
            let struct_size = size_of::<rit_finding>() as u32;
            self.found.push(rit_finding { struct_size, code, value, wanted });
        }
    }

    pub(crate) fn has(&self, code: u32) -> bool {
        self.found.iter().any(|finding| finding.code == code)
    }

    pub(crate) fn has_in(&self, mut codes: core::ops::RangeInclusive<u32>) -> bool {
        codes.any(|code| self.has(code))
    }

    pub(crate) fn next(&mut self) -> Option<rit_finding> {
        let finding = *self.found.get(self.fetched)?;
        self.fetched += 1;
        Some(finding)
    }
}

/// What a finding means and what to do about it; good for ever, never null, also for numbers that
/// are no code. Callable anywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_selftest_text(code: u32) -> *const c_char {
    text(code).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::texts::UNKNOWN;
    use alloc::collections::BTreeSet;
    use core::ffi::CStr;

    #[test]
    fn every_code_has_its_text_and_fits_the_list() {
        let texts: Vec<&CStr> = (0..2000).map(text).filter(|text| *text != UNKNOWN).collect();
        let codes = include_str!("finding.rs").matches("\npub const RIT_SELFTEST_").count();
        // The first note is where notes begin, too.
        assert_eq!(texts.len(), codes - 1);
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
        assert!(codes <= FINDINGS_MAX);
    }

    #[test]
    fn a_code_is_told_once() {
        let mut findings = Findings::new().unwrap();
        findings.tell(RIT_SELFTEST_CLOCK_BACK, 1, 0);
        findings.tell(RIT_SELFTEST_CLOCK_BACK, 2, 0);
        findings.tell(RIT_SELFTEST_TIMER_LATE, 3, 4);
        assert_eq!(findings.next().map(|f| (f.code, f.value)), Some((RIT_SELFTEST_CLOCK_BACK, 1)));
        assert_eq!(findings.next().map(|f| f.wanted), Some(4));
        assert_eq!(findings.next(), None);
        assert!(findings.has_in(20..=29) && !findings.has_in(30..=39));
    }
}
