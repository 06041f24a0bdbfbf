//! Login by a company's provider: OpenID Connect over the device authorisation grant (RFC 8628).
//!
//! Owns what is said to the provider. The server is the provider's client; the user's program only
//! shows a code and asks again. Invariants: what the provider gave to wait for (`device_code`)
//! goes out sealed, bound to the key that asked, so no instance keeps it and a seen address opens
//! nothing; an account is known by issuer and subject, never by a name or an e-mail address.

use axum::http::{HeaderValue, Method, header};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rit_core::base::PublicKey;
use rit_core::crypto::{Signer, default_provider};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::client::{Client, Reach, Reply};
use super::jwt::{self, Claims};
use super::password::random;
use super::problem::Problem;
use super::totp::escape;
use crate::error::Error;

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What a provider that says nothing wants (RFC 8628 §3.2).
const INTERVAL_S: u64 = 5;
/// The longest that a login may take.
const EXPIRES_MAX_S: u64 = 1800;

/// Who the server is to the provider.
pub(crate) struct Config {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Zeroizing<String>>,
}

/// What the provider says of itself (OpenID Connect Discovery §3).
#[derive(Clone, Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    device_authorization_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct Started {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// A login that has begun.
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) interval_s: u64,
    pub(crate) expires_s: u64,
}

/// How far a login is.
pub(crate) enum Progress {
    /// Ask again after so many seconds.
    Pending(u64),
    /// It is who the claims say.
    Done(Claims),
}

/// A provider.
pub(crate) struct Oidc {
    config: Config,
    client: Client,
    seal: LessSafeKey,
    metadata: Mutex<Option<Metadata>>,
}

