//! Why a session goes the way it does, in words.

use super::{Node, NodeError, SessionId};
use crate::base::{Handle, Path, Time};
use crate::traverse::{PortSearch, Tried};
use alloc::string::String;
use core::fmt::{self, Write};

/// Both ends' NATs as far as known.
const MAPPINGS: [&str; 3] = [
    "it is not known how its NAT maps",
    "it has the same address for whomever it calls",
    "its NAT gives it another address for each that it calls",
];

impl Node {
    /// Each side's NAT, what was tried, and why the way is a relay, if it is one: some lines for
    /// people; none without the feature `log`. Not for programs: the words may change.
    pub fn explain(&self, session: SessionId, now: Time) -> Result<String, NodeError> {
        let mut text = String::new();
        if !cfg!(feature = "log") {
            self.peek_session(Handle(session.0))?;
            return Ok(text);
        }
        // Writing to a string does not fail.
        let _ = self.write_explanation(Handle(session.0), now, &mut text)?;
        Ok(text)
    }

    fn write_explanation(
        &self,
        session: Handle,
        now: Time,
        out: &mut String,
    ) -> Result<fmt::Result, NodeError> {
        let session = self.peek_session(session)?;
        let mapping = self.own_mapping();
        let asked = session.port_search.as_ref().map_or(0, PortSearch::sent);
        let link = self.links.of(self.links.leading());
        let seen = link.observed.map(|(path, _)| path);
        let active = session.connection().filter(|c| c.is_path_latched()).map(|c| c.path());
        let tried = || session.search.tried(now);
        let relay = active.and_then(|path| self.relays.address(&path));
        Ok((|| {
            match seen {
                Some(path) => write!(out, "this node is seen at {path:?}; ")?,
                None => write!(out, "this node has no link to its broker; ")?,
            }
            writeln!(out, "{}", words(mapping))?;
            if link.is_by_tls() {
                writeln!(out, "UDP is blocked: the broker answers by TCP with TLS alone")?;
            }
            #[cfg(feature = "gateway")]
            if session.introduced_by == super::Which::Gateway {
                writeln!(out, "introduced by the gateway of this network, as the broker was away")?;
            }
            writeln!(out, "the peer: {}", words(session.mapping))?;
            match active {
                None => writeln!(out, "the peer has not answered yet")?,
                Some(path) => writeln!(out, "the way in use: {}", Kind(path))?,
            }
            if relay.is_some_and(|path| path.is_tls()) {
                writeln!(out, "UDP is blocked: the relay answers by TCP with TLS alone")?;
            }
            tried().try_for_each(|tried| write_tried(out, &tried))?;
            if asked > 0 {
                writeln!(out, "  searched: {asked} questions from many ports, or to many")?;
            }
            if active.is_some_and(|path| path.via != 0) {
                write_why_relayed(out, tried().filter(|tried| tried.path.via == 0))?;
            }
            Ok(())
        })())
    }
}

fn words(mapping: u8) -> &'static str {
    MAPPINGS.get(usize::from(mapping)).unwrap_or(&MAPPINGS[0])
}

/// A path for people.
struct Kind(Path);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.via == 0 { "direct" } else { "relay" };
        write!(f, "{} ({kind})", self.0.socket_addr())
    }
}

fn write_tried(out: &mut String, tried: &Tried) -> fmt::Result {
    write!(out, "  {}: ", Kind(tried.path))?;
    match (tried.rtt, tried.silent_for) {
        (Some(rtt), None) => writeln!(out, "answers in {} us", rtt.as_micros()),
        (Some(_), Some(silence)) => writeln!(out, "silent for {} s", silence.as_secs()),
        (None, _) => writeln!(out, "asked {} times, never answered", tried.asked),
    }
}

fn write_why_relayed(out: &mut String, mut direct: impl Iterator<Item = Tried>) -> fmt::Result {
    let Some(first) = direct.next() else {
        return writeln!(out, "relayed because no address of the peer is known");
    };
    match core::iter::once(first).chain(direct).find(|tried| tried.rtt.is_some()) {
        None => writeln!(out, "relayed because no address of the peer has answered"),
        Some(tried) if tried.silent_for.is_some() => {
            writeln!(out, "relayed because no address of the peer answers any more")
        }
        Some(_) => writeln!(out, "relayed because that is nearer than the peer's own addresses"),
    }
}
