//! One request of a browser: may it, and if so through the tunnel to the service and back.
//!
//! Owns the decision's order: the host must be the one TLS was made for and a known one (421), the
//! browser must be logged in there (else it is sent to the main host), the request must be of that
//! host's own pages, and the owner must have allowed the account (403). Then both heads are changed
//! as `headers` says, bodies stream, and a change of protocol connects both ends (RFC 9110 §7.8).
//! Invariant: every request is decided anew, and a connection to a service serves one account.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use rit_core::node::Reason;
use tokio::sync::Mutex;

use super::host::{Door, OpenError};
use super::logins::{self, Account};
use super::{Face, headers, pages};

/// The secret of a session at this host, and of a browser on its way to the login.
const SESSION_COOKIE: &str = "__Host-rit-face";
const STATE_COOKIE: &str = "__Host-rit-face-state";
/// Ours at every host; what a service has there is not reached.
pub(super) const ENTER_PATH: &str = "/.rit/enter";
const LEAVE_PATH: &str = "/.rit/leave";
/// The longest path that is come back to after a login.
const BACK_LEN_MAX: usize = 2048;

pub(super) type Body = BoxBody<Bytes, hyper::Error>;
pub(super) type Answer = Response<Body>;

/// A browser's connection: whom TLS was made for, and the connection to the service that its last
/// request left open.
pub(super) struct Connection {
    pub(super) face: Arc<Face>,
    pub(super) label: String,
    pub(super) client: IpAddr,
    pub(super) kept: Mutex<Option<Kept>>,
}

/// An idle connection to a service.
pub(super) struct Kept {
    account: Account,
    door: Door,
    sender: SendRequest<Incoming>,
}

impl Connection {
    /// Answers a request, whatever it is.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Answer, Infallible> {
        Ok(self.decide(request).await.unwrap_or_else(|answer| *answer))
    }

    async fn decide(&self, request: Request<Incoming>) -> Result<Answer, Box<Answer>> {
        let host = self.face.domain.host(&self.label);
        if !is_for(&request, &host) {
            return Err(pages::wrong_host());
        }
        let service = self.face.rules.service(&self.label).await.map_err(pages::failed)?;
        let service = service.ok_or_else(pages::wrong_host)?;
        match request.uri().path() {
            ENTER_PATH => return self.enter(&request),
            LEAVE_PATH => return self.leave(&request),
            _ => {}
        }
        let secret = headers::own_cookie(request.headers(), SESSION_COOKIE).unwrap_or_default();
        let account = self.face.logins.account(&self.label, secret, Instant::now());
        let Some(account) = account else { return self.send_to_login(&request) };
        if headers::is_from_elsewhere(request.method(), request.headers(), &host) {
            return Err(pages::from_elsewhere());
        }
        let chain = self.face.rules.chain(&self.label, account).await.map_err(pages::failed)?;
        let chain = chain.ok_or_else(pages::not_allowed)?;
        let door = Door { device: service.device, chain: chain.into() };
        self.forward(request, &host, account, &door, &service.name).await
    }

    /// To the main host, which sends it back to [`ENTER_PATH`].
    fn send_to_login(&self, request: &Request<Incoming>) -> Result<Answer, Box<Answer>> {
        if request.method() != Method::GET || headers::upgrade(request.headers()).is_some() {
            return Err(pages::not_logged_in());
        }
        let secret = logins::secret().map_err(pages::failed)?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let location = self.face.login_url(&self.label, &logins::public(&secret), path);
        // Lax: the way back begins at another site.
        let cookie = format!("{STATE_COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Lax");
        redirect(&location, &[cookie])
    }

    /// The way back from the login, with a code.
    fn enter(&self, request: &Request<Incoming>) -> Result<Answer, Box<Answer>> {
        let state = headers::own_cookie(request.headers(), STATE_COOKIE).unwrap_or_default();
        let field = |name: &str| pages::query(request.uri().query().unwrap_or_default(), name);
        let code = field("code").unwrap_or_default();
        let entered = self.face.logins.enter(&self.label, state, &code, Instant::now());
        let secret = entered.map_err(pages::failed)?.ok_or_else(pages::code_is_over)?;
        let path = field("path").filter(|path| is_own_path(path)).unwrap_or_else(|| "/".into());
        let session = format!("{SESSION_COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Lax");
        let over = format!("{STATE_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
        redirect(&path, &[session, over])
    }

    fn leave(&self, request: &Request<Incoming>) -> Result<Answer, Box<Answer>> {
        if let Some(secret) = headers::own_cookie(request.headers(), SESSION_COOKIE) {
            self.face.logins.leave(secret);
        }
        let over = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
        redirect(&self.face.main, &[over])
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        host: &str,
        account: Account,
        door: &Door,
        service: &str,
    ) -> Result<Answer, Box<Answer>> {
        let protocol = headers::upgrade(request.headers());
        let browser = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
        let request = prepare(request, host, self.client, protocol.clone());
        let mut sender = self.connection(account, door, service).await?;
        let sent = match sender.try_send_request(request).await {
            Ok(answer) => Ok(answer),
            // The service had just closed a connection that was kept: one more is made for it.
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    sender = self.connect(door, service).await?;
                    sender.send_request(request).await
                }
                None => Err(error.into_error()),
            },
        };
        let mut answer = sent.map_err(|error| {
            tracing::debug!(%error, "a service answered no HTTP");
            pages::bad_gateway("the service broke off")
        })?;
        let has_changed = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let agreed = headers::upgrade(answer.headers());
        let service_side = has_changed.then(|| hyper::upgrade::on(&mut answer));
        headers::forward_response(answer.headers_mut());
        match (has_changed, agreed, browser, service_side) {
            (true, Some(agreed), Some(browser), Some(service_side)) => {
                headers::set_upgrade(answer.headers_mut(), agreed);
                tokio::spawn(join(browser, service_side));
            }
            (true, ..) => return Err(pages::bad_gateway("the service changed its protocol")),
            _ => self.keep(account, door, sender).await,
        }
        Ok(answer.map(BodyExt::boxed))
    }

    /// A connection to the service: the one that was kept, if it still is one for this.
    async fn connection(
        &self,
        account: Account,
        door: &Door,
        service: &str,
    ) -> Result<SendRequest<Incoming>, Box<Answer>> {
        let kept = self.kept.lock().await.take();
        let kept = kept.filter(|kept| kept.account == account && kept.door == *door);
        if let Some(mut kept) = kept {
            if !kept.sender.is_closed() && kept.sender.ready().await.is_ok() {
                return Ok(kept.sender);
            }
        }
        self.connect(door, service).await
    }

    async fn connect(
        &self,
        door: &Door,
        service: &str,
    ) -> Result<SendRequest<Incoming>, Box<Answer>> {
        let (device, key) = (&door.device, self.face.key);
        let refused = self.face.rules.is_refused(device, &key, &door.chain).await;
        if refused.map_err(pages::failed)? {
            return Err(pages::not_allowed());
        }
        let stream = self.face.host.open(door, service).await.map_err(unreachable)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) =
            shaken.map_err(|_| pages::bad_gateway("the service broke off"))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a service broke");
            }
        });
        Ok(sender)
    }

    async fn keep(&self, account: Account, door: &Door, sender: SendRequest<Incoming>) {
        *self.kept.lock().await = Some(Kept { account, door: door.clone(), sender });
    }
}

