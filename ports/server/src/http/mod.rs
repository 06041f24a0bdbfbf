//! The HTTP face: accounts, the JSON API with its OpenAPI document, the page, metrics, webhooks.
//!
//! Owns the joining of its parts, its threads and its listeners. Invariants: it runs on threads of
//! its own, so nothing that comes by HTTP holds up a datagram; what it knows of the broker it reads
//! in the database, and what it wants of it goes through [`Control`].

mod account;
mod args;
mod auth;
mod body;
mod cert;
mod challenge;
mod client;
mod devices;
mod events;
mod face;
mod geo;
mod grants;
mod jwt;
mod listen;
mod login;
mod metrics;
mod oidc;
mod openapi;
mod page;
pub(crate) mod password;
mod problem;
mod provision;
mod text;
mod totp;
mod webhooks;

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use rit_core::crypto::Signer;
use rit_core::wire::text::Uri;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use self::challenge::Challenges;
use self::client::{Client, Reach};
use self::geo::Geo;
use self::listen::Connections;
use self::metrics::Requests;
use self::oidc::Oidc;
use self::password::Passwords;
use self::problem::Problem;
use crate::control::Control;
use crate::error::Error;
use crate::face::Face;
use crate::renew::Files;
use crate::state::State;
use crate::store::{Db, Location};
use crate::thread::Thread;

pub(crate) use self::args::HttpArgs;
pub(crate) use self::login::is_name;
pub(crate) use self::oidc::Config as OidcConfig;

/// Threads of the HTTP face.
const THREADS: usize = 2;
/// How often the database is asked whether something happened.
const LOOK: Duration = Duration::from_millis(500);

/// What the operator wants.
pub(crate) struct Config {
    pub(crate) listen: Vec<SocketAddr>,
    /// No TLS: a proxy in front does it, or nobody but this machine comes.
    pub(crate) is_plain: bool,
    /// The proxy says whom it speaks for, in X-Forwarded-For.
    pub(crate) is_behind_proxy: bool,
    pub(crate) files: Option<Files>,
    pub(crate) geo: Option<PathBuf>,
    pub(crate) is_private_allowed: bool,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) metrics_token: Option<Zeroizing<String>>,
    pub(crate) oidc: Option<OidcConfig>,
}

/// What it works with, beside the database.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) uri: Uri,
    pub(crate) face: Option<Arc<Face>>,
}

/// What all handlers share.
pub(crate) struct Shared {
    db: Db,
    control: Control,
    uri: Uri,
    /// The browser face, if there is one.
    face: Option<Arc<Face>>,
    challenges: Challenges,
    passwords: Passwords,
    client: Client,
    oidc: Option<Oidc>,
    geo: Option<Geo>,
    /// Where webhooks may go.
    hooks: Reach,
    is_behind_proxy: bool,
    /// Browsers believe the certificate.
    is_certified: bool,
    metrics_token: Option<Zeroizing<String>>,
    connections: Connections,
    requests: Requests,
    /// The number of the newest event.
    news: watch::Receiver<i64>,
}

/// The same, cloned for each request.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The running HTTP face; it ends with this value.
pub(crate) struct Http {
    /// Where it listens, for people.
    pub(crate) urls: Vec<String>,
    _thread: Thread,
}

impl Http {
    /// Binds and serves.
    pub(crate) async fn start(
        config: Config,
        state: &State,
        location: &Location,
        parts: Parts,
    ) -> Result<Http, Error> {
        let failed = |error: std::io::Error| Error::Start(error.to_string());
        let thread = Thread::start("http", THREADS)?;
        let tls = if config.is_plain {
            None
        } else {
            let config =
                cert::config(config.files.as_ref(), state, &parts.signer, &parts.uri.host)?;
            Some(TlsAcceptor::from(config))
        };
        // Connections to a database belong to the threads that made them.
        let location = location.clone();
        let opened = thread.spawn(async move { Db::open(&location).await });
        let db = opened.await.map_err(|error| Error::Start(error.to_string()))??;
        let metrics = config.metrics;
        let (is_behind_proxy, is_plain) = (config.is_behind_proxy, config.is_plain);
        let listen = config.listen.clone();
        let (app, news) = shared(config, db, parts)?;
        let connections = app.connections.clone();
        let router = router(app.clone());
        let mut urls = Vec::new();
        for address in listen {
            let listener = bind(&thread, address)?;
            let at = listener.local_addr().map_err(failed)?;
            urls.push(format!("{}://{at}", if is_plain { "http" } else { "https" }));
            let (tls, router, all) = (tls.clone(), router.clone(), connections.clone());
            thread.spawn(listen::serve(listener, tls, router, all, is_behind_proxy));
        }
        if let Some(address) = metrics {
            let listener = bind(&thread, address)?;
            let router =
                Router::new().route("/metrics", get(metrics::open)).with_state(app.clone());
            thread.spawn(listen::serve(listener, None, router, connections, false));
        }
        thread.spawn(look(app.clone(), news));
        thread.spawn(webhooks::run(app));
        Ok(Http { urls, _thread: thread })
    }
}

fn bind(runtime: &Handle, address: SocketAddr) -> Result<TcpListener, Error> {
    let _entered = runtime.enter();
    crate::tls::listen(address).map_err(|source| Error::ListenTcp { address, source })
}

fn shared(config: Config, db: Db, parts: Parts) -> Result<(App, watch::Sender<i64>), Error> {
    let failed = |what: &str| Error::Start(what.to_owned());
    let Parts { control, signer, uri, face } = parts;
    let client = Client::new();
    let oidc = config.oidc.map(|config| Oidc::new(config, client.clone(), &*signer)).transpose()?;
    let (sender, news) = watch::channel(0);
    let challenges =
        Challenges::new(&*signer).ok_or_else(|| failed("the broker's key derives no other"))?;
    let shared = Shared {
        db,
        control,
        uri,
        face,
        challenges,
        passwords: Passwords::new().map_err(|_| failed("passwords cannot be hashed"))?,
        client,
        oidc,
        geo: config.geo.as_deref().map(Geo::open).transpose()?,
        hooks: if config.is_private_allowed { Reach::All } else { Reach::Public },
        is_behind_proxy: config.is_behind_proxy,
        is_certified: config.files.is_some(),
        metrics_token: config.metrics_token,
        connections: Connections::default(),
        requests: Requests::default(),
        news,
    };
    Ok((App(Arc::new(shared)), sender))
}

/// The whole face.
fn router(app: App) -> Router {
    let (api, _) = openapi::split();
    api.merge(page::router())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(middleware::from_fn(body::read))
        .route_layer(middleware::from_fn_with_state(app.clone(), metrics::count))
        .layer(middleware::from_fn_with_state(app.clone(), page::headers))
        .with_state(app)
}

/// Looks for news, for as long as the task lives.
async fn look(app: App, news: watch::Sender<i64>) {
    loop {
        match app.db.last_event().await {
            Ok(last) => {
                news.send_if_modified(|known| std::mem::replace(known, last) != last);
            }
            Err(error) => tracing::error!(%error, "the database failed"),
        }
        tokio::time::sleep(LOOK).await;
    }
}
