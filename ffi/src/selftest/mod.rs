//! A self-test for porters: what is wrong with their clock, entropy, timer, storage, sockets, heap.
//!
//! Owns the order of the tests and how they are driven: by the main loop, as a node is, a small
//! step at a time, so that it runs where nothing may block. Does not own the tests, which are a
//! module each, nor what the findings say, which is `finding`'s. Nothing of it is linked unless it
//! is called.

mod clock;
mod entropy;
pub mod finding;
mod heap;
mod socket;
mod storage;
mod texts;
mod timer;

pub use finding::{rit_finding, rit_selftest_text};

use crate::args::{self, Answer, Versioned};
use crate::crypto::Used;
use crate::error::{Error, RIT_OK};
use crate::guard;
use crate::io::{Io, rit_io, rit_path};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use finding::*;
use rit_core::base::Path;
use rit_core::crypto::{self, Primitive, Provider};

/// Bytes of heap that should be free where nothing else is asked for.
const HEAP_DEFAULT: usize = 32_768;
/// The bounds and the default of rit_config.max_datagram.
const DATAGRAM: core::ops::RangeInclusive<usize> = 512..=9000;
const DATAGRAM_DEFAULT: usize = 1452;
/// A clock that jumps to less than this from more than this began anew.
const ANEW_US: u64 = 1_000_000;

/// Value of RIT_SELFTEST_REENTRY: the heap is tested; no callback but now_us is called.
pub const RIT_SELFTEST_STAGE_HEAP: u32 = 1;
/// Value of RIT_SELFTEST_REENTRY: cryptography is tested, by the entries of rit_io.crypto.
pub const RIT_SELFTEST_STAGE_CRYPTO: u32 = 2;
/// Value of RIT_SELFTEST_REENTRY: the clock is tested, by now_us.
pub const RIT_SELFTEST_STAGE_CLOCK: u32 = 3;
/// Value of RIT_SELFTEST_REENTRY: storage is tested, by load and store.
pub const RIT_SELFTEST_STAGE_STORAGE: u32 = 4;
/// Value of RIT_SELFTEST_REENTRY: entropy is tested, by entropy.
pub const RIT_SELFTEST_STAGE_ENTROPY: u32 = 5;
/// Value of RIT_SELFTEST_REENTRY: the timer is tested, by set_timer.
pub const RIT_SELFTEST_STAGE_TIMER: u32 = 6;
/// Value of RIT_SELFTEST_REENTRY: sockets are tested, by send, send_batch and recv.
pub const RIT_SELFTEST_STAGE_SOCKET: u32 = 7;

/// What the self-test is to know. 0 in any of them is fine.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_selftest_config {
    /// sizeof(struct rit_selftest_config).
    pub struct_size: u32,
    /// The processor's frequency in MHz, which tells a clock that is wrong by a factor of a hundred
    /// for certain; 0: unknown, and only a clock that no processor could have is wrong.
    pub cpu_mhz: u32,
    /// Where datagrams come back from: this device's own address and port, if its stack delivers to
    /// itself, or an echo service (RFC 862). Null: sockets are not tested. Needs rit_io.send. Not
    /// kept.
    pub echo: *const rit_path,
    /// As rit_config.max_datagram: 512 to 9000; 0: 1452.
    pub max_datagram: u32,
    /// Bytes of heap that should be free, in 64 blocks; 0: 32768.
    pub heap: u32,
    /// 1: the test ran before on this device and the device was switched off since, so that storage
    /// must remember it and entropy be new; 0: not so, or unknown.
    pub is_after_reset: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with struct_size, no padding; a pointer of any value.
unsafe impl Versioned for rit_selftest_config {
    const NAME: &'static str = "rit_selftest_config";
}

/// The configuration, checked.
struct Config {
    cpu_mhz: u32,
    echo: Option<Path>,
    max_datagram: usize,
    heap: usize,
    is_after_reset: bool,
}

