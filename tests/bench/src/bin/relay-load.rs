//! `relay-load`: both ends of many channels, who send more than what is between them passes on.
//!
//!     relay-load relay ADDRESS SECRET-FILE PID SIZE RUN SECONDS
//!     relay-load plain ADDRESS PORTS PID SIZE RUN SECONDS
//!
//! SIZE is the payload of a datagram and RUN how many of a channel follow each other, sent as one
//! (UDP_SEGMENT); 1: each alone. A plain forwarder between the two ends knows them by PORTS, two
//! with a colon between. Prints datagrams delivered, datagrams sent, seconds, CPU seconds of the
//! process PID, and seconds that it had to wait for its core.
//!
//! Owns the load alone. Invariant: nothing is timed before every channel has carried a datagram.

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rit_core::base::Side;
use rit_core::crypto::{self, Secret};
use rit_core::trust::{issue_relay_token, relay_end_key, sign_bind};
use rit_core::wire::codec::Writer;
use rit_core::wire::relay::{
    BIND_OVERHEAD, Bind, ChannelId, Claims, DATA_OVERHEAD, RelayDatagram, write_bind, write_data,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use std::env;
use std::fs;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As many flows at once find their channels in no cache of one.
const CHANNELS: usize = 256;
/// Datagrams sent before the other end looks what came.
const BURST: usize = 64;
/// What the kernel joins may be as long as this.
const SLOT_LEN: usize = 1 << 16;
const WARM_UP: Duration = Duration::from_millis(300);
const BIND_WAIT: Duration = Duration::from_secs(1);
const STUCK: Duration = Duration::from_secs(5);

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Answer<()> {
    let [kind, address, how, pid, size, run, seconds] = arguments else {
        return Err(
            "usage: relay-load relay|plain ADDRESS SECRET-FILE|PORTS PID SIZE RUN SECONDS".into()
        );
    };
    let (size, run): (usize, usize) = (size.parse()?, run.parse()?);
    let duration = Duration::from_secs(seconds.parse()?);
    let ports = how.split_once(':').filter(|_| kind == "plain").unwrap_or(("0", "0"));
    // What comes alone is counted without a look at it.
    let slot_len = if run == 1 { 1 } else { SLOT_LEN };
    let end = |port: &str| End::new(address.parse()?, port.parse()?, slot_len);
    let mut ends = [end(ports.0)?, end(ports.1)?];
    if kind == "relay" {
        bind_all(&ends, &fs::read(how)?)?;
    }
    let load = Load::new(size, run);
    load.prove(&mut ends)?;
    load.run(&mut ends, Instant::now() + WARM_UP)?;
    let (start, before) = (Instant::now(), Spent::of(pid)?);
    let [delivered, sent] = load.run(&mut ends, start + duration)?;
    let (seconds, after) = (start.elapsed().as_secs_f64(), Spent::of(pid)?);
    let (cpu, waited) = (after.cpu - before.cpu, after.waited - before.waited);
    println!("{delivered} {sent} {seconds:.6} {cpu:.6} {waited:.6}");
    Ok(())
}

/// Seconds of a process's life.
struct Spent {
    cpu: f64,
    waited: f64,
}

impl Spent {
    /// Exactly, where /proc/PID/stat counts in hundredths.
    fn of(pid: &str) -> Answer<Spent> {
        let mut spent = Spent { cpu: 0.0, waited: 0.0 };
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let mut words = text.split_whitespace().map(str::parse::<f64>);
            spent.cpu += words.next().ok_or("no schedstat")?? / 1e9;
            spent.waited += words.next().ok_or("no schedstat")?? / 1e9;
        }
        Ok(spent)
    }
}

/// A socket, connected to what is measured.
struct End {
    socket: UdpSocket,
    state: UdpSocketState,
    to: SocketAddr,
    slots: Vec<u8>,
}

impl End {
    fn new(to: SocketAddr, port: u16, slot_len: usize) -> Answer<End> {
        let socket = UdpSocket::bind(("127.0.0.1", port))?;
        socket.connect(to)?;
        let state = UdpSocketState::new((&socket).into())?;
        state.set_recv_buffer_size((&socket).into(), 4 << 20)?;
        Ok(End { socket, state, to, slots: vec![0; BATCH_SIZE * slot_len] })
    }

