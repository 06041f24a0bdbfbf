//! The integrator's crypto, `struct rit_crypto`, by mbedTLS: `tests/crypto/mbedtls.c` is compiled
//! and loaded, and two nodes and a broker run on it.
//!
//! Needs a C compiler (`CC`) and mbedTLS with its headers (Debian: libmbedtls-dev).

use rit::crypto::{RIT_CRYPTO_FAST_AES, RIT_CRYPTO_FORGED, RIT_KEY_ED25519, rit_bytes, rit_crypto};
use rit::drive::rit_node_timeout;
use rit::error::{RIT_ERR_CRYPTO, RIT_ERR_REENTRY, RIT_OK};
use rit::event::*;
use rit::io::rit_path;
use rit::node::{rit_node, rit_node_free, rit_node_public_key, rit_stats};
use rit_core::crypto::default_provider;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

#[path = "abi_pair/world.rs"]
mod world;

use world::{DEVICE, Peer, USER, World};

const NAMES: [&str; 10] = [
    "aes_gcm_seal",
    "aes_gcm_open",
    "chacha_seal",
    "chacha_open",
    "aes_block",
    "chacha_block",
    "sha256",
    "x25519",
    "public_key",
    "sign",
];
const CHACHA_SEAL: u32 = 2;
const CHACHA_OPEN: u32 = 3;
const SHA256: u32 = 6;
const X25519: u32 = 7;
const PUBLIC_KEY: u32 = 8;
const SIGN: u32 = 9;

type Hook = unsafe extern "C" fn(*mut c_void);

/// The functions of `tests/crypto/mbedtls.h`.
struct Library {
    new: unsafe extern "C" fn(u8, u32) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    table: unsafe extern "C" fn(*const c_void) -> *const rit_crypto,
    leave_out: unsafe extern "C" fn(*mut c_void, u32),
    fail: unsafe extern "C" fn(*mut c_void, u32),
    calls: unsafe extern "C" fn(*const c_void, u32) -> u32,
    hook: unsafe extern "C" fn(*mut c_void, Option<Hook>, *mut c_void),
}

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}
const RTLD_NOW: c_int = 2;

fn library() -> &'static Library {
    static LOADED: OnceLock<Library> = OnceLock::new();
    LOADED.get_or_init(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libcrypto-by-mbedtls.so");
        let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        cc.args(["-std=c99", "-O1", "-g", "-fPIC", "-shared"]);
        cc.args(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]);
        cc.arg("-I").arg(top.join("include")).arg(top.join("tests/crypto/mbedtls.c"));
        let output = cc.arg("-o").arg(&out).arg("-lmbedcrypto").output().expect("a C compiler");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mbedtls.c does not compile:\n{said}");
        let file = CString::new(out.to_str().unwrap()).unwrap();
        // SAFETY: a file of our own making, without constructors.
        let library = unsafe { dlopen(file.as_ptr(), RTLD_NOW) };
        assert!(!library.is_null());
        // SAFETY: the types are those of mbedtls.h.
        unsafe {
            Library {
                new: symbol(library, c"mbed_new"),
                free: symbol(library, c"mbed_free"),
                table: symbol(library, c"mbed_table"),
                leave_out: symbol(library, c"mbed_leave_out"),
                fail: symbol(library, c"mbed_fail"),
                calls: symbol(library, c"mbed_calls"),
                hook: symbol(library, c"mbed_hook"),
            }
        }
    })
}

/// # Safety
/// `F` is the type of the function of that name.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &std::ffi::CStr) -> F {
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
    // SAFETY: a loaded library.
    let found = unsafe { dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?}");
    // SAFETY: the caller's promise; a function's pointer is never null.
    unsafe { std::mem::transmute_copy(&found) }
}

/// One table.
struct Mbed(*mut c_void);

// In each method: SAFETY: a live table of the library's.
impl Mbed {
    fn new(seed: u8, flags: u32) -> Self {
        // SAFETY: see above.
        let mbed = Mbed(unsafe { (library().new)(seed, flags) });
        assert!(!mbed.0.is_null());
        mbed
    }

