//! The sentences of the self-test: what to do about each finding.

use super::finding::*;
use core::ffi::CStr;

/// A text that the linker leaves out of an image that does not ask for it. What ends in a NUL and
/// has none before goes where all such strings go, of which it takes all or none.
macro_rules! text {
    ($text:literal) => {
        const {
            match CStr::from_bytes_with_nul(concat!("\0", $text, "\0").as_bytes().split_at(1).1) {
                Ok(text) => text,
                Err(_) => panic!("a NUL within"),
            }
        }
    };
}

pub(crate) fn text(code: u32) -> &'static CStr {
    match code {
        1..=9 => clock_text(code),
        10..=19 => entropy_text(code),
        20..=29 => timer_text(code),
        30..=39 => storage_text(code),
        40..=59 => socket_text(code),
        RIT_SELFTEST_NOTE.. => note_text(code),
        _ => device_text(code),
    }
}

pub(super) const UNKNOWN: &CStr = text!("no finding of this version");

fn clock_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_CLOCK_BACK => text!(
            "clock: it goes back: read a 64-bit count with interrupts off or twice \
             until both agree, and take a clock that nobody sets"
        ),
        RIT_SELFTEST_CLOCK_STILL => text!(
            "clock: it stands still, or counts seconds: start the timer that it reads, \
             and let it count microseconds"
        ),
        RIT_SELFTEST_CLOCK_SLOW => text!(
            "clock: it is too slow: seconds, milliseconds or ticks must be made \
             microseconds, in 64 bits"
        ),
        RIT_SELFTEST_CLOCK_FAST => text!(
            "clock: it is too fast: nanoseconds or cycles must be made microseconds; or \
             cpu_mhz is not the processor's"
        ),
        RIT_SELFTEST_CLOCK_WRAPS => text!(
            "clock: it begins anew: a counter of 32 bits or less needs its overflows \
             counted, and ticks must be multiplied in 64 bits"
        ),
        RIT_SELFTEST_CLOCK_LEAPS => text!(
            "clock: it leaps: the two halves are read apart, or now_us does not really \
             return uint64_t"
        ),
        _ => UNKNOWN,
    }
}

fn entropy_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_ENTROPY_FAILS => text!(
            "entropy: the callback fails: start the generator and its clock, and wait \
             for it; the answer for success is 0"
        ),
        RIT_SELFTEST_ENTROPY_SHORT => text!(
            "entropy: not all bytes are written: fill len bytes, the last ones of a \
             word too"
        ),
        RIT_SELFTEST_ENTROPY_LONG => {
            text!("entropy: it writes past the end of the buffer: len counts bytes, not words")
        }
        RIT_SELFTEST_ENTROPY_CONSTANT => text!(
            "entropy: one value only: the generator does not run; see to its clock and \
             its error flags"
        ),
        RIT_SELFTEST_ENTROPY_REPEATS => text!(
            "entropy: the same bytes again: wait for new ones before each word, and \
             seed nothing in the callback"
        ),
        RIT_SELFTEST_ENTROPY_BIASED => text!(
            "entropy: some values are far too frequent: raw noise must be conditioned, \
             for example hashed; text or counters are no entropy"
        ),
        RIT_SELFTEST_ENTROPY_RESET => text!(
            "entropy: the same as after the last reset: it is computed from a fixed \
             seed, so that everybody's keys are the same; use the hardware's generator"
        ),
        _ => UNKNOWN,
    }
}

fn timer_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_TIMER_NEVER => text!(
            "timer: it does not go off, or a hundred times too late: call \
             rit_node_timeout from the main loop once now_us reaches the deadline, \
             which is in microseconds"
        ),
        RIT_SELFTEST_TIMER_EARLY => text!(
            "timer: too early: deadline_us is a time on the clock of now_us in \
             microseconds, no duration; the ratio of value to wanted tells the unit \
             that was taken"
        ),
        RIT_SELFTEST_TIMER_LATE => text!(
            "timer: too late: deadline_us is in microseconds; the ratio of value to \
             wanted tells the unit that was taken; or the main loop is held up"
        ),
        RIT_SELFTEST_TIMER_NOT_REPLACED => {
            text!("timer: a new deadline must replace the one before: there is one timer")
        }
        RIT_SELFTEST_TIMER_NOT_STOPPED => text!("timer: a deadline of UINT64_MAX must stop it"),
        RIT_SELFTEST_TIMER_CUT => text!(
            "timer: a far deadline is cut to 32 bits: wait in pieces, and compare 64 \
             bits"
        ),
        RIT_SELFTEST_TIMER_PAST => text!(
            "timer: it must go off soon for a deadline in the past: deadline minus now \
             is negative then"
        ),
        _ => UNKNOWN,
    }
}

