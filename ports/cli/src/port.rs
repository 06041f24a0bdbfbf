//! The POSIX port of `ports/posix` as a safe type: sockets, poll loop, loopback listeners.
//!
//! Owns all unsafe code of this program. Does not own what is reached, or what is printed. The
//! structs are those of `rit_posix.h`; a test compares their sizes. Invariants: a [`Port`] stays in
//! its thread, and no pointer of C outlives the call that gave it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::size_of;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rit_core::base::PublicKey;
use rit_core::trust::ClaimSecret;
use rit_ffi::rit_session;
use rit_ffi::session::rit_session_info;
use rit_ffi::trust::RIT_CLAIM_CODE_LEN as CLAIM_CODE_LEN;

/// `RIT_POSIX_ERR_IN_USE`.
const IN_USE: i32 = -1001;
/// `RIT_POSIX_ERR_NOT_ALLOWED`.
pub(crate) const NOT_ALLOWED: i32 = -1006;
const NAME_LEN: usize = 64;

#[repr(C)]
struct RawPort {
    _private: [u8; 0],
}

#[repr(C)]
struct RawConfig {
    state_dir: *const c_char,
    udp_port: u16,
    node: *const c_void,
    log_level: i32,
    log: Option<extern "C" fn(*mut c_void, i32, *const c_char)>,
    log_ctx: *mut c_void,
    port_mapping: i32,
    tls_port: u16,
    no_multicast: u16,
    attest: *const c_void,
    check_attestation: *const c_void,
    attest_ctx: *mut c_void,
    own_user_only: i32,
    take_event: *const c_void,
    event_ctx: *mut c_void,
}

#[repr(C)]
struct RawEvent {
    kind_of_event: c_int,
    error: c_int,
    peer: [u8; 32],
    service: [c_char; NAME_LEN],
    address: [c_char; 16],
    port: u16,
    kind: u16,
    request: u32,
    number: u64,
}

unsafe extern "C" {
    fn rit_posix_new(config: *const RawConfig, err: *mut c_int) -> *mut RawPort;
    fn rit_posix_free(port: *mut RawPort);
    fn rit_posix_node(port: *mut RawPort) -> *mut c_void;
    fn rit_posix_broker(port: *mut RawPort, uri: *const c_char, enrol_code: *const c_char)
    -> c_int;
    fn rit_posix_gateway(
        port: *mut RawPort,
        uri: *const c_char,
        enrol_code: *const c_char,
    ) -> c_int;
    fn rit_posix_reach(
        port: *mut RawPort,
        device: *const u8,
        service: *const c_char,
        listen_port: u16,
    ) -> c_int;
    fn rit_posix_leave(port: *mut RawPort, device: *const u8, service: *const c_char) -> c_int;
    fn rit_posix_set_grant(
        port: *mut RawPort,
        device: *const u8,
        chain: *const u8,
        len: usize,
    ) -> c_int;
    fn rit_posix_session(port: *const RawPort, device: *const u8) -> rit_session;
    fn rit_posix_neighbour_allow(
        port: *mut RawPort,
        addresses: *const c_char,
        first: u16,
        last: u16,
    ) -> c_int;
    fn rit_posix_neighbour_disallow(
        port: *mut RawPort,
        addresses: *const c_char,
        first: u16,
        last: u16,
    ) -> c_int;
    fn rit_posix_neighbour_is_never(address: *const c_char) -> c_int;
    fn rit_posix_neighbour_limits(port: *mut RawPort, connections: u32, per_second: u32) -> c_int;
    fn rit_posix_offer_neighbour(
        port: *mut RawPort,
        kind: u16,
        name: *const c_char,
        host: *const c_char,
        service_port: u16,
    ) -> c_int;
    fn rit_posix_withdraw(port: *mut RawPort, kind: u16, name: *const c_char) -> c_int;
    fn rit_posix_step(port: *mut RawPort, timeout_ms: c_int) -> c_int;
    fn rit_posix_next(port: *mut RawPort, out: *mut RawEvent) -> c_int;
    fn rit_posix_strerror(error: c_int) -> *const c_char;
}