    fn table(&self) -> *const rit_crypto {
        // SAFETY: see above.
        unsafe { (library().table)(self.0) }
    }

    fn entries(&self) -> rit_crypto {
        // SAFETY: see above.
        unsafe { *self.table() }
    }

    fn leave_out(&self, entry: u32) {
        // SAFETY: see above.
        unsafe { (library().leave_out)(self.0, entry) }
    }

    fn fail(&self, mask: u32) {
        // SAFETY: see above.
        unsafe { (library().fail)(self.0, mask) }
    }

    fn calls(&self, entry: u32) -> u32 {
        // SAFETY: see above.
        unsafe { (library().calls)(self.0, entry) }
    }

    fn hook(&self, hook: Hook, ctx: *mut c_void) {
        // SAFETY: see above; the caller keeps ctx alive.
        unsafe { (library().hook)(self.0, Some(hook), ctx) }
    }

    fn peer(&self, seed: u64) -> Peer {
        Peer::try_new(seed, |_| {}, self.table()).expect("all is in order")
    }
}

impl Drop for Mbed {
    fn drop(&mut self) {
        // SAFETY: see above; nodes go before their tables.
        unsafe { (library().free)(self.0) }
    }
}

/// Sends bytes both ways on a new stream.
fn exchange(world: &mut World, session: u64) {
    let (device, user) = world.stream(session);
    let (to_user, to_device) = (vec![0xa5; 30_000], vec![0x5a; 20_000]);
    let mut sent = [0; 2];
    let mut got = [Vec::new(), Vec::new()];
    while got[DEVICE].len() < to_device.len() || got[USER].len() < to_user.len() {
        for (peer, stream, data) in [(DEVICE, device, &to_user), (USER, user, &to_device)] {
            let rest = &data[sent[peer]..];
            if !rest.is_empty() {
                sent[peer] += world.peers[peer].write(stream, rest).unwrap_or(0);
            }
            while let Ok(bytes) = world.peers[peer].read(stream) {
                assert!(!bytes.is_empty());
                got[peer].extend(bytes);
            }
        }
        world.step();
    }
    assert!(got == [to_device, to_user]);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn published_vectors() {
    let mbed = Mbed::new(0, 0);
    let table = mbed.entries();
    // RFC 8439 §2.8.2.
    let key: Vec<u8> = (0x80..0xa0).collect();
    let (nonce, aad) = (hex("070000004041424344454647"), hex("50515253c0c1c2c3c4c5c6c7"));
    let plain = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
                 the future, sunscreen would be it.";
    let sealed = hex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69
         da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594
         5585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
    );
    let run = |entry: u32, key: &[u8], nonce: &[u8], aad: &[u8], buf: &mut [u8]| {
        let entries =
            [table.aes_gcm_seal, table.aes_gcm_open, table.chacha_seal, table.chacha_open];
        let (entry, len) = (entries[entry as usize].unwrap(), buf.len() - 16);
        let (key, nonce) = (key.as_ptr(), nonce.as_ptr());
        // SAFETY: as the header promises.
        unsafe { entry(table.ctx, key, nonce, aad.as_ptr(), aad.len(), buf.as_mut_ptr(), len) }
    };
    let mut buf = [plain.as_bytes(), &[0; 16]].concat();
    assert_eq!(run(CHACHA_SEAL, &key, &nonce, &aad, &mut buf), 0);
    assert_eq!(buf, sealed);
    assert_eq!(run(CHACHA_OPEN, &key, &nonce, &aad, &mut buf), 0);
    assert_eq!(&buf[..plain.len()], plain.as_bytes());
    buf.copy_from_slice(&sealed);
    buf[0] ^= 1;
    assert_eq!(run(CHACHA_OPEN, &key, &nonce, &aad, &mut buf), RIT_CRYPTO_FORGED);

    // RFC 9001 §A.3: a packet under AES-128-GCM, and its header's mask.
    let (key, nonce) = (hex("cf3a5331653c364c88f0f379b6067e37"), hex("0ac1493ca1905853b0bba03f"));
    let header = hex("c1000000010008f067a5502a4262b50040750001");
    let payload = hex(
        "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a
         045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bc
         f32bb9da1a002b00020304",
    );
    let mut buf = [&payload[..], &[0; 16]].concat();
    assert_eq!(run(0, &key, &nonce, &header, &mut buf), 0);
    assert_eq!(buf[..18], hex("5a482cd0991cd25b0aac406a5816b6394100"));
    let sample = buf[2..18].to_vec();
    assert_eq!(run(1, &key, &nonce, &header, &mut buf), 0);
    assert_eq!(buf[..payload.len()], payload);
    buf[5] ^= 1;
    assert_eq!(run(1, &key, &nonce, &header, &mut buf), RIT_CRYPTO_FORGED);
    let (hp, mut out) = (hex("c206b8d9b9f0f37644430b490eeaa314"), [0; 64]);
    let aes_block = table.aes_block.unwrap();
    // SAFETY: as the header promises.
    let code = unsafe { aes_block(table.ctx, hp.as_ptr(), sample.as_ptr(), out.as_mut_ptr()) };
    assert_eq!((code, &out[..5]), (0, &hex("2ec0d8356a")[..]));

    // RFC 8439 §2.3.2.
    let (key, nonce): (Vec<u8>, _) = ((0..32).collect(), hex("000000090000004a00000000"));
    let chacha_block = table.chacha_block.unwrap();
    // SAFETY: as the header promises.
    let code =
        unsafe { chacha_block(table.ctx, key.as_ptr(), 1, nonce.as_ptr(), out.as_mut_ptr()) };
    assert_eq!((code, &out[..16]), (0, &hex("10f1e7e4d13b5915500fdd1fa32071c4")[..]));

    // FIPS 180-4's "abc", in two parts.
    let parts =
        [b"a", &b"bc"[..], b""].map(|part| rit_bytes { data: part.as_ptr(), len: part.len() });
    // SAFETY: as the header promises.
    let code = unsafe { table.sha256.unwrap()(table.ctx, parts.as_ptr(), 3, out.as_mut_ptr()) };
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((code, &out[..32]), (0, &hex(abc)[..]));
}