impl Oidc {
    pub(crate) fn new(config: Config, client: Client, signer: &dyn Signer) -> Result<Self, Error> {
        let failed = || Error::Start("the broker's key derives no other".into());
        let key = signer.derive(default_provider(), b"rit-server login by a provider");
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.ok_or_else(failed)?.as_bytes());
        let seal = LessSafeKey::new(key.map_err(|_| failed())?);
        Ok(Oidc { config, client, seal, metadata: Mutex::new(None) })
    }

    /// The provider's name for itself; accounts are known by it.
    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Begins a login of the node with this key.
    pub(crate) async fn begin(&self, key: &PublicKey, now_unix_s: u64) -> Result<Begun, Problem> {
        let metadata = self.metadata().await?;
        let url = metadata.device_authorization_endpoint.ok_or_else(Problem::upstream)?;
        let reply = self.post(&url, &[("scope", "openid profile email")]).await?;
        let started: Started = json(&reply)?;
        let lifetime_s = started.expires_in.min(EXPIRES_MAX_S);
        Ok(Begun {
            id: self.seal(&started.device_code, key, now_unix_s + lifetime_s)?,
            user_code: started.user_code,
            verification_uri: started.verification_uri,
            verification_uri_complete: started.verification_uri_complete,
            interval_s: started.interval.unwrap_or(INTERVAL_S).clamp(1, 60),
            expires_s: lifetime_s,
        })
    }

    /// Asks the provider whether the user has agreed.
    pub(crate) async fn poll(
        &self,
        id: &str,
        key: &PublicKey,
        now_unix_s: u64,
    ) -> Result<Progress, Problem> {
        let device_code = self.open(id, key, now_unix_s).ok_or_else(Problem::not_found)?;
        let metadata = self.metadata().await?;
        let form = [("grant_type", GRANT), ("device_code", device_code.as_str())];
        let reply = self.post(&metadata.token_endpoint, &form).await?;
        if reply.status == 200 {
            let tokens: Tokens = json(&reply)?;
            let keys = self.get(&metadata.jwks_uri).await?;
            let (issuer, client) = (&self.config.issuer, &self.config.client_id);
            let claims = jwt::check(&tokens.id_token, &json(&keys)?, issuer, client, now_unix_s);
            return claims.map(Progress::Done).ok_or_else(Problem::upstream);
        }
        let refusal: Refusal =
            serde_json::from_slice(&reply.body).map_err(|_| Problem::upstream())?;
        match refusal.error.as_str() {
            "authorization_pending" => Ok(Progress::Pending(INTERVAL_S)),
            "slow_down" => Ok(Progress::Pending(2 * INTERVAL_S)),
            "access_denied" => Err(Problem::forbidden("denied", "the login was denied")),
            "expired_token" => Err(Problem::not_found()),
            _ => Err(Problem::upstream()),
        }
    }

    /// Asked for once, at the first login.
    async fn metadata(&self) -> Result<Metadata, Problem> {
        let mut kept = self.metadata.lock().await;
        if let Some(metadata) = &*kept {
            return Ok(metadata.clone());
        }
        let issuer = self.config.issuer.trim_end_matches('/');
        let reply = self.get(&format!("{issuer}/.well-known/openid-configuration")).await?;
        let metadata: Metadata = json(&reply)?;
        if metadata.issuer != self.config.issuer {
            tracing::error!("the login provider calls itself by another issuer than --oidc-issuer");
            return Err(Problem::upstream());
        }
        *kept = Some(metadata.clone());
        Ok(metadata)
    }

    async fn get(&self, url: &str) -> Result<Reply, Problem> {
        self.send(Method::GET, url, Vec::new(), Vec::new()).await
    }

    /// The client says who it is by HTTP Basic where it has a secret, else in the form
    /// (RFC 6749 §2.3.1).
    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Result<Reply, Problem> {
        let mut form = Zeroizing::new(String::new());
        let mut headers = Vec::new();
        for (name, value) in fields {
            form.push_str(&format!("{name}={}&", escape(value)));
        }
        form.push_str(&format!("client_id={}", escape(&self.config.client_id)));
        if let Some(secret) = &self.config.client_secret {
            let pair = format!("{}:{}", escape(&self.config.client_id), escape(secret));
            let value = format!("Basic {}", BASE64.encode(Zeroizing::new(pair).as_bytes()));
            let mut value = HeaderValue::from_str(&value).map_err(|_| Problem::internal())?;
            value.set_sensitive(true);
            headers.push((header::AUTHORIZATION, value));
        }
        self.send(Method::POST, url, headers, form.as_bytes().to_vec()).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: Vec<(header::HeaderName, HeaderValue)>,
        body: Vec<u8>,
    ) -> Result<Reply, Problem> {
        // The operator names the provider; it may well be inside.
        let reply = self.client.send(method, url, FORM, headers, body, Reach::All).await;
        reply.map_err(|error| {
            tracing::warn!(%error, "the login provider was not reached");
            Problem::upstream()
        })
    }

    fn seal(&self, code: &str, key: &PublicKey, expires_s: u64) -> Result<String, Problem> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = [&expires_s.to_be_bytes(), code.as_bytes()].concat();
        let (nonce_, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(key.0));
        let done = self.seal.seal_in_place_append_tag(nonce_, aad, &mut sealed);
        done.map_err(|_| Problem::internal())?;
        Ok(BASE64URL_NOPAD.encode(&[&nonce[..], &sealed].concat()))
    }

    fn open(&self, id: &str, key: &PublicKey, now_unix_s: u64) -> Option<Zeroizing<String>> {
        let mut bytes = BASE64URL_NOPAD.decode(id.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.seal.open_in_place(nonce, Aad::from(key.0), sealed).ok()?;
        let (expires_s, code) = opened.split_first_chunk::<8>()?;
        let code = std::str::from_utf8(code).ok()?;
        let is_good = now_unix_s < u64::from_be_bytes(*expires_s);
        is_good.then(|| Zeroizing::new(code.to_owned()))
    }
}

fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T, Problem> {
    let value = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200);
    value.ok_or_else(|| {
        tracing::warn!(status = reply.status, "the login provider's answer is none");
        Problem::upstream()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::trust::Identity;

    #[test]
    fn a_sealed_login_is_the_keys_alone_and_for_its_time() {
        let config = Config {
            issuer: "https://login.example.org".into(),
            client_id: "rit".into(),
            client_secret: None,
        };
        let broker = Identity::from_seed([1; 32]);
        let oidc = Oidc::new(config, Client::new(), &broker.signer()).unwrap();
        let (key, other) = (PublicKey([2; 32]), PublicKey([3; 32]));
        let id = oidc.seal("secret-code", &key, 1000).unwrap();
        assert_eq!(oidc.open(&id, &key, 999).unwrap().as_str(), "secret-code");
        assert!(oidc.open(&id, &key, 1000).is_none());
        assert!(oidc.open(&id, &other, 999).is_none());
        for bad in ["", "AAAA", &id[1..], &id[..id.len() - 2]] {
            assert!(oidc.open(bad, &key, 999).is_none(), "{bad}");
        }
    }
}