fn storage_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_STORAGE_LOAD => text!(
            "storage: load fails, or answers more than there is room for: an empty slot \
             is 0, and slots are 1 to 3"
        ),
        RIT_SELFTEST_STORAGE_STORE => text!(
            "storage: store fails: the answer for success is 0, not a length; each slot \
             takes 512 bytes"
        ),
        RIT_SELFTEST_STORAGE_NOT_EMPTY => text!(
            "storage: load must answer 0 for a slot in which nothing was ever stored: \
             erased flash reads as ff"
        ),
        RIT_SELFTEST_STORAGE_LENGTH => text!(
            "storage: load must answer the length that was stored last: keep it beside \
             the bytes"
        ),
        RIT_SELFTEST_STORAGE_DIFFERS => text!(
            "storage: other bytes come back: erase before writing, write whole words, \
             and see to caches"
        ),
        RIT_SELFTEST_STORAGE_FORGETS => text!(
            "storage: empty after a reset: it is memory that does not last, or is \
             erased at start"
        ),
        RIT_SELFTEST_STORAGE_MIXED => text!(
            "storage: storing in one slot changes another: an erase covers more than \
             one; THE NODE'S KEY MAY BE LOST"
        ),
        _ => UNKNOWN,
    }
}

fn socket_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_SOCKET_SILENT => text!(
            "sockets: nothing comes back: see whether it is on the wire; if not: \
             address, link, ARP, the order of the port's bytes in send; if so: the \
             socket's local port, and rit_node_receive or recv"
        ),
        RIT_SELFTEST_SOCKET_SEND => text!(
            "sockets: send fails: the value is its answer; full queues and unresolved \
             addresses are fine now and then, not always"
        ),
        RIT_SELFTEST_SOCKET_SEND_LENGTH => {
            text!("sockets: send must answer 0 for success, not the length")
        }
        RIT_SELFTEST_SOCKET_SIZE => text!(
            "sockets: datagrams of some lengths do not pass: lower \
             rit_config.max_datagram, or raise the stack's MTU and buffers; fragments \
             are not needed"
        ),
        RIT_SELFTEST_SOCKET_CUT => text!(
            "sockets: datagrams come cut short: the buffer is too small, or only the \
             first part of a chain of buffers is handed in"
        ),
        RIT_SELFTEST_SOCKET_LONG => text!(
            "sockets: datagrams come with more than was sent: hand in the UDP payload \
             alone, without headers and padding"
        ),
        RIT_SELFTEST_SOCKET_ALTERED => text!(
            "sockets: bytes are altered: see to DMA and caches, and to buffers in use \
             by both sides"
        ),
        RIT_SELFTEST_SOCKET_KEPT => text!(
            "sockets: send keeps the pointer: pkt is good during the call only, so copy \
             it"
        ),
        RIT_SELFTEST_SOCKET_TWICE => text!(
            "sockets: a datagram is handed in twice: take it from the queue once, by \
             recv or by rit_node_receive"
        ),
        _ => path_text(code),
    }
}

