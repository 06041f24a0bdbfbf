//! A server that is the gateway of its LAN: broker and relay there, found by those who were told of
//! its key, and in need of nothing outside of the LAN at any time.
//!
//! Owns the options, the thread for what is said there, and at which addresses members are served.
//! Does not own broker and relay, which are those of any server (`serve`).

mod lines;
mod records;
mod responder;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use rit_core::base::{Path, PublicKey};
use rit_core::wire::message::RELAY_PATHS_MAX;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::lines::{Lines, Link, Listening};
use crate::error::Error;
use crate::thread::Thread;

pub(crate) use self::records::SERVICE;

/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "The gateway of a LAN")]
pub(crate) struct LanArgs {
    /// Be the gateway of the LAN: broker and relay for its nodes when their own broker cannot be
    /// reached. Says by multicast DNS at all interfaces that have an address of --listen that it is
    /// there. See also `members`.
    #[arg(long, conflicts_with = "role")]
    pub(crate) lan: bool,
    /// Do not say so: members know the address.
    #[arg(long, requires = "lan")]
    pub(crate) no_announce: bool,
}

/// The thread, until this is dropped.
pub(crate) struct Lan {
    listening: Listening,
    is_silent: bool,
    addresses: Vec<IpAddr>,
    news: mpsc::UnboundedReceiver<Vec<IpAddr>>,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
    _thread: Thread,
}

impl Lan {
    /// Starts what is said in the LAN of which this server is the gateway.
    pub(crate) fn start(
        args: LanArgs,
        key: PublicKey,
        addresses: Vec<IpAddr>,
        port: u16,
    ) -> Result<Lan, Error> {
        let listening = Listening { key, port, addresses };
        let thread = Thread::start("lan", 1)?;
        let (stop, stopped) = watch::channel(());
        let (sender, news) = mpsc::unbounded_channel();
        let (its, is_silent) = (listening.clone(), args.no_announce);
        let addresses = served(&lines::links(&listening));
        let task = thread.spawn(async move {
            let changed = move |links: &_| {
                let _ = sender.send(served(links));
            };
            Lines::new(its, is_silent).run(stopped, changed).await;
        });
        Ok(Lan { listening, is_silent, addresses, news, stop, task, _thread: thread })
    }

    /// Whether nothing is said.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// An address at which it is reached.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }

    /// Where members reach the relay, whichever of its networks they are on.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let path = |address: &IpAddr| Path::from(SocketAddr::new(*address, self.listening.port));
        self.addresses.iter().take(RELAY_PATHS_MAX).map(path).collect()
    }

    /// Waits until the addresses are others.
    pub(crate) async fn changed(&mut self) {
        loop {
            let Some(addresses) = self.news.recv().await else {
                return std::future::pending().await;
            };
            if addresses != self.addresses {
                self.addresses = addresses;
                return;
            }
        }
    }

    /// Tells the LAN that it is gone.
    pub(crate) async fn finish(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(GOODBYE, self.task).await;
    }
}

/// Addresses that the wire has a form for, those of IPv4 first: link-local ones need an interface.
fn served(links: &std::collections::BTreeMap<u32, Link>) -> Vec<IpAddr> {
    let is_plain = |address: &&IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let all = links.values().flat_map(|link| &link.served);
    let mut all: Vec<IpAddr> = all.filter(is_plain).copied().collect();
    all.sort_by_key(IpAddr::is_ipv6);
    all
}