impl Config {
    /// # Safety
    /// `config` is null or points to what the header says.
    unsafe fn read(config: *const rit_selftest_config) -> Result<Config, Error> {
        let mut read = Config {
            cpu_mhz: 0,
            echo: None,
            max_datagram: DATAGRAM_DEFAULT,
            heap: HEAP_DEFAULT,
            is_after_reset: false,
        };
        if config.is_null() {
            return Ok(read);
        }
        // SAFETY: the caller's promise.
        let raw = unsafe { args::read(config)? };
        if raw.reserved != 0 || raw.is_after_reset > 1 {
            return Err(Error::Argument("rit_selftest_config"));
        }
        read.cpu_mhz = raw.cpu_mhz;
        read.is_after_reset = raw.is_after_reset == 1;
        if raw.max_datagram != 0 {
            read.max_datagram = raw.max_datagram as usize;
        }
        if raw.heap != 0 {
            read.heap = raw.heap as usize;
        }
        if !DATAGRAM.contains(&read.max_datagram) {
            return Err(Error::Argument("rit_selftest_config.max_datagram"));
        }
        if !raw.echo.is_null() {
            // SAFETY: the caller's promise.
            read.echo = Some(unsafe { args::read(raw.echo)? }.path()?);
        }
        Ok(read)
    }
}

/// What all tests use.
struct World {
    io: Io,
    provider: &'static dyn Provider,
    /// What the provider stands on.
    _crypto: Used,
    config: Config,
    findings: Findings,
    record: storage::Record,
    last_us: u64,
}

impl World {
    /// The time, which never goes back here; that the clock did is told.
    fn now_us(&mut self) -> u64 {
        let now_us = self.io.now_us();
        if now_us < self.last_us && !self.is_clock_wrong() {
            let back_us = self.last_us - now_us;
            let (code, value) = if now_us < ANEW_US && back_us > ANEW_US {
                (RIT_SELFTEST_CLOCK_WRAPS, self.last_us)
            } else {
                (RIT_SELFTEST_CLOCK_BACK, back_us)
            };
            self.findings.tell(code, i64::try_from(value).unwrap_or(i64::MAX), 0);
        }
        self.last_us = self.last_us.max(now_us);
        self.last_us
    }

    fn is_clock_wrong(&self) -> bool {
        self.findings.has_in(1..=9)
    }
}

enum Stage {
    Heap,
    Crypto(usize),
    Clock(clock::Clock),
    Storage(storage::Storage),
    Entropy(entropy::Entropy),
    Timer(timer::Timer),
    Sockets(Box<socket::Sockets>),
    Over,
}

impl Stage {
    fn number(&self) -> u32 {
        match self {
            Stage::Heap => RIT_SELFTEST_STAGE_HEAP,
            Stage::Crypto(_) => RIT_SELFTEST_STAGE_CRYPTO,
            Stage::Clock(_) => RIT_SELFTEST_STAGE_CLOCK,
            Stage::Storage(_) => RIT_SELFTEST_STAGE_STORAGE,
            Stage::Entropy(_) => RIT_SELFTEST_STAGE_ENTROPY,
            Stage::Timer(_) => RIT_SELFTEST_STAGE_TIMER,
            Stage::Sockets(_) => RIT_SELFTEST_STAGE_SOCKET,
            Stage::Over => 0,
        }
    }
}

struct Inner {
    world: World,
    stage: Stage,
}

impl Inner {
    /// A small piece of work. `Nothing`: there is more.
    fn step(&mut self) -> Result<(), Error> {
        let world = &mut self.world;
        let is_done = match &mut self.stage {
            Stage::Heap => {
                if let Some((code, value, wanted)) = heap::check(&mut heap::Own, world.config.heap)
                {
                    world.findings.tell(code, value, wanted);
                }
                true
            }
            Stage::Crypto(next) => crypto_step(world, next),
            Stage::Clock(clock) => clock.step(world),
            Stage::Storage(storage) => storage.step(world),
            Stage::Entropy(entropy) => entropy.step(world),
            Stage::Timer(timer) => world.is_clock_wrong() || timer.step(world),
            Stage::Sockets(sockets) => world.is_clock_wrong() || sockets.step(world),
            Stage::Over => return Ok(()),
        };
        if is_done {
            self.advance()?;
        }
        if matches!(self.stage, Stage::Over) { Ok(()) } else { Err(Error::Nothing) }
    }

    fn advance(&mut self) -> Result<(), Error> {
        let world = &mut self.world;
        self.stage = match self.stage {
            Stage::Heap => Stage::Crypto(0),
            Stage::Crypto(_) => Stage::Clock(clock::Clock::default()),
            Stage::Clock(_) => Stage::Storage(storage::Storage::default()),
            Stage::Storage(_) => Stage::Entropy(entropy::Entropy::new()?),
            Stage::Entropy(_) => {
                storage::keep_record(world);
                Stage::Timer(timer::Timer::default())
            }
            Stage::Timer(_) if world.is_clock_wrong() => Stage::Over,
            Stage::Timer(_) => match world.config.echo {
                Some(echo) => {
                    let sockets = socket::Sockets::new(echo, world.config.max_datagram)?;
                    Stage::Sockets(try_box(sockets)?)
                }
                None => {
                    world.findings.tell(RIT_SELFTEST_NOTE_SOCKET, 0, 0);
                    Stage::Over
                }
            },
            Stage::Sockets(_) | Stage::Over => Stage::Over,
        };
        if matches!(self.stage, Stage::Over) {
            if world.is_clock_wrong() {
                world.findings.tell(RIT_SELFTEST_NOTE_AFTER_CLOCK, 0, 0);
            } else if world.last_us < 1 << 32 {
                world.findings.tell(RIT_SELFTEST_NOTE_CLOCK, world.last_us as i64, 0);
            }
        }
        Ok(())
    }
}

