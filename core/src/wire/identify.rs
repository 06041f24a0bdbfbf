//! Identification: what an inventory asks a node that its owner uncloaked, and what that answers.
//!
//! ```text
//! probe   89 72 69 74, 00, 01, nonce 8, zeros to 128 bytes
//! answer  89 72 69 74, 01, 01, nonce 8, protocol version 4, key 32, length 1, product (0..64)
//! ```
//!
//! The first byte begins with the bits 10, as no packet and no relay's datagram does. A probe has
//! one encoding but for its nonce, and is longer than any answer. Whether there is one, `node`
//! decides (PROTOCOL.md, section 12).

use super::VERSION;
use super::codec::{Full, Reader, Truncated, Writer};
use crate::base::PublicKey;
use thiserror::Error;

/// UDP port at which a node that has one to spare is asked.
pub const IDENTIFY_PORT: u16 = 7485;
/// Bytes of a probe.
pub const PROBE_LEN: usize = 128;
/// Bytes of a nonce.
pub const IDENTIFY_NONCE_LEN: usize = 8;
/// The longest text about a node's product.
pub const PRODUCT_LEN_MAX: usize = 64;
/// The longest answer.
pub const ANSWER_LEN_MAX: usize = HEAD_LEN + 4 + 32 + 1 + PRODUCT_LEN_MAX;

const MAGIC: [u8; 4] = *b"\x89rit";
const PROBE: u8 = 0;
const ANSWER: u8 = 1;
const FORM: u8 = 1;
const HEAD_LEN: usize = MAGIC.len() + 1 + 1 + IDENTIFY_NONCE_LEN;

// Nobody is made to send more than he receives.
const _: () = assert!(ANSWER_LEN_MAX <= PROBE_LEN);

/// Why bytes are no probe, or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentifyError {
    /// It has another length than belongs there.
    #[error("an identification has a wrong length")]
    Length,
    /// It is something else.
    #[error("it is no identification")]
    Magic,
    /// Of a later version.
    #[error("an identification has a form that is not known")]
    Form,
    /// What must be zero is not.
    #[error("an identification has padding that is not zero")]
    Padding,
    /// The product is no text of one line.
    #[error("an identification has a product that is no text")]
    Product,
}

impl From<Truncated> for IdentifyError {
    fn from(_: Truncated) -> Self {
        IdentifyError::Length
    }
}

/// A question who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Comes back in the answer.
    pub nonce: [u8; IDENTIFY_NONCE_LEN],
}

impl Probe {
    /// The probe that all of `datagram` is.
    pub fn parse(datagram: &[u8]) -> Result<Probe, IdentifyError> {
        let mut r = Reader::new(datagram);
        let nonce = read_head(&mut r, PROBE)?;
        if datagram.len() != PROBE_LEN {
            return Err(IdentifyError::Length);
        }
        if r.rest().iter().any(|byte| *byte != 0) {
            return Err(IdentifyError::Padding);
        }
        Ok(Probe { nonce })
    }

    /// The datagram to send.
    pub fn encode(&self) -> [u8; PROBE_LEN] {
        let mut datagram = [0; PROBE_LEN];
        // It is longer than a head.
        let _ = write_head(&mut Writer::new(&mut datagram), PROBE, &self.nonce);
        datagram
    }
}

/// Who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification<'a> {
    /// That of the probe.
    pub nonce: [u8; IDENTIFY_NONCE_LEN],
    /// The version of the protocol that it speaks.
    pub version: u32,
    /// Its name.
    pub key: PublicKey,
    /// What it is, in words; may be empty.
    pub product: &'a str,
}

impl<'a> Identification<'a> {
    /// What a node of this version answers.
    pub fn new(probe: &Probe, key: PublicKey, product: &'a str) -> Self {
        Identification { nonce: probe.nonce, version: VERSION, key, product }
    }

    /// The answer that all of `datagram` is.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, IdentifyError> {
        let mut r = Reader::new(datagram);
        let nonce = read_head(&mut r, ANSWER)?;
        let (version, key) = (r.u32()?, PublicKey(r.array()?));
        let len = usize::from(r.u8()?);
        let product = r.rest();
        if len > PRODUCT_LEN_MAX || product.len() != len {
            return Err(IdentifyError::Length);
        }
        let product = core::str::from_utf8(product).map_err(|_| IdentifyError::Product)?;
        if product.chars().any(char::is_control) {
            return Err(IdentifyError::Product);
        }
        Ok(Identification { nonce, version, key, product })
    }

    /// Writes it to the front of `datagram`; its length. `Full`: there is no room, or the product
    /// is too long.
    pub fn write(&self, datagram: &mut [u8]) -> Result<usize, Full> {
        let len = u8::try_from(self.product.len()).map_err(|_| Full)?;
        if self.product.len() > PRODUCT_LEN_MAX {
            return Err(Full);
        }
        let mut w = Writer::new(datagram);
        write_head(&mut w, ANSWER, &self.nonce)?;
        w.u32(self.version)?;
        w.bytes(&self.key.0)?;
        w.u8(len)?;
        w.bytes(self.product.as_bytes())?;
        Ok(w.len())
    }
}

