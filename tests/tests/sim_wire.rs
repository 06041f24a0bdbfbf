//! Scenario: nothing that matters can be read off the wire, broker links included.
//!
//! Every datagram of enrolment, introduction and a session is searched for keys, names, codes and
//! plaintext, raw and as text.

use rit_core::wire::text::key_to_text;
use rit_tests::sim::app::PLAINTEXT_MARKER;
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{DEVICE_CODE, SERVICE, Trio, USER_CODE};
use rit_tests::vectors::hex;
use std::time::Duration;

#[test]
fn captures_hold_no_key_name_code_or_plaintext() {
    let mut trio = Trio::new(1, LinkConfig::clean(Duration::from_millis(20)));
    trio.world.capture = Some(Vec::new());
    trio.online();
    let session = trio.session();
    trio.open_flow(session, 1, 100_000, 100_000);
    assert!(trio.run_until_idle(Duration::from_secs(30)));
    let closed = trio.world.with(trio.user, |node, _, now| node.session_close(session, 0, now));
    closed.expect("it is open");
    trio.world.run_for(Duration::from_secs(5));

    let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
    for host in [trio.broker, trio.device, trio.user] {
        let key = trio.world.key(host);
        for (what, bytes) in [
            ("key", key.0.to_vec()),
            ("first half of a key", key.0[..16].to_vec()),
            ("key as text", key_to_text(&key).into_bytes()),
            ("key in hexadecimal", hex(&key.0).into_bytes()),
        ] {
            secrets.push((format!("{what} of host {}", host.0), bytes));
        }
    }
    for text in [SERVICE, DEVICE_CODE, USER_CODE] {
        secrets.push((text.to_owned(), text.as_bytes().to_vec()));
    }
    secrets.push(("plaintext".to_owned(), PLAINTEXT_MARKER.to_vec()));

    let capture = trio.world.capture.take().expect("captures");
    let bytes: usize = capture.iter().map(|(_, datagram)| datagram.bytes.len()).sum();
    assert!(bytes > 200_000, "only {bytes} bytes captured");
    for (what, secret) in &secrets {
        let found = capture.iter().position(|(_, datagram)| {
            datagram.bytes.windows(secret.len()).any(|window| window == secret)
        });
        assert_eq!(found, None, "{what} is on the wire");
    }
}

#[test]
fn datagrams_of_two_sessions_share_nothing_but_the_version() {
    // The same hosts, twice: connection IDs and everything behind them differ.
    let capture = |seed| {
        let mut trio = Trio::new(seed, LinkConfig::clean(Duration::from_millis(20)));
        trio.world.capture = Some(Vec::new());
        trio.online();
        trio.session();
        trio.world.capture.take().expect("captures")
    };
    let (one, two) = (capture(1), capture(2));
    let windows = |capture: &[(_, rit_tests::sim::net::Datagram)]| {
        let all = capture.iter().flat_map(|(_, d)| d.bytes.windows(8).map(<[u8]>::to_vec));
        all.collect::<std::collections::BTreeSet<_>>()
    };
    let common: Vec<_> = windows(&one).intersection(&windows(&two)).cloned().collect();
    assert!(
        common.is_empty(),
        "common to both: {:?}",
        common.iter().map(|w| hex(w)).collect::<Vec<_>>()
    );
}
