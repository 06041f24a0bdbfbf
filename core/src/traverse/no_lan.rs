//! In place of `lan` where it is left out: nobody is asked.

use crate::base::{Path, Time};

/// There is none.
#[derive(Debug)]
pub enum Lan {}

impl Lan {
    /// Never.
    pub fn if_wanted(_is_wanted: bool, _now: Time) -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub fn begin(&mut self, _now: Time) {
        match *self {}
    }

    /// Cannot be called.
    pub fn look(&mut self, _active: Path, _is_in_trouble: bool, _own: &[Path], _now: Time) {
        match *self {}
    }

    /// Cannot be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        match *self {}
    }

    /// Cannot be called.
    pub fn poll_probe(&mut self, _now: Time) -> Option<Path> {
        match *self {}
    }
}
