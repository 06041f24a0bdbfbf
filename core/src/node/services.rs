//! The services that a node offers, as its integrator adds and withdraws them.
//!
//! Owns what may be offered, and that the broker is told. Does not own who may use a service.

use super::{Node, NodeError, Offered, ServiceId};
use crate::base::{Handle, Time};
use crate::tunnel::FLOW_IDLE_DEFAULT;
use crate::wire::message::{SERVICE_UDP, ServiceInfo, is_service_name};

impl Node {
    /// Whether the peer opened this session, as it was let, or is on the allow-list: to whom this
    /// node goes, it does not offer what is its own.
    pub(super) fn is_caller_or_allowed(&self, session: Handle) -> bool {
        if !cfg!(feature = "initiator") {
            return true;
        }
        let session = self.sessions.get(session);
        session.is_some_and(|s| !s.is_initiator || self.allowed.contains(&s.peer))
    }

    /// Offers a service. Its name must be new here among those of its kind.
    pub fn service_add(&mut self, service: ServiceInfo, now: Time) -> Result<ServiceId, NodeError> {
        if !is_service_name(&service.name) {
            return Err(NodeError::Name);
        }
        if service.kind == SERVICE_UDP && !cfg!(feature = "udp") {
            return Err(NodeError::Argument);
        }
        if self.find_service(service.kind, &service.name).is_some() {
            return Err(NodeError::Exists);
        }
        // Its entry, moved with all others, and the list of all that the broker is told.
        let one = size_of::<Option<Offered>>() + size_of::<ServiceInfo>() + service.name.len() * 2;
        self.check_memory(self.services.growth() + (self.services.len() + 1) * one)?;
        let offered = Offered {
            info: service,
            flow_idle: FLOW_IDLE_DEFAULT,
            #[cfg(feature = "media")]
            quality: None,
            #[cfg(feature = "trust")]
            must_be_fresh: false,
        };
        let handle = self.services.insert(offered).map_err(|_| NodeError::Limit)?;
        self.announce(now);
        Ok(ServiceId(handle.0))
    }

    pub(super) fn find_service(&self, kind: u8, name: &str) -> Option<ServiceId> {
        let is_it = |info: &ServiceInfo| info.kind == kind && info.name == name;
        let found = self.services.iter().find(|(_, offered)| is_it(&offered.info));
        found.map(|(handle, _)| ServiceId(handle.0))
    }

    /// Withdraws a service; streams and flows already open go on.
    pub fn service_remove(&mut self, service: ServiceId, now: Time) -> Result<(), NodeError> {
        self.services.remove(Handle(service.0)).ok_or(NodeError::StaleHandle)?;
        self.announce(now);
        Ok(())
    }
}