fn path_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_SOCKET_PORT_ORDER => text!(
            "sockets: the port's bytes are swapped: rit_path.port is in host order \
             (ntohs)"
        ),
        RIT_SELFTEST_SOCKET_IP_ORDER => {
            text!("sockets: the address's bytes are swapped: rit_path.ip is in network order")
        }
        RIT_SELFTEST_SOCKET_IP_FORM => {
            text!("sockets: IPv4 a.b.c.d is ten bytes 0, two bytes ff, then a b c d")
        }
        RIT_SELFTEST_SOCKET_FROM => text!(
            "sockets: another sender than it was sent to: from is the remote end, not \
             the own; or something between the two changes it"
        ),
        RIT_SELFTEST_SOCKET_INTERFACE => text!(
            "sockets: ifindex must be 0 for what came by an address that was sent to \
             with 0"
        ),
        RIT_SELFTEST_SOCKET_NUMBER => {
            text!("sockets: rit_path.socket must be 0 for the main socket")
        }
        RIT_SELFTEST_SOCKET_PATH => text!(
            "sockets: a path is not valid: memset it, set struct_size, and port is not \
             0"
        ),
        RIT_SELFTEST_SOCKET_RECV => text!(
            "sockets: recv answers more than cap: drop what is longer, and answer what \
             was written"
        ),
        RIT_SELFTEST_SOCKET_BATCH => text!(
            "sockets: send_batch must send a datagram for each size bytes; leave it out \
             if in doubt"
        ),
        _ => UNKNOWN,
    }
}

fn device_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_HEAP_SMALL => text!(
            "heap: too small: make it larger, or rit_config smaller; ports/TEMPLATE.md \
             has the sums"
        ),
        RIT_SELFTEST_HEAP_ALIGN => text!("heap: blocks must be aligned to 8 bytes at least"),
        RIT_SELFTEST_HEAP_OVERLAP => text!(
            "heap: blocks overlap or do not hold what is written: see to the heap's \
             bounds in the linker script, the stack, and external memory's set-up"
        ),
        RIT_SELFTEST_HEAP_LEAKS => text!("heap: what is freed must become free"),
        RIT_SELFTEST_CRYPTO_SHA256 => {
            text!("crypto: SHA-256 is wrong: rit_io.crypto, or the compiler")
        }
        RIT_SELFTEST_CRYPTO_HMAC => {
            text!("crypto: HMAC-SHA-256 is wrong: rit_io.crypto, or the compiler")
        }
        RIT_SELFTEST_CRYPTO_AES_GCM => {
            text!("crypto: AES-128-GCM is wrong: rit_io.crypto, or the compiler")
        }
        RIT_SELFTEST_CRYPTO_CHACHA20 => {
            text!("crypto: ChaCha20-Poly1305 is wrong: rit_io.crypto, or the compiler")
        }
        RIT_SELFTEST_CRYPTO_X25519 => {
            text!("crypto: X25519 is wrong: rit_io.crypto, or the compiler")
        }
        RIT_SELFTEST_CRYPTO_ED25519 => {
            text!("crypto: Ed25519 computes wrong: the compiler, or memory")
        }
        RIT_SELFTEST_REENTRY => text!(
            "callbacks: the library is called from inside a callback: note in set_timer \
             and send what is due, and do it from the main loop"
        ),
        _ => UNKNOWN,
    }
}

fn note_text(code: u32) -> &'static CStr {
    match code {
        RIT_SELFTEST_NOTE_CLOCK => text!(
            "not tested: that the clock goes on past 2^32 us, 71 minutes: let its \
             counter start shortly before"
        ),
        RIT_SELFTEST_NOTE_AFTER_CLOCK => {
            text!("not tested: timers and sockets, before the clock is right")
        }
        RIT_SELFTEST_NOTE_TIMER => text!("not tested: timers, as there is no set_timer"),
        RIT_SELFTEST_NOTE_STORAGE => text!(
            "not tested: storage, as there is no load and store: the node has a new \
             name after each reset"
        ),
        RIT_SELFTEST_NOTE_RESET => text!(
            "not tested: that storage and entropy outlive a reset: switch off and on, \
             and run this again with is_after_reset"
        ),
        RIT_SELFTEST_NOTE_SOCKET => text!("not tested: sockets, as there is no echo address"),
        RIT_SELFTEST_NOTE_BURST => text!(
            "sockets: of several datagrams at once some are lost: it works, but is \
             slow: more buffers to send or receive help"
        ),
        _ => UNKNOWN,
    }
}
