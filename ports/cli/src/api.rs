//! The server's HTTP API: JSON over TLS, with a token that is renewed by the node's key.
//!
//! Owns requests, what their refusals mean to a person, and how somebody is known: a challenge that
//! the node's key signs. Does not own what is asked. Invariants: a password goes to nobody but the
//! holder of the broker's key (or, where that was asked for, of a public certificate); plain HTTP
//! goes to this machine alone; an answer is at most [`ANSWER_MAX`] bytes.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use rit_core::base::PublicKey;
use rit_core::crypto::Signer;
use rit_core::trust::Identity;
use rit_core::wire::text::{Uri, key_to_text, split_port};
use serde_json::{Value, json};
use ureq::{Agent, AgentBuilder};

use crate::error::{Error, Exit, other};
use crate::state::{Login, State};
use crate::text;
use crate::tls;

/// The longest answer.
const ANSWER_MAX: u64 = 8 << 20;
/// What a key signs to log in, before the broker's key and the nonce.
const LOGIN_LABEL: &[u8] = b"rit/1 login";

/// The API as one person sees it.
pub(crate) struct Api {
    agent: Agent,
    base: String,
    broker: PublicKey,
    identity: Identity,
    state: State,
    token: Option<String>,
}

impl Api {
    /// That of a login.
    pub(crate) fn new(state: &State, login: &Login) -> Result<Api, Error> {
        let uri: Uri = login.broker.parse().map_err(other)?;
        let base = login.http.clone().ok_or_else(|| {
            Error::new(Exit::LoggedOut, "this node is enrolled without an account")
                .advice("Log in: rit login rit://KEY@HOST")
        })?;
        let config = if login.is_public { tls::public() } else { tls::pinned(uri.key) };
        let agent = AgentBuilder::new()
            .tls_config(Arc::new(config.map_err(other)?))
            .timeout_connect(Duration::from_secs(5))
            .timeout_read(Duration::from_secs(30))
            .redirects(0)
            .user_agent(concat!("rit/", env!("CARGO_PKG_VERSION")))
            .build();
        let token = login.token.clone();
        let identity = state.identity()?;
        Ok(Api { agent, base, broker: uri.key, identity, state: state.clone(), token })
    }

    /// What a key shows to log in: itself, a nonce of the server's, and its signature of both.
    pub(crate) fn proof(&self) -> Result<Value, Error> {
        let nonce = self.send("POST", "/challenge", None, None)?;
        let nonce = nonce["nonce"].as_str().unwrap_or_default();
        let bytes = text::from_base64(nonce, "the server's nonce")?;
        let signer = self.identity.signer();
        let message = [LOGIN_LABEL, &self.broker.0, &bytes].concat();
        let signature = signer.sign(&message).map_err(other)?;
        Ok(json!({
            "key": key_to_text(&signer.public_key()),
            "nonce": nonce,
            "signature": text::base64(&signature),
        }))
    }

    /// A request that needs no login.
    pub(crate) fn open_post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.send("POST", path, Some(body), None)
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value, Error> {
        self.call("GET", path, None)
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call("POST", path, Some(body))
    }

    pub(crate) fn put(&mut self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call("PUT", path, Some(body))
    }

    pub(crate) fn patch(&mut self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call("PATCH", path, Some(body))
    }

    pub(crate) fn delete(&mut self, path: &str) -> Result<Value, Error> {
        self.call("DELETE", path, None)
    }

    /// What is said to a device by its link, and its answer: (kind, body).
    pub(crate) fn note(
        &mut self,
        device: &PublicKey,
        kind: u8,
        body: &[u8],
    ) -> Result<(u64, Vec<u8>), Error> {
        let path = format!("/devices/{}/notes", key_to_text(device));
        let answer = self.post(&path, &json!({ "kind": kind, "body": text::base64(body) }))?;
        let body = answer["body"].as_str().unwrap_or_default();
        let kind = answer["kind"].as_u64().unwrap_or_default();
        Ok((kind, text::from_base64(body, "the device's answer")?))
    }