    /// Takes all that is there; how many datagrams.
    fn drain(&mut self) -> Answer<u64> {
        let (mut count, slot_len) = (0, self.slots.len() / BATCH_SIZE);
        loop {
            let mut slots: Vec<IoSliceMut<'_>> =
                self.slots.chunks_mut(slot_len).map(IoSliceMut::new).collect();
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            match self.state.recv((&self.socket).into(), &mut slots, &mut metas) {
                Ok(messages) => {
                    let datagrams = |meta: &RecvMeta| meta.len.div_ceil(meta.stride.max(1)) as u64;
                    count += metas[..messages].iter().map(datagrams).sum::<u64>();
                    if messages < BATCH_SIZE {
                        return Ok(count);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn channel(n: usize) -> ChannelId {
    ChannelId((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
}

/// Binds both ends of all channels, and proves their addresses.
fn bind_all(ends: &[End; 2], secret: &[u8]) -> Answer<()> {
    let secret = Secret::new(secret.try_into()?);
    for end in ends {
        end.socket.set_nonblocking(false)?;
        end.socket.set_read_timeout(Some(BIND_WAIT))?;
    }
    for n in 0..CHANNELS {
        for (end, side) in ends.iter().zip([Side::Initiator, Side::Responder]) {
            let node = (n as u64).to_be_bytes();
            let claims = Claims { channel: channel(n), side, rate: 0, expires_min: u32::MAX, node };
            bind(end, &secret, &claims)?;
        }
    }
    ends.iter().try_for_each(|end| end.socket.set_nonblocking(true))?;
    Ok(())
}

fn bind(end: &End, secret: &Secret, claims: &Claims) -> Answer<()> {
    let provider = crypto::ring();
    let token = issue_relay_token(provider, secret, claims);
    let key = relay_end_key(provider, secret, &token);
    let mut cookie = [0; 8];
    // Newer than those of the loads before this one.
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
    // The second time with the cookie that answered the first.
    for sequence in [since, since + 1] {
        let mut datagram = [0; BIND_OVERHEAD];
        let bind = Bind { token, sequence, cookie };
        write_bind(&mut Writer::new(&mut datagram), &bind, claims.side).map_err(|_| "no room")?;
        sign_bind(provider, &key, &mut datagram);
        let mut heard = [0; BIND_OVERHEAD];
        // What is left of the load before may stand in the way.
        let mut answer = || {
            end.socket.send(&datagram)?;
            end.socket.recv(&mut heard)
        };
        let len = answer().or_else(|_| answer()).or_else(|_| answer())?;
        let Ok(RelayDatagram::Bound(bound)) = RelayDatagram::parse(&heard[..len]) else {
            return Err("the relay does not answer as one".into());
        };
        cookie = bound.cookie;
    }
    Ok(())
}

/// What the first end sends: for each channel, a run of datagrams one behind the other.
struct Load {
    runs: Vec<Vec<u8>>,
    size: usize,
}

impl Load {
    fn new(size: usize, run: usize) -> Load {
        let size = size + DATA_OVERHEAD;
        let of = |n: usize| {
            let mut datagram = vec![0; size];
            let written = write_data(&mut Writer::new(&mut datagram), Side::Initiator, channel(n));
            written.expect("it fits");
            datagram.repeat(run)
        };
        Load { runs: (0..CHANNELS).map(of).collect(), size }
    }

    /// One datagram by each channel, one at a time, all of which must come.
    fn prove(&self, ends: &mut [End; 2]) -> Answer<()> {
        let [from, to] = ends;
        for run in &self.runs {
            from.socket.send(&run[..self.size])?;
            let sent = Instant::now();
            while to.drain()? == 0 {
                if sent.elapsed() > STUCK {
                    return Err("a channel carries nothing".into());
                }
            }
        }
        Ok(())
    }

    /// Datagrams delivered and sent until `end`.
    fn run(&self, ends: &mut [End; 2], end: Instant) -> Answer<[u64; 2]> {
        let (mut delivered, mut sent) = (0, 0);
        let in_run = self.runs[0].len() / self.size;
        for channels in self.runs.chunks((BURST / in_run).max(1)).cycle() {
            sent += (channels.len() * in_run) as u64;
            if in_run == 1 {
                send_alone(&ends[0], channels)?;
            } else {
                channels.iter().try_for_each(|run| self.send_run(&ends[0], run))?;
            }
            delivered += ends[1].drain()?;
            if Instant::now() >= end {
                break;
            }
        }
        Ok([delivered, sent])
    }

    fn send_run(&self, end: &End, run: &[u8]) -> Answer<()> {
        let transmit = Transmit {
            destination: end.to,
            ecn: None,
            contents: run,
            segment_size: Some(self.size),
            src_ip: None,
        };
        Ok(end.state.try_send((&end.socket).into(), &transmit)?)
    }
}

fn send_alone(end: &End, datagrams: &[Vec<u8>]) -> Answer<()> {
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams.iter().map(|d| [IoSlice::new(d)]).collect();
    let mut controls: Vec<_> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let messages = slices.iter().zip(&mut controls);
    let mut messages: Vec<_> = messages.map(|(slice, c)| MMsgHdr::new(slice, c)).collect();
    let mut sent = 0;
    while sent < messages.len() {
        sent += sendmmsg(&end.socket, &mut messages[sent..], SendFlags::empty())?;
    }
    Ok(())
}
