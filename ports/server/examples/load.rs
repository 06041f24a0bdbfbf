//! Measures what very many nodes cost a broker: memory while they are idle, and processor time when
//! all of them come back, many at once.
//!
//! `sh tests/bench.sh broker` runs it. It starts the `rit-server` beside it on SQLite in a
//! temporary folder; the nodes are of the real core, in this process, and share the machine with
//! the server.

#[path = "../tests/common/database.rs"]
mod database;
#[path = "../tests/common/fleet.rs"]
mod fleet;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rit_core::node::Event;
use rit_core::wire::text::Uri;

use database::Database;
use fleet::{Fleet, Order};

const PRODUCT_KEY: &str = "rp-aaaaaaaabbbbbbbbccccccccdddddddd";
/// Ticks of /proc/PID/stat in a second.
const TICKS: f64 = 100.0;

#[derive(Parser)]
struct Args {
    /// How many nodes.
    #[arg(long, default_value_t = 100_000)]
    nodes: usize,
    /// How many nodes come at once, each the next when it is in.
    #[arg(long, default_value_t = 500)]
    at_once: usize,
    /// Seconds to watch them doing nothing.
    #[arg(long, default_value_t = 60)]
    idle_s: u64,
    /// How many nodes share a socket.
    #[arg(long, default_value_t = 10)]
    per_socket: usize,
}

struct Server {
    child: Child,
    uri: Uri,
}

impl Server {
    fn start(state: &std::path::Path) -> Self {
        let program = std::env::current_exe().unwrap();
        let program: PathBuf = program.parent().unwrap().parent().unwrap().join("rit-server");
        let mut child = Command::new(&program)
            .args(["--log", "warn", "--listen", "127.0.0.1:0", "--second-port", "0"])
            .args(["--role", "broker", "--state"])
            .arg(state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap().unwrap();
        let uri = address.strip_prefix("address ").unwrap().parse().unwrap();
        lines
            .by_ref()
            .find(|line| line.as_ref().is_ok_and(|line| line == "ready"))
            .unwrap()
            .unwrap();
        Server { child, uri }
    }

    /// Resident bytes, in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
    }

    /// Seconds of processor time so far, of the server and of this program.
    fn processor(&self) -> [f64; 2] {
        [self.child.id(), std::process::id()].map(processor_of)
    }
}

fn processor_of(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let rest = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    ticks / TICKS
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All nodes connect, `at_once` of them at any time. Without a code, each loses its state before it
/// does, and until then is idle.
async fn connect_all(fleet: &mut Fleet, count: usize, at_once: usize, code: Option<&str>) {
    let (mut begun, mut done) = (0, 0);
    while done < count {
        while begun < count && begun - done < at_once {
            if code.is_none() {
                fleet.order(begun, Order::Restart);
            }
            fleet.order(begun, Order::Connect(code.map(str::to_owned)));
            begun += 1;
        }
        let (_, event) = fleet.next().await;
        done += usize::from(event == Event::BrokerOnline);
        assert!(!matches!(event, Event::EnrolRefused(_)), "{event:?}");
    }
}

fn told(what: &str, server: &Server, count: usize, before: (Instant, [f64; 2])) {
    let elapsed = before.0.elapsed().as_secs_f64();
    let now = server.processor();
    let [processor, own] = [0, 1].map(|at| now[at] - before.1[at]);
    println!(
        "{what}: {count} in {elapsed:.1} s ({:.0}/s); server: {processor:.1} s of processor time \
         ({:.0} µs each, {:.0}/s on one core), {:.0} MiB resident; the nodes: {:.0} µs each",
        count as f64 / elapsed,
        processor * 1e6 / count as f64,
        count as f64 / processor.max(0.01),
        server.memory(),
        own * 1e6 / count as f64,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Args { nodes, at_once, idle_s, per_socket } = Args::parse();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut database = Database::sqlite(dir.path()).await;
    database.add_profile("load", PRODUCT_KEY, nodes).await;
    let mut fleet = Fleet::new(server.uri.key, per_socket);
    fleet.network.set(&[SocketAddr::from((Ipv4Addr::LOCALHOST, server.uri.port))]);
    let empty = server.memory();
    println!("empty: {empty:.0} MiB resident");
    fleet.grow(nodes).await;
    let mark = |server: &Server| (Instant::now(), server.processor());

    let before = mark(&server);
    connect_all(&mut fleet, nodes, at_once, Some(PRODUCT_KEY)).await;
    told("enrolled", &server, nodes, before);

    let before = mark(&server);
    tokio::time::sleep(Duration::from_secs(idle_s)).await;
    let used = server.processor()[0] - before.1[0];
    println!(
        "idle: {idle_s} s; server: {:.1} % of one core, {:.0} MiB resident, {:.0} bytes a node",
        used * 100.0 / idle_s.max(1) as f64,
        server.memory(),
        (server.memory() - empty) * 1024.0 * 1024.0 / nodes as f64
    );

    while fleet.try_next().is_some() {}
    let before = mark(&server);
    connect_all(&mut fleet, nodes, at_once, None).await;
    told("reconnected", &server, nodes, before);
    database.close().await;
}
