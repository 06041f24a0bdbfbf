//! How the parts of messages that are no maps stand in CBOR.

use super::{ContactKey, RefuseReason};
use crate::base::{ContactId, Path, PublicKey, Side};
use crate::wire::relay::RelayToken;
use alloc::vec::Vec;
use minicbor::{Decode, Decoder, Encode, Encoder};

impl<C> Encode<C> for RefuseReason {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(self.code())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RefuseReason {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.u8().map(RefuseReason::from_code)
    }
}

impl<C> Encode<C> for ContactKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ContactKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        byte_array(d).map(ContactKey)
    }
}

fn byte_array<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], minicbor::decode::Error> {
    d.bytes()?.try_into().map_err(|_length| minicbor::decode::Error::message("wrong length"))
}

/// Codecs of types that belong to `base`, in the form minicbor's `with` wants.
macro_rules! codec {
    ($name:ident, $type:ty, |$value:ident, $e:ident| $encode:expr, |$d:ident| $decode:expr) => {
        pub(super) mod $name {
            use super::*;

            pub(in super::super) fn encode<C, W: minicbor::encode::Write>(
                $value: &$type,
                $e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                $encode.ok()
            }

            pub(in super::super) fn decode<'b, C>(
                $d: &mut Decoder<'b>,
                _: &mut C,
            ) -> Result<$type, minicbor::decode::Error> {
                $decode
            }
        }
    };
}

codec!(key, PublicKey, |key, e| e.bytes(&key.0)?, |d| byte_array(d).map(PublicKey));
codec!(relay_token, RelayToken, |token, e| e.bytes(&token.0)?, |d| byte_array(d).map(RelayToken));
codec!(contact_id, ContactId, |id, e| e.bytes(&id.0)?, |d| byte_array(d).map(ContactId));
codec!(
    side,
    Side,
    |side, e| e.u8(match side {
        Side::Initiator => 0,
        Side::Responder => 1,
    })?,
    |d| match d.u8()? {
        0 => Ok(Side::Initiator),
        1 => Ok(Side::Responder),
        _ => Err(minicbor::decode::Error::message("no such side")),
    }
);
codec!(path, Path, |path, e| e.array(2)?.bytes(&path.ip)?.u16(path.port)?, |d| {
    if d.array()? != Some(2) {
        return Err(minicbor::decode::Error::message("not a pair"));
    }
    // Interfaces are the other machine's own business.
    Ok(Path { ip: byte_array(d)?, port: d.u16()?, via: 0, socket: 0, ifindex: 0 })
});
codec!(
    paths,
    Vec<Path>,
    |paths, e| {
        e.array(paths.len() as u64)?;
        for path in paths {
            path::encode(path, e, &mut ())?;
        }
        e
    },
    |d| {
        let len = d.array()?.ok_or(minicbor::decode::Error::message("no length"))?;
        // The length is a claim: collecting through `Result` reserves nothing for it.
        (0..len).map(|_| path::decode(d, &mut ())).collect()
    }
);

/// A path that may be left out.
pub(super) mod maybe_path {
    use super::*;

    pub(in super::super) fn encode<C, W: minicbor::encode::Write>(
        maybe: &Option<Path>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        maybe.as_ref().map_or(Ok(()), |path| path::encode(path, e, context))
    }

    pub(in super::super) fn decode<'b, C>(
        d: &mut Decoder<'b>,
        context: &mut C,
    ) -> Result<Option<Path>, minicbor::decode::Error> {
        path::decode(d, context).map(Some)
    }

    pub(in super::super) fn nil() -> Option<Option<Path>> {
        Some(None)
    }

    pub(in super::super) fn is_nil(maybe: &Option<Path>) -> bool {
        maybe.is_none()
    }
}