/// Whether a request's host is the one TLS was made for, by each place that says it.
fn is_for(request: &Request<Incoming>, host: &str) -> bool {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return false };
    let named = field.to_str().ok().map(without_port);
    let target = request.uri().host();
    named.is_some_and(|name| name.eq_ignore_ascii_case(host))
        && target.is_none_or(|name| name.eq_ignore_ascii_case(host))
        && request.method() != Method::CONNECT
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// A path of this very host: no browser reads it as another's.
fn is_own_path(path: &str) -> bool {
    path.len() <= BACK_LEN_MAX
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// The request as the service gets it.
fn prepare(
    request: Request<Incoming>,
    host: &str,
    client: IpAddr,
    protocol: Option<HeaderValue>,
) -> Request<Incoming> {
    let (mut head, body) = request.into_parts();
    headers::forward_request(&mut head.headers, host, client);
    if let Some(protocol) = protocol {
        headers::set_upgrade(&mut head.headers, protocol);
    }
    // The service knows its address as the browser does.
    if let Ok(host) = HeaderValue::from_str(host) {
        head.headers.insert(header::HOST, host);
    }
    // A path that was parsed is one.
    head.uri = head.uri.path_and_query().cloned().map_or_else(Default::default, Into::into);
    head.version = Version::HTTP_11;
    Request::from_parts(head, body)
}

/// Passes on what both ends say in their own protocol, until one has enough.
async fn join(browser: hyper::upgrade::OnUpgrade, service: hyper::upgrade::OnUpgrade) {
    let (Ok(browser), Ok(service)) = (browser.await, service.await) else { return };
    let (mut browser, mut service) = (TokioIo::new(browser), TokioIo::new(service));
    let _ = tokio::io::copy_bidirectional(&mut browser, &mut service).await;
}

fn unreachable(error: OpenError) -> Box<Answer> {
    tracing::debug!(%error, "a service is not reached");
    match error {
        OpenError::Session(Reason::NotPermitted | Reason::Untrusted) => pages::not_allowed(),
        OpenError::TimedOut => pages::timed_out(),
        error => pages::bad_gateway(&error.to_string()),
    }
}

fn redirect(location: &str, cookies: &[String]) -> Result<Answer, Box<Answer>> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(pages::failed);
    let mut fields = HeaderMap::new();
    fields.insert(header::LOCATION, value(location)?);
    for cookie in cookies {
        fields.append(header::SET_COOKIE, value(cookie)?);
    }
    let mut answer = pages::plain(StatusCode::SEE_OTHER, "");
    answer.headers_mut().extend(fields);
    Ok(answer)
}

/// A body that is there already.
pub(super) fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for good in ["/", "/a?b=//c", "/a//b"] {
            assert!(is_own_path(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(BACK_LEN_MAX));
        let bad = ["", "a", "//evil", "/\\evil", "https://evil", "/a b", "/\t/evil", "/\r\nX: y"];
        for bad in bad.into_iter().chain([&long[..]]) {
            assert!(!is_own_path(bad), "{bad}");
        }
        assert!(is_own_path(&long[1..].replacen('a', "/", 1)));
    }

    #[test]
    fn ports_do_not_count() {
        assert_eq!(without_port("a.example:443"), "a.example");
        assert_eq!(without_port("a.example"), "a.example");
        assert_eq!(without_port("a.example:x"), "a.example:x");
    }
}
