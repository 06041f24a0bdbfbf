//! Two instances of one broker on a real PostgreSQL, one of which dies; then the database does.

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use common::database::Database;
use common::fleet::{Fleet, Order, PATIENCE, Sessions};
use common::postgres::Postgres;
use common::{Server, codes_in};
use rit_core::node::Event;

const PRODUCT_KEY: &str = "rp-aaaaaaaabbbbbbbbccccccccdddddddd";
/// Nodes that come at the same time.
const AT_ONCE: usize = 500;
/// Sessions of a user with a device, most of them at different instances.
const SESSIONS: usize = 120;
/// One-time codes, each of which two nodes want.
const CODES: usize = 20;

/// Nodes of each instance; more or fewer with `RIT_TEST_NODES`.
fn nodes_each() -> usize {
    std::env::var("RIT_TEST_NODES").map_or(5000, |text| text.parse().unwrap())
}

struct World {
    postgres: Postgres,
    url: String,
    dir: tempfile::TempDir,
    fleet: Fleet,
    sessions: Sessions,
    /// Nodes whose enrolment was acknowledged.
    enrolled: HashSet<usize>,
    online: HashSet<usize>,
    /// Came online since this was cleared.
    returned: HashSet<usize>,
}

fn start(dir: &Path, name: &str, url: &str) -> Server {
    let shared = |file: &str| dir.join("a").join(file).display().to_string();
    let file = dir.join("database");
    std::fs::write(&file, url).unwrap();
    let (identity, secret) = (shared("identity"), shared("relay-secret"));
    let database = file.display().to_string();
    let mut options = vec!["--listen", "127.0.0.1:0", "--log", "warn", "--role", "broker"];
    options.extend(["--second-port", "0", "--longest-silence", "20"]);
    options.extend(["--database-file", &database]);
    if name != "a" {
        options.extend(["--identity", &identity, "--relay-secret", &secret]);
    }
    Server::start_with(&dir.join(name), &options)
}

fn address(server: &Server) -> SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, server.uri.port).into()
}

impl World {
    /// Takes what happens until `is_done`.
    async fn until(&mut self, is_done: impl Fn(&World) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !is_done(self) {
            assert!(
                Instant::now() < give_up,
                "{} online, {} enrolled, {} sessions, {} failed",
                self.online.len(),
                self.enrolled.len(),
                self.sessions.up.len(),
                self.sessions.failed.len()
            );
            let mut next = Some(self.fleet.next().await);
            while let Some((node, event)) = next {
                self.take(node, &event);
                next = self.fleet.try_next();
            }
        }
    }

    fn take(&mut self, node: usize, event: &Event) {
        self.sessions.on_event(node, event);
        match event {
            Event::Enrolled => {
                self.enrolled.insert(node);
            }
            Event::BrokerOnline => {
                self.online.insert(node);
                self.returned.insert(node);
            }
            Event::BrokerOffline(_) => {
                self.online.remove(&node);
            }
            _ => {}
        }
        // A session that could not be opened is asked for again, as a person would.
        for user in std::mem::take(&mut self.sessions.failed) {
            self.open(user);
        }
    }

    async fn enrol(&mut self, count: usize) {
        let end = self.fleet.keys.len() + count;
        while self.fleet.keys.len() < end {
            let start = self.fleet.keys.len();
            let some = AT_ONCE.min(end - start);
            self.fleet.grow(some).await;
            for node in start..start + some {
                self.fleet.order(node, Order::Connect(Some(PRODUCT_KEY.to_owned())));
            }
            let wanted = self.online.len() + some;
            self.until(|world| world.online.len() >= wanted).await;
        }
    }

    /// The user asks for the device that is its: the next but one, at another instance as a rule.
    fn open(&mut self, user: usize) {
        let device = user + 1;
        self.fleet.order(device, Order::Allow(self.fleet.keys[user]));
        self.fleet.order(user, Order::Open(self.fleet.keys[device]));
    }

    /// Two nodes for each code, at different instances.
    async fn contend(&mut self) -> std::ops::Range<usize> {
        let codes = codes_in(&self.dir.path().join("a"), &self.url, CODES);
        let start = self.fleet.keys.len();
        self.fleet.grow(2 * CODES).await;
        for (at, node) in (start..start + 2 * CODES).enumerate() {
            self.fleet.order(node, Order::Connect(Some(codes[at / 2].clone())));
        }
        start..start + 2 * CODES
    }