/// Whether an address is never a neighbour's, wherever this host is.
pub(crate) fn is_never(address: &IpAddr) -> bool {
    // A written address has no NUL in it.
    let Ok(address) = CString::new(address.to_string()) else { return true };
    // SAFETY: the text lives until the call returns.
    unsafe { rit_posix_neighbour_is_never(address.as_ptr()) != 0 }
}

/// A number that the port or the library gave for what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortError(pub(crate) i32);

impl PortError {
    /// Another process has the state folder.
    pub(crate) fn is_in_use(self) -> bool {
        self.0 == IN_USE
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: any number is fine, and the words are static.
        let words = unsafe { CStr::from_ptr(rit_posix_strerror(self.0)) };
        f.write_str(&words.to_string_lossy())
    }
}

impl std::error::Error for PortError {}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Online,
    Offline(PortError),
    Enrolled,
    EnrolRefused(PortError),
    GatewayOnline,
    GatewayOffline(PortError),
    SessionUp(PublicKey),
    SessionDown(PublicKey, i32),
    Listening {
        device: PublicKey,
        service: String,
        is_udp: bool,
        address: String,
        port: u16,
    },
    NotListening {
        device: PublicKey,
        service: String,
        error: PortError,
    },
    Refused {
        device: PublicKey,
        service: String,
        error: PortError,
    },
    /// One was made, to a service offered here or one that is reached.
    Connection {
        peer: PublicKey,
        service: String,
    },
    Claimed(PublicKey),
    /// Zeros: nobody owns this node any more.
    OwnerChanged(PublicKey),
    NetworkChanged,
}

/// How a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) is_relay: bool,
    /// The peer's, or the relay's.
    pub(crate) address: SocketAddr,
    /// 0: not known yet.
    pub(crate) rtt_us: u64,
}

/// A node with its sockets.
pub(crate) struct Port(NonNull<RawPort>);

impl Port {
    /// Locks the state folder and makes the node, with an identity if there is none.
    /// Programs of other users are served only if `is_shared`.
    pub(crate) fn open(
        state_dir: &Path,
        tls_port: u16,
        is_shared: bool,
    ) -> Result<Port, PortError> {
        let dir = CString::new(state_dir.as_os_str().as_bytes())
            .map_err(|_nul| PortError(rit_ffi::error::RIT_ERR_ARG))?;
        let config = RawConfig {
            state_dir: dir.as_ptr(),
            udp_port: 0,
            node: ptr::null(),
            log_level: 0,
            log: Some(quiet_when_in_use),
            log_ctx: ptr::null_mut(),
            port_mapping: 0,
            tls_port,
            no_multicast: 0,
            attest: ptr::null(),
            check_attestation: ptr::null(),
            attest_ctx: ptr::null_mut(),
            own_user_only: i32::from(!is_shared),
            take_event: ptr::null(),
            event_ctx: ptr::null_mut(),
        };
        let mut error = 0;
        // SAFETY: the config is as the header has it, and nothing of it is kept.
        let port = unsafe { rit_posix_new(&config, &mut error) };
        NonNull::new(port).map(Port).ok_or(PortError(error))
    }

    /// Connects to a broker, and stays connected.
    pub(crate) fn broker(&mut self, uri: &str, code: Option<&str>) -> Result<(), PortError> {
        let (uri, code) = (text(uri)?, code.map(text).transpose()?);
        let code = code.as_ref().map_or(ptr::null(), |code| code.as_ptr());
        // SAFETY: both texts live until the call returns.
        check(unsafe { rit_posix_broker(self.0.as_ptr(), uri.as_ptr(), code) })
    }

