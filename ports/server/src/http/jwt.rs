//! ID tokens of a login provider (OpenID Connect Core §3.1.3.7): signature and claims.
//!
//! Owns the check. Invariants: the algorithm must be one of those here and the key must be of its
//! kind, so no token chooses how it is checked; the key comes from the provider's own set.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A provider's clock may be off by so much.
const LEEWAY_S: u64 = 60;
const SUBJECT_LEN_MAX: usize = 255;

/// A provider's keys (RFC 7517 §5).
#[derive(Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// One that can be used here; others are skipped.
#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// What is known of who logged in.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    pub(crate) sub: String,
    aud: OneOrMany,
    azp: Option<String>,
    exp: u64,
    pub(crate) preferred_username: Option<String>,
    pub(crate) email: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The claims of a token that `issuer` made for `client` and that is good now.
pub(crate) fn check(
    token: &str,
    keys: &KeySet,
    issuer: &str,
    client: &str,
    now_unix_s: u64,
) -> Option<Claims> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = decode(header)?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    let is_signed = keys.keys.iter().any(|key| {
        let key = Key::deserialize(key);
        key.is_ok_and(|key| verify(&key, &header, signed.as_bytes(), &signature) == Some(true))
    });
    let claims: Claims = decode(claims).filter(|_| is_signed)?;
    let is_for_client = match &claims.aud {
        OneOrMany::One(aud) => aud == client,
        OneOrMany::Many(auds) => auds.iter().any(|aud| aud == client),
    };
    let is_party = claims.azp.as_ref().is_none_or(|azp| azp == client);
    let is_new = now_unix_s < claims.exp.saturating_add(LEEWAY_S);
    let is_named = (1..=SUBJECT_LEN_MAX).contains(&claims.sub.len());
    let is_fine = claims.iss == issuer && is_for_client && is_party && is_new && is_named;
    is_fine.then_some(claims)
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
}

/// None: the key is not the one.
fn verify(key: &Key, header: &Header, signed: &[u8], signature: &[u8]) -> Option<bool> {
    if header.kid.is_some() && header.kid != key.kid {
        return None;
    }
    if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let bytes = |text: &Option<String>| BASE64URL_NOPAD.decode(text.as_ref()?.as_bytes()).ok();
    match (header.alg.as_str(), key.kty.as_str()) {
        ("RS256", "RSA") => {
            let key = RsaPublicKeyComponents { n: bytes(&key.n)?, e: bytes(&key.e)? };
            Some(key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok())
        }
        ("ES256", "EC") if key.crv.as_deref() == Some("P-256") => {
            let point = [vec![4], bytes(&key.x)?, bytes(&key.y)?].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            Some(key.verify(signed, signature).is_ok())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    const NOW: u64 = 1_700_000_000;
    const ISSUER: &str = "https://login.example.org";

    struct Provider {
        pair: EcdsaKeyPair,
        keys: KeySet,
    }

    fn provider() -> Provider {
        let (algorithm, rng) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]));
        let key = json!({"kty": "EC", "kid": "1", "crv": "P-256", "x": x, "y": y, "use": "sig"});
        let keys = KeySet { keys: vec![json!({"kty": "oct", "k": "AAAA"}), json!(7), key] };
        Provider { pair, keys }
    }

    impl Provider {
        fn token(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
        }

        fn check(&self, token: &str) -> Option<Claims> {
            check(token, &self.keys, ISSUER, "rit", NOW)
        }
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "sub": "ada", "aud": "rit", "exp": NOW + 60, "email": "a@b.example"})
    }

    #[test]
    fn a_right_token_is_taken() {
        let provider = provider();
        let header = json!({"alg": "ES256", "kid": "1"});
        assert_eq!(provider.check(&provider.token(&header, &claims())).unwrap().sub, "ada");
        let mut many = claims();
        many["aud"] = json!(["other", "rit"]);
        assert!(provider.check(&provider.token(&header, &many)).is_some());
    }

    #[test]
    fn a_wrong_token_is_refused() {
        let (provider, other) = (provider(), provider());
        let header = json!({"alg": "ES256", "kid": "1"});
        for (name, value) in [
            ("iss", json!("https://evil.example.org")),
            ("aud", json!("someone")),
            ("aud", json!(["someone"])),
            ("azp", json!("someone")),
            ("exp", json!(NOW - 60)),
            ("exp", json!("x")),
            ("sub", json!("")),
            ("sub", json!("s".repeat(256))),
        ] {
            let mut wrong = claims();
            wrong[name] = value;
            assert!(provider.check(&provider.token(&header, &wrong)).is_none(), "{name}");
        }
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256", "kid": "1"}),
            json!({"alg": "RS256", "kid": "1"}),
            json!({"alg": "ES256", "kid": "2"}),
        ] {
            assert!(provider.check(&provider.token(&header, &claims())).is_none(), "{header}");
        }
        assert!(provider.check(&other.token(&header, &claims())).is_none(), "another's signature");
        let good = provider.token(&header, &claims());
        for cut in [0, 1, good.len() / 2, good.len() - 1] {
            assert!(provider.check(&good[..cut]).is_none());
        }
        let (signed, _) = good.rsplit_once('.').unwrap();
        assert!(provider.check(&format!("{signed}.")).is_none());
    }
}
