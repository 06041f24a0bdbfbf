//! The socket by which a second `rit` asks the one that runs: the node has one process.
//!
//! Owns the socket, its requests and who may ask. One line of JSON asks; lines of [`Line`] answer,
//! for as long as whoever asked stays. Invariants: the folder is private, and each side asks the
//! kernel who the other is (`SO_PEERCRED`): the same user, or nobody. A client that does not read
//! is dropped; nothing here waits.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rit_core::crypto::default_provider;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::error::{self, Error};
use crate::files;
use crate::live::{Line, Live, Want};

const CLIENTS_MAX: usize = 64;
/// A request has a chain of grants for each device.
const REQUEST_MAX: usize = 256 << 10;

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Reach these, and tell how they go.
    Connect(Vec<Want>),
    /// Tell what holds now.
    Status,
    /// Reach a device no more, or a service of it.
    Disconnect { device: String, service: Option<String> },
}

/// Where the socket of this state folder is.
fn path(app: &App) -> Result<PathBuf, Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let Some(runtime) = runtime.filter(|dir| dir.is_absolute() && dir.is_dir()) else {
        return Ok(app.state.path("control"));
    };
    let node = app.state.node_dir();
    let node = fs::canonicalize(&node).map_err(|error| error::io("find", &node, &error))?;
    let hash = default_provider().sha256(&[node.as_os_str().as_encoded_bytes()]);
    let dir = runtime.join("rit");
    files::make_private(&dir)?;
    Ok(dir.join(data_encoding::HEXLOWER.encode(&hash[..8])))
}

/// Whether the other end is the same user.
fn is_own(stream: &UnixStream) -> bool {
    #[cfg(target_os = "linux")]
    let is_own = rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid == rustix::process::geteuid());
    // Elsewhere the folder's mode alone has to do.
    #[cfg(not(target_os = "linux"))]
    let is_own = stream.peer_addr().is_ok();
    is_own
}

struct Client {
    stream: UnixStream,
    asked: Vec<u8>,
    /// Devices whose lines it gets; none before it has asked.
    devices: Option<Vec<String>>,
}

/// The side of the process that has the node.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

impl Server {
    /// Listens. Only the holder of the node's lock calls this, so what is there is left over.
    pub(crate) fn open(app: &App) -> Result<Server, Error> {
        let path = path(app)?;
        let listen = || {
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener =
            listen().map_err(|error: io::Error| error::io("listen at", &path, &error))?;
        Ok(Server { listener, path, clients: Vec::new() })
    }

    /// Takes what is asked, and tells what happened.
    pub(crate) fn run(&mut self, live: &mut Live, lines: &[Line]) {
        while self.clients.len() < CLIENTS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if is_own(&stream) && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client { stream, asked: Vec::new(), devices: None });
            }
        }
        self.clients.retain_mut(|client| {
            let told = lines.iter().all(|line| !client.wants(line) || client.tell(line));
            told && client.run(live)
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    fn wants(&self, line: &Line) -> bool {
        let devices = self.devices.as_deref();
        devices.is_some_and(|own| line.device().is_none_or(|it| own.iter().any(|own| own == it)))
    }

    /// Whether it took the line.
    fn tell(&mut self, line: &Line) -> bool {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return false };
        bytes.push(b'\n');
        self.stream.write_all(&bytes).is_ok()
    }

    /// Reads, and answers a whole request. Whether it stays.
    fn run(&mut self, live: &mut Live) -> bool {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(len) => self.asked.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            if self.asked.len() > REQUEST_MAX {
                return false;
            }
        }
        let Some(end) = self.asked.iter().position(|byte| *byte == b'\n') else { return true };
        let asked: Vec<u8> = self.asked.drain(..=end).collect();
        match serde_json::from_slice(&asked) {
            Ok(Request::Connect(wants)) => self.connect(live, &wants),
            Ok(Request::Status) => {
                let lines = live.standing();
                lines.iter().all(|line| self.tell(line)) && self.tell(&Line::End)
            }
            Ok(Request::Disconnect { device, service }) => {
                let line = if live.leave(&device, service.as_deref()) {
                    Line::End
                } else {
                    Line::Failed { reason: "it is not reached".to_owned() }
                };
                self.tell(&line)
            }
            Err(_) => false,
        }
    }

    fn connect(&mut self, live: &mut Live, wants: &[Want]) -> bool {
        for want in wants {
            if let Err(error) = live.add(want) {
                self.tell(&Line::Failed { reason: error.to_string() });
                return false;
            }
        }
        self.devices = Some(wants.iter().map(|want| want.device.clone()).collect());
        let standing: Vec<Line> =
            live.standing().iter().filter(|line| self.wants(line)).cloned().collect();
        standing.iter().all(|line| self.tell(line))
    }
}

/// How a conversation with the process that runs ended.
pub(crate) enum Ended {
    /// There is nobody, or it went away.
    Gone,
    /// It was told all, or somebody interrupted.
    Done,
}

/// Has the process that runs reach these; tells how they go until `is_over`.
pub(crate) fn connect(
    app: &App,
    wants: &[Want],
    is_over: &AtomicBool,
    tell: impl FnMut(Line) -> Result<(), Error>,
) -> Result<Ended, Error> {
    talk(app, &Request::Connect(wants.to_vec()), is_over, tell)
}

/// What holds in the process that runs; `None`: none runs.
pub(crate) fn status(app: &App) -> Result<Option<Vec<Line>>, Error> {
    let mut lines = Vec::new();
    let ended = talk(app, &Request::Status, &AtomicBool::new(false), |line| {
        lines.push(line);
        Ok(())
    })?;
    Ok(matches!(ended, Ended::Done).then_some(lines))
}

/// Has the process that runs reach it no more.
pub(crate) fn disconnect(
    app: &App,
    device: String,
    service: Option<String>,
) -> Result<Ended, Error> {
    let request = Request::Disconnect { device, service };
    talk(app, &request, &AtomicBool::new(false), |_line| Ok(()))
}

fn talk(
    app: &App,
    request: &Request,
    is_over: &AtomicBool,
    mut tell: impl FnMut(Line) -> Result<(), Error>,
) -> Result<Ended, Error> {
    let path = path(app)?;
    let Ok(mut stream) = UnixStream::connect(&path) else { return Ok(Ended::Gone) };
    if !is_own(&stream) {
        return Err(Error::failed(format!("{} is another user's", path.display())));
    }
    let mut bytes = serde_json::to_vec(request).map_err(error::other)?;
    bytes.push(b'\n');
    let ready = stream.write_all(&bytes).and_then(|()| {
        // So that an interruption is seen.
        stream.set_read_timeout(Some(Duration::from_millis(250)))
    });
    if ready.is_err() {
        return Ok(Ended::Gone);
    }
    read_lines(stream, &path, is_over, &mut tell)
}

fn read_lines(
    stream: UnixStream,
    path: &Path,
    is_over: &AtomicBool,
    tell: &mut impl FnMut(Line) -> Result<(), Error>,
) -> Result<Ended, Error> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        if is_over.load(Ordering::Relaxed) {
            return Ok(Ended::Done);
        }
        match reader.read_until(b'\n', &mut line) {
            Ok(_) if line.last() != Some(&b'\n') => return Ok(Ended::Gone),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(_) => return Ok(Ended::Gone),
        }
        let told = serde_json::from_slice(&line)
            .map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
        line.clear();
        match told {
            Line::End => return Ok(Ended::Done),
            Line::Failed { reason } => return Err(Error::failed(reason)),
            told => tell(told)?,
        }
    }
}