/// RFC 7748 §5.2 and §6.1, and points of small order.
#[test]
fn x25519_vectors() {
    let mbed = Mbed::new(0, 0);
    let table = mbed.entries();
    let x25519 = |scalar: &[u8], point: &[u8]| {
        let mut out = [0x55; 32];
        let entry = table.x25519.unwrap();
        // SAFETY: as the header promises.
        let code = unsafe { entry(table.ctx, scalar.as_ptr(), point.as_ptr(), out.as_mut_ptr()) };
        assert_eq!(code, 0);
        out
    };
    let vectors = [
        [
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ],
        [
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ],
        [
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ],
    ];
    for [scalar, point, product] in vectors {
        assert_eq!(x25519(&hex(scalar), &hex(point)).to_vec(), hex(product));
    }
    let mut base = [0; 32];
    base[0] = 9;
    for n in 0..20_u8 {
        let built_in = default_provider().x25519_base(&[n; 32]).unwrap();
        assert_eq!(x25519(&[n; 32], &base), built_in);
    }
    assert_eq!(x25519(&[7; 32], &[0; 32]), [0; 32]);
}

#[test]
fn a_session_computed_by_mbedtls() {
    // Contact packets are under ChaCha always, so both AEADs are used where AES is preferred.
    for flags in [0, RIT_CRYPTO_FAST_AES] {
        let tables = [Mbed::new(1, flags), Mbed::new(2, flags)];
        let peers = [tables[0].peer(1), tables[1].peer(2)];
        let (mut world, _, session) = World::with(peers).up();
        exchange(&mut world, session);
        for (table, entry) in tables.iter().flat_map(|table| (0..10).map(move |e| (table, e))) {
            let is_aes = [0, 1, 4].contains(&entry);
            let is_used = flags == RIT_CRYPTO_FAST_AES || !is_aes;
            assert_eq!(table.calls(entry) > 0, is_used, "{}", NAMES[entry as usize]);
        }
        assert_eq!(tables[0].calls(PUBLIC_KEY), 1);
        // With the broker and with each other.
        assert_eq!((tables[0].calls(SIGN), tables[1].calls(SIGN)), (2, 2));
        assert_eq!((tables[0].calls(X25519), tables[1].calls(X25519)), (4, 4));
    }
}

