//! Many nodes against one server process.

mod common;

use common::Server;
use common::database::Database;
use common::fleet::{Fleet, Order};
use rit_core::node::{Event, Reason};

/// Devices of one profile.
const DEVICES: usize = 10_000;
/// Those that come at the same time; the kernel's receive buffer bears so many first packets.
const AT_ONCE: usize = 500;

#[tokio::test]
async fn ten_thousand_devices_enrol_themselves_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--listen", "127.0.0.1:0", "--log", "warn"];
    let server = Server::start_with(dir.path(), &options);
    let mut database = Database::sqlite(dir.path()).await;
    let key = "rp-aaaaaaaabbbbbbbbccccccccdddddddd";
    database.add_profile("meter", key, DEVICES).await;
    let mut fleet = Fleet::new(server.uri.key, 8);
    fleet.network.set(&[(std::net::Ipv4Addr::LOCALHOST, server.uri.port).into()]);
    let began = std::time::Instant::now();
    // At the limit.
    for start in (0..DEVICES).step_by(AT_ONCE) {
        fleet.grow(AT_ONCE).await;
        let some = start..start + AT_ONCE;
        some.clone().for_each(|node| fleet.order(node, Order::Connect(Some(key.to_owned()))));
        fleet.until_all(some, |event| *event == Event::BrokerOnline).await;
    }
    println!("{DEVICES} devices enrolled in {:?}", began.elapsed());
    // Over it.
    fleet.grow(20).await;
    let over = DEVICES..DEVICES + 20;
    over.clone().for_each(|node| fleet.order(node, Order::Connect(Some(key.to_owned()))));
    let refused = Event::EnrolRefused(Reason::BadCode);
    fleet.until_all(over, |event| *event == refused).await;
    let of_profile = "SELECT COUNT(*) FROM node WHERE profile = 1 AND tags = '[\"bulk\"]'";
    assert_eq!(database.number(of_profile).await, DEVICES as i64);
    assert_eq!(database.number("SELECT COUNT(DISTINCT name) FROM node").await, DEVICES as i64);
    assert_eq!(database.number("SELECT used FROM profile").await, DEVICES as i64);
    database.close().await;
    assert_eq!(server.stop("TERM"), Some(0));
    let mut database = Database::sqlite(dir.path()).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM node").await, DEVICES as i64);
    let enrolled = "SELECT COUNT(*) FROM event WHERE kind = 'node.enrolled'";
    assert_eq!(database.number(enrolled).await, DEVICES as i64);
    assert_eq!(database.number("SELECT SUM(is_online) FROM node").await, 0, "all were told");
}
