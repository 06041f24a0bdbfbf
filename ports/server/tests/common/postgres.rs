//! A real PostgreSQL server for tests: in a temporary folder, at a socket in it, as a user who may
//! do nothing else if the tests run as root. It ends with the test process, whatever happens.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Who runs it instead of root; PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// A running server; stopped when dropped.
pub(crate) struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
    child: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts one. `None`, with the reason told, where PostgreSQL is not installed; with
    /// `RIT_TEST_POSTGRES=required` in the environment that is a failure.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = find_bin() else {
            let required = std::env::var("RIT_TEST_POSTGRES").is_ok_and(|it| it == "required");
            assert!(!required, "PostgreSQL is not installed");
            // Past the test harness, which keeps what a good test says.
            let _ = writeln!(std::io::stderr(), "skipped: PostgreSQL is not installed");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
        if is_root() {
            std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut server = Postgres { bin, dir, child: None, databases: AtomicU32::new(0) };
        let mut initdb = server.command("initdb");
        initdb.args(["-U", "rit", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        let done = initdb.arg(server.home().join("data")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        server.run();
        Some(server)
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Starts it on its files, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.home().join("data")).arg("-k").arg(self.home());
        // No TCP. What is committed must outlive the server, not the machine.
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"]);
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        guard(child.id());
        self.child = Some(child);
        loop {
            let mut ready = self.command("pg_isready");
            ready.arg("-h").arg(self.home()).stdout(Stdio::null());
            if ready.status().unwrap().success() {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            let log = || std::fs::read_to_string(self.dir.path().join("log"));
            assert!(ended.is_none(), "{}", log().unwrap_or_default());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Stops it; "fast": at once, with what is committed kept.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("INT", child.id());
            child.wait().unwrap();
        }
    }

    /// As a machine does that loses power.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("QUIT", child.id());
            child.wait().unwrap();
        }
    }

    /// The address of a fresh, empty database.
    pub(crate) fn fresh_url(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut createdb = self.command("createdb");
        createdb.arg("-h").arg(self.home()).args(["-U", "rit", &name]);
        let done = createdb.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let home = self.home().display().to_string().replace('/', "%2F");
        format!("postgres://rit@{home}/{name}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn signal(signal: &str, pid: u32) {
    let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
}

/// Ends `pid` when this process is gone, which a static's destructor would not: a shell waits for
/// the end of a pipe that this process holds open until then.
fn guard(pid: u32) {
    let script = format!("read nothing; kill -s QUIT {pid} 2>/dev/null");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null());
    let child = command.stderr(Stdio::null()).process_group(0).spawn().unwrap();
    std::mem::forget(child);
}

/// Where the programs of PostgreSQL are: Debian does not put them on the path.
fn find_bin() -> Option<PathBuf> {
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let mut places: Vec<PathBuf> = asked.into_iter().map(PathBuf::from).collect();
    if let Ok(versions) = std::fs::read_dir(Path::new("/usr/lib/postgresql")) {
        let mut found: Vec<PathBuf> = versions.flatten().map(|it| it.path().join("bin")).collect();
        found.sort();
        places.extend(found.into_iter().rev());
    }
    places.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}