    /// Turns to the gateway of the LAN while the broker cannot be reached; to be said before
    /// [`Self::broker`].
    pub(crate) fn gateway(&mut self, uri: &str, code: Option<&str>) -> Result<(), PortError> {
        let (uri, code) = (text(uri)?, code.map(text).transpose()?);
        let code = code.as_ref().map_or(ptr::null(), |code| code.as_ptr());
        // SAFETY: both texts live until the call returns.
        check(unsafe { rit_posix_gateway(self.0.as_ptr(), uri.as_ptr(), code) })
    }

    /// Reaches a service of a device, or all; at its own port where `listen_port` is 0.
    pub(crate) fn reach(
        &mut self,
        device: &PublicKey,
        service: Option<&str>,
        listen_port: u16,
    ) -> Result<(), PortError> {
        let service = service.map(text).transpose()?;
        let name = service.as_ref().map_or(ptr::null(), |service| service.as_ptr());
        let port = self.0.as_ptr();
        // SAFETY: the key has 32 bytes, and the name lives until the call returns.
        check(unsafe { rit_posix_reach(port, device.0.as_ptr(), name, listen_port) })
    }

    /// Reaches a service of a device, or all, no more.
    pub(crate) fn leave(
        &mut self,
        device: &PublicKey,
        service: Option<&str>,
    ) -> Result<(), PortError> {
        let service = service.map(text).transpose()?;
        let name = service.as_ref().map_or(ptr::null(), |service| service.as_ptr());
        // SAFETY: the key has 32 bytes, and the name lives until the call returns.
        check(unsafe { rit_posix_leave(self.0.as_ptr(), device.0.as_ptr(), name) })
    }

    /// Shows this chain of grants to a device, from its next session on.
    pub(crate) fn set_grant(&mut self, device: &PublicKey, chain: &[u8]) -> Result<(), PortError> {
        let port = self.0.as_ptr();
        // SAFETY: the key has 32 bytes, the chain its length, and the port copies both.
        check(unsafe { rit_posix_set_grant(port, device.0.as_ptr(), chain.as_ptr(), chain.len()) })
    }

    /// Neighbours' services may be at these addresses and ports.
    pub(crate) fn neighbour_allow(
        &mut self,
        net: &str,
        first: u16,
        last: u16,
    ) -> Result<(), PortError> {
        let net = text(net)?;
        // SAFETY: the text lives until the call returns.
        check(unsafe { rit_posix_neighbour_allow(self.0.as_ptr(), net.as_ptr(), first, last) })
    }

    /// They may not any more.
    pub(crate) fn neighbour_disallow(
        &mut self,
        net: &str,
        first: u16,
        last: u16,
    ) -> Result<(), PortError> {
        let net = text(net)?;
        // SAFETY: the text lives until the call returns.
        check(unsafe { rit_posix_neighbour_disallow(self.0.as_ptr(), net.as_ptr(), first, last) })
    }

    /// Connections to each neighbour's service, at once and new ones in a second; 0: as usual.
    pub(crate) fn neighbour_limits(&mut self, most: u32, per_second: u32) -> Result<(), PortError> {
        // SAFETY: the port is alive.
        check(unsafe { rit_posix_neighbour_limits(self.0.as_ptr(), most, per_second) })
    }

    /// Offers a neighbour's service.
    pub(crate) fn offer_neighbour(
        &mut self,
        name: &str,
        is_udp: bool,
        host: &str,
        number: u16,
    ) -> Result<(), PortError> {
        let (name, host, port) = (text(name)?, text(host)?, self.0.as_ptr());
        let kind = kind(is_udp);
        // SAFETY: both texts live until the call returns.
        check(unsafe {
            rit_posix_offer_neighbour(port, kind, name.as_ptr(), host.as_ptr(), number)
        })
    }

    /// Offers a service no more.
    pub(crate) fn withdraw(&mut self, name: &str, is_udp: bool) -> Result<(), PortError> {
        let name = text(name)?;
        // SAFETY: the text lives until the call returns.
        check(unsafe { rit_posix_withdraw(self.0.as_ptr(), kind(is_udp), name.as_ptr()) })
    }

