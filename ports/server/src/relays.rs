//! Which relays a broker tells its nodes of, and where this machine is reached.
//!
//! Owns the words of the command line for them, and their resolution. Names are resolved once, at
//! the start.

use std::net::{SocketAddr, ToSocketAddrs};

use rit_core::base::Path;
use rit_core::broker::RelayService;
use rit_core::crypto::Secret;
use rit_core::wire::message::{RELAY_PATHS_MAX, RELAYS_MAX};
use rit_core::wire::text;

use crate::error::Error;
use crate::tls::DEFAULT_PORT;

/// What a session may use of a relay: no limit; a relay bears what its machine bears.
const RATE: u8 = 0;

/// All relays: this process, if it is one, and those of `--relay`.
pub(crate) fn all(
    own: Option<Vec<Path>>,
    own_tls: Option<u16>,
    others: &[String],
    secret: &Secret,
) -> Result<Vec<RelayService>, Error> {
    let own = own.map(|paths| with_tls(paths, own_tls));
    let service = |paths| RelayService { paths, secret: secret.clone(), rate: RATE };
    let mut relays: Vec<RelayService> = own.into_iter().map(service).collect();
    for relay in others {
        let failed = |reason: String| Error::Relay { relay: relay.clone(), reason };
        let (host, port) = text::split_port(relay).map_err(|error| failed(error.to_string()))?;
        let port = port.map_or(Ok(text::DEFAULT_PORT), text::parse_port);
        let port = port.map_err(|error| failed(error.to_string()))?;
        let paths = paths(host, port).map_err(|error| failed(error.to_string()))?;
        // Whether it listens there it alone knows; who finds nobody has lost nothing.
        relays.push(service(with_tls(paths, Some(DEFAULT_PORT))));
        if relays.len() > RELAYS_MAX {
            return Err(failed(format!("nodes are told of {RELAYS_MAX} relays at most")));
        }
    }
    Ok(relays)
}

/// The same addresses by TCP too.
fn with_tls(mut paths: Vec<Path>, port: Option<u16>) -> Vec<Path> {
    let tls = |path: &Path| port.map(|port| Path { port, socket: Path::TLS, ..*path });
    let more: Vec<Path> = paths.iter().filter_map(tls).collect();
    paths.extend(more);
    paths
}

/// Where a name or address leads, the first few.
pub(crate) fn paths(host: &str, port: u16) -> std::io::Result<Vec<Path>> {
    let mut paths: Vec<Path> = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        let path = Path::from(SocketAddr::new(address.ip(), port));
        if !paths.contains(&path) && paths.len() < RELAY_PATHS_MAX {
            paths.push(path);
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_found_and_limited() {
        let secret = Secret::new([1; 32]);
        let own = || Some(vec![Path::v4([192, 0, 2, 9], 7480)]);
        let of = |own, relays: &[&str]| {
            let relays: Vec<String> = relays.iter().map(|text| (*text).to_owned()).collect();
            all(own, None, &relays, &secret).map(|relays| {
                relays.iter().map(|relay| relay.paths[0].socket_addr().to_string()).collect()
            })
        };
        let found: Vec<String> = of(own(), &["127.0.0.1:99", "[::1]:98", "127.0.0.2"]).unwrap();
        assert_eq!(found, ["192.0.2.9:7480", "127.0.0.1:99", "[::1]:98", "127.0.0.2:7480"]);
        let tls = all(own(), Some(444), &["127.0.0.1:99".to_owned()], &secret).unwrap();
        let ports = |at: usize| tls[at].paths.iter().map(|path| (path.port, path.socket)).collect();
        let [first, second]: [Vec<(u16, u16)>; 2] = [0, 1].map(ports);
        assert_eq!(first, [(7480, 0), (444, Path::TLS)]);
        assert_eq!(second, [(99, 0), (443, Path::TLS)]);
        assert_eq!(of(None, &["127.0.0.1:99"; 4]).unwrap().len(), 4);
        assert!(of(own(), &["127.0.0.1:99"; 4]).is_err());
        for bad in ["", "host:0", "a b", "127.0.0.1:x"] {
            assert!(of(None, &[bad]).is_err(), "{bad}");
        }
    }
}
