//! Fuzz body over the relay: datagrams of strangers and of ends with good tokens, in any order.
//!
//! Checked: no panic, limits hold, timers do not stand still, nothing goes to an address that sent
//! nothing, and to one that echoed no cookie at most three times what came from it.

use rit_core::base::{Path, Rng, Side, Time};
use rit_core::crypto::{self, Secret};
use rit_core::relay::{Limits, Relay, TRANSMIT_LEN_MAX};
use rit_core::trust::{issue_relay_token, relay_end_key, sign_bind};
use rit_core::wire::codec::{Reader, Writer};
use rit_core::wire::relay::{
    BIND_OVERHEAD, Bind, ChannelId, Claims, RelayDatagram, write_bind, write_data,
};
use std::collections::BTreeMap;
use std::time::Duration;

const WALL: u64 = 1_750_000_000;
const CHANNELS_MAX: usize = 4;
const KEPT_MAX: usize = 2;

#[derive(Default)]
struct Account {
    received: usize,
    sent: usize,
    is_proven: bool,
    cookies: Vec<[u8; 8]>,
}

struct Driver {
    relay: Relay,
    accounts: BTreeMap<Path, Account>,
    sequence: u64,
    now: Time,
}

/// Datagrams to a relay.
pub fn relay(data: &[u8]) {
    let limits = Limits { channels: CHANNELS_MAX, channels_per_node: 3, kept: KEPT_MAX };
    let (provider, rng) = (crypto::default_provider(), Rng::from_seed([1; 32]));
    let now = Time::from_micros(1_000_000);
    let relay = Relay::new(provider, secret(), limits, rng, WALL, now);
    let mut driver = Driver { relay, accounts: BTreeMap::new(), sequence: 0, now };
    let mut r = Reader::new(data);
    while driver.run(&mut r).is_some() {}
    driver.now = driver.now + Duration::from_secs(60);
    driver.relay.handle_timeout(driver.now);
    let stats = driver.relay.stats();
    assert_eq!((stats.channels, stats.kept), (0, 0), "it comes to rest");
    assert_eq!(driver.relay.poll_timeout(), None);
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

impl Driver {
    fn run(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let (op, which) = (r.u8().ok()?, r.u8().ok()?);
        let from = Path::v4([10, 0, 0, which >> 6], 1000);
        let side = if which & 1 == 0 { Side::Initiator } else { Side::Responder };
        let channel = ChannelId([which >> 1 & 7; 8]);
        let mut datagram = match op % 4 {
            0 => {
                let len = usize::from(r.u8().ok()?).min(r.remaining());
                r.bytes(len).ok()?.to_vec()
            }
            1 => self.bind(from, side, channel, r)?,
            2 => {
                let mut bytes = vec![0; 9 + usize::from(r.u16().ok()?) % 1600];
                write_data(&mut Writer::new(&mut bytes), side, channel).ok()?;
                bytes
            }
            _ => {
                self.now = self.now + Duration::from_millis(u64::from(r.u16().ok()?));
                self.relay.handle_timeout(self.now);
                assert!(self.relay.poll_timeout().is_none_or(|at| at > self.now));
                return Some(());
            }
        };
        let account = self.accounts.entry(from).or_default();
        account.received += datagram.len();
        if let Ok(RelayDatagram::Bind { bind, .. }) = RelayDatagram::parse(&datagram) {
            account.is_proven |= account.cookies.contains(&bind.cookie);
        }
        // Above, the operation leaves bits that say whether it came with others.
        if op >> 2 & 3 != 3 {
            let forward = self.relay.handle_datagram(from, &mut datagram, self.now);
            self.check(forward.map(|forward| (forward.to, forward.range.len())));
            return Some(());
        }
        let size = datagram.len();
        account.received += 3 * size;
        let mut together = datagram.repeat(4);
        together.truncate((4 * size).saturating_sub(usize::from(op >> 4)));
        account.received -= 4 * size - together.len();
        let mut rest = &mut together[..];
        while !rest.is_empty() {
            let (taken, forward) = self.relay.handle_datagrams(from, rest, size, self.now);
            assert!(taken > 0 && taken <= rest.len(), "each is taken");
            assert!(forward.as_ref().is_none_or(|forward| forward.range.end <= taken));
            self.check(forward.map(|forward| (forward.to, forward.range.len())));
            rest = &mut rest[taken..];
        }
        Some(())
    }

    /// A bind with a good token; what else is good about it, the script says.
    fn bind(
        &mut self,
        from: Path,
        side: Side,
        channel: ChannelId,
        r: &mut Reader<'_>,
    ) -> Option<Vec<u8>> {
        let (how, len) = (r.u8().ok()?, usize::from(r.u16().ok()?) % 1600);
        let expires_min = (WALL / 60) as u32 + u32::from(how >> 6);
        let node = [channel.0[0] & 3; 8];
        let claims = Claims { channel, side, rate: how & 15, expires_min, node };
        let provider = crypto::default_provider();
        let token = issue_relay_token(provider, &secret(), &claims);
        self.sequence += 1;
        let sequence = if how & 16 == 0 { self.sequence } else { 1 };
        let known = self.accounts.get(&from).and_then(|account| account.cookies.last());
        let cookie = known.copied().filter(|_| how & 32 == 0).unwrap_or_default();
        let mut bytes = vec![0; BIND_OVERHEAD + len];
        write_bind(&mut Writer::new(&mut bytes), &Bind { token, sequence, cookie }, side).ok()?;
        sign_bind(provider, &relay_end_key(provider, &secret(), &token), &mut bytes);
        Some(bytes)
    }

    fn check(&mut self, forward: Option<(Path, usize)>) {
        let mut sent: Vec<(Path, usize)> = forward.into_iter().collect();
        let mut buf = [0; TRANSMIT_LEN_MAX];
        while let Some(transmit) = self.relay.poll_transmit(&mut buf) {
            sent.push((transmit.path, transmit.len));
            if let Ok(RelayDatagram::Bound(bound)) = RelayDatagram::parse(&buf[..transmit.len]) {
                assert_eq!(bound.observed, transmit.path);
                self.accounts.entry(transmit.path).or_default().cookies.push(bound.cookie);
            }
            assert!(sent.len() <= 3, "more than an answer, what was kept, and what is passed on");
        }
        for (to, len) in sent {
            let account = self.accounts.entry(to).or_default();
            account.sent += len;
            let (sent, received) = (account.sent, account.received);
            assert!(account.is_proven || sent <= 3 * received, "{sent} for {received}");
        }
        let stats = self.relay.stats();
        assert!(stats.channels <= CHANNELS_MAX && stats.kept <= KEPT_MAX, "{stats:?}");
    }
}
