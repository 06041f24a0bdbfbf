//! In place of `gateway` where it is left out: the broker is all there is.

use super::super::endpoint::Endpoint;
use super::super::link::Link;
use super::super::{Config, Event, Owner};
use super::{Links, Which};
use crate::base::Time;
use crate::transport::Connection;
use alloc::collections::VecDeque;

pub(super) struct Gateway;

impl Gateway {
    pub(super) fn new(_config: &Config, _now: Time) -> Self {
        Gateway
    }
}

impl Links {
    pub(in super::super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.broker.connection().into_iter()
    }

    pub(in super::super) fn poll_timeout(&self) -> Option<Time> {
        [self.broker.poll_timeout(), self.broker.ask_udp_at()].into_iter().flatten().min()
    }

    pub(super) fn each(&mut self, act: impl FnOnce(&mut Link)) {
        act(&mut self.broker);
    }

    pub(in super::super) fn to_ask(&self) -> Option<Which> {
        self.broker.is_online().then_some(Which::Broker)
    }

    pub(super) fn turn(
        &mut self,
        _endpoint: &mut Endpoint<Owner>,
        _events: &mut VecDeque<Event>,
        _now: Time,
    ) -> Option<Which> {
        None
    }

    pub(super) fn look(&mut self, _now: Time) {}
}
