//! What the relay is measured beside (`sh tests/bench.sh relay`): the same sockets, received from
//! and sent to by the same calls, but nothing is decided: what comes from one end goes to the
//! other.
//!
//!     plain-forwarder LISTEN END END

#[allow(dead_code, reason = "the server's own code, of which this takes a part")]
#[path = "../src/sockets.rs"]
mod sockets;

use std::error::Error;
use std::net::SocketAddr;

use rit_core::base::Path;

use crate::sockets::{Received, Run, Sockets};

/// The errors that `sockets` has.
mod error {
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum Error {
        #[error("cannot listen on UDP {address}: {source}")]
        Listen { address: std::net::SocketAddr, source: std::io::Error },
        #[error("cannot start: {0}")]
        Start(String),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).map(|text| text.parse());
    let arguments = arguments.collect::<Result<Vec<SocketAddr>, _>>()?;
    let [listen, ends @ ..] = arguments.as_slice() else {
        return Err("usage: plain-forwarder LISTEN END END".into());
    };
    let [a, b] = <[SocketAddr; 2]>::try_from(ends)?.map(Path::from);
    let mut sockets = Sockets::bind(&[*listen], 0)?;
    println!("ready");
    let mut received = Received::new();
    loop {
        sockets.receive(&mut received).await;
        while let Some(Run { from, datagrams, size }) = received.next() {
            let to = if from.is_same_address(&a) { &b } else { &a };
            sockets.send_run(&Path { ifindex: from.ifindex, ..*to }, datagrams, size);
        }
    }
}
