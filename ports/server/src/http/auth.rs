//! Who asks: a client by its token, or the page by its cookie.
//!
//! Owns tokens, cookies and the page's protection against other sites' requests. Invariants: a
//! token is 32 random bytes and is stored hashed; a cookie alone changes nothing: every request
//! but GET also brings the CSRF token, which only this page can read; a login begins a new cookie
//! always.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use data_encoding::BASE64URL_NOPAD;
use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::App;
use super::listen::Peer;
use super::password::random;
use super::problem::Problem;
use crate::store::Viewer;
use crate::wall_unix_s;

/// How long a token is good.
pub(crate) const TOKEN_S: u64 = 3600;
/// How long the page stays logged in.
pub(crate) const COOKIE_S: u64 = 12 * 3600;
const TOKEN_LEN: usize = 32;
/// The prefix makes browsers refuse it from anything but this host by HTTPS (RFC 6265bis §4.1.3).
const COOKIE: &str = "__Host-rit";
const CSRF_HEADER: &str = "x-csrf-token";
/// Hashed with a token: what is stored of it, and what the page shows beside its cookie.
const STORED: &[u8] = b"rit-server token";
const CSRF: &[u8] = b"rit-server csrf";

/// A token as the client has it; erased after use.
pub(crate) struct Token(Zeroizing<[u8; TOKEN_LEN]>);

impl Token {
    pub(crate) fn make() -> Result<Token, Problem> {
        Ok(Token(Zeroizing::new(random()?)))
    }

    fn from_text(text: &str) -> Option<Token> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        Some(Token(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(&*self.0))
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        default_provider().sha256(&[STORED, &*self.0])
    }

    /// What must come with a cookie of it.
    pub(crate) fn csrf(&self) -> String {
        BASE64URL_NOPAD.encode(&default_provider().sha256(&[CSRF, &*self.0]))
    }

    /// The header that sets it as the page's cookie.
    pub(crate) fn cookie(&self) -> Result<HeaderValue, Problem> {
        let text = self.text();
        let cookie = Zeroizing::new(format!(
            "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={COOKIE_S}",
            *text
        ));
        let mut value = HeaderValue::from_str(&cookie).map_err(|_| Problem::internal())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// The header that takes the page's cookie away.
pub(crate) fn no_cookie() -> HeaderValue {
    let gone = "__Host-rit=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
    HeaderValue::from_static(gone)
}

/// Who is logged in.
pub(crate) struct Caller {
    pub(crate) account: i64,
    pub(crate) name: String,
    pub(crate) is_admin: bool,
    pub(crate) client: Option<PublicKey>,
    pub(crate) token: Token,
}

impl Caller {
    pub(crate) fn viewer(&self) -> Viewer {
        Viewer { account: self.account, is_admin: self.is_admin }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (token, is_cookie) = match bearer(&parts.headers) {
            Some(token) => (token, false),
            None => (cookie(&parts.headers).ok_or_else(Problem::unauthorized)?, true),
        };
        let owner = app.db.token_owner(&token.hash(), wall_unix_s()).await?;
        let owner = owner.ok_or_else(Problem::unauthorized)?;
        // Neither does as the other.
        if owner.client.is_none() != is_cookie {
            return Err(Problem::unauthorized());
        }
        let is_safe = parts.method == Method::GET || parts.method == Method::HEAD;
        if is_cookie && !is_safe {
            check_site(&parts.headers)?;
            let given = parts.headers.get(CSRF_HEADER).map_or(&[][..], HeaderValue::as_bytes);
            if !bool::from(given.ct_eq(token.csrf().as_bytes())) {
                return Err(Problem::forbidden("csrf", "the CSRF token is missing or wrong"));
            }
        }
        Ok(Caller {
            account: owner.account,
            name: owner.name,
            is_admin: owner.is_admin,
            client: owner.client,
            token,
        })
    }
}

/// A caller who is an admin.
pub(crate) struct Admin;

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if !caller.is_admin {
            return Err(Problem::forbidden("not-admin", "that is for admins"));
        }
        Ok(Admin)
    }
}

/// The address that a request comes from; behind a proxy, the one that it saw.
pub(crate) struct From(pub(crate) IpAddr);

impl FromRequestParts<App> for From {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Peer(peer) = parts.extensions.get().copied().ok_or_else(Problem::internal)?;
        let forwarded = || {
            // The last one is the proxy's own word; those before it anybody's.
            let last =
                parts.headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
            last.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
        };
        let ip = if app.is_behind_proxy { forwarded() } else { None };
        Ok(From(ip.unwrap_or(peer.ip()).to_canonical()))
    }
}

/// Refuses what a browser says another site asked for. Programs say nothing of this.
pub(crate) fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_same_site = match text("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        None => true,
    };
    let is_same_host = match text(header::ORIGIN.as_str()) {
        Some(origin) => origin.split_once("://").map(|(_, host)| host) == text("host"),
        None => true,
    };
    if is_same_site && is_same_host {
        Ok(())
    } else {
        Err(Problem::forbidden("site", "another site asked for that"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<Token> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Token::from_text(token.trim())
}

/// The page's cookie.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<Token> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    Token::from_text(found.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_one_text() {
        let token = Token::make().unwrap();
        let text = token.text();
        assert_eq!(text.len(), 43);
        assert_eq!(Token::from_text(&text).unwrap().hash(), token.hash());
        assert_ne!(token.csrf().as_str(), text.as_str());
        for bad in ["", "AAAA", &format!("{}=", *text), &text[..42]] {
            assert!(Token::from_text(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn cookies_and_bearers_are_found() {
        let token = Token::make().unwrap();
        let mut headers = HeaderMap::new();
        assert!(cookie(&headers).is_none() && bearer(&headers).is_none());
        let text = format!("a=b; __Host-rit={}; c", *token.text());
        headers.insert(header::COOKIE, text.parse().unwrap());
        assert_eq!(cookie(&headers).unwrap().hash(), token.hash());
        for (text, is_good) in
            [("Bearer ", true), ("bearer ", true), ("Basic ", false), ("", false)]
        {
            let value = format!("{text}{}", *token.text());
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers).is_some(), is_good, "{text}");
        }
    }

    #[test]
    fn other_sites_are_refused() {
        let check = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", "broker.example:1".parse().unwrap());
            pairs.iter().for_each(|(name, value)| {
                headers.insert(*name, value.parse().unwrap());
            });
            check_site(&headers).is_ok()
        };
        assert!(check(&[]) && check(&[("sec-fetch-site", "same-origin")]));
        assert!(check(&[("origin", "https://broker.example:1")]));
        for pair in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "https://broker.example"),
            ("origin", "null"),
        ] {
            assert!(!check(&[pair]), "{pair:?}");
        }
    }
}