fn crypto_step(world: &mut World, next: &mut usize) -> bool {
    let Some(primitive) = Primitive::ALL.get(*next) else { return true };
    *next += 1;
    if !crypto::is_right(world.provider, *primitive) {
        let code = match primitive {
            Primitive::Sha256 => RIT_SELFTEST_CRYPTO_SHA256,
            Primitive::HmacSha256 => RIT_SELFTEST_CRYPTO_HMAC,
            Primitive::Aes128Gcm => RIT_SELFTEST_CRYPTO_AES_GCM,
            Primitive::ChaCha20Poly1305 => RIT_SELFTEST_CRYPTO_CHACHA20,
            Primitive::X25519 => RIT_SELFTEST_CRYPTO_X25519,
            Primitive::Ed25519 => RIT_SELFTEST_CRYPTO_ED25519,
        };
        world.findings.tell(code, 0, 0);
    }
    false
}

// ---- the C face

/// A self-test that is being run. Opaque: made by rit_selftest_new, freed by rit_selftest_free.
pub struct rit_selftest {
    is_busy: AtomicBool,
    is_reentered: AtomicBool,
    inner: UnsafeCell<Inner>,
}

/// A box, if there is memory for it.
fn try_box<T>(value: T) -> Result<Box<T>, Error> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Error::Memory)?;
    one.push(value);
    let one = Box::into_raw(one.into_boxed_slice());
    // SAFETY: a box of a slice of one is laid out as a box of that one.
    Ok(unsafe { Box::from_raw(one.cast::<T>()) })
}

/// # Safety
/// `test` is null or came from `rit_selftest_new` and was not freed.
unsafe fn enter(test: *mut rit_selftest, act: impl FnOnce(&mut Inner) -> Result<(), Error>) -> i32 {
    // SAFETY: the caller's promise.
    let Some(test) = (unsafe { test.as_ref() }) else { return Error::Null("test").code() };
    if test.is_busy.swap(true, Ordering::Acquire) {
        test.is_reentered.store(true, Ordering::Relaxed);
        return Error::Reentry.code();
    }
    // SAFETY: whoever set `is_busy` is the only one who may look inside, until it is unset.
    let inner = unsafe { &mut *test.inner.get() };
    let stage = inner.stage.number();
    let result = guard::run(|| act(&mut *inner)).unwrap_or(Err(Error::Internal));
    if test.is_reentered.swap(false, Ordering::Relaxed) {
        inner.world.findings.tell(RIT_SELFTEST_REENTRY, i64::from(stage), 0);
    }
    test.is_busy.store(false, Ordering::Release);
    result.map_or_else(Error::code, |()| RIT_OK)
}

