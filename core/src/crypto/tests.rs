//! Published vectors and agreement of the providers.

use super::*;
use crate::base::{ContactId, PublicKey, Rng};
use alloc::vec::Vec;
use data_encoding::HEXLOWER;

const SUITES: [Suite; 2] = [Suite::Aes128Gcm, Suite::ChaCha20Poly1305];

fn providers() -> [&'static dyn Provider; 3] {
    [ring(), rustcrypto(), with_table::tests::Fake::default().provider()]
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(hex(text).try_into().unwrap())
}

fn label(p: &dyn Provider, secret: &Secret, label: &[u8], context: &[u8], len: usize) -> Vec<u8> {
    let mut out = alloc::vec![0; len];
    expand_label(p, secret, label, context, &mut out);
    out
}

fn mask(p: &dyn Provider, suite: Suite, secret: &Secret, sample: &str) -> Vec<u8> {
    let keys = DirectionKeys::new(p, suite, secret);
    keys.header.mask(&hex(sample).try_into().unwrap()).unwrap().to_vec()
}

#[test]
fn rfc_9001_a1_keys() {
    for p in providers() {
        let salt = hex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a");
        let initial = extract(p, &salt, &hex("8394c8f03e515708"));
        let text = "7db5df06e7a69e432496adedb00851923595221596ae2ae9fb8115c1e9ed0a44";
        assert_eq!(initial.as_bytes().as_slice(), hex(text));
        let client = secret("c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea");
        let server = secret("3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b");
        assert_eq!(label(p, &initial, b"client in", b"", 32), client.as_bytes());
        assert_eq!(label(p, &initial, b"server in", b"", 32), server.as_bytes());
        let key = |secret, name: &[u8], len| HEXLOWER.encode(&label(p, secret, name, b"", len));
        assert_eq!(key(&client, b"quic key", 16), "1f369613dd76d5467730efcbe3b1a22d");
        assert_eq!(key(&client, b"quic iv", 12), "fa044b2f42a3fd3b46fb255c");
        assert_eq!(key(&client, b"quic hp", 16), "9f50449e04a0e810283a1e9933adedd2");
        assert_eq!(key(&server, b"quic key", 16), "cf3a5331653c364c88f0f379b6067e37");
        assert_eq!(key(&server, b"quic iv", 12), "0ac1493ca1905853b0bba03e");
        assert_eq!(key(&server, b"quic hp", 16), "c206b8d9b9f0f37644430b490eeaa314");
    }
}

#[test]
fn rfc_9001_a2_client_initial_mask() {
    let client = secret("c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea");
    for p in providers() {
        let mask = mask(p, Suite::Aes128Gcm, &client, "d1b1c98dd7689fb8ec11d242b123dc9b");
        assert_eq!(mask, hex("437b9aec36"));
    }
}

#[test]
fn rfc_9001_a3_server_initial() {
    let server = secret("3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b");
    let header = hex("c1000000010008f067a5502a4262b50040750001");
    let payload = hex(
        "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a\
         045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bc\
         f32bb9da1a002b00020304",
    );
    let sealed = hex(
        "5a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3\
         dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06ed\
         bb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
    );
    for p in providers() {
        let keys = DirectionKeys::new(p, Suite::Aes128Gcm, &server);
        let mut buf = payload.clone();
        buf.extend([0; TAG_LEN]);
        keys.packet.seal(1, &header, &mut buf).unwrap();
        assert_eq!(buf, sealed);
        assert_eq!(
            keys.header.mask(buf[2..18].try_into().unwrap()).unwrap().to_vec(),
            hex("2ec0d8356a")
        );
    }
}