    /// Lets a peer use all that is offered.
    pub(crate) fn allow_peer(&mut self, peer: &PublicKey) -> Result<(), PortError> {
        // SAFETY: the node lives as long as the port, and the key has 32 bytes.
        check(unsafe { rit_ffi::service::rit_peer_allow(self.node(), peer.0.as_ptr()) })
    }

    /// Obeys an owner from now on, who may become it by this secret; whether there is one.
    pub(crate) fn obey_owner(&mut self, secret: Option<&ClaimSecret>) -> Result<bool, PortError> {
        let secret = secret.map_or(ptr::null(), |secret| secret.as_bytes().as_ptr());
        // SAFETY: the node lives as long as the port, and the secret is copied.
        check(unsafe { rit_ffi::trust::rit_trust_start(self.node(), secret) })?;
        // SAFETY: all bytes 0 are a value of this struct of numbers.
        let mut info: rit_ffi::rit_ownership = unsafe { std::mem::zeroed() };
        info.struct_size = size_of::<rit_ffi::rit_ownership>() as u32;
        // SAFETY: as above, and the struct says its size.
        check(unsafe { rit_ffi::trust::rit_owner_info(self.node(), &mut info) })?;
        Ok(info.is_claimed != 0)
    }

    /// A code by which it can be claimed, for some minutes.
    pub(crate) fn claim_code(&mut self) -> Result<String, PortError> {
        let mut code: [c_char; CLAIM_CODE_LEN] = [0; CLAIM_CODE_LEN];
        // SAFETY: there is room for as much as the header says.
        check(unsafe { rit_ffi::trust::rit_claim_code_show(self.node(), code.as_mut_ptr()) })?;
        Ok(string(&code))
    }

    fn node(&self) -> *mut rit_ffi::rit_node {
        // SAFETY: the port is alive.
        unsafe { rit_posix_node(self.0.as_ptr()) }.cast()
    }

