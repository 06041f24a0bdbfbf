//! What a broker and its host say to each other: questions to the store and their answers, what is
//! to be done, and what happened.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use super::trust::TrustRow;
use crate::base::{ContactId, Path, PublicKey};
use crate::wire::message::{Ownership, RefuseReason, ServiceInfo, ToNode};

/// Names a link; the caller numbers its connections and never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// Names one of several brokers with the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceId(pub u64);

/// Names a question to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What the store is asked. The wall clock is the store's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Is this key enrolled?
    Lookup {
        /// The node's key.
        key: PublicKey,
    },
    /// Use up this code and enrol this key, both or neither.
    Enrol {
        /// The node's key.
        key: PublicKey,
        /// [`code_hash`](super::code_hash) of the code.
        code_hash: [u8; 32],
    },
    /// Whose is this device, and what has its owner taken back?
    Trust {
        /// The device's key.
        key: PublicKey,
    },
}

/// What the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a lookup: whether the key is enrolled. To an enrolment: whether it is now, because the
    /// code existed, unused and unexpired, or because it was before.
    Enrolled(bool),
    /// To a lookup: the key is enrolled, and its node was last seen at that instance, which has the
    /// same identity.
    Elsewhere(InstanceId),
    /// To a question for trust; `None`: nothing is known.
    Trust(Option<Box<TrustRow>>),
    /// The store failed; nothing changed.
    Failed,
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        message: ToNode,
    },
    /// A node says how it keeps its link.
    Quiet {
        /// Which link.
        link: LinkId,
        /// After longer silence it is gone.
        silence: Duration,
        /// After so long it wants a PATH_CHALLENGE to where its last one came from.
        ask_back: Option<Duration>,
    },
    /// Close the link once what was sent is delivered; the broker has forgotten it already.
    Close {
        /// Which.
        link: LinkId,
        /// Why; the node was told in a `Refused` before.
        reason: RefuseReason,
    },
    /// Ask the store.
    Ask {
        /// Comes back with the answer.
        id: AskId,
        /// What to ask.
        query: Query,
    },
    /// Take this to another instance, unseen by others.
    Post {
        /// Which.
        instance: InstanceId,
        /// For its [`Broker::handle_post`](super::Broker::handle_post).
        letter: Zeroizing<Vec<u8>>,
    },
}

/// What happened, for people and logs, and for the host to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerEvent {
    /// An enrolled node said hello, or says something else of itself.
    NodeOnline {
        /// Its key.
        key: PublicKey,
        /// Where it is seen.
        path: Path,
        /// What it runs.
        firmware: String,
        /// What it offers.
        services: Vec<ServiceInfo>,
    },
    /// It has no link any more.
    NodeOffline {
        /// Its key.
        key: PublicKey,
    },
    /// It was taken in.
    Enrolled {
        /// Its key.
        key: PublicKey,
    },
    /// Two nodes were given each other's contact.
    Introduced {
        /// Asked for it.
        initiator: PublicKey,
        /// The device.
        responder: PublicKey,
        /// Names the contact they were given; never the same twice.
        contact: ContactId,
    },
    /// A device that is online tells whom it obeys: for the store, which is asked for it.
    Ownership {
        /// The device's key.
        key: PublicKey,
        /// What it told.
        ownership: Ownership,
    },
    /// A node says this to the broker itself: to
    /// [`Broker::send_note`](super::Broker::send_note), as a rule.
    Note {
        /// The node's key.
        key: PublicKey,
        /// The note that it answers, or a number of its own.
        request: u32,
        /// What the body is.
        kind: u8,
        /// Nobody has looked at it.
        body: Vec<u8>,
    },
}