    /// An answer without an end, read as it comes.
    pub(crate) fn stream(
        &mut self,
        path: &str,
        last_id: Option<u64>,
    ) -> Result<Box<dyn Read + Send + Sync + 'static>, Error> {
        self.need_token()?;
        let mut request = self.request("GET", path, self.token.as_deref());
        request = request.set("Accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.set("Last-Event-ID", &id.to_string());
        }
        Ok(request.call().map_err(refused)?.into_reader())
    }

    /// Asks with the token, and once more with a new one if the server does not take it.
    fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.need_token()?;
        match self.send(method, path, body, self.token.as_deref()) {
            Err(error) if error.exit == Exit::LoggedOut => {
                self.renew()?;
                self.send(method, path, body, self.token.as_deref())
            }
            answer => answer,
        }
    }

    fn need_token(&mut self) -> Result<(), Error> {
        if self.token.is_none() { self.renew() } else { Ok(()) }
    }

    /// A new token, for a key that is logged in.
    fn renew(&mut self) -> Result<(), Error> {
        let answer = self.send("POST", "/token", Some(&self.proof()?), None)?;
        let token = answer["token"].as_str().map(str::to_owned);
        self.token = token.clone();
        self.state.change(|stored| {
            if let Some(login) = &mut stored.login {
                login.token = token;
            }
        })
    }

    fn request(&self, method: &str, path: &str, token: Option<&str>) -> ureq::Request {
        let request = self.agent.request(method, &format!("{}/api/v1{path}", self.base));
        match token {
            Some(token) => request.set("Authorization", &format!("Bearer {token}")),
            None => request,
        }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        token: Option<&str>,
    ) -> Result<Value, Error> {
        let request = self.request(method, path, token);
        let answer = match body {
            Some(body) => request.send_json(body),
            None => request.call(),
        };
        read(answer.map_err(refused)?)
    }
}

/// The JSON of an answer; null where it is empty.
fn read(answer: ureq::Response) -> Result<Value, Error> {
    let mut bytes = Vec::new();
    let mut body = answer.into_reader().take(ANSWER_MAX + 1);
    body.read_to_end(&mut bytes)
        .map_err(|error| Error::new(Exit::Unreachable, format!("the server broke off: {error}")))?;
    if bytes.len() as u64 > ANSWER_MAX {
        return Err(Error::failed("the server's answer is too long"));
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::failed(format!("the server's answer is no JSON: {error}")))
}

/// What a refusal means (RFC 9457), and what to do.
fn refused(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Status(status, answer) => {
            let problem = read(answer).unwrap_or_default();
            let text = |name: &str| problem[name].as_str().map(str::to_owned);
            let what = text("detail")
                .or_else(|| text("title"))
                .unwrap_or_else(|| format!("the server answers with status {status}"));
            let (exit, advice) = match status {
                401 => (Exit::LoggedOut, Some("Log in: rit login")),
                403 => (Exit::Refused, None),
                404 => (Exit::Unknown, None),
                429 => (Exit::Unreachable, Some("Too many requests: wait a minute.")),
                409 if problem["code"] == "offline" => {
                    (Exit::Unreachable, Some("Try again when it is online."))
                }
                503 | 504 => (Exit::Unreachable, Some("Try again.")),
                _ => (Exit::Failed, None),
            };
            let error = Error::new(exit, format!("the server says: {what}"));
            advice.map(str::to_owned).into_iter().fold(error, Error::advice)
        }
        ureq::Error::Transport(fault) => {
            let what = fault.to_string();
            let error = Error::new(Exit::Unreachable, format!("no connection: {what}"));
            if what.contains("UnknownIssuer") {
                error.advice(
                    "This server does not hold the key of the rit:// address. If it has a \
                     certificate of a public authority, say --web-pki.",
                )
            } else {
                error.advice("Is the address right, and the server up?")
            }
        }
    }
}

/// The API's address of a login: `https://`, of the broker's host and port unless `http` says
/// others. Plain HTTP is for this machine alone.
pub(crate) fn base_url(uri: &Uri, http: Option<&str>) -> Result<String, Error> {
    let host = if uri.host.contains(':') { format!("[{}]", uri.host) } else { uri.host.clone() };
    let Some(http) = http else { return Ok(format!("https://{host}:{}", uri.port)) };
    if http.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(format!("https://{host}:{http}"));
    }
    let http = http.trim_end_matches('/');
    let (is_plain, rest) = match (http.strip_prefix("http://"), http.strip_prefix("https://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(Error::usage("--http takes a port or an https:// address")),
    };
    let (host, _) = split_port(rest).map_err(|error| Error::usage(error.to_string()))?;
    let is_here = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_plain && !is_here {
        return Err(Error::usage("http:// without TLS is for this machine alone")
            .advice("Use https://, or a port number for TLS with the broker's key."));
    }
    Ok(http.to_owned())
}

/// The entries of an answer that is a list, or has one under this name.
pub(crate) fn entries(answer: Value, name: &str) -> Vec<Value> {
    match answer {
        Value::Array(entries) => entries,
        Value::Object(mut fields) => match fields.remove(name).or_else(|| fields.remove("items")) {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
