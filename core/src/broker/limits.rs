//! What a broker bears.

use core::time::Duration;

/// What one broker bears. Reaching a limit refuses that one thing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Links at once.
    pub links: usize,
    /// Of these, links of nodes that are not enrolled.
    pub strangers: usize,
    /// Questions to the store without an answer yet, those about links now gone included.
    pub asks: usize,
    /// The same, of one link.
    pub asks_per_link: usize,
    /// Messages of one link that wait for its lookup.
    pub waiting_per_link: usize,
    /// Devices whose coming and going one link is told; the oldest is forgotten first.
    pub watched_per_link: usize,
    /// Introductions one link may ask for at once; each second gives one more.
    pub connects: u32,
    /// Notes and questions for the time, of one link; each second gives one more.
    pub notes: u32,
    /// Wrong codes on one link.
    pub bad_codes: u32,
    /// How long a node that is not enrolled may stay.
    pub enrol_time: Duration,
    /// How long the contact of an introduction may be used.
    pub contact_lifetime_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // What one instance is planned for; an idle link costs about 1 KB here.
            links: 100_000,
            strangers: 1_000,
            // After a restart all nodes come back at once, each with one lookup.
            asks: 100_000,
            asks_per_link: 8,
            waiting_per_link: 8,
            watched_per_link: 16,
            connects: 32,
            notes: 32,
            bad_codes: 3,
            // A person types no code at the device: it comes with the first connection.
            enrol_time: Duration::from_secs(30),
            // Minutes of life, as a first packet may be lost, but no more than a try needs.
            contact_lifetime_s: 120,
        }
    }
}