/// All datagrams of a session, in order.
fn datagrams(crypto: Option<&[Mbed; 2]>) -> Vec<Vec<u8>> {
    let peers = match crypto {
        Some([a, b]) => [a.peer(1), b.peer(2)],
        None => [Peer::new(1, |_| {}), Peer::new(2, |_| {})],
    };
    let mut world = World::with(peers);
    world.recorded = Some(Vec::new());
    let (mut world, _, session) = world.up();
    exchange(&mut world, session);
    world.recorded.unwrap()
}

#[test]
fn the_same_bytes_as_without() {
    let flags = if default_provider().fast_aes() { RIT_CRYPTO_FAST_AES } else { 0 };
    // Without a key of its own, which would have another name.
    let tables = || [Mbed::new(0, flags), Mbed::new(0, flags)];
    let recorded = datagrams(None);
    assert!(recorded.len() > 50);
    assert!(datagrams(Some(&tables())) == recorded);
    let without = tables();
    without[0].leave_out(SHA256);
    without[1].leave_out(X25519);
    assert!(datagrams(Some(&without)) == recorded);
}

#[test]
fn each_entry_left_out() {
    for entry in 0..10 {
        println!("without {}", NAMES[entry as usize]);
        let tables = [1, 2].map(|seed| Mbed::new(seed, RIT_CRYPTO_FAST_AES));
        tables.iter().for_each(|table| table.leave_out(entry));
        let peers = [tables[0].peer(1), tables[1].peer(2)];
        let (mut world, _, session) = World::with(peers).up();
        exchange(&mut world, session);
        assert!(tables.iter().all(|table| table.calls(entry) == 0));
    }
}

/// Runs until the user's session ends; with what.
fn ending(world: &mut World) -> i32 {
    world.wait(USER, RIT_EVENT_SESSION_DOWN).error
}