#[test]
fn rfc_9001_a5_chacha20_short_header() {
    let traffic = secret("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
    for p in providers() {
        let key = |name: &[u8], len| HEXLOWER.encode(&label(p, &traffic, name, b"", len));
        let text = "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8";
        assert_eq!(key(b"quic key", 32), text);
        assert_eq!(key(b"quic iv", 12), "e0459b3474bdd0e44a41c144");
        let text = "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4";
        assert_eq!(key(b"quic hp", 32), text);
        let text = "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9";
        assert_eq!(key(b"quic ku", 32), text);

        let keys = DirectionKeys::new(p, Suite::ChaCha20Poly1305, &traffic);
        let header = hex("4200bff4");
        let mut packet = [&header[..], &[0x01], &[0; TAG_LEN]].concat();
        keys.packet.seal(654_360_564, &header, &mut packet[4..]).unwrap();
        let mask = keys.header.mask(packet[5..21].try_into().unwrap()).unwrap();
        assert_eq!(mask.to_vec(), hex("aefefe7d03"));
        packet[0] ^= mask[0] & 0x1f;
        packet[1..4].iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
        assert_eq!(packet, hex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb"));
        assert_eq!(keys.packet.open(654_360_564, &header, &mut packet[4..]), Ok(1));
        assert_eq!(packet[4], 0x01);
    }
}

/// Computed apart from this code, with Python's `hmac`.
#[test]
fn schedule_vectors() {
    let contact_key = Secret::new([0x42; 32]);
    let count: [u8; 32] = core::array::from_fn(|i| i as u8);
    for p in providers() {
        let (initiator, responder) = contact_secrets(p, &contact_key, &count[..16]);
        let text = "df0c38c25c9484ed5c5e67d0f2918224749977368b747dfe287c9e22f1ffdcdc";
        assert_eq!(initiator.as_bytes().as_slice(), hex(text));
        let text = "86aa95e46645182453364f4fcc0eff04201be1f53a0ef75c09d05ae83a78477e";
        assert_eq!(responder.as_bytes().as_slice(), hex(text));

        let (id, key) = broker_contact(p, &PublicKey(count));
        assert_eq!(id, ContactId(0x6795_27e7_bd4a_d568_u64.to_be_bytes()));
        let text = "e9b408514822e072ea2a3b0ccc3d23061f10b6d7839e6c95404989869553117d";
        assert_eq!(key.as_bytes().as_slice(), hex(text));

        let (initiator, responder) = session_secrets(p, &contact_key, &[0x11; 32], &[0x22; 32]);
        let text = "48ec08dce8b3d10673452096ba3d00ba0332c72b97ac0483fcd7c38a95740b17";
        assert_eq!(initiator.as_bytes().as_slice(), hex(text));
        let text = "ed253d266e7143956556a9e5fa46f40784e2c6b8d8140c69a2b15b18d280651a";
        assert_eq!(responder.as_bytes().as_slice(), hex(text));

        // Several blocks of output, the last one cut short.
        let text = "b71745cf801dc146af5f87b5f33ba10d2a2f31f0360f3120d23f19091530ee4999c32bb3fd8d\
                    267a96f13e6a2384b8b08150c503f436f59f1c41826a1079a8c2ec709d7a49eb9dc1fb70a75f\
                    8ee1e57bf41a8e4efddde8d33bb8a5216a3e42b2e0ca87cd";
        assert_eq!(label(p, &contact_key, b"long", b"ctx", 100), hex(text));
    }
}

#[test]
fn providers_give_identical_bytes() {
    let mut rng = Rng::from_seed([9; 32]);
    for len in [0, 1, 15, 16, 17, 63, 64, 65, 255, 1200, 5000] {
        let mut data = alloc::vec![0; len];
        rng.fill(&mut data);
        let (head, tail) = data.split_at(len / 3);
        assert_eq!(ring().sha256(&[head, tail]), rustcrypto().sha256(&[&data]));
        assert_eq!(
            ring().hmac_sha256(&data, &[head, tail]),
            rustcrypto().hmac_sha256(&data, &[&data])
        );
        for suite in SUITES {
            let mut bytes = [0; 52];
            rng.fill(&mut bytes);
            let (key, iv) = (&bytes[..suite.key_len()], bytes[40..].try_into().unwrap());
            let pn = u64::MAX >> (len % 64);
            let sealed = providers().map(|p| {
                let mut buf = [&data[..], &[0; TAG_LEN]].concat();
                p.packet_key(suite, key, iv).seal(pn, head, &mut buf).unwrap();
                buf
            });
            assert!(sealed[0] == sealed[1] && sealed[0] == sealed[2]);
            for p in providers() {
                let packet_key = p.packet_key(suite, key, iv);
                let mut buf = sealed[0].clone();
                assert_eq!(packet_key.open(pn, head, &mut buf), Ok(len));
                assert_eq!(buf[..len], data);
            }
        }
    }
}

#[test]
fn masks_agree_at_every_counter() {
    for suite in SUITES {
        let secret = Secret::new([5; 32]);
        let keys = providers().map(|p| DirectionKeys::new(p, suite, &secret));
        // The counter that ChaCha20 takes from the sample may be its last.
        for counter in [0, 1, 0x7fff_ffff, u32::MAX - 1, u32::MAX] {
            let mut sample = [0xa5; 16];
            sample[..4].copy_from_slice(&counter.to_le_bytes());
            let masks = keys.each_ref().map(|keys| keys.header.mask(&sample).unwrap());
            assert!(masks[0] == masks[1] && masks[0] == masks[2]);
        }
    }
}

#[test]
fn altered_packets_do_not_open() {
    for (p, suite) in providers().into_iter().flat_map(|p| SUITES.map(|suite| (p, suite))) {
        let key = DirectionKeys::new(p, suite, &Secret::new([1; 32])).packet;
        let mut sealed = [&b"payload"[..], &[0; TAG_LEN]].concat();
        key.seal(7, b"header", &mut sealed).unwrap();
        assert_eq!(key.open(8, b"header", &mut sealed.clone()), Err(AeadError::Unauthentic));
        assert_eq!(key.open(7, b"Header", &mut sealed.clone()), Err(AeadError::Unauthentic));
        for i in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[i] ^= 0x80;
            assert_eq!(key.open(7, b"header", &mut altered), Err(AeadError::Unauthentic));
            assert_eq!(
                key.open(7, b"header", &mut sealed[..i].to_vec()),
                Err(AeadError::Unauthentic)
            );
        }
        assert_eq!(key.seal(7, b"", &mut [0; TAG_LEN - 1]), Err(AeadError::Unauthentic));
        assert_eq!(key.open(7, b"header", &mut sealed), Ok(7));
    }
}

#[test]
fn equality_is_by_bytes_and_length() {
    assert!(constant_time_eq(b"", b"") && constant_time_eq(b"ab", b"ab"));
    assert!(!constant_time_eq(b"ab", b"ac") && !constant_time_eq(b"ab", b"abc"));
}
