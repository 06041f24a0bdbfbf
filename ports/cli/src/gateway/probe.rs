//! Gentle TCP connects: whether somebody listens at a port, and what comes by itself.
//!
//! Owns pace and limits: four at once, ten in a second, a second for each, and nothing is sent but
//! what opens and closes a connection. Does not own where to: that a rule allows each of them.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const AT_ONCE: usize = 4;
const SPACING: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);
/// Who speaks first does it soon.
const BANNER_WAIT: Duration = Duration::from_millis(300);
const BANNER_MAX: usize = 256;

/// Somebody listens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) at: SocketAddr,
    /// What it said first.
    pub(crate) banner: Vec<u8>,
}

/// When the next one may begin.
struct Pace {
    next: Instant,
}

impl Pace {
    /// How long to wait; the time after that is taken.
    fn take(&mut self, now: Instant) -> Duration {
        let begin = self.next.max(now);
        self.next = begin + SPACING;
        begin - now
    }
}

/// Connects to each of them; those that are open.
pub(crate) fn probe(targets: &[SocketAddr]) -> Vec<Open> {
    let work = Mutex::new((targets.iter(), Pace { next: Instant::now() }));
    let found = Mutex::new(Vec::new());
    let next = || {
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        let target = work.0.next()?;
        Some((*target, work.1.take(Instant::now())))
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(targets.len()) {
            scope.spawn(|| {
                while let Some((target, wait)) = next() {
                    std::thread::sleep(wait);
                    let open = connect(target);
                    found.lock().unwrap_or_else(PoisonError::into_inner).extend(open);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|open: &Open| open.at);
    found
}

fn connect(at: SocketAddr) -> Option<Open> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    let mut banner = vec![0; BANNER_MAX];
    let len = match stream.set_read_timeout(Some(BANNER_WAIT)) {
        Ok(()) => stream.read(&mut banner).unwrap_or(0),
        Err(_) => 0,
    };
    banner.truncate(len);
    Some(Open { at, banner })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn ten_in_a_second() {
        let now = Instant::now();
        let mut pace = Pace { next: now };
        let waits: Vec<Duration> = (0..4).map(|_| pace.take(now)).collect();
        let ms = Duration::from_millis;
        assert_eq!(waits, [ms(0), ms(100), ms(200), ms(300)]);
        // What was not used is not kept.
        assert_eq!(pace.take(now + ms(5000)), ms(0));
        assert_eq!(pace.take(now + ms(5000)), ms(100));
    }

    #[test]
    fn what_listens_and_what_it_says() {
        let (quiet, loud) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = [&quiet, &loud, &closed].map(|listener| listener.local_addr().unwrap());
        drop(closed);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = loud.accept().unwrap();
            stream.write_all(&[b"SSH-2.0-x\r\n".to_vec(), vec![b'y'; 4096]].concat()).unwrap();
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard);
            heard.len()
        });
        let found = probe(&at);
        let banner = |at| found.iter().find(|open| open.at == at).map(|open| open.banner.clone());
        assert_eq!(banner(at[0]), Some(vec![]));
        let said = banner(at[1]).unwrap();
        assert!(said.starts_with(b"SSH-2.0-x\r\n") && said.len() <= BANNER_MAX);
        assert_eq!(banner(at[2]), None);
        assert_eq!(server.join().unwrap(), 0);
        assert_eq!(probe(&[]), []);
    }
}