#[test]
fn each_entry_failing_in_turn() {
    for entry in (0..10).filter(|entry| *entry != PUBLIC_KEY) {
        let name = NAMES[entry as usize];
        println!("{name} fails");
        let tables = [1, 2].map(|seed| Mbed::new(seed, RIT_CRYPTO_FAST_AES));
        let peers = [tables[0].peer(1), tables[1].peer(2)];
        let (mut world, _, session) = World::with(peers).up();
        exchange(&mut world, session);

        // In a session that is up: of what the packets need, the session ends; else it lives on.
        tables[USER].fail(1 << entry);
        let is_packets = [0, 1, 4].contains(&entry);
        if is_packets {
            assert_eq!(ending(&mut world), RIT_ERR_CRYPTO, "{name}");
        } else {
            exchange(&mut world, session);
        }
        tables[USER].fail(0);
        assert_usable(&mut world);

        // In the handshake of one more; but what all packets need breaks the link to the broker
        // first, so that there is none.
        if !is_packets {
            tables[USER].fail(1 << entry);
            let device = world.peers[DEVICE].key();
            match world.peers[USER].reach(device) {
                Ok(_) => assert_eq!(ending(&mut world), RIT_ERR_CRYPTO, "{name}"),
                Err(error) => assert_eq!(error, RIT_ERR_CRYPTO, "{name}"),
            }
            tables[USER].fail(0);
            assert_usable(&mut world);
        }

        // At the end that responds: the other one learns that it was not let in, or nothing.
        tables[DEVICE].fail(1 << entry);
        let device = world.peers[DEVICE].key();
        let session = world.peers[USER].reach(device).unwrap();
        let event = world.wait_any(USER, &[RIT_EVENT_SESSION_UP, RIT_EVENT_SESSION_DOWN]);
        assert_eq!((event.r#type, event.session), (RIT_EVENT_SESSION_DOWN, session), "{name}");
        tables[DEVICE].fail(0);
        assert_usable(&mut world);
    }
}

/// Both nodes are online and have a new session.
fn assert_usable(world: &mut World) {
    let device = world.peers[DEVICE].key();
    for _ in 0..200 {
        let Ok(session) = world.peers[USER].reach(device) else {
            world.step();
            continue;
        };
        match world.wait_any(USER, &[RIT_EVENT_SESSION_UP, RIT_EVENT_SESSION_DOWN]) {
            event if event.r#type == RIT_EVENT_SESSION_UP && event.session == session => {
                return exchange(world, session);
            }
            _ => {}
        }
    }
    panic!("no session comes up any more");
}

#[test]
fn a_key_that_cannot_be_read_makes_no_node() {
    let mbed = Mbed::new(1, 0);
    mbed.fail(1 << PUBLIC_KEY);
    assert_eq!(Peer::try_new(1, |_| {}, mbed.table()).err(), Some(RIT_ERR_CRYPTO));
    mbed.fail(0);
    let (a, b) = (mbed.peer(1), mbed.peer(2));
    assert_eq!(a.key(), b.key(), "the name is that of the key");
    // Of the other kind, the same callback is another node.
    let mut table = mbed.entries();
    table.key_kind = RIT_KEY_ED25519;
    assert_ne!(Peer::try_new(1, |_| {}, &table).unwrap().key(), a.key());
}

/// What a callback may and may not do.
struct Inside {
    node: *mut rit_node,
    other: *mut rit_node,
    calls: u32,
}

unsafe extern "C" fn call_from_inside(ctx: *mut c_void) {
    // SAFETY: the test's own; one thread.
    let inside = unsafe { &mut *ctx.cast::<Inside>() };
    inside.calls += 1;
    let (mut key, mut stats): ([u8; 32], rit_stats) = ([0; 32], world::sized());
    let mut event: rit_event = world::sized();
    let (node, path): (_, rit_path) = (inside.node, world::path(1));
    // SAFETY: live nodes.
    unsafe {
        let codes = [
            rit_node_timeout(node),
            rit::drive::rit_node_receive(node, &path, key.as_ptr(), 4),
            rit_node_next_event(node, &mut event),
            rit_node_public_key(node, key.as_mut_ptr()),
            rit::node::rit_node_stats(node, &mut stats),
            rit::session::rit_session_close(node, 1, 0),
        ];
        assert_eq!(codes, [RIT_ERR_REENTRY; 6]);
        rit_node_free(node);
        // Another node is not affected, nor is what this one is in the middle of.
        assert_eq!(rit_node_timeout(inside.other), RIT_OK);
    }
}

#[test]
fn no_callback_enters_its_node() {
    let tables = [1, 2].map(|seed| Mbed::new(seed, RIT_CRYPTO_FAST_AES));
    let peers = [tables[0].peer(1), tables[1].peer(2)];
    let other = tables[1].peer(3);
    let mut inside = Inside { node: peers[DEVICE].node, other: other.node, calls: 0 };
    tables[DEVICE].hook(call_from_inside, std::ptr::from_mut(&mut inside).cast());
    let (mut world, _, session) = World::with(peers).up();
    exchange(&mut world, session);
    assert!(inside.calls > 100, "{}", inside.calls);
    assert!((0..10).filter(|e| *e != PUBLIC_KEY).all(|e| tables[DEVICE].calls(e) > 0));
}
