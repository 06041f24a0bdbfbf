//! Fuzz body over carriers: a client and a server, joined by a stream that the script cuts up, and
//! where it likes puts bytes of its own into.
//!
//! Checked: no panic, what waits is bounded, datagrams come out as they were put in, in order, and
//! none after foreign bytes; an end that is closed says nothing; timers do not stand still.

use rit_core::base::{Rng, Time};
use rit_core::carrier::{Carrier, DATAGRAM_MAX, WAITING_MAX};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::wire::codec::Reader;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What TLS adds to what waits: records' heads and tags, and its handshake.
const TLS_MAX: usize = 4096;

struct End {
    carrier: Carrier,
    /// Datagrams that this end sent and that have not come out.
    sent: VecDeque<Vec<u8>>,
    is_spoilt: bool,
}

struct Driver {
    ends: [End; 2],
    now: Time,
}

/// Bytes between the two ends of a carrier.
pub fn carrier(data: &[u8]) {
    let (provider, now) = (crypto::default_provider(), Time::from_micros(1_000_000));
    let rng = |n| Rng::from_seed([n; 32]);
    let signer = Arc::new(Ed25519Signer::from_seed(&[3; 32]));
    let client = Carrier::client(provider, rng(1), now).expect("the provider is ours");
    let server = Carrier::server(provider, signer, rng(2), now).expect("the provider is ours");
    let end = |carrier| End { carrier, sent: VecDeque::new(), is_spoilt: false };
    let mut driver = Driver { ends: [end(client), end(server)], now };
    let mut r = Reader::new(data);
    while driver.run(&mut r).is_some() {
        driver.check();
    }
    for _ in 0..3 {
        driver.pass(Duration::from_secs(200));
    }
    assert!(driver.ends.iter().all(|end| end.carrier.is_closed()), "it comes to rest");
}

impl Driver {
    fn run(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let op = r.u8().ok()?;
        let from = usize::from(op & 1);
        match op >> 1 & 3 {
            0 => {
                let datagram = vec![op; usize::from(r.u16().ok()?) % (DATAGRAM_MAX + 2)];
                if self.ends[from].carrier.send_datagram(&datagram, self.now) {
                    self.ends[from].sent.push_back(datagram);
                }
            }
            1 => {
                let step = usize::from(r.u16().ok()?);
                let bytes = self.ends[from].carrier.poll_bytes();
                let bytes = bytes[..bytes.len().min(step)].to_vec();
                self.ends[from].carrier.consume(bytes.len());
                self.receive(1 - from, &bytes);
            }
            2 => {
                let len = usize::from(r.u8().ok()?).min(r.remaining());
                let bytes = r.bytes(len).ok()?.to_vec();
                self.ends[from].is_spoilt |= len > 0;
                self.receive(from, &bytes);
            }
            _ => self.pass(Duration::from_millis(u64::from(r.u16().ok()?))),
        }
        Some(())
    }

    fn receive(&mut self, at: usize, bytes: &[u8]) {
        self.ends[at].carrier.handle_bytes(bytes, self.now);
        let mut buf = [0; DATAGRAM_MAX];
        while let Some(len) = self.ends[at].carrier.poll_datagram(&mut buf) {
            let sent = self.ends[1 - at].sent.pop_front();
            assert_eq!(sent.as_deref(), Some(&buf[..len]), "as it was sent");
            assert!(!self.ends[at].is_spoilt, "nothing opens after foreign bytes");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for end in &mut self.ends {
            end.carrier.handle_timeout(self.now);
            assert!(end.carrier.poll_timeout().is_none_or(|at| at > self.now));
        }
    }

    fn check(&mut self) {
        for end in &mut self.ends {
            let len = end.carrier.poll_bytes().len();
            assert!(len <= WAITING_MAX + TLS_MAX, "{len} bytes wait");
            assert!(!end.carrier.is_closed() || len == 0, "an end that is closed is silent");
        }
    }
}
