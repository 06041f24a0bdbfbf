//! A probe of the end that responds, before there is a connection: it opens that end's NAT for the
//! initiator, and shows the initiator where it comes from.
//!
//! A contact packet whose destination is contact ID ‖ nonce, as a first packet's, but with a nonce
//! of its own, without a source connection ID, and sealed with the *responder's* secret for that
//! destination. It holds a PING and padding. Pure: nothing is kept here.

use super::establish::contact_keys;
use super::protect;
use crate::base::{Rng, Side};
use crate::crypto::Provider;
use crate::handshake::Contact;
use crate::wire::cid::Cid;
use crate::wire::codec::Writer;
use crate::wire::frame;
use crate::wire::packet::{self, FIRST_DCID_LEN, Header, TAG_LEN, TruncatedPn};

/// Bytes of a probe. What it draws, a copy of the first flight, has less than three times as many.
pub const CONTACT_PROBE_LEN: usize = 180;

/// Writes a probe into `buf` and returns its length; `None` if `buf` has no room for it.
pub fn write_contact_probe(
    provider: &'static dyn Provider,
    contact: &Contact,
    rng: &mut Rng,
    buf: &mut [u8],
) -> Option<usize> {
    let buf = buf.get_mut(..CONTACT_PROBE_LEN)?;
    let mut dcid = [0; FIRST_DCID_LEN];
    let (id, nonce) = dcid.split_at_mut(FIRST_DCID_LEN / 2);
    id.copy_from_slice(&contact.id.0);
    rng.fill(nonce);
    let (dcid, scid) = (Cid::new(&dcid)?, Cid::new(&[])?);
    let keys = contact_keys(provider, Side::Responder, contact, &dcid).local;
    let pn = TruncatedPn::new(0, None);
    let pn_offset = packet::long_header_len(&dcid, &scid);
    let payload_len = CONTACT_PROBE_LEN - pn_offset - pn.len;
    let mut w = Writer::new(buf);
    packet::write_long(&mut w, &dcid, &scid, pn, payload_len).ok()?;
    frame::write_ping(&mut w).ok()?;
    let padding = CONTACT_PROBE_LEN - TAG_LEN - w.len();
    (0..padding).try_for_each(|_| w.u8(0)).ok()?;
    protect::seal(&keys, buf, pn_offset, pn.len, 0).ok().map(|()| CONTACT_PROBE_LEN)
}

/// Whether `datagram`, whose header is `header`, is a probe of the responder that holds `contact`.
/// The bytes are spoiled.
pub fn is_contact_probe(
    provider: &'static dyn Provider,
    contact: &Contact,
    header: &Header,
    datagram: &mut [u8],
) -> bool {
    let keys = contact_keys(provider, Side::Initiator, contact, &header.dcid).remote;
    datagram.len() == CONTACT_PROBE_LEN
        && header.len == CONTACT_PROBE_LEN
        && protect::open(&keys, header, datagram, 0).is_ok()
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::*;
    use crate::base::ContactId;
    use crate::crypto::{Secret, default_provider};

    fn contact(key: u8) -> Contact {
        Contact { id: ContactId([7; 8]), key: Secret::new([key; 32]) }
    }

    #[test]
    fn a_probe_is_known_by_who_holds_the_contact_alone() {
        let (provider, mut rng) = (default_provider(), Rng::from_seed([1; 32]));
        let mut buf = [0; 2 * CONTACT_PROBE_LEN];
        let mut write = || {
            let len = write_contact_probe(provider, &contact(1), &mut rng, &mut buf).unwrap();
            buf[..len].to_vec()
        };
        let (probe, other) = (write(), write());
        let header = Header::parse(&probe).unwrap();
        assert_ne!(header.dcid, Header::parse(&other).unwrap().dcid, "a nonce of its own");
        let is_probe = |key, bytes: &[u8]| {
            is_contact_probe(provider, &contact(key), &header, &mut bytes.to_vec())
        };
        assert!(is_probe(1, &probe));
        assert!(!is_probe(2, &probe), "another key");
        for i in [0, 30, CONTACT_PROBE_LEN - 1] {
            let mut forged = probe.clone();
            forged[i] ^= 1;
            assert!(!is_probe(1, &forged), "{i}");
        }
        let longer = [&probe[..], &[0]].concat();
        assert!(!is_probe(1, &longer));
        let mut short = [0; CONTACT_PROBE_LEN - 1];
        assert_eq!(write_contact_probe(provider, &contact(1), &mut rng, &mut short), None);
    }
}
