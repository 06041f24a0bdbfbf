//! Fuzz body over broker messages and text forms: what decodes encodes, and decodes the same.

use std::fmt::Debug;

use rit_core::wire::message::{self, Message, ToBroker, ToNode};
use rit_core::wire::text::{Uri, key_from_text, key_to_text};

/// Broker messages, one and a stream of them; keys and addresses as text.
pub fn message(data: &[u8]) {
    check_message::<ToBroker>(data);
    check_message::<ToNode>(data);
    let mut rest = data;
    while let Ok(Some((body, used))) = message::split(rest) {
        assert!(used <= rest.len() && body.len() + 2 == used);
        check_message::<ToBroker>(body);
        check_message::<ToNode>(body);
        rest = &rest[used..];
    }
    if let Ok(text) = std::str::from_utf8(data) {
        check_text(text);
    }
}

fn check_message<M: Message + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(Some(message)) = M::decode(bytes) else { return };
    let mut out = Vec::new();
    message.encode(&mut out).expect("what was decoded can be encoded");
    let (body, used) =
        message::split(&out).expect("its length is sound").expect("all of it is there");
    assert_eq!(used, out.len());
    assert_eq!(M::decode(body), Ok(Some(message)));
}

fn check_text(text: &str) {
    if let Ok(key) = key_from_text(text) {
        assert_eq!(key_to_text(&key), text);
    }
    if let Ok(uri) = text.parse::<Uri>() {
        assert_eq!(uri.to_string().parse(), Ok(uri));
    }
}
