//! Browsers' connections: TLS, and whom it was made for.
//!
//! Owns the listener and what a connection may cost. Invariants: connections are limited in number,
//! and a handshake and a request's head in time; who names no host of ours in TLS (SNI) gets 421 to
//! all requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio_rustls::{TlsAcceptor, rustls};

use super::proxy::Connection;
use super::{Face, pages};
use crate::error::Error;
use crate::renew::{Files, Renewed};

/// Connections at once; a browser makes six to a host, and more for WebSockets.
const CONNECTIONS_MAX: usize = 10_000;
const TLS_TIME: Duration = Duration::from_secs(10);
const HEAD_LEN_MAX: usize = 64 * 1024;
/// Where the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// TLS with the wildcard's certificate.
pub(crate) fn tls(files: &Files) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::Start(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Renewed::open(files)?));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves a listener until its task is dropped. A connection without a request, or between two of
/// them, ends after `idle`.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    face: Arc<Face>,
    idle: Duration,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let acceptor = TlsAcceptor::from(tls);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let (acceptor, face) = (acceptor.clone(), face.clone());
                tokio::spawn(async move {
                    connection(stream, peer, &acceptor, face, idle).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a browser's connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
    face: Arc<Face>,
    idle: Duration,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(TLS_TIME, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
        Err(_) => return tracing::debug!(%peer, "a TLS handshake took too long"),
    };
    let label = stream.get_ref().1.server_name().and_then(|name| face.domain.label(name));
    let connection = label.map(|label| {
        Arc::new(Connection { face, label, client: peer.ip(), kept: Mutex::default() })
    });
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move {
            match connection {
                Some(connection) => connection.serve(request).await,
                None => Ok::<_, Infallible>(*pages::wrong_host()),
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%peer, %error, "a browser's connection broke");
    }
}