    /// Waits for something to do, and does it.
    pub(crate) fn step(&mut self, at_most: Duration) -> Result<(), PortError> {
        let ms = c_int::try_from(at_most.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the port is alive.
        check(unsafe { rit_posix_step(self.0.as_ptr(), ms) })
    }

    /// What happened next; `None`: nothing more.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            let mut raw = RawEvent {
                kind_of_event: 0,
                error: 0,
                peer: [0; 32],
                service: [0; NAME_LEN],
                address: [0; 16],
                port: 0,
                kind: 0,
                request: 0,
                number: 0,
            };
            // SAFETY: the event is as the header has it.
            if unsafe { rit_posix_next(self.0.as_ptr(), &mut raw) } == 0 {
                return None;
            }
            if let Some(event) = event(&raw) {
                return Some(event);
            }
        }
    }

    /// How the session with a device goes; `None`: there is none.
    pub(crate) fn way(&self, device: &PublicKey) -> Option<Way> {
        // SAFETY: the port is alive, and the key has 32 bytes.
        let session = unsafe { rit_posix_session(self.0.as_ptr(), device.0.as_ptr()) };
        // SAFETY: all bytes 0 are a value of this struct of numbers.
        let mut info: rit_session_info = unsafe { std::mem::zeroed() };
        info.struct_size = size_of::<rit_session_info>() as u32;
        // SAFETY: the node lives as long as the port; a stale handle is an error, no fault.
        let failed = unsafe {
            let node = rit_posix_node(self.0.as_ptr());
            rit_ffi::session::rit_session_info(node.cast(), session, &mut info)
        };
        if session == 0 || failed != 0 || info.path.port == 0 {
            return None;
        }
        let v6 = Ipv6Addr::from(info.path.ip);
        let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
        Some(Way {
            is_relay: info.path_kind == rit_ffi::event::RIT_PATH_RELAY,
            address: SocketAddr::new(ip, info.path.port),
            rtt_us: info.rtt_us,
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // SAFETY: nobody uses it after this.
        unsafe { rit_posix_free(self.0.as_ptr()) }
    }
}

/// Lines of the library. That the folder is in use is no fault here: its holder is asked.
extern "C" fn quiet_when_in_use(_ctx: *mut c_void, _level: i32, line: *const c_char) {
    // SAFETY: the port gives a text with a NUL, for as long as the call takes.
    let line = unsafe { CStr::from_ptr(line) }.to_string_lossy();
    if !line.ends_with("is in use by another process") {
        eprintln!("rit: {}", crate::text::escape(&line));
    }
}

fn check(code: c_int) -> Result<(), PortError> {
    if code == 0 { Ok(()) } else { Err(PortError(code)) }
}

fn text(text: &str) -> Result<CString, PortError> {
    CString::new(text).map_err(|_nul| PortError(rit_ffi::error::RIT_ERR_ARG))
}

fn kind(is_udp: bool) -> u16 {
    if is_udp { rit_ffi::service::RIT_SERVICE_UDP } else { rit_ffi::service::RIT_SERVICE_TCP }
}

fn string(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn event(raw: &RawEvent) -> Option<Event> {
    let (device, service, error) =
        (PublicKey(raw.peer), string(&raw.service), PortError(raw.error));
    Some(match raw.kind_of_event {
        1 => Event::Online,
        2 => Event::Offline(error),
        3 => Event::Enrolled,
        4 => Event::EnrolRefused(error),
        5 => Event::SessionUp(device),
        6 => Event::SessionDown(device, raw.error),
        7 => Event::Listening {
            device,
            service,
            is_udp: raw.kind == rit_ffi::service::RIT_SERVICE_UDP,
            address: string(&raw.address),
            port: raw.port,
        },
        8 => Event::NotListening { device, service, error },
        9 if raw.error != 0 => Event::Refused { device, service, error },
        9 => Event::Connection { peer: device, service },
        10 => Event::NetworkChanged,
        12 => Event::Claimed(device),
        13 => Event::OwnerChanged(device),
        17 => Event::GatewayOnline,
        18 => Event::GatewayOffline(error),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        static rit_cli_config_size: usize;
        static rit_cli_event_size: usize;
    }

    #[test]
    fn structs_are_those_of_the_header() {
        // SAFETY: constants of port.c.
        let sizes = unsafe { (rit_cli_config_size, rit_cli_event_size) };
        assert_eq!(sizes, (size_of::<RawConfig>(), size_of::<RawEvent>()));
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("node");
        let mut port = Port::open(&state, 0, false).unwrap();
        assert!(Port::open(&state, 0, false).err().unwrap().is_in_use());
        let device = PublicKey([7; 32]);
        assert_eq!(port.reach(&device, Some("web"), 0), Ok(()));
        assert_eq!(port.reach(&device, Some("web"), 0).unwrap_err().0, -10);
        assert!(port.reach(&device, Some("Web"), 0).is_err());
        assert!(port.leave(&device, Some("ssh")).is_err());
        assert_eq!(port.leave(&device, Some("web")), Ok(()));
        assert!(port.leave(&device, None).is_err());
        assert!(port.broker("http://nowhere", None).is_err());
        assert!(port.gateway("http://nowhere", None).is_err());
        assert_eq!(port.way(&device), None);
        assert_eq!(port.next(), None);
        drop(port);
        assert!(Port::open(&state, 0, false).is_ok());
    }

    #[test]
    fn nobody_s_neighbours() {
        for never in [
            "0.0.0.0",
            "127.0.0.1",
            "169.254.169.254",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "::1",
            "::10.0.0.1",
            "ff02::fb",
            "::ffff:127.0.0.1",
            "100.100.100.200",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::169.254.169.254",
            "::ffff:0:127.0.0.1",
            "2002:7f00:1::",
        ] {
            assert!(is_never(&never.parse().unwrap()), "{never}");
        }
        for fine in [
            "192.168.1.20",
            "fd00::5",
            "fe80::5",
            "::ffff:10.0.0.1",
            "1.0.0.0",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!is_never(&fine.parse().unwrap()), "{fine}");
        }
    }
}