/// Begins a self-test of a port: its clock, entropy, storage, timer, sockets and heap, and the
/// library's cryptography. It is driven by the same main loop as a node, and in its place: what
/// comes goes to rit_selftest_receive, the timer to rit_selftest_timeout, and each turn calls
/// rit_selftest_step, without sleeping, and fetches findings with rit_selftest_next:
///
///   do {
///       a turn of the main loop, for the test instead of a node
///       result = rit_selftest_step(test);
///       while (rit_selftest_next(test, &finding) == RIT_OK)
///           printf("%lu %ld (%ld) %s\n", (unsigned long)finding.code, (long)finding.value,
///                  (long)finding.wanted, rit_selftest_text(finding.code));
///   } while (result == RIT_ERR_AGAIN);
///
/// Findings below RIT_SELFTEST_NOTE are faults. It takes some seconds, more where the sockets are
/// silent. It stores its own slot, RIT_SLOT_SELFTEST, five times a run; other slots are only read.
///
/// config: copied; null: all defaults, without sockets. io: the callbacks, as for rit_node_new;
/// copied, but io->ctx must outlive the test. err: where the reason of a failure goes (RIT_OK
/// otherwise), or null. Returns the test, to be given to rit_selftest_free in the end; null on
/// failure. Calls no callback.
///
/// Errors: NULL, ARG, SIZE, NOMEM. Not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_selftest_new(
    config: *const rit_selftest_config,
    io: *const rit_io,
    err: *mut i32,
) -> *mut rit_selftest {
    let make = || {
        // SAFETY: as the header asks of the caller.
        let (config, io) = unsafe { (Config::read(config)?, Io::read(io)?) };
        if config.echo.is_some() && !io.has_send() {
            return Err(Error::Null("rit_io.send"));
        }
        // SAFETY: as the header asks of the caller.
        let used = unsafe { io.crypto()? };
        // SAFETY: the world, in which both are, is the only one who has it.
        let provider = unsafe { used.provider() };
        let world = World {
            io,
            provider,
            _crypto: used,
            config,
            findings: Findings::new()?,
            record: storage::Record::default(),
            last_us: 0,
        };
        try_box(rit_selftest {
            is_busy: AtomicBool::new(false),
            is_reentered: AtomicBool::new(false),
            inner: UnsafeCell::new(Inner { world, stage: Stage::Heap }),
        })
    };
    let result = guard::run(make).unwrap_or(Err(Error::Internal));
    // SAFETY: err is null or the caller's.
    if let Some(err) = unsafe { err.as_mut() } {
        *err = result.as_ref().map_or_else(|error| error.code(), |_| RIT_OK);
    }
    result.map_or(core::ptr::null_mut(), Box::into_raw)
}

/// Does the next small piece of a self-test: a signature's time at most, or 64 blocks of heap.
/// Calls now_us, entropy, send, send_batch, recv, set_timer, load, store and entries of
/// rit_io.crypto but those of the key.
///
/// Returns RIT_OK when it is over; RIT_ERR_AGAIN: call it again in the next turn of the main loop.
/// Other errors: NULL, NOMEM (and it is over), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_selftest_step(test: *mut rit_selftest) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        enter(test, |inner| {
            let result = inner.step();
            if result == Err(Error::Memory) {
                inner.stage = Stage::Over;
            }
            result
        })
    }
}

/// Hands in a datagram, as rit_node_receive does.
///
/// from: the source. pkt: len bytes, not kept. Errors: NULL, ARG (from), SIZE, REENTRY, INTERNAL.
/// Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_selftest_receive(
    test: *mut rit_selftest,
    from: *const rit_path,
    pkt: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        enter(test, |inner| {
            let from = args::read(from).and_then(|from| from.path());
            if let Err(error) = from {
                let code = i64::from(error.code());
                inner.world.findings.tell(RIT_SELFTEST_SOCKET_PATH, code, 0);
            }
            let (from, datagram) = (from?, args::bytes(pkt, len, "pkt")?);
            if let Stage::Sockets(sockets) = &mut inner.stage {
                sockets.on_datagram(&mut inner.world, &from, datagram);
            }
            Ok(())
        })
    }
}

/// Says that the timer went off, as rit_node_timeout does: when the deadline that rit_io.set_timer
/// was given last is reached.
///
/// Errors: NULL, REENTRY, INTERNAL. Not in a callback (not in set_timer either), not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_selftest_timeout(test: *mut rit_selftest) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        enter(test, |inner| {
            if let Stage::Timer(timer) = &mut inner.stage {
                timer.on_timeout(&mut inner.world);
            }
            Ok(())
        })
    }
}

/// Takes the next finding. Each is told once.
///
/// The caller sets out->struct_size; out is written only with RIT_OK.
/// Errors: AGAIN (none now), NULL, SIZE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_selftest_next(test: *mut rit_selftest, out: *mut rit_finding) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        enter(test, |inner| {
            let out = Answer::new(out)?;
            out.write(inner.world.findings.next().ok_or(Error::Nothing)?);
            Ok(())
        })
    }
}

/// Ends a self-test and frees it. Calls no callback: a timer that is set must be taken for none.
/// Null is ignored. Inside a callback of the test it does nothing. Not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_selftest_free(test: *mut rit_selftest) {
    // SAFETY: null, or a live test of the caller's.
    let Some(shared) = (unsafe { test.as_ref() }) else { return };
    if !shared.is_busy.swap(true, Ordering::Acquire) {
        // SAFETY: the pointer came from Box::into_raw, and nobody is inside.
        guard::run(|| drop(unsafe { Box::from_raw(test) }));
    } else {
        shared.is_reentered.store(true, Ordering::Relaxed);
    }
}