    /// What must be true of the rows.
    async fn check(&self, contenders: &[std::ops::Range<usize>]) {
        let mut database = Database::postgres(&self.url).await;
        let enrolled = self.enrolled.len() as i64;
        let nodes = database.number("SELECT COUNT(*) FROM node").await;
        assert!(nodes >= enrolled, "{nodes} rows, {enrolled} acknowledged");
        let used =
            database.number("SELECT COUNT(*) FROM enrol_code WHERE used_by IS NOT NULL").await;
        let of_one = "SELECT COUNT(*) FROM node WHERE profile IS NULL";
        assert_eq!(used, database.number(of_one).await, "each code let in one node");
        let acknowledged = contenders.iter().cloned().flatten();
        let acknowledged = acknowledged.filter(|node| self.enrolled.contains(node)).count() as i64;
        assert!(acknowledged <= used, "{acknowledged} nodes by {used} codes");
        let contacts = "SELECT COUNT(*) - COUNT(DISTINCT contact) FROM session";
        assert_eq!(database.number(contacts).await, 0);
        assert_eq!(self.sessions.lost, [], "sessions between live ends");
        database.close().await;
    }
}

#[tokio::test]
async fn an_instance_dies_and_then_the_database() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.fresh_url();
    let dir = tempfile::tempdir().unwrap();
    let a = start(dir.path(), "a", &url);
    let b = start(dir.path(), "b", &url);
    assert_eq!(a.uri.key, b.uri.key);
    let each = nodes_each();
    let mut database = Database::postgres(&url).await;
    database.add_profile("node", PRODUCT_KEY, 10 * each).await;
    // Odd numbers of nodes on a socket, so that neighbours are at different instances.
    let fleet = Fleet::new(a.uri.key, 5);
    fleet.network.set(&[address(&a), address(&b)]);
    let mut world = World {
        postgres,
        url,
        dir,
        fleet,
        sessions: Sessions::default(),
        enrolled: HashSet::new(),
        online: HashSet::new(),
        returned: HashSet::new(),
    };
    let began = Instant::now();
    world.enrol(2 * each).await;
    println!("{} nodes enrolled in {:?}", 2 * each, began.elapsed());

    // Between two instances.
    let users: Vec<usize> = (0..SESSIONS).map(|at| at * 4).collect();
    users[..SESSIONS / 3].iter().for_each(|user| world.open(*user));
    world.until(|world| world.sessions.up.len() >= SESSIONS / 3).await;

    // One dies while sessions are opened and nodes enrolled.
    users[SESSIONS / 3..2 * SESSIONS / 3].iter().for_each(|user| world.open(*user));
    let first = world.contend().await;
    world.returned.clear();
    drop(a);
    let began = Instant::now();
    world.fleet.network.set(&[address(&b)]);
    let nodes = 2 * each;
    let is_back = |world: &World| {
        world.returned.iter().filter(|node| **node < nodes && **node % 2 == 0).count() == nodes / 2
            && world.sessions.up.len() >= 2 * SESSIONS / 3
    };
    world.until(is_back).await;
    println!("all nodes were back after {:?}", began.elapsed());
    world.check(std::slice::from_ref(&first)).await;

    // The database restarts while sessions are opened and nodes enrolled.
    let a = start(world.dir.path(), "a", &world.url);
    database.close().await;
    users[2 * SESSIONS / 3..].iter().for_each(|user| world.open(*user));
    let second = world.contend().await;
    world.postgres.kill();
    world.postgres.run();
    world.fleet.network.set(&[address(&b), address(&a)]);
    world.enrol(100).await;
    world.until(|world| world.sessions.up.len() >= SESSIONS).await;
    world.until(|world| (0..nodes).all(|node| world.online.contains(&node))).await;
    world.check(&[first, second]).await;
    assert_eq!((a.stop("TERM"), b.stop("TERM")), (Some(0), Some(0)));
    let mut database = Database::postgres(&world.url).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM node WHERE is_online = 1").await, 0);
    assert_eq!(database.number("SELECT COUNT(*) FROM instance").await, 0);
}
