//! Grants that come while connections are kept.
//!
//! Owns when the server is asked for them: every few minutes, and soon after a device let nobody
//! in. It is asked in a thread of its own, because the node must not wait for it. Does not own
//! which grant is the best (`share`), or what becomes of it (`live`).

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use rit_core::base::PublicKey;

use crate::App;
use crate::live::{Line, Live};
use crate::{chain, share};

/// How often at least.
const EVERY: Duration = Duration::from_secs(300);
/// How often at most.
const PAUSE: Duration = Duration::from_secs(5);

/// Of one round of questions.
enum Found {
    Grant(PublicKey, Vec<u8>),
    End,
}

/// Asks now and then.
pub(crate) struct Renewal {
    to_ask: Sender<Vec<PublicKey>>,
    found: Receiver<Found>,
    asked: Instant,
    is_asking: bool,
    is_due: bool,
}

impl Renewal {
    /// Begins with what was found at the start, just now.
    pub(crate) fn begin(app: &App) -> Renewal {
        let (to_ask, asked) = channel::<Vec<PublicKey>>();
        let (answer, found) = channel();
        let app = app.clone();
        // It ends with its channel, or with the process: nobody waits for it.
        std::thread::spawn(move || {
            for devices in asked {
                for device in devices {
                    if let Some(grant) = look(&app, &device) {
                        let _ = answer.send(Found::Grant(device, grant));
                    }
                }
                let _ = answer.send(Found::End);
            }
        });
        let asked = Instant::now();
        Renewal { to_ask, found, asked, is_asking: false, is_due: false }
    }

    /// Asks if it is time to, and hands on what was found.
    pub(crate) fn run(&mut self, live: &mut Live, lines: &[Line]) {
        self.is_due |= lines
            .iter()
            .any(|line| matches!(line, Line::SessionDown { .. } | Line::Unavailable { .. }));
        loop {
            match self.found.try_recv() {
                Ok(Found::Grant(device, grant)) => live.renew(&device, &grant),
                Ok(Found::End) => self.is_asking = false,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let since = self.asked.elapsed();
        if !self.is_asking && (since >= EVERY || (self.is_due && since >= PAUSE)) {
            self.asked = Instant::now();
            self.is_due = false;
            self.is_asking = self.to_ask.send(live.renewable()).is_ok();
        }
    }
}

/// A grant that is good now, kept for later. What is wrong is told by the device, not here.
fn look(app: &App, device: &PublicKey) -> Option<Vec<u8>> {
    let grant = share::received(app, device).ok()??;
    let me = app.state.identity().ok()?.public_key();
    chain::check(&grant, device, &me).ok()?;
    let _ = app.state.keep_chain(device, &grant);
    Some(grant)
}
