//! Connections to the HTTP face: accepted, counted, put through TLS, served by hyper.
//!
//! Owns the listeners and what a connection may cost. Invariants: connections are limited in all
//! and by address; a TLS handshake, a request's head, a request's body (`limits`) and an unread
//! answer have their time; whoever exceeds one loses his connection and nobody else's.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Connections at once.
const CONNECTIONS_MAX: usize = 4096;
/// Those of one IPv4 address, or IPv6 network of 64 bits. A proxy in front has all of them.
const CONNECTIONS_OF_ONE_MAX: usize = 128;
const TLS_TIME: Duration = Duration::from_secs(10);
/// Until a request's head is complete, which also ends an idle connection.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// An answer of which so long nothing is read is given up.
const STUCK_TIME: Duration = Duration::from_secs(30);
const HEAD_LEN_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// Where the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is connected, as an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// How many connections there are, of all and of each network.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<[u8; 16], usize>>>);

/// A place of a connection; given back when dropped.
struct Place {
    all: Connections,
    network: [u8; 16],
}

impl Connections {
    fn enter(&self, ip: IpAddr, of_one_max: usize) -> Option<Place> {
        let network = network_of(ip);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        let of_one = all.entry(network).or_default();
        if *of_one >= of_one_max {
            return None;
        }
        *of_one += 1;
        Some(Place { all: self.clone(), network })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_one) = all.get_mut(&self.network) {
            *of_one -= 1;
            if *of_one == 0 {
                all.remove(&self.network);
            }
        }
    }
}

/// What counts as one party: an IPv4 address, or the first 64 bits of an IPv6 address.
pub(crate) fn network_of(ip: IpAddr) -> [u8; 16] {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            std::array::from_fn(|i| if i < 8 { octets[i] } else { 0 })
        }
    }
}

/// Serves a listener until its task is dropped. `tls` none: plain.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    connections: Connections,
    is_behind_proxy: bool,
) {
    let of_one_max = if is_behind_proxy { CONNECTIONS_MAX } else { CONNECTIONS_OF_ONE_MAX };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = connections.enter(peer.ip(), of_one_max) else { continue };
                let (tls, router) = (tls.clone(), router.clone());
                tokio::spawn(async move {
                    connection(stream, peer, tls, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "an HTTP connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, router: Router) {
    let _ = stream.set_nodelay(true);
    let stream = Unstuck::new(stream);
    match tls {
        None => http(stream, peer, router).await,
        Some(tls) => match tokio::time::timeout(TLS_TIME, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, peer, router).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        },
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%peer, %error, "an HTTP connection broke");
    }
}

/// A stream whose writes fail once nothing of them was taken for [`STUCK_TIME`].
struct Unstuck {
    stream: TcpStream,
    give_up: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl Unstuck {
    fn new(stream: TcpStream) -> Self {
        let give_up = Box::pin(tokio::time::sleep(STUCK_TIME));
        Unstuck { stream, give_up, is_waiting: false }
    }

    fn watch<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.is_waiting = false;
            return result;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.give_up.as_mut().reset(Instant::now() + STUCK_TIME);
        }
        match self.give_up.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Unstuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl AsyncWrite for Unstuck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(result, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn connections_are_limited_in_all_and_by_network() {
        let all = Connections::default();
        let ip = |n: u32| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n));
        let mut held: Vec<_> = (0..2).map(|_| all.enter(ip(0), 2).unwrap()).collect();
        assert!(all.enter(ip(0), 2).is_none());
        held.extend((2..CONNECTIONS_MAX as u32).map(|n| all.enter(ip(n), 2).unwrap()));
        assert!(all.enter(ip(1), 2).is_none());
        held.clear();
        assert_eq!(all.count(), 0);
        let v6 = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), network_of(ip(1)));
    }
}
