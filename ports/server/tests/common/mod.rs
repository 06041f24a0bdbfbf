//! A server process that does not outlive its test.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod database;
pub(crate) mod fleet;
pub(crate) mod postgres;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rit_core::wire::text::Uri;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_rit-server");

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) state: String,
    pub(crate) uri: Uri,
    pub(crate) code: String,
}

impl Server {
    pub(crate) fn start(state: &Path, listen: &str) -> Self {
        Server::start_with(state, &["--listen", listen])
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start_with(state: &Path, options: &[&str]) -> Self {
        let is_quiet = options.contains(&"--log");
        let mut child = Command::new(PROGRAM)
            .arg("--state")
            .arg(state)
            .args(if is_quiet { &[][..] } else { &["--log", "debug"] })
            .args(options)
            .stdout(Stdio::piped())
            // A pipe that nobody reads would fill.
            .stderr(if is_quiet { Stdio::inherit() } else { Stdio::piped() })
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |word: &str| {
            let line = lines.next().expect("the server ended").unwrap();
            line.strip_prefix(word).unwrap_or_else(|| panic!("{line}")).trim().to_owned()
        };
        let (uri, code) = (next("address"), next("enrol-code"));
        next("ready");
        let state = state.to_str().unwrap().to_owned();
        Server { child, state, uri: uri.parse().unwrap(), code }
    }

    /// Sends a signal and returns the exit code.
    pub(crate) fn stop(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.child.wait().unwrap().code()
    }

    /// Stops it and returns what it logged.
    pub(crate) fn stop_and_log(mut self) -> String {
        self.signal("TERM");
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Codes made by `rit-server code`.
pub(crate) fn codes(state: &Path, options: &[&str]) -> Vec<String> {
    let made = Command::new(PROGRAM).args(["code", "--state"]).arg(state).args(options).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let lines = String::from_utf8(made.stdout).unwrap();
    lines.lines().map(|line| line.strip_prefix("enrol-code ").unwrap().to_owned()).collect()
}

/// Codes of a server whose database is PostgreSQL.
pub(crate) fn codes_in(state: &Path, database: &str, count: usize) -> Vec<String> {
    let mut command = Command::new(PROGRAM);
    command.args(["code", "--log", "warn", "--count", &count.to_string(), "--state"]).arg(state);
    let made = command.env("RIT_DATABASE", database).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let lines = String::from_utf8(made.stdout).unwrap();
    lines.lines().map(|line| line.strip_prefix("enrol-code ").unwrap().to_owned()).collect()
}

/// What the program says when it cannot start.
pub(crate) fn failure(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty(), "nothing but the error");
    String::from_utf8(output.stderr).unwrap()
}
