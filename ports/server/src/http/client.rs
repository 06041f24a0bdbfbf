//! Requests that the server makes itself: webhooks, and questions to a login provider.
//!
//! Owns name resolution, connection, TLS and limits of such a request. Invariants: where only
//! public addresses are wanted, the very address that is connected to was checked, so a name that
//! resolves anew cannot lead inside; no redirect is followed; an answer has its time and its
//! length.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};

const CONNECT_TIME: Duration = Duration::from_secs(5);
const WHOLE_TIME: Duration = Duration::from_secs(15);
const ANSWER_LEN_MAX: usize = 256 * 1024;

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones, by HTTPS.
    Public,
    /// All, by HTTP also.
    All,
}

/// Why there is no answer. Addresses are the operator's or a user's own; no secret is in it.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("the address is not one of https://HOST/…")]
    Url,
    #[error("the address leads to no public host")]
    NotPublic,
    #[error("no answer in time")]
    Time,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is too long or broke off")]
    Answer,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Makes requests, each on a connection of its own.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
}

impl Client {
    /// Trusts the certificates that the system trusts.
    pub(crate) fn new() -> Client {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some certificates of the system cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let config = builder
            .with_safe_default_protocol_versions()
            .expect("ring has suites of TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client { tls: TlsConnector::from(Arc::new(config)) }
    }

    /// Sends one request. The body's type is `kind`.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        kind: &'static str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
        reach: Reach,
    ) -> Result<Reply, ClientError> {
        let target = Target::parse(url, reach)?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| ClientError::Url)?;
        let authority = target.uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority).map_err(|_| ClientError::Url)?;
        request.headers_mut().extend(headers);
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let agent = HeaderValue::from_static(concat!("rit-server/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let sent = self.connect_and_send(&target, request, reach);
        tokio::time::timeout(WHOLE_TIME, sent).await.map_err(|_| ClientError::Time)?
    }

    async fn connect_and_send(
        &self,
        target: &Target,
        request: Request<Body>,
        reach: Reach,
    ) -> Result<Reply, ClientError> {
        let stream = target.connect(reach).await?;
        if !target.is_tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| ClientError::Url)?;
        exchange(self.tls.connect(name, stream).await?, request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<Reply, ClientError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let ask = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|_| ClientError::Answer)?.to_bytes();
        Ok(Reply { status: parts.status.as_u16(), body })
    };
    tokio::pin!(ask, connection);
    tokio::select! {
        reply = &mut ask => reply,
        ended = &mut connection => {
            ended?;
            ask.await
        }
    }
}

/// Where a request goes.
struct Target {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

impl Target {
    fn parse(url: &str, reach: Reach) -> Result<Target, ClientError> {
        let uri: Uri = url.parse().map_err(|_| ClientError::Url)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if reach == Reach::All => false,
            _ => return Err(ClientError::Url),
        };
        let authority = uri.authority().ok_or(ClientError::Url)?;
        if authority.as_str().contains('@') {
            return Err(ClientError::Url);
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Target { host: host.to_owned(), port, is_tls, uri })
    }

    async fn connect(&self, reach: Reach) -> Result<TcpStream, ClientError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut last = ClientError::NotPublic;
        for address in found.filter(|address| reach == Reach::All || is_public(address.ip())) {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let stream = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(address)).await;
    Ok(stream.map_err(|_| ClientError::Time)??)
}

/// Whether a webhook may be sent there; by its text alone, before its name is resolved.
pub(crate) fn may_be_sent(url: &str, reach: Reach) -> bool {
    Target::parse(url, reach).is_ok_and(|target| {
        let ip: Option<IpAddr> = target.host.parse().ok();
        reach == Reach::All || ip.is_none_or(is_public)
    })
}

/// Whether an address is of the public internet: no loopback, private, link-local, shared,
/// documentation or multicast one, nor an IPv6 address that leads to such an IPv4 one.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let low = |at: usize| {
        let [a, b] = segments[at].to_be_bytes();
        let [c, d] = segments[at + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(low(6)),
        [0x2002, ..] => is_public_v4(low(1)),
        // Teredo and other special purposes; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Global unicast is what is given out now.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for ip in [
            "127.0.0.1",
            "127.255.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "64:ff9b::1.1.1.1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn addresses_of_webhooks() {
        let may = |url: &str| may_be_sent(url, Reach::Public);
        assert!(may("https://hooks.example.org/a?b") && may("https://1.1.1.1:8443/"));
        for url in [
            "http://hooks.example.org/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "ftp://a.example/",
            "https://user@a.example/",
            "https://",
            "/path",
            "",
            "file:///etc/passwd",
            "https://[fe80::1]/",
        ] {
            assert!(!may(url), "{url}");
        }
        assert!(may_be_sent("http://127.0.0.1:1/", Reach::All));
        assert!(!may_be_sent("gopher://127.0.0.1:1/", Reach::All));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_followed() {
        let target = Target::parse("https://localhost/", Reach::Public).unwrap();
        let result = target.connect(Reach::Public).await;
        assert!(matches!(result, Err(ClientError::NotPublic)));
    }
}