fn read_head(r: &mut Reader<'_>, what: u8) -> Result<[u8; IDENTIFY_NONCE_LEN], IdentifyError> {
    if r.array()? != MAGIC || r.u8()? != what {
        return Err(IdentifyError::Magic);
    }
    if r.u8()? != FORM {
        return Err(IdentifyError::Form);
    }
    Ok(r.array()?)
}

fn write_head(w: &mut Writer<'_>, what: u8, nonce: &[u8; IDENTIFY_NONCE_LEN]) -> Result<(), Full> {
    w.bytes(&MAGIC)?;
    w.u8(what)?;
    w.u8(FORM)?;
    w.bytes(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::Header;
    use crate::wire::relay::is_relays;

    const PROBE_1: Probe = Probe { nonce: [1, 2, 3, 4, 5, 6, 7, 8] };
    const KEY: PublicKey = PublicKey([0xdd; 32]);

    fn answer(product: &str) -> std::vec::Vec<u8> {
        let mut buf = [0; ANSWER_LEN_MAX];
        let len = Identification::new(&PROBE_1, KEY, product).write(&mut buf).unwrap();
        buf[..len].to_vec()
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let probe = PROBE_1.encode();
        assert_eq!(probe[..14], *b"\x89rit\x00\x01\x01\x02\x03\x04\x05\x06\x07\x08");
        assert!(probe[14..].iter().all(|byte| *byte == 0) && probe.len() == 128);
        let answer = answer("x 1");
        assert_eq!(answer[..14], *b"\x89rit\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!((&answer[14..18], &answer[18..50]), (&b"rit\x01"[..], &[0xdd; 32][..]));
        assert_eq!(answer[50..], *b"\x03x 1");
    }

    #[test]
    fn a_probe_is_right_to_the_last_byte() {
        let probe = PROBE_1.encode();
        assert_eq!(Probe::parse(&probe), Ok(PROBE_1));
        for len in 0..probe.len() {
            assert_eq!(Probe::parse(&probe[..len]), Err(IdentifyError::Length), "{len}");
        }
        assert_eq!(Probe::parse(&[&probe[..], &[0]].concat()), Err(IdentifyError::Length));
        for at in 0..probe.len() {
            let mut other = probe;
            other[at] ^= 1;
            let expected = match at {
                0..=4 => Err(IdentifyError::Magic),
                5 => Err(IdentifyError::Form),
                6..=13 => {
                    let mut nonce = PROBE_1.nonce;
                    nonce[at - 6] ^= 1;
                    Ok(Probe { nonce })
                }
                _ => Err(IdentifyError::Padding),
            };
            assert_eq!(Probe::parse(&other), expected, "byte {at}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_is_written() {
        let longest = "x".repeat(PRODUCT_LEN_MAX);
        for product in ["", "librit 0.1.0", "größer", &longest] {
            let answer = answer(product);
            assert!(answer.len() <= PROBE_LEN);
            let expected = Identification::new(&PROBE_1, KEY, product);
            assert_eq!(Identification::parse(&answer), Ok(expected));
            for len in 0..answer.len() {
                let cut = Identification::parse(&answer[..len]);
                assert_eq!(cut, Err(IdentifyError::Length), "{len}");
            }
            let more = [&answer[..], b"x"].concat();
            assert_eq!(Identification::parse(&more), Err(IdentifyError::Length));
        }
        let over = longest.clone() + "x";
        let over = Identification::new(&PROBE_1, KEY, &over);
        assert_eq!(over.write(&mut [0; 256]), Err(Full));
        let fits = Identification::new(&PROBE_1, KEY, &longest);
        assert_eq!(fits.write(&mut [0; ANSWER_LEN_MAX - 1]), Err(Full));
        assert_eq!(fits.write(&mut [0; ANSWER_LEN_MAX]), Ok(ANSWER_LEN_MAX));
    }

    #[test]
    fn what_an_answer_must_not_say() {
        let with = |len: u8, product: &[u8]| {
            let bytes = [&answer("")[..50], &[len], product].concat();
            Identification::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(2, b"\xc3\xa4"), Ok(()));
        assert_eq!(with(1, b"\xc3"), Err(IdentifyError::Product));
        assert_eq!(with(2, b"\x1b["), Err(IdentifyError::Product));
        assert_eq!(with(1, b"\n"), Err(IdentifyError::Product));
        assert_eq!(with(65, &[b'x'; 65]), Err(IdentifyError::Length));
        assert_eq!(with(255, &[b'x'; 255]), Err(IdentifyError::Length));
        let probe = PROBE_1.encode();
        assert_eq!(Identification::parse(&probe), Err(IdentifyError::Magic));
        assert_eq!(Probe::parse(&answer("")), Err(IdentifyError::Magic));
    }

    #[test]
    fn it_is_like_no_other_datagram() {
        for datagram in [&PROBE_1.encode()[..], &answer("x")] {
            assert!(!is_relays(datagram) && Header::parse(datagram).is_err());
        }
    }
}
